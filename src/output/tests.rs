use std::io::Cursor;
use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::*;
use datafusion::arrow::ipc::reader::FileReader;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::*;

/// A section: its title and its batches, of which the first gives the schema.
type Section<'a> = (Option<&'a str>, Vec<RecordBatch>);

fn options(sections: usize) -> OutputOptions {
    OutputOptions { sections, ..OutputOptions::default() }
}

/// Opens a writer for rows alone.
async fn open(format: Format, path: PathBuf, sections: usize) -> Result<Writer> {
    let presentation = crate::render::Presentation::default();
    crate::render::open_writer(format, Destination::File(path), options(sections), presentation).await
}

async fn write(format: Format, sections: &[Section<'_>]) -> Result<(Vec<u8>, Written)> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("result");
    let mut writer = open(format, path.clone(), sections.len()).await?;
    for (title, batches) in sections {
        writer.begin_section(*title, batches[0].schema()).await?;
        for batch in batches {
            writer.write(batch).await?;
        }
    }
    let written = writer.end().await?;
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(written.bytes, bytes.len() as u64);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the result is left");
    Ok((bytes, written))
}

async fn text(format: Format, sections: &[Section<'_>]) -> String {
    String::from_utf8(write(format, sections).await.unwrap().0).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn array<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

fn strings(values: &[Option<&str>]) -> ArrayRef {
    array(StringArray::from(values.to_vec()))
}

/// Micros of 2025-01-01T00:00:00Z: 20,089 days.
const NEW_YEAR: i64 = 20_089 * 86_400 * 1_000_000;

/// Columns as a report has them, with the values that make trouble in text.
fn awkward() -> RecordBatch {
    batch(vec![
        ("id", array(Int64Array::from(vec![Some(1), None, Some(i64::MAX)]))),
        ("text", strings(&[Some("a,\"b\"\n漢"), None, Some("")])),
        ("ratio", array(Float64Array::from(vec![Some(0.731_234_567_8), Some(f64::NAN), None]))),
        ("is_new", array(BooleanArray::from(vec![Some(true), Some(false), None]))),
        (
            "started_at",
            array(
                TimestampMicrosecondArray::from(vec![Some(NEW_YEAR), Some(NEW_YEAR + 500), None]).with_timezone("UTC"),
            ),
        ),
        ("day", array(Date32Array::from(vec![Some(20_089), None, Some(0)]))),
    ])
}

/// Every type of Arrow, three rows, the last of them NULL.
fn every_type() -> RecordBatch {
    let numbers = array(Int32Array::from(vec![Some(1), Some(2), None]));
    let to = |data_type: DataType| cast(&numbers, &data_type).unwrap();
    let texts = strings(&[Some("a|b"), Some("漢"), None]);
    let text_to = |data_type: DataType| cast(&texts, &data_type).unwrap();
    let nulls = || Some(NullBuffer::from(vec![true, true, false]));
    let mut columns: Vec<(String, ArrayRef)> = vec![("null".into(), array(NullArray::new(3)))];
    let mut add = |name: &str, column: ArrayRef| columns.push((name.to_owned(), column));
    add("boolean", to(DataType::Boolean));
    for data_type in [
        DataType::Int8,
        DataType::Int16,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal32(5, 2),
        DataType::Decimal64(12, 2),
        DataType::Decimal128(30, 3),
        DataType::Decimal256(50, 4),
        DataType::Date32,
        DataType::Time32(TimeUnit::Second),
        DataType::Time32(TimeUnit::Millisecond),
    ] {
        add(&format!("{data_type}"), to(data_type.clone()));
    }
    let wide = cast(&numbers, &DataType::Int64).unwrap();
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        for zone in [None, Some("UTC"), Some("+02:00")] {
            let data_type = DataType::Timestamp(unit, zone.map(Arc::from));
            add(&format!("{data_type}"), cast(&wide, &data_type).unwrap());
        }
        add(&format!("Duration {unit:?}"), cast(&wide, &DataType::Duration(unit)).unwrap());
    }
    add("Date64", cast(&wide, &DataType::Date64).unwrap());
    add("Time64us", cast(&wide, &DataType::Time64(TimeUnit::Microsecond)).unwrap());
    add("Time64ns", cast(&wide, &DataType::Time64(TimeUnit::Nanosecond)).unwrap());
    add("IntervalYearMonth", array(IntervalYearMonthArray::from(vec![Some(14), Some(0), None])));
    let day_time = |days| Some(IntervalDayTime::new(days, 1));
    add("IntervalDayTime", array(IntervalDayTimeArray::from(vec![day_time(1), day_time(2), None])));
    let nanos = |days| Some(IntervalMonthDayNano::new(1, days, 5));
    let month_day_nano = array(IntervalMonthDayNanoArray::from(vec![nanos(1), nanos(2), None]));
    add("IntervalMonthDayNano", Arc::clone(&month_day_nano));
    for data_type in [
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8)),
        DataType::RunEndEncoded(
            Arc::new(Field::new("run_ends", DataType::Int32, false)),
            Arc::new(Field::new("values", DataType::Utf8, true)),
        ),
    ] {
        add(&format!("{data_type}"), text_to(data_type.clone()));
    }
    add("Utf8", Arc::clone(&texts));
    let bytes = [Some(b"ab".as_slice()), Some(b"\x00\xff".as_slice()), None];
    add("FixedSizeBinary", array(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes.into_iter(), 2).unwrap()));
    // The NULL is in the dictionary and not in the keys.
    let null_value = DictionaryArray::new(Int32Array::from(vec![0, 0, 1]), strings(&[Some("x"), None]));
    add("Dictionary with NULL", array(null_value));
    let offsets = || OffsetBuffer::new(ScalarBuffer::from(vec![0, 1, 3, 3]));
    let item = |data_type: &DataType| Arc::new(Field::new("item", data_type.clone(), true));
    let list =
        |values: &ArrayRef| array(ListArray::new(item(values.data_type()), offsets(), Arc::clone(values), nulls()));
    add("List", list(&numbers));
    add("List of dictionary", list(&text_to(DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)))));
    add("List of interval", list(&month_day_nano));
    add("List of list", list(&list(&texts)));
    add("LargeList", cast(&list(&numbers), &DataType::LargeList(item(&DataType::Int32))).unwrap());
    let (offsets_view, sizes) = (ScalarBuffer::from(vec![0, 1, 3]), ScalarBuffer::from(vec![1, 2, 0]));
    add(
        "ListView",
        array(ListViewArray::new(item(&DataType::Int32), offsets_view, sizes, Arc::clone(&numbers), nulls())),
    );
    let pairs = array(Int32Array::from(vec![1, 2, 3, 4, 5, 6]));
    add("FixedSizeList", array(FixedSizeListArray::new(item(&DataType::Int32), 2, pairs, nulls())));
    let fields = Fields::from(vec![Field::new("n", DataType::Int32, true), Field::new("t", DataType::Utf8, true)]);
    add("Struct", array(StructArray::new(fields.clone(), vec![Arc::clone(&numbers), Arc::clone(&texts)], nulls())));
    add("Empty struct", array(StructArray::new_empty_fields(3, nulls())));
    let map = |key: ArrayRef| {
        let fields = Fields::from(vec![
            Field::new("keys", key.data_type().clone(), false),
            Field::new("values", DataType::Int32, true),
        ]);
        let entries = StructArray::new(fields.clone(), vec![key, Arc::clone(&numbers)], None);
        let entry = Arc::new(Field::new("entries", DataType::Struct(fields), false));
        array(MapArray::new(entry, offsets(), entries, nulls(), false))
    };
    add("Map by text", map(strings(&[Some("a"), Some("b"), Some("c")])));
    add("Map by number", map(array(Int64Array::from(vec![7, 8, 9]))));
    let union_fields = UnionFields::try_new(
        vec![0, 1],
        vec![Field::new("n", DataType::Int32, true), Field::new("t", DataType::Utf8, true)],
    )
    .unwrap();
    let (types, at) = (ScalarBuffer::from(vec![0i8, 1, 1]), ScalarBuffer::from(vec![0, 0, 2]));
    let children = vec![Arc::clone(&numbers), Arc::clone(&texts)];
    add("Union", array(UnionArray::try_new(union_fields, types, Some(at), children).unwrap()));
    batch(columns.iter().map(|(name, column)| (name.as_str(), Arc::clone(column))).collect())
}

