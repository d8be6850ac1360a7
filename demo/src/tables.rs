//! The seven tables: their columns, row builders, and the threads that write them as Parquet.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Float64Builder, Int32Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::{DemoError, TableSummary};

/// Rows per batch sent to a writer thread.
const BATCH_ROWS: usize = 32 * 1024;
/// Rows per Parquet row group.
const ROW_GROUP_ROWS: usize = 1024 * 1024;

/// The builder of a column.
trait Column {
    fn data_type() -> DataType;
    fn start() -> Self;
    fn take(&mut self) -> ArrayRef;
    /// The encoding of columns for which a dictionary does not pay; `None` for the default.
    fn encoding() -> Option<Encoding> {
        None
    }
}

macro_rules! column {
    ($builder:ty, $data_type:expr) => {
        impl Column for $builder {
            fn data_type() -> DataType {
                $data_type
            }
            fn start() -> Self {
                Self::new()
            }
            fn take(&mut self) -> ArrayRef {
                Arc::new(self.finish())
            }
        }
    };
}

column!(StringBuilder, DataType::Utf8);
column!(Int32Builder, DataType::Int32);
column!(Float64Builder, DataType::Float64);
column!(BooleanBuilder, DataType::Boolean);
column!(Date32Builder, DataType::Date32);

impl Column for TimestampMicrosecondBuilder {
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }
    fn start() -> Self {
        Self::new().with_timezone("UTC")
    }
    fn take(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }
    fn encoding() -> Option<Encoding> {
        Some(Encoding::DELTA_BINARY_PACKED)
    }
}

/// The buffered rows of a table.
pub(crate) trait Rows: Send {
    /// The table's name.
    const NAME: &'static str;
    /// Creates an empty buffer.
    fn start() -> Self;
    /// The schema.
    fn schema() -> Schema;
    /// The columns for which a dictionary does not pay, with their encodings.
    fn encodings() -> Vec<(&'static str, Encoding)>;
    /// Number of buffered rows.
    fn len(&self) -> usize;
    /// Takes the buffered rows as a batch.
    fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError>;
}

macro_rules! table {
    ($(#[$doc:meta])* $rows:ident, $name:literal, distinct [$($distinct:literal),*],
     $key:ident: $key_type:ty, $($column:ident: $type:ty),+ $(,)?) => {
        $(#[$doc])*
        pub(crate) struct $rows {
            pub(crate) $key: $key_type,
            $(pub(crate) $column: $type,)+
        }

        impl Rows for $rows {
            const NAME: &'static str = $name;
            fn start() -> Self {
                Self { $key: <$key_type>::start(), $($column: <$type>::start(),)+ }
            }
            fn schema() -> Schema {
                Schema::new(vec![
                    Field::new(stringify!($key), <$key_type>::data_type(), true),
                    $(Field::new(stringify!($column), <$type>::data_type(), true),)+
                ])
            }
            fn encodings() -> Vec<(&'static str, Encoding)> {
                let mut found = vec![$(($distinct, Encoding::PLAIN),)*];
                $(found.extend(<$type>::encoding().map(|encoding| (stringify!($column), encoding)));)+
                found
            }
            fn len(&self) -> usize {
                use arrow_array::builder::ArrayBuilder;
                self.$key.len()
            }
            fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
                let columns = vec![self.$key.take(), $(self.$column.take(),)+];
                RecordBatch::try_new(Arc::clone(schema), columns)
            }
        }
    };
}

table! {
    /// One contact on any channel.
    Interactions, "interactions", distinct ["interaction_id", "text"],
    interaction_id: StringBuilder,
    customer_id: StringBuilder,
    started_at: TimestampMicrosecondBuilder,
    ended_at: TimestampMicrosecondBuilder,
    channel: StringBuilder,
    direction: StringBuilder,
    queue: StringBuilder,
    team: StringBuilder,
    agent_id: StringBuilder,
    topic: StringBuilder,
    product: StringBuilder,
    wait_s: Int32Builder,
    talk_s: Int32Builder,
    hold_s: Int32Builder,
    wrap_s: Int32Builder,
    is_abandoned: BooleanBuilder,
    is_resolved: BooleanBuilder,
    transfer_count: Int32Builder,
    text: StringBuilder,
    language: StringBuilder,
}

table! {
    /// One answer to a survey.
    Surveys, "surveys", distinct ["survey_id", "interaction_id", "comment"],
    survey_id: StringBuilder,
    interaction_id: StringBuilder,
    customer_id: StringBuilder,
    responded_at: TimestampMicrosecondBuilder,
    kind: StringBuilder,
    score: Int32Builder,
    comment: StringBuilder,
    language: StringBuilder,
}

table! {
    /// One customer.
    Customers, "customers", distinct ["customer_id"],
    customer_id: StringBuilder,
    signed_up_at: TimestampMicrosecondBuilder,
    birth_date: Date32Builder,
    region: StringBuilder,
    city: StringBuilder,
    segment: StringBuilder,
    acquisition_cost: Float64Builder,
    churned_at: TimestampMicrosecondBuilder,
}

table! {
    /// One order.
    Orders, "orders", distinct ["order_id"],
    order_id: StringBuilder,
    customer_id: StringBuilder,
    ordered_at: TimestampMicrosecondBuilder,
    amount: Float64Builder,
}

table! {
    /// One click, page view or step.
    Events, "events", distinct ["event_id", "session_id"],
    event_id: StringBuilder,
    customer_id: StringBuilder,
    session_id: StringBuilder,
    event: StringBuilder,
    page: StringBuilder,
    occurred_at: TimestampMicrosecondBuilder,
    dwell_s: Int32Builder,
}

table! {
    /// One agent.
    Agents, "agents", distinct ["agent_id"],
    agent_id: StringBuilder,
    name: StringBuilder,
    team: StringBuilder,
    hired_at: TimestampMicrosecondBuilder,
}

table! {
    /// One period in one state.
    AgentStates, "agent_states", distinct [],
    agent_id: StringBuilder,
    state: StringBuilder,
    started_at: TimestampMicrosecondBuilder,
    ended_at: TimestampMicrosecondBuilder,
}

/// The file layout of a table: one file, or a folder of files in time order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// `name.parquet`
    File,
    /// `name/part-0001.parquet`, ... with about this many rows each
    Folder(u64),
}

/// The writer of a table: rows are buffered here and encoded on a separate thread.
pub(crate) struct Sink<R: Rows> {
    /// The row buffer.
    pub(crate) rows: R,
    schema: SchemaRef,
    /// `Some` until the table is finished, as is `writer`.
    batches: Option<SyncSender<RecordBatch>>,
    writer: Option<JoinHandle<Result<TableSummary, DemoError>>>,
}

impl<R: Rows> Sink<R> {
    /// Starts the writer thread of a table below `dir`.
    pub(crate) fn create(dir: &Path, layout: Layout) -> Result<Self, DemoError> {
        let schema: SchemaRef = Arc::new(R::schema());
        let (batches, received) = sync_channel(2);
        let files = Files::create::<R>(dir, layout, Arc::clone(&schema))?;
        let writer = thread::Builder::new()
            .name(format!("demo-{}", R::NAME))
            .spawn(move || files.write(&received))
            .map_err(|source| DemoError::Io { path: dir.to_path_buf(), source })?;
        Ok(Self { rows: R::start(), schema, batches: Some(batches), writer: Some(writer) })
    }

