//! Integers compared with literals that have a decimal point, part of the rule
//! [`exact_arithmetic`](super::exact_arithmetic).
//!
//! | condition over `x bigint` | as |
//! |---|---|
//! | `x = 3.0`, `x in (3.0, 4.7)` | `x = 3`, `x in (3, 4.7)`: a decimal that no integer equals |
//! | `x < 2.5`, `x >= 2.5`, `x between 1.5 and 3.5` | `x <= 2`, `x > 2`, `x between 2 and 3` |
//! | `x = 9007199254740993.0` | `x = 9007199254740993` |
//! | `x < 1e300` | unchanged: both are doubles |
//!
//! Beside a decimal column the literal is a decimal too.
//!
//! DataFusion compares both sides as doubles, in which 9007199254740993 equals 9007199254740992. PostgreSQL and DuckDB, whose
//! literals are decimals, compare exactly. A literal of more digits than a double keeps arrives as a decimal
//! ([`rewrite_statement`](crate::sql)); beside anything but an integer it is a double again, as all other literals.
//! Two columns, a bigint and a double, are compared as doubles, as in PostgreSQL and DuckDB.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, Cast, InList};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator};

use super::timestamp_comparison::is_comparison;

/// A literal as `digits / 10^scale`, without zeros at the end of its fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Constant {
    digits: i128,
    scale: u8,
    /// The double that the literal is otherwise.
    double: f64,
}

impl Constant {
    /// A double, or a decimal as the statement has it.
    fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Literal(ScalarValue::Float64(Some(value)), _) => Self::parse(&value.to_string()),
            Expr::Negative(value) => {
                let Self { digits, scale, double } = Self::of(value)?;
                Some(Self { digits: -digits, scale, double: -double })
            }
            _ => Self::parse(decimal_text(expr)?),
        }
    }

    /// Digits with a point or without; `None` for other numbers and those of more than 38 digits.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let is_short = digits.unsigned_abs() < 10_u128.pow(DECIMAL128_MAX_PRECISION.into());
        let scale = u8::try_from(fraction.len()).ok().filter(|scale| is_short && *scale <= DECIMAL128_MAX_PRECISION)?;
        Some(Self { digits, scale, double: text.parse().ok()? })
    }

    /// The largest integer that is not above it, and whether it is that integer; `None` beyond `Int64`.
    fn floor(self) -> Option<(i64, bool)> {
        let unit = 10_i128.pow(self.scale.into());
        Some((i64::try_from(self.digits.div_euclid(unit)).ok()?, self.digits.rem_euclid(unit) == 0))
    }

    fn decimal(self) -> Expr {
        let digits = self.digits.unsigned_abs().checked_ilog10().map_or(1, |digits| digits + 1);
        let precision = u8::try_from(digits).unwrap_or(DECIMAL128_MAX_PRECISION).max(self.scale).max(1);
        let scale = i8::try_from(self.scale).unwrap_or_default();
        Expr::Literal(ScalarValue::Decimal128(Some(self.digits), precision, scale), None)
    }

    /// The constant beside an integer that it is equal to, or not: all fractions are alike.
    fn beside_integer(self) -> Expr {
        match self.floor() {
            Some((value, true)) => integer(value),
            Some((value, false)) => Self { digits: i128::from(value) * 10 + 5, scale: 1, ..self }.decimal(),
            None => self.decimal(),
        }
    }

    /// The constant beside a value of a kind.
    fn beside(self, kind: Kind) -> Expr {
        match kind {
            Kind::Integer => self.beside_integer(),
            Kind::Decimal => self.decimal(),
            Kind::Other => Expr::Literal(ScalarValue::Float64(Some(self.double)), None),
        }
    }
}

/// The text of a decimal as [`rewrite_statement`](crate::sql) makes it of a literal.
fn decimal_text(expr: &Expr) -> Option<&str> {
    let Expr::Cast(Cast { expr, field }) = expr else { return None };
    let (Some(ScalarValue::Utf8(Some(text))), DataType::Decimal128(precision, scale)) =
        (expr.as_literal(), field.data_type())
    else {
        return None;
    };
    let (whole, fraction) = text.trim_start_matches('-').split_once('.')?;
    let is_whole = whole.len() + fraction.len() == usize::from(*precision);
    (is_whole && i8::try_from(fraction.len()) == Ok(*scale)).then_some(text)
}

/// The decimal that a literal with a point is; `None` for other expressions.
pub(super) fn exact_literal(expr: &Expr) -> Option<Expr> {
    Constant::of(expr).map(Constant::decimal)
}

fn integer(value: i64) -> Expr {
    Expr::Literal(ScalarValue::Int64(Some(value)), None)
}

/// What a literal is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With 64 bits, of which a double has no room for all.
    Integer,
    Decimal,
    Other,
}

impl Kind {
    fn of(data_type: Option<DataType>) -> Self {
        match data_type {
            Some(DataType::Int64 | DataType::UInt64) => Self::Integer,
            Some(data_type) if data_type.is_decimal() => Self::Decimal,
            _ => Self::Other,
        }
    }
}

