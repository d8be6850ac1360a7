//! [`Subqueries`]: subqueries that DataFusion answers wrongly or refuses, as joins.
//!
//! ```text
//!  Projection: c.id, EXISTS (<subquery>) AS called    Projection: c.id, __exists_1.mark AS called
//!    Subquery:                                  ->      LeftMark Join: Filter: c.id = __exists_1.k0
//!      Filter: outer(c.id) = calls.customer_id            TableScan: c
//!        TableScan: calls                                 SubqueryAlias: __exists_1
//!    TableScan: c                                           Projection: calls.customer_id AS k0
//!                                                             TableScan: calls
//! ```
//!
//! | subquery | becomes |
//! |---|---|
//! | `IN`, `NOT IN`, `ANY`, `ALL` | EXISTS in three-valued logic ([`quantified`]) |
//! | EXISTS that does not depend on the row | `(select count(*) from (... limit 1)) > 0` |
//! | EXISTS with conditions on outer columns | a mark join on the conditions ([`pull_up`]) |
//! | EXISTS of any other form | a mark join with the subquery for all outer values ([`unnesting`]) |
//! | value, LATERAL | a left join, or for LATERAL the join that it is in, with the same |
//!
//! What DataFusion does right stays: `IN` and `[NOT] EXISTS` with plain conditions in WHERE, aggregates with equalities,
//! values that do not depend on the row. Conditions on floats do not: DataFusion makes the join after the rule
//! `float_equality`, which has to see it (a NaN with the sign bit equals NaN, -0.0 equals 0.0).
//!
//! Faults of DataFusion 55.2: `NOT IN` other than alone in WHERE is two-valued, so is one whose left side is no column or
//! whose subquery reads outer columns, and one beside another condition on its column
//! (<https://github.com/apache/datafusion/issues/8241>, <https://github.com/apache/datafusion/issues/25347>,
//! <https://github.com/apache/datafusion/issues/25473>, <https://github.com/apache/datafusion/issues/23410>). `ANY` and
//! `ALL` compare a column with itself where both sides are the same table, and fail as a column
//! (<https://github.com/apache/datafusion/issues/25258>). Switch: `cxql.engine.subqueries`.

mod pull_up;
mod quantified;
mod semi_join;
mod unnesting;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue, plan_err};
use datafusion::functions::core::coalesce;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, FetchType, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    Subquery, lit,
};
use datafusion::optimizer::AnalyzerRule;

use self::pull_up::{PulledUp, joined, pull_up};
use self::quantified::{quantified, subquery};
use self::semi_join::{is_semi_join, semi_join};
use self::unnesting::OuterValues;

/// Rewrites subqueries as joins, see the page of this module.
#[derive(Debug)]
pub(crate) struct Subqueries;

impl AnalyzerRule for Subqueries {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        if !contains_subquery(&plan)? {
            return Ok(plan);
        }
        let mut names = Names::default();
        let plan = plan.transform_up_with_subqueries(|plan| rewrite(plan, &mut names))?.data;
        match plan.all_out_ref_exprs().first() {
            Some(Expr::OuterReferenceColumn(_, column)) => plan_err!(
                "a subquery reads {column}, which is not a column there: select it, or the subquery, as a column of a \
                 subquery in FROM first"
            ),
            _ => Ok(plan),
        }
    }

    fn name(&self) -> &str {
        "subqueries"
    }
}

/// Names that are used once in a plan.
#[derive(Debug, Default)]
pub(super) struct Names(usize);

impl Names {
    fn next(&mut self, prefix: &str) -> String {
        self.0 += 1;
        format!("{prefix}_{}", self.0)
    }
}

/// The columns of a schema, by position.
fn columns_of(schema: &DFSchema) -> Vec<Column> {
    schema.iter().map(Column::from).collect()
}

fn has_outer_references(plan: &LogicalPlan) -> bool {
    !plan.all_out_ref_exprs().is_empty()
}

