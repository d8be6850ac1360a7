//! Rewrites of a parsed statement, before it is planned.
//!
//! | SQL | as | why |
//! |---|---|---|
//! | `value at time zone zone` | `timezone(zone, value)` | DataFusion plans a cast, which does not tell local times from points in time; the zone may be a column |
//! | `to_timestamp(column) at time zone zone` | `timezone(zone, text)` | the string may have an offset or not, row by row |
//! | `timestamp '9999-12-31'`, a cast of such a string | `timestamp(6) '9999-12-31'` | nanoseconds reach from 1677 to 2262 |
//! | `first_value(upper(x) ignore nulls)` | `first_value(upper(x)) ignore nulls` | the parser gives the clause to `upper`, which has no use for it, and DataFusion drops it |
//! | `2 * 3 ^ 2`, `a -> 'x' = 'y'`, `a is distinct from b and c` | `2 * (3 ^ 2)`, `(a -> 'x') = 'y'`, `(a is distinct from b) and c` | the precedence of PostgreSQL, see [`precedence`]; the generic dialect of the parser has another |
//! | `cast(2.5 as int)`, `1.005::decimal(9, 2)`, `round(1.005, 2)` | the literal as the decimal that was written | DataFusion's literals with a point are doubles: digits are lost, and halves round as their doubles do |
//! | `x = 9007199254740993.0`, `in`, BETWEEN, CASE | the literal as that decimal, if it has more than 15 digits | a double has no room for them; beside doubles the rule `exact_arithmetic` makes it one again |
//! | `cast('... 10:00:00.56' as timestamp(0))` | `cast(cast('...' as timestamp(9)) as timestamp(0))` | the cast of a literal cannot be told from that of a comparison, which must not round |
//! | `interval '27:15:08'` | `interval '27 hours 15 minutes 8 seconds'` | DataFusion's planner does not read it |
//! | `from generate_series(timestamp '2025-03-29 08:00', ...)` | `timestamp '2025-03-29 08:00:00'` | the arguments are computed by Arrow's casts, see [`table_arguments`] |
//! | `mod(x, y)`, `max_by(x, y)`, `listagg(x)`, ... | other functions, see [`calls`] | DataFusion has them not |
//!
//! A program calls [`rewrite`] between parsing and planning. Without it the statement has DataFusion's meaning.

mod calls;
mod precedence;
mod table_arguments;

use std::ops::ControlFlow;

use datafusion::arrow::datatypes::TimeUnit;
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectName, UnaryOperator, Value, ValueWithSpan,
    VisitMut, visit_expressions, visit_expressions_mut,
};

use self::precedence::Precedence;
use self::table_arguments::TableArguments;
use crate::functions::interval_text;
use crate::functions::temporal_cast::has_more_digits;
use crate::functions::time_zone::TIME_ZONE_FUNCTION;

/// Rewrites a statement; see the module.
pub fn rewrite_statement(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => rewrite(statement.as_mut()),
        Statement::Explain(explain) => rewrite_statement(&mut explain.statement),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => rewrite(query.as_mut()),
            CopyToSource::Relation(_) => {}
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => {}
    }
}

/// Rewrites the expressions of a statement, a query or an expression; see the module.
pub fn rewrite<T: VisitMut>(tree: &mut T) {
    // it never breaks off
    let _: ControlFlow<()> = tree.visit(&mut Precedence::default());
    let _: ControlFlow<()> = tree.visit(&mut TableArguments);
    let _: ControlFlow<()> = visit_expressions_mut(tree, |expr| {
        if let Some(rewritten) = calls::rewritten(expr) {
            *expr = rewritten;
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::AtTimeZone { .. } => at_time_zone(expr),
            Expr::Interval(interval) => spelled_interval(interval),
            Expr::TypedString(typed) => {
                if let Value::SingleQuotedString(text) = &typed.value.value {
                    wide_timestamp(&mut typed.data_type, text);
                    if let Some(finer) = finer_timestamp(&typed.data_type, text) {
                        let coarser = std::mem::replace(&mut typed.data_type, finer);
                        *expr = cast_to(expr.clone(), coarser);
                    }
                }
            }
            Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("round") => {
                outer_null_treatment(call);
                exact_round(expr);
            }
            Expr::Function(call) => outer_null_treatment(call),
            Expr::Cast { expr, data_type, .. } if is_exact_type(data_type) => {
                exact_literal(expr);
            }
            Expr::Cast { expr, data_type, .. } => {
                if let Expr::Value(value) = expr.as_ref()
                    && let Value::SingleQuotedString(text) = &value.value
                {
                    wide_timestamp(data_type, text);
                    if let Some(finer) = finer_timestamp(data_type, text) {
                        let text = std::mem::replace(expr.as_mut(), Expr::Value(Value::Null.into()));
                        **expr = cast_to(text, finer);
                    }
                }
            }
            Expr::BinaryOp { left, op, right } if is_comparison(op) => {
                long_literal(left);
                long_literal(right);
            }
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                long_literal(left);
                long_literal(right);
            }
            Expr::Between { low, high, .. } => {
                long_literal(low);
                long_literal(high);
            }
            Expr::InList { list, .. } => list.iter_mut().for_each(long_literal),
            Expr::Case { operand: Some(_), conditions, .. } => {
                conditions.iter_mut().for_each(|case| long_literal(&mut case.condition));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
}

/// Whether an expression is more than constants.
pub(crate) fn reads_column(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |part| match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Functions that have a NULL treatment of their own.
const WITH_NULL_TREATMENT: [&str; 6] = ["first_value", "last_value", "nth_value", "lag", "lead", "array_agg"];

/// Moves a NULL treatment that the parser gave to the end of the last argument to the call itself.
fn outer_null_treatment(call: &mut Function) {
    if call.null_treatment.is_some() {
        return;
    }
    let FunctionArguments::List(list) = &mut call.args else { return };
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(last))) = list.args.last_mut()
        && let Some(inner) = trailing_call(last)
        && inner.over.is_none()
        && !WITH_NULL_TREATMENT.contains(&inner.name.to_string().to_lowercase().as_str())
    {
        call.null_treatment = inner.null_treatment.take();
    }
}

/// The call with which an expression ends.
fn trailing_call(expr: &mut Expr) -> Option<&mut Function> {
    match expr {
        Expr::Function(call) => Some(call),
        Expr::BinaryOp { right, .. } | Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => {
            trailing_call(right)
        }
        Expr::UnaryOp { expr, .. } => trailing_call(expr),
        Expr::Between { high, .. } => trailing_call(high),
        Expr::Like { pattern, escape_char: None, .. } | Expr::ILike { pattern, escape_char: None, .. } => {
            trailing_call(pattern)
        }
        _ => None,
    }
}

fn at_time_zone(expr: &mut Expr) {
    let Expr::AtTimeZone { timestamp, time_zone } = std::mem::replace(expr, Expr::Value(Value::Null.into())) else {
        return;
    };
    let args = [*time_zone, single_string(*timestamp)];
    *expr = Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(TIME_ZONE_FUNCTION)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).into(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    });
}

