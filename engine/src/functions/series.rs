//! [`Series`]: `generate_series` and `range` of timestamps before 1677 or after 2262 are errors.
//!
//! DataFusion 55.2 computes in nanoseconds and takes a bound that they do not reach for NULL: the series has no rows. No
//! issue was found. Everything else is the wrapped function.

use std::sync::Arc;

use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use super::delegate::delegate_to_inner;

/// The names of the functions.
pub(super) const SERIES: [&str; 2] = ["generate_series", "range"];

/// One of the functions of [`SERIES`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Series {
    pub(super) inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Series {
    delegate_to_inner!(name, aliases, signature, return_type, documentation);

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        for arg in &args.args {
            let DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, zone) =
                arg.data_type()
            else {
                continue;
            };
            let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, zone);
            let options = CastOptions { safe: false, ..CastOptions::default() };
            if cast_with_options(&arg.to_array(1)?, &nanoseconds, &options).is_err() {
                return exec_err!(
                    "{0}: timestamps are between the years 1677 and 2262; of other years write {0}(date '2300-01-01', ...)",
                    self.name()
                );
            }
        }
        self.inner.inner().invoke_with_args(args)
    }
}
