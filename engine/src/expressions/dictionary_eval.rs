//! [`DictionaryEvalExpr`]: evaluates an expression over one string column once per distinct string, not once per row.
//!
//! ```text
//!  topic (Utf8View)       codes        distinct strings       results               rows
//!  'Billing '             0            0 'Billing '     -->   0 'billing'           'billing'
//!  'BILLING'         -->  1       -->  1 'BILLING'      -->   1 'billing'     -->   'billing'
//!  'Billing '             0               lower(trim(..))                           'billing'
//!  NULL                   NULL         2 NULL           -->   2 NULL                NULL
//! ```
//! Labels have few distinct strings, and `nullif(lower(trim(regexp_replace(topic, ..))), '')` costs hundreds of nanoseconds. Codes
//! come from a [`StringInterner`] and results are kept across batches, so that a row costs a lookup of its view and a copy of its
//! result. A dictionary array needs no interner: the expression is evaluated on its values.
//!
//! # When it is chosen
//!
//! The rule `DictionaryEvaluation` wraps maximal deterministic subexpressions that read one string column and cost more than a
//! comparison. Only strings that occur are evaluated, NULL like a value: an expression that fails for a string that no row has does
//! not fail here. A parent that evaluates only some rows, such as CASE, still passes only those.
//!
//! When a column turns out to have more than `dictionary_evaluation_values` distinct strings, or long ones, the expression is evaluated
//! row by row from then on.
//!
//! # Output
//!
//! The type of the expression, or a dictionary array of it where the operator above takes dictionaries
//! ([`DictionaryEvalExpr::with_dictionary_output`]): then results are not even copied.
//!
//! # Memory
//!
//! Per thread the interner (256 KiB), at most 1 MiB of strings and 1 MiB of results.
//!
//! Switch: `cxql.engine.dictionary_evaluation`. The technique is Velox's *dictionary peeling with memoization*; DuckDB executes
//! functions on dictionary vectors alike.
//!
//! [`StringInterner`]: crate::kernels::string_interner::StringInterner

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, new_empty_array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int32Type, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::logical_expr::sort_properties::ExprProperties;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::utils::collect_columns;
use parking_lot::Mutex;

use super::distinct_results::{DistinctResults, Outcome};

/// Rows that are evaluated one by one before an interner is allocated.
const MIN_ROWS: usize = 1024;

/// An expression over one string column, evaluated on distinct strings; see the page of this module.
pub(crate) struct DictionaryEvalExpr {
    expr: Arc<dyn PhysicalExpr>,
    /// The column that the expression reads.
    column: usize,
    evaluator: Evaluator,
    /// The type and nullability of the expression.
    field: FieldRef,
    /// Whether the output is a dictionary array.
    has_dictionary_output: bool,
    /// Most distinct strings.
    max_values: usize,
    row_count: AtomicUsize,
    /// Whether the column has turned out to have too many distinct strings.
    is_row_by_row: AtomicBool,
    /// One per thread that evaluates this expression at the same time.
    caches: Mutex<Vec<DistinctResults>>,
}

/// The expression over a batch that has its column only.
pub(super) struct Evaluator {
    expr: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// The uncorrelated subqueries in the expression. Their values belong to one execution of the plan.
    subqueries: Vec<Arc<dyn PhysicalExpr>>,
}