/// The columns of `schema` that a subquery reads, and whether it reads those of a query further out too.
fn outer_columns(plan: &LogicalPlan, schema: &DFSchema) -> (Vec<Column>, bool) {
    let (mut own, mut has_others) = (vec![], false);
    for expr in plan.all_out_ref_exprs() {
        match expr {
            Expr::OuterReferenceColumn(_, column) if schema.has_column(&column) => own.push(column),
            _ => has_others = true,
        }
    }
    (own, has_others)
}

fn contains_subquery(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= matches!(plan, LogicalPlan::Subquery(_)) || plan.expressions().iter().any(has_subquery);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |expr: &Expr| {
        matches!(expr, Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) | Expr::ScalarSubquery(_))
    };
    // the closure returns no error
    expr.exists(|expr| Ok(is_subquery(expr))).unwrap_or(true)
}

fn rewrite(plan: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(join) if lateral_subquery(&join.right).is_some() => lateral(join, names),
        LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(has_subquery) => join_condition(join, names),
        LogicalPlan::Filter(filter) if has_subquery(&filter.predicate) => condition(filter, names),
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_)
            if plan.expressions().iter().any(has_subquery) =>
        {
            let is_projection = matches!(plan, LogicalPlan::Projection(_));
            let keeps_columns = matches!(plan, LogicalPlan::Window(_) | LogicalPlan::Sort(_));
            let columns = columns_of(plan.schema());
            let preserver = NamePreserver::new(&plan);
            let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
            let mut input = Attached { plan: input.clone(), keeps_scalars: is_projection };
            let rewritten = plan.map_expressions(|expr| {
                let name = preserver.save(&expr);
                Ok(input.rewritten(expr, names)?.update_data(|expr| name.restore(expr)))
            })?;
            if !rewritten.transformed {
                return Ok(rewritten);
            }
            let exprs = rewritten.data.expressions();
            let plan = rewritten.data.with_new_exprs(exprs, vec![input.plan])?;
            let plan = if keeps_columns { projected(plan, columns)? } else { plan };
            Ok(Transformed::yes(plan))
        }
        plan => Ok(Transformed::no(plan)),
    }
}

fn projected(plan: LogicalPlan, columns: Vec<Column>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).project(columns.into_iter().map(Expr::Column).collect::<Vec<_>>())?.build()
}

fn condition(filter: Filter, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let columns = columns_of(filter.input.schema());
    let mut input = Attached { plan: filter.input.as_ref().clone(), keeps_scalars: true };
    let mut is_changed = false;
    let mut conjuncts = vec![];
    for conjunct in split_conjunction_owned(filter.predicate.clone()) {
        let conjunct = if let Some(plan) = semi_join(&conjunct, &input.plan, names)? {
            (input.plan, is_changed) = (plan, true);
            continue;
        } else if is_semi_join(&conjunct, input.plan.schema(), names)? {
            Transformed::no(conjunct)
        } else {
            input.rewritten(conjunct, names)?
        };
        is_changed |= conjunct.transformed;
        conjuncts.push(conjunct.data);
    }
    if !is_changed {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let plan = LogicalPlanBuilder::from(input.plan);
    let plan = match conjunction(conjuncts) {
        Some(predicate) => plan.filter(predicate)?.build()?,
        None => plan.build()?,
    };
    Ok(Transformed::yes(projected(plan, columns)?))
}

/// A condition of a join with subqueries: those over one side become columns of that side, for an inner join all become
/// conditions above it.
fn join_condition(mut join: Join, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let columns = columns_of(&join.schema);
    let conjuncts = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
    let (with_subquery, mut kept): (Vec<_>, Vec<_>) = conjuncts.into_iter().partition(has_subquery);
    if join.join_type == JoinType::Inner {
        join.filter = conjunction(kept);
        let plan = LogicalPlanBuilder::from(LogicalPlan::Join(join));
        let Some(predicate) = conjunction(with_subquery) else { return Ok(Transformed::no(plan.build()?)) };
        return match plan.filter(predicate)?.build()? {
            LogicalPlan::Filter(filter) => Ok(Transformed::yes(condition(filter, names)?.data)),
            plan => Ok(Transformed::yes(plan)),
        };
    }
    let mut left = Attached { plan: join.left.as_ref().clone(), keeps_scalars: false };
    let mut right = Attached { plan: join.right.as_ref().clone(), keeps_scalars: false };
    for conjunct in with_subquery {
        let conjunct = conjunct.transform_down(|expr| {
            if !is_subquery_expr(&expr) {
                return Ok(Transformed::no(expr));
            }
            let read = read_columns(&expr, &join.schema)?;
            let side = if read.iter().all(|column| left.plan.schema().has_column(column)) {
                &mut left
            } else if read.iter().all(|column| right.plan.schema().has_column(column)) {
                &mut right
            } else {
                return plan_err!(
                    "a subquery in the condition of a {} join reads columns of both sides: put it into a column of one \
                     side first",
                    join.join_type
                );
            };
            let rewritten = side.rewritten(expr, names)?;
            Ok(Transformed::new(rewritten.data, true, TreeNodeRecursion::Jump))
        })?;
        kept.push(conjunct.data);
    }
    join.filter = conjunction(kept);
    (join.left, join.right) = (left.plan.into(), right.plan.into());
    let plan = LogicalPlan::Join(join).recompute_schema()?;
    Ok(Transformed::yes(projected(plan, columns)?))
}

fn is_subquery_expr(expr: &Expr) -> bool {
    matches!(expr, Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) | Expr::ScalarSubquery(_))
}

