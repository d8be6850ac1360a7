//! [`BuildSideSelection`]: chooses the build side of hash joins, and whether it is collected once for all threads.
//!
//! ```text
//!  HashJoinExec: Partitioned, LeftAnti              HashJoinExec: CollectLeft, RightAnti
//!    contacts           (10,000,000 rows)     ->      FilterExec: count > 1
//!    FilterExec: count > 1                              AggregateExec: gby=[customer]
//!      AggregateExec: gby=[customer]                  contacts
//! ```
//! Two passes: sides are swapped by estimate, then a small build side is collected. DataFusion's `JoinSelection` does the
//! former where statistics know both sides, and the latter by the size of the build side alone. A cross join with one row of
//! no columns, which is what remains of a view of one row that a query does not use, is replaced by its other side.
//!
//! Switch: `cxql.engine.build_side_selection`; DataFusion's `optimizer.join_reordering` switches it off too. Thresholds:
//! `build_side_min_rows`, `build_side_collect_rows`, `build_side_collect_bytes`, `build_side_collect_ratio`.

use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, PartitionMode};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::EngineOptions;
use crate::exec_util::rewrite_plan;

/// Assumed selectivity of a filter, and groups per input row of an aggregate, without statistics. DataFusion assumes the same
/// for filters.
const DEFAULT_SELECTIVITY: f64 = 0.2;

/// Sides are swapped only if the other one is this many times smaller: the row counts are estimates.
const SWAP_MARGIN: f64 = 2.0;

/// Swaps the sides of hash joins so that the smaller one is built, and collects it once for all threads where it is far smaller
/// than the probe side.
///
/// DataFusion does not estimate the rows of an aggregate and then builds the left side, which is all contacts where a query
/// joins them to something computed from them. It collects a build side of at most a megabyte, or 131,072 rows if the bytes are
/// unknown, whatever the size of the probe side, and partitions both sides beyond that: ten million contacts are exchanged for
/// a few hundred thousand survey answers.
#[derive(Debug)]
pub(crate) struct BuildSideSelection;

