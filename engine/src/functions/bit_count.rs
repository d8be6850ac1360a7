//! `bit_count(x)`: the number of bits that are set.
//!
//! Formula: the ones of the two's complement of 64 bits.
//! NULL:    gives NULL.
//! Edges:   `bit_count(-1)` is 64.
//! Source:  DuckDB and MySQL, `bit_count`.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// The function; see the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct BitCount {
    signature: Signature,
}

impl BitCount {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection { include: true, label: "Math Functions", description: None },
        "The number of bits that are set in a whole number of 64 bits.",
        "bit_count(x)",
    )
    .with_argument("x", "A whole number.")
    .build()
});

impl ScalarUDFImpl for BitCount {
    fn name(&self) -> &str {
        "bit_count"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [arg] if arg.is_integer() || arg.is_null() => Ok(vec![DataType::Int64]),
            _ => plan_err!("bit_count: one whole number is wanted, such as bit_count(7)"),
        }
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = args.args[0].to_array(args.number_rows)?;
        let counts = numbers.as_primitive::<Int64Type>().unary::<_, Int64Type>(|number| i64::from(number.count_ones()));
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}
