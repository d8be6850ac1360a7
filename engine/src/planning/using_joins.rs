//! [`UsingJoins`]: the key of a join with `USING`, or of a natural join, is that of the side that has the row.
//!
//! ```text
//!  select k, x, y from a full join b using (k)
//!
//!  FullJoin: a.k = b.k                 LeftAnti Join: Using " 1".k = a.k, " 1".k = b.k      no rows are dropped
//!    TableScan: a               ->       Projection: coalesce(a.k, b.k) AS " 1".k, a.k, a.x, b.k, b.y
//!    TableScan: b                          FullJoin: a.k = b.k
//!                                            TableScan: a
//!                                            TableScan: b
//!                                        EmptyRelation: a.k, b.k
//! ```
//! | a | b | `k` | `a.k` | `b.k` |
//! |---|---|---|---|---|
//! | 1 | | 1 | 1 | NULL |
//! | 2 | 2 | 2 | 2 | 2 |
//! | | 3 | 3 (DataFusion: NULL) | NULL | 3 |
//!
//! DataFusion takes the column of one side for `k` and for the key in `*`: that of the left table, or in `*` of the
//! table whose name is first in the alphabet, also in left joins. In chains of joins `k` is ambiguous
//! (<https://github.com/apache/datafusion/issues/22881>).
//!
//! Names are resolved while SQL is planned, so the repair cannot be a rule. [`Nesting`] puts each such join into parentheses
//! and writes `k` as `" 1".k`; DataFusion then asks [`UsingJoins`] to plan the join. Which columns are one key DataFusion reads off joins with the
//! constraint USING: the anti join above has it, and is dropped by the optimizer, since its right side is empty.
//! DataFusion looks for such joins in subqueries and views too, where equal names mean other columns: there the constraint is
//! removed. Switch: `cxql.engine.sql_rewrites`.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{
    Column, DFSchema, ExprSchema, NullEquality, Result, TableReference, plan_datafusion_err, plan_err,
};
use datafusion::functions::core::coalesce;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{
    EmptyRelation, Expr, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, lit,
};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Ident, Join as SqlJoin, JoinConstraint as SqlConstraint, JoinOperator, Query, SelectItem, SetExpr,
    TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use crate::EngineOptions;

/// Puts each join with `USING` and each natural join of a statement into parentheses, with what stands to its left, and
/// writes the keys of `USING` with the relation that has the merged key.
#[derive(Default)]
pub(super) struct Nesting {
    /// The number of joins that were put into parentheses.
    count: usize,
}

impl VisitorMut for Nesting {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut keys = MergedKeys::default();
        self.nest_selects(&mut query.body, &mut keys);
        if !keys.relations.is_empty() {
            let _ = query.order_by.visit(&mut keys);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            self.nest_joins(table_with_joins);
        }
        ControlFlow::Continue(())
    }
}

impl Nesting {
    /// `order_by` gets the keys that ORDER BY of the query may name.
    fn nest_selects(&mut self, body: &mut SetExpr, order_by: &mut MergedKeys) {
        match body {
            SetExpr::Select(select) => {
                let mut keys: Vec<MergedKeys> = select.from.iter_mut().map(|tables| self.nest_joins(tables)).collect();
                // with several tables in FROM a name may be ambiguous, which DataFusion finds out
                let Some(mut keys) =
                    keys.pop().filter(|keys_of_from| keys.is_empty() && !keys_of_from.relations.is_empty())
                else {
                    return;
                };
                let _ = select.projection.visit(&mut keys);
                let _ = select.selection.visit(&mut keys);
                let _ = select.named_window.visit(&mut keys);
                let _ = select.qualify.visit(&mut keys);
                // these may name a column of the result
                for item in &select.projection {
                    if let SelectItem::ExprWithAlias { alias, .. } = item {
                        keys.relations.remove(&normalized(alias));
                    }
                }
                let _ = select.group_by.visit(&mut keys);
                let _ = select.having.visit(&mut keys);
                let _ = select.distinct.visit(&mut keys);
                *order_by = keys;
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.nest_selects(left, &mut MergedKeys::default());
                self.nest_selects(right, &mut MergedKeys::default());
            }
            _ => {}
        }
    }

    fn nest_joins(&mut self, tables: &mut TableWithJoins) -> MergedKeys {
        let mut keys = MergedKeys::default();
        if is_lateral(&tables.relation) {
            return keys;
        }
        let mut joins: Vec<SqlJoin> = vec![];
        for mut join in std::mem::take(&mut tables.joins) {
            let constraint = using_constraint(&join).map(|(_, constraint)| constraint.clone());
            let Some(constraint) = constraint.filter(|_| !is_lateral(&join.relation)) else {
                if !keys.relations.is_empty() {
                    let _ = join.join_operator.visit(&mut keys);
                }
                joins.push(join);
                continue;
            };
            joins.push(join);
            self.count += 1;
            let relation = format!("{MERGED}{}", self.count);
            if let SqlConstraint::Using(names) = constraint {
                for name in names.iter().filter_map(|name| name.0.last()).filter_map(|name| name.as_ident()) {
                    keys.relations.insert(normalized(name), relation.clone());
                }
            }
            let nested = TableWithJoins { relation: tables.relation.clone(), joins: std::mem::take(&mut joins) };
            let name = Ident::with_quote('"', relation);
            let alias = TableAlias { explicit: true, name, columns: vec![], at: None };
            tables.relation = TableFactor::NestedJoin { table_with_joins: Box::new(nested), alias: Some(alias) };
        }
        tables.joins = joins;
        keys
    }
}

