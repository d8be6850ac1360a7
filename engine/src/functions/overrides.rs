//! [`FunctionOverride`]: a scalar function of DataFusion with corrected results or a faster path.
//!
//! - `to_timestamp` and the like return the type that they declare: the result is cast.
//! - `date_trunc` and `date_part` of UTC timestamps run on timestamps without a time zone, by [`calendar`] where it can.
//!
//! All planning methods (signature, simplification, ordering) are those of the wrapped function.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    ArrowTimestampType, DataType, FieldRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::calendar;

/// A function whose result has its declared type; `strips_utc` removes the time zone UTC from the arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FunctionOverride {
    pub(super) inner: Arc<ScalarUDF>,
    pub(super) strips_utc: bool,
}

impl FunctionOverride {
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
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::from(Self { inner, strips_utc: self.strips_utc }))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
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

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let declared = args.return_field.data_type().clone();
        // `inner.inner()`, the implementation: `ScalarUDF` around it checks the declared type, and would fail
        let result = if self.strips_utc {
            let result = self.invoke_without_utc(args)?;
            match &declared {
                DataType::Timestamp(_, time_zone) => with_time_zone(result, time_zone.clone())?,
                _ => result,
            }
        } else {
            self.inner.inner().invoke_with_args(args)?
        };
        if result.data_type() == declared { Ok(result) } else { result.cast_to(&declared, None) }
    }
}
