//! Expressions over one string column give the same rows with and without the rule, over plain strings, views and dictionaries, in
//! memory and in Parquet, with few distinct strings and with many.

mod common;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray,
};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const BATCHES: usize = 40;
const ROWS: usize = 1000;

/// A label with variants, empty, or NULL.
fn label(random: &mut Pcg64) -> Option<String> {
    match random.random_range(0..20) {
        0 => None,
        1 => Some(String::new()),
        n => Some(format!("{}{} topic{}", ["A", "a", " a"][n % 3], n, [" ", "", "_with a long name"][n % 3])),
    }
}

/// k: labels as views, u: as plain strings, h: nearly unique strings, d: numbers as a dictionary with a NULL among its values and a
/// value that no row has, v: integers.
fn batches() -> Vec<RecordBatch> {
    let mut random = Pcg64::seed_from_u64(42);
    let batches = (0..BATCHES).map(|batch| {
        let k: StringViewArray = (0..ROWS).map(|_| label(&mut random)).collect();
        let u: StringArray = (0..ROWS).map(|_| label(&mut random)).collect();
        let h = StringViewArray::from_iter_values(
            (0..ROWS).map(|row| format!("Customer {}", batch * ROWS + row * 7 % ROWS)),
        );
        let keys: Int32Array = (0..ROWS).map(|_| Some(random.random_range(0..5)).filter(|key| *key != 4)).collect();
        let values = StringArray::from(vec![Some("12"), None, Some("7"), Some("07"), None, Some("99")]);
        let d = DictionaryArray::<Int32Type>::new(keys, Arc::new(values));
        let v: Int64Array = (0..ROWS).map(|_| Some(random.random_range(0..1000))).collect();
        let columns: [(&str, ArrayRef); 5] =
            [("k", Arc::new(k)), ("u", Arc::new(u)), ("h", Arc::new(h)), ("d", Arc::new(d)), ("v", Arc::new(v))];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    });
    batches.collect()
}

async fn context(options: EngineOptions, threads: usize, folder: &std::path::Path) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(threads);
    let context = common::context(Some(options), config, Arc::new(UnboundedMemoryPool::default()));
    let batches = batches();
    let path = folder.join("p.parquet");
    if !path.exists() {
        let mut writer =
            ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batches[0].schema(), None).unwrap();
        for batch in &batches {
            writer.write(batch).unwrap();
            writer.flush().unwrap();
        }
        writer.close().unwrap();
    }
    let parts = batches.chunks(BATCHES / 4).map(<[_]>::to_vec).collect();
    let table = MemTable::try_new(batches[0].schema(), parts).unwrap();
    context.register_table("m", Arc::new(table)).unwrap();
    context.register_parquet("p", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    // reads the footer into the cache of the session
    context.sql("select count(*) from p where v > 500").await.unwrap().collect().await.unwrap();
    context
}

/// The plan of a query and its rows in a fixed order; an error as its text.
async fn run(context: &SessionContext, sql: &str) -> (String, Vec<String>) {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    let rows = match collect(plan, context.task_ctx()).await {
        Ok(rows) => pretty_format_batches(&rows).unwrap().to_string(),
        // of several strings that are wrong, any may come first
        Err(error) => error.strip_backtrace().split(" string '").next().unwrap_or_default().to_string(),
    };
    let mut rows: Vec<String> = rows.lines().map(str::to_string).collect();
    rows.sort();
    (shown, rows)
}

const SYNONYMS: &str = "(select array_agg(named_struct('column_name', 'k', 'label', lower(k), 'standard_label', 'standard')) from T where v < 100)";