/// The formats that hold rows.
fn tables() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| *format != Format::Png)
}

#[tokio::test]
async fn a_picture_without_a_chart_is_refused() {
    let error = write(Format::Png, &[(None, vec![awkward()])]).await.unwrap_err();
    assert!(matches!(error, OutputError::NoChart { .. }), "{error}");
}

#[test]
fn formats_are_found_by_name_and_by_ending() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        for ending in format.endings() {
            assert_eq!(Format::from_path(format!("s3://bucket/a.b/x.{}", ending.to_uppercase())).unwrap(), format);
        }
    }
    assert_eq!("JSONL".parse::<Format>().unwrap(), Format::Ndjson);
    let error = "parqet".parse::<Format>().unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown format 'parqet', did you mean 'parquet'?; \
         the formats are table, csv, tsv, json, ndjson, markdown, parquet, arrow, xlsx, html, png"
    );
    assert!(!"yaml".parse::<Format>().unwrap_err().to_string().contains("did you mean"));
    let error = Format::from_path("out.docx").unwrap_err().to_string();
    assert!(error.contains("'out.docx'") && error.contains(".parquet") && error.contains("-f"), "{error}");
    assert!(Format::from_path("csv").is_err());
}

#[test]
fn a_binary_format_on_a_terminal_has_a_remedy() {
    let binary = [Format::Parquet, Format::Arrow, Format::Xlsx, Format::Png];
    assert!(Format::ALL.iter().all(|format| format.is_binary() == binary.contains(format)));
    let error = OutputError::BinaryToTerminal { format: Format::Xlsx }.to_string();
    assert!(error.contains("xlsx is a binary format") && error.contains("-o NAME.xlsx"), "{error}");
}

