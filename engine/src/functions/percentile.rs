//! [`PercentileCont`]: `percentile_cont(p) within group (order by x)`, exact, by counting values instead of storing them.
//!
//! Formula: linear interpolation at rank (n - 1) * p of the n sorted values, as SQL defines it (ISO/IEC 9075-2).
//! Units:   those of x.
//! NULL:    a row with a NULL x is skipped; no rows left returns NULL.
//! Edges:   p outside [0, 1] is an error of DataFusion's function; `order by x desc` is 1 - p.
//! Source:  DataFusion 55.2 stores every value for every call and rounds the interpolation weight to six digits. Types other than
//!          double precision and DISTINCT are left to it.
//!
//! [`PercentilesCont`] computes several percentiles of the same values; the analyzer rule `MergePercentiles` makes it of several
//! calls of `percentile_cont`. Both share [`accumulator`], which has one [`counts`] per group.

mod accumulator;
mod counts;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use self::accumulator::{PercentileAccumulator, state_fields};
use crate::functions::delegate::delegate_to_inner;

/// `percentile_cont` over doubles; for other arguments DataFusion's function.
///
/// Waits and durations are mostly whole seconds below some thousands: their counts are all that a percentile needs, and take a
/// fraction of the time and memory of the values. Other values are stored as DataFusion does.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PercentileCont {
    inner: Arc<AggregateUDF>,
}

impl PercentileCont {
    pub(crate) fn new(inner: Arc<AggregateUDF>) -> Self {
        Self { inner }
    }

    fn percentile(&self, args: AccumulatorArgs<'_>) -> Result<f64> {
        let literal = args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>());
        let percentile = literal.map(|literal| literal.value().cast_to(&DataType::Float64)).transpose()?;
        let is_descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        // DataFusion checks the arguments, with its own errors
        self.inner.accumulator(args)?;
        match percentile {
            Some(ScalarValue::Float64(Some(percentile))) => {
                Ok(if is_descending { 1.0 - percentile } else { percentile })
            }
            other => internal_err!("a percentile of {other:?}"),
        }
    }
}

/// Returns true if our accumulator replaces DataFusion's.
fn is_overridden(data_type: Option<&FieldRef>, is_distinct: bool) -> bool {
    data_type.is_some_and(|field| field.data_type() == &DataType::Float64) && !is_distinct
}

impl AggregateUDFImpl for PercentileCont {
    delegate_to_inner! { name, aliases, signature, return_type, documentation }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_overridden(args.input_fields.first(), args.is_distinct) {
            return self.inner.state_fields(args);
        }
        Ok(state_fields(args.name))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_overridden(args.expr_fields.first(), args.is_distinct) {
            return self.inner.accumulator(args);
        }
        Ok(Box::new(PercentileAccumulator::new(vec![self.percentile(args)?], false).ungrouped()))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_overridden(args.expr_fields.first(), args.is_distinct) {
            return self.inner.create_groups_accumulator(args);
        }
        Ok(Box::new(PercentileAccumulator::new(vec![self.percentile(args)?], false)))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.simplify()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }
}

/// `percentiles_cont(x, p, ...)`: several percentiles of the same values as a list. No SQL name: only the analyzer rule
/// `MergePercentiles` calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PercentilesCont {
    signature: Signature,
}

impl PercentilesCont {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }

    fn accumulator(args: &AccumulatorArgs<'_>) -> Result<PercentileAccumulator> {
        let percentile = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Literal>().map(Literal::value) {
            Some(ScalarValue::Float64(Some(percentile))) => Ok(*percentile),
            _ => internal_err!("a percentile of {expr}"),
        };
        let percentiles = args.exprs.iter().skip(1).map(percentile).collect::<Result<_>>()?;
        Ok(PercentileAccumulator::new(percentiles, true))
    }
}

