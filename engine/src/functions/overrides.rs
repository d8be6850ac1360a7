//! [`FunctionOverride`]: a scalar function of DataFusion with corrected results or a faster path.
//!
//! - `to_timestamp` and the like return the type that they declare: the result is cast. An integer is a number of seconds from 1970 in
//!   UTC, which `to_timestamp` takes for local time.
//! - `to_timestamp` and the like, `to_date` and `to_unixtime` of strings without a format read what casts read, `2025-01-31 08:00` and
//!   times that the clocks of the zone leave out too. Digits that the unit has no room for are cut off.
//! - `to_timestamp` and the like of strings without an offset are timestamps without a time zone, see [`reads_local_time`].
//! - `date_trunc` and `date_part` of UTC timestamps run on timestamps without a time zone, by [`calendar`] where it can; in other
//!   time zones they and `date_bin` run on local time ([`zoned`]).
//! - the origin of `date_bin` has the zone of the binned timestamp, and where only the origin has one, both have that: what has no
//!   zone is a local time. DataFusion takes it for a time of UTC.
//!
//! All planning methods (signature, simplification, ordering) are those of the wrapped function.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    ArrowTimestampType, DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::temporal_cast::{TemporalCast, cut_digits};
use super::{calendar, temporal_cast, zoned};
use crate::functions::delegate::delegate_to_inner;

/// What is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Repair {
    /// `to_timestamp` and the like.
    ToTimestamp,
    /// `date_trunc` and `date_part`.
    Calendar,
    /// `date_bin`.
    Bin,
    /// `to_date`.
    ToDate,
    /// `to_unixtime`.
    ToUnixtime,
}

/// A function whose result has its declared type, and is right.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FunctionOverride {
    inner: Arc<ScalarUDF>,
    repair: Repair,
    signature: Signature,
}

/// Whether `to_timestamp` reads strings that have no offset, so that the result is a local time, without a time zone.
///
/// With formats it depends on whether one has an offset (`%z` and the like); of a single literal on the literal. A column without
/// a format may have both: the result has a time zone, and what has no offset is in that of the session.
pub(super) fn reads_local_time(args: &ReturnFieldArgs) -> bool {
    let [value, formats @ ..] = args.scalar_arguments else { return false };
    if !args.arg_fields.first().is_some_and(|field| is_string(field.data_type())) {
        return false;
    }
    let text = |value: &Option<&ScalarValue>| value.and_then(|value| value.try_as_str().flatten().map(str::to_string));
    if formats.is_empty() {
        return text(value).is_some_and(|text| temporal_cast::is_local(&text));
    }
    formats.iter().all(|format| text(format).is_some_and(|format| !has_offset(&format)))
}

/// Whether a format of `chrono` reads an offset, a time zone or seconds since 1970.
fn has_offset(format: &str) -> bool {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        rest = rest[at + 1..].trim_start_matches([':', '#', '-', '_', '0', '.', '3', '6', '9']);
        if rest.starts_with(['z', 'Z', '+', 's']) {
            return true;
        }
        rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    false
}

impl FunctionOverride {
    pub(super) fn new(inner: Arc<ScalarUDF>, repair: Repair) -> Self {
        let signature = match repair {
            Repair::Bin => Signature::user_defined(Volatility::Immutable),
            _ => inner.signature().clone(),
        };
        Self { inner, repair, signature }
    }