#[tokio::test]
async fn a_writer_can_be_used_by_any_task() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.xlsx");
    let task = tokio::spawn(async move {
        let mut writer = open(Format::Xlsx, path, 1).await?;
        writer.begin_section(Some("One"), awkward().schema()).await?;
        writer.write(&awkward()).await?;
        writer.end().await
    });
    assert_eq!(task.await.unwrap().unwrap().rows, 3);
}

#[tokio::test]
async fn csv_tells_null_from_empty_and_quotes_what_it_must() {
    // By RFC 4180; NULL and "" as PostgreSQL's COPY writes them.
    assert_eq!(
        text(Format::Csv, &[(None, vec![awkward()])]).await,
        "id,text,ratio,is_new,started_at,day\n\
         1,\"a,\"\"b\"\"\n漢\",0.7312345678,true,2025-01-01T00:00:00Z,2025-01-01\n\
         ,,NaN,false,2025-01-01T00:00:00.000500Z,\n\
         9223372036854775807,\"\",,,,1970-01-01\n"
    );
    let tsv =
        text(Format::Tsv, &[(None, vec![batch(vec![("a", strings(&[Some("x\ty,z")])), ("b", strings(&[None]))])])])
            .await;
    assert_eq!(tsv, "a\tb\n\"x\ty,z\"\t\n");
    // No empty line, which readers would skip.
    assert_eq!(text(Format::Csv, &[(None, vec![batch(vec![("a", strings(&[None]))])])]).await, "a\n\"\"\n");
}

#[tokio::test]
async fn csv_is_read_back_by_arrow() {
    let written = awkward();
    let bytes = text(Format::Csv, &[(None, vec![written.clone(), written.clone()])]).await;
    let mut reader = datafusion::arrow::csv::ReaderBuilder::new(written.schema())
        .with_header(true)
        .build(Cursor::new(bytes))
        .unwrap();
    let read = reader.next().unwrap().unwrap();
    assert_eq!(read.num_rows(), 6);
    for column in [0, 3, 4, 5] {
        assert_eq!(read.column(column).slice(0, 3).as_ref(), written.column(column).as_ref(), "column {column}");
        assert_eq!(read.column(column).slice(3, 3).as_ref(), written.column(column).as_ref(), "column {column}");
    }
}

