//! Row and column security: a table whose plan, statistics and error messages are hidden (a security barrier).
//!
//! [`BarrierTable`] applies a row filter and column masks to a scan. Its operator [`BarrierExec`] shows no children, so
//! that optimizer rules neither read statistics below it nor push predicates through it, and EXPLAIN ends there. Filters
//! of the user's statement are evaluated below the row filter only if they cannot leak anything about a hidden row.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use cxql_engine::EngineOptions;
use cxql_engine::shared::reset_plan;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;

use super::policy::RowColumnPolicy;
use crate::error::Error;
use crate::session::diagnose;
use crate::session::pinned::WAS_REPLACED;

/// A table with a row filter and masked columns.
pub(super) struct BarrierTable {
    /// Its name in plans.
    name: String,
    /// The scan of the unrestricted table.
    scan: LogicalPlan,
    table_type: TableType,
    filter: Option<Expr>,
    /// Masks by column name.
    masks: HashMap<String, Expr>,
    schema: SchemaRef,
    state: SessionState,
}

impl fmt::Debug for BarrierTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierTable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl BarrierTable {
    /// A barrier over `scan`, which `state` plans.
    pub(super) fn new(
        name: String,
        scan: LogicalPlan,
        table_type: TableType,
        policy: RowColumnPolicy,
        mut state: SessionState,
    ) -> Self {
        // the schema of the table is that of its scan, and a user's time zone does not change which rows a condition permits
        let engine = EngineOptions::of(state.config().options());
        let options = state.config_mut().options_mut();
        options.extensions.insert(EngineOptions { session_time_zone: false, ..engine });
        let RowColumnPolicy { filter, columns: masks } = policy;
        let fields = scan.schema().fields().iter().map(|field| {
            // a mask may be NULL where the column is not
            let is_nullable = field.is_nullable() || masks.contains_key(field.name());
            Field::clone(field).with_nullable(is_nullable)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { name, scan, table_type, filter, masks, schema, state }
    }

    /// The scan of the unrestricted table.
    pub(super) fn scan_plan(&self) -> &LogicalPlan {
        &self.scan
    }

    /// The logical plan below the barrier. The user's `filters` run before the row filter.
    fn logical_plan(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<LogicalPlan> {
        let mut plan = LogicalPlanBuilder::from(self.scan.clone());
        if let Some(filter) = filters.iter().cloned().chain(self.filter.clone()).reduce(Expr::and) {
            plan = plan.filter(filter)?;
        }
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = projection.unwrap_or(&all).iter().map(|index| {
            let field = self.scan.schema().qualified_field(*index);
            match self.masks.get(field.1.name()) {
                Some(mask) => mask.clone().alias(field.1.name()),
                None => Expr::Column(Column::from(field)),
            }
        });
        plan = plan.project(columns)?;
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        plan.build()
    }

    /// The physical plan below the barrier.
    ///
    /// # Errors
    /// Any planning error, with details that the user must not see.
    pub(super) async fn physical_plan(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut state = self.state.clone();
        state.mark_start_execution();
        state.create_physical_plan(&self.logical_plan(projection, filters, limit)?).await
    }

    /// Returns true if a filter of the user may run before the row filter: it cannot fail, which would reveal something
    /// about a hidden row, and it reads no masked column. PostgreSQL calls such functions leakproof.
    fn is_leakproof(&self, filter: &Expr) -> bool {
        let is_unmasked = |expr: &Expr| match expr {
            Expr::Column(column) => !self.masks.contains_key(&column.name),
            _ => false,
        };
        let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
                self.is_leakproof(left) && self.is_leakproof(right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let compares = matches!(
                    op,
                    Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
                );
                compares && (is_unmasked(left) && is_literal(right) || is_literal(left) && is_unmasked(right))
            }
            Expr::IsNull(column) | Expr::IsNotNull(column) => is_unmasked(column),
            Expr::Between(Between { expr, low, high, .. }) => is_unmasked(expr) && is_literal(low) && is_literal(high),
            Expr::InList(InList { expr, list, .. }) => is_unmasked(expr) && list.iter().all(is_literal),
            _ => false,
        }
    }
}

#[async_trait]
impl TableProvider for BarrierTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.table_type
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_leakproof(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = self.physical_plan(projection, filters, limit).await.map_err(redacted)?;
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        Ok(Arc::new(BarrierExec::new(self.name.clone(), inner, schema)))
    }
}

/// Executes the plan below a [`BarrierTable`] without exposing it as a child: no rule can inspect or change it, and no
/// EXPLAIN shows it.
#[derive(Debug)]
struct BarrierExec {
    name: String,
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl BarrierExec {
    fn new(name: String, inner: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(inner.output_partitioning().partition_count()),
            inner.pipeline_behavior(),
            inner.boundedness(),
        );
        Self { name, inner, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "BarrierExec: {}", self.name),
            DisplayFormatType::TreeRender => writeln!(f, "{}", self.name),
        }
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &'static str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("BarrierExec has no children") }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = reset_plan(Arc::clone(&self.inner))?;
        Ok(Arc::new(Self::new(self.name.clone(), inner, self.schema())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.schema();
        let declared = Arc::clone(&schema);
        let rows = self.inner.execute(partition, context).map_err(redacted)?.map(move |batch| {
            let batch = batch.map_err(redacted)?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&declared), batch.columns().to_vec(), &options)?;
            Ok::<_, DataFusionError>(batch.record_output(&metrics))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The error of files that changed below a barrier, which are not named.
fn changed(can_retry: bool) -> Error {
    let message = match can_retry {
        true => format!("the file of a table that this reads {WAS_REPLACED}"),
        false => "the columns of a table that this reads changed; run the statement again".to_owned(),
    };
    Error::Changed { message, can_retry }
}

/// The message that replaces every error below a barrier.
const REDACTED: &str = "a table, view or report that this reads cannot be read; the server's log says why";

/// Replaces an error from below a barrier, whose message may quote rows, tables or files that the user may not read: it is
/// only logged. Errors about the query as a scan, such as its memory, are kept.
pub(super) fn redacted(error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
        return error;
    }
    if let Some(Error::Changed { can_retry, .. }) = diagnose::changed(&error) {
        return changed(can_retry).into();
    }
    let text = match diagnose::own(error) {
        Ok(own) => own.to_string(),
        Err(error) => error.strip_backtrace(),
    };
    // a barrier above another one does not log again
    if text != REDACTED {
        tracing::warn!(error = text.as_str(), "a table behind roles cannot be read");
    }
    Error::data(REDACTED).into()
}
