//! [`IntervalComparison`]: intervals and durations are compared, sorted and grouped by their length.
//!
//! ```text
//!  Filter: CAST(ended_at - started_at AS Interval) > i   ->  Filter: interval_key(ended_at - started_at) > interval_key(i)
//!    contacts                                                  contacts
//!
//!  Aggregate: groupBy=[[i]], aggr=[[count(*)]]           ->  Projection: i, count(*)
//!    contacts                                                  Aggregate: groupBy=[[interval_key(i)]], aggr=[[count(*), min(i) AS i]]
//!                                                                contacts
//! ```
//! A key is the length in nanoseconds, a decimal. Comparisons of any form (`=`, `<`, IS DISTINCT FROM, BETWEEN, IN, ANY, ALL, CASE with an operand, `nullif`), join conditions,
//! ORDER BY, PARTITION BY and GROUP BY, DISTINCT, UNION, INTERSECT and EXCEPT use [`IntervalKey`]; `min`, `max`, `least` and
//! `greatest` are functions of their own, and so is the average of durations ([`DurationAverage`]). The values that are shown stay as they are: of a group with several spellings of one
//! length the one with the fewest months, then days. Intervals within lists and structs are not reached.
//! Switch: `cxql.engine.interval_comparison`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinConstraint, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, Case, InList, InSubquery, ScalarFunction, SetComparison, Sort as SortExpr,
};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, BinaryExpr, Cast, Distinct, Expr, ExprSchemable, GroupingSet, LogicalPlan,
    LogicalPlanBuilder, Operator, Projection, ScalarUDF, Subquery, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition, cast, when,
};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::functions::duration_average::DurationAverage;
use crate::functions::interval_extremes::{IntervalExtreme, IntervalSelection};
use crate::functions::interval_key::{INTERVAL, INTERVAL_KEY, IntervalKey, JUSTIFIED_INTERVAL, length as length_of};
use crate::functions::operators::is_string;

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct IntervalComparison {
    key: Arc<ScalarUDF>,
    justified: Arc<ScalarUDF>,
    least: Arc<ScalarUDF>,
    greatest: Arc<ScalarUDF>,
    min: Arc<AggregateUDF>,
    max: Arc<AggregateUDF>,
    average: Arc<AggregateUDF>,
    is_before_coercion: bool,
}

impl IntervalComparison {
    pub(crate) fn new() -> Self {
        Self {
            is_before_coercion: false,
            key: Arc::new(IntervalKey::udf(false)),
            justified: Arc::new(IntervalKey::udf(true)),
            least: Arc::new(IntervalSelection::udf(false)),
            greatest: Arc::new(IntervalSelection::udf(true)),
            min: Arc::new(IntervalExtreme::udf(false)),
            max: Arc::new(IntervalExtreme::udf(true)),
            average: Arc::new(DurationAverage::udf()),
        }
    }
}

impl IntervalComparison {
    /// The part for BETWEEN with strings, for averages of durations, and for ORDER BY of windows, before type coercion, which refuses RANGE frames over intervals and durations: the
    /// frame that windows with ORDER BY have by default.
    pub(crate) fn of_windows() -> Self {
        Self { is_before_coercion: true, ..Self::new() }
    }

    /// Our average of durations in place of DataFusion's, whose sum wraps.
    fn averages_durations(
        &self,
        function: &mut Arc<AggregateUDF>,
        args: &[Expr],
        is_distinct: bool,
        schema: &DFSchema,
    ) -> bool {
        let is_duration =
            |arg: &Expr| arg.get_type(schema).is_ok_and(|data_type| matches!(data_type, DataType::Duration(_)));
        if is_distinct || function.name() != "avg" || *function == self.average || !args.iter().any(is_duration) {
            return false;
        }
        *function = Arc::clone(&self.average);
        true
    }