#[tokio::test]
async fn json_has_every_key_and_no_nan() {
    let first = r#"{"id":1,"text":"a,\"b\"\n漢","ratio":0.7312345678,"is_new":true,"started_at":"2025-01-01T00:00:00Z","day":"2025-01-01"}"#;
    let second =
        r#"{"id":null,"text":null,"ratio":null,"is_new":false,"started_at":"2025-01-01T00:00:00.000500Z","day":null}"#;
    let third =
        r#"{"id":9223372036854775807,"text":"","ratio":null,"is_new":null,"started_at":null,"day":"1970-01-01"}"#;
    let section = [(None, vec![awkward().slice(0, 2), awkward().slice(2, 1), awkward().slice(0, 0)])];
    assert_eq!(text(Format::Ndjson, &section).await, format!("{first}\n{second}\n{third}\n"));
    assert_eq!(text(Format::Json, &section).await, format!("[\n{first},\n{second},\n{third}\n]\n"));
}

#[tokio::test]
async fn ndjson_is_read_back_by_arrow() {
    let written = awkward();
    let bytes = text(Format::Ndjson, &[(None, vec![written.clone()])]).await;
    let mut reader = datafusion::arrow::json::ReaderBuilder::new(written.schema()).build(Cursor::new(bytes)).unwrap();
    let read = reader.next().unwrap().unwrap();
    for column in [0, 1, 3, 4, 5] {
        assert_eq!(read.column(column), written.column(column), "column {column}");
    }
}

#[tokio::test]
async fn json_of_several_sections_is_keyed_by_title() {
    let one = batch(vec![("a", array(Int32Array::from(vec![1, 2]))), ("a", array(Int32Array::from(vec![3, 4])))]);
    let json = text(
        Format::Json,
        &[
            (Some("By \"month\""), vec![one.clone()]),
            (None, vec![one.slice(0, 0)]),
            (Some("By \"month\""), vec![one.slice(1, 1)]),
        ],
    )
    .await;
    assert_eq!(
        json,
        "{\n\"By \\\"month\\\"\": [\n{\"a\":1,\"a_2\":3},\n{\"a\":2,\"a_2\":4}\n],\n\
         \"section_2\": [],\n\
         \"By \\\"month\\\"_2\": [\n{\"a\":2,\"a_2\":4}\n]\n}\n"
    );
}

#[tokio::test]
async fn markdown_is_for_people_and_keeps_its_rows_whole() {
    let markdown =
        text(Format::Markdown, &[(Some("Über *all*"), vec![awkward()]), (None, vec![awkward().slice(0, 0)])]).await;
    assert_eq!(
        markdown,
        "## Über \\*all\\*\n\n\
         | id | text | ratio | is_new | started_at | day |\n\
         | ---: | --- | ---: | --- | --- | --- |\n\
         | 1 | a,\"b\"<br>漢 | 0.7312 | true | 2025-01-01 00:00:00 | 2025-01-01 |\n\
         | NULL | NULL | NaN | false | 2025-01-01 00:00:00.000500 | NULL |\n\
         | 9223372036854775807 |  | NULL | NULL | NULL | 1970-01-01 |\n\
         \n\
         | id | text | ratio | is_new | started_at | day |\n\
         | ---: | --- | ---: | --- | --- | --- |\n"
    );
}

#[tokio::test]
async fn every_type_is_written_in_every_format() {
    let all = every_type();
    for format in tables() {
        let (bytes, written) = write(format, &[(None, vec![all.clone(), all.slice(1, 2)])]).await.unwrap();
        assert_eq!(
            written,
            Written { rows: 5, bytes: bytes.len() as u64, reader_state: ReaderState::Open },
            "{format}"
        );
        let (bytes, written) = write(format, &[(None, vec![all.slice(0, 0)])]).await.unwrap();
        assert_eq!(written.rows, 0);
        assert!(format == Format::Ndjson || !bytes.is_empty(), "{format}");
    }
}

#[tokio::test]
async fn the_null_row_is_null_for_every_type() {
    let all = every_type();
    let csv = text(Format::Csv, &[(None, vec![all.slice(2, 1)])]).await;
    let row = csv.lines().nth(1).unwrap();
    assert_eq!(row, ",".repeat(all.num_columns() - 1));
    let json = text(Format::Ndjson, &[(None, vec![all.slice(2, 1)])]).await;
    assert_eq!(json.matches(":null").count(), all.num_columns(), "{json}");
}

