//! SQL names of types where DataFusion shows those of Arrow: `text` and not `Utf8View` in DESCRIBE, SHOW COLUMNS and the
//! information schema.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::catalog::MemTable;
use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, internal_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, DescribeTable, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, SubqueryAlias, Volatility,
};

use crate::types::{type_name, with_type_names};

/// The column of the information schema that holds types.
const DATA_TYPE: &str = "data_type";

/// Replaces the answer of DESCRIBE, and the types in tables of the information schema.
pub(super) fn show_sql_names(plan: LogicalPlan) -> Result<LogicalPlan> {
    if let LogicalPlan::DescribeTable(DescribeTable { schema, .. }) = &plan {
        return described(schema);
    }
    let renamed = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let is_typed = scan.table_name.schema() == Some(INFORMATION_SCHEMA)
            && node.schema().has_column_with_unqualified_name(DATA_TYPE);
        if !is_typed {
            return Ok(Transformed::no(node));
        }
        let name = scan.table_name.clone();
        let columns: Vec<Expr> = node
            .schema()
            .iter()
            .map(|(qualifier, field)| {
                let column = Expr::Column(Column::from((qualifier, field)));
                if field.name() == DATA_TYPE { TYPE_NAME.call(vec![column]).alias(DATA_TYPE) } else { column }
            })
            .collect();
        let renamed = LogicalPlanBuilder::from(node).project(columns)?.build()?;
        Ok(Transformed::yes(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(renamed), name)?)))
    })?;
    Ok(renamed.data)
}

/// The answer of DESCRIBE.
fn described(schema: &Schema) -> Result<LogicalPlan> {
    let fields = schema.fields();
    let column = |text: &dyn Fn(&Field) -> String| -> ArrayRef {
        Arc::new(fields.iter().map(|field| Some(text(field))).collect::<StringArray>())
    };
    let columns = [
        column(&|field| field.name().clone()),
        column(&|field| type_name(field.data_type())),
        column(&|field| if field.is_nullable() { "YES" } else { "NO" }.to_string()),
    ];
    let shape = Arc::new(LogicalPlan::describe_schema());
    let batch = RecordBatch::try_new(Arc::clone(&shape), columns.to_vec())?;
    let names: Vec<Expr> =
        shape.fields().iter().map(|field| Expr::Column(Column::from_name(field.name())).alias(field.name())).collect();
    let table = MemTable::try_new(shape, vec![vec![batch]])?;
    LogicalPlanBuilder::scan("describe", provider_as_source(Arc::new(table)), None)?.project(names)?.build()
}

static TYPE_NAME: LazyLock<ScalarUDF> =
    LazyLock::new(|| ScalarUDF::from(TypeName { signature: Signature::any(1, Volatility::Immutable) }));

/// The SQL name of the type whose Arrow name is the argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeName {
    signature: Signature,
}

impl ScalarUDFImpl for TypeName {
    fn name(&self) -> &'static str {
        "sql_type_name"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(names) = arrays.first() else { return internal_err!("sql_type_name has one argument") };
        let names = cast(names, &DataType::Utf8).map_err(DataFusionError::from)?;
        let names: StringArray = names.as_string::<i32>().iter().map(|name| name.map(with_type_names)).collect();
        Ok(ColumnarValue::Array(Arc::new(names)))
    }
}
