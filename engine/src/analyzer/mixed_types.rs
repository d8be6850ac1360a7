//! [`MixedTypes`]: a decimal beside a float is a double, and a number is no date.
//!
//! | expression | as |
//! |---|---|
//! | `dec = dbl`, BETWEEN, IN, ANY, CASE with an operand, `nullif`, keys of joins | `cast(dec as double) = dbl` |
//! | `case when c then dec else dbl end`, `coalesce`, `greatest`, `least`, `[dec, dbl]`, UNION, EXCEPT, INTERSECT | all are doubles |
//! | `coalesce(dec, 0.5)`, CASE, UNION with such a literal | the literal is a decimal |
//! | `int = real`, also with a literal that a real has no room for | both are doubles |
//! | `d >= 20250301`, `cast(20250101 as date)`, `to_date(20250101)`, `cast(at as bigint)` | an error that says what to write |
//! | `cast(dictionary as int)`, `string_agg(distinct dictionary, ',' order by dictionary)` | of the values of the rows |
//!
//! DataFusion 55.2 makes both `decimal(30, 15)`: 1.15 is not equal to the double 1.15, what does not fit is an error, and
//! 1e-17 is 0. PostgreSQL and DuckDB compare doubles. Literals beside decimals in comparisons are left to
//! [`exact_comparison`](super::exact_comparison), which makes decimals of them. A number is taken for days, or for the ticks
//! of a unit that depends on the width of the number and on the file; both other databases refuse it. Arrow casts all values of
//! a dictionary, also those that no row has any more: a condition does not keep them out.
//!
//! Switch: `cxql.engine.mixed_types`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, JoinConstraint, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{
    AggregateFunction, Alias, Between, Case, Cast, InList, InSubquery, SetComparison, TryCast,
};
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, Join, LogicalPlan, Projection, Subquery, Union, cast,
};
use datafusion::optimizer::AnalyzerRule;

use super::exact_comparison::exact_literal;
use super::rewrite_node;
use super::timestamp_comparison::is_comparison;

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct MixedTypes;

impl AnalyzerRule for MixedTypes {
    fn name(&self) -> &str {
        "mixed_types"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut is_changed = false;
        let plan = plan.transform_up_with_subqueries(|plan| {
            let plan = operator(plan)?.transform_data(|plan| rewrite_node(plan, &mut rewritten))?;
            is_changed |= plan.transformed;
            // column types may have changed, here and in all plans above
            if is_changed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
        })?;
        Ok(plan.data)
    }
}

/// Why values have one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// They are compared: literals are left to `exact_comparison`.
    Compared,
    /// They are the values of one result.
    Result,
}

fn rewritten(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    use Meeting::{Compared, Result as Values};
    let is_changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            unified(vec![left.as_mut(), right.as_mut()], Compared, schema)?
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            unified(vec![expr.as_mut(), low.as_mut(), high.as_mut()], Compared, schema)?
        }
        Expr::InList(InList { expr, list, .. }) => {
            unified(std::iter::once(expr.as_mut()).chain(list).collect(), Compared, schema)?
        }
        Expr::Case(case) => in_case(case, schema)?,
        Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_mut_slice()) {
            ("nullif", args) => unified(args.iter_mut().collect(), Compared, schema)?,
            ("coalesce" | "nvl" | "ifnull" | "greatest" | "least" | "make_array", args) => {
                unified(args.iter_mut().collect(), Values, schema)?
            }
            ("nvl2", [_, values @ ..]) => unified(values.iter_mut().collect(), Values, schema)?,
            ("to_date", [value]) => {
                refuse_cast(value, &value.get_type(schema).unwrap_or(DataType::Null), &DataType::Date32)?;
                false
            }
            _ => false,
        },
        Expr::AggregateFunction(call) => in_string_agg(call, schema),
        Expr::InSubquery(InSubquery { expr, subquery, .. })
        | Expr::SetComparison(SetComparison { expr, subquery, .. }) => with_subquery(expr, subquery, schema)?,
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            match expr.get_type(schema) {
                Ok(DataType::Dictionary(_, values)) => plain_dictionary(expr, &values, field.data_type()),
                Ok(from) => {
                    refuse_cast(expr, &from, field.data_type())?;
                    false
                }
                // a parameter
                Err(_) => false,
            }
        }
        _ => false,
    };
    Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn in_case(case: &mut Case, schema: &DFSchema) -> Result<bool> {
    let mut is_changed = false;
    let (mut compared, mut values): (Vec<&mut Expr>, Vec<&mut Expr>) = (vec![], vec![]);
    compared.extend(case.expr.as_deref_mut());
    let has_operand = !compared.is_empty();
    for (when, then) in &mut case.when_then_expr {
        if has_operand {
            compared.push(when.as_mut());
        }
        values.push(then.as_mut());
    }
    values.extend(case.else_expr.as_deref_mut());
    is_changed |= unified(compared, Meeting::Compared, schema)?;
    is_changed |= unified(values, Meeting::Result, schema)?;
    Ok(is_changed)
}

