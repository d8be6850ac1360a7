//! A correlated subquery as a plan over the distinct values of the outer columns that it reads (Neumann and Kemper,
//! *Unnesting arbitrary queries*, BTW 2015).
//!
//! ```text
//!  Limit: 1                                  Filter: __row = 1
//!    Sort: p.at DESC                           WindowAggr: row_number() PARTITION BY __outer._0, __outer._1
//!      Projection: p.price                                              ORDER BY p.at DESC AS __row
//!        Filter: p.sku = outer(c.sku)   ->       Projection: p.price, p.at, __outer._0, __outer._1
//!                AND p.at <= outer(c.at)           Filter: p.sku = __outer._0 AND p.at <= __outer._1
//!          TableScan: p                              Cross Join:
//!                                                      TableScan: p
//!                                                      Distinct: c.sku AS _0, c.at AS _1
//! ```
//! Each operator of the subquery computes its result for all outer values at once: aggregates group by them too, limits
//! become row numbers within them. The optimizer makes a join of the cross join and the filter.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, NullEquality, Result, ScalarValue, TableReference, plan_err};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::{Sort as SortExpr, WindowFunctionParams};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprFunctionExt, FetchType, Join, JoinType, Limit, LogicalPlan,
    LogicalPlanBuilder, Operator, SkipType, Window, lit, when,
};

use super::{Names, columns_of, same};

/// The outer columns that a subquery reads, and the relation of their distinct values.
pub(super) struct OuterValues {
    alias: String,
    /// The outer columns; the `n`-th is the column [`OuterValues::name`] of the relation.
    pub(super) columns: Vec<Column>,
    input: Arc<LogicalPlan>,
}

impl OuterValues {
    /// The distinct values of `columns` of `input`.
    pub(super) fn new(input: &LogicalPlan, columns: Vec<Column>, names: &mut Names) -> Self {
        Self { alias: names.next("__outer"), columns, input: Arc::new(input.clone()) }
    }

    /// The relation itself.
    fn relation(&self) -> Result<LogicalPlan> {
        let columns =
            self.columns.iter().enumerate().map(|(n, column)| Expr::Column(column.clone()).alias(self.name(n)));
        LogicalPlanBuilder::from(Arc::clone(&self.input))
            .project(columns.collect::<Vec<_>>())?
            .distinct()?
            .alias(self.alias.as_str())?
            .build()
    }

    /// The name of a column, used nowhere else: the relation may stand within a subquery that is unnested too.
    fn name(&self, n: usize) -> String {
        format!("{}_{n}", self.alias)
    }

    fn column(&self, n: usize) -> Column {
        Column::new(Some(self.alias.as_str()), self.name(n))
    }

    /// Its columns in the plan of [`OuterValues::unnest`].
    pub(super) fn exprs(&self) -> Vec<Expr> {
        (0..self.columns.len()).map(|n| Expr::Column(self.column(n))).collect()
    }

