use std::io::Cursor;
use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::{Field, Schema};

use super::*;

/// The workbook that the sections make, by file name.
fn written(sections: &[(Option<&str>, RecordBatch)]) -> Result<zip::ZipArchive<Cursor<Vec<u8>>>> {
    let mut sink = XlsxSink::default();
    let mut out = Vec::new();
    for (title, batch) in sections {
        sink.begin_section(*title, &batch.schema(), &mut out)?;
        sink.write(batch, &mut out)?;
        sink.end_section(&mut out)?;
    }
    assert!(out.is_empty(), "nothing appears before the end");
    while sink.finish(&mut out)? == FinishState::More {}
    Ok(zip::ZipArchive::new(Cursor::new(out)).unwrap())
}

/// The workbook of one section with a chart.
fn drawn(chart: SheetChart, batch: &RecordBatch) -> zip::ZipArchive<Cursor<Vec<u8>>> {
    let mut sink = XlsxSink::new(vec![Some(chart)], None);
    let mut out = Vec::new();
    sink.begin_section(Some("Topics"), &batch.schema(), &mut out).unwrap();
    sink.write(batch, &mut out).unwrap();
    sink.end_section(&mut out).unwrap();
    while sink.finish(&mut out).unwrap() == FinishState::More {}
    zip::ZipArchive::new(Cursor::new(out)).unwrap()
}

fn chart_of(kind: cxql_chart::Kind, series: Option<&str>) -> SheetChart {
    SheetChart {
        kind,
        title: Some("By topic".into()),
        x: "topic".into(),
        y: vec!["n".into()],
        series: series.map(Into::into),
        form: cxql_chart::Form::Percent,
        is_stacked: false,
        is_horizontal: true,
        is_donut: false,
        has_trend: false,
    }
}

fn topics(teams: [&str; 3]) -> RecordBatch {
    let topic: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
    let team: ArrayRef = Arc::new(StringArray::from(teams.to_vec()));
    let n: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 0.25, 1.0]));
    RecordBatch::try_from_iter([("topic", topic), ("team", team), ("n", n)]).unwrap()
}

#[test]
fn a_chart_reads_the_cells_of_its_sheet() {
    let mut workbook = drawn(chart_of(cxql_chart::Kind::Bar, None), &topics(["x", "x", "y"]));
    let chart = part(&mut workbook, "xl/charts/chart1.xml");
    assert!(chart.contains("<c:barDir val=\"bar\"/>") && chart.contains("By topic"), "{chart}");
    assert!(chart.contains("Topics!$A$2:$A$4") && chart.contains("Topics!$C$2:$C$4"), "{chart}");
    assert!(chart.contains("formatCode=\"0%\""), "{chart}");
}

#[test]
fn each_series_is_a_range_where_its_rows_stand_together() {
    let mut workbook = drawn(chart_of(cxql_chart::Kind::Line, Some("team")), &topics(["x", "x", "y"]));
    let chart = part(&mut workbook, "xl/charts/chart1.xml");
    assert!(chart.contains("Topics!$C$2:$C$3") && chart.contains("Topics!$C$4"), "{chart}");
    let workbook = drawn(chart_of(cxql_chart::Kind::Line, Some("team")), &topics(["x", "y", "x"]));
    assert!(!workbook.file_names().any(|name| name.contains("chart")), "rows of a series are apart");
    let workbook = drawn(chart_of(cxql_chart::Kind::Heatmap, None), &topics(["x", "x", "y"]));
    assert!(!workbook.file_names().any(|name| name.contains("chart")), "Excel has no heat map");
}