/// The columns of `schema` that a subquery expression reads, within the subquery and beside it.
fn read_columns(expr: &Expr, schema: &DFSchema) -> Result<Vec<Column>> {
    let mut read: Vec<Column> = expr.column_refs().into_iter().cloned().collect();
    expr.apply(|expr| {
        let subquery = match expr {
            Expr::InSubquery(expr) => &expr.subquery,
            Expr::Exists(expr) => &expr.subquery,
            Expr::SetComparison(expr) => &expr.subquery,
            Expr::ScalarSubquery(subquery) => subquery,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        read.extend(outer_columns(&subquery.subquery, schema).0);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(read)
}

/// The input of an operator, to which the subqueries of its expressions are joined.
struct Attached {
    plan: LogicalPlan,
    /// Whether the operator is one in which DataFusion joins values of subqueries.
    keeps_scalars: bool,
}

impl Attached {
    /// An expression of the operator without subqueries, except for values that DataFusion computes.
    fn rewritten(&mut self, expr: Expr, names: &mut Names) -> Result<Transformed<Expr>> {
        expr.transform_down(|expr| match expr {
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let any = self.quantified(*expr, Operator::Eq, false, &subquery, names)?;
                Ok(Transformed::new(if negated { !any } else { any }, true, TreeNodeRecursion::Jump))
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let is_all = quantifier == SetQuantifier::All;
                let compared = self.quantified(*expr, op, is_all, &subquery, names)?;
                Ok(Transformed::new(compared, true, TreeNodeRecursion::Jump))
            }
            Expr::Exists(expr) => {
                let found = self.exists(&expr.subquery.subquery, names)?;
                Ok(Transformed::new(if expr.negated { !found } else { found }, true, TreeNodeRecursion::Jump))
            }
            Expr::ScalarSubquery(scalar) => {
                let value = self.scalar(scalar, names)?;
                Ok(Transformed::new(value.data, value.transformed, TreeNodeRecursion::Jump))
            }
            expr => Ok(Transformed::no(expr)),
        })
    }

    fn quantified(
        &mut self,
        value: Expr,
        op: Operator,
        is_all: bool,
        subquery: &Subquery,
        names: &mut Names,
    ) -> Result<Expr> {
        let value = self.rewritten(value, names)?.data;
        let expr = quantified(&value, op, is_all, &subquery.subquery, self.plan.schema(), names)?;
        Ok(self.rewritten(expr, names)?.data)
    }

    /// Whether a subquery has rows.
    fn exists(&mut self, plan: &LogicalPlan, names: &mut Names) -> Result<Expr> {
        let plan = without_irrelevant(plan)?;
        let (columns, has_others) = outer_columns(&plan, self.plan.schema());
        if columns.is_empty() && !has_others {
            let counted = counted(plan)?;
            return Ok(Expr::ScalarSubquery(subquery(counted.build()?)).gt(lit(0_i64)));
        }
        let pulled_up = if has_others { None } else { pull_up(&plan, names)? };
        if let Some(pulled_up) = pulled_up {
            let (right, alias, conditions) = pulled_up.keys_only(names)?;
            self.plan = LogicalPlanBuilder::from(self.plan.clone())
                .join_on(right, JoinType::LeftMark, joined(conditions)?)?
                .build()?;
            return Ok(Expr::Column(Column::new(Some(alias), "mark")));
        }
        if columns.is_empty() {
            let alias = names.next("__exists");
            let mark = Expr::Column(Column::new_unqualified("n")).gt(lit(0_i64)).alias("mark");
            let counted = counted(plan)?.project([mark])?.alias(alias.as_str())?.build()?;
            self.plan = LogicalPlanBuilder::from(self.plan.clone()).cross_join(counted)?.build()?;
            return Ok(Expr::Column(Column::new(Some(alias), "mark")));
        }
        let alias = names.next("__exists");
        let (right, keys) = unnested(&self.plan, &plan, columns, &alias, names)?;
        self.plan = LogicalPlanBuilder::from(self.plan.clone()).join_on(right, JoinType::LeftMark, keys)?.build()?;
        Ok(Expr::Column(Column::new(Some(alias), "mark")))
    }

    /// The value of a subquery that reads outer columns.
    fn scalar(&mut self, scalar: Subquery, names: &mut Names) -> Result<Transformed<Expr>> {
        let plan = scalar.subquery.as_ref();
        let (columns, has_others) = outer_columns(plan, self.plan.schema());
        if columns.is_empty() && !has_others {
            return Ok(Transformed::no(Expr::ScalarSubquery(scalar)));
        }
        if plan.schema().fields().len() != 1 {
            return plan_err!("a subquery that is a value has one column, got {}", plan.schema().fields().len());
        }
        if self.keeps_scalars && !has_others && is_aggregate_over_equalities(plan) {
            return Ok(Transformed::no(Expr::ScalarSubquery(subquery(plan.clone()))));
        }
        if !has_one_row(plan)? {
            return plan_err!(
                "a subquery that is a value may have several rows here: aggregate it, as in `max(...)`, or end it with \
                 `order by ... limit 1`"
            );
        }
        let alias = names.next("__value");
        let value = Expr::Column(columns_of(plan.schema()).swap_remove(0)).alias("value");
        let outer = self.plan.clone();
        let column = Expr::Column(Column::new(Some(alias.as_str()), "value"));
        if columns.is_empty() {
            let right = LogicalPlanBuilder::from(plan.clone()).project([value])?.alias(alias.as_str())?.build()?;
            self.plan = LogicalPlanBuilder::from(outer).join_on(right, JoinType::Left, [lit(true)])?.build()?;
            return Ok(Transformed::yes(column));
        }
        let (right, keys) = unnested(&outer, plan, columns, &alias, names)?;
        self.plan = LogicalPlanBuilder::from(outer).join_on(right, JoinType::Left, keys)?.build()?;
        Ok(Transformed::yes(column))
    }
}

/// Whether a plan has rows: 0 or 1 as `n`.
fn counted(plan: LogicalPlan) -> Result<LogicalPlanBuilder> {
    let n = count(lit(1_i64)).alias("n");
    LogicalPlanBuilder::from(plan).limit(0, Some(1))?.aggregate(Vec::<Expr>::new(), [n])
}

/// A subquery for all values of the outer columns under `alias`: its columns as `value`, or `v1` and so on, and the
/// conditions by which it is joined to the outer query.
fn unnested(
    outer: &LogicalPlan,
    plan: &LogicalPlan,
    columns: Vec<Column>,
    alias: &str,
    names: &mut Names,
) -> Result<(LogicalPlan, Vec<Expr>)> {
    let values = OuterValues::new(outer, columns, names);
    let unnested = values.unnest(plan, names)?;
    let own = columns_of(plan.schema()).into_iter().enumerate().map(|(n, column)| {
        let name = if n == 0 { "value".to_string() } else { format!("v{n}") };
        Expr::Column(column).alias(name)
    });
    let keys = values.exprs().into_iter().enumerate().map(|(n, key)| key.alias(format!("k{n}")));
    let right =
        LogicalPlanBuilder::from(unnested).project(own.chain(keys).collect::<Vec<_>>())?.alias(alias)?.build()?;
    let mut conditions = vec![];
    for (n, column) in values.columns.into_iter().enumerate() {
        conditions.extend(same(column, Column::new(Some(alias), format!("k{n}")), outer.schema())?);
    }
    Ok((right, conditions))
}

/// Conditions for two columns of the same values, in which NULL equals NULL.
///
/// Not a join in which NULL equals NULL, which is one for all of its keys: DataFusion adds equalities of WHERE to them.
pub(super) fn same(outer: Column, key: Column, schema: &DFSchema) -> Result<Vec<Expr>> {
    let field = schema.field_from_column(&outer)?;
    let (outer, key) = (Expr::Column(outer), Expr::Column(key));
    if !field.is_nullable() {
        return Ok(vec![outer.eq(key)]);
    }
    let default = Expr::Literal(ScalarValue::new_default(field.data_type())?, None);
    let filled = |expr: &Expr| coalesce().call(vec![expr.clone(), default.clone()]);
    Ok(vec![filled(&outer).eq(filled(&key)), outer.is_null().eq(key.is_null())])
}

/// What EXISTS asks of a plan: neither order nor duplicates, nor a limit.
fn without_irrelevant(plan: &LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => without_irrelevant(&sort.input),
        LogicalPlan::Distinct(distinct) => without_irrelevant(distinct.input()),
        LogicalPlan::Limit(limit) if limit.skip.is_none() => match limit.get_fetch_type()? {
            FetchType::Literal(Some(0)) => Ok(plan.clone()),
            FetchType::Literal(_) => without_irrelevant(&limit.input),
            FetchType::UnsupportedExpr => Ok(plan.clone()),
        },
        plan => Ok(plan.clone()),
    }
}

/// Returns true if a plan has at most one row for each row of the outer query.
fn has_one_row(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Projection(projection) => has_one_row(&projection.input)?,
        LogicalPlan::Filter(filter) => has_one_row(&filter.input)?,
        LogicalPlan::SubqueryAlias(alias) => has_one_row(&alias.input)?,
        LogicalPlan::Sort(sort) => has_one_row(&sort.input)?,
        LogicalPlan::Distinct(distinct) => has_one_row(distinct.input())?,
        LogicalPlan::Window(window) => has_one_row(&window.input)?,
        LogicalPlan::Limit(limit) => match limit.get_fetch_type()? {
            FetchType::Literal(Some(0 | 1)) => true,
            _ => has_one_row(&limit.input)?,
        },
        LogicalPlan::Aggregate(aggregate) => groups_are_fixed(aggregate),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::Inner | JoinType::Left) => {
            has_one_row(&join.left)? && has_one_row(&join.right)?
        }
        _ => false,
    })
}

