//! Files whose sizes are wrong or whose bytes are broken: an error that names the file, and never a panic.

use std::sync::Arc;

use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray, StringViewArray, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use rand::{Rng, SeedableRng};

use crate::program::Folder;

fn batch() -> RecordBatch {
    let labels: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let columns: [(&str, ArrayRef); 5] = [
        ("a", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("b", Arc::new(StringArray::from(vec![Some("alpha"), None, Some("gamma")]))),
        ("c", Arc::new(labels)),
        ("d", Arc::new(StringViewArray::from(vec!["a string of more than twelve bytes", "x", "y"]))),
        ("e", Arc::new(lists)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn arrow_file(batch: &RecordBatch, codec: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn arrow_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn parquet_file(batch: &RecordBatch) -> Vec<u8> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Reads a file with these bytes; the exit is 0 or an error that names the file.
fn read(folder: &Folder, name: &str, bytes: &[u8], what: &str) -> bool {
    folder.write(name, bytes);
    let ran = folder.cxql(&["query", &format!("select * from '{name}'"), "--memory", "1GB"]);
    let (code, text) = (ran.code, &ran.err);
    assert!(!text.contains("panicked") && !text.contains("a fault of"), "{what}: {text}");
    if code == 0 {
        return true;
    }
    assert!(code == 1 && text.contains(name), "{what}: {code} {text}");
    assert!(text.lines().count() < 4, "{what}: {text}");
    false
}

#[test]
fn arrow_files_in_both_formats_are_read() {
    let folder = Folder::new();
    for (name, bytes) in [
        ("a.arrow", arrow_file(&batch(), None)),
        ("b.arrow", arrow_file(&batch(), Some(CompressionType::LZ4_FRAME))),
        ("c.feather", arrow_file(&batch(), Some(CompressionType::ZSTD))),
        ("d.arrow", arrow_stream(&batch())),
    ] {
        folder.write(name, bytes);
        let ran = folder.cxql(&["query", &format!("select e, c, a, d from '{name}' where a < 3"), "-f", "csv"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(ran.out().lines().count(), 3, "{}", ran.out());
        assert!(ran.out().contains("a string of more than twelve bytes"), "{}", ran.out());
    }
}

#[test]
fn a_declared_length_in_an_arrow_file_is_an_error() {
    let folder = Folder::new();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..2_000).map(|n| n / 50)));
    let batch = RecordBatch::try_from_iter([("a", numbers)]).unwrap();
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let whole = arrow_file(&batch, Some(codec));
        let length = 16_000i64.to_le_bytes();
        let at = whole.windows(8).position(|window| window == length).expect("the length of the values");
        for declared in [1i64 << 60, i64::MAX, 1 << 34, -2] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&declared.to_le_bytes());
            assert!(!read(&folder, "declared.arrow", &bytes, &format!("{codec:?} {declared}")));
        }
    }
}

#[test]
fn every_footer_length_of_an_arrow_file_is_read_or_refused() {
    let folder = Folder::new();
    let whole = arrow_file(&batch(), None);
    let at = whole.len() - 10;
    for length in [0, 1, 4, 8, 64, 1 << 10, 1 << 20, i32::MAX, -1, i32::MIN] {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        assert!(!read(&folder, "footer.arrow", &bytes, &length.to_string()));
    }
    for size in (0..whole.len()).step_by(whole.len() / 20) {
        assert!(!read(&folder, "short.arrow", &whole[..size], &format!("{size} bytes")));
    }
}

#[test]
fn every_footer_length_of_a_parquet_file_is_read_or_refused() {
    let folder = Folder::new();
    let whole = parquet_file(&batch());
    let at = whole.len() - 8;
    for length in [0, 1, 4, 8, 64, 1 << 10, 1 << 20, i32::MAX, -1, i32::MIN] {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        read(&folder, "footer.parquet", &bytes, &length.to_string());
    }
    for size in (0..whole.len()).step_by(whole.len() / 12) {
        assert!(!read(&folder, "short.parquet", &whole[..size], &format!("{size} bytes")));
    }
}

/// Changed bits, bytes and lengths of real files.
fn mutated(name: &str, whole: &[u8], seed: u64, rounds: usize) {
    let folder = Folder::new();
    let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
    let mut refused = 0;
    for round in 0..rounds {
        let mut bytes = whole.to_vec();
        // the structure stands at the end
        let from = if random.random_bool(0.6) { bytes.len() / 2 } else { 0 };
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(from..bytes.len());
            match random.random_range(0..3) {
                0 => bytes[at] ^= 1 << random.random_range(0..8),
                1 => bytes[at] = random.random(),
                _ if bytes.len() > at + 4 => {
                    let length = [i32::MAX, -1, 1 << 20, 0][random.random_range(0..4)];
                    bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
                }
                _ => bytes[at] = 0xff,
            }
        }
        refused += usize::from(!read(&folder, name, &bytes, &format!("{name}, seed {seed}, round {round}")));
    }
    assert!(refused > rounds / 10, "{refused} of {rounds}");
}