    fn windows_ordered(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let mut has_window = false;
        plan.apply_with_subqueries(|plan| {
            has_window |= match plan {
                LogicalPlan::Window(_) => true,
                LogicalPlan::Aggregate(aggregate) => aggregate.aggr_expr.iter().any(is_average),
                _ => false,
            };
            has_window |= has_string_bounds(plan)?;
            Ok(if has_window { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !has_window {
            return Ok(plan);
        }
        rewrite_expressions(plan, |mut expr, schema| {
            if let Expr::Between(between) = &mut expr {
                let is_changed = reads_string_bounds(between, schema);
                return Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) });
            }
            if let Expr::AggregateFunction(call) = &mut expr {
                let is_changed =
                    self.averages_durations(&mut call.func, &call.params.args, call.params.distinct, schema);
                return Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) });
            }
            let Expr::WindowFunction(call) = &mut expr else { return Ok(Transformed::no(expr)) };
            let params = &mut call.params;
            let is_span = |sort: &SortExpr| {
                let is_span = |data_type| matches!(data_type, DataType::Interval(_) | DataType::Duration(_));
                !is_key(&sort.expr) && sort.expr.get_type(schema).is_ok_and(is_span)
            };
            let is_first = params.order_by.first().is_some_and(is_span);
            let mut is_changed = match &mut call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => {
                    self.averages_durations(function, &params.args, params.distinct, schema)
                }
                WindowFunctionDefinition::WindowUDF(_) => false,
            };
            for sort in &mut params.order_by {
                if is_span(sort) {
                    sort.expr = self.key(std::mem::take(&mut sort.expr), schema);
                    is_changed = true;
                }
            }
            if is_first && params.window_frame.units == WindowFrameUnits::Range {
                let bounds = [&mut params.window_frame.start_bound, &mut params.window_frame.end_bound];
                bounds.into_iter().try_for_each(keyed_bound)?;
            }
            Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        })
    }
}

impl AnalyzerRule for IntervalComparison {
    fn name(&self) -> &str {
        "interval_comparison"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        if self.is_before_coercion {
            return self.windows_ordered(plan);
        }
        if !has_intervals(&plan)? {
            return Ok(plan);
        }
        let plan = rewrite_expressions(plan, |expr, schema| self.rewritten(expr, schema))?;
        let plan = plan.transform_up_with_subqueries(|plan| self.operator(plan))?;
        Ok(plan.data)
    }
}

/// Whether a plan node has a BETWEEN with a bound that is a string.
fn has_string_bounds(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            if let Expr::Between(between) = expr {
                found |= is_string(&between.low) || is_string(&between.high);
            }
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

/// Reads string bounds of a BETWEEN over spans as intervals; DataFusion has no common type for them.
fn reads_string_bounds(between: &mut Between, schema: &DFSchema) -> bool {
    let is_span = |expr: &Expr| {
        expr.get_type(schema).is_ok_and(|data_type| matches!(data_type, DataType::Interval(_) | DataType::Duration(_)))
    };
    let has_span = [&between.expr, &between.low, &between.high].into_iter().any(|expr| is_span(expr));
    let mut is_changed = false;
    for part in [&mut between.expr, &mut between.low, &mut between.high] {
        if has_span && is_string(part) {
            **part = cast(std::mem::take(part.as_mut()), INTERVAL);
            is_changed = true;
        }
    }
    is_changed
}

/// Whether a column, a literal or a cast of a plan is an interval. Durations alone are compared correctly.
fn has_intervals(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= plan.schema().fields().iter().any(|field| is_interval(field.data_type()));
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= match expr {
                    Expr::Literal(value, _) => is_interval(&value.data_type()),
                    Expr::Cast(cast) => is_interval(cast.field.data_type()),
                    Expr::TryCast(cast) => is_interval(cast.field.data_type()),
                    _ => false,
                };
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    })?;
    Ok(found)
}

fn is_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::Dictionary(_, values) => is_interval(values),
        _ => false,
    }
}

fn is_key(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => matches!(call.func.name(), INTERVAL_KEY | JUSTIFIED_INTERVAL),
        Expr::Alias(alias) => is_key(&alias.expr),
        _ => false,
    }
}

fn is_average(expr: &Expr) -> bool {
    match expr {
        Expr::AggregateFunction(call) => call.func.name() == "avg",
        Expr::Alias(alias) => is_average(&alias.expr),
        _ => false,
    }
}

/// Whether an expression is an interval that is not a key yet.
fn needs_key(expr: &Expr, schema: &DFSchema) -> bool {
    !is_key(expr) && expr.get_type(schema).is_ok_and(|data_type| is_interval(&data_type))
}

