//! [`JoinBloomFilter`]: drops probe rows of string joins before they reach the join's hash table.
//!
//! ```text
//!  HashJoinExec: mode=CollectLeft, on=[(id, id)]        BloomFilterJoinExec: the same, bloom_filter
//!    surveys                                      ->      surveys
//!    contacts                                             contacts
//! ```
//! The operator has a page of its own: `join/bloom_filter.rs`. Switch: `cxql.engine.join_bloom_filter`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

use crate::EngineOptions;
use crate::exec_util::rewrite_plan;
use crate::join::BloomFilterJoinExec;

/// Replaces hash joins on strings whose build side is collected once for all threads by [`BloomFilterJoinExec`].
#[derive(Debug)]
pub(crate) struct JoinBloomFilter;

impl PhysicalOptimizerRule for JoinBloomFilter {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let options = EngineOptions::of(config);
        rewrite_plan(plan, |plan| match plan.downcast_ref::<HashJoinExec>() {
            Some(join) if is_supported(join) => {
                let join = join.builder().build()?;
                let join = BloomFilterJoinExec::new(join, options.bloom_filter_bits, options.bloom_filter_sample_rows)?;
                Ok(Some(Arc::new(join)))
            }
            _ => Ok(None),
        })
    }

    fn name(&self) -> &str {
        "join_bloom_filter"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns true if the join drops probe rows without a match and compares strings.
fn is_supported(join: &HashJoinExec) -> bool {
    let drops_unmatched = match join.join_type() {
        JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::RightSemi => true,
        JoinType::LeftAnti => !join.null_aware,
        _ => false,
    };
    let (left, right) = (join.left().schema(), join.right().schema());
    let types = |(left_key, right_key): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
        left_key.data_type(&left).ok().zip(right_key.data_type(&right).ok())
    };
    let types: Option<Vec<(DataType, DataType)>> = join.on().iter().map(types).collect();
    let are_strings = types.is_some_and(|types| {
        types.iter().all(|(left, right)| left == right) && types.iter().any(|(left, _)| left.is_string())
    });
    *join.partition_mode() == PartitionMode::CollectLeft
        && join.null_equality() == NullEquality::NullEqualsNothing
        && drops_unmatched
        && are_strings
}