#[tokio::test]
async fn parquet_is_read_back_with_its_types() {
    let all = every_type();
    let (bytes, _) = write(Format::Parquet, &[(None, vec![all.clone(), all.clone()])]).await.unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    let group = builder.metadata().row_group(0).column(1).clone();
    assert!(matches!(group.compression(), datafusion::parquet::basic::Compression::ZSTD(_)));
    assert!(group.statistics().is_some());
    let read = builder.build().unwrap().next().unwrap().unwrap();
    assert_eq!(read.num_rows(), 6);
    let as_text = ["IntervalMonthDayNano", "List of interval", "Empty struct", "Union"];
    for (column, field) in all.columns().iter().zip(all.schema().fields()) {
        let name = field.name().as_str();
        let found = read.column_by_name(name).unwrap();
        if as_text.contains(&name) {
            assert_eq!(found.data_type(), &DataType::Utf8, "{name}");
        } else if name.starts_with("RunEndEncoded") || name.ends_with("View") || name == "List of dictionary" {
            assert_eq!(found.data_type(), &shape::plain(field.data_type()), "{name}");
        } else {
            assert_eq!(found.data_type(), column.data_type(), "{name}");
            // Where a dictionary has its NULL is its own affair.
            let values = |column: &ArrayRef| cast(column, &shape::plain(column.data_type())).unwrap();
            assert_eq!(&values(&found.slice(0, 3)), &values(column), "{name}");
        }
    }
}

#[tokio::test]
async fn csv_names_each_column_once() {
    let twice = batch(vec![("d", array(Int32Array::from(vec![1]))), ("d", array(Int32Array::from(vec![2])))]);
    let (bytes, _) = write(Format::Csv, &[(None, vec![twice])]).await.unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), "d,d_2\n1,2\n");
}

#[tokio::test]
async fn arrow_is_read_back_though_dictionaries_change() {
    let dictionary = |value: &str| {
        let column = DictionaryArray::new(Int32Array::from(vec![0, 0]), strings(&[Some(value)]));
        batch(vec![("d", array(column)), ("d", array(Int32Array::from(vec![1, 2])))])
    };
    let (bytes, _) = write(Format::Arrow, &[(None, vec![dictionary("x"), dictionary("y")])]).await.unwrap();
    let read: Vec<_> = FileReader::try_new(Cursor::new(bytes), None).unwrap().map(|batch| batch.unwrap()).collect();
    let texts: Vec<_> = read.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten()).collect();
    assert_eq!(texts, ["x", "x", "y", "y"]);
    assert_eq!(read[0].schema().field(1).name(), "d_2");

    let all = every_type();
    let (bytes, _) = write(Format::Arrow, &[(None, vec![all.clone()])]).await.unwrap();
    let read = FileReader::try_new(Cursor::new(bytes), None).unwrap().next().unwrap().unwrap();
    for (column, found) in all.columns().iter().zip(read.columns()) {
        let expected = cast(column, &shape::plain(column.data_type())).unwrap();
        assert_eq!(&expected, found);
    }
}

#[tokio::test]
async fn an_empty_result_keeps_its_schema() {
    let empty = awkward().slice(0, 0);
    let section = [(None, vec![empty.clone()])];
    assert_eq!(text(Format::Csv, &section).await, "id,text,ratio,is_new,started_at,day\n");
    assert_eq!(text(Format::Json, &section).await, "[]\n");
    assert_eq!(text(Format::Ndjson, &section).await, "");
    let (bytes, _) = write(Format::Parquet, &section).await.unwrap();
    let read = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    assert_eq!(read.schema().fields(), empty.schema().fields());
    let (bytes, _) = write(Format::Arrow, &section).await.unwrap();
    let read = FileReader::try_new(Cursor::new(bytes), None).unwrap();
    assert_eq!(read.schema().fields(), empty.schema().fields());
}

#[tokio::test]
async fn no_section_at_all_is_an_error_where_a_schema_is_needed() {
    assert_eq!(text(Format::Csv, &[]).await, "");
    assert_eq!(text(Format::Json, &[]).await, "[]\n");
    for format in [Format::Parquet, Format::Arrow, Format::Xlsx] {
        assert!(matches!(write(format, &[]).await, Err(OutputError::NoResult { .. })), "{format}");
    }
}

