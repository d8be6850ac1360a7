//! The arguments of a function: how many, of which types, which must be constants, and what is said when they do not fit.
//!
//! Each function lists its [`Parameter`]s once. From that list come the signature with its parameter names, the coercion
//! of the argument types, and the [`Constants`] that configure the computation. Every refusal is a planning error that
//! names the function, the argument, what was given and what is wanted.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, IntervalUnit, Schema, TimeUnit};
use datafusion::common::types::{LogicalType, NativeType, logical_boolean, logical_float64, logical_string};
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Coercion, ColumnarValue, Expr, Signature, TypeSignatureClass, Volatility};
use datafusion::physical_expr::PhysicalExpr;

/// The time zone of strings without an offset.
pub(crate) const UTC: &str = "+00:00";

/// What an argument holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any number; computed with as Float64.
    Number,
    /// A Boolean.
    Flag,
    /// A string; a constant.
    Text,
    /// A Boolean, or any number, which is computed with as Float64.
    FlagOrNumber,
    /// A value by which rows are told apart: of any type but lists, structs and maps.
    Key,
    /// A constant that is a value of the key.
    KeyValue,
    /// A struct of features, whose fields are checked by the function.
    Features,
    /// A struct that a fit returned, whose fields are checked by the function.
    Model,
    /// A timestamp, a date or a number, by which rows are ordered.
    At,
    /// A constant: a string or a number.
    TextOrNumber,
    /// A timestamp with or without a time zone, a date, or a string that is a timestamp (of UTC where it has no offset).
    Time,
    /// A length of time: an interval, a duration, or a string that is one.
    Interval,
}

impl Kind {
    fn coercion(self) -> Coercion {
        match self {
            Kind::Number => Coercion::new_implicit(
                TypeSignatureClass::Native(logical_float64()),
                vec![TypeSignatureClass::Numeric],
                NativeType::Float64,
            ),
            Kind::Flag => Coercion::new_exact(TypeSignatureClass::Native(logical_boolean())),
            Kind::Text => Coercion::new_exact(TypeSignatureClass::Native(logical_string())),
            Kind::FlagOrNumber => Coercion::new_implicit(
                TypeSignatureClass::Native(logical_boolean()),
                vec![TypeSignatureClass::Numeric],
                NativeType::Float64,
            ),
            Kind::Key
            | Kind::KeyValue
            | Kind::Features
            | Kind::Model
            | Kind::At
            | Kind::TextOrNumber
            | Kind::Time
            | Kind::Interval => Coercion::new_exact(TypeSignatureClass::Any),
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Kind::Number => "a number",
            Kind::Flag => "a Boolean",
            Kind::Text => "a string",
            Kind::FlagOrNumber => "a Boolean or a number",
            Kind::Key => "a string, a number, a Boolean, a date or a timestamp",
            Kind::KeyValue => "a value of group",
            Kind::Features => "a struct of features such as struct(a, b)",
            Kind::Model => "the struct of a fit",
            Kind::At => "a timestamp, a date or a number",
            Kind::TextOrNumber => "a string or a number",
            Kind::Time => "a timestamp, a date, or a string with one",
            Kind::Interval => "an interval such as interval '30 minutes'",
        }
    }

    /// The type an argument of type `given` is cast to, or None when it does not fit. NULL fits everywhere.
    fn coerce(self, given: &DataType) -> Result<Option<DataType>> {
        let coercion = self.coercion();
        let native = NativeType::from(given);
        let value_type = match given {
            DataType::Dictionary(_, value_type) => value_type.as_ref(),
            other => other,
        };
        match self {
            Kind::KeyValue => return Ok(Some(given.clone())),
            Kind::Features | Kind::Model => {
                return Ok(matches!(given, DataType::Struct(_) | DataType::Null).then(|| given.clone()));
            }
            Kind::Key if value_type.is_null() => return Ok(Some(DataType::Utf8)),
            Kind::Key => return Ok((!value_type.is_nested()).then(|| value_type.clone())),
            Kind::At => return Ok(at_type(value_type)),
            Kind::TextOrNumber => {
                let fits = value_type.is_string() || value_type.is_numeric() || value_type.is_null();
                return Ok(fits.then(|| value_type.clone()));
            }
            Kind::Time => {
                return Ok(match value_type {
                    DataType::Timestamp(..) => Some(value_type.clone()),
                    DataType::Date32 | DataType::Date64 => Some(DataType::Date32),
                    other if other.is_string() || other.is_null() => {
                        Some(DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))
                    }
                    _ => None,
                });
            }
            Kind::Interval => {
                let is_length = matches!(value_type, DataType::Interval(_) | DataType::Duration(_));
                let fits = is_length || value_type.is_string() || value_type.is_null();
                return Ok(fits.then_some(DataType::Interval(IntervalUnit::MonthDayNano)));
            }
            _ => {}
        }
        if coercion.desired_type().matches_native_type(&native) {
            return coercion.desired_type().default_casted_type(&native, value_type).map(Some);
        }
        if coercion.allowed_source_types().iter().any(|class| class.matches_native_type(&native)) {
            return coercion.default_casted_type().map(|to| to.default_cast_for(value_type)).transpose();
        }
        Ok(None)
    }
}