/// Rewrites a comparison; returns whether it has changed.
pub(super) fn compare_exactly(expr: &mut Expr, type_of: &impl Fn(&Expr) -> Option<DataType>) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            match (Constant::of(left), Constant::of(right)) {
                (None, Some(constant)) => match Kind::of(type_of(left)) {
                    Kind::Other => as_double(right),
                    kind => {
                        (*op, **right) = bound(*op, constant, kind);
                        true
                    }
                },
                (Some(constant), None) => match (Kind::of(type_of(right)), op.swap()) {
                    (Kind::Other, _) | (_, None) => as_double(left),
                    (kind, Some(swapped)) => {
                        let (swapped, value) = bound(swapped, constant, kind);
                        (*op, **left) = (swapped.swap().unwrap_or(swapped), value);
                        true
                    }
                },
                _ => false,
            }
        }
        Expr::Between(Between { expr, negated: _, low, high }) => {
            let bounds = (Constant::of(low), Constant::of(high));
            let kind = if bounds == (None, None) { Kind::Other } else { Kind::of(type_of(expr)) };
            match kind {
                Kind::Other => as_double(low) | as_double(high),
                kind => {
                    if let Some(constant) = bounds.0 {
                        **low = inclusive(Operator::GtEq, constant, kind);
                    }
                    if let Some(constant) = bounds.1 {
                        **high = inclusive(Operator::LtEq, constant, kind);
                    }
                    true
                }
            }
        }
        Expr::InList(InList { expr, list, negated: _ }) => one_of(expr, list.iter_mut().collect(), type_of),
        Expr::Case(Case { expr: Some(expr), when_then_expr, .. }) => {
            one_of(expr, when_then_expr.iter_mut().map(|(when, _)| when.as_mut()).collect(), type_of)
        }
        _ => false,
    }
}

/// Makes a literal that was to be compared exactly a double again.
fn as_double(expr: &mut Expr) -> bool {
    let is_decimal = match &*expr {
        Expr::Negative(value) => decimal_text(value).is_some(),
        other => decimal_text(other).is_some(),
    };
    match Constant::of(expr) {
        Some(constant) if is_decimal => {
            *expr = constant.beside(Kind::Other);
            true
        }
        _ => false,
    }
}

/// `value op constant` with an integer on the right where the value is one.
fn bound(op: Operator, constant: Constant, kind: Kind) -> (Operator, Expr) {
    match (op, constant.floor()) {
        // no integer lies between the constant and the one below it
        (Operator::Lt | Operator::LtEq, Some((floor, false))) if kind == Kind::Integer => {
            (Operator::LtEq, integer(floor))
        }
        (Operator::Gt | Operator::GtEq, Some((floor, false))) if kind == Kind::Integer => {
            (Operator::Gt, integer(floor))
        }
        _ => (op, constant.beside(kind)),
    }
}

/// The constant as a bound of BETWEEN.
fn inclusive(op: Operator, constant: Constant, kind: Kind) -> Expr {
    match (op, constant.floor()) {
        (Operator::LtEq, Some((floor, _))) if kind == Kind::Integer => integer(floor),
        (_, Some((floor, false))) if kind == Kind::Integer => match floor.checked_add(1) {
            Some(ceiling) => integer(ceiling),
            None => constant.decimal(),
        },
        _ => constant.beside(kind),
    }
}

/// Constants that an expression is compared with for equality.
fn one_of(expr: &Expr, mut values: Vec<&mut Expr>, type_of: &impl Fn(&Expr) -> Option<DataType>) -> bool {
    if values.iter().all(|value| Constant::of(value).is_none()) {
        return false;
    }
    let kind = Kind::of(type_of(expr));
    // beside a double all values are compared as doubles
    let are_exact = values
        .iter()
        .all(|value| Constant::of(value).is_some() || !type_of(value).is_some_and(|data_type| data_type.is_floating()));
    if kind == Kind::Other || !are_exact {
        let changed: Vec<bool> = values.iter_mut().map(|value| as_double(value)).collect();
        return changed.contains(&true);
    }
    for value in values {
        if let Some(constant) = Constant::of(value) {
            *value = constant.beside(kind);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_read_as_they_are_written() {
        let constant = |text| Constant::parse(text).map(|found| (found.digits, found.scale, found.floor()));
        assert_eq!(constant("2.50"), Some((25, 1, Some((2, false)))));
        assert_eq!(constant("-2.5"), Some((-25, 1, Some((-3, false)))));
        assert_eq!(constant("-0.5"), Some((-5, 1, Some((-1, false)))));
        assert_eq!(
            constant("9007199254740993.0"),
            Some((9_007_199_254_740_993, 0, Some((9_007_199_254_740_993, true))))
        );
        assert_eq!(constant("9223372036854775808.0"), Some((9_223_372_036_854_775_808, 0, None)));
        for text in ["NaN", "inf", "1e5", "x", "", &f64::MAX.to_string(), &"9".repeat(39)] {
            assert_eq!(constant(text), None, "{text}");
        }
    }
}
