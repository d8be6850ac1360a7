//! [`SharedSubplan`]: a shared subplan as a table, which the optimizer prunes and filters as any other.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, internal_datafusion_err, internal_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableScan, TableSource, TableType,
};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use futures::future::{BoxFuture, FutureExt};
use tokio::sync::OnceCell;

use super::exec::{SharedExec, SharedInput};
use crate::EngineOptions;
use crate::unique_keys::UniqueKeysExec;

/// How often each use of a subplan of one row may read it: subplans that their uses compute again read it once for each.
const ROW_READS: usize = 16;

/// Uses whose different filters are combined to one of the shared subplan.
const MAX_COMBINED_FILTERS: usize = 8;

static NEXT_KEY: AtomicUsize = AtomicUsize::new(0);

/// A subplan that several scans of a run read.
pub(super) struct SharedSubplan {
    /// Unique within the process.
    key: usize,
    /// Its number in the run.
    number: usize,
    /// The name of the view or common table expression.
    name: String,
    schema: SchemaRef,
    /// The analyzed plan.
    body: OnceLock<LogicalPlan>,
    pruned: OnceLock<PrunedSubplan>,
    /// `None` if each use computes its rows again.
    input: OnceCell<Option<Arc<SharedInput>>>,
}

/// The subplan with the columns and rows that its uses need.
#[derive(Debug)]
struct PrunedSubplan {
    /// The optimized plan.
    plan: LogicalPlan,
    /// Its columns, as indices into those of the table.
    columns: Vec<usize>,
    /// The columns of each use, as indices into `columns`.
    uses: Vec<Vec<usize>>,
}

/// A scan of a shared subplan.
struct SubplanUse {
    columns: Vec<usize>,
    /// Conditions above the scan, with columns without qualifier.
    filters: Vec<Expr>,
}

impl fmt::Debug for SharedSubplan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSubplan").field("number", &self.number).field("name", &self.name).finish_non_exhaustive()
    }
}

impl SharedSubplan {
    pub(super) fn new(number: usize, name: String, schema: &DFSchema) -> Self {
        Self {
            key: NEXT_KEY.fetch_add(1, Ordering::Relaxed),
            number,
            name,
            schema: Arc::clone(schema.inner()),
            body: OnceLock::new(),
            pruned: OnceLock::new(),
            input: OnceCell::new(),
        }
    }

    /// The name of the table that stands for it in plans.
    pub(super) fn table_name(&self) -> String {
        format!("shared_{}", self.number)
    }

    pub(super) fn set_body(&self, body: LogicalPlan) {
        // set once, when all subplans of a run are chosen
        self.body.get_or_init(|| body);
    }

    /// Returns true if its plan reads `other`, also by way of others.
    fn reads(&self, other: &Self) -> bool {
        let Some(body) = self.body.get() else { return false };
        scans(body).iter().any(|(subplan, _)| subplan.key == other.key || subplan.reads(other))
    }

    /// Optimizes its plan for these uses.
    fn prune(&self, uses: &[SubplanUse], state: &SessionState) -> Result<&PrunedSubplan> {
        let body = self.body.get().ok_or_else(|| internal_datafusion_err!("{self:?} has no plan"))?;
        let mut columns: BTreeSet<usize> = uses.iter().flat_map(|shared_use| shared_use.columns.clone()).collect();
        if columns.is_empty() {
            // something has to carry the number of rows
            columns.insert(0);
        }
        let columns = Vec::from_iter(columns);
        let plan = self.optimized(body, &columns, common_filter(uses), state)?;
        let kept = |wanted: &usize| columns.iter().position(|column| column == wanted);
        let uses = uses.iter().map(|shared_use| shared_use.columns.iter().filter_map(kept).collect()).collect();
        Ok(self.pruned.get_or_init(|| PrunedSubplan { plan, columns, uses }))
    }

    /// The optimized plan of these columns and the rows that meet the condition, whose columns have no qualifier.
    fn optimized(
        &self,
        body: &LogicalPlan,
        columns: &[usize],
        filter: Option<Expr>,
        state: &SessionState,
    ) -> Result<LogicalPlan> {
        let column = |index: usize| Column::from(body.schema().qualified_field(index));
        let mut plan = LogicalPlanBuilder::from(body.clone());
        if let Some(filter) = filter {
            let filter = filter.transform(|expr| match &expr {
                Expr::Column(known) => {
                    let index = self.schema.index_of(&known.name)?;
                    Ok(Transformed::yes(Expr::Column(column(index))))
                }
                _ => Ok(Transformed::no(expr)),
            })?;
            plan = plan.filter(filter.data)?;
        }
        let plan = plan.project(columns.iter().map(|&index| Expr::Column(column(index))))?.build()?;
        state.optimizer().optimize(plan, state, |_, _| {})
    }