/// The type to which a value is cast by which rows are ordered; `None` when it is no such value.
fn at_type(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Timestamp(..) | DataType::Date32 => Some(given.clone()),
        DataType::Date64 => Some(DataType::Date32),
        DataType::Null => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        DataType::UInt64 => Some(DataType::Float64),
        given if given.is_integer() => Some(DataType::Int64),
        given if given.is_numeric() => Some(DataType::Float64),
        _ => None,
    }
}

/// One parameter of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_constant: bool,
}

impl Parameter {
    /// A parameter whose value differs from row to row.
    pub(crate) const fn column(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, is_constant: false }
    }

    /// A parameter that has one value for the whole query.
    pub(crate) const fn constant(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, is_constant: true }
    }
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    /// As it is written in the manual, `nps(score)`.
    pub(crate) syntax: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// The numbers of arguments that are accepted, ascending.
    pub(crate) arities: &'static [usize],
}

impl Call {
    /// The signature with its parameter names. The types are matched by [`Call::coerce`]: a signature that is a list of
    /// alternatives (which optional arguments need) reports a wrong type as an internal error of DataFusion.
    pub(crate) fn signature(&self) -> Signature {
        let plain = Signature::user_defined(Volatility::Immutable);
        let names = self.parameters.iter().map(|parameter| parameter.name).collect::<Vec<_>>();
        plain.clone().with_parameter_names(names).unwrap_or(plain)
    }

    /// The types the arguments are cast to.
    ///
    /// # Errors
    /// A planning error for a wrong number of arguments or a wrong type.
    pub(crate) fn coerce(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let Self { function, syntax, .. } = self;
        if !self.arities.contains(&given.len()) {
            let arities = self.arities.iter().map(ToString::to_string).collect::<Vec<_>>();
            let (noun, wanted) = match self.arities {
                [1] => ("argument", "1".to_owned()),
                _ => ("arguments", join_or(&arities)),
            };
            return plan_err!("{function}: takes {wanted} {noun}, {syntax}, got {}", given.len());
        }
        let coerced = self.parameters.iter().zip(given).map(|(parameter, given)| {
            let Parameter { name, kind, .. } = parameter;
            match kind.coerce(given)? {
                Some(data_type) => Ok(data_type),
                None => plan_err!("{function}: {name} must be {}, got {given}", kind.wanted()),
            }
        });
        coerced.collect()
    }
}

/// The constant arguments of one call. An argument that is absent and one that is NULL are both "not given".
#[derive(Debug)]
pub(crate) struct Constants {
    function: &'static str,
    values: Vec<(&'static str, ScalarValue)>,
}

impl Constants {
    /// Reads the constants of a logical call; None as long as one of them is not known to be constant or not.
    ///
    /// # Errors
    /// A planning error when an argument that must be constant is not.
    pub(crate) fn of_logical(call: &Call, args: &[Expr]) -> Result<Option<Self>> {
        let mut values = vec![];
        for (parameter, arg) in call.parameters.iter().zip(args).filter(|(parameter, _)| parameter.is_constant) {
            match arg {
                Expr::Literal(value, _) => values.push((parameter.name, value.clone())),
                other if other.any_column_refs() => return not_constant(call, parameter, other),
                // A parameter without a value, or an expression that is not folded yet.
                _ => return Ok(None),
            }
        }
        Ok(Some(Self { function: call.function, values }))
    }