#[test]
fn mutated_arrow_files_are_read_or_refused() {
    mutated("m.arrow", &arrow_file(&batch(), None), 1, 60);
    mutated("z.arrow", &arrow_file(&batch(), Some(CompressionType::ZSTD)), 2, 30);
    mutated("s.arrow", &arrow_stream(&batch()), 3, 30);
}

#[test]
fn mutated_parquet_files_are_read_or_refused() {
    mutated("m.parquet", &parquet_file(&batch()), 4, 120);
}

#[test]
fn a_line_of_json_has_a_limit() {
    let folder = Folder::new();
    let text = format!("{{\"a\":1}}\n{{\"a\":2,\"b\":\"{}\"}}\n", "x".repeat(20 << 20));
    folder.write("long.ndjson", text);
    let ran = folder.cxql(&["query", "select a from 'long.ndjson'"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("long.ndjson, line 2: a line of more than 16 MB"), "{}", ran.err);
}

#[test]
fn two_columns_of_one_name_are_an_error_and_two_cases_are_two_columns() {
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let column = |value| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let of = |names: [&str; 3]| {
        let schema = Arc::new(Schema::new(names.map(field).to_vec()));
        RecordBatch::try_new(schema, vec![column(1), column(2), column(3)]).unwrap()
    };
    let folder = Folder::new();
    let twice = of(["id", "x", "id"]);
    folder.write("d.parquet", parquet_file(&twice));
    folder.write("d.arrow", arrow_file(&twice, None));
    folder.write("s.arrow", arrow_stream(&twice));
    folder.write("d.csv", "id,x,id\n1,2,3\n");
    folder.write("d.ndjson", "{\"id\":1,\"x\":2}\n{\"id\":1,\"x\":2,\"id\":3}\n");
    for name in ["d.parquet", "d.arrow", "s.arrow", "d.csv"] {
        folder.query(&format!("select * from '{name}'")).fails(1, &[name, "`id`", "columns 1 and 3"]);
    }
    folder.query("select x from 'd.ndjson'").fails(1, &["d.ndjson", "line 2", "`id`", "keys 1 and 3"]);
    // in a table over several files the file is named
    folder.write("data/t/1.parquet", parquet_file(&of(["id", "x", "y"])));
    folder.write("data/t/2.parquet", parquet_file(&twice));
    folder.query("select * from t").fails(1, &["t/2.parquet", "`id`", "columns 1 and 3"]);
    // a struct
    let pair = StructArray::from(vec![(Arc::new(field("k")), column(1)), (Arc::new(field("k")), column(2))]);
    let nested = RecordBatch::try_from_iter([("s", Arc::new(pair) as ArrayRef)]).unwrap();
    folder.write("n.parquet", parquet_file(&nested));
    folder.query("select * from 'n.parquet'").fails(1, &["n.parquet", "`s.k`", "fields 1 and 2"]);
    let cases = of(["Id", "id", "ID"]);
    folder.write("c.parquet", parquet_file(&cases));
    folder.write("c.arrow", arrow_file(&cases, None));
    folder.write("c.csv", "Id,id,ID\n1,2,3\n");
    folder.write("c.ndjson", "{\"Id\":1,\"id\":2,\"ID\":3}\n");
    for name in ["c.parquet", "c.arrow", "c.csv", "c.ndjson"] {
        let sql = format!("select \"Id\" as a, id as b, \"ID\" as c from '{name}' where id = 2 and \"ID\" = 3");
        assert_eq!(folder.query(&sql).out(), "a,b,c\n1,2,3\n", "{name}");
    }
}

#[test]
fn csv_headers_of_hundreds_of_kilobytes_are_read_to_their_last_name() {
    let folder = Folder::new();
    for size in [70_000, 200_000, 300_000, 1_200_000] {
        let count = size / 50;
        let names: Vec<String> = (0..count).map(|index| format!("{}_{index:06}", "n".repeat(42))).collect();
        let text = |end: &str| {
            let values: Vec<String> = (0..count).map(|index| index.to_string()).collect();
            format!("{}{end}{}{end}", names.join(","), values.join(","))
        };
        folder.write("x.csv", text("\n"));
        folder.write("w.csv", text("\r\n"));
        let last = count - 1;
        for name in ["x.csv", "w.csv"] {
            let sql = format!("select {} as a, {} as b from '{name}'", names[last], names[count / 2]);
            assert_eq!(folder.query(&sql).out(), format!("a,b\n{last},{}\n", count / 2), "{size} {name}");
        }
    }
}