    /// The rows of all uses; `None` if each use computes its own again.
    async fn input(&self, state: &dyn Session) -> Result<Option<&Arc<SharedInput>>> {
        let pruned = self.pruned()?;
        let plan = async {
            let inlined = inlined(&pruned.plan, state).await?;
            let logical = inlined.as_ref().unwrap_or(&pruned.plan);
            let plan = state.query_planner().create_physical_plan(logical, state).await?;
            // the uses of large subplans are counted: who reads one is not computed again
            if is_cheap(&plan) && scans(logical).iter().all(|(subplan, _)| subplan.is_one_row()) {
                return Ok::<_, DataFusionError>(None);
            }
            let schema = Arc::new(self.schema.project(&pruned.columns)?);
            let reads = if self.is_one_row() { ROW_READS } else { 1 };
            Ok(Some(SharedInput::new(self.number, &self.name, schema, plan, pruned.uses.clone(), reads)))
        };
        Ok(self.input.get_or_try_init(|| plan).await?.as_ref())
    }

    /// The plan in place of a scan.
    fn inline(&self, scan: &TableScan) -> Result<LogicalPlan> {
        let body = self.body.get().ok_or_else(|| internal_datafusion_err!("{self:?} has no plan"))?;
        let all = 0..self.schema.fields().len();
        let wanted = scan.projection.clone().unwrap_or_else(|| all.collect());
        let columns = wanted.iter().map(|&index| {
            let column = Expr::Column(Column::from(body.schema().qualified_field(index)));
            column.alias(self.schema.field(index).name())
        });
        LogicalPlanBuilder::from(body.clone()).project(columns)?.alias(scan.table_name.clone())?.build()
    }

    fn is_one_row(&self) -> bool {
        self.body.get().is_some_and(|body| body.max_rows() == Some(1))
    }

    fn pruned(&self) -> Result<&PrunedSubplan> {
        self.pruned.get().ok_or_else(|| internal_datafusion_err!("{self:?} is not planned"))
    }
}

/// Returns true if a plan does nothing but read files, compare the rows of few keys and evaluate expressions, perhaps with single
/// values: [`UniqueKeysExec`] knows these keys from the first time on, and its rows would all have to be buffered.
fn is_cheap(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(values) = plan.downcast_ref::<ScalarSubqueryExec>() {
        return is_cheap(values.input()) && values.subqueries().iter().all(|subquery| is_known(&subquery.plan));
    }
    if let Some(unique) = plan.downcast_ref::<UniqueKeysExec>() {
        return unique.is_cached();
    }
    let is_spread =
        |repartition: &RepartitionExec| matches!(repartition.partitioning(), Partitioning::RoundRobinBatch(_));
    let is_row_by_row = plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<UnionExec>()
        || plan.downcast_ref::<RepartitionExec>().is_some_and(is_spread);
    plan.is::<DataSourceExec>() || (is_row_by_row && plan.children().into_iter().all(is_cheap))
}

/// Returns true if a plan reads no table that is not in memory.
fn is_known(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_file = plan.downcast_ref::<DataSourceExec>().is_some_and(|scan| scan.data_source().is::<FileScanConfig>());
    !is_file && (plan.is::<SharedExec>() || plan.children().into_iter().all(is_known))
}

/// The rows that any use needs: those that meet the conditions of all uses, and the other conditions of one of them.
fn common_filter(uses: &[SubplanUse]) -> Option<Expr> {
    let (first, others) = uses.split_first()?;
    let is_common = |filter: &Expr| others.iter().all(|other| other.filters.contains(filter));
    let common: Vec<Expr> = first.filters.iter().filter(|filter| is_common(filter)).cloned().collect();
    let rest = |shared_use: &SubplanUse| {
        conjunction(shared_use.filters.iter().filter(|filter| !common.contains(filter)).cloned())
    };
    // a use without other conditions needs all rows
    let rest: Option<Vec<Expr>> = uses.iter().map(rest).collect();
    let rest = rest.filter(|rest| rest.len() <= MAX_COMBINED_FILTERS).and_then(disjunction);
    conjunction(common.into_iter().chain(rest))
}