    /// Reads the constants of a physical call.
    ///
    /// # Errors
    /// A planning error when an argument that must be constant is not.
    pub(crate) fn of_physical(call: &Call, args: &[Arc<dyn PhysicalExpr>]) -> Result<Self> {
        let mut values = vec![];
        for (parameter, arg) in call.parameters.iter().zip(args).filter(|(parameter, _)| parameter.is_constant) {
            // A column does not evaluate against no columns; a constant does.
            match arg.evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty()))) {
                Ok(ColumnarValue::Scalar(value)) => values.push((parameter.name, value)),
                _ => return not_constant(call, parameter, arg),
            }
        }
        Ok(Self { function: call.function, values })
    }

    /// The constants of a scalar call, whose values are at hand.
    pub(crate) fn of_values(call: &Call, values: &[(&'static str, Option<&ScalarValue>)]) -> Self {
        let given = values.iter().filter_map(|(name, value)| Some((*name, (*value)?.clone())));
        Self { function: call.function, values: given.collect() }
    }

    /// The function that is called.
    pub(crate) fn function(&self) -> &'static str {
        self.function
    }

    /// A value as it is, if it is given.
    pub(crate) fn value(&self, parameter: &str) -> Option<&ScalarValue> {
        self.values.iter().find(|(name, value)| *name == parameter && !value.is_null()).map(|(_, value)| value)
    }

    /// A number, if it is given.
    ///
    /// # Errors
    /// A planning error for NaN, an infinity, or what is no number.
    pub(crate) fn number(&self, parameter: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(parameter) else { return Ok(None) };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) if number.is_finite() => Ok(Some(number)),
            _ => plan_err!("{}: {parameter} must be a finite number, got {value}", self.function),
        }
    }

    /// A probability between 0 and 1, or `default` if it is not given.
    ///
    /// # Errors
    /// A planning error when it is not between 0 and 1, or one of them.
    pub(crate) fn probability(&self, parameter: &str, default: f64) -> Result<f64> {
        match self.number(parameter)? {
            None => Ok(default),
            Some(number) if number > 0.0 && number < 1.0 => Ok(number),
            Some(number) => plan_err!("{}: {parameter} must be > 0 and < 1, got {number}", self.function),
        }
    }

    /// A number that is not negative, or `default` if it is not given.
    ///
    /// # Errors
    /// A planning error when it is negative or not finite.
    pub(crate) fn not_negative(&self, parameter: &str, default: f64) -> Result<f64> {
        match self.number(parameter)? {
            None => Ok(default),
            Some(number) if number >= 0.0 => Ok(number),
            Some(number) => plan_err!("{}: {parameter} must be >= 0, got {number}", self.function),
        }
    }

    /// An integer of at least `least`, if it is given.
    ///
    /// # Errors
    /// A planning error when it is none, or too small or too large.
    pub(crate) fn integer(&self, parameter: &str, least: u32) -> Result<Option<u32>> {
        match self.number(parameter)? {
            None => Ok(None),
            Some(number) if number.fract() == 0.0 && number >= f64::from(least) && number <= f64::from(u32::MAX) => {
                Ok(Some(number as u32))
            }
            Some(number) => plan_err!("{}: {parameter} must be an integer >= {least}, got {number}", self.function),
        }
    }

    /// A Boolean, if it is given.
    pub(crate) fn flag(&self, parameter: &str) -> Option<bool> {
        match self.value(parameter) {
            Some(ScalarValue::Boolean(flag)) => *flag,
            _ => None,
        }
    }

    /// A duration in seconds, if it is given.
    ///
    /// # Errors
    /// A planning error when it is negative or not finite.
    pub(crate) fn seconds(&self, parameter: &str) -> Result<Option<f64>> {
        match self.number(parameter)? {
            Some(seconds) if seconds < 0.0 => {
                plan_err!("{}: {parameter} must be >= 0, got {seconds}", self.function)
            }
            seconds => Ok(seconds),
        }
    }

    /// One of `choices` (whatever its case), if it is given.
    ///
    /// # Errors
    /// A planning error that lists the choices, and the nearest one when it is near.
    pub(crate) fn choice<T: Copy>(&self, parameter: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.value(parameter) else { return Ok(None) };
        let got = value.try_as_str().flatten().unwrap_or_default().trim().to_ascii_lowercase();
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == got) {
            return Ok(Some(*choice));
        }
        let names = choices.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
        let hint = nearest_hint(&names, &got);
        plan_err!("{}: {parameter} must be one of {}, got '{value}'{hint}", self.function, join_or(&names))
    }
}

fn not_constant<T>(call: &Call, parameter: &Parameter, got: impl std::fmt::Display) -> Result<T> {
    plan_err!("{}: {} must be a constant, got {got}", call.function, parameter.name)
}