/// Returns true if an aggregate has one group for each row of the outer query: none, or columns that are equal to outer ones.
fn groups_are_fixed(aggregate: &Aggregate) -> bool {
    let LogicalPlan::Filter(filter) = aggregate.input.as_ref() else { return aggregate.group_expr.is_empty() };
    let conjuncts = split_conjunction_owned(filter.predicate.clone());
    let is_fixed = |group: &Expr| {
        conjuncts.iter().any(|expr| match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                matches!((left.as_ref(), right.as_ref()), (Expr::OuterReferenceColumn(..), column) | (column, Expr::OuterReferenceColumn(..)) if column == group)
            }
            _ => false,
        })
    };
    aggregate.group_expr.iter().all(is_fixed)
}

/// Returns true for an aggregate whose outer columns are in equalities only, which DataFusion joins rightly.
fn is_aggregate_over_equalities(plan: &LogicalPlan) -> bool {
    let is_equality = |expr: &Expr, schema: &DFSchema| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let is_columns = matches!(
                (left.as_ref(), right.as_ref()),
                (Expr::OuterReferenceColumn(..), Expr::Column(_)) | (Expr::Column(_), Expr::OuterReferenceColumn(..))
            );
            is_columns && !pull_up::reads_float(expr, schema)
        }
        _ => false,
    };
    match plan {
        LogicalPlan::Projection(projection) if !projection.expr.iter().any(Expr::contains_outer) => {
            matches!(projection.input.as_ref(), LogicalPlan::Aggregate(_))
                && is_aggregate_over_equalities(&projection.input)
        }
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => match aggregate.input.as_ref() {
            LogicalPlan::Filter(filter) => {
                let conjuncts = split_conjunction_owned(filter.predicate.clone());
                !aggregate.aggr_expr.iter().any(Expr::contains_outer)
                    && !has_outer_references(&filter.input)
                    && conjuncts.iter().all(|expr| !expr.contains_outer() || is_equality(expr, filter.input.schema()))
            }
            _ => false,
        },
        _ => false,
    }
}

