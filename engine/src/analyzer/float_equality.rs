//! [`FloatEquality`]: -0.0 equals 0.0, NaN equals NaN and is larger than all numbers, wherever values are compared.
//!
//! ```text
//!  Aggregate: groupBy=[[t.x]], aggr=[[max(t.y)]]           Aggregate: groupBy=[[t.x]], aggr=[[max(canonical_float(t.y))]]
//!    Filter: t.y > 1 AND t.z = 0 AND t.y < t.z      ->       Projection: canonical_float(t.x) AS t.x, t.y
//!      TableScan: t                                            Filter: (t.y > 1 OR isnan(t.y)) AND (t.z = 0 OR t.z = -0)
//!                                                                      AND canonical_float(t.y) < canonical_float(t.z)
//!                                                                TableScan: t
//! ```
//! Keys of GROUP BY, DISTINCT, PARTITION BY, ORDER BY and joins, and the arguments of aggregates that compare, are wrapped in
//! `canonical_float`. A column beside a constant stays a column, so that Parquet statistics still prune, as far as they may:
//! those of Parquet leave NaN out, and `y > 1` holds for it.
//!
//! | comparison with the constant c | rewritten |
//! |---|---|
//! | `x = c`, `x in (c, ...)` | unchanged if c is neither 0 nor NaN |
//! | `x < c`, `x <= c` | `... and not isnan(x)`: a NaN with the sign bit is DataFusion's smallest value |
//! | `x > c`, `x >= c`, `x <> c` | `... or isnan(x)` |
//! | `x between c and d` | unchanged but for zeros |
//! | `x < 0`, `x >= 0` | the zero is -0.0, else 0.0 |
//! | `x = c`, `x in (c, ...)`, `x between c and d` below anything but AND and OR of a WHERE | `... and not isnan(x)` |
//!
//! A comparison that the optimizer may negate (`not (x <= 2)`, `(x <= 2) = false`, CASE) has to mention NaN in both forms.
//!
//! Lists and structs of floats are canonical as a whole, also where array functions compare their elements. Switch: `cxql.engine.float_equality`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::functions::math::isnan;
use datafusion::logical_expr::expr::{
    AggregateFunctionParams, Alias, Between, Case, InList, InSubquery, ScalarFunction, SetComparison, Sort,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, Join, JoinConstraint, LogicalPlan, Operator, Projection,
    ScalarUDF, Subquery,
};
use datafusion::optimizer::AnalyzerRule;

use crate::functions::canonical_float::{CanonicalFloatFunction, NAME, canonical_scalar, has_floats};

/// Aggregates that compare or hash their first argument.
const COMPARING: [&str; 11] = [
    "min",
    "max",
    "approx_distinct",
    "median",
    "approx_median",
    "percentile_cont",
    "percentiles_cont",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "mode",
    "percentile_disc",
];

/// Scalar functions that compare their arguments, or elements of them.
const COMPARING_SCALAR: [&str; 19] = [
    "greatest",
    "least",
    "array_distinct",
    "array_except",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_max",
    "array_min",
    "array_position",
    "array_positions",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_sort",
    "array_union",
];

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct FloatEquality {
    canonical: Arc<ScalarUDF>,
}

impl FloatEquality {
    pub(crate) fn new() -> Self {
        Self { canonical: Arc::new(CanonicalFloatFunction::new().into()) }
    }
}

impl AnalyzerRule for FloatEquality {
    fn name(&self) -> &str {
        "float_equality"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut is_changed = false;
        let plan = plan.transform_up_with_subqueries(|plan| {
            let plan = self.rewrite_expressions(plan)?.transform_data(|plan| self.rewrite_keys(plan))?;
            is_changed |= plan.transformed;
            if is_changed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
        })?;
        Ok(plan.data)
    }
}

fn is_float_expr(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| has_floats(&data_type))
}

/// A constant without its cast: type coercion leaves `cast(5 as double)`, which is folded later.
fn folded(expr: Expr) -> Expr {
    let value = match &expr {
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(value, _) => value.cast_to(cast.field.data_type()).ok(),
            _ => None,
        },
        _ => None,
    };
    value.map_or(expr, |value| Expr::Literal(value, None))
}

/// Returns true if a value is one of an outer query. DataFusion decorrelates `column = outer column` only as it is; it equates
/// zeros there, and NaN of the same sign.
fn is_correlated(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..)))).unwrap_or(true)
}