#[tokio::test]
async fn several_sections_are_refused_before_any_work() {
    let folder = TempDir::new().unwrap();
    for format in [Format::Csv, Format::Tsv, Format::Ndjson, Format::Parquet, Format::Arrow] {
        let path = folder.path().join("result");
        let error = open(format, path.clone(), 2).await.unwrap_err();
        assert!(error.to_string().contains("--section N"), "{error}");
        // Also where they were not announced.
        let mut writer = open(format, path.clone(), 1).await.unwrap();
        writer.begin_section(None, awkward().schema()).await.unwrap();
        let error = writer.begin_section(None, awkward().schema()).await.unwrap_err();
        assert!(matches!(error, OutputError::Sections { sections: 2, .. }), "{error}");
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_batch_without_columns_still_has_rows() {
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    let none = RecordBatch::try_new_with_options(schema, vec![], &options).unwrap();
    for format in tables() {
        let (_, written) = write(format, &[(None, vec![none.clone()])]).await.unwrap();
        assert_eq!(written.rows, 2, "{format}");
    }
    assert_eq!(text(Format::Ndjson, &[(None, vec![none.clone()])]).await, "{}\n{}\n");
    assert_eq!(text(Format::Table, &[(None, vec![none])]).await, "(2 rows)\n");
}

#[tokio::test]
async fn a_date_beyond_the_calendar_is_named_with_row_and_column() {
    let far = batch(vec![("day", array(Date32Array::from(vec![0, i32::MAX])))]);
    for format in [Format::Csv, Format::Markdown, Format::Json, Format::Ndjson, Format::Xlsx] {
        let error = write(format, &[(None, vec![far.clone()])]).await.unwrap_err();
        assert!(error.to_string().starts_with("row 2 of column 'day' cannot be written as"), "{format}: {error}");
    }
    // People still see the rest.
    assert!(text(Format::Table, &[(None, vec![far])]).await.contains("1970-01-01"));
}

#[tokio::test]
async fn after_an_error_the_result_cannot_be_ended() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.csv");
    let far = batch(vec![("day", array(Date32Array::from(vec![i32::MAX])))]);
    let mut writer = open(Format::Csv, path, 1).await.unwrap();
    writer.write(&far.slice(0, 0)).await.unwrap();
    writer.write(&far).await.unwrap();
    assert!(matches!(writer.write(&far).await, Err(OutputError::Value { row: 1, .. })));
    // Before the writer is dropped, which a program that ends at once may not do.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(matches!(writer.write(&far).await, Err(OutputError::Torn { .. })));
    assert!(matches!(writer.end().await, Err(OutputError::Torn { .. })));
}

#[test]
fn wide_batches_are_encoded_in_pieces() {
    let long = "x".repeat(64 * 1024);
    let wide = batch(vec![("t", array(StringArray::from(vec![long.as_str(); 1024])))]);
    let pieces = writer::slices(&wide);
    assert!(pieces.len() >= 8, "{}", pieces.len());
    assert_eq!(pieces.iter().map(RecordBatch::num_rows).sum::<usize>(), 1024);
    assert_eq!(writer::slices(&awkward()).len(), 1);
    assert_eq!(writer::slices(&awkward().slice(0, 0)).len(), 0);
}

/// Expected values: PostgreSQL 15; in JSON ISO 8601.
#[tokio::test]
async fn durations_are_written_as_people_write_them() {
    let durations = DurationMillisecondArray::from(vec![Some(183_600_000), Some(-245_250), None]);
    let intervals =
        IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(14, -3, 1_000_000_000)), None, None]);
    let list = ListArray::from_iter_primitive::<datafusion::arrow::datatypes::DurationSecondType, _, _>([
        Some(vec![Some(90), None]),
        None,
        None,
    ]);
    let rows = batch(vec![("d", array(durations)), ("i", array(intervals)), ("l", array(list))]);
    let csv = text(Format::Csv, &[(None, vec![rows.clone()])]).await;
    let expected = "d,i,l\n2 days 03:00:00,1 year 2 mons -3 days +00:00:01,\"[00:01:30, NULL]\"\n-00:04:05.25,,\n,,\n";
    assert_eq!(csv, expected);
    let markdown = text(Format::Markdown, &[(None, vec![rows.clone()])]).await;
    assert!(markdown.contains("| 2 days 03:00:00 | 1 year 2 mons -3 days +00:00:01 |"), "{markdown}");
    let json = text(Format::Ndjson, &[(None, vec![rows])]).await;
    assert!(json.contains("\"d\":\"PT183600S\"") && json.contains("\"i\":\"P1Y2M-3DT1S\""), "{json}");
}
