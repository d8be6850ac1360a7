//! [`LikeEscape`]: `LIKE ... ESCAPE` with a character other than the backslash.
//!
//! ```text
//!  name LIKE '10!%%' ESCAPE '!'    ->    name LIKE '10\%%'
//! ```
//! DataFusion 55.2 plans the clause and then refuses every character but the backslash
//! (no issue was found). Switch: `cxql.engine.like_escape`.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Expr, Like, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;

/// Rewrites patterns to those with the backslash as escape character.
#[derive(Debug)]
pub(crate) struct LikeEscape;

impl AnalyzerRule for LikeEscape {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |expr, _| match expr {
            Expr::Like(Like { negated, expr, pattern, escape_char: Some(escape), case_insensitive })
                if escape != '\\' =>
            {
                let pattern = match *pattern {
                    Expr::Literal(ScalarValue::Utf8(pattern), _) => ScalarValue::Utf8(with_backslash(pattern, escape)?),
                    Expr::Literal(ScalarValue::Utf8View(pattern), _) => {
                        ScalarValue::Utf8View(with_backslash(pattern, escape)?)
                    }
                    Expr::Literal(ScalarValue::LargeUtf8(pattern), _) => {
                        ScalarValue::LargeUtf8(with_backslash(pattern, escape)?)
                    }
                    Expr::Literal(ScalarValue::Null, _) => ScalarValue::Null,
                    other => {
                        return plan_err!(
                            "LIKE with ESCAPE '{escape}' takes a literal pattern, got {other}: write the pattern with \
                             backslashes, which need no ESCAPE"
                        );
                    }
                };
                let pattern = Box::new(Expr::Literal(pattern, None));
                let like = Like { negated, expr, pattern, escape_char: None, case_insensitive };
                Ok(Transformed::yes(Expr::Like(like)))
            }
            expr => Ok(Transformed::no(expr)),
        })
    }

    fn name(&self) -> &str {
        "like_escape"
    }
}

/// A pattern in which the backslash takes the part of `escape`. A backslash was an ordinary character.
fn with_backslash(pattern: Option<String>, escape: char) -> Result<Option<String>> {
    let Some(pattern) = pattern else { return Ok(None) };
    let mut rewritten = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            character if character == escape => match characters.next() {
                Some(next) => next,
                None => return plan_err!("the pattern of LIKE ends with its escape character '{escape}'"),
            },
            '\\' => '\\',
            character => {
                rewritten.push(character);
                continue;
            }
        };
        if matches!(literal, '%' | '_' | '\\') {
            rewritten.push('\\');
        }
        rewritten.push(literal);
    }
    Ok(Some(rewritten))
}