/// The argument of `to_timestamp(x)`; other expressions unchanged.
fn single_string(expr: Expr) -> Expr {
    if let Expr::Function(function) = &expr
        && function.name.to_string().eq_ignore_ascii_case("to_timestamp")
        && let FunctionArguments::List(list) = &function.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] = list.args.as_slice()
        // of a literal it is known whether it has an offset
        && !matches!(arg, Expr::Value(_))
    {
        return arg.clone();
    }
    expr
}

fn spelled_interval(interval: &mut Interval) {
    if let Expr::Value(value) = interval.value.as_mut()
        && let Value::SingleQuotedString(text) = &mut value.value
        && interval.leading_field.is_none()
        && let Some(spelled) = interval_text::spelled_out(text)
    {
        *text = spelled;
    }
}

/// Decimals and integers: a cast to one of them does not begin with a double.
fn is_exact_type(data_type: &DataType) -> bool {
    use DataType::{BigInt, Dec, Decimal, Int, Int2, Int4, Int8, Integer, Numeric, SmallInt, TinyInt};
    matches!(
        data_type,
        Decimal(_)
            | Numeric(_)
            | Dec(_)
            | Int(_)
            | Integer(_)
            | BigInt(_)
            | SmallInt(_)
            | TinyInt(_)
            | Int2(_)
            | Int4(_)
            | Int8(_)
    )
}

/// Makes a literal such as `-1.005` the decimal that was written; returns whether it is one. Those of more than 38 digits stay.
fn exact_literal(expr: &mut Expr) -> bool {
    let (sign, value) = match &*expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => ("-", expr.as_ref()),
        other => ("", other),
    };
    let Expr::Value(value) = value else { return false };
    let Value::Number(number, _) = &value.value else { return false };
    let Some((whole, fraction)) = number.split_once('.') else { return false };
    let is_plain = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let (precision, scale) = ((whole.len() + fraction.len()).max(1), fraction.len());
    if !is_plain || precision > 38 {
        return false;
    }
    let text = Value::SingleQuotedString(format!("{sign}{number}"));
    let info = ExactNumberInfo::PrecisionAndScale(precision as u64, scale as i64);
    let text = Expr::Value(ValueWithSpan { value: text, span: value.span });
    *expr = cast_to(text, DataType::Decimal(info));
    true
}

fn cast_to(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// `round` of a literal, a double as before.
fn exact_round(expr: &mut Expr) {
    let Expr::Function(call) = &mut *expr else { return };
    let FunctionArguments::List(list) = &mut call.args else { return };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) = list.args.first_mut() else { return };
    if exact_literal(value) {
        let rounded = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        *expr = cast_to(rounded, DataType::Double(ExactNumberInfo::None));
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Digits that every double keeps.
const DOUBLE_DIGITS: usize = 15;

/// Makes a compared literal with more digits than a double keeps the decimal that was written.
fn long_literal(expr: &mut Expr) {
    let digits = match &*expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => digits(expr),
        other => digits(other),
    };
    if digits > DOUBLE_DIGITS {
        exact_literal(expr);
    }
}

fn digits(expr: &Expr) -> usize {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => {
            number.bytes().filter(u8::is_ascii_digit).count()
        }
        _ => 0,
    }
}

/// The type of a timestamp that has more digits than the type to which it is cast.
fn finer_timestamp(data_type: &DataType, text: &str) -> Option<DataType> {
    let DataType::Timestamp(Some(precision), zone) = data_type else { return None };
    let unit = match precision {
        0 => TimeUnit::Second,
        3 => TimeUnit::Millisecond,
        6 => TimeUnit::Microsecond,
        _ => return None,
    };
    if !has_more_digits(text, unit) {
        return None;
    }
    let finer = if has_more_digits(text, TimeUnit::Microsecond) { 9 } else { 6 };
    Some(DataType::Timestamp(Some(finer), *zone))
}

/// Microseconds for years that nanoseconds do not reach.
fn wide_timestamp(data_type: &mut DataType, text: &str) {
    let year: Option<u32> = text.trim().split('-').next().and_then(|year| year.parse().ok());
    if let DataType::Timestamp(precision @ None, _) = data_type
        && year.is_some_and(|year| !(1678..2262).contains(&year))
    {
        *precision = Some(6);
    }
}
