//! What DataFusion's own CSV source does with such files. A test here that fails says that DataFusion has mended one of
//! the reasons for which this module exists.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::prelude::{CsvReadOptions, DataFrame, SessionContext};

/// Reads a folder of files as stock DataFusion does.
async fn stock(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<DataFrame>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let options = CsvReadOptions::new().newlines_in_values(true);
    let read = SessionContext::new().read_csv(folder.path().display().to_string(), options).await;
    (folder, read)
}

async fn column(frame: DataFrame) -> Vec<i64> {
    let batches = frame.collect().await.unwrap();
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// apache/datafusion#4918
#[tokio::test]
async fn stock_files_are_read_by_the_position_of_their_columns() {
    let (_folder, read) = stock(&[("a.csv", "a,b\n1,10\n"), ("b.csv", "b,a\n20,2\n")]).await;
    let mut values = column(read.unwrap().select_columns(&["a"]).unwrap()).await;
    values.sort_unstable();
    assert_eq!(values, [1, 20], "by name these are 1 and 2");
}

/// No issue was found; apache/arrow-rs#4217 infers such times on purpose.
#[tokio::test]
async fn stock_timestamps_lose_their_offset() {
    let (_folder, read) = stock(&[("a.csv", "at\n2025-01-01T10:00:00Z\n")]).await;
    let data_type = read.unwrap().schema().field(0).data_type().clone();
    assert!(matches!(data_type, DataType::Timestamp(_, None)), "{data_type}");
}

/// No issue was found: it is the documented inference.
#[tokio::test]
async fn stock_ids_become_numbers() {
    let (_folder, read) = stock(&[("a.csv", "a,b\n007412,32E0134\n")]).await;
    let read = read.unwrap();
    let types: Vec<DataType> = read.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, [DataType::Int64, DataType::Float64]);
}