impl Evaluator {
    /// The expression over its only column, which has this type.
    fn new(expr: &Arc<dyn PhysicalExpr>, field: &Field) -> Result<Self> {
        let mut subqueries = vec![];
        let expr = Arc::clone(expr).transform_down(|part| {
            if part.is::<ScalarSubqueryExpr>() {
                subqueries.push(Arc::clone(&part));
            }
            Ok(match part.downcast_ref::<Column>() {
                Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), 0)) as _),
                None => Transformed::no(part),
            })
        })?;
        // NULL is evaluated too
        let schema = Arc::new(Schema::new(vec![field.clone().with_nullable(true)]));
        Ok(Self { expr: expr.data, schema, subqueries })
    }

    /// Evaluates the expression on an array of the column's planned type, or of another string type.
    ///
    /// # Errors
    /// Those of the expression.
    pub(super) fn evaluate(&self, strings: &ArrayRef) -> Result<ArrayRef> {
        let planned = self.schema.field(0).data_type();
        let strings = match strings.data_type() == planned {
            true => Arc::clone(strings),
            false => cast(strings, planned)?,
        };
        let rows = strings.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), vec![strings], &options)?;
        self.expr.evaluate(&batch)?.into_array(rows)
    }

    /// The values of the subqueries.
    ///
    /// # Errors
    /// A subquery that was not executed.
    fn subquery_values(&self) -> Result<Vec<ScalarValue>> {
        let empty = RecordBatch::new_empty(Arc::clone(&self.schema));
        let values = self.subqueries.iter().map(|subquery| match subquery.evaluate(&empty)? {
            ColumnarValue::Scalar(value) => Ok(value),
            ColumnarValue::Array(_) => exec_err!("a scalar subquery gave an array"),
        });
        values.collect()
    }
}

impl DictionaryEvalExpr {
    /// Wraps an expression over a schema; `None` if it does not read exactly one column, or that is not of strings.
    ///
    /// # Errors
    /// The type of the expression.
    pub(crate) fn try_new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema, max_values: usize) -> Result<Option<Self>> {
        let Some(column) = only_column(expr) else { return Ok(None) };
        let Some(field) = schema.fields().get(column).filter(|field| is_string(field.data_type())) else {
            return Ok(None);
        };
        let (evaluator, field) = (Evaluator::new(expr, field)?, expr.return_field(schema)?);
        Ok(Some(Self::new(Arc::clone(expr), column, evaluator, field, false, max_values)))
    }

    fn new(
        expr: Arc<dyn PhysicalExpr>,
        column: usize,
        evaluator: Evaluator,
        field: FieldRef,
        has_dictionary_output: bool,
        max_values: usize,
    ) -> Self {
        let (row_count, is_row_by_row, caches) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::default());
        Self { expr, column, evaluator, field, has_dictionary_output, max_values, row_count, is_row_by_row, caches }
    }

    /// The same expression with dictionary arrays as output; `None` if its type is not a string.
    ///
    /// # Errors
    /// Those of rewriting the expression.
    pub(crate) fn with_dictionary_output(&self) -> Result<Option<Self>> {
        if !self.field.data_type().is_string() {
            return Ok(None);
        }
        let evaluator = Evaluator::new(&self.expr, self.evaluator.schema.field(0))?;
        let (expr, field) = (Arc::clone(&self.expr), Arc::clone(&self.field));
        Ok(Some(Self::new(expr, self.column, evaluator, field, true, self.max_values)))
    }

    /// The index of the column that the expression reads.
    pub(crate) fn column(&self) -> usize {
        self.column
    }

    /// The type of the output.
    fn output_type(&self) -> DataType {
        match self.has_dictionary_output {
            true => DataType::Dictionary(Box::new(DataType::Int32), Box::new(self.field.data_type().clone())),
            false => self.field.data_type().clone(),
        }
    }

    /// The output for results and the index of each row's.
    fn output(&self, results: &ArrayRef, rows: Int32Array) -> Result<ArrayRef> {
        Ok(match self.has_dictionary_output {
            true => Arc::new(DictionaryArray::<Int32Type>::try_new(rows, Arc::clone(results))?),
            false => take(results, &rows, None)?,
        })
    }

    /// The output where each row was evaluated.
    fn evaluate_rows(&self, strings: &ArrayRef) -> Result<ArrayRef> {
        let results = self.evaluator.evaluate(strings)?;
        if !self.has_dictionary_output {
            return Ok(results);
        }
        let rows = i32::try_from(results.len()).map_err(|_| exec_datafusion_err!("a batch has too many rows"))?;
        self.output(&results, Int32Array::from_iter_values(0..rows))
    }

    /// The output for a column of a batch.
    fn evaluate_column(&self, strings: &ArrayRef) -> Result<ArrayRef> {
        if strings.is_empty() {
            return Ok(new_empty_array(&self.output_type()));
        }
        if self.is_row_by_row.load(Ordering::Relaxed) {
            return self.evaluate_rows(strings);
        }
        if strings.as_any_dictionary_opt().is_none() {
            let known = self.row_count.fetch_add(strings.len(), Ordering::Relaxed);
            if known + strings.len() < MIN_ROWS {
                return self.evaluate_rows(strings);
            }
        }
        let mut cache = self.caches.lock().pop().unwrap_or_default();
        cache.keep_for(self.evaluator.subquery_values()?);
        match cache.evaluate(strings, &self.evaluator, self.max_values)? {
            Outcome::Indices(results, rows) => {
                self.caches.lock().push(cache);
                self.output(&results, rows)
            }
            Outcome::LargeDictionary => {
                self.caches.lock().push(cache);
                self.evaluate_rows(strings)
            }
            Outcome::TooManyValues => {
                self.is_row_by_row.store(true, Ordering::Relaxed);
                self.caches.lock().clear();
                self.evaluate_rows(strings)
            }
        }
    }
}