    /// The types of `date_bin`, the timestamp and its origin in one zone.
    fn bin_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let field = |data_type: &DataType| -> FieldRef { Arc::new(Field::new("value", data_type.clone(), true)) };
        let fields: Vec<FieldRef> = arg_types.iter().map(field).collect();
        let coerced = fields_with_udf(&fields, self.inner.as_ref())?;
        let mut types: Vec<DataType> = coerced.iter().map(|field| field.data_type().clone()).collect();
        if let ([_, DataType::Timestamp(unit, zone), ..], [_, value, origin]) = (arg_types, types.as_mut_slice())
            && let DataType::Timestamp(origin_unit, _) = origin
        {
            let zone = match (zone, arg_types.get(2)) {
                (None, Some(DataType::Timestamp(_, zone))) => zone,
                (zone, _) => zone,
            };
            *origin = DataType::Timestamp(*origin_unit, zone.clone());
            *value = DataType::Timestamp(*unit, zone.clone());
        }
        Ok(types)
    }

    /// `to_timestamp` and the like.
    fn invoke_to_timestamp(&self, args: ScalarFunctionArgs, declared: &DataType) -> Result<ColumnarValue> {
        let (Some(value), DataType::Timestamp(unit, zone)) = (args.args.first(), declared) else {
            return self.inner.inner().invoke_with_args(args);
        };
        let value_type = value.data_type();
        if is_string(&value_type) && args.args.len() == 1 {
            return cast_string(value, declared, *unit);
        }
        match (zone, &value_type) {
            (None, _) => self.invoke_local(args),
            (zone, number) if number.is_integer() => with_time_zone(self.invoke_local(args)?, zone.clone()),
            (Some(zone), DataType::Timestamp(unit, None)) => {
                let zoned = DataType::Timestamp(*unit, Some(Arc::clone(zone)));
                each(value, |values| TemporalCast::to(zoned.clone()).of(values))
            }
            _ => self.inner.inner().invoke_with_args(args),
        }
    }

    /// A value without a time zone: the function of a session in UTC reads it, and the ticks stay.
    fn invoke_local(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut utc = ConfigOptions::default();
        utc.execution.time_zone = None;
        let result = match self.inner.inner().with_updated_config(&utc) {
            Some(inner) => inner.inner().invoke_with_args(args)?,
            None => self.inner.inner().invoke_with_args(args)?,
        };
        with_time_zone(result, None)
    }

    fn invoke_without_utc(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        for (arg, field) in args.args.iter_mut().zip(&mut args.arg_fields) {
            if let Some(without) = without_utc(field.data_type()) {
                *arg = with_time_zone(std::mem::replace(arg, ColumnarValue::Scalar(ScalarValue::Null)), None)?;
                *field = Arc::new(field.as_ref().clone().with_data_type(without));
            }
        }
        if let Some(result) = calendar::computed(self.inner.name(), &args.args) {
            return Ok(result);
        }
        if let Some(without) = without_utc(args.return_field.data_type()) {
            args.return_field = Arc::new(args.return_field.as_ref().clone().with_data_type(without));
        }
        self.inner.inner().invoke_with_args(args)
    }
}

fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Strings as a cast reads them, without the digits of a second that the unit has no room for.
fn cast_string(value: &ColumnarValue, target: &DataType, unit: TimeUnit) -> Result<ColumnarValue> {
    each(value, |texts| TemporalCast::to(target.clone()).of(&cut_digits(texts, unit)?))
}

/// A function of arrays, of a constant too.
fn each(value: &ColumnarValue, of: impl Fn(&ArrayRef) -> Result<ArrayRef>) -> Result<ColumnarValue> {
    Ok(match value {
        ColumnarValue::Array(values) => ColumnarValue::Array(of(values)?),
        ColumnarValue::Scalar(value) => {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&of(&value.to_array()?)?, 0)?)
        }
    })
}

/// The NULLs of a value.
fn null_count(value: Option<&ColumnarValue>) -> usize {
    match value {
        Some(ColumnarValue::Array(values)) => values.null_count(),
        Some(ColumnarValue::Scalar(value)) => usize::from(value.is_null()),
        None => 0,
    }
}

/// The timestamp type without a time zone; `None` for all types but UTC timestamps.
pub(crate) fn without_utc(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(unit, Some(time_zone)) if matches!(time_zone.as_ref(), "UTC" | "Z" | "+00:00") => {
            Some(DataType::Timestamp(*unit, None))
        }
        _ => None,
    }
}

