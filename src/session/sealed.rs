//! Tables of which only what is left may be seen: neither plans nor figures nor errors tell what is below.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session as EngineSession, TableProvider};
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
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;

use super::access::Left;
use super::diagnose;
use crate::error::Error;

/// A table with some of its rows, and with other values in some of its columns.
pub(super) struct SealedTable {
    /// What plans call it.
    name: String,
    /// All of it.
    whole: LogicalPlan,
    table_type: TableType,
    filter: Option<Expr>,
    columns: HashMap<String, Expr>,
    schema: SchemaRef,
    state: SessionState,
}

impl fmt::Debug for SealedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedTable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SealedTable {
    /// `state` plans what is below the seal.
    pub(super) fn new(
        name: String,
        whole: LogicalPlan,
        table_type: TableType,
        left: Left,
        state: SessionState,
    ) -> Self {
        let Left { filter, columns } = left;
        let fields = whole.schema().fields().iter().map(|field| {
            // a mask may be NULL where the column is not
            let is_nullable = field.is_nullable() || columns.contains_key(field.name());
            Field::clone(field).with_nullable(is_nullable)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { name, whole, table_type, filter, columns, schema, state }
    }

    /// What is asked for of what is left.
    fn plan(&self, projection: Option<&Vec<usize>>, filters: &[Expr], limit: Option<usize>) -> Result<LogicalPlan> {
        let mut plan = LogicalPlanBuilder::from(self.whole.clone());
        if let Some(filter) = filters.iter().cloned().chain(self.filter.clone()).reduce(Expr::and) {
            plan = plan.filter(filter)?;
        }
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = projection.unwrap_or(&all).iter().map(|at| {
            let field = self.whole.schema().qualified_field(*at);
            match self.columns.get(field.1.name()) {
                Some(shows) => shows.clone().alias(field.1.name()),
                None => Expr::Column(Column::from(field)),
            }
        });
        plan = plan.project(columns)?;
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        plan.build()
    }

    /// The operators of [`SealedTable::plan`]. What an error says is not for users.
    pub(super) async fn operators(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut state = self.state.clone();
        state.mark_start_execution();
        state.create_physical_plan(&self.plan(projection, filters, limit)?).await
    }

    /// Whether a filter of the user may run before the table's own: it cannot fail, so that nothing about a row shows
    /// that is not there, and it looks at no column that shows something else.
    fn is_harmless(&self, filter: &Expr) -> bool {
        let is_open = |expr: &Expr| match expr {
            Expr::Column(column) => !self.columns.contains_key(&column.name),
            _ => false,
        };
        let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
                self.is_harmless(left) && self.is_harmless(right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let compares = matches!(
                    op,
                    Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
                );
                compares && (is_open(left) && is_literal(right) || is_literal(left) && is_open(right))
            }
            Expr::IsNull(column) | Expr::IsNotNull(column) => is_open(column),
            Expr::Between(Between { expr, low, high, .. }) => is_open(expr) && is_literal(low) && is_literal(high),
            Expr::InList(InList { expr, list, .. }) => is_open(expr) && list.iter().all(is_literal),
            _ => false,
        }
    }
}

#[async_trait]
impl TableProvider for SealedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.table_type
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_harmless(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn EngineSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = self.operators(projection, filters, limit).await.map_err(hidden)?;
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        Ok(Arc::new(SealedExec::new(self.name.clone(), inner, schema)))
    }
}

/// Rows of a [`SealedTable`]. To the engine it has no inputs, so that no rule looks or reaches below, and no plan shows
/// what is there.
#[derive(Debug)]
struct SealedExec {
    name: String,
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SealedExec {
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

impl DisplayAs for SealedExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "SealedExec: {}", self.name),
            DisplayFormatType::TreeRender => writeln!(f, "{}", self.name),
        }
    }
}

impl ExecutionPlan for SealedExec {
    fn name(&self) -> &'static str {
        "SealedExec"
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
        if children.is_empty() { Ok(self) } else { internal_err!("a sealed table has no inputs") }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = reset_plan_states(Arc::clone(&self.inner))?;
        Ok(Arc::new(Self::new(self.name.clone(), inner, self.schema())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.schema();
        let promised = Arc::clone(&schema);
        let rows = self.inner.execute(partition, context).map_err(hidden)?.map(move |batch| {
            let batch = batch.map_err(hidden)?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&promised), batch.columns().to_vec(), &options)?;
            Ok::<_, DataFusionError>(batch.record_output(&metrics))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What users are told when something below a seal fails.
const HIDDEN: &str = "a table, view or report that this reads cannot be read; the server's log says why";

/// An error of what is below a seal. Its text may quote rows, tables or files that the user may not read: it is for the
/// log. What is about the query as a whole stays.
pub(super) fn hidden(error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
        return error;
    }
    let text = match diagnose::own(error) {
        Ok(own) => own.to_string(),
        Err(error) => error.strip_backtrace(),
    };
    // a view above has nothing to add
    if text != HIDDEN {
        tracing::warn!(error = text.as_str(), "a table behind roles cannot be read");
    }
    Error::data(HIDDEN).into()
}
