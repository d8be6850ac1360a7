//! Which subplans are shared: views and common table expressions that occur several times in the plans of a run.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, TableScan};

use super::subplan::SharedSubplan;

/// A view or common table expression.
struct Candidate {
    /// Its name where it occurs first.
    name: String,
    plan: Arc<LogicalPlan>,
    /// The number of its operators.
    size: usize,
}

/// Replaces subplans that occur several times in the analyzed `roots` by scans of a [`SharedSubplan`], the largest first:
/// what a shared subplan reads occurs once, however often that is read.
///
/// # Errors
/// An operator that cannot be rebuilt.
pub(super) fn share_subplans(mut roots: Vec<LogicalPlan>) -> Result<Vec<LogicalPlan>> {
    let root_count = roots.len();
    let mut shared: Vec<Arc<SharedSubplan>> = vec![];
    for candidate in repeated(&roots)? {
        let mut count = 0;
        for root in &roots {
            visit_named(root, |alias| count += usize::from(candidate.is_in(alias)))?;
        }
        if count < 2 || !is_shareable(&candidate.plan)? {
            continue;
        }
        let number = shared.len() + 1;
        let subplan = Arc::new(SharedSubplan::new(number, candidate.name.clone(), candidate.plan.schema()));
        let source = provider_as_source(Arc::clone(&subplan) as _);
        let scan = LogicalPlanBuilder::scan(subplan.table_name(), source, None)?.build()?;
        roots = roots.into_iter().map(|root| replaced(root, &candidate, &scan)).collect::<Result<_>>()?;
        // its own subplans may be shared with others
        roots.push(Arc::unwrap_or_clone(candidate.plan));
        shared.push(subplan);
    }
    for (subplan, body) in shared.iter().zip(roots.drain(root_count..)) {
        subplan.set_body(body);
    }
    Ok(roots)
}

/// The subplans that occur more than once, the largest first.
fn repeated(roots: &[LogicalPlan]) -> Result<Vec<Candidate>> {
    let mut found: Vec<(Candidate, usize)> = vec![];
    for root in roots {
        visit_named(root, |alias| {
            let size = size(&alias.input);
            match found.iter_mut().find(|(known, _)| known.size == size && known.is_in(alias)) {
                Some((_, count)) => *count += 1,
                None => {
                    let name = alias.alias.table().to_string();
                    found.push((Candidate { name, plan: Arc::clone(&alias.input), size }, 1));
                }
            }
        })?;
    }
    found.retain(|(_, count)| *count > 1);
    found.sort_by_key(|(candidate, _)| std::cmp::Reverse(candidate.size));
    Ok(found.into_iter().map(|(candidate, _)| candidate).collect())
}

impl Candidate {
    fn is_in(&self, alias: &SubqueryAlias) -> bool {
        Arc::ptr_eq(&self.plan, &alias.input)
            || (self.plan == alias.input && sources(&self.plan) == sources(&alias.input))
    }
}

/// Visits the aliases directly above an operator other than an alias. Recursive queries, whose terms are run several times,
/// are left out.
fn visit_named(root: &LogicalPlan, mut visit: impl FnMut(&SubqueryAlias)) -> Result<()> {
    root.apply_with_subqueries(|plan| {
        match plan {
            LogicalPlan::RecursiveQuery(_) => return Ok(TreeNodeRecursion::Jump),
            LogicalPlan::SubqueryAlias(alias) if !matches!(*alias.input, LogicalPlan::SubqueryAlias(_)) => visit(alias),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// The plan with `scan` in the places of the candidate.
fn replaced(root: LogicalPlan, candidate: &Candidate, scan: &LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = root.transform_down_with_subqueries(|plan| match &plan {
        LogicalPlan::RecursiveQuery(_) => Ok(Transformed::new(plan, false, TreeNodeRecursion::Jump)),
        LogicalPlan::SubqueryAlias(alias) if candidate.is_in(alias) => {
            let alias = SubqueryAlias::try_new(Arc::new(scan.clone()), alias.alias.clone())?;
            Ok(Transformed::new(LogicalPlan::SubqueryAlias(alias), true, TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(plan)),
    })?;
    Ok(rewritten.data)
}

/// The number of operators.
fn size(plan: &LogicalPlan) -> usize {
    let mut size = 0;
    // the closure does not fail
    let _ = plan.apply_with_subqueries(|_| {
        size += 1;
        Ok(TreeNodeRecursion::Continue)
    });
    size
}

/// The addresses of the tables that a plan scans: two tables may have the same name, which is all that plans compare.
fn sources(plan: &LogicalPlan) -> Vec<usize> {
    let mut sources = vec![];
    let _ = plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan {
            sources.push(match source_as_provider(&scan.source) {
                Ok(provider) => Arc::as_ptr(&provider).addr(),
                Err(_) => Arc::as_ptr(&scan.source).addr(),
            });
        }
        Ok(TreeNodeRecursion::Continue)
    });
    sources
}

/// Returns true if the rows of a subplan do not depend on where it stands, and cost more than reading a table.
fn is_shareable(plan: &LogicalPlan) -> Result<bool> {
    let (mut has_scan, mut is_costly, mut is_refused) = (false, false, false);
    plan.apply_with_subqueries(|plan| {
        match plan {
            LogicalPlan::TableScan(scan) => has_scan |= !is_empty(scan),
            LogicalPlan::Window(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::RecursiveQuery(_)
            | LogicalPlan::Subquery(_) => is_costly = true,
            _ => {}
        }
        plan.apply_expressions(|expr| {
            is_refused |= expr.exists(|expr| Ok(expr.is_volatile_node() || matches!(expr, Expr::Placeholder(_))))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    // a correlated subquery within the subplan stays there
    plan.apply(|plan| {
        plan.apply_expressions(|expr| {
            is_refused |= expr.contains_outer();
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    let mut names = HashSet::new();
    let has_names = plan.schema().fields().iter().all(|field| names.insert(field.name()));
    Ok(has_scan && is_costly && !is_refused && has_names && !names.is_empty())
}

fn is_empty(scan: &TableScan) -> bool {
    source_as_provider(&scan.source).is_ok_and(|provider| provider.is::<EmptyTable>())
}
