//! Parquet with zstd level 1 and statistics for every page and column.
//!
//! A row group ends at 1,048,576 rows, about 128 MB or its share of the memory limit, whichever comes first, so that
//! wide rows do not exhaust the memory. Strings are declared as Utf8, whatever their encoding in memory. Dictionary
//! columns keep their type; run-end encoded columns are written as plain values; types that Parquet lacks (unions,
//! intervals with nanoseconds, empty structs) are written as strings. Duplicate column names get a number: `a`, `a_2`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::arrow::{ArrowWriter, add_encoded_arrow_schema_to_metadata};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::shape::{Fit, Shape, any_part, plain};
use super::{FinishState, Format, OutputError, Result, Sink};
use crate::types::plain_of_view;

const GROUP_ROWS: usize = 1 << 20;
const GROUP_BYTES: usize = 128 << 20;

/// Memory of an unfinished row group, with its dictionaries and pages, beyond which it is flushed early.
const GROUP_MEMORY: usize = 256 << 20;

pub(crate) struct ParquetSink {
    group_bytes: usize,
    group_memory: usize,
    file: Option<(Shape, ArrowWriter<Vec<u8>>)>,
    rows: u64,
}

impl ParquetSink {
    /// A sink that buffers about `memory` bytes at most.
    pub(crate) fn new(memory: usize) -> Self {
        Self { group_bytes: GROUP_BYTES, group_memory: GROUP_MEMORY.min(memory), file: None, rows: 0 }
    }
}

fn failed(source: ParquetError) -> OutputError {
    OutputError::encode(Format::Parquet, source)
}

fn fit(data_type: &DataType) -> Fit {
    let has_no_type = any_part(data_type, &|part| match part {
        DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano) => true,
        DataType::Struct(fields) => fields.is_empty(),
        _ => false,
    });
    if has_no_type {
        Fit::Text
    } else if any_part(data_type, &|part| matches!(part, DataType::RunEndEncoded(..)))
        || matches!(data_type, DataType::Dictionary(_, values) if values.is_nested())
        || (data_type.is_nested()
            && any_part(data_type, &|part| matches!(part, DataType::Dictionary(..)) || plain_of_view(part).is_some()))
    {
        Fit::As(plain(data_type))
    } else {
        Fit::Keep
    }
}

impl Sink for ParquetSink {
    fn begin_section(&mut self, _: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        let shape = Shape::new(Format::Parquet, schema, fit);
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(failed)?))
            .set_created_by(concat!("cxql ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(self.group_bytes))
            .set_statistics_enabled(EnabledStatistics::Page)
            .build();
        let declared = shape.schema().fields().iter().map(|field| match plain_of_view(field.data_type()) {
            Some(plain) => field.as_ref().clone().with_data_type(plain),
            None => field.as_ref().clone(),
        });
        let declared = Schema::new_with_metadata(declared.collect::<Vec<_>>(), shape.schema().metadata().clone());
        add_encoded_arrow_schema_to_metadata(&declared, &mut properties);
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer =
            ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(shape.schema()), options).map_err(failed)?;
        out.append(writer.inner_mut());
        self.file = Some((shape, writer));
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let Some((shape, writer)) = &mut self.file else { return Ok(()) };
        writer.write(&shape.apply(batch, self.rows)?).map_err(failed)?;
        if writer.memory_size() > self.group_memory {
            writer.flush().map_err(failed)?;
        }
        out.append(writer.inner_mut());
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn end_section(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if let Some((_, writer)) = &mut self.file {
            writer.finish().map_err(failed)?;
            out.append(writer.inner_mut());
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<FinishState> {
        match self.file.take() {
            Some(_) => Ok(FinishState::Done),
            None => Err(OutputError::NoResult { format: Format::Parquet }),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use datafusion::arrow::array::{ArrayRef, BinaryArray};
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    /// Bytes that do not compress: xorshift (Marsaglia 2003).
    fn noise(state: &mut u64, length: usize) -> Vec<u8> {
        let mut next = || {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            state.to_le_bytes()
        };
        (0..length / 8).flat_map(|_| next()).collect()
    }

    #[test]
    fn wide_rows_end_a_row_group_early() {
        let mut state = 1;
        let mut batch = || {
            let rows: Vec<Vec<u8>> = (0..16).map(|_| noise(&mut state, 16 << 10)).collect();
            RecordBatch::try_from_iter([("b", Arc::new(BinaryArray::from_iter_values(rows)) as ArrayRef)]).unwrap()
        };
        // 16 batches of 256 KB, by the encoded size and by the memory that is taken.
        for (group_bytes, group_memory) in [(1 << 20, usize::MAX), (usize::MAX, 1 << 20)] {
            let mut sink = ParquetSink { group_bytes, group_memory, ..ParquetSink::new(usize::MAX) };
            let mut out = Vec::new();
            sink.begin_section(None, &batch().schema(), &mut out).unwrap();
            for _ in 0..16 {
                sink.write(&batch(), &mut out).unwrap();
            }
            assert!(out.len() > 2 << 20, "ended row groups are handed on");
            sink.end_section(&mut out).unwrap();
            let read = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(out)).unwrap();
            assert_eq!(read.metadata().file_metadata().num_rows(), 256);
            let groups = read.metadata().num_row_groups();
            assert!((3..=8).contains(&groups), "{groups}");
        }
    }
}
