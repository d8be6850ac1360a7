//! [`FunctionOverride`]: scalar functions of DataFusion whose results are corrected.

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

/// A function whose result has the type that it promised; `strips_utc` takes the zone UTC off its arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FunctionOverride {
    pub(super) inner: Arc<ScalarUDF>,
    pub(super) strips_utc: bool,
}

impl FunctionOverride {
    fn invoke_without_zone(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        for (arg, field) in args.args.iter_mut().zip(&mut args.arg_fields) {
            if let Some(zoneless) = without_utc(field.data_type()) {
                *arg = with_zone(std::mem::replace(arg, ColumnarValue::Scalar(ScalarValue::Null)), None)?;
                *field = Arc::new(field.as_ref().clone().with_data_type(zoneless));
            }
        }
        if let Some(result) = calendar::computed(self.inner.name(), &args.args) {
            return Ok(result);
        }
        if let Some(zoneless) = without_utc(args.return_field.data_type()) {
            args.return_field = Arc::new(args.return_field.as_ref().clone().with_data_type(zoneless));
        }
        self.inner.inner().invoke_with_args(args)
    }
}

/// The type without its zone where that is UTC.
pub(crate) fn without_utc(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(unit, Some(zone)) if matches!(zone.as_ref(), "UTC" | "Z" | "+00:00") => {
            Some(DataType::Timestamp(*unit, None))
        }
        _ => None,
    }
}

/// The same instants with another zone; other values as they are.
fn with_zone(value: ColumnarValue, zone: Option<Arc<str>>) -> Result<ColumnarValue> {
    fn rezoned<T: ArrowTimestampType>(array: &dyn Array, zone: Option<Arc<str>>) -> ArrayRef {
        Arc::new(array.as_primitive::<T>().clone().with_timezone_opt(zone))
    }
    Ok(match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => rezoned::<TimestampSecondType>(&array, zone),
            DataType::Timestamp(TimeUnit::Millisecond, _) => rezoned::<TimestampMillisecondType>(&array, zone),
            DataType::Timestamp(TimeUnit::Microsecond, _) => rezoned::<TimestampMicrosecondType>(&array, zone),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => rezoned::<TimestampNanosecondType>(&array, zone),
            _ => array,
        }),
        ColumnarValue::Scalar(scalar) => ColumnarValue::Scalar(match scalar {
            ScalarValue::TimestampSecond(value, _) => ScalarValue::TimestampSecond(value, zone),
            ScalarValue::TimestampMillisecond(value, _) => ScalarValue::TimestampMillisecond(value, zone),
            ScalarValue::TimestampMicrosecond(value, _) => ScalarValue::TimestampMicrosecond(value, zone),
            ScalarValue::TimestampNanosecond(value, _) => ScalarValue::TimestampNanosecond(value, zone),
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
        let promised = args.return_field.data_type().clone();
        // the implementation itself: the function around it would refuse the broken promise
        let result = if self.strips_utc {
            let result = self.invoke_without_zone(args)?;
            match &promised {
                DataType::Timestamp(_, zone) => with_zone(result, zone.clone())?,
                _ => result,
            }
        } else {
            self.inner.inner().invoke_with_args(args)?
        };
        if result.data_type() == promised { Ok(result) } else { result.cast_to(&promised, None) }
    }
}