impl IntervalComparison {
    fn key(&self, expr: Expr, schema: &DFSchema) -> Expr {
        match expr {
            // the key of the duration itself: the cast may overflow
            Expr::Cast(Cast { expr: inner, field })
                if is_interval(field.data_type())
                    && inner.get_type(schema).is_ok_and(|inner| matches!(inner, DataType::Duration(_))) =>
            {
                self.key.call(vec![*inner])
            }
            Expr::Alias(alias) => {
                let key = self.key(*alias.expr, schema);
                key.alias_qualified(alias.relation, alias.name)
            }
            expr => self.key.call(vec![expr]),
        }
    }

    /// Keys in place of all values, if one of them is an interval.
    fn keyed(&self, values: Vec<&mut Box<Expr>>, schema: &DFSchema) -> bool {
        let is_compared = values.iter().any(|value| needs_key(value, schema));
        if is_compared {
            for value in values {
                let expr = std::mem::take(value.as_mut());
                **value = if is_key(&expr) { expr } else { self.key(expr, schema) };
            }
        }
        is_compared
    }

    fn keyed_sort(&self, order: &mut [SortExpr], schema: &DFSchema) -> bool {
        let mut is_changed = false;
        for sort in order.iter_mut().filter(|sort| needs_key(&sort.expr, schema)) {
            sort.expr = self.key(std::mem::take(&mut sort.expr), schema);
            is_changed = true;
        }
        is_changed
    }

    /// A subquery whose column is its key.
    fn keyed_subquery(&self, subquery: &mut Subquery) -> Result<bool> {
        let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
        if !matches!(field.data_type(), DataType::Interval(_) | DataType::Duration(_)) {
            return Ok(false);
        }
        let column = Expr::Column(Column::from((qualifier, field)));
        let key = self.key.call(vec![column]).alias(field.name());
        let plan = LogicalPlan::Projection(Projection::try_new(vec![key], Arc::clone(&subquery.subquery))?);
        *subquery = subquery.with_plan(Arc::new(plan));
        Ok(true)
    }