/// The optimized plan with subplans in place of the scans whose rows each use computes again; `None` if there are none. Optimized
/// with what reads it, each has the columns and rows of its use, and no condition is evaluated twice.
///
/// # Errors
/// Those of planning a subplan.
pub(super) fn inlined<'a>(
    plan: &'a LogicalPlan,
    session: &'a dyn Session,
) -> BoxFuture<'a, Result<Option<LogicalPlan>>> {
    let inlined = async move {
        let mut inlined: Option<LogicalPlan> = None;
        loop {
            let current = inlined.as_ref().unwrap_or(plan);
            let mut again = HashSet::new();
            for (subplan, _) in scans(current) {
                if subplan.input(session).await?.is_none() {
                    again.insert(subplan.key);
                }
            }
            if again.is_empty() {
                break;
            }
            let next = current.clone().transform_up_with_subqueries(|plan| {
                let LogicalPlan::TableScan(scan) = &plan else { return Ok(Transformed::no(plan)) };
                match shared_subplan(&scan.source).filter(|subplan| again.contains(&subplan.key)) {
                    Some(subplan) => Ok(Transformed::yes(subplan.inline(scan)?)),
                    None => Ok(Transformed::no(plan)),
                }
            })?;
            inlined = Some(next.data);
        }
        let Some(inlined) = inlined else { return Ok(None) };
        let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
            return internal_err!("a session without optimizer");
        };
        // what was taken apart is not shared again
        let mut state = state.clone();
        let mut options = EngineOptions::of(state.config_options());
        options.shared_subplans = false;
        state.config_mut().options_mut().extensions.insert(options);
        state.optimizer().optimize(inlined, &state, |_, _| {}).map(Some)
    };
    inlined.boxed()
}

/// The scans of shared subplans in a plan.
fn scans(plan: &LogicalPlan) -> Vec<(Arc<SharedSubplan>, SubplanUse)> {
    let mut scans = vec![];
    // the closure does not fail
    let _ = plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan
            && let Some(subplan) = shared_subplan(&scan.source)
        {
            let columns = scan.projection.clone().unwrap_or_else(|| (0..subplan.schema.fields().len()).collect());
            let filters = unnormalize_cols(scan.filters.iter().cloned());
            scans.push((subplan, SubplanUse { columns, filters }));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    scans
}

fn shared_subplan(source: &Arc<dyn TableSource>) -> Option<Arc<SharedSubplan>> {
    let provider: Arc<dyn Any + Send + Sync> = source_as_provider(source).ok()?;
    provider.downcast().ok()
}

/// Returns true if an expression cannot be evaluated in a shared subplan in place of where it stands.
fn depends_on_place(expr: &Expr) -> bool {
    let is_subquery =
        matches!(expr, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_));
    is_subquery || expr.is_volatile_node() || matches!(expr, Expr::OuterReferenceColumn(..) | Expr::Placeholder(_))
}

/// Returns true if a plan reads a shared subplan.
pub(super) fn reads_shared(plan: &LogicalPlan) -> bool {
    !scans(plan).is_empty()
}

/// Optimizes the plans of all shared subplans that the optimized `roots` read. Where one reads another, the reader comes
/// first: only then is known what it needs of the other.
///
/// # Errors
/// A plan that cannot be optimized.
pub(super) fn prune_subplans(roots: &[&LogicalPlan], state: &SessionState) -> Result<()> {
    let mut uses: BTreeMap<usize, (Arc<SharedSubplan>, Vec<SubplanUse>)> = BTreeMap::new();
    let collect = |plan: &LogicalPlan, uses: &mut BTreeMap<usize, (Arc<SharedSubplan>, Vec<SubplanUse>)>| {
        for (subplan, shared_use) in scans(plan) {
            if subplan.pruned.get().is_none() {
                uses.entry(subplan.key).or_insert_with(|| (subplan, vec![])).1.push(shared_use);
            }
        }
    };
    for root in roots {
        collect(root, &mut uses);
    }
    loop {
        let is_read_last = |subplan: &SharedSubplan| !uses.values().any(|(other, _)| other.reads(subplan));
        let Some(next) = uses.values().find(|(subplan, _)| is_read_last(subplan)).map(|(subplan, _)| subplan.key)
        else {
            return Ok(());
        };
        let Some((subplan, subplan_uses)) = uses.remove(&next) else { return Ok(()) };
        collect(&subplan.prune(&subplan_uses, state)?.plan, &mut uses);
    }
}

#[async_trait]
impl TableProvider for SharedSubplan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    /// Conditions stay above the scan and are noted in it: those of all uses together are evaluated in the subplan too.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match filter.exists(|expr| Ok(depends_on_place(expr)))? {
            true => Ok(TableProviderFilterPushDown::Unsupported),
            false => Ok(TableProviderFilterPushDown::Inexact),
        };
        filters.iter().map(support).collect()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let Some(input) = self.input(state).await? else { return internal_err!("{self:?} is not inlined") };
        let pruned = self.pruned()?;
        let kept = |column: &usize| pruned.columns.iter().position(|kept| kept == column);
        let columns: Option<Vec<usize>> = wanted.iter().map(kept).collect();
        let columns = columns.ok_or_else(|| internal_datafusion_err!("{self:?} lacks a column"))?;
        Ok(Arc::new(SharedExec::try_new(Arc::clone(input), columns)?))
    }
}
