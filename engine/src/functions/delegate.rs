//! [`delegate_to_inner`]: methods of a wrapped function that are those of the function in its field `inner`.

/// Methods of `ScalarUDFImpl`, `AggregateUDFImpl` or `WindowUDFImpl` that call the same of `self.inner`, by their names.
macro_rules! delegate_to_inner {
    (@ name) => {
        fn name(&self) -> &str {
            self.inner.name()
        }
    };
    (@ aliases) => {
        fn aliases(&self) -> &[String] {
            self.inner.aliases()
        }
    };
    (@ signature) => {
        fn signature(&self) -> &datafusion::logical_expr::Signature {
            self.inner.signature()
        }
    };
    (@ coerce_types) => {
        fn coerce_types(
            &self,
            arg_types: &[datafusion::arrow::datatypes::DataType],
        ) -> datafusion::common::Result<Vec<datafusion::arrow::datatypes::DataType>> {
            self.inner.coerce_types(arg_types)
        }
    };
    (@ return_type) => {
        fn return_type(
            &self,
            arg_types: &[datafusion::arrow::datatypes::DataType],
        ) -> datafusion::common::Result<datafusion::arrow::datatypes::DataType> {
            self.inner.return_type(arg_types)
        }
    };
    (@ expressions) => {
        fn expressions(
            &self,
            args: datafusion::logical_expr::function::ExpressionArgs,
        ) -> Vec<std::sync::Arc<dyn datafusion::physical_expr::PhysicalExpr>> {
            self.inner.expressions(args)
        }
    };
    (@ documentation) => {
        fn documentation(&self) -> Option<&datafusion::logical_expr::Documentation> {
            self.inner.documentation()
        }
    };
    ($($method:ident),+) => {
        $($crate::functions::delegate::delegate_to_inner! { @ $method })+
    };
}

pub(crate) use delegate_to_inner;