    fn rewritten(&self, mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let is_changed = match &mut expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
                self.keyed(vec![left, right], schema)
            }
            Expr::Between(Between { expr, low, high, .. }) => self.keyed(vec![expr, low, high], schema),
            Expr::InList(InList { expr, list, .. }) => {
                let is_compared = needs_key(expr, schema) || list.iter().any(|value| needs_key(value, schema));
                if is_compared {
                    for value in std::iter::once(expr.as_mut()).chain(list) {
                        let inner = std::mem::take(value);
                        *value = if is_key(&inner) { inner } else { self.key(inner, schema) };
                    }
                }
                is_compared
            }
            Expr::InSubquery(InSubquery { expr, subquery, .. })
            | Expr::SetComparison(SetComparison { expr, subquery, .. }) => {
                let column = subquery.subquery.schema().field(0).data_type();
                let is_compared = needs_key(expr, schema) || (is_interval(column) && !is_key(expr));
                if is_compared && self.keyed_subquery(subquery)? {
                    let inner = std::mem::take(expr.as_mut());
                    **expr = self.key(inner, schema);
                }
                is_compared
            }
            Expr::Case(Case { expr: Some(operand), when_then_expr, .. }) => {
                let values = std::iter::once(operand).chain(when_then_expr.iter_mut().map(|(when, _)| when));
                self.keyed(values.collect(), schema)
            }
            Expr::ScalarFunction(_) => return self.function(expr, schema),
            Expr::AggregateFunction(call) => self.aggregate(call, schema),
            Expr::WindowFunction(call) => {
                let params = &mut call.params;
                let mut is_changed = false;
                for value in params.partition_by.iter_mut().filter(|value| needs_key(value, schema)) {
                    *value = self.key(std::mem::take(value), schema);
                    is_changed = true;
                }
                if let WindowFunctionDefinition::AggregateUDF(function) = &mut call.fun {
                    is_changed |= self.function_of_intervals(function, &mut params.args, params.distinct, schema);
                }
                is_changed
            }
            _ => false,
        };
        Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
    }

    /// `nullif`, `least` and `greatest`.
    fn function(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr else { return Ok(Transformed::no(expr)) };
        let ours = match func.name() {
            "nullif" | "least" | "greatest" if !args.iter().any(|arg| needs_key(arg, schema)) => None,
            "nullif" => {
                let [value, other] = args.as_slice() else { return Ok(Transformed::no(expr)) };
                let keys = [value, other].map(|arg| self.key(arg.clone(), schema));
                let [left, right] = keys;
                let null = Expr::Literal(ScalarValue::try_from(value.get_type(schema)?)?, None);
                return Ok(Transformed::yes(when(left.eq(right), null).otherwise(value.clone())?));
            }
            "least" => Some(&self.least),
            "greatest" => Some(&self.greatest),
            _ => None,
        };
        Ok(match ours {
            Some(ours) if func != ours => Transformed::yes(ours.call(args.clone())),
            _ => Transformed::no(expr),
        })
    }

    fn aggregate(&self, call: &mut AggregateFunction, schema: &DFSchema) -> bool {
        let is_sorted = self.keyed_sort(&mut call.params.order_by, schema);
        self.function_of_intervals(&mut call.func, &mut call.params.args, call.params.distinct, schema) || is_sorted
    }

    /// `min` and `max`, and counts of distinct values.
    fn function_of_intervals(
        &self,
        function: &mut Arc<AggregateUDF>,
        args: &mut [Expr],
        is_distinct: bool,
        schema: &DFSchema,
    ) -> bool {
        if !args.iter().any(|arg| needs_key(arg, schema)) {
            return false;
        }
        let ours = match function.name() {
            "min" => &self.min,
            "max" => &self.max,
            "count" if is_distinct => {
                for arg in args.iter_mut().filter(|arg| needs_key(arg, schema)) {
                    *arg = self.key(std::mem::take(arg), schema);
                }
                return true;
            }
            "approx_distinct" => {
                for arg in args.iter_mut() {
                    *arg = self.key(std::mem::take(arg), schema);
                }
                return true;
            }
            _ => return false,
        };
        let is_changed = function != ours;
        *function = Arc::clone(ours);
        is_changed
    }

    fn operator(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Sort(mut sort) => {
                let schema = Arc::clone(sort.input.schema());
                let is_changed = self.keyed_sort(&mut sort.expr, &schema);
                let plan = LogicalPlan::Sort(sort);
                Ok(if is_changed { Transformed::yes(plan) } else { Transformed::no(plan) })
            }
            LogicalPlan::Join(mut join) => {
                let mut is_changed = false;
                for (left, right) in &mut join.on {
                    let schemas = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
                    if needs_key(left, &schemas.0) || needs_key(right, &schemas.1) {
                        *left = self.key(std::mem::take(left), &schemas.0);
                        *right = self.key(std::mem::take(right), &schemas.1);
                        // USING asks for columns
                        join.join_constraint = JoinConstraint::On;
                        is_changed = true;
                    }
                }
                let plan = LogicalPlan::Join(join);
                Ok(if is_changed { Transformed::yes(plan) } else { Transformed::no(plan) })
            }
            LogicalPlan::Distinct(Distinct::All(input))
                if input.schema().fields().iter().any(|field| is_interval(field.data_type())) =>
            {
                let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
                let aggregate = Aggregate::try_new(input, columns, vec![])?;
                self.operator(LogicalPlan::Aggregate(aggregate))
            }
            LogicalPlan::Distinct(Distinct::On(mut on)) => {
                let schema = Arc::clone(on.input.schema());
                let mut is_changed = false;
                for expr in on.on_expr.iter_mut().filter(|expr| needs_key(expr, &schema)) {
                    *expr = self.key(std::mem::take(expr), &schema);
                    is_changed = true;
                }
                if let Some(order) = &mut on.sort_expr {
                    is_changed |= self.keyed_sort(order, &schema);
                }
                let plan = LogicalPlan::Distinct(Distinct::On(on));
                Ok(if is_changed { Transformed::yes(plan) } else { Transformed::no(plan) })
            }
            LogicalPlan::Aggregate(aggregate) => self.grouped(aggregate),
            plan => Ok(Transformed::no(plan)),
        }
    }

    /// Groups by keys; a projection above has the columns of before.
    fn grouped(&self, aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
        let schema = Arc::clone(aggregate.input.schema());
        let is_grouped = |expr: &Expr| needs_key(expr, &schema);
        let has_sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
        if has_sets {
            let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            };
            if !sets.distinct_expr().into_iter().any(is_grouped) {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            }
            return self.grouped_by_sets(aggregate);
        }
        if !aggregate.group_expr.iter().any(is_grouped) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let Aggregate { input, group_expr, aggr_expr, schema: before, .. } = aggregate;
        let count = group_expr.len();
        let (mut groups, mut shown) = (vec![], vec![]);
        for (index, expr) in group_expr.into_iter().enumerate() {
            if needs_key(&expr, &schema) {
                let value = expr.clone().unalias_nested().data;
                let any = AggregateFunction::new_udf(min_udaf(), vec![value], false, None, vec![], None);
                shown.push((index, Expr::AggregateFunction(any).alias(format!("{SHOWN}{index}"))));
                groups.push(self.key(expr.unalias_nested().data, &schema).alias(format!("{KEY}{index}")));
            } else {
                groups.push(expr);
            }
        }
        let columns: Vec<usize> = shown.iter().map(|(index, _)| *index).collect();
        let aggregates: Vec<Expr> = aggr_expr.into_iter().chain(shown.into_iter().map(|(_, expr)| expr)).collect();
        let aggregates_before = before.fields().len() - count;
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(input, groups, aggregates)?);
        let after: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let restored = before.iter().enumerate().map(|(index, (qualifier, field))| {
            match columns.iter().position(|column| *column == index) {
                Some(position) => after[count + aggregates_before + position]
                    .clone()
                    .alias_qualified(qualifier.cloned(), field.name()),
                None => after[index].clone(),
            }
        });
        let plan = LogicalPlanBuilder::from(plan).project(restored.collect::<Vec<_>>())?.build()?;
        Ok(Transformed::yes(plan))
    }

    /// Grouping sets: a value that is shown cannot be taken from the rows, since NULL stands for "not grouped by".
    fn grouped_by_sets(&self, aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
        let schema = Arc::clone(aggregate.input.schema());
        let Aggregate { input, mut group_expr, aggr_expr, schema: before, .. } = aggregate;
        let justify = |expr: &mut Expr| {
            if needs_key(expr, &schema) {
                *expr = self.justified.call(vec![std::mem::take(expr).unalias_nested().data]);
            }
        };
        match group_expr.as_mut_slice() {
            [Expr::GroupingSet(GroupingSet::Rollup(values) | GroupingSet::Cube(values))] => {
                values.iter_mut().for_each(justify);
            }
            [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter_mut().flatten().for_each(justify),
            _ => {}
        }
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?);
        let after = plan.schema().columns().into_iter().map(Expr::Column);
        let restored = before.iter().zip(after).map(|((qualifier, field), column)| match &column {
            Expr::Column(found) if found.relation.as_ref() == qualifier && found.name() == field.name() => column,
            _ => column.alias_qualified(qualifier.cloned(), field.name()),
        });
        let plan = LogicalPlanBuilder::from(plan).project(restored.collect::<Vec<_>>())?.build()?;
        Ok(Transformed::yes(plan))
    }
}

/// Prefixes of the names of columns between the aggregate and the projection above it.
const KEY: &str = "__interval_key_";
const SHOWN: &str = "__interval_value_";

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// The distance of a RANGE frame as a length.
fn keyed_bound(bound: &mut WindowFrameBound) -> Result<()> {
    let (WindowFrameBound::Preceding(distance) | WindowFrameBound::Following(distance)) = bound else { return Ok(()) };
    let length = match &*distance {
        distance if distance.is_null() => return Ok(()),
        ScalarValue::Utf8(Some(_)) | ScalarValue::IntervalMonthDayNano(_) => distance.cast_to(&INTERVAL)?,
        other => return plan_err!("RANGE over a duration wants an interval such as INTERVAL '5 minutes', not {other}"),
    };
    if let ScalarValue::IntervalMonthDayNano(Some(interval)) = length {
        *distance = ScalarValue::Decimal128(Some(length_of(interval)), 38, 0);
    }
    Ok(())
}