impl PhysicalExpr for DictionaryEvalExpr {
    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::clone(&self.field).with_data_type(self.output_type())))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let Some(strings) = batch.columns().get(self.column) else {
            return exec_err!("{self} reads column {} of {}", self.column, batch.num_columns());
        };
        self.evaluate_column(strings).map(ColumnarValue::Array)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.expr]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [expr] = children.as_slice() else { return exec_err!("{self} has one child, got {}", children.len()) };
        let Some(column) = only_column(expr) else { return exec_err!("{self} reads one column, got {expr}") };
        let evaluator = Evaluator::new(expr, self.evaluator.schema.field(0))?;
        let (expr, field) = (Arc::clone(expr), Arc::clone(&self.field));
        Ok(Arc::new(Self::new(expr, column, evaluator, field, self.has_dictionary_output, self.max_values)))
    }

    fn get_properties(&self, children: &[ExprProperties]) -> Result<ExprProperties> {
        Ok(children.first().cloned().unwrap_or_else(ExprProperties::new_unknown))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt_sql(f)
    }
}

impl fmt::Display for DictionaryEvalExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dictionary_eval({})", self.expr)
    }
}

impl fmt::Debug for DictionaryEvalExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DictionaryEvalExpr").field("expr", &self.expr).finish_non_exhaustive()
    }
}

impl PartialEq for DictionaryEvalExpr {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr) && self.has_dictionary_output == other.has_dictionary_output
    }
}

impl Eq for DictionaryEvalExpr {}

impl Hash for DictionaryEvalExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
        self.has_dictionary_output.hash(state);
    }
}

/// The only column that an expression reads; `None` if it reads several or none.
fn only_column(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    let columns = collect_columns(expr);
    let mut columns = columns.iter();
    let column = columns.next()?.index();
    columns.next().is_none().then_some(column)
}

/// Returns true for strings and dictionaries of strings.
fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string(),
    }
}

/// Returns true if an expression reads a column at most inside a [`DictionaryEvalExpr`], which takes dictionary arrays.
pub(crate) fn is_only_evaluated(expr: &Arc<dyn PhysicalExpr>, column: usize) -> bool {
    let mut is_only = true;
    let visited = expr.apply(|part| {
        if part.is::<DictionaryEvalExpr>() {
            return Ok(TreeNodeRecursion::Jump);
        }
        is_only &= part.downcast_ref::<Column>().is_none_or(|known| known.index() != column);
        Ok(if is_only { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    visited.is_ok() && is_only
}

/// The columns that expressions read inside [`DictionaryEvalExpr`]s only.
pub(crate) fn only_evaluated<'a>(exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>> + Clone) -> Vec<usize> {
    let mut columns = vec![];
    for expr in exprs.clone() {
        let visited = expr.apply(|part| {
            let column = part.downcast_ref::<DictionaryEvalExpr>().map(DictionaryEvalExpr::column);
            columns.extend(column.filter(|column| !columns.contains(column)));
            Ok(TreeNodeRecursion::Continue)
        });
        // the closure has no errors
        debug_assert!(visited.is_ok());
    }
    columns.retain(|&column| exprs.clone().all(|expr| is_only_evaluated(expr, column)));
    columns
}
