//! Prepared statements.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, NullArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use tonic::{Code, Status};

use crate::server::{Client, Served, fetch, query, status};

fn row(values: Vec<ArrayRef>) -> RecordBatch {
    let named = values.into_iter().enumerate().map(|(at, value)| (at.to_string(), value, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn int(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

pub(crate) async fn run(client: &mut Client, sql: &str, values: RecordBatch) -> Result<RecordBatch, Status> {
    let mut prepared = client.prepare(sql.to_owned(), None).await.map_err(status)?;
    let parameters = prepared.parameter_schema().map_err(status)?.fields().len();
    assert_eq!(parameters, values.num_columns(), "{sql}");
    prepared.set_parameters(values).map_err(status)?;
    let info = prepared.execute().await.map_err(status)?;
    let batch = fetch(client, info).await?;
    prepared.close().await.map_err(status)?;
    Ok(batch)
}

#[tokio::test]
async fn the_three_forms_of_parameters_mean_the_same() {
    let served = Served::sample();
    let mut client = served.client().await;
    let expected = query(&mut client, "select channel, count(*) as n from interactions where wait_s > 30 and channel <> 'email' group by 1 order by 1").await.unwrap();
    for (sql, values) in [
        ("wait_s > ? and channel <> ?", vec![int(30), text("email")]),
        ("wait_s > $1 and channel <> $2", vec![int(30), text("email")]),
        ("wait_s > $2 and channel <> $1", vec![text("email"), int(30)]),
        ("wait_s > $wait and channel <> $channel", vec![int(30), text("email")]),
    ] {
        let sql = format!("select channel, count(*) as n from interactions where {sql} group by 1 order by 1");
        let got = run(&mut client, &sql, row(values)).await.unwrap();
        assert_eq!(got.columns(), expected.columns(), "{sql}");
    }
}

#[tokio::test]
async fn twelve_parameters_keep_their_order() {
    let served = Served::sample();
    let mut client = served.client().await;
    let marks = ["?"; 12].join(" || ',' || ");
    let values = (1..=12).map(|number| text(&format!("v{number}"))).collect();
    let batch = run(&mut client, &format!("select {marks} as all_values"), row(values)).await.unwrap();
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "v1,v2,v3,v4,v5,v6,v7,v8,v9,v10,v11,v12");
    let numbered: Vec<String> = (1..=12).rev().map(|number| format!("${number}")).collect();
    let values = (1..=12).map(|number| text(&format!("v{number}"))).collect();
    let sql = format!("select {} as all_values", numbered.join(" || ',' || "));
    let batch = run(&mut client, &sql, row(values)).await.unwrap();
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "v12,v11,v10,v9,v8,v7,v6,v5,v4,v3,v2,v1");
}

#[tokio::test]
async fn types_come_from_the_statement() {
    let served = Served::sample();
    let mut client = served.client().await;
    let sql = "select count(*) as n from interactions \
               where wait_s > $1 and channel = $2 and started_at >= $3 and is_resolved = $4 \
               and topic in ($5, $6) and talk_s between $7 and $8 and text like $9 and wait_s < $10::double limit $11";
    let prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    let schema = prepared.parameter_schema().unwrap().clone();
    let types: Vec<String> = schema.fields().iter().map(|field| field.data_type().to_string()).collect();
    let expected = [
        "Int64",
        "Utf8",
        // the JDBC driver writes milliseconds whatever the unit is
        "Timestamp(ms, \"UTC\")",
        "Boolean",
        "Utf8",
        "Utf8",
        "Int64",
        "Int64",
        "Utf8",
        "Float64",
        "Int64",
    ];
    assert_eq!(types, expected);
    assert!(schema.fields().iter().all(|field| field.is_nullable()));
    assert_eq!(schema.field(9).name(), "$10");
    assert_eq!(prepared.dataset_schema().unwrap().field(0).data_type(), &DataType::Int64);
    // 2025-06-01, which divides the rows
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_748_736_000_000_000]).with_timezone("UTC"));
    let values = vec![
        int(0),
        text("phone"),
        at,
        Arc::new(BooleanArray::from(vec![true])),
        text("billing"),
        text("returns"),
        Arc::new(Int32Array::from(vec![0])),
        int(100_000),
        text("%"),
        Arc::new(Float64Array::from(vec![1e9])),
        int(1),
    ];
    let batch = run(&mut client, sql, row(values)).await.unwrap();
    let same = "select count(*) as n from interactions where wait_s > 0 and channel = 'phone' and is_resolved \
                and started_at >= timestamptz '2025-06-01T00:00:00Z' and topic in ('billing', 'returns') and talk_s between 0 and 100000 and text like '%'";
    assert_eq!(batch.columns(), query(&mut client, same).await.unwrap().columns());
}