fn part(workbook: &mut zip::ZipArchive<Cursor<Vec<u8>>>, name: &str) -> String {
    let mut text = String::new();
    workbook.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn column(name: &str, column: impl Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter([(name, Arc::new(column) as ArrayRef)]).unwrap()
}

/// What a cell holds between its tags, and the number format that it has.
fn cell(workbook: &mut zip::ZipArchive<Cursor<Vec<u8>>>, at: &str) -> (String, Option<String>) {
    let sheet = part(workbook, "xl/worksheets/sheet1.xml");
    let Some((_, rest)) = sheet.split_once(&format!("<c r=\"{at}\"")) else { return (String::new(), None) };
    let (attributes, rest) = rest.split_once('>').unwrap();
    let content = rest.split_once("</c>").unwrap().0.to_owned();
    let style =
        attributes.split_once("s=\"").map(|(_, style)| style.split_once('"').unwrap().0.parse::<usize>().unwrap());
    let styles = part(workbook, "xl/styles.xml");
    let attribute = |text: &str, name: &str| {
        text.split_once(&format!("{name}=\"")).map(|(_, rest)| rest.split_once('"').unwrap().0.to_owned())
    };
    let format = style.and_then(|style| {
        let cells = styles.split_once("<cellXfs").unwrap().1;
        let id = attribute(cells.split("<xf ").nth(style + 1).unwrap(), "numFmtId").unwrap();
        match id.as_str() {
            "0" => None,
            "1" => Some("0".to_owned()),
            // built into Excel too
            "3" => Some("#,##0".to_owned()),
            "4" => Some("#,##0.00".to_owned()),
            _ => attribute(styles.split_once(&format!("numFmtId=\"{id}\" formatCode")).unwrap().1, ""),
        }
    });
    (content, format)
}

fn values(column: impl Array + 'static) -> Vec<Value> {
    let column: ArrayRef = Arc::new(column);
    let column = flat(&column).unwrap();
    let cells = Cells::new(&column).unwrap();
    (0..column.len()).map(|row| cells.value(row).unwrap()).collect()
}

#[test]
fn days_are_numbered_as_excel_numbers_them() {
    // Excel: 1900-01-01 is 1, 1900-02-28 is 59, 1900-03-01 is 61, 2025-01-01 is 45658, 9999-12-31 is 2958465.
    // Days since 1970: 1900-01-01 is -25567, 1900-02-28 -25509, 1900-03-01 -25508, 2025-01-01 20089,
    // 9999-12-31 2932896.
    let days = Date32Array::from(vec![-25_567, -25_509, -25_508, 20_089, 2_932_896, -25_568, 2_932_897]);
    let found = values(days);
    for (found, expected) in found.iter().zip([1.0, 59.0, 61.0, 45_658.0, 2_958_465.0]) {
        assert_eq!(found, &Value::Date(expected));
    }
    assert_eq!(found[5], Value::Text("1899-12-31".to_owned()));
    // Years of more than four digits carry a sign in ISO 8601.
    assert_eq!(found[6], Value::Text("+10000-01-01".to_owned()));
}

#[test]
fn times_are_the_wall_clock_of_their_zone() {
    // 2025-01-01T12:00:00Z is 45658.5, and 14:00 by the clock of +02:00.
    let noon = 20_089 * 86_400 + 43_200;
    let half = 45_658.5;
    assert_eq!(values(TimestampSecondArray::from(vec![noon]).with_timezone("UTC")), [Value::DateTime(half, false)]);
    assert_eq!(values(TimestampSecondArray::from(vec![noon])), [Value::DateTime(half, false)]);
    assert_eq!(
        values(TimestampSecondArray::from(vec![noon]).with_timezone("+02:00")),
        [Value::DateTime(45_658.0 + 14.0 / 24.0, false)]
    );
    let millis = TimestampMillisecondArray::from(vec![noon * 1000 + 250]);
    assert_eq!(values(millis), [Value::DateTime(45_658.0 + 43_200.25 / 86_400.0, true)]);
    assert_eq!(values(Time64MicrosecondArray::from(vec![21_600_000_000])), [Value::Time(0.25, false)]);
    assert_eq!(values(DurationSecondArray::from(vec![129_600])), [Value::Duration(1.5)]);
    assert!(matches!(values(DurationSecondArray::from(vec![-1]))[..], [Value::Text(_)]));
}

#[test]
fn numbers_that_excel_would_change_are_text() {
    let exact = 999_999_999_999_999;
    assert_eq!(
        values(Int64Array::from(vec![
            Some(-5),
            Some(100_000_000_000),
            Some(exact),
            Some(exact + 2),
            Some(i64::MIN),
            None
        ])),
        [
            Value::Number(-5.0),
            Value::Whole(1e11),
            Value::Whole(999_999_999_999_999.0),
            Value::Text("1000000000000001".to_owned()),
            Value::Text("-9223372036854775808".to_owned()),
            Value::Null,
        ]
    );
    assert_eq!(values(UInt64Array::from(vec![u64::MAX])), [Value::Text("18446744073709551615".to_owned())]);
    assert_eq!(
        values(Float64Array::from(vec![0.1, f64::NAN, f64::INFINITY])),
        [Value::Number(0.1), Value::Text("NaN".to_owned()), Value::Text("inf".to_owned())]
    );
    assert_eq!(values(Float32Array::from(vec![0.1])), [Value::Number(0.1)]);
    let decimals = Decimal128Array::from(vec![123_450, 1_234_567_890_123_456_789]).with_precision_and_scale(30, 4);
    assert_eq!(values(decimals.unwrap()), [Value::Number(12.345), Value::Text("123456789012345.6789".to_owned())]);
}

#[test]
fn cells_headers_and_formats_are_in_the_sheet() {
    let moment = 20_089 * 86_400 + 43_200;
    let fields = ["at", "n", "t", "b", "day"];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampSecondArray::from(vec![Some(moment), None]).with_timezone("UTC")),
        Arc::new(Float64Array::from(vec![1.5, 2.0])),
        Arc::new(StringArray::from(vec!["=1+1 <&>", "漢字\u{1}"])),
        Arc::new(BooleanArray::from(vec![true, false])),
        Arc::new(Date32Array::from(vec![20_089, 20_090])),
    ];
    let batch = RecordBatch::try_from_iter(fields.into_iter().zip(columns)).unwrap();
    let mut workbook = written(&[(None, batch)]).unwrap();
    let book = &mut workbook;
    assert_eq!(cell(book, "A2"), ("<v>45658.5</v>".to_owned(), Some("yyyy-mm-dd hh:mm:ss".to_owned())));
    assert_eq!(cell(book, "A3"), (String::new(), None));
    assert_eq!(cell(book, "B2").0, "<v>1.5</v>");
    // A text, and no formula.
    assert_eq!(cell(book, "C2").0, "<is><t>=1+1 &lt;&amp;&gt;</t></is>");
    assert_eq!(cell(book, "C3").0, "<is><t>漢字_x0001_</t></is>");
    assert_eq!(cell(book, "D3").0, "<v>0</v>");
    assert_eq!(cell(book, "E2"), ("<v>45658</v>".to_owned(), Some("yyyy-mm-dd".to_owned())));
    let sheet = part(book, "xl/worksheets/sheet1.xml");
    assert!(sheet.contains("<autoFilter ref=\"A1:E3\""), "{sheet}");
    assert!(sheet.contains("ySplit=\"1\"") && sheet.contains("state=\"frozen\""));
    assert!(sheet.contains("<cols><col min=\"1\" max=\"1\" width=\"20."), "{sheet}");
    let bold = part(book, "xl/styles.xml");
    assert!(bold.contains("<b/>"));
}

