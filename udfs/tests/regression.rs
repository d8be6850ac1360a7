//! The fits over real data, over rows in many orders and partitions, and with as many rows as memory is bounded for.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::prelude::{CsvReadOptions, SessionConfig, SessionContext};
use rand::SeedableRng;
use rand::seq::SliceRandom;

fn session(partitions: usize, batch_size: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_size);
    let session = SessionContext::new_with_config(config);
    cxql_udfs::register_all(&mut *session.state_ref().write()).unwrap();
    session
}

/// The numbers of the first column of a result.
async fn numbers(session: &SessionContext, sql: &str) -> Vec<f64> {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    let columns = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Float64Type>().iter());
    columns.map(|value| value.unwrap_or(f64::NAN)).collect()
}

fn assert_near(got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len(), "{got:?}, wanted {wanted:?}");
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() <= tolerance * wanted.abs().max(1.0), "{got}, wanted {wanted}");
    }
}

#[tokio::test]
async fn churn_of_telco_as_statsmodels() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/telco_churn/Telco-Customer-Churn.csv");
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return;
    }
    let session = session(2, 512);
    session.register_csv("telco", path.to_str().unwrap(), CsvReadOptions::new()).await.unwrap();
    let features =
        "struct(tenure, \"MonthlyCharges\" as charges, \"SeniorCitizen\" as senior, \"Contract\" as contract)";
    let rows = "(select * from telco where trim(cast(\"TotalCharges\" as varchar)) <> '')";
    let model = format!("(select logistic_fit(\"Churn\" = 'Yes', {features}) as m from {rows})");
    // udfs/tests/expected/regression_reference.py (statsmodels 0.15.0): intercept, tenure, charges, senior, one and two years
    let estimates = format!("select t['estimate'] from (select unnest(m['terms']) as t from {model})");
    let wanted = [-1.59909450358, -0.0369891065406, 0.0274309189213, 0.462880883125, -0.999751221204, -1.89815100418];
    assert_near(&numbers(&session, &estimates).await, &wanted, 1e-10);
    let errors = format!("select t['std_error'] from (select unnest(m['terms']) as t from {model})");
    let wanted = [0.0897805090293, 0.00206769058523, 0.00136481465425, 0.0801967834054, 0.101229460338, 0.167742202446];
    assert_near(&numbers(&session, &errors).await, &wanted, 1e-10);
    let figures = format!("select unnest([m['log_likelihood'], m['pseudo_r_squared'], m['aic']]) from {model}");
    assert_near(&numbers(&session, &figures).await, &[-3055.13105692, 0.249662822764, 6122.26211385], 1e-11);
    let auc = format!(
        "select unnest([a['estimate'], a['std_error'], a['low'], a['high']])
         from (select roc_auc(predict(m, {features}), \"Churn\" = 'Yes') as a from {model} cross join {rows})"
    );
    assert_near(
        &numbers(&session, &auc).await,
        &[0.828854050309, 0.00517446000124, 0.818712295067, 0.838995805551],
        1e-10,
    );
}

/// Rows with a response, a count, a flag, numbers and a string, in an order and in partitions by a seed.
fn table(count: usize, partitions: usize, seed: u64) -> MemTable {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rand_pcg::Pcg64Mcg::seed_from_u64(seed));
    let column = |of: &dyn Fn(usize) -> Option<f64>| -> Arc<dyn Array> {
        Arc::new(order.iter().map(|row| of(*row)).collect::<Float64Array>())
    };
    let noise = |row: usize| (row * row * 31 % 997) as f64 / 997.0;
    let x = |row: usize| (row * 7919 % 1009) as f64 / 100.0 + 1.7e6;
    let level = |row: usize| ["gold", "silver", "basic", "basic", "new"][row * 17 % 5];
    let names: Arc<dyn Array> =
        Arc::new(order.iter().map(|row| (row % 41 != 0).then(|| level(*row))).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("y", column(&|row| (row % 53 != 0).then(|| x(row) * 0.25 + 3.0 * noise(row))), true),
        ("n", column(&|row| Some((noise(row) * 5.0).floor())), true),
        ("x", column(&|row| Some(x(row))), true),
        ("z", column(&|row| (row % 59 != 0).then(|| (row * 104_729 % 787) as f64)), true),
        ("segment", names, true),
    ])
    .unwrap();
    let size = count.div_ceil(partitions);
    let parts = (0..partitions).map(|part| {
        let start = (part * size).min(count);
        let rows = batch.slice(start, size.min(count - start));
        // batches of every size
        let mut batches = vec![];
        let mut at = 0;
        for length in (1..).map(|step| step * 7 % 61 + 1) {
            let length = length.min(rows.num_rows() - at);
            if length == 0 {
                break;
            }
            batches.push(rows.slice(at, length));
            at += length;
        }
        batches
    });
    MemTable::try_new(batch.schema(), parts.collect()).unwrap()
}