/// What a group of values has.
#[derive(Debug, Default)]
struct Found {
    has_decimal: bool,
    /// A float that is no literal, or a literal that is no decimal.
    has_float: bool,
    has_real: bool,
    /// An integer for which a real has no room.
    has_long: bool,
}

impl Found {
    fn add(&mut self, value: Option<&Expr>, data_type: &DataType) {
        let is_literal = value.is_some_and(|value| exact_literal(value).is_some());
        let is_float = data_type.is_floating() && !is_literal;
        self.has_decimal |= data_type.is_decimal();
        self.has_float |= is_float;
        self.has_real |= is_float && *data_type == DataType::Float32;
        self.has_long |= match (value, data_type) {
            (Some(Expr::Literal(ScalarValue::Int64(Some(value)), _)), _) => value.unsigned_abs() > 1 << 24,
            (_, data_type) => {
                use DataType::{Int32, Int64, UInt32, UInt64};
                matches!(data_type, Int32 | Int64 | UInt32 | UInt64)
            }
        };
    }

    fn are_doubles(&self, meeting: Meeting) -> bool {
        (self.has_decimal && self.has_float) || (self.has_real && self.has_long && meeting == Meeting::Compared)
    }
}

fn is_other_number(data_type: &DataType) -> bool {
    data_type.is_numeric() && *data_type != DataType::Float64
}

/// Gives values that meet one type where DataFusion's is wrong; returns whether it has.
fn unified(values: Vec<&mut Expr>, meeting: Meeting, schema: &DFSchema) -> Result<bool> {
    // a parameter has no type
    let types: Vec<DataType> = values.iter().map(|value| value.get_type(schema).unwrap_or(DataType::Null)).collect();
    refuse_numbers(values.iter().map(|value| &**value), &types)?;
    let mut found = Found::default();
    for (value, data_type) in values.iter().zip(&types) {
        found.add(Some(&**value), data_type);
    }
    let are_doubles = found.are_doubles(meeting);
    let mut is_changed = false;
    for (value, data_type) in values.into_iter().zip(&types) {
        let literal = exact_literal(value);
        if are_doubles {
            if is_other_number(data_type) && !(meeting == Meeting::Compared && literal.is_some()) {
                *value = cast(std::mem::take(value), DataType::Float64);
                is_changed = true;
            }
        } else if found.has_decimal
            && meeting == Meeting::Result
            && data_type.is_floating()
            && let Some(literal) = literal
        {
            *value = literal;
            is_changed = true;
        }
    }
    Ok(is_changed)
}

/// `x in (select ...)` and `x = any (select ...)`.
fn with_subquery(expr: &mut Expr, subquery: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
    let types = [expr.get_type(schema).unwrap_or(DataType::Null), field.data_type().clone()];
    let column = Expr::Column(Column::from((qualifier, field)));
    refuse_numbers([&*expr, &column].into_iter(), &types)?;
    let mut found = Found::default();
    found.add(Some(expr), &types[0]);
    found.add(None, &types[1]);
    if !found.are_doubles(Meeting::Compared) {
        return Ok(false);
    }
    if is_other_number(&types[0]) {
        *expr = cast(std::mem::take(expr), DataType::Float64);
    }
    if is_other_number(&types[1]) {
        let column = cast(column, DataType::Float64).alias(field.name());
        let plan = LogicalPlan::Projection(Projection::try_new(vec![column], Arc::clone(&subquery.subquery))?);
        *subquery = subquery.with_plan(Arc::new(plan));
    }
    Ok(true)
}

/// Columns of set operations and keys of joins.
fn operator(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Union(union) => in_union(union),
        LogicalPlan::Join(join) => in_join(join),
        other => Ok(Transformed::no(other)),
    }
}