    /// An expression that reads the relation in place of the outer columns.
    fn bound(&self, expr: Expr) -> Result<Expr> {
        let bound = expr.transform_up(|expr| match &expr {
            Expr::OuterReferenceColumn(_, column) => Ok(match self.columns.iter().position(|own| own == column) {
                Some(n) => Transformed::yes(Expr::Column(self.column(n))),
                None => Transformed::no(expr),
            }),
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(bound.data)
    }

    fn is_read_by(&self, expr: &Expr) -> Result<bool> {
        expr.exists(|expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Ok(self.columns.contains(column)),
            _ => Ok(false),
        })
    }

    fn is_read_in(&self, plan: &LogicalPlan) -> bool {
        plan.all_out_ref_exprs()
            .iter()
            .any(|expr| matches!(expr, Expr::OuterReferenceColumn(_, column) if self.columns.contains(column)))
    }

    /// The rows of `plan` for all outer values, with the columns of the relation beside its own.
    ///
    /// # Errors
    /// An operator that is not supported within a correlated subquery.
    pub(super) fn unnest(&self, plan: &LogicalPlan, names: &mut Names) -> Result<LogicalPlan> {
        if !self.is_read_in(plan) {
            return LogicalPlanBuilder::from(plan.clone()).cross_join(self.relation()?)?.build();
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let input = self.unnest(&projection.input, names)?;
                let exprs = self.named(&projection.expr, plan.schema())?;
                LogicalPlanBuilder::from(input).project([exprs, self.exprs()].concat())?.build()
            }
            LogicalPlan::Filter(filter) => {
                let input = self.unnest(&filter.input, names)?;
                LogicalPlanBuilder::from(input).filter(self.bound(filter.predicate.clone())?)?.build()
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.unnest(&alias.input, names)?;
                let columns = columns_of(alias.input.schema()).into_iter().zip(plan.schema().iter());
                let columns = columns.map(|(column, (relation, field))| {
                    Expr::Column(column).alias_qualified(relation.cloned(), field.name())
                });
                let columns = columns.chain(self.exprs()).collect::<Vec<_>>();
                LogicalPlanBuilder::from(input).project(columns)?.build()
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, names),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                LogicalPlanBuilder::from(self.unnest(input, names)?).distinct()?.build()
            }
            // the order of a subquery is read by a limit only
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.unnest(&sort.input, names),
            LogicalPlan::Limit(limit) => self.limit(limit, names),
            LogicalPlan::Window(window) => self.window(window, plan, names),
            LogicalPlan::Join(join) => self.join(join, plan, names),
            LogicalPlan::Union(union) => {
                let mut inputs = union.inputs.iter().map(|input| {
                    let unnested = self.unnest(input, names)?;
                    let columns = columns_of(input.schema()).into_iter().map(Expr::Column).chain(self.exprs());
                    LogicalPlanBuilder::from(unnested).project(columns.collect::<Vec<_>>())?.build()
                });
                let Some(first) = inputs.next() else { return plan_err!("a union without inputs") };
                let union =
                    inputs.try_fold(LogicalPlanBuilder::from(first?), |union, input| union.union(input?))?.build()?;
                let own =
                    (0..self.columns.len()).map(|n| (Some(TableReference::bare(self.alias.as_str())), self.name(n)));
                let names = plan.schema().iter();
                let names = names.map(|(relation, field)| (relation.cloned(), field.name().clone()));
                let columns = columns_of(union.schema()).into_iter().zip(names.chain(own));
                let columns =
                    columns.map(|(column, (relation, name))| Expr::Column(column).alias_qualified(relation, name));
                let columns = columns.collect::<Vec<_>>();
                LogicalPlanBuilder::from(union).project(columns)?.build()
            }
            LogicalPlan::Unnest(unnest) => {
                let input = self.unnest(&unnest.input, names)?;
                LogicalPlanBuilder::from(input)
                    .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
                    .build()
            }
            other => plan_err!(
                "a subquery that reads columns of the outer query has an operator that is not supported there ({}): \
                 write it as a join",
                other.display()
            ),
        }
    }

    /// Expressions bound to the relation under the names of the output columns.
    fn named(&self, exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Expr>> {
        let named = exprs.iter().zip(schema.iter()).map(|(expr, (relation, field))| {
            if !self.is_read_by(expr)? {
                return Ok(expr.clone());
            }
            Ok(self.bound(expr.clone().unalias())?.alias_qualified(relation.cloned(), field.name()))
        });
        named.collect()
    }

    fn aggregate(&self, aggregate: &Aggregate, names: &mut Names) -> Result<LogicalPlan> {
        if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
            return plan_err!(
                "a subquery that reads columns of the outer query has no grouping sets: write it as a join"
            );
        }
        let schema = aggregate.schema.as_ref();
        let input = self.unnest(&aggregate.input, names)?;
        let mut exprs = self.named(&aggregate.group_expr, schema)?;
        let group_count = exprs.len();
        let groups = [exprs, self.exprs()].concat();
        exprs = vec![];
        for (expr, (relation, field)) in aggregate.aggr_expr.iter().zip(schema.iter().skip(group_count)) {
            let is_bound = self.is_read_by(expr)?;
            exprs.push(match is_bound {
                true => self.bound(expr.clone().unalias())?.alias_qualified(relation.cloned(), field.name()),
                false => expr.clone(),
            });
        }
        let grouped = LogicalPlanBuilder::from(input).aggregate(groups, exprs)?.build()?;
        if group_count > 0 {
            return Ok(grouped);
        }
        // without GROUP BY there is a row for no rows too: count gives 0, other functions NULL
        let found = names.next("__found");
        let columns =
            columns_of(schema).into_iter().enumerate().map(|(n, column)| Expr::Column(column).alias(format!("a{n}")));
        let keys = self.exprs().into_iter().enumerate().map(|(n, key)| key.alias(format!("k{n}")));
        let columns = columns.chain(keys).chain([lit(true).alias("found")]).collect::<Vec<_>>();
        let grouped = LogicalPlanBuilder::from(grouped).project(columns)?.alias(found.as_str())?.build()?;
        let mut columns = vec![];
        for (n, (relation, field)) in schema.iter().enumerate() {
            let value = Expr::Column(Column::new(Some(found.as_str()), format!("a{n}")));
            let default = match aggregate.aggr_expr[n].clone().unalias_nested().data {
                Expr::AggregateFunction(call) => call.func.default_value(field.data_type())?,
                _ => ScalarValue::Null,
            };
            let value = match default.is_null() {
                true => value,
                false => {
                    let is_found = Expr::Column(Column::new(Some(found.as_str()), "found")).is_null();
                    when(is_found, Expr::Literal(default, None)).otherwise(value)?
                }
            };
            columns.push(value.alias_qualified(relation.cloned(), field.name()));
        }
        columns.extend(self.exprs());
        let relation = self.relation()?;
        let mut conditions = vec![];
        for n in 0..self.columns.len() {
            conditions.extend(same(
                self.column(n),
                Column::new(Some(found.as_str()), format!("k{n}")),
                relation.schema(),
            )?);
        }
        LogicalPlanBuilder::from(relation).join_on(grouped, JoinType::Left, conditions)?.project(columns)?.build()
    }

    /// The first rows for each outer value, by row numbers.
    fn limit(&self, limit: &Limit, names: &mut Names) -> Result<LogicalPlan> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return plan_err!("LIMIT of a subquery that reads columns of the outer query is a number");
        };
        // the sort keys may be columns that a projection above the sort drops
        let mut projections = vec![];
        let mut input = limit.input.as_ref();
        while let LogicalPlan::Projection(projection) = input {
            projections.push(projection);
            input = projection.input.as_ref();
        }
        let (input, order_by) = match input {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => (sort.input.as_ref(), sort.expr.clone()),
            _ => {
                projections.clear();
                (limit.input.as_ref(), vec![])
            }
        };
        let order_by = order_by.into_iter().map(|key| Ok(SortExpr { expr: self.bound(key.expr)?, ..key }));
        let order_by = order_by.collect::<Result<Vec<_>>>()?;
        let unnested = self.unnest(input, names)?;
        let kept = columns_of(unnested.schema()).into_iter().map(Expr::Column).collect::<Vec<_>>();
        let row = row_number().partition_by(self.exprs());
        let row = if order_by.is_empty() { row } else { row.order_by(order_by) }.build()?;
        let name = names.next("__row");
        let number = Expr::Column(Column::new_unqualified(row.schema_name().to_string()));
        let numbered = kept.iter().cloned().chain([number.alias(name.as_str())]).collect::<Vec<_>>();
        let row_number = Expr::Column(Column::new_unqualified(name.as_str()));
        let mut is_kept = row_number.clone().gt(lit(skip as u64));
        if let Some(fetch) = fetch {
            is_kept = is_kept.and(row_number.lt_eq(lit((skip + fetch) as u64)));
        }
        let mut plan =
            LogicalPlanBuilder::from(unnested).window([row])?.project(numbered)?.filter(is_kept)?.project(kept)?;
        for projection in projections.into_iter().rev() {
            let exprs = self.named(&projection.expr, &projection.schema)?;
            plan = plan.project([exprs, self.exprs()].concat())?;
        }
        plan.build()
    }

    fn window(&self, window: &Window, plan: &LogicalPlan, names: &mut Names) -> Result<LogicalPlan> {
        let input = self.unnest(&window.input, names)?;
        let own_columns = window.input.schema().fields().len();
        let mut exprs = vec![];
        for (expr, (relation, field)) in window.window_expr.iter().zip(plan.schema().iter().skip(own_columns)) {
            let bound = self.bound(expr.clone().unalias())?.transform_up(|expr| match expr {
                Expr::WindowFunction(mut call) => {
                    let WindowFunctionParams { partition_by, .. } = &mut call.params;
                    partition_by.extend(self.exprs());
                    Ok(Transformed::yes(Expr::WindowFunction(call)))
                }
                expr => Ok(Transformed::no(expr)),
            })?;
            exprs.push((bound.data, relation.cloned(), field.name().clone()));
        }
        let kept = columns_of(input.schema()).into_iter().map(Expr::Column);
        let named = exprs.iter().map(|(expr, relation, name)| {
            let column = Column::new_unqualified(expr.schema_name().to_string());
            Expr::Column(column).alias_qualified(relation.clone(), name)
        });
        let columns = kept.chain(named).collect::<Vec<_>>();
        let calls = exprs.iter().map(|(expr, ..)| expr.clone()).collect::<Vec<_>>();
        LogicalPlanBuilder::from(input).window(calls)?.project(columns)?.build()
    }

    fn join(&self, join: &Join, plan: &LogicalPlan, names: &mut Names) -> Result<LogicalPlan> {
        let mut condition = join.filter.iter().cloned().collect::<Vec<_>>();
        let equal = |(left, right): &(Expr, Expr)| match join.null_equality {
            NullEquality::NullEqualsNothing => left.clone().eq(right.clone()),
            NullEquality::NullEqualsNull => Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left.clone()),
                Operator::IsNotDistinctFrom,
                Box::new(right.clone()),
            )),
        };
        condition.extend(join.on.iter().map(equal));
        let is_in_condition =
            condition.iter().map(|expr| self.is_read_by(expr)).collect::<Result<Vec<_>>>()?.contains(&true);
        let condition = condition.into_iter().map(|expr| self.bound(expr)).collect::<Result<Vec<_>>>()?;
        let (is_in_left, is_in_right) = (self.is_read_in(&join.left), self.is_read_in(&join.right));
        let is_inner = join.join_type == JoinType::Inner;
        let has_left = match join.join_type {
            JoinType::Inner => is_in_left || (is_in_condition && !is_in_right),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => true,
            JoinType::Right => is_in_left || is_in_condition,
            _ => {
                return plan_err!(
                    "a subquery that reads columns of the outer query has no {} join: write it as a join",
                    join.join_type
                );
            }
        };
        let has_right = match join.join_type {
            JoinType::Inner => is_in_right,
            JoinType::Right => true,
            _ => is_in_right || (is_in_condition && !has_left),
        };
        let left = if has_left { self.unnest(&join.left, names)? } else { join.left.as_ref().clone() };
        let mut condition = condition;
        let right = match (has_left, has_right) {
            (true, true) => {
                // both sides have the outer values: the right ones get other names, and the sides are joined by them
                let alias = names.next("__outer");
                let right = self.unnest(&join.right, names)?;
                let renamed = (0..self.columns.len())
                    .map(|n| Expr::Column(self.column(n)).alias_qualified(Some(alias.as_str()), self.name(n)));
                let columns = columns_of(join.right.schema()).into_iter().map(Expr::Column).chain(renamed);
                let columns = columns.collect::<Vec<_>>();
                for n in 0..self.columns.len() {
                    let key = Column::new(Some(alias.as_str()), self.name(n));
                    condition.extend(same(self.column(n), key, left.schema())?);
                }
                let right = LogicalPlanBuilder::from(right).project(columns)?.build()?;
                if join.join_type == JoinType::Right {
                    // the right side is kept, so that its outer values are those of the result
                    let keys = (0..self.columns.len())
                        .map(|n| Expr::Column(Column::new(Some(alias.as_str()), self.name(n))))
                        .collect::<Vec<_>>();
                    let kept = columns_of(plan.schema()).into_iter().map(Expr::Column);
                    let named = keys.into_iter().enumerate();
                    let named = named.map(|(n, key)| key.alias_qualified(Some(self.alias.as_str()), self.name(n)));
                    let kept = kept.chain(named).collect::<Vec<_>>();
                    return LogicalPlanBuilder::from(left)
                        .join_on(right, join.join_type, condition)?
                        .project(kept)?
                        .build();
                }
                right
            }
            (_, true) => self.unnest(&join.right, names)?,
            (_, false) => join.right.as_ref().clone(),
        };
        let (right, condition) = match join.join_type {
            JoinType::LeftMark => under_one_alias(right, condition, &names.next("__mark"))?,
            _ => (right, condition),
        };
        let joined = match (is_inner, condition.is_empty()) {
            (true, true) => LogicalPlanBuilder::from(left).cross_join(right)?,
            _ => LogicalPlanBuilder::from(left).join_on(right, join.join_type, condition)?,
        };
        let mut kept = columns_of(plan.schema()).into_iter().map(Expr::Column).collect::<Vec<_>>();
        if let (JoinType::LeftMark, Some(mark)) = (join.join_type, kept.last_mut()) {
            // the mark has the relation of the right side, which is another one here
            let found = columns_of(joined.schema()).pop().map(Expr::Column);
            let (relation, name) = mark.qualified_name();
            *mark = found.unwrap_or_else(|| mark.clone()).alias_qualified(relation, name);
        }
        kept.extend(self.exprs());
        joined.project(kept)?.build()
    }
}

/// The right side of a mark join under one alias, and the condition by its names: the mark has the relation of the right columns,
/// and none, beside marks of other joins, if there are several.
fn under_one_alias(right: LogicalPlan, condition: Vec<Expr>, alias: &str) -> Result<(LogicalPlan, Vec<Expr>)> {
    let columns = columns_of(right.schema());
    let condition = condition.into_iter().map(|expr| {
        let expr = expr.transform_up(|expr| match &expr {
            Expr::Column(column) => Ok(match columns.iter().position(|own| own == column) {
                Some(n) => Transformed::yes(Expr::Column(Column::new(Some(alias), format!("{alias}_{n}")))),
                None => Transformed::no(expr),
            }),
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(expr.data)
    });
    let condition = condition.collect::<Result<Vec<_>>>()?;
    let renamed = columns.iter().enumerate();
    let renamed = renamed.map(|(n, column)| Expr::Column(column.clone()).alias(format!("{alias}_{n}")));
    let right = LogicalPlanBuilder::from(right).project(renamed.collect::<Vec<_>>())?.alias(alias)?.build()?;
    Ok((right, condition))
}