#[tokio::test]
async fn rows_in_any_order_and_partitions_give_the_same_models() {
    let fits = [
        "linear_fit(y, struct(x, z, segment))",
        "linear_fit(y, struct(x, z, segment), n + 1, 'hc1')",
        "logistic_fit(n > 2, struct(x, z, segment))",
        "poisson_fit(n, struct(x, z, segment), 0.5)",
    ];
    for fit in fits {
        let mut wanted: Option<Vec<f64>> = None;
        for (partitions, seed) in [(1, 0), (1, 1), (4, 2), (7, 3), (3, 4)] {
            let session = session(partitions.max(2), 97);
            session.register_table("rows", Arc::new(table(1_500, partitions, seed))).unwrap();
            let sql = format!(
                "select value from (
                    select k, unnest([cast(m['n'] as double), cast(m['n_missing'] as double), t['estimate'], t['std_error']]) as value
                    from (select k, m, unnest(m['terms']) as t from (select z % 3 as k, {fit} as m from rows group by z % 3))
                )"
            );
            let mut got = numbers(&session, &sql).await;
            got.sort_by(f64::total_cmp);
            assert!(got.len() > 20);
            match &wanted {
                None => wanted = Some(got),
                Some(wanted) => {
                    let known =
                        |values: &[f64]| values.iter().copied().filter(|value| !value.is_nan()).collect::<Vec<_>>();
                    assert_near(&known(&got), &known(wanted), 1e-7);
                }
            }
        }
    }
}

#[tokio::test]
async fn clusters_scores_and_tables_do_not_depend_on_the_order_of_rows() {
    let mut wanted: Option<String> = None;
    for (partitions, seed) in [(1, 0), (4, 2), (7, 3)] {
        let session = session(partitions.max(2), 97);
        session.register_table("rows", Arc::new(table(1_500, partitions, seed))).unwrap();
        let sql = "select kmeans_fit(struct(x, z, n), 5) as clusters, roc_auc(z, n > 2) as area, calibration(n / 5, z > 300) as \
                   calibration, lift(z, n > 1) as lift from rows";
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        let got = pretty_format_batches(&batches).unwrap().to_string();
        assert_eq!(wanted.get_or_insert_with(|| got.clone()), &got);
    }
}

#[tokio::test]
async fn a_stored_model_predicts_as_the_model() {
    let session = session(2, 100);
    session.register_table("rows", Arc::new(table(500, 2, 1))).unwrap();
    let folder = std::env::temp_dir().join(format!("cxql-models-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.parquet");
    let path = path.to_str().unwrap();
    let fit = "select linear_fit(y, struct(x, z, segment)) as m, kmeans_fit(struct(x, z), 3) as c from rows";
    session.sql(&format!("copy ({fit}) to '{path}' stored as parquet")).await.unwrap().collect().await.unwrap();
    session.register_parquet("models", path, Default::default()).await.unwrap();
    let difference = |models: &str| {
        format!(
            "select sum(abs(coalesce(predict(m, struct(x, z, segment)), -1))) + sum(nearest_cluster(c, struct(x, z)))
             from rows cross join {models}"
        )
    };
    let (stored, fitted) = (difference("models"), difference(&format!("({fit})")));
    let (stored, fitted) = (numbers(&session, &stored).await, numbers(&session, &fitted).await);
    std::fs::remove_dir_all(folder).unwrap();
    assert!(stored[0] > 1e6);
    assert_near(&stored, &fitted, 1e-12);
}
