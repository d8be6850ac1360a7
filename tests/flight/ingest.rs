//! Tables that clients bring.

use std::sync::Arc;

use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Int64Type;
use futures::stream;
use tonic::{Code, Status};

use super::server::{Client, Served, query, sample, status};

pub(crate) fn rows(values: &[i64]) -> RecordBatch {
    RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]).unwrap()
}

pub(crate) async fn bring(
    client: &mut Client,
    table: &str,
    schema: Option<&str>,
    (missing, exists): (TableNotExistOption, TableExistsOption),
    batches: Vec<RecordBatch>,
) -> Result<i64, Status> {
    let command = CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: missing as i32,
            if_exists: exists as i32,
        }),
        table: table.to_owned(),
        schema: schema.map(str::to_owned),
        catalog: None,
        temporary: false,
        transaction_id: None,
        options: Default::default(),
    };
    client.execute_ingest(command, stream::iter(batches.into_iter().map(Ok))).await.map_err(status)
}

pub(crate) const CREATE: (TableNotExistOption, TableExistsOption) =
    (TableNotExistOption::Create, TableExistsOption::Fail);
pub(crate) const APPEND: (TableNotExistOption, TableExistsOption) =
    (TableNotExistOption::Fail, TableExistsOption::Append);
const REPLACE: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Replace);

pub(crate) async fn number(client: &mut Client, sql: &str) -> i64 {
    query(client, sql).await.unwrap().column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn nothing_is_taken_in_unless_it_is_allowed() {
    let served = Served::sample();
    let mut client = served.client().await;
    let error = bring(&mut client, "t", None, CREATE, vec![rows(&[1])]).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains("--allow-ingest"), "{error:?}");
}

#[tokio::test]
async fn a_table_is_made_appended_to_and_replaced() {
    let served = Served::start(&[], &["--data", &sample(), "--allow-ingest"]);
    let mut client = served.client().await;
    let error = bring(&mut client, "t", None, APPEND, vec![rows(&[1])]).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
    assert_eq!(bring(&mut client, "t", None, CREATE, vec![rows(&[1, 2]), rows(&[3])]).await.unwrap(), 3);
    assert_eq!(number(&mut client, "select sum(a) from scratch.t").await, 6);
    let error = bring(&mut client, "t", None, CREATE, vec![rows(&[9])]).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error:?}");
    assert_eq!(bring(&mut client, "t", Some("scratch"), APPEND, vec![rows(&[4])]).await.unwrap(), 1);
    assert_eq!(number(&mut client, "select sum(a) from scratch.t").await, 10);
    let other = RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).unwrap();
    let error = bring(&mut client, "t", None, APPEND, vec![other]).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error:?}");
    assert!(error.message().contains("`a` is bigint, got text"), "{error:?}");
    let wider = [("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef), ("b", Arc::new(Int64Array::from(vec![1])))];
    let error =
        bring(&mut client, "t", None, APPEND, vec![RecordBatch::try_from_iter(wider).unwrap()]).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error:?}");
    assert!(error.message().contains("1 columns are wanted, got 2"), "{error:?}");
    // what was refused has changed nothing
    assert_eq!(number(&mut client, "select sum(a) from scratch.t").await, 10);
    bring(&mut client, "t", None, REPLACE, vec![rows(&[7])]).await.unwrap();
    assert_eq!(number(&mut client, "select sum(a) from scratch.t").await, 7);
    // beside the project's tables
    let sql = "select count(*) from scratch.t cross join (select * from surveys limit 3)";
    assert_eq!(number(&mut client, sql).await, 3);
    for schema in ["public", "reports", "information_schema"] {
        let error = bring(&mut client, "surveys", Some(schema), REPLACE, vec![rows(&[1])]).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
    }
    let error = query(&mut client, "drop table scratch.t").await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn sessions_do_not_see_the_tables_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut tokens = Vec::new();
    for name in ["ana", "ben"] {
        let out = super::server::command(folder.path(), &["user", "add", name, "--token"]).output().unwrap();
        tokens.push(String::from_utf8(out.stdout).unwrap().trim().to_owned());
    }
    let config = std::fs::read_to_string(folder.path().join("cxql.toml")).unwrap();
    let served = Served::start(&[("cxql.toml", &config)], &["--data", &sample(), "--allow-ingest"]);
    let mut clients = Vec::new();
    for token in tokens {
        let mut client = served.client().await;
        client.set_token(token);
        clients.push(client);
    }
    bring(&mut clients[0], "mine", None, CREATE, vec![rows(&[1])]).await.unwrap();
    assert_eq!(number(&mut clients[0], "select count(*) from scratch.mine").await, 1);
    let error = query(&mut clients[1], "select * from scratch.mine").await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
    let sql = "select table_name from information_schema.tables where table_schema = 'scratch'";
    assert_eq!(query(&mut clients[1], sql).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn a_session_brings_so_much_and_no_more() {
    let config = "[serve]\ningest_memory = '16MB'\n";
    let served = Served::start(&[("cxql.toml", config)], &["--data", &sample(), "--allow-ingest"]);
    let mut client = served.client().await;
    let mega = rows(&vec![1; 1 << 17]);
    bring(&mut client, "small", None, CREATE, vec![mega.clone()]).await.unwrap();
    let error = bring(&mut client, "large", None, CREATE, vec![mega; 17]).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert!(error.message().contains("16 MB"), "{error:?}");
    // the one before is there, of the other there is nothing
    assert_eq!(number(&mut client, "select count(*) from scratch.small").await, 1 << 17);
    assert_eq!(query(&mut client, "select * from scratch.large").await.unwrap_err().code(), Code::NotFound);
}