impl PhysicalOptimizerRule for BuildSideSelection {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.optimizer.join_reordering {
            return Ok(plan);
        }
        let options = EngineOptions::of(config);
        let plan = rewrite_plan(plan, |plan| {
            let Some(join) = plan.downcast_ref::<CrossJoinExec>() else { return Ok(None) };
            Ok(match (is_empty_row(join.left()), is_empty_row(join.right())) {
                (true, _) => Some(Arc::clone(join.right())),
                (_, true) => Some(Arc::clone(join.left())),
                _ => None,
            })
        })?;
        let swapped = rewrite_plan(plan, |plan| {
            let join = plan.downcast_ref::<HashJoinExec>().filter(|join| should_swap(join, &options));
            join.map(|join| join.swap_inputs(PartitionMode::Partitioned)).transpose()
        })?;
        let threads = config.execution.target_partitions;
        rewrite_plan(swapped, |plan| {
            let join = plan.downcast_ref::<HashJoinExec>().filter(|join| should_collect(join, threads, &options));
            join.map(|join| join.builder().with_partition_mode(PartitionMode::CollectLeft).build_exec()).transpose()
        })
    }

    fn name(&self) -> &str {
        "build_side_selection"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns true for one row without columns.
fn is_empty_row(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<PlaceholderRowExec>()
        && plan.schema().fields().is_empty()
        && plan.output_partitioning().partition_count() == 1
}

/// Returns true if the left side, which is built, is estimated to be much larger than the right one.
fn should_swap(join: &HashJoinExec, options: &EngineOptions) -> bool {
    if !join.join_type().supports_swap() || join.null_aware {
        return false;
    }
    let statistics = StatisticsContext::new();
    match (rows(join.left(), &statistics), rows(join.right(), &statistics)) {
        (Some(left), Some(right)) => left > options.build_side_min_rows as f64 && left > SWAP_MARGIN * right,
        _ => false,
    }
}

/// Returns true if collecting the build side costs less than exchanging the probe side.
///
/// By DataFusion's statistics: a fifth of the rows pass a filter, and an aggregate may have a group for each row. Collecting a
/// row costs about as much as exchanging one, hence a minimum ratio of rows per thread.
fn should_collect(join: &HashJoinExec, threads: usize, options: &EngineOptions) -> bool {
    if *join.partition_mode() != PartitionMode::Partitioned {
        return false;
    }
    let statistics = StatisticsContext::new();
    let sides = (known(join.left(), &statistics), known(join.right(), &statistics));
    let (Some(left), Some(right)) = sides else { return false };
    let has_few_bytes = left.total_byte_size.get_value().is_none_or(|&bytes| bytes <= options.build_side_collect_bytes);
    match (left.num_rows.get_value(), right.num_rows.get_value()) {
        (Some(&left), Some(&right)) => {
            has_few_bytes
                && left <= options.build_side_collect_rows
                && right / (options.build_side_collect_ratio * threads.max(1)) > left
        }
        _ => false,
    }
}

/// DataFusion's statistics of a plan.
fn known(plan: &Arc<dyn ExecutionPlan>, statistics: &StatisticsContext) -> Option<Arc<Statistics>> {
    statistics.compute(plan.as_ref(), &StatisticsArgs::default()).ok()
}

/// Estimated output rows: DataFusion's statistics or an estimate through aggregates, filters and operators that do not add
/// rows, whichever is smaller.
fn rows(plan: &Arc<dyn ExecutionPlan>, statistics: &StatisticsContext) -> Option<f64> {
    let known = known(plan, statistics).and_then(|statistics| statistics.num_rows.get_value().map(|rows| *rows as f64));
    let estimate = if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let groups_per_row = match aggregate.mode() {
            AggregateMode::Partial => 1.0,
            _ => DEFAULT_SELECTIVITY,
        };
        rows(aggregate.input(), statistics).map(|rows| rows * groups_per_row)
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        rows(filter.input(), statistics).map(|rows| rows * DEFAULT_SELECTIVITY)
    } else {
        match (plan.cardinality_effect(), plan.children().as_slice()) {
            (CardinalityEffect::Equal | CardinalityEffect::LowerEqual, [input]) => rows(input, statistics),
            _ => None,
        }
    };
    match (known, estimate) {
        (Some(known), Some(estimate)) => Some(known.min(estimate)),
        (known, estimate) => known.or(estimate),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;
    use crate::rules;

    /// 200,000 rows; `key 999` occurs once, the others 200 times.
    fn context(rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>) -> SessionContext {
        let config = SessionConfig::new().with_target_partitions(4);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_physical_optimizer_rules(rules)
            .build();
        let context = SessionContext::new_with_state(state);
        let key = |row: u32| format!("key {}", if row == 0 { 999 } else { row % 999 });
        let keys = StringArray::from_iter_values((0..200_000).map(key));
        let batch = RecordBatch::try_from_iter([("k", Arc::new(keys) as ArrayRef)]).unwrap();
        context.register_batch("t", batch).unwrap();
        context
    }

    fn ours() -> SessionContext {
        let footers = datafusion::execution::runtime_env::RuntimeEnv::default().cache_manager.get_file_metadata_cache();
        context(rules::place(PhysicalOptimizer::new().rules, rules::optimizer_rules(footers)).unwrap())
    }

    async fn shown(context: &SessionContext, sql: &str) -> String {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    }

    #[tokio::test]
    async fn the_aggregated_side_is_built() {
        let sql = "select k from t where not exists \
                   (select 1 from (select k from t group by k having count(*) > 1) as many where many.k = t.k)";
        let ours = ours();
        let text = shown(&ours, sql).await;
        assert!(text.contains("join_type=RightAnti"), "{text}");
        let rows = ours.sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        // DataFusion alone builds from all of t; when it no longer does, this rule can go
        let theirs = context(PhysicalOptimizer::new().rules);
        let text = shown(&theirs, sql).await;
        assert!(text.contains("join_type=LeftAnti"), "{text}");
    }

    #[tokio::test]
    async fn a_row_that_is_not_used_is_not_joined() {
        let sql = "select count(*), min(k) from (select min(k) as least from t) as one cross join t";
        let ours = ours();
        let text = shown(&ours, sql).await;
        assert!(!text.contains("CrossJoinExec"), "{text}");
        let rows = ours.sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 200_000);
        // DataFusion joins; when it no longer does, this can go
        let text = shown(&context(PhysicalOptimizer::new().rules), sql).await;
        assert!(text.contains("CrossJoinExec"), "{text}");
        let text =
            shown(&ours, "select count(*) from (select min(k) as least from t) as one cross join t where k > least")
                .await;
        assert!(text.contains("Join"), "{text}");
    }

    #[tokio::test]
    async fn a_much_smaller_side_is_collected_once() {
        let ours = ours();
        // the default selectivity: 40,000 of 200,000 rows pass
        let repeated = |sql: &str, times: usize| vec![sql; times].join(" union all ");
        let few = repeated("select k from t where k like '%5'", 5);
        let mode = async |times: usize| {
            let sql = format!(
                "select count(*) from ({}) as t inner join ({few}) as few on few.k = t.k",
                repeated("select k from t", times)
            );
            let text = shown(&ours, &sql).await;
            text.split_once("HashJoinExec: mode=")
                .map(|(_, rest)| rest.split(',').next().unwrap_or_default().to_string())
        };
        assert_eq!(mode(2).await.as_deref(), Some("Partitioned"));
        assert_eq!(mode(20).await.as_deref(), Some("CollectLeft"));
    }
}