fn normalized(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Keys of `USING` by name, with the relation that has the merged key. As a visitor it writes them with the relation.
#[derive(Default)]
struct MergedKeys {
    relations: HashMap<String, String>,
    /// How many subqueries deep the visitor is: there names are those of other tables first.
    depth: usize,
}

impl VisitorMut for MergedKeys {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        if self.depth == 0
            && let SqlExpr::Identifier(name) = expr
            && let Some(relation) = self.relations.get(&normalized(name))
        {
            *expr = SqlExpr::CompoundIdentifier(vec![Ident::with_quote('"', relation.as_str()), name.clone()]);
        }
        ControlFlow::Continue(())
    }
}

/// With what the names of relations of merged keys begin: SQL cannot name them, and they are before all others in the order
/// by which DataFusion chooses the column of a key for `*`.
const MERGED: &str = " ";

fn is_lateral(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
        TableFactor::UNNEST { .. } => true,
        _ => false,
    }
}

/// The kind and constraint of a join with `USING` or a natural one.
fn using_constraint(join: &SqlJoin) -> Option<(JoinType, &SqlConstraint)> {
    let (join_type, constraint) = match &join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (JoinType::Inner, constraint),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinType::Left, constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (JoinType::Right, constraint),
        JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
        _ => return None,
    };
    matches!(constraint, SqlConstraint::Using(_) | SqlConstraint::Natural).then_some((join_type, constraint))
}

thread_local! {
    /// Whether DataFusion is to plan the next relation itself. Planning is synchronous, and asks the planner again.
    static IS_ASKED_AGAIN: Cell<bool> = const { Cell::new(false) };
}

/// Plans joins with `USING`, see the page of this module.
#[derive(Debug)]
pub(crate) struct UsingJoins;