/// The same UTC ticks with another time zone; values of other types unchanged.
fn with_time_zone(value: ColumnarValue, time_zone: Option<Arc<str>>) -> Result<ColumnarValue> {
    fn rezoned<T: ArrowTimestampType>(array: &dyn Array, time_zone: Option<Arc<str>>) -> ArrayRef {
        Arc::new(array.as_primitive::<T>().clone().with_timezone_opt(time_zone))
    }
    Ok(match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => rezoned::<TimestampSecondType>(&array, time_zone),
            DataType::Timestamp(TimeUnit::Millisecond, _) => rezoned::<TimestampMillisecondType>(&array, time_zone),
            DataType::Timestamp(TimeUnit::Microsecond, _) => rezoned::<TimestampMicrosecondType>(&array, time_zone),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => rezoned::<TimestampNanosecondType>(&array, time_zone),
            _ => array,
        }),
        ColumnarValue::Scalar(scalar) => ColumnarValue::Scalar(match scalar {
            ScalarValue::TimestampSecond(value, _) => ScalarValue::TimestampSecond(value, time_zone),
            ScalarValue::TimestampMillisecond(value, _) => ScalarValue::TimestampMillisecond(value, time_zone),
            ScalarValue::TimestampMicrosecond(value, _) => ScalarValue::TimestampMicrosecond(value, time_zone),
            ScalarValue::TimestampNanosecond(value, _) => ScalarValue::TimestampNanosecond(value, time_zone),
            other => other,
        }),
    })
}

impl ScalarUDFImpl for FunctionOverride {
    delegate_to_inner! { name, aliases, return_type, documentation }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let is_local = self.repair == Repair::ToTimestamp && reads_local_time(&args);
        let field = self.inner.return_field_from_args(args)?;
        Ok(match field.data_type() {
            DataType::Timestamp(unit, Some(_)) if is_local => {
                Arc::new(field.as_ref().clone().with_data_type(DataType::Timestamp(*unit, None)))
            }
            _ => field,
        })
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::from(Self::new(inner, self.repair)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match self.repair {
            Repair::Bin => self.bin_types(arg_types),
            _ => self.inner.coerce_types(arg_types),
        }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        self.inner.preimage(args, literal, info)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let declared = args.return_field.data_type().clone();
        // `inner.inner()`, the implementation: `ScalarUDF` around it checks the declared type, and would fail
        let result = match self.repair {
            // a column that is NULL throughout has no type of its own
            Repair::Calendar if args.arg_fields.get(1).is_some_and(|value| value.data_type().is_null()) => {
                ColumnarValue::Scalar(ScalarValue::try_from(&declared)?)
            }
            Repair::Calendar | Repair::Bin => {
                if let Some(result) = zoned::invoke(&self.inner, &args)? {
                    return Ok(result);
                }
                let result = match self.repair {
                    Repair::Calendar => self.invoke_without_utc(args)?,
                    _ => match calendar::binned(&args.args) {
                        Some(bins) => bins?,
                        None => {
                            let is_null =
                                |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(arg) if arg.is_null());
                            let has_null = args.args.iter().any(is_null);
                            let nulls = null_count(args.args.get(1));
                            let bins = self.inner.inner().invoke_with_args(args)?;
                            if !has_null && null_count(Some(&bins)) > nulls {
                                return exec_err!("date_bin by months wants timestamps from 1677 to 2262");
                            }
                            bins
                        }
                    },
                };
                match &declared {
                    DataType::Timestamp(_, time_zone) => with_time_zone(result, time_zone.clone())?,
                    _ => result,
                }
            }
            Repair::ToTimestamp => self.invoke_to_timestamp(args, &declared)?,
            Repair::ToDate | Repair::ToUnixtime => match args.args.as_slice() {
                [value] if is_string(&value.data_type()) && self.repair == Repair::ToDate => {
                    each(value, |texts| TemporalCast::to(declared.clone()).of(texts))?
                }
                [value] if is_string(&value.data_type()) => {
                    let zone = args.config_options.execution.time_zone.as_deref().unwrap_or("UTC");
                    let seconds = DataType::Timestamp(TimeUnit::Second, Some(zone.into()));
                    cast_string(value, &seconds, TimeUnit::Second)?
                }
                _ => self.inner.inner().invoke_with_args(args)?,
            },
        };
        if result.data_type() == declared { Ok(result) } else { result.cast_to(&declared, None) }
    }
}
