//! Arrow IPC files (Feather version 2), uncompressed, so that every reader can map them.
//!
//! Dictionaries and run-end encoded columns are written as plain values: the file format allows one dictionary per
//! column, and batches of one result may have different ones.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::arrow::record_batch::RecordBatch;

use super::shape::{Fit, Shape, plain};
use super::{FinishState, Format, OutputError, Result, Sink};

#[derive(Default)]
pub(crate) struct ArrowSink {
    file: Option<(Shape, FileWriter<Vec<u8>>)>,
    rows: u64,
}

fn failed(source: datafusion::arrow::error::ArrowError) -> OutputError {
    OutputError::encode(Format::Arrow, source)
}

impl Sink for ArrowSink {
    fn begin_section(&mut self, _: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        let shape = Shape::new(Format::Arrow, schema, |data_type| Fit::As(plain(data_type)));
        let mut writer = FileWriter::try_new(Vec::new(), shape.schema()).map_err(failed)?;
        out.append(writer.get_mut());
        self.file = Some((shape, writer));
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let Some((shape, writer)) = &mut self.file else { return Ok(()) };
        if batch.num_rows() > 0 {
            writer.write(&shape.apply(batch, self.rows)?).map_err(failed)?;
            out.append(writer.get_mut());
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn end_section(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if let Some((_, writer)) = &mut self.file {
            writer.finish().map_err(failed)?;
            out.append(writer.get_mut());
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<FinishState> {
        match self.file.take() {
            Some(_) => Ok(FinishState::Done),
            None => Err(OutputError::NoResult { format: Format::Arrow }),
        }
    }
}