fn in_union(union: Union) -> Result<Transformed<LogicalPlan>> {
    let mut columns: Vec<(usize, bool)> = vec![];
    for index in 0..union.schema.fields().len() {
        let mut found = Found::default();
        let mut has_literal = false;
        for input in &union.inputs {
            let value = literal_column(input, index);
            has_literal |= value.is_some_and(|value| exact_literal(value).is_some());
            column_types(input, index).iter().for_each(|data_type| found.add(value, data_type));
        }
        if found.are_doubles(Meeting::Result) {
            columns.push((index, true));
        } else if found.has_decimal && has_literal {
            columns.push((index, false));
        }
    }
    if columns.is_empty() {
        return with_own_types(union);
    }
    let inputs = union.inputs.iter().map(|input| {
        let schema = input.schema();
        let exprs = schema.iter().enumerate().map(|(index, (relation, field))| {
            let column = Expr::from((relation, field));
            let chosen = columns.iter().find(|(chosen, _)| *chosen == index);
            let value = match chosen {
                Some((_, true)) if column_types(input, index).iter().any(is_other_number) => {
                    Some(cast(column.clone(), DataType::Float64))
                }
                Some((_, false)) => literal_column(input, index).and_then(exact_literal),
                _ => None,
            };
            value.map_or(column, |value| value.alias_qualified(relation.cloned(), field.name()))
        });
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs.collect(), Arc::clone(input))?)))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}

/// A UNION whose schema has the kinds of numbers that its columns will be. Until type coercion, which begins with the types of
/// the schema, these are those of the first input, and stay when an input has changed.
fn with_own_types(union: Union) -> Result<Transformed<LogicalPlan>> {
    let mut is_changed = false;
    let fields = union.schema.iter().enumerate().map(|(index, (relation, field))| {
        let types: Vec<DataType> = union.inputs.iter().flat_map(|input| column_types(input, index)).collect();
        let is_number = types.iter().all(|found| found.is_numeric() || found.is_null());
        let widest = types.iter().find(|found| found.is_floating()).or(types.iter().find(|found| found.is_decimal()));
        let is_wide = field.data_type().is_floating() || widest.is_none_or(|widest| field.data_type() == widest);
        match widest {
            Some(widest) if is_number && !is_wide => {
                is_changed = true;
                (relation.cloned(), Arc::new(field.as_ref().clone().with_data_type(widest.clone())))
            }
            _ => (relation.cloned(), Arc::clone(field)),
        }
    });
    let fields = fields.collect();
    if !is_changed {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let schema = Arc::new(DFSchema::new_with_metadata(fields, union.schema.metadata().clone())?);
    Ok(Transformed::yes(LogicalPlan::Union(Union { inputs: union.inputs, schema })))
}

/// The types of a column, several of a UNION. Until type coercion its schema has that of the first input, also where the columns are
/// found by their names.
fn column_types(plan: &LogicalPlan, index: usize) -> Vec<DataType> {
    let declared = || plan.schema().fields().get(index).map(|field| field.data_type().clone()).into_iter().collect();
    match plan {
        LogicalPlan::Union(union) => union.inputs.iter().flat_map(|input| column_types(input, index)).collect(),
        LogicalPlan::Projection(projection) => match projection.expr.get(index) {
            Some(Expr::Column(column)) => match projection.input.schema().maybe_index_of_column(column) {
                Some(inner) => column_types(&projection.input, inner),
                None => declared(),
            },
            Some(expr) => match expr.get_type(projection.input.schema()) {
                Ok(data_type) => vec![data_type],
                Err(_) => declared(),
            },
            None => declared(),
        },
        LogicalPlan::Distinct(Distinct::All(input)) => column_types(input, index),
        LogicalPlan::Filter(filter) => column_types(&filter.input, index),
        LogicalPlan::Sort(sort) => column_types(&sort.input, index),
        LogicalPlan::Limit(limit) => column_types(&limit.input, index),
        LogicalPlan::SubqueryAlias(alias) => column_types(&alias.input, index),
        _ => declared(),
    }
}

/// The literal that a column of a plan is.
fn literal_column(plan: &LogicalPlan, index: usize) -> Option<&Expr> {
    let LogicalPlan::Projection(projection) = plan else { return None };
    match projection.expr.get(index)? {
        Expr::Alias(Alias { expr, .. }) => Some(expr),
        other => Some(other),
    }
}

fn in_join(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let schemas = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    let mut is_changed = false;
    for (left, right) in &mut join.on {
        let types = [left.get_type(&schemas.0)?, right.get_type(&schemas.1)?];
        refuse_numbers([&*left, &*right].into_iter(), &types)?;
        let mut found = Found::default();
        types.iter().for_each(|data_type| found.add(None, data_type));
        if !found.are_doubles(Meeting::Compared) {
            continue;
        }
        for (key, data_type) in [left, right].into_iter().zip(&types) {
            if is_other_number(data_type) {
                *key = cast(std::mem::take(key), DataType::Float64);
            }
        }
        is_changed = true;
    }
    if is_changed {
        // USING is of columns; names were resolved before
        join.join_constraint = JoinConstraint::On;
    }
    Ok(Transformed::new_transformed(LogicalPlan::Join(join), is_changed))
}

/// The word for a type that no number is compared with.
fn moment(data_type: &DataType) -> Option<&'static str> {
    use DataType::{Date32, Date64, Time32, Time64, Timestamp};
    match data_type {
        Date32 | Date64 => Some("date"),
        Time32(_) | Time64(_) => Some("time"),
        Timestamp(..) => Some("timestamp"),
        _ => None,
    }
}

