//! [`QueryClauses`]: clauses of a query that DataFusion's planner drops are errors.
//!
//! | clause | DataFusion 55.2 |
//! |---|---|
//! | `group by x with rollup`, `with cube`, `with totals` | plain groups |
//! | `tablesample`, `sample`, `with ordinality`, `partition (p)` of a table | all rows, no number |
//! | `prewhere x` | all rows |
//! | `* ilike 'x%'` | all columns |
//! | `for json`, `for xml`, `settings`, `format` | ignored |
//! | `window a as (partition by x), b as (a order by y)` | `b` has no partitions |
//! | `grouping sets ((1), (2))`, `rollup (1)`, `cube (1)` | groups by the numbers; here by those columns of SELECT, as in PostgreSQL |
//! | a window function in WHERE, HAVING, GROUP BY or ON | an error that shows the whole plan |
//! | `a xor b` | bitwise XOR; logical in MySQL, unknown to PostgreSQL |
//!
//! Clauses that do not change the answer, such as FOR UPDATE and hints, stay ignored. No issue was found. Switch:
//! `cxql.engine.sql_rewrites`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, GroupByWithModifier, JoinConstraint, JoinOperator, NamedWindowDefinition,
    NamedWindowExpr, Query, Select, SelectItem, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut, WindowSpec,
};

/// Looks for clauses that are dropped.
#[derive(Default)]
pub(super) struct QueryClauses {
    /// The error of the first one.
    pub(super) refused: Option<String>,
}

impl QueryClauses {
    fn refuse(&mut self, is_there: bool, clause: &str, remedy: &str) {
        if is_there && self.refused.is_none() {
            self.refused = Some(format!("{clause} is not supported: {remedy}"));
        }
    }
}

impl QueryClauses {
    /// Columns of SELECT in place of their numbers in grouping sets, where the planner takes them for constants.
    fn ordinals(&mut self, select: &mut Select) {
        let items = &select.projection;
        let column = |number: &str| {
            let index = number.parse::<usize>().ok()?.checked_sub(1)?;
            // a wildcard has an unknown number of columns
            items.get(..=index)?.iter().map(item_expr).collect::<Option<Vec<_>>>()?.pop().cloned()
        };
        let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return };
        for key in keys {
            let (Expr::GroupingSets(sets) | Expr::Rollup(sets) | Expr::Cube(sets)) = key else { continue };
            for part in sets.iter_mut().flatten() {
                let Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) = &*part else { continue };
                match column(number) {
                    Some(expr) => *part = expr,
                    None => {
                        let clause = format!("the number {number} in a grouping set");
                        self.refuse(true, &clause, "name the column; a number is that of a column of SELECT without *");
                    }
                }
            }
        }
    }
}

/// The expression of a column of SELECT; `None` for a wildcard.
fn item_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// Whether an expression has a window function, apart from those of its subqueries.
fn has_window(expr: &mut Expr) -> bool {
    #[derive(Default)]
    struct Windows {
        depth: usize,
    }
    impl VisitorMut for Windows {
        type Break = ();

        fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(call) if call.over.is_some() && self.depth == 0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Windows::default()).is_break()
}

/// The condition of a join.
fn constraint(join: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match join {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

impl VisitorMut for QueryClauses {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let format = "the format of a result is an option of the program, such as -f json";
        self.refuse(query.for_clause.is_some(), "FOR JSON, XML or BROWSE", format);
        self.refuse(query.format_clause.is_some(), "FORMAT", format);
        self.refuse(query.settings.is_some(), "SETTINGS", "leave it out");
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.refuse(select.prewhere.is_some(), "PREWHERE", "write where");
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = &select.group_by;
        for modifier in modifiers {
            let remedy = match modifier {
                GroupByWithModifier::Rollup => "write group by rollup (a, b)",
                GroupByWithModifier::Cube => "write group by cube (a, b)",
                _ => "write group by grouping sets ((a, b), ())",
            };
            self.refuse(true, &format!("GROUP BY ... {modifier}"), remedy);
        }
        for item in &select.projection {
            if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item {
                self.refuse(options.opt_ilike.is_some(), "* ILIKE", "name the columns, or write * exclude (a, b)");
            }
        }
        for NamedWindowDefinition(_, window) in &select.named_window {
            let is_based = matches!(window, NamedWindowExpr::WindowSpec(WindowSpec { window_name: Some(_), .. }));
            self.refuse(is_based, "a window that extends a named one", super::call_clauses::WHOLE_WINDOW);
        }
        self.ordinals(select);
        let filtered = "write QUALIFY, or name it in a subquery and compare its column";
        let where_clauses = [("WHERE", &mut select.selection), ("HAVING", &mut select.having)];
        for (clause, condition) in where_clauses {
            let is_there = condition.as_mut().is_some_and(has_window);
            self.refuse(is_there, &format!("a window function in {clause}"), filtered);
        }
        let is_key = match &mut select.group_by {
            GroupByExpr::Expressions(keys, _) => keys.iter_mut().any(has_window),
            GroupByExpr::All(_) => false,
        };
        let named = "name it in a subquery and use its column";
        self.refuse(is_key, "a window function in GROUP BY", named);
        for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
            let is_there = match constraint(&mut join.join_operator) {
                Some(JoinConstraint::On(on)) => has_window(on),
                _ => false,
            };
            self.refuse(is_there, "a window function in ON", named);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let (is_sampled, is_numbered, is_partition) = match factor {
            TableFactor::Table { sample, with_ordinality, partitions, .. } => {
                (sample.is_some(), *with_ordinality, !partitions.is_empty())
            }
            TableFactor::Derived { sample, .. } => (sample.is_some(), false, false),
            TableFactor::Function { with_ordinality, .. } => (false, *with_ordinality, false),
            _ => (false, false, false),
        };
        self.refuse(is_sampled, "TABLESAMPLE", "write where random() < 0.1");
        self.refuse(is_numbered, "WITH ORDINALITY", "write row_number() over (order by ...) as a column");
        self.refuse(is_partition, "PARTITION after a table", "write a condition on the column of the partitions");
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_xor = matches!(expr, Expr::BinaryOp { op: BinaryOperator::Xor, .. });
        self.refuse(is_xor, "XOR", "write (a) <> (b) for conditions");
        ControlFlow::Continue(())
    }
}