#[test]
fn each_section_is_a_sheet_with_a_name_that_excel_takes() {
    let one = column("a", Int32Array::from(vec![1]));
    let long = "Contacts per queue: this month / the month before";
    let titles = [Some(long), Some(long), Some("History"), None, Some("'quoted'"), Some("[]"), Some(" \t")];
    let sections: Vec<_> = titles.iter().map(|title| (*title, one.clone())).collect();
    let mut workbook = written(&sections).unwrap();
    let book = part(&mut workbook, "xl/workbook.xml");
    let names: Vec<&str> = book.split("<sheet name=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
    assert_eq!(
        names,
        [
            "Contacts per queue- this month",
            "Contacts per queue- this mo (2)",
            "History_",
            "Section 4",
            "quoted",
            "--",
            "Section 7"
        ]
    );
    assert!(names.iter().all(|name| name.chars().count() <= 31));
}

#[test]
fn more_rows_than_a_sheet_has_is_an_error() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Null, true)]));
    let mut sink = XlsxSink::default();
    let mut out = Vec::new();
    sink.begin_section(Some("All"), &schema, &mut out).unwrap();
    let rows = |count| RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(NullArray::new(count)) as ArrayRef]);
    sink.write(&rows(1_048_575).unwrap(), &mut out).unwrap();
    let error = sink.write(&rows(1).unwrap(), &mut out).unwrap_err().to_string();
    assert!(error.contains("'All'") && error.contains("1048575 rows") && error.contains("LIMIT"), "{error}");
    assert!(out.is_empty());
}

#[test]
fn more_columns_than_a_sheet_has_is_an_error() {
    let fields: Vec<Field> = (0..16_385).map(|index| Field::new(format!("c{index}"), DataType::Int8, true)).collect();
    let error = XlsxSink::default().begin_section(None, &Arc::new(Schema::new(fields)), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, OutputError::SheetColumns { columns: 16_385, .. }), "{error}");
}

#[test]
fn a_text_longer_than_a_cell_is_named_with_row_and_column() {
    let fits = "漢".repeat(32_767);
    let long = "x".repeat(32_768);
    written(&[(None, column("comment", StringArray::from(vec![fits.as_str()])))]).unwrap();
    let error = written(&[(None, column("comment", StringArray::from(vec!["", long.as_str()])))]).unwrap_err();
    assert!(matches!(&error, OutputError::CellText { row: 2, length: 32_768, .. }), "{error}");
    assert!(error.to_string().contains("left(comment, 32767)"), "{error}");
}

