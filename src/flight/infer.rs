//! Types of parameters, inferred from where they stand in a plan.
//!
//! ```text
//!  started_at >= ? - interval '1 day'
//!       |            |        |
//!  timestamptz  <----+   known type of the other operand: `-` of a timestamp and an interval gives a timestamp
//! ```
//!
//! DataFusion gives a parameter the type of the other operand of each operator, which is wrong for dates and intervals, and
//! no type to arguments of functions. Here an expression is visited with the type that its context expects; operands and
//! arguments of known type decide the rest.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ExprSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{BinaryExpr, Cast, InList, InSubquery, Like, Placeholder, SetComparison, TryCast};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::type_coercion::functions::{UDFCoercionExt, fields_with_udf};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, Case, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarUDF, Subquery,
    WindowFunctionDefinition,
};

use crate::types::plain;

/// What a statement does with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UseKind {
    /// It is an operand or an argument, and its value may have another type of the same kind.
    Operand,
    /// It is cast to the type.
    Cast,
    /// It must have the type: a row count, an argument of a report.
    Exact,
}

/// A place of a parameter in a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Use {
    pub(super) data_type: DataType,
    pub(super) kind: UseKind,
}

/// The type of an interval.
pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// The type as values of parameters have it: that which a declared parameter of SQL has.
pub(super) fn canonical(data_type: &DataType) -> DataType {
    match plain(data_type) {
        DataType::LargeUtf8 => DataType::Utf8,
        DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(precision, scale)
        }
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        other => other,
    }
}

/// The uses of each of `count` parameters `$1`, `$2`, ... of a plan. `zone` is the time zone of the session.
///
/// # Errors
/// A plan that cannot be traversed.
pub(super) fn uses(plan: &LogicalPlan, count: usize, zone: &str) -> Result<Vec<Vec<Use>>> {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()));
    let mut uses = vec![Vec::new(); count];
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let mut inference = Inference { schema: &schema, timestamp: &timestamp, uses: &mut uses };
        match node {
            LogicalPlan::Limit(_) => node.apply_expressions(|expr| {
                match expr {
                    Expr::Placeholder(placeholder) => {
                        inference.record(placeholder, Some(&DataType::Int64), UseKind::Exact);
                    }
                    other => inference.visit(other, Some(&DataType::Int64)),
                }
                Ok(TreeNodeRecursion::Continue)
            })?,
            LogicalPlan::Join(join) => {
                for (left, right) in &join.on {
                    inference.visit_same(&[left, right]);
                }
                if let Some(filter) = &join.filter {
                    inference.visit(filter, Some(&DataType::Boolean));
                }
                TreeNodeRecursion::Continue
            }
            node => {
                let expected = matches!(node, LogicalPlan::Filter(_)).then_some(DataType::Boolean);
                node.apply_expressions(|expr| {
                    inference.visit(expr, expected.as_ref());
                    Ok(TreeNodeRecursion::Continue)
                })?
            }
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(uses)
}

struct Inference<'a> {
    /// The columns of the node's inputs.
    schema: &'a DFSchema,
    /// The type of a timestamp about which nothing else is known.
    timestamp: &'a DataType,
    uses: &'a mut Vec<Vec<Use>>,
}