impl AggregateUDFImpl for PercentilesCont {
    fn name(&self) -> &str {
        "percentiles_cont"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(state_fields(args.name))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Self::accumulator(&args)?.ungrouped()))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Self::accumulator(&args)?))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::Float64Type;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::analyzer::merge_percentiles::MergePercentiles;

    /// Expected values: the sorted values, interpolated at rank (n - 1) * p as the definition says.
    #[tokio::test]
    async fn grouped_merged_and_sliding_percentiles_match_the_definition() {
        let mut random = Pcg64::seed_from_u64(5);
        let rows: Vec<(i64, Option<f64>)> = (0..20_000)
            .map(|_| {
                let value = match random.random_range(0..10) {
                    0 => None,
                    1 => Some(f64::from(random.random_range(-1000..1000)) / 8.0),
                    2 => Some(random.random_range(-1e12..1e12)),
                    3 => Some(-0.0),
                    _ => Some(f64::from(random.random_range(0..600))),
                };
                (random.random_range(0..40), value)
            })
            .collect();
        let context =
            SessionContext::new_with_config(SessionConfig::new().with_batch_size(700).with_target_partitions(3));
        let inner = Arc::clone(&context.state().aggregate_functions()["percentile_cont"]);
        context.register_udaf(AggregateUDF::from(PercentileCont::new(inner)));
        context.add_analyzer_rule(Arc::new(MergePercentiles::new()));
        let columns: [(&str, ArrayRef); 2] = [
            ("k", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)))),
            ("v", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)))),
        ];
        context.register_batch("t", RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let expected = |wanted: &dyn Fn(i64, f64) -> bool, percentile: f64| {
            let mut values: Vec<f64> = rows.iter().filter_map(|(k, v)| v.filter(|v| wanted(*k, *v))).collect();
            values.sort_by(f64::total_cmp);
            let rank = percentile * (values.len() - 1) as f64;
            let (lower, upper) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
            if lower == upper { lower } else { lower + (upper - lower) * rank.fract() }
        };
        let answer = async |sql: &str| {
            let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
            let all = datafusion::arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
            all.columns()
                .iter()
                .map(|column| column.as_primitive::<Float64Type>().values().to_vec())
                .collect::<Vec<_>>()
        };
        let found = answer(
            "select cast(k as double) as k, percentile_cont(0.5) within group (order by v) as a,
                percentile_cont(0.99) within group (order by v desc) filter (where v >= 0) as b,
                quantile_cont(v, 0.123) as c
             from t group by k order by k",
        )
        .await;
        assert_eq!(found[0].len(), 40);
        for (row, key) in (0..40).enumerate() {
            assert_eq!(found[1][row], expected(&|k, _| k == key, 0.5), "key {key}");
            assert_eq!(found[2][row], expected(&|k, v| k == key && v >= 0.0, 1.0 - 0.99), "key {key}");
            assert_eq!(found[3][row], expected(&|k, _| k == key, 0.123), "key {key}");
        }
        let found = answer("select percentile_cont(0.9) within group (order by v) as a from t where k < 7").await;
        assert_eq!(found[0], [expected(&|k, _| k < 7, 0.9)]);

        // several percentiles of the same values become one call
        let sql =
            "select percentile_cont(0.9) within group (order by v) as a, avg(v) * 0 as b, quantile_cont(v, 0.1) as c,
                percentile_cont(0.3) within group (order by v desc) as d, sum(v) filter (where k < 0) is null as e,
                percentile_cont(0.5) within group (order by v) filter (where v < 0) as f,
                percentile_cont(0.6) within group (order by v) filter (where v < 0) as g,
                percentile_cont(0.5) within group (order by v) filter (where v < -1e300) as h
             from t where k < $most group by k % 1 having count(*) > 0 and quantile_cont(v, 0.2) < 1e300";
        for (most, sql) in [(9, sql.replace("$most", "9")), (0, sql.replace("$most", "0"))] {
            let frame = context.sql(&sql).await.unwrap();
            let plan = frame.clone().into_optimized_plan().unwrap().to_string();
            let calls = plan.lines().find(|line| line.contains("Aggregate:")).unwrap_or_default();
            let count = |name| calls.matches(name).count();
            assert_eq!((count("percentiles_cont(t.v, "), count("percentile_cont(t.v, ")), (2, 1), "{plan}");
            let batches = frame.collect().await.unwrap();
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, usize::from(most > 0));
            let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { continue };
            let names: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "h"]);
            let value = |column: usize| batch.column(column).as_primitive::<Float64Type>().value(0);
            assert_eq!(value(0), expected(&|k, _| k < most, 0.9));
            assert_eq!(value(2), expected(&|k, _| k < most, 0.1));
            assert_eq!(value(3), expected(&|k, _| k < most, 1.0 - 0.3));
            assert_eq!(value(5), expected(&|k, v| k < most && v < 0.0, 0.5));
            assert_eq!(value(6), expected(&|k, v| k < most && v < 0.0, 0.6));
            assert!(batch.column(7).is_null(0));
        }
        // sliding frames: DataFusion's weight of six digits bounds the difference
        let found = answer(
            "select max(abs(a - b)) from (select
                quantile_cont(w, 0.4) over (order by i rows between 20 preceding and current row) as a,
                quantile_cont(narrow, 0.4) over (order by i rows between 20 preceding and current row) as b
             from (select i, w, cast(w as float) as narrow from
                (select row_number() over () as i, cast(k as double) / 4 as w from t)))",
        )
        .await;
        assert!(found[0][0] <= 2e-5, "{found:?}");
    }
}
