//! Parquet with zstd level 1 and statistics for every page and column.
//!
//! A row group ends at 1,048,576 rows or about 128 MB, whichever is first, so that wide rows do not fill the memory.
//! Dictionary columns keep their type; runs are written as plain values; what Parquet has no type for (unions, intervals
//! with nanoseconds, empty structs) is text. A column name that comes twice gets a number: `a`, `a_2`.

use datafusion::arrow::datatypes::{DataType, IntervalUnit, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::shape::{Fit, Shape, any_part, plain};
use super::{Format, OutputError, Progress, Result, Sink};

const GROUP_ROWS: usize = 1 << 20;
const GROUP_BYTES: usize = 128 << 20;

/// Memory of an unfinished row group with its dictionaries and pages, beyond which it is ended early.
const GROUP_MEMORY: usize = 256 << 20;

#[derive(Default)]
pub(super) struct ParquetSink {
    file: Option<(Shape, ArrowWriter<Vec<u8>>)>,
    rows: u64,
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
        || (data_type.is_nested() && any_part(data_type, &|part| matches!(part, DataType::Dictionary(..))))
    {
        Fit::As(plain(data_type))
    } else {
        Fit::Keep
    }
}

impl Sink for ParquetSink {
    fn begin_section(&mut self, _: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        let shape = Shape::new(Format::Parquet, schema, fit);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(failed)?))
            .set_created_by(concat!("cxql ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .set_statistics_enabled(EnabledStatistics::Page)
            .build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), shape.schema().clone(), Some(properties)).map_err(failed)?;
        out.append(writer.inner_mut());
        self.file = Some((shape, writer));
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let Some((shape, writer)) = &mut self.file else { return Ok(()) };
        writer.write(&shape.apply(batch, self.rows)?).map_err(failed)?;
        if writer.memory_size() > GROUP_MEMORY {
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

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<Progress> {
        match self.file.take() {
            Some(_) => Ok(Progress::Done),
            None => Err(OutputError::NoResult { format: Format::Parquet }),
        }
    }
}