impl Inference<'_> {
    fn record(&mut self, placeholder: &Placeholder, data_type: Option<&DataType>, kind: UseKind) {
        let index = placeholder.id.get(1..).and_then(|number| number.parse::<usize>().ok());
        let slot = index.and_then(|index| self.uses.get_mut(index.checked_sub(1)?));
        if let (Some(slot), Some(data_type)) = (slot, data_type.map(canonical))
            && data_type != DataType::Null
        {
            let found = Use { data_type, kind };
            if !slot.contains(&found) {
                slot.push(found);
            }
        }
    }

    /// Visits an expression of which this type is expected.
    fn visit(&mut self, expr: &Expr, expected: Option<&DataType>) {
        let boolean = Some(&DataType::Boolean);
        match expr {
            Expr::Placeholder(placeholder) => self.record(placeholder, expected, UseKind::Operand),
            Expr::Alias(alias) => self.visit(&alias.expr, expected),
            Expr::Negative(inner) => self.visit(inner, expected),
            Expr::Not(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsNotUnknown(inner) => self.visit(inner, boolean),
            Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => match expr.as_ref() {
                Expr::Placeholder(placeholder) => self.record(placeholder, Some(field.data_type()), UseKind::Cast),
                other => self.visit(other, None),
            },
            Expr::BinaryExpr(binary) => self.visit_binary(binary, expected),
            Expr::Between(Between { expr, low, high, .. }) => self.visit_same(&[expr, low, high]),
            Expr::InList(InList { expr, list, .. }) => {
                let all: Vec<&Expr> = std::iter::once(expr.as_ref()).chain(list).collect();
                self.visit_same(&all);
            }
            Expr::Like(Like { expr, pattern, .. }) | Expr::SimilarTo(Like { expr, pattern, .. }) => {
                self.visit(expr, Some(&DataType::Utf8));
                self.visit(pattern, Some(&DataType::Utf8));
            }
            Expr::InSubquery(InSubquery { expr, subquery, .. })
            | Expr::SetComparison(SetComparison { expr, subquery, .. }) => {
                self.visit(expr, single_column(subquery).as_ref());
            }
            Expr::Case(case) => self.visit_case(case, expected),
            Expr::ScalarFunction(call) => {
                let args: Vec<&Expr> = call.args.iter().collect();
                let of_result = |args: &[DataType]| result_type(&call.func, args);
                self.visit_call(&args, call.func.as_ref(), expected, &of_result);
            }
            Expr::AggregateFunction(call) => {
                let args: Vec<&Expr> = call.params.args.iter().collect();
                let of_result = |args: &[DataType]| call.func.return_type(args).ok();
                self.visit_call(&args, call.func.as_ref(), expected, &of_result);
                call.params.order_by.iter().for_each(|sort| self.visit(&sort.expr, None));
                call.params.filter.iter().for_each(|filter| self.visit(filter, boolean));
            }
            Expr::WindowFunction(call) => {
                let params = &call.params;
                let args: Vec<&Expr> = params.args.iter().collect();
                match &call.fun {
                    WindowFunctionDefinition::AggregateUDF(func) => {
                        let of_result = |args: &[DataType]| func.return_type(args).ok();
                        self.visit_call(&args, func.as_ref(), expected, &of_result);
                    }
                    WindowFunctionDefinition::WindowUDF(func) => {
                        self.visit_call(&args, func.as_ref(), expected, &|_| None);
                    }
                }
                params.partition_by.iter().for_each(|expr| self.visit(expr, None));
                params.order_by.iter().for_each(|sort| self.visit(&sort.expr, None));
                params.filter.iter().for_each(|filter| self.visit(filter, boolean));
            }
            other => {
                // nothing stops the traversal
                let _ = other.apply_children(|child| {
                    self.visit(child, None);
                    Ok(TreeNodeRecursion::Continue)
                });
            }
        }
    }

    /// Visits expressions that are compared with one another.
    fn visit_same(&mut self, all: &[&Expr]) {
        let known = all.iter().find_map(|expr| self.known(expr));
        for expr in all {
            self.visit(expr, known.as_ref());
        }
    }

    fn visit_case(&mut self, case: &Case, expected: Option<&DataType>) {
        let whens = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
        match &case.expr {
            Some(operand) => {
                let compared: Vec<&Expr> = std::iter::once(operand.as_ref()).chain(whens).collect();
                self.visit_same(&compared);
            }
            None => whens.for_each(|when| self.visit(when, Some(&DataType::Boolean))),
        }
        let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
        let known = results.clone().find_map(|expr| self.known(expr));
        results.for_each(|expr| self.visit(expr, known.as_ref().or(expected)));
    }

    fn visit_binary(&mut self, binary: &BinaryExpr, expected: Option<&DataType>) {
        let BinaryExpr { left, op, right } = binary;
        if op.is_logic_operator() {
            self.visit(left, Some(&DataType::Boolean));
            self.visit(right, Some(&DataType::Boolean));
            return;
        }
        if !op.is_numerical_operators() {
            let is_of_strings = *op == Operator::StringConcat || is_match(*op);
            let fallback = is_of_strings.then_some(DataType::Utf8);
            let known = self.known(left).or_else(|| self.known(right)).or(fallback);
            self.visit(left, known.as_ref());
            self.visit(right, known.as_ref());
            return;
        }
        let (known_left, known_right) = (self.known(left), self.known(right));
        let (left_type, right_type) =
            operands(*op, expected, known_left.as_ref(), known_right.as_ref(), self.timestamp);
        self.visit(left, left_type.as_ref());
        self.visit(right, right_type.as_ref());
    }

    /// Visits the arguments of a function. `of_result` is the type of its result for types of its arguments.
    fn visit_call<F: UDFCoercionExt>(
        &mut self,
        args: &[&Expr],
        func: &F,
        expected: Option<&DataType>,
        of_result: &dyn Fn(&[DataType]) -> Option<DataType>,
    ) {
        let known: Vec<Option<DataType>> = args.iter().map(|arg| self.known(arg)).collect();
        for (at, arg) in args.iter().enumerate() {
            let wanted = match &known[at] {
                Some(known) => Some(known.clone()),
                None => self.argument_type(at, &known, func, expected, of_result),
            };
            self.visit(arg, wanted.as_ref());
        }
    }

    /// The type of an argument that has none: that of the result or of another argument if the function takes both alike,
    /// else the only type that the function takes unchanged.
    fn argument_type<F: UDFCoercionExt>(
        &self,
        at: usize,
        known: &[Option<DataType>],
        func: &F,
        expected: Option<&DataType>,
        of_result: &dyn Fn(&[DataType]) -> Option<DataType>,
    ) -> Option<DataType> {
        let with = |candidate: &DataType| -> Vec<DataType> {
            let types = known.iter().map(|known| known.clone().unwrap_or(DataType::Null));
            types.enumerate().map(|(index, other)| if index == at { candidate.clone() } else { other }).collect()
        };
        let takes = |candidate: &DataType| -> bool {
            let fields: Vec<FieldRef> =
                with(candidate).into_iter().map(|data_type| Arc::new(Field::new("", data_type, true))).collect();
            let coerced = fields_with_udf(&fields, func).ok();
            coerced.is_some_and(|fields| fields.get(at).is_some_and(|field| is_alike(field.data_type(), candidate)))
        };
        if let Some(expected) = expected
            && takes(expected)
            && of_result(&with(expected)).is_some_and(|result| is_alike(&result, expected))
        {
            return Some(expected.clone());
        }
        let others = known.iter().flatten().find(|other| takes(other));
        if let Some(other) = others {
            return Some(other.clone());
        }
        let mut taken = [
            DataType::Utf8,
            DataType::Int64,
            DataType::Float64,
            DataType::Boolean,
            self.timestamp.clone(),
            DataType::Date32,
            INTERVAL,
        ]
        .into_iter()
        .filter(takes);
        match (taken.next(), taken.next(), taken.next()) {
            (Some(only), None, _) => Some(only),
            // dates are taken where timestamps are
            (Some(first), Some(DataType::Date32), None) if first == *self.timestamp => Some(first),
            _ => None,
        }
    }

    /// The type of an expression, as far as it does not depend on a parameter.
    fn known(&self, expr: &Expr) -> Option<DataType> {
        let has_placeholder = expr.exists(|part| Ok(matches!(part, Expr::Placeholder(_)))).unwrap_or(true);
        if !has_placeholder {
            return expr.get_type(self.schema as &dyn ExprSchema).ok().filter(|known| *known != DataType::Null);
        }
        match expr {
            Expr::Alias(alias) => self.known(&alias.expr),
            Expr::Negative(inner) => self.known(inner),
            Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => Some(field.data_type().clone()),
            Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::Exists(_) => Some(DataType::Boolean),
            Expr::Case(case) => {
                let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
                results.into_iter().find_map(|expr| self.known(expr))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if *op == Operator::StringConcat {
                    return Some(self.known(left).or_else(|| self.known(right)).unwrap_or(DataType::Utf8));
                }
                if !op.is_numerical_operators() {
                    return Some(DataType::Boolean);
                }
                let (left, right) = (self.known(left), self.known(right));
                match (&left, &right) {
                    (Some(left), Some(right)) => BinaryTypeCoercer::new(left, op, right).get_result_type().ok(),
                    (Some(one), None) | (None, Some(one)) if one.is_numeric() => Some(one.clone()),
                    // a timestamp and what can only be an interval
                    (Some(one), None) | (None, Some(one)) if is_temporal(one) && *op == Operator::Plus => {
                        Some(one.clone())
                    }
                    // a timestamp less another
                    (None, Some(one)) if is_temporal(one) && *op == Operator::Minus => Some(INTERVAL),
                    _ => None,
                }
            }
            Expr::ScalarFunction(call) => {
                let args: Vec<&Expr> = call.args.iter().collect();
                let of_result = |args: &[DataType]| result_type(&call.func, args);
                let known: Vec<Option<DataType>> = args.iter().map(|arg| self.known(arg)).collect();
                let argument = |at: usize| match &known[at] {
                    Some(known) => Some(known.clone()),
                    None => self.argument_type(at, &known, call.func.as_ref(), None, &of_result),
                };
                let types: Option<Vec<DataType>> = (0..args.len()).map(argument).collect();
                of_result(&types?).filter(|known| *known != DataType::Null)
            }
            _ => None,
        }
    }
}