/// The subquery of a lateral join.
fn lateral_subquery(plan: &LogicalPlan) -> Option<&Subquery> {
    match plan {
        LogicalPlan::Subquery(subquery) => Some(subquery),
        LogicalPlan::SubqueryAlias(alias) => lateral_subquery(&alias.input),
        _ => None,
    }
}

fn lateral(join: Join, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return plan_err!(
            "LATERAL is the right side of an inner, left or cross join, not of a {} join",
            join.join_type
        );
    }
    let Some(lateral) = lateral_subquery(&join.right) else {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    };
    let plan = lateral.subquery.as_ref();
    let mut conditions: Vec<Expr> = join.filter.iter().cloned().collect();
    conditions.extend(join.on.iter().map(|(left, right)| left.clone().eq(right.clone())));
    let (columns, has_others) = outer_columns(plan, join.left.schema());
    let alias = names.next("__lateral");
    let own = columns_of(plan.schema());
    // its columns under names that are used nowhere else, then under their own
    let named = |n: usize| Column::new(Some(alias.as_str()), if n == 0 { "value".into() } else { format!("v{n}") });
    let renamed = |expr: Expr| {
        let renamed = expr.transform_up(|expr| match &expr {
            Expr::Column(column) => match join.right.schema().maybe_index_of_column(column) {
                Some(n) => Ok(Transformed::yes(Expr::Column(named(n)))),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(renamed.data)
    };
    let conditions = conditions.into_iter().map(renamed).collect::<Result<Vec<_>>>()?;
    let pulled_up = if has_others { None } else { pull_up(plan, names)? };
    let left = join.left.as_ref().clone();
    let joined = if let Some(PulledUp { plan, conditions: pulled_up }) = pulled_up {
        let (right, keys) = pull_up::under_alias(plan, own, pulled_up, &alias)?;
        let conditions = [conditions, pull_up::joined(keys)?].concat();
        match conditions.is_empty() && join.join_type == JoinType::Inner {
            true => LogicalPlanBuilder::from(left).cross_join(right)?,
            false => {
                let conditions = if conditions.is_empty() { vec![lit(true)] } else { conditions };
                LogicalPlanBuilder::from(left).join_on(right, join.join_type, conditions)?
            }
        }
    } else {
        let (right, keys) = unnested(&left, plan, columns, &alias, names)?;
        LogicalPlanBuilder::from(left).join_on(right, join.join_type, [keys, conditions].concat())?
    };
    let left = columns_of(join.left.schema()).into_iter().map(Expr::Column);
    let right = join.right.schema().iter().enumerate();
    let right =
        right.map(|(n, (relation, field))| Expr::Column(named(n)).alias_qualified(relation.cloned(), field.name()));
    let plan = joined.project(left.chain(right).collect::<Vec<_>>())?.build()?;
    Ok(Transformed::yes(plan))
}