/// `; did you mean 'a'?` with the nearest of the names, if one is near.
pub(crate) fn nearest_hint(names: &[String], got: &str) -> String {
    let nearest = names
        .iter()
        .map(|name| (normalized_levenshtein(name, got), name))
        .filter(|(similarity, _)| *similarity >= 0.5)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.map(|(_, name)| format!("; did you mean '{name}'?")).unwrap_or_default()
}

/// `a, b or c`.
pub(crate) fn join_or(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    const CALL: Call = Call {
        function: "f",
        syntax: "f(x [, limit_s [, how]])",
        parameters: &[
            Parameter::column("x", Kind::Number),
            Parameter::constant("limit_s", Kind::Number),
            Parameter::constant("how", Kind::Text),
        ],
        arities: &[1, 2, 3],
    };

    fn constants(args: &[Expr]) -> Constants {
        Constants::of_logical(&CALL, args).unwrap().unwrap()
    }

    #[test]
    fn numbers_of_every_width_and_null_become_float64() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Int16));
        for given in [
            DataType::Int8,
            DataType::UInt64,
            DataType::Float32,
            DataType::Decimal128(10, 2),
            DataType::Null,
            dictionary,
        ] {
            assert_eq!(CALL.coerce(std::slice::from_ref(&given)).unwrap(), [DataType::Float64], "{given}");
        }
    }

    #[test]
    fn times_keep_their_unit_and_zone_and_strings_are_utc() {
        let zoned = DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into()));
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for (given, expected) in [
            (zoned.clone(), Some(zoned)),
            (DataType::Date64, Some(DataType::Date32)),
            (dictionary, Some(utc.clone())),
            (DataType::Null, Some(utc)),
            (DataType::Int64, None),
        ] {
            assert_eq!(Kind::Time.coerce(&given).unwrap(), expected, "{given}");
        }
    }

    #[test]
    fn wrong_types_and_counts_name_function_argument_got_and_wanted() {
        let error = |given: &[DataType]| CALL.coerce(given).unwrap_err().strip_backtrace();
        assert_eq!(error(&[DataType::Utf8]), "Error during planning: f: x must be a number, got Utf8");
        assert_eq!(
            error(&[DataType::Int8, DataType::Int8, DataType::Int8]),
            "Error during planning: f: how must be a string, got Int8"
        );
        assert_eq!(error(&[]), "Error during planning: f: takes 1, 2 or 3 arguments, f(x [, limit_s [, how]]), got 0");
    }

    #[test]
    fn null_and_absent_constants_are_not_given() {
        let given = constants(&[col("x"), lit(ScalarValue::Null)]);
        assert_eq!(given.number("limit_s").unwrap(), None);
        assert_eq!(given.choice("how", &[("a", 1)]).unwrap(), None);
    }

    #[test]
    fn constants_are_checked() {
        let message = |error: datafusion::error::DataFusionError| error.strip_backtrace();
        let given = constants(&[col("x"), lit(-5), lit("alphabet")]);
        assert_eq!(
            message(given.seconds("limit_s").unwrap_err()),
            "Error during planning: f: limit_s must be >= 0, got -5"
        );
        assert_eq!(
            message(given.choice("how", &[("alpha", 1), ("omega", 2)]).unwrap_err()),
            "Error during planning: f: how must be one of alpha or omega, got 'alphabet'; did you mean 'alpha'?"
        );
        assert_eq!(given.number("limit_s").unwrap(), Some(-5.0));
        let nan = constants(&[col("x"), lit(f64::NAN), lit(" Omega ")]);
        assert_eq!(
            message(nan.number("limit_s").unwrap_err()),
            "Error during planning: f: limit_s must be a finite number, got NaN"
        );
        assert_eq!(nan.choice("how", &[("alpha", 1), ("omega", 2)]).unwrap(), Some(2));
        let column = Constants::of_logical(&CALL, &[col("x"), col("y")]).unwrap_err();
        assert_eq!(message(column), "Error during planning: f: limit_s must be a constant, got y");
    }

    #[test]
    fn an_unbound_parameter_and_an_unfolded_expression_are_left_for_later() {
        let unbound = datafusion::prelude::placeholder("$limit_s");
        let unfolded = lit(2) * lit(10);
        for later in [unbound, unfolded] {
            assert!(Constants::of_logical(&CALL, &[col("x"), later]).unwrap().is_none());
        }
    }
}
