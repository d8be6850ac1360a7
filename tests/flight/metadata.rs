//! What clients ask before they query.

use arrow_flight::IpcMessage;
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Int32Type, Schema};

use crate::server::{Client, Served, fetch, query, sample};

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap_or("NULL").to_owned()).collect()
}

async fn tables(client: &mut Client, request: CommandGetTables) -> RecordBatch {
    let info = client.get_tables(request).await.unwrap();
    fetch(client, info).await.unwrap()
}

#[tokio::test]
async fn catalogs_schemas_and_types_are_listed() {
    let served = Served::sample();
    let mut client = served.client().await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "catalog_name"), ["cxql"]);
    let info = client.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    let batch = fetch(&mut client, info).await.unwrap();
    assert_eq!(texts(&batch, "db_schema_name"), ["information_schema", "public", "reports", "system"]);
    for (catalog, pattern, expected) in
        [(Some("cxql"), Some("p%"), 1), (None, Some("_eports"), 1), (Some("other"), None, 0), (Some(""), None, 0)]
    {
        let request = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        let info = client.get_db_schemas(request).await.unwrap();
        assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), expected, "{catalog:?} {pattern:?}");
    }
    let info = client.get_table_types().await.unwrap();
    let types = texts(&fetch(&mut client, info).await.unwrap(), "table_type");
    assert!(["TABLE", "VIEW"].iter().all(|name| types.iter().any(|known| known == name)), "{types:?}");
}

#[tokio::test]
async fn tables_are_found_by_patterns() {
    let served = Served::sample();
    let mut client = served.client().await;
    let find = |schema: Option<&str>, table: Option<&str>, types: &[&str]| CommandGetTables {
        catalog: None,
        db_schema_filter_pattern: schema.map(str::to_owned),
        table_name_filter_pattern: table.map(str::to_owned),
        table_types: types.iter().map(|name| (*name).to_owned()).collect(),
        include_schema: false,
    };
    let all = tables(&mut client, find(Some("public"), None, &[])).await;
    let names = texts(&all, "table_name");
    assert!(names.contains(&"interactions".to_owned()) && names.contains(&"agent_states".to_owned()), "{names:?}");
    assert!(all.column_by_name("table_schema").is_none());
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
    // `_` is any character, `\_` is itself
    let any = tables(&mut client, find(Some("public"), Some("agent_%"), &[])).await;
    let escaped = tables(&mut client, find(Some("public"), Some("agent\\_%"), &[])).await;
    assert!(texts(&any, "table_name").contains(&"agents".to_owned()) || any.num_rows() > escaped.num_rows());
    assert!(texts(&escaped, "table_name").contains(&"agent_states".to_owned()));
    assert!(!texts(&escaped, "table_name").contains(&"agents".to_owned()));
    let views = tables(&mut client, find(None, None, &["VIEW"])).await;
    assert!(texts(&views, "table_type").iter().all(|kind| kind == "VIEW"));
    assert!(texts(&views, "db_schema_name").contains(&"reports".to_owned()));
    // as Grafana asks, which shows no tables otherwise
    let expected = texts(&tables(&mut client, find(None, None, &["TABLE"])).await, "table_name");
    assert!(expected.contains(&"interactions".to_owned()), "{expected:?}");
    for types in [&["BASE TABLE"][..], &["base table"], &["table"], &["Table", "BASE TABLE"]] {
        let found = tables(&mut client, find(None, None, types)).await;
        assert_eq!(texts(&found, "table_name"), expected, "{types:?}");
        assert!(texts(&found, "table_type").iter().all(|kind| kind == "TABLE"), "{types:?}");
    }
    assert_eq!(tables(&mut client, find(None, None, &["view"])).await.num_rows(), views.num_rows());
    assert_eq!(tables(&mut client, find(None, None, &["SYNONYM"])).await.num_rows(), 0);
    let system = tables(&mut client, find(Some("information\\_schema"), None, &["SYSTEM TABLE"])).await;
    assert!(texts(&system, "table_name").contains(&"columns".to_owned()));
    let elsewhere = CommandGetTables { catalog: Some("other".into()), ..find(None, None, &[]) };
    assert_eq!(tables(&mut client, elsewhere).await.num_rows(), 0);
}

#[tokio::test]
async fn columns_of_tables_are_those_of_a_query() {
    let served = Served::sample();
    let mut client = served.client().await;
    let request = CommandGetTables { include_schema: true, ..Default::default() };
    let all = tables(&mut client, request).await;
    let schemas = all.column_by_name("table_schema").unwrap().as_binary::<i32>();
    for row in 0..all.num_rows() {
        let (schema, table) = (&texts(&all, "db_schema_name")[row], &texts(&all, "table_name")[row]);
        let told = Schema::try_from(IpcMessage(schemas.value(row).to_vec().into())).unwrap();
        assert!(!told.fields().is_empty(), "{schema}.{table}");
        let info = client.execute(format!("select * from {schema}.{table} limit 0"), None).await.unwrap();
        let queried = info.try_decode_schema().unwrap();
        let shape = |schema: &Schema| -> Vec<(String, DataType)> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        assert_eq!(shape(&told), shape(&queried), "{schema}.{table}");
        let field = told.field(0);
        assert_eq!(field.metadata().get("ARROW:FLIGHT:SQL:TABLE_NAME"), Some(table));
    }
}