#[test]
fn an_empty_section_has_its_header() {
    let mut workbook = written(&[(Some("None"), column("a", Int32Array::from(vec![1])).slice(0, 0))]).unwrap();
    assert_eq!(cell(&mut workbook, "A1").0, "<is><t>a</t></is>");
    assert!(part(&mut workbook, "xl/worksheets/sheet1.xml").contains("<autoFilter ref=\"A1\""));
}

#[test]
fn the_name_of_a_column_gives_the_format_of_its_numbers() {
    let ratio: ArrayRef = Arc::new(Float64Array::from(vec![0.761]));
    let count: ArrayRef = Arc::new(Int64Array::from(vec![12_345]));
    let seconds: ArrayRef = Arc::new(Float64Array::from(vec![435.706]));
    let whole: ArrayRef = Arc::new(Int32Array::from(vec![20]));
    let other: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
    let columns = [("fcr_ratio", ratio), ("contact_count", count), ("aht_s", seconds), ("wait_s", whole), ("n", other)];
    let mut workbook = written(&[(None, RecordBatch::try_from_iter(columns).unwrap())]).unwrap();
    let mut format = |at: &str| cell(&mut workbook, at).1;
    // 10 is the built-in 0.00%, so that 0.0% has a number of its own; 3 is the built-in #,##0
    assert_eq!(format("A2").as_deref(), Some("0.0%"));
    assert!(format("B2").is_some() && format("C2").as_deref() == Some("#,##0.0"));
    assert_eq!((format("D2"), format("E2")), (None, None));
}

#[test]
fn a_mean_of_counts_keeps_its_decimals() {
    // 0.4615 contacts in an hour are not 0
    let mut workbook = written(&[(None, column("mean_contact_count", Float64Array::from(vec![0.4615])))]).unwrap();
    assert_eq!(cell(&mut workbook, "A2").1.as_deref(), Some("#,##0.00"));
}

#[test]
fn values_beside_a_unit_have_its_format() {
    let unit: ArrayRef = Arc::new(StringArray::from(vec!["ratio", "seconds", "count", "score"]));
    let number = |first: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![first, 435.7, 1583.0, 4.67])) };
    let columns = [("unit", unit), ("value", number(0.761)), ("difference", number(0.02)), ("p_value", number(0.03))];
    let mut workbook = written(&[(None, RecordBatch::try_from_iter(columns).unwrap())]).unwrap();
    let mut format = |at: &str| cell(&mut workbook, at).1;
    for column in ["B", "C"] {
        let formats: Vec<Option<String>> = (2..=5).map(|row| format(&format!("{column}{row}"))).collect();
        assert_eq!(formats, [Some("0.0%".into()), Some("#,##0.0".into()), Some("#,##0".into()), None], "{column}");
    }
    assert_eq!((format("D2"), format("D3")), (None, None));
}

#[test]
fn the_last_sheet_says_what_the_others_are() {
    let rows = |sheets: &[(String, SchemaRef)]| {
        let names: Vec<String> =
            sheets.iter().map(|(name, schema)| format!("{name}: {}", schema.field(0).name())).collect();
        vec![AboutRow::Heading("What".into()), AboutRow::Cells(names), AboutRow::Cells(vec!["x".repeat(MAX_TEXT + 5)])]
    };
    let about = AboutSheet { name: "About".into(), rows: Box::new(rows) };
    let mut sink = XlsxSink::new(vec![], Some(about));
    let mut out = Vec::new();
    // a section that is called like the sheet keeps its name
    for title in ["By topic", "About"] {
        let batch = topics(["x", "x", "y"]);
        sink.begin_section(Some(title), &batch.schema(), &mut out).unwrap();
        sink.write(&batch, &mut out).unwrap();
        sink.end_section(&mut out).unwrap();
    }
    while sink.finish(&mut out).unwrap() == FinishState::More {}
    let mut workbook = zip::ZipArchive::new(Cursor::new(out)).unwrap();
    let names = part(&mut workbook, "xl/workbook.xml");
    let at = |name: &str| names.find(&format!("name=\"{name}\"")).unwrap();
    assert!(at("By topic") < at("About") && at("About") < at("About (2)"), "{names}");
    let texts = part(&mut workbook, "xl/sharedStrings.xml");
    assert!(texts.contains("By topic: topic") && texts.contains("About: topic"), "{texts}");
}