/// The value of a constant.
fn constant(expr: &Expr) -> Option<f64> {
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::Float16(Some(value)) => Some(f64::from(*value)),
        ScalarValue::Float32(Some(value)) => Some(f64::from(*value)),
        ScalarValue::Float64(Some(value)) => Some(*value),
        _ => None,
    }
}

/// A constant of the type of another one.
fn constant_like(expr: &Expr, value: f64) -> Option<Expr> {
    let Expr::Literal(other, _) = expr else { return None };
    Some(Expr::Literal(ScalarValue::Float64(Some(value)).cast_to(&other.data_type()).ok()?, None))
}

fn compare(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn is_nan(expr: Expr) -> Expr {
    isnan().call(vec![expr])
}

/// A condition that does not hold for NaN; its negation does.
fn and_number(condition: Expr, value: Expr) -> Expr {
    compare(condition, Operator::And, Expr::Not(Box::new(is_nan(value))))
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// A column, which statistics may know, also below a cast or an alias.
fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_column(&cast.expr),
        _ => false,
    }
}

impl FloatEquality {
    /// Returns true if an expression has one zero and one NaN.
    fn is_canonical(expr: &Expr, schema: &DFSchema) -> bool {
        match expr {
            Expr::ScalarFunction(call) => call.name() == NAME,
            Expr::Literal(value, _) => {
                // of a list it is not looked up
                value.data_type().is_floating()
                    && canonical_scalar(value.clone()).is_ok_and(|canonical| canonical == *value)
                    && constant(expr).is_none_or(|value| !(value == 0.0 && value.is_sign_negative()))
            }
            Expr::Alias(alias) => Self::is_canonical(&alias.expr, schema),
            // numbers that are no floats have neither
            Expr::Cast(cast) => cast.expr.get_type(schema).is_ok_and(|from| {
                (from.is_integer() || from.is_decimal())
                    || (has_floats(&from) && Self::is_canonical(&cast.expr, schema))
            }),
            _ => false,
        }
    }

    /// Wraps a float.
    fn wrapped(&self, expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        if !is_float_expr(&expr, schema) || Self::is_canonical(&expr, schema) {
            return Transformed::no(expr);
        }
        Transformed::yes(match expr {
            Expr::Literal(value, metadata) if value.data_type().is_floating() => {
                let canonical = canonical_scalar(value.clone()).unwrap_or(value);
                Expr::Literal(canonical, metadata)
            }
            Expr::Alias(Alias { expr, relation, name, .. }) => {
                self.canonical.call(vec![*expr]).alias_qualified(relation, name)
            }
            expr => self.canonical.call(vec![expr]),
        })
    }

    /// As [`Self::wrapped`], with the name that the expression had.
    fn wrapped_as_named(&self, expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        let (relation, name) = expr.qualified_name();
        self.wrapped(expr, schema).update_data(|expr| match expr {
            Expr::ScalarFunction(call) if call.name() == NAME => {
                Expr::ScalarFunction(call).alias_qualified(relation, name)
            }
            expr => expr,
        })
    }

    fn wrapped_all(&self, exprs: Vec<Expr>, schema: &DFSchema) -> Transformed<Vec<Expr>> {
        let mut is_changed = false;
        let exprs = exprs.into_iter().map(|expr| {
            let expr = self.wrapped(expr, schema);
            is_changed |= expr.transformed;
            expr.data
        });
        let exprs = exprs.collect();
        Transformed::new_transformed(exprs, is_changed)
    }

    fn wrapped_sorts(&self, sorts: Vec<Sort>, schema: &DFSchema) -> Transformed<Vec<Sort>> {
        let mut is_changed = false;
        let sorts = sorts.into_iter().map(|sort| {
            let expr = self.wrapped(sort.expr, schema);
            is_changed |= expr.transformed;
            Sort { expr: expr.data, ..sort }
        });
        let sorts = sorts.collect();
        Transformed::new_transformed(sorts, is_changed)
    }