#[tokio::test]
async fn a_broken_table_hides_no_others() {
    let files = [
        ("cxql.toml", "[tables.broken]\npath = 'broken.parquet'\n[tables.good]\npath = 'good.csv'\n"),
        ("broken.parquet", "this is no Parquet file"),
        ("good.csv", "a,b\n1,x\n"),
    ];
    let served = Served::start(&files, &[]);
    let mut client = served.client().await;
    let request = CommandGetTables {
        include_schema: true,
        db_schema_filter_pattern: Some("public".into()),
        table_types: vec!["TABLE".into()],
        ..Default::default()
    };
    let all = tables(&mut client, request).await;
    let names = texts(&all, "table_name");
    assert!(names.contains(&"broken".to_owned()) && names.contains(&"good".to_owned()), "{names:?}");
    served.says("public.broken is listed without columns");
}

#[tokio::test]
async fn keys_are_those_of_the_project() {
    let config = "[keys]\ninteractions = ['interaction_id']\nagent_states = ['agent_id', 'started_at']\n";
    let served = Served::start(&[("cxql.toml", config)], &["--data", &sample()]);
    let mut client = served.client().await;
    let request = |table: &str| CommandGetPrimaryKeys { table: table.into(), ..Default::default() };
    let info = client.get_primary_keys(request("agent_states")).await.unwrap();
    let batch = fetch(&mut client, info).await.unwrap();
    assert_eq!(texts(&batch, "column_name"), ["agent_id", "started_at"]);
    assert_eq!(batch.column_by_name("key_sequence").unwrap().as_primitive::<Int32Type>().values(), &[1, 2]);
    let info = client.get_primary_keys(request("surveys")).await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 0);
    let elsewhere = CommandGetPrimaryKeys { db_schema: Some("reports".into()), ..request("interactions") };
    let info = client.get_primary_keys(elsewhere).await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 0);
    let table = || "interactions".to_owned();
    let infos = [
        client.get_exported_keys(CommandGetExportedKeys { table: table(), ..Default::default() }).await.unwrap(),
        client.get_imported_keys(CommandGetImportedKeys { table: table(), ..Default::default() }).await.unwrap(),
        client
            .get_cross_reference(CommandGetCrossReference {
                pk_table: table(),
                fk_table: "surveys".into(),
                ..Default::default()
            })
            .await
            .unwrap(),
    ];
    for info in infos {
        let batch = fetch(&mut client, info).await.unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (0, 13));
    }
}

#[tokio::test]
async fn the_server_says_what_it_can() {
    let served = Served::sample();
    let mut client = served.client().await;
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::SqlIdentifierQuoteChar]).await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 2);
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 89);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    let all = fetch(&mut client, info).await.unwrap();
    assert!(texts(&all, "type_name").contains(&"BIGINT".to_owned()));
    // VARCHAR has the number 12
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: Some(12) }).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "type_name"), ["VARCHAR"]);
}

#[tokio::test]
async fn claims_of_the_sql_info_hold() {
    let served = Served::sample();
    let mut client = served.client().await;
    for sql in [
        // null ordering: NULL is the highest
        "select case when first_value(x order by x) = 1 then 1 end as ok from (values (null), (1)) t(x)",
        // concatenation with NULL
        "select case when ('a' || null) is null then 1 end as ok",
        "select 1 as ok where 'a_b' like 'a\\_b' escape '\\'",
        // quantified, correlated
        "select 1 as ok where 2 > all (select 1) and 1 = any (select 1)",
        "select 1 as ok where exists (select 1 from (values (1)) b(y) where y = 1) and 1 in (select 1)",
        "select 1 as ok from surveys s where score = (select max(score) from surveys t where t.kind = s.kind) limit 1",
        "select 1 as ok from (values (1), (2)) t(x) group by x order by x + 1 limit 1",
        "select ok from (values (1, 2), (1, 1)) t(ok, other) order by other limit 1",
        "select 1 as \"ok\" from (values (1)) a(x) full outer join (values (2)) b(y) on x = y limit 1",
        "select 1 as ok union select 1",
        // literals of the types' list
        "select 1 as ok where date '2025-01-31' < timestamp '2025-01-31 01:00:00' and time '01:00:00' is not null \
         and interval '1 day' is not null and x'00' is not null and timestamptz '2025-01-31 00:00:00Z' is not null",
    ] {
        let batch = query(&mut client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(batch.num_rows(), 1, "{sql}");
        assert_eq!(batch.column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>().value(0), 1, "{sql}");
    }
}