    /// Sends the buffered rows to the writer if there are enough. Returns false if the writer has failed;
    /// [`Sink::finish`] then returns the error.
    pub(crate) fn flush_if_full(&mut self) -> Result<bool, DemoError> {
        if self.rows.len() < BATCH_ROWS { Ok(true) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<bool, DemoError> {
        let batch = self.rows.take(&self.schema).map_err(|source| DemoError::Parquet {
            path: PathBuf::from(R::NAME),
            source: ParquetError::from(source),
        })?;
        Ok(self.batches.as_ref().is_some_and(|batches| batches.send(batch).is_ok()))
    }

    /// Writes the remaining rows and closes the files.
    pub(crate) fn finish(mut self) -> Result<TableSummary, DemoError> {
        if self.rows.len() > 0 {
            self.flush()?;
        }
        match self.join() {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(TableSummary { table: R::NAME, files: 0, rows: 0, bytes: 0 }),
        }
    }

    fn join(&mut self) -> Option<thread::Result<Result<TableSummary, DemoError>>> {
        drop(self.batches.take());
        self.writer.take().map(JoinHandle::join)
    }
}

impl<R: Rows> Drop for Sink<R> {
    /// Joins the writer thread, so that removing the folder after a failure does not race with it.
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// The files of a table, owned by the writer thread.
struct Files {
    table: &'static str,
    dir: PathBuf,
    layout: Layout,
    schema: SchemaRef,
    properties: WriterProperties,
    open: Option<(PathBuf, ArrowWriter<File>, u64)>,
    done: TableSummary,
}

impl Files {
    fn create<R: Rows>(dir: &Path, layout: Layout, schema: SchemaRef) -> Result<Self, DemoError> {
        let dir = match layout {
            Layout::File => dir.to_path_buf(),
            Layout::Folder(_) => {
                let folder = dir.join(R::NAME);
                fs::create_dir(&folder).map_err(|source| DemoError::Io { path: folder.clone(), source })?;
                folder
            }
        };
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        for (column, encoding) in R::encodings() {
            let path = ColumnPath::from(column);
            properties =
                properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
        }
        let done = TableSummary { table: R::NAME, files: 0, rows: 0, bytes: 0 };
        Ok(Self { table: R::NAME, dir, layout, schema, properties: properties.build(), open: None, done })
    }

    fn write(mut self, batches: &Receiver<RecordBatch>) -> Result<TableSummary, DemoError> {
        self.open()?;
        for batch in batches {
            let rows = batch.num_rows() as u64;
            self.open()?;
            let Some((path, writer, written)) = &mut self.open else { continue };
            writer.write(&batch).map_err(|source| DemoError::Parquet { path: path.clone(), source })?;
            *written += rows;
            self.done.rows += rows;
            if let Layout::Folder(limit) = self.layout
                && *written >= limit
            {
                self.close()?;
            }
        }
        self.close()?;
        Ok(self.done)
    }

    fn open(&mut self) -> Result<(), DemoError> {
        if self.open.is_none() {
            let name = match self.layout {
                Layout::File => format!("{}.parquet", self.table),
                Layout::Folder(_) => format!("part-{:04}.parquet", self.done.files + 1),
            };
            let path = self.dir.join(name);
            let file = File::create_new(&path).map_err(|source| DemoError::Io { path: path.clone(), source })?;
            let writer = ArrowWriter::try_new(file, Arc::clone(&self.schema), Some(self.properties.clone()))
                .map_err(|source| DemoError::Parquet { path: path.clone(), source })?;
            self.open = Some((path, writer, 0));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), DemoError> {
        if let Some((path, writer, _)) = self.open.take() {
            writer.close().map_err(|source| DemoError::Parquet { path: path.clone(), source })?;
            let size = fs::metadata(&path).map_err(|source| DemoError::Io { path: path.clone(), source })?.len();
            self.done.files += 1;
            self.done.bytes += size;
        }
        Ok(())
    }
}

/// "0000" to "9999", concatenated: ids are formatted four digits at a time.
static FOUR_DIGITS: LazyLock<String> =
    LazyLock::new(|| (0..10_000).fold(String::new(), |digits, number| digits + &format!("{number:04}")));

/// Appends an id such as `I00000042`.
pub(crate) fn append_id(column: &mut StringBuilder, prefix: &str, number: u64, width: usize) {
    // Writing into a string builder cannot fail.
    let _ = column.write_str(prefix);
    append_digits(column, &FOUR_DIGITS, number, width);
    column.append_value("");
}

fn append_digits(column: &mut StringBuilder, four_digits: &str, number: u64, width: usize) {
    let (high, low) = (number / 10_000, (number % 10_000) as usize);
    let mut digits = four_digits.get(4 * low..4 * low + 4).unwrap_or_default();
    if high > 0 || width > 4 {
        append_digits(column, four_digits, high, width.saturating_sub(4));
    } else {
        let padding = 4 - width.max(1).max(number.checked_ilog10().map_or(1, |log| log as usize + 1));
        digits = digits.get(padding..).unwrap_or_default();
    }
    let _ = column.write_str(digits);
}

/// Converts seconds to microseconds.
pub(crate) fn micros(seconds: i64) -> i64 {
    seconds * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    #[test]
    fn ids_are_padded_and_grow_beyond_the_padding() {
        let mut column = StringBuilder::new();
        append_id(&mut column, "I", 0, 8);
        append_id(&mut column, "I", 42, 8);
        append_id(&mut column, "C", 1_234_567_890, 8);
        append_id(&mut column, "X", u64::MAX, 4);
        append_id(&mut column, "A", 12_345, 4);
        append_id(&mut column, "A", 10_000, 6);
        append_id(&mut column, "A", 7, 2);
        let ids = column.finish();
        let ids: Vec<&str> = ids.iter().map(|id| id.unwrap()).collect();
        assert_eq!(ids, ["I00000000", "I00000042", "C1234567890", "X18446744073709551615", "A12345", "A010000", "A07"]);
    }

    #[test]
    fn a_folder_is_split_into_files_in_order() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut sink = Sink::<Agents>::create(dir.path(), Layout::Folder(40_000)).unwrap();
        for number in 0..100_000 {
            append_id(&mut sink.rows.agent_id, "A", number, 6);
            sink.rows.name.append_null();
            sink.rows.team.append_null();
            sink.rows.hired_at.append_value(micros(number as i64));
            assert!(sink.flush_if_full().unwrap());
        }
        let summary = sink.finish().unwrap();
        // Batches have 32768 rows: the first file is full after two of them.
        let rows: Vec<i64> = ["part-0001", "part-0002"]
            .iter()
            .map(|part| {
                let file = File::open(dir.path().join(format!("agents/{part}.parquet"))).unwrap();
                ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().file_metadata().num_rows()
            })
            .collect();
        assert_eq!(rows, [65_536, 34_464]);
        assert_eq!((summary.files, summary.rows), (2, 100_000));
    }

    #[test]
    fn a_writer_that_fails_says_so_at_the_end() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut sink = Sink::<Agents>::create(dir.path(), Layout::File).unwrap();
        fs::create_dir(dir.path().join("surveys.parquet")).unwrap();
        append_id(&mut sink.rows.agent_id, "A", 1, 4);
        let uneven = sink.finish();
        assert!(matches!(uneven, Err(DemoError::Parquet { .. })), "{uneven:?}");
        let taken = Sink::<Surveys>::create(dir.path(), Layout::File).unwrap().finish();
        assert!(matches!(taken, Err(DemoError::Io { .. })), "{taken:?}");
    }
}