/// Queries over a table T, and whether the plan shows an expression that is evaluated on distinct strings. DataFusion shows arguments
/// of aggregates as they were written.
const QUERIES: &[(&str, bool)] = &[
    (
        "select nullif(lower(trim(regexp_replace(k, '[\\s_-]+', ' ', 'g'))), '') as l, count(*) as n, sum(v) as s from T group by l",
        true,
    ),
    ("select lower(k) as l, upper(u) as o, count(*) as n, max(reverse(k)) as r from T group by l, o", true),
    ("select l, count(*) as n from (select coalesce(lower(k), 'none') as l from T) as t group by l", true),
    ("select k, lower(k) as l, count(*) as n from T group by k, lower(k)", true),
    ("select count(*) as n, sum(v) as s from T where k like 'a%' and lower(h) like '%7'", true),
    ("select count(*) as n from T where upper(k) = 'A2 TOPIC_WITH A LONG NAME' or v = 7", true),
    ("select u, v from T where coalesce(k, 'x') in ('x', '', 'a3 topic ', 'b', 'c') and v < 50", true),
    (
        "select case when k is null then -1 when k like 'A%' then v else length(k) end as x, count(*) as n from T group by x",
        true,
    ),
    ("select case when v > 500 then lower(k) else u end as x, count(*) as n from T group by x", true),
    ("select count(distinct trim(u)) as n, count(lower(k)) filter (where u like '%name') as m from T", false),
    ("select lower(h) as l, v from T where v < 100", true),
    ("select lower(h) as l, count(*) as n from T group by l having count(*) > 1", true),
    ("select substr(h, 1, 10) as l, length(k) as m, count(*) as n from T group by l, m", true),
    ("select cast(d as int) as i, count(*) as n from T group by i", true),
    ("select lower(d) as l, trim(d) = '7' as b, count(*) as n from T group by l, b", true),
    ("select try_cast(trim(k) as int) as i, starts_with(k, 'a') as b, count(*) as n from T group by i, b", true),
    (
        "select case when k like 'A2%' then cast('1' as int) when k = 'zzz' then cast(k as int) end as i, count(*) as n from T group by i",
        true,
    ),
    ("select cast(u as int) as i from T", true),
    ("select cast(u as int) as i from T where u = 'zzz'", true),
    ("select lower(k) as l, row_number() over (partition by upper(k) order by v, h) as n from T where v < 30", true),
    ("select a.h from T as a inner join T as b on lower(a.h) = lower(b.h) where b.v < 20", true),
    ("select lower(k) as l, v from T order by l, v, h limit 20", true),
    ("select standard_label('k', lower(k), SYNONYMS) as l, count(*) as n from T group by l", true),
    ("select standard_label('u', u, SYNONYMS) as l, count(*) as n from T group by l", true),
    ("select k, count(*) as n from T where k = 'a3 topic ' or k is null group by k", false),
    ("select k || u as x, count(*) as n from T group by x", false),
    ("select count(*) as n from T where k || cast(random() as varchar) is null", false),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_are_the_same_with_and_without_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let off = EngineOptions::default().with_option("dictionary_evaluation", "false").unwrap();
    let few = EngineOptions::default().with_option("dictionary_evaluation_values", "5").unwrap();
    let no_scan = EngineOptions::default().with_option("dictionary_scan", "false").unwrap();
    let expected = context(off, 4, folder.path()).await;
    for (options, threads) in [(EngineOptions::default(), 1), (EngineOptions::default(), 4), (few, 4), (no_scan, 4)] {
        let context = context(options, threads, folder.path()).await;
        for (sql, is_wrapped) in QUERIES {
            for table in ["m", "p"] {
                let sql = sql
                    .replace("SYNONYMS", SYNONYMS)
                    .replace("from T", &format!("from {table}"))
                    .replace("join T", &format!("join {table}"));
                let ((shown, found), (plain, rows)) = (run(&context, &sql).await, run(&expected, &sql).await);
                assert_eq!(found, rows, "{sql}\n{shown}");
                assert!(!plain.contains("dictionary_eval"), "{plain}");
                assert_eq!(shown.contains("dictionary_eval("), *is_wrapped, "{sql}\n{shown}");
            }
        }
    }
}

#[tokio::test]
async fn a_scan_emits_dictionaries_for_expressions() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(EngineOptions::default(), 4, folder.path()).await;
    let sql = "select l, count(*) as n from (select lower(trim(k)) as l from p) as t group by l";
    let (shown, _) = run(&context, sql).await;
    assert!(shown.contains("dictionary=[l]"), "{shown}");
    let (shown, _) = run(&context, "select lower(trim(k)) as l, count(*) as n from p group by l").await;
    assert!(shown.contains("dictionary=[k]"), "{shown}");
    // the plain column is output too
    let (shown, _) = run(&context, "select k, lower(k) as l from p").await;
    assert!(shown.contains("dictionary_eval(lower(k@0))"), "{shown}");
}