#[tokio::test]
async fn values_without_a_type_bring_their_own() {
    let served = Served::sample();
    let mut client = served.client().await;
    let batch =
        run(&mut client, "select ? as a, ? as b, ? as c", row(vec![int(7), text("x"), Arc::new(NullArray::new(1))]));
    let batch = batch.await.unwrap();
    let types: Vec<DataType> = batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, [DataType::Int64, DataType::Utf8, DataType::Utf8]);
    assert_eq!(batch.column(2).null_count(), 1);
    // arguments of functions
    let batch = run(&mut client, "select abs($1) as a, upper($2) as b", row(vec![int(-7), text("x")])).await.unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 7);
    let batch =
        run(&mut client, "select date_trunc(?, started_at) as at from interactions limit 1", row(vec![text("day")]));
    assert_eq!(batch.await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn nulls_are_values() {
    let served = Served::sample();
    let mut client = served.client().await;
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let sql = "select count(*) as n from interactions where wait_s = ? or (? is null and topic = 'billing')";
    let batch = run(&mut client, sql, row(vec![Arc::clone(&null), null])).await.unwrap();
    let same = query(&mut client, "select count(*) as n from interactions where topic = 'billing'").await.unwrap();
    assert_eq!(batch.columns(), same.columns());
    assert!(batch.column(0).as_primitive::<Int64Type>().value(0) > 0);
}

#[tokio::test]
async fn each_row_of_values_is_a_query() {
    let served = Served::sample();
    let mut client = served.client().await;
    let values = row(vec![Arc::new(Int64Array::from(vec![3, 0, 2]))]);
    let batch = run(&mut client, "select x from generate_series(1, 10) a(x) where x <= ? order by x", values).await;
    assert_eq!(batch.unwrap().column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3, 1, 2]);
}

#[tokio::test]
async fn a_prepared_statement_is_used_again_and_again() {
    let served = Served::sample();
    let mut client = served.client().await;
    let mut prepared =
        client.prepare("select x * $1 as y from generate_series(1, 2) a(x) order by 1".into(), None).await.unwrap();
    let mut infos = Vec::new();
    for factor in [1, 10] {
        prepared.set_parameters(row(vec![int(factor)])).unwrap();
        infos.push(prepared.execute().await.unwrap());
    }
    // a ticket keeps the values that it was made with
    for (info, expected) in infos.into_iter().zip([[1, 2], [10, 20]]) {
        let batch = fetch(&mut client, info).await.unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &expected);
    }
    let mut plain = client.prepare("select 1 as a".into(), None).await.unwrap();
    assert!(plain.parameter_schema().unwrap().fields().is_empty());
    for _ in 0..3 {
        let info = plain.execute().await.unwrap();
        assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 1);
    }
}

#[tokio::test]
async fn wrong_values_are_told_by_the_parameters_name() {
    let served = Served::sample();
    let mut client = served.client().await;
    let error =
        run(&mut client, "select * from interactions where wait_s > ?", row(vec![text("soon")])).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("parameter $1: integer is wanted"), "{error:?}");
    let mut prepared = client.prepare("select ? + ?".into(), None).await.unwrap();
    prepared.set_parameters(row(vec![int(1)])).unwrap();
    let error = status(prepared.execute().await.unwrap_err());
    assert!(error.message().contains("2 parameters and 1 values"), "{error:?}");
    let error = status(client.prepare("select ? + $1".into(), None).await.err().unwrap());
    assert!(error.message().contains("<query>:1:12") && error.message().contains("different forms"), "{error:?}");
    let error = status(client.prepare("insert into surveys values (?)".into(), None).await.err().unwrap());
    assert_eq!(error.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_closed_statement_is_gone() {
    let served = Served::sample();
    let mut client = served.client().await;
    let mut prepared = client.prepare("select 1 as a".into(), None).await.unwrap();
    let info = prepared.execute().await.unwrap();
    let handle = info.flight_descriptor.clone().unwrap();
    prepared.close().await.unwrap();
    let error = client.inner_mut().get_flight_info(handle).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
    // what was started before goes on
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn arguments_of_reports_are_parameters() {
    let served = Served::sample();
    let mut client = served.client().await;
    let expected = query(
        &mut client,
        "select * from reports.fcr_by_topic(since => timestamp '2025-02-01', window => interval '3 days') order by topic",
    );
    let expected = expected.await.unwrap();
    assert!(expected.num_rows() > 0);
    let sql =
        "select * from reports.fcr_by_topic(since => ?, window => interval '3 days') where topic <> ? order by topic";
    let prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    // the type of the argument is that of the report's header
    let schema = prepared.parameter_schema().unwrap().clone();
    let at = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    assert_eq!((schema.field(0).data_type(), schema.field(1).data_type()), (&at, &DataType::Utf8));
    let columns = |schema: &Schema| -> Vec<(String, DataType)> {
        schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    assert_eq!(columns(prepared.dataset_schema().unwrap()), columns(&expected.schema()));
    for since in [text("2025-02-01"), text("2025-02-01T00:00:00Z")] {
        let got = run(&mut client, sql, row(vec![since, text("no topic")])).await.unwrap();
        assert_eq!(got.columns(), expected.columns());
    }
    // each execution has its own values
    let later = run(&mut client, sql, row(vec![text("2031-01-01"), text("no topic")])).await.unwrap();
    assert_ne!(later.columns(), expected.columns());
    let error = run(&mut client, sql, row(vec![text("soon"), text("x")])).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains("$1"), "{error:?}");
    for (sql, part) in [
        ("select * from reports.fcr_by_topic(sinse => ?)", "did you mean `since`?"),
        ("select * from reports.fcr_by_topic(since => 5)", "is timestamp with time zone, this is bigint"),
    ] {
        let error = query(&mut client, sql).await.unwrap_err();
        assert!(error.code() == Code::InvalidArgument && error.message().contains(part), "{sql}: {error:?}");
    }
}
