//! Files whose sizes are wrong or whose bytes are broken: an error that names the file, and never a panic.

use std::sync::Arc;

use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray, StringViewArray,
};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
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