    /// Rewrites comparisons and calls in all expressions of a plan; columns keep their names.
    fn rewrite_expressions(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&scan.projected_schema);
        }
        let names = NamePreserver::new(&plan);
        let is_filter = matches!(plan, LogicalPlan::Filter(_));
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = match is_filter {
                true => self.rewrite_condition(expr, &schema)?,
                false => expr.transform_up(|expr| self.rewrite(expr, true, &schema))?,
            };
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
    }

    /// Rewrites a condition, whose parts beside AND and OR nothing negates.
    fn rewrite_condition(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        expr.transform_down(|expr| {
            if let Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) = &expr {
                return Ok(Transformed::no(expr));
            }
            let expr = expr
                .map_children(|child| child.transform_up(|expr| self.rewrite(expr, true, schema)))?
                .transform_data(|expr| self.rewrite(expr, false, schema))?;
            Ok(Transformed::new(expr.data, expr.transformed, TreeNodeRecursion::Jump))
        })
    }

    fn rewrite(&self, expr: Expr, is_negatable: bool, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
                if is_float_expr(&left, schema) && is_float_expr(&right, schema) {
                    return Ok(self.comparison(*left, op, *right, is_negatable, schema));
                }
                Transformed::no(compare(*left, op, *right))
            }
            Expr::Between(Between { expr, negated, low, high }) if is_float_expr(&expr, schema) => {
                self.between(*expr, negated, (*low, *high), is_negatable, schema)
            }
            Expr::InList(InList { expr, list, negated }) if is_float_expr(&expr, schema) => {
                let list: Vec<Expr> = list.into_iter().map(folded).collect();
                // constants other than 0 and NaN are found by their bits
                let is_plain = |value: &Expr| constant(value).is_some_and(|value| value != 0.0 && !value.is_nan());
                if is_column(&expr) && list.iter().all(is_plain) {
                    // `not in` of a file in which all other values are in the list: statistics leave NaN out
                    let column = (*expr).clone();
                    let list = Expr::InList(InList { expr, list, negated });
                    return Ok(match (negated, is_negatable) {
                        (true, _) => Transformed::yes(compare(list, Operator::Or, is_nan(column))),
                        (false, true) => Transformed::yes(and_number(list, column)),
                        (false, false) => Transformed::no(list),
                    });
                }
                let expr = Box::new(self.wrapped(*expr, schema).data);
                let list = self.wrapped_all(list, schema).data;
                Transformed::yes(Expr::InList(InList { expr, list, negated }))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) if is_float_expr(&expr, schema) => {
                let expr = Box::new(self.wrapped(*expr, schema).data);
                let subquery = self.canonical_subquery(subquery)?;
                Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery, negated }))
            }
            Expr::SetComparison(set) if is_float_expr(&set.expr, schema) => {
                let SetComparison { expr, subquery, op, quantifier } = set;
                let expr = Box::new(self.wrapped(*expr, schema).data);
                let subquery = self.canonical_subquery(subquery)?;
                Transformed::yes(Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }))
            }
            Expr::Case(Case { expr: Some(base), when_then_expr, else_expr }) if is_float_expr(&base, schema) => {
                let base = self.wrapped(*base, schema).data;
                let wrap = |(when, then): (Box<Expr>, Box<Expr>)| (Box::new(self.wrapped(*when, schema).data), then);
                let when_then_expr = when_then_expr.into_iter().map(wrap).collect();
                Transformed::yes(Expr::Case(Case { expr: Some(Box::new(base)), when_then_expr, else_expr }))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
                name if COMPARING_SCALAR.contains(&name) => self
                    .wrapped_all(args, schema)
                    .update_data(|args| Expr::ScalarFunction(ScalarFunction { func, args })),
                "nullif" => match <[Expr; 2]>::try_from(args) {
                    Ok([left, right]) if is_float_expr(&left, schema) && is_float_expr(&right, schema) => {
                        let equal = self.comparison(left.clone(), Operator::Eq, right, true, schema).data;
                        let null = ScalarValue::try_from(&left.get_type(schema)?)?;
                        Transformed::yes(Expr::Case(Case {
                            expr: None,
                            when_then_expr: vec![(Box::new(equal), Box::new(Expr::Literal(null, None)))],
                            else_expr: Some(Box::new(left)),
                        }))
                    }
                    Ok(args) => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args: args.into() })),
                    Err(args) => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
                },
                _ => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
            },
            Expr::AggregateFunction(mut call) => {
                let AggregateFunctionParams { args, distinct, order_by, .. } = &mut call.params;
                let mut is_changed = false;
                if *distinct || COMPARING.contains(&call.func.name()) {
                    let wrapped = self.wrapped_all(std::mem::take(args), schema);
                    is_changed |= wrapped.transformed;
                    *args = wrapped.data;
                }
                let sorts = self.wrapped_sorts(std::mem::take(order_by), schema);
                is_changed |= sorts.transformed;
                *order_by = sorts.data;
                Transformed::new_transformed(Expr::AggregateFunction(call), is_changed)
            }
            Expr::WindowFunction(mut call) => {
                let mut is_changed = false;
                let name = call.fun.name().to_owned();
                let params = &mut call.params;
                let mut wrap = |exprs: &mut Vec<Expr>| {
                    let wrapped = self.wrapped_all(std::mem::take(exprs), schema);
                    is_changed |= wrapped.transformed;
                    *exprs = wrapped.data;
                };
                if params.distinct || COMPARING.contains(&name.as_str()) {
                    wrap(&mut params.args);
                }
                wrap(&mut params.partition_by);
                let sorts = self.wrapped_sorts(std::mem::take(&mut params.order_by), schema);
                is_changed |= sorts.transformed;
                params.order_by = sorts.data;
                Transformed::new_transformed(Expr::WindowFunction(call), is_changed)
            }
            other => Transformed::no(other),
        })
    }

    /// A comparison of floats, see the page of this module.
    fn comparison(
        &self,
        left: Expr,
        op: Operator,
        right: Expr,
        is_negatable: bool,
        schema: &DFSchema,
    ) -> Transformed<Expr> {
        let (left, right) = (folded(left), folded(right));
        if is_correlated(&left) || is_correlated(&right) {
            return Transformed::no(compare(left, op, right));
        }
        if constant(&left).is_some()
            && constant(&right).is_none()
            && let Some(op) = op.swap()
        {
            return self.comparison(right, op, left, is_negatable, schema);
        }
        let is_distinct = matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
        let value = constant(&right).filter(|value| !value.is_nan() && is_column(&left) && !is_distinct);
        let Some(value) = value.filter(|_| !Self::is_canonical(&left, schema)) else {
            let (left, right) = (self.wrapped(left, schema), self.wrapped(right, schema));
            let is_changed = left.transformed || right.transformed;
            return Transformed::new_transformed(compare(left.data, op, right.data), is_changed);
        };
        // DataFusion compares bits: of the two zeros, the one that is on the right side of both
        let zero = match op {
            Operator::Lt | Operator::GtEq => -0.0,
            _ => 0.0,
        };
        let right = if value == 0.0 { constant_like(&right, zero).unwrap_or(right) } else { right };
        let other_zero = constant_like(&right, -0.0).filter(|_| value == 0.0);
        let bare = compare(left.clone(), op, right.clone());
        Transformed::yes(match op {
            Operator::Eq => {
                let bare = match other_zero {
                    Some(zero) => compare(bare, Operator::Or, compare(left.clone(), op, zero)),
                    None if !is_negatable => return Transformed::no(bare),
                    None => bare,
                };
                if is_negatable { and_number(bare, left) } else { bare }
            }
            Operator::NotEq => {
                let bare = match other_zero {
                    Some(zero) => compare(bare, Operator::And, compare(left.clone(), op, zero)),
                    None => bare,
                };
                compare(bare, Operator::Or, is_nan(left))
            }
            Operator::Lt | Operator::LtEq => and_number(bare, left),
            _ => compare(bare, Operator::Or, is_nan(left)),
        })
    }

    fn between(
        &self,
        expr: Expr,
        negated: bool,
        bounds: (Expr, Expr),
        is_negatable: bool,
        schema: &DFSchema,
    ) -> Transformed<Expr> {
        let (low, high) = (folded(bounds.0), folded(bounds.1));
        let is_number = |bound: &Expr| constant(bound).is_some_and(|value| !value.is_nan());
        let between = |expr: Expr, low: Expr, high: Expr| {
            Expr::Between(Between { expr: Box::new(expr), negated, low: Box::new(low), high: Box::new(high) })
        };
        if !(is_column(&expr) && is_number(&low) && is_number(&high)) {
            let [expr, low, high] = [expr, low, high].map(|expr| self.wrapped(expr, schema));
            let is_changed = expr.transformed || low.transformed || high.transformed;
            return Transformed::new_transformed(between(expr.data, low.data, high.data), is_changed);
        }
        let zero_as = |bound: Expr, zero: f64| {
            if constant(&bound) == Some(0.0) { constant_like(&bound, zero).unwrap_or(bound) } else { bound }
        };
        let (low, high) = (zero_as(low, -0.0), zero_as(high, 0.0));
        if negated {
            let nan = is_nan(expr.clone());
            return Transformed::yes(compare(between(expr, low, high), Operator::Or, nan));
        }
        if is_negatable {
            return Transformed::yes(and_number(between(expr.clone(), low, high), expr));
        }
        Transformed::yes(between(expr, low, high))
    }

    /// A subquery of one column of floats, made canonical.
    fn canonical_subquery(&self, subquery: Subquery) -> Result<Subquery> {
        let plan = self.canonical_columns(Arc::clone(&subquery.subquery), |_| true)?;
        Ok(match plan {
            Some(plan) => subquery.with_plan(Arc::new(plan)),
            None => subquery,
        })
    }

    /// A projection of all columns in which the chosen ones are canonical; `None` if no float is among them.
    fn canonical_columns(
        &self,
        input: Arc<LogicalPlan>,
        is_key: impl Fn(&Expr) -> bool,
    ) -> Result<Option<LogicalPlan>> {
        let schema = Arc::clone(input.schema());
        let mut has_float = false;
        let columns = schema.iter().map(|(relation, field)| {
            let column = Expr::from((relation, field));
            if !has_floats(field.data_type()) || !is_key(&column) {
                return column;
            }
            has_float = true;
            self.canonical.call(vec![column]).alias_qualified(relation.cloned(), field.name())
        });
        let columns: Vec<Expr> = columns.collect();
        if !has_float {
            return Ok(None);
        }
        Ok(Some(LogicalPlan::Projection(Projection::try_new_with_schema(columns, input, schema)?)))
    }

    /// Makes the keys of an operator canonical.
    fn rewrite_keys(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        Ok(match plan {
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate)?,
            LogicalPlan::Distinct(Distinct::All(input)) => {
                match self.canonical_columns(Arc::clone(&input), |_| true)? {
                    Some(input) => Transformed::yes(LogicalPlan::Distinct(Distinct::All(Arc::new(input)))),
                    None => Transformed::no(LogicalPlan::Distinct(Distinct::All(input))),
                }
            }
            LogicalPlan::Distinct(Distinct::On(mut on)) => {
                let schema = Arc::clone(on.input.schema());
                let keys = self.wrapped_all(std::mem::take(&mut on.on_expr), &schema);
                let sorts = self.wrapped_sorts(on.sort_expr.take().unwrap_or_default(), &schema);
                let is_changed = keys.transformed || sorts.transformed;
                on.on_expr = keys.data;
                on.sort_expr = (!sorts.data.is_empty()).then_some(sorts.data);
                Transformed::new_transformed(LogicalPlan::Distinct(Distinct::On(on)), is_changed)
            }
            LogicalPlan::Sort(mut sort) => {
                let schema = Arc::clone(sort.input.schema());
                let sorts = self.wrapped_sorts(std::mem::take(&mut sort.expr), &schema);
                sort.expr = sorts.data;
                Transformed::new_transformed(LogicalPlan::Sort(sort), sorts.transformed)
            }
            LogicalPlan::Join(join) => self.join(join),
            other => Transformed::no(other),
        })
    }

    /// Columns that are keys are made canonical below, so that they keep their qualified names also in grouping sets; computed
    /// keys are wrapped.
    fn aggregate(&self, aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
        let schema = Arc::clone(aggregate.input.schema());
        let mut keys = vec![];
        let mut is_changed = false;
        let mut group_expr = Vec::with_capacity(aggregate.group_expr.len());
        for expr in aggregate.group_expr.clone() {
            let expr = match expr {
                Expr::Column(_) => {
                    keys.push(expr.clone());
                    Transformed::no(expr)
                }
                Expr::GroupingSet(set) => Expr::GroupingSet(set).map_children(|expr| {
                    if let Expr::Column(_) = expr {
                        keys.push(expr.clone());
                        return Ok(Transformed::no(expr));
                    }
                    Ok(self.wrapped_as_named(expr, &schema))
                })?,
                expr => self.wrapped_as_named(expr, &schema),
            };
            is_changed |= expr.transformed;
            group_expr.push(expr.data);
        }
        let input = self.canonical_columns(Arc::clone(&aggregate.input), |column| keys.contains(column))?;
        if input.is_none() && !is_changed {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let input = input.map_or(aggregate.input, Arc::new);
        let aggregate = Aggregate::try_new_with_schema(input, group_expr, aggregate.aggr_expr, aggregate.schema)?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    }

    fn join(&self, mut join: Join) -> Transformed<LogicalPlan> {
        let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
        let mut is_changed = false;
        let pairs = std::mem::take(&mut join.on).into_iter().map(|(left_key, right_key)| {
            let (left_key, right_key) = (self.wrapped(left_key, &left), self.wrapped(right_key, &right));
            is_changed |= left_key.transformed || right_key.transformed;
            (left_key.data, right_key.data)
        });
        join.on = pairs.collect();
        if is_changed {
            // USING is of columns; names were resolved before
            join.join_constraint = JoinConstraint::On;
        }
        Transformed::new_transformed(LogicalPlan::Join(join), is_changed)
    }
}