/// The type of the result of a function for types of its arguments.
fn result_type(func: &ScalarUDF, args: &[DataType]) -> Option<DataType> {
    let fields: Vec<FieldRef> = args.iter().map(|arg| Arc::new(Field::new("", arg.clone(), true))).collect();
    let fields = fields_with_udf(&fields, func).ok()?;
    let scalar_arguments = vec![None; fields.len()];
    let args = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalar_arguments };
    Some(func.return_field_from_args(args).ok()?.data_type().clone())
}

/// The types of the operands of an arithmetic operator, of which at least one is not known. `timestamp` is the type of a
/// timestamp about which nothing else is known.
fn operands(
    op: Operator,
    expected: Option<&DataType>,
    left: Option<&DataType>,
    right: Option<&DataType>,
    timestamp: &DataType,
) -> (Option<DataType>, Option<DataType>) {
    let of = |data_type: &DataType| Some(data_type.clone());
    let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_) | DataType::Duration(_));
    let expected_temporal = expected.filter(|expected| is_temporal(expected));
    // the other operand of an interval
    let moved = || match expected {
        Some(expected) if is_interval(expected) => INTERVAL,
        _ => expected_temporal.unwrap_or(timestamp).clone(),
    };
    if !matches!(op, Operator::Plus | Operator::Minus) {
        let numeric = expected.filter(|expected| expected.is_numeric()).cloned();
        let factor = |other: &DataType| if is_interval(other) { Some(DataType::Int64) } else { of(other) };
        return match (left, right) {
            (Some(left), Some(right)) => (of(left), of(right)),
            (None, Some(other)) => (factor(other), of(other)),
            (Some(other), None) => (of(other), factor(other)),
            (None, None) => (numeric.clone(), numeric),
        };
    }
    let is_minus = op == Operator::Minus;
    match (left, right) {
        (Some(left), Some(right)) => (of(left), of(right)),
        (None, Some(other)) if is_interval(other) => (Some(moved()), of(other)),
        (Some(other), None) if is_interval(other) => (of(other), Some(if is_minus { INTERVAL } else { moved() })),
        (None, Some(other)) if is_temporal(other) => (if is_minus { of(other) } else { Some(INTERVAL) }, of(other)),
        (Some(other), None) if is_temporal(other) => {
            // a moment less another, unless a moment is wanted
            let is_difference = is_minus && expected_temporal.is_none();
            (of(other), if is_difference { of(other) } else { Some(INTERVAL) })
        }
        // days added to a date
        (None, Some(other)) if expected_temporal.is_some() => (expected_temporal.cloned(), of(other)),
        (None, Some(other)) => (of(other), of(other)),
        (Some(other), None) => (of(other), of(other)),
        (None, None) => match expected {
            Some(expected) if is_interval(expected) && is_minus => (of(timestamp), of(timestamp)),
            Some(expected) if is_temporal(expected) => (of(expected), Some(INTERVAL)),
            Some(expected) => (of(expected), of(expected)),
            None => (None, None),
        },
    }
}

/// Whether values of the type are dates, timestamps or times of day.
fn is_temporal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_)
    )
}

/// Whether an operator matches strings with a pattern.
fn is_match(op: Operator) -> bool {
    matches!(
        op,
        Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
            | Operator::LikeMatch
            | Operator::ILikeMatch
            | Operator::NotLikeMatch
            | Operator::NotILikeMatch
    )
}

/// Whether a function takes the type unchanged, apart from the encoding of strings and the unit of timestamps.
fn is_alike(a: &DataType, b: &DataType) -> bool {
    match (canonical(a), canonical(b)) {
        (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) => a.is_some() == b.is_some(),
        (a, b) => a == b,
    }
}

/// The type of the only column of a subquery.
fn single_column(subquery: &Subquery) -> Option<DataType> {
    match &subquery.subquery.schema().fields()[..] {
        [field] => Some(field.data_type().clone()),
        _ => None,
    }
}
