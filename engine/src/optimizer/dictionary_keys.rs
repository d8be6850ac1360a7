//! [`DictionaryKeys`]: dictionaries are plain values as keys of hash joins, if they hold integers or NULL equals NULL.
//!
//! ```text
//!  HashJoinExec: on=[(k, k)]      ->      HashJoinExec: on=[(CAST(k AS Int32), CAST(k AS Int32))]
//!    scan: k Dictionary(Int32, Int32)       scan: k Dictionary(Int32, Int32)
//! ```
//! DataFusion 55.2 looks up integer keys of small build sides in an array. It asks the smallest and largest key whether they
//! are integers, which they are also in dictionaries, and then fails on the array: "Unsupported type for ArrayMap".
//! Categories of pandas are such columns, and so is the length of a string that is a dictionary in its file. Where NULL
//! equals NULL it overlooks a NULL among the values of a dictionary and prunes NULLs from the probe side: there all dictionaries
//! are cast.
//! Switch: `cxql.engine.dictionary_keys`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{NullEquality, Result};
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::cast;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use crate::exec_util::rewrite_plan;

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct DictionaryKeys;

impl PhysicalOptimizerRule for DictionaryKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| {
            let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(None) };
            let (left, right) = (join.left().schema(), join.right().schema());
            let finds_nulls = join.null_equality() == NullEquality::NullEqualsNull;
            let mut is_changed = false;
            let mut keys = Vec::with_capacity(join.on().len());
            for (left_key, right_key) in join.on() {
                let plain_left = plain(left_key, &left, finds_nulls)?;
                let plain_right = plain(right_key, &right, finds_nulls)?;
                is_changed |= plain_left.is_some() || plain_right.is_some();
                keys.push((
                    plain_left.unwrap_or_else(|| Arc::clone(left_key)),
                    plain_right.unwrap_or_else(|| Arc::clone(right_key)),
                ));
            }
            if !is_changed {
                return Ok(None);
            }
            Ok(Some(Arc::new(join.builder().with_on(keys).build()?) as _))
        })
    }

    fn name(&self) -> &str {
        "dictionary_keys"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A key in a dictionary as a plain value; `None` for other keys.
fn plain(key: &PhysicalExprRef, schema: &Schema, finds_nulls: bool) -> Result<Option<PhysicalExprRef>> {
    match key.data_type(schema)? {
        DataType::Dictionary(_, value) if value.is_integer() || finds_nulls => {
            Ok(Some(cast(Arc::clone(key), schema, value.as_ref().clone())?))
        }
        _ => Ok(None),
    }
}