/// Dates and numbers have no common type.
fn refuse_numbers<'a>(values: impl Iterator<Item = &'a Expr>, types: &[DataType]) -> Result<()> {
    let Some(moment) = types.iter().find_map(moment) else { return Ok(()) };
    match values.zip(types).find(|(_, data_type)| data_type.is_numeric()) {
        Some((value, _)) => plan_err!(
            "a {moment} and a number ({}) have no common type; {}",
            value.human_display(),
            remedy(value, moment)
        ),
        None => Ok(()),
    }
}

/// What to write in place of a number.
fn remedy(value: &Expr, moment: &str) -> String {
    let digits = match value {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => value.to_string(),
        _ => String::new(),
    };
    match (moment, digits.split_at_checked(4).map(|(year, rest)| (year, rest.split_at_checked(2)))) {
        ("date", Some((year, Some((month, day))))) if day.len() == 2 => {
            format!("write date '{year}-{month}-{day}'")
        }
        ("date", _) => "write a date as date '2025-03-01', digits as to_date(cast(x as varchar), '%Y%m%d'), \
                        and seconds since 1970 as cast(to_timestamp_seconds(x) as date)"
            .into(),
        ("time", _) => "write a time of day as time '09:30:00'".into(),
        _ => "write a timestamp as timestamp '2025-03-01 09:30:00', and seconds or milliseconds since 1970 as \
              to_timestamp_seconds(x) or to_timestamp_millis(x)"
            .into(),
    }
}

/// Casts of numbers to dates and times, and of these to numbers.
fn refuse_cast(value: &Expr, from: &DataType, to: &DataType) -> Result<()> {
    if let (true, Some(moment)) = (from.is_numeric(), moment(to)) {
        return plan_err!("a number is no {moment}; {}", remedy(value, moment));
    }
    let is_span = matches!(from, DataType::Duration(_));
    if to.is_numeric()
        && (is_span || matches!(from, DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_)))
    {
        let from = if is_span { "duration" } else { moment(from).unwrap_or("timestamp") };
        return plan_err!(
            "the number of a {from} depends on the unit in which it is stored; write extract(epoch from x), which is in seconds"
        );
    }
    Ok(())
}

/// The values of a dictionary, which a cast to another type takes only of the rows.
fn plain_dictionary(expr: &mut Expr, values: &DataType, target: &DataType) -> bool {
    if matches!(target, DataType::Dictionary(..)) || target == values {
        return false;
    }
    *expr = cast(std::mem::take(expr), values.clone());
    true
}

/// Strings in place of a dictionary of strings.
fn plain_strings(expr: &mut Expr, schema: &DFSchema) -> bool {
    match expr.get_type(schema) {
        Ok(DataType::Dictionary(_, values)) => {
            *expr = cast(std::mem::take(expr), values.as_ref().clone());
            true
        }
        _ => false,
    }
}

/// The argument and the order of `string_agg(distinct x, ',' order by x)`, which stay the same expression.
fn in_string_agg(call: &mut AggregateFunction, schema: &DFSchema) -> bool {
    let params = &mut call.params;
    if call.func.name() != "string_agg" || !params.distinct {
        return false;
    }
    let Some(value) = params.args.first_mut() else { return false };
    let before = value.clone();
    if !plain_strings(value, schema) {
        return false;
    }
    for sort in params.order_by.iter_mut().filter(|sort| sort.expr == before) {
        sort.expr = value.clone();
    }
    true
}