impl RelationPlanner for UsingJoins {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if IS_ASKED_AGAIN.take() || !EngineOptions::of(context.context_provider().options()).sql_rewrites {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        match relation {
            TableFactor::NestedJoin { mut table_with_joins, alias: Some(alias) } => {
                let planned = if alias.name.value.starts_with(MERGED) {
                    let Some(join) = table_with_joins.joins.pop() else {
                        return plan_err!("a join without its right side");
                    };
                    let relation = TableReference::bare(alias.name.value);
                    PlannedRelation::new(using_join(*table_with_joins, join, relation, context)?, None)
                } else {
                    let plan = context.plan(TableFactor::NestedJoin { table_with_joins, alias: None })?;
                    let visible = visible_columns(&plan)?.into_iter().map(Expr::Column).collect::<Vec<_>>();
                    PlannedRelation::new(LogicalPlanBuilder::from(plan).project(visible)?.build()?, Some(alias))
                };
                Ok(RelationPlanning::Planned(Box::new(planned)))
            }
            relation @ (TableFactor::Table { .. } | TableFactor::Derived { .. }) => {
                IS_ASKED_AGAIN.set(true);
                let plan = context.plan(relation);
                IS_ASKED_AGAIN.set(false);
                let plan = without_using(plan?)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
            }
            relation => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

/// A table, view or subquery whose keys are not keys of the query that reads it.
fn without_using(plan: LogicalPlan) -> Result<LogicalPlan> {
    let is_using =
        |plan: &LogicalPlan| matches!(plan, LogicalPlan::Join(join) if join.join_constraint == JoinConstraint::Using);
    let mut has_using = false;
    plan.apply_with_subqueries(|plan| {
        has_using |= is_using(plan);
        Ok(if has_using { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !has_using {
        return Ok(plan);
    }
    let plan = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) if join.join_constraint == JoinConstraint::Using => {
            let join = Join { join_constraint: JoinConstraint::On, ..join };
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        plan => Ok(Transformed::no(plan)),
    })?;
    Ok(plan.data)
}

fn using_join(
    mut tables: TableWithJoins,
    join: SqlJoin,
    relation: TableReference,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let Some((join_type, constraint)) = using_constraint(&join) else { return plan_err!("a join without USING") };
    let left = if tables.joins.is_empty() {
        context.plan(tables.relation)?
    } else {
        let joins = std::mem::take(&mut tables.joins);
        let tables = Box::new(TableWithJoins { relation: tables.relation, joins });
        context.plan(TableFactor::NestedJoin { table_with_joins: tables, alias: None })?
    };
    let right = context.plan(join.relation.clone())?;
    let names = match constraint {
        SqlConstraint::Using(names) => {
            let names = names.iter().map(|name| match name.0.as_slice() {
                [name] => match name.as_ident() {
                    Some(name) => Ok(context.normalize_ident(name.clone())),
                    None => plan_err!("USING takes names of columns, got {name}"),
                },
                _ => plan_err!("USING takes names of columns without a table, got {name}"),
            });
            names.collect::<Result<Vec<_>>>()?
        }
        _ => {
            let of_left: HashSet<String> = visible_columns(&left)?.into_iter().map(|column| column.name).collect();
            visible_columns(&right)?
                .into_iter()
                .map(|column| column.name)
                .filter(|name| of_left.contains(name))
                .collect()
        }
    };
    if names.is_empty() {
        let left = LogicalPlanBuilder::from(left);
        return match join_type {
            JoinType::Inner => left.cross_join(right)?.build(),
            _ => left.join_on(right, join_type, [lit(true)])?.build(),
        };
    }
    let keys = names.iter().map(|name| Key::new(name, &left, &right)).collect::<Result<Vec<_>>>()?;
    merged(left, right, join_type, relation, &keys)
}

/// A key of a join with the columns of both sides that are this key.
struct Key {
    left: Column,
    right: Column,
    /// The columns of tables, under which the key is seen by `TABLE.NAME`.
    of_tables: BTreeSet<Column>,
}

impl Key {
    fn new(name: &str, left: &LogicalPlan, right: &LogicalPlan) -> Result<Self> {
        let (left, of_left) = key_column(name, left)?;
        let (right, of_right) = key_column(name, right)?;
        Ok(Self { left, right, of_tables: of_left.into_iter().chain(of_right).collect() })
    }
}

/// The column that an unqualified name means in a plan, and the columns of tables that are the same key.
fn key_column(name: &str, plan: &LogicalPlan) -> Result<(Column, Vec<Column>)> {
    let using = plan.using_columns()?;
    let column =
        Column::from_name(name).normalize_with_schemas_and_ambiguity_check(&[&[plan.schema().as_ref()]], &using)?;
    if !is_merged(&column) {
        return Ok((column.clone(), vec![column]));
    }
    let of_tables = using.into_iter().filter(|columns| columns.contains(&column)).flatten();
    let of_tables =
        of_tables.filter(|other| other.name == name && !is_merged(other) && plan.schema().has_column(other));
    let of_tables = of_tables.collect();
    Ok((column, of_tables))
}

fn is_merged(column: &Column) -> bool {
    column.relation.as_ref().is_some_and(|relation| relation.table().starts_with(MERGED))
}

fn merged(
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    relation: TableReference,
    keys: &[Key],
) -> Result<LogicalPlan> {
    let sides = left.schema().iter().chain(right.schema().iter()).map(Column::from).collect::<Vec<_>>();
    let on = keys.iter().map(|key| (key.left.clone(), key.right.clone())).unzip::<_, _, Vec<_>, Vec<_>>();
    let joined = LogicalPlanBuilder::from(left)
        .join_detailed(right, join_type, on, None, NullEquality::NullEqualsNothing)?
        .build()?;
    let mut columns = vec![];
    for column in sides {
        if let Some(key) = keys.iter().find(|key| key.left == column) {
            let (left, right) = (Expr::Column(key.left.clone()), Expr::Column(key.right.clone()));
            let value = match join_type {
                JoinType::Full => coalesce().call(vec![left, right]),
                JoinType::Right => right,
                _ => left,
            };
            columns.push(value.alias_qualified(Some(relation.clone()), &column.name));
        }
        let is_replaced = is_merged(&column) && keys.iter().any(|key| key.left == column || key.right == column);
        if !is_replaced {
            columns.push(Expr::Column(column));
        }
    }
    let plan = LogicalPlanBuilder::from(joined).project(columns)?.build()?;
    let mut fields = vec![];
    let mut on = vec![];
    for key in keys {
        let merged = Column::new(Some(relation.clone()), key.left.name.clone());
        for column in &key.of_tables {
            let field =
                plan.schema().field_from_column(column).map_err(|_| plan_datafusion_err!("no column {column}"))?;
            fields.push((column.relation.clone(), Arc::clone(field)));
            on.push((Expr::Column(merged.clone()), Expr::Column(column.clone())));
        }
    }
    let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
    let empty = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
    let marker = Join::try_new(
        Arc::new(plan),
        Arc::new(empty),
        on,
        None,
        JoinType::LeftAnti,
        JoinConstraint::Using,
        NullEquality::NullEqualsNothing,
        false,
    )?;
    Ok(LogicalPlan::Join(marker))
}

/// The columns of `*`.
fn visible_columns(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let hidden = plan.using_columns()?.into_iter().flat_map(|columns| {
        let merged: HashSet<String> =
            columns.iter().filter(|column| is_merged(column)).map(|c| c.name.clone()).collect();
        columns
            .into_iter()
            .filter(move |column| !is_merged(column) && merged.contains(&column.name))
            .collect::<Vec<_>>()
    });
    let hidden: HashSet<Column> = hidden.collect();
    Ok(plan.schema().iter().map(Column::from).filter(|column| !hidden.contains(column)).collect())
}
