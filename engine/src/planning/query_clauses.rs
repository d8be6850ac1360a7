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
//! | `a xor b` | bitwise XOR; logical in MySQL, unknown to PostgreSQL |
//!
//! Clauses that do not change the answer, such as FOR UPDATE and hints, stay ignored. No issue was found. Switch:
//! `cxql.engine.sql_rewrites`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, GroupByWithModifier, NamedWindowDefinition, NamedWindowExpr, Query, Select,
    SelectItem, TableFactor, VisitorMut, WindowSpec,
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
