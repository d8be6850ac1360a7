//! The precedence of operators, as in PostgreSQL.
//!
//! The generic dialect of the parser has an order of its own: `2 * 3 ^ 2` is `(2 * 3) ^ 2`, `a -> 'x' = 'y'` is
//! `a -> ('x' = 'y')`, and `a is distinct from b and c` is `a is distinct from (b and c)`. A parsed expression holds its
//! parentheses and the order of its operands: its operators are taken apart and placed again (Dijkstra's shunting yard).
//!
//! | operators, from the tightest | |
//! |---|---|
//! | `-x`, `+x` | |
//! | `at time zone` | |
//! | `^` | |
//! | `*` `/` `%` `//` `div` | |
//! | `+` `-` | |
//! | all others: `\|\|` `->` `~` `&` `\|` `<<` `>>`, ... | `~x` too |
//! | `between` `in` `like` `ilike` `similar to` | |
//! | `=` `<>` `<` `<=` `>` `>=` | with `any` and `all` too |
//! | `is null`, `is true`, `is distinct from`, ... | |
//! | `not` | |
//! | `and` | |
//! | `or` | |
//!
//! Equal ones are placed from left to right. `::` and subscripts are part of an operand. Part of [`rewrite`](super::rewrite).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, UnaryOperator, Value, VisitorMut};

/// Places the operators of all expressions of a statement.
#[derive(Default)]
pub(super) struct Precedence {
    /// Whether each enclosing expression is an operator, whose operands are in order already.
    enclosing: Vec<bool>,
}

impl VisitorMut for Precedence {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.enclosing.push(false);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.enclosing.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if !self.enclosing.last().is_some_and(|is_operator| *is_operator) {
            regroup(expr);
        }
        self.enclosing.push(!matches!(operands(expr), Operands::None));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &mut Expr) -> ControlFlow<()> {
        self.enclosing.pop();
        ControlFlow::Continue(())
    }
}

/// The operands of an operator that stand beside it without parentheses or keywords around them.
enum Operands<'a> {
    None,
    Right(u8, &'a mut Expr),
    Left(u8, &'a mut Expr),
    Both(u8, &'a mut Expr, &'a mut Expr),
}

/// An expression in the order of its text; operators have NULL for their operands.
enum Item {
    Operand(Expr),
    Prefix(Expr),
    Infix(Expr),
    Postfix(Expr),
}

/// Places the operators of one expression and of the lists and bounds in it; not those inside of parentheses and calls.
fn regroup(expr: &mut Expr) {
    if matches!(operands(expr), Operands::None) {
        return;
    }
    let mut output = Output::default();
    for item in flattened(take(expr)) {
        output.push(item);
    }
    *expr = output.finish();
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

/// The operands and operators of an expression in the order of its text, without recursion: chains may be long.
fn flattened(expr: Expr) -> Vec<Item> {
    let mut items = Vec::new();
    let mut stack = vec![Item::Operand(expr)];
    while let Some(next) = stack.pop() {
        let mut expr = match next {
            Item::Operand(expr) => expr,
            operator => {
                items.push(operator);
                continue;
            }
        };
        // what stands between keywords or in parentheses has an order of its own
        match &mut expr {
            Expr::InList { list, .. } => list.iter_mut().for_each(regroup),
            Expr::Between { low, .. } => regroup(low),
            Expr::InUnnest { array_expr: inner, .. }
            | Expr::AnyOp { right: inner, .. }
            | Expr::AllOp { right: inner, .. } => regroup(inner),
            _ => {}
        }
        match operands(&mut expr) {
            Operands::None => items.push(Item::Operand(expr)),
            Operands::Right(_, right) => {
                let right = take(right);
                items.push(Item::Prefix(expr));
                stack.push(Item::Operand(right));
            }
            Operands::Left(_, left) => {
                let left = take(left);
                stack.extend([Item::Postfix(expr), Item::Operand(left)]);
            }
            Operands::Both(_, left, right) => {
                let (left, right) = (take(left), take(right));
                stack.extend([Item::Operand(right), Item::Infix(expr), Item::Operand(left)]);
            }
        }
    }
    items
}

#[derive(Default)]
struct Output {
    operands: Vec<Expr>,
    /// Operators that wait for their right operand.
    waiting: Vec<(u8, Expr)>,
}

impl Output {
    fn push(&mut self, item: Item) {
        match item {
            Item::Operand(expr) => self.operands.push(expr),
            Item::Prefix(mut expr) => self.waiting.push((precedence(&mut expr), expr)),
            Item::Infix(mut expr) => {
                let own = precedence(&mut expr);
                self.complete(own);
                self.waiting.push((own, expr));
            }
            Item::Postfix(mut expr) => {
                let own = precedence(&mut expr);
                self.complete(own);
                self.apply(expr);
            }
        }
    }

    /// Gives the waiting operators that are at least as tight their right operand.
    fn complete(&mut self, own: u8) {
        while let Some((_, operator)) = self.waiting.pop_if(|(waiting, _)| *waiting >= own) {
            self.apply(operator);
        }
    }

    /// Puts an operator in place of its operands, which are the last ones.
    fn apply(&mut self, mut operator: Expr) {
        let mut next = || self.operands.pop().unwrap_or_else(|| Expr::Value(Value::Null.into()));
        match operands(&mut operator) {
            Operands::None => {}
            Operands::Right(_, only) | Operands::Left(_, only) => *only = next(),
            Operands::Both(_, left, right) => {
                *right = next();
                *left = next();
            }
        }
        self.operands.push(operator);
    }

    fn finish(mut self) -> Expr {
        self.complete(0);
        self.operands.pop().unwrap_or_else(|| Expr::Value(Value::Null.into()))
    }
}

fn precedence(expr: &mut Expr) -> u8 {
    match operands(expr) {
        Operands::None => 0,
        Operands::Right(own, _) | Operands::Left(own, _) | Operands::Both(own, ..) => own,
    }
}

const OTHER: u8 = 70;
const MEMBERSHIP: u8 = 60;
const COMPARISON: u8 = 50;
const IS: u8 = 40;

/// The operands of an expression, and how tightly it binds.
fn operands(expr: &mut Expr) -> Operands<'_> {
    match expr {
        Expr::UnaryOp { op, expr } => Operands::Right(
            match op {
                UnaryOperator::Plus | UnaryOperator::Minus => 110,
                UnaryOperator::Not | UnaryOperator::BangNot => 30,
                UnaryOperator::PGPostfixFactorial => return Operands::None,
                _ => OTHER,
            },
            expr,
        ),
        Expr::AtTimeZone { timestamp, time_zone } => Operands::Both(105, timestamp, time_zone),
        Expr::BinaryOp { left, op, right } => Operands::Both(of_binary(op), left, right),
        Expr::Between { expr, high, .. } => Operands::Both(MEMBERSHIP, expr, high),
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. }
        | Expr::RLike { expr, pattern, .. } => Operands::Both(MEMBERSHIP, expr, pattern),
        Expr::InList { expr, .. } | Expr::InSubquery { expr, .. } | Expr::InUnnest { expr, .. } => {
            Operands::Left(MEMBERSHIP, expr)
        }
        Expr::AnyOp { left, compare_op, .. } | Expr::AllOp { left, compare_op, .. } => {
            Operands::Left(of_binary(compare_op), left)
        }
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => Operands::Both(IS, left, right),
        Expr::IsFalse(expr)
        | Expr::IsNotFalse(expr)
        | Expr::IsTrue(expr)
        | Expr::IsNotTrue(expr)
        | Expr::IsNull(expr)
        | Expr::IsNotNull(expr)
        | Expr::IsUnknown(expr)
        | Expr::IsNotUnknown(expr)
        | Expr::IsNormalized { expr, .. } => Operands::Left(IS, expr),
        _ => Operands::None,
    }
}

fn of_binary(op: &BinaryOperator) -> u8 {
    use BinaryOperator::{
        And, BitwiseXor, Divide, DuckIntegerDivide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, MyIntegerDivide,
        NotEq, Or, PGExp, Plus, Spaceship, Xor,
    };
    match op {
        BitwiseXor | PGExp => 100,
        Multiply | Divide | Modulo | DuckIntegerDivide | MyIntegerDivide => 90,
        Plus | Minus => 80,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | Spaceship => COMPARISON,
        And => 20,
        // between AND and OR, as in MySQL; PostgreSQL has it not
        Xor => 15,
        Or => 10,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn parsed(text: &str) -> Expr {
        let mut expr = Parser::new(&GenericDialect {}).try_with_sql(text).unwrap().parse_expr().unwrap();
        let _ = expr.visit(&mut Precedence::default());
        expr
    }

    /// The expression with all of its parentheses and no others.
    fn bare(mut expr: Expr) -> String {
        struct Parentheses;
        impl VisitorMut for Parentheses {
            type Break = ();
            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if let Expr::Nested(inner) = expr {
                    *expr = take(inner);
                }
                if !matches!(operands(expr), Operands::None) {
                    *expr = Expr::Nested(Box::new(take(expr)));
                }
                ControlFlow::Continue(())
            }
        }
        let _ = expr.visit(&mut Parentheses);
        expr.to_string()
    }

    /// The right side of each line is how PostgreSQL 17 reads the left one: section 4.1.6 of its manual, and `gram.y`.
    #[test]
    fn operators_are_placed_as_in_postgresql() {
        for (text, grouped) in [
            ("-2 ^ 2", "(-2) ^ 2"),
            ("2 * -3 ^ 2", "2 * ((-3) ^ 2)"),
            ("2 ^ 3 ^ 2", "(2 ^ 3) ^ 2"),
            ("2 * 3 ^ 2", "2 * (3 ^ 2)"),
            ("-a::bigint", "-(a::bigint)"),
            ("-a at time zone z", "(-a) at time zone z"),
            ("a + b at time zone z || c", "(a + (b at time zone z)) || c"),
            ("a at time zone z::text", "a at time zone (z::text)"),
            ("1 + 2 || 'x'", "(1 + 2) || 'x'"),
            ("'x' || 1 + 2 * 3", "'x' || (1 + (2 * 3))"),
            ("a & b + c | d", "(a & (b + c)) | d"),
            ("a | b & c", "(a | b) & c"),
            ("a << 1 + 2", "a << (1 + 2)"),
            ("~a + b", "~(a + b)"),
            ("~a & b", "(~a) & b"),
            ("a * ~b + c", "a * (~(b + c))"),
            ("a || b ~ c", "(a || b) ~ c"),
            ("a ~ b || c", "(a ~ b) || c"),
            ("a ~ b = c", "(a ~ b) = c"),
            ("a = b ~ c", "a = (b ~ c)"),
            ("a !~* b and c !~ d", "(a !~* b) and (c !~ d)"),
            ("a -> 'x' = 'y'", "(a -> 'x') = 'y'"),
            ("t.a -> 'x' ->> 'y' like 'z%'", "((t.a -> 'x') ->> 'y') like 'z%'"),
            ("t.a ->> 'x' is null", "(t.a ->> 'x') is null"),
            ("not t.a ->> 'x' in ('y')", "not ((t.a ->> 'x') in ('y'))"),
            ("a @> b = c", "(a @> b) = c"),
            ("a @> b and c", "(a @> b) and c"),
            ("a @> b || c", "(a @> b) || c"),
            ("a = b like c", "a = (b like c)"),
            ("a like b = c", "(a like b) = c"),
            ("a like b || '%' and c", "(a like (b || '%')) and c"),
            ("a not like b is null", "(a not like b) is null"),
            ("a = b in (1 + 2 ^ 3, 4)", "a = (b in (1 + (2 ^ 3), 4))"),
            ("a = b between 1 and 2", "a = (b between 1 and 2)"),
            ("a between 1 and 2 = b", "(a between 1 and 2) = b"),
            ("a between 1 | 2 * 3 ^ 2 and 2 ~ b", "a between (1 | (2 * (3 ^ 2))) and (2 ~ b)"),
            ("a between 1 and 2 and b between 3 and 4", "(a between 1 and 2) and (b between 3 and 4)"),
            ("a = b is null", "(a = b) is null"),
            ("a is null = b", "(a is null) = b"),
            ("not a = b", "not (a = b)"),
            ("not a is null", "not (a is null)"),
            ("not a and b", "(not a) and b"),
            ("not not a or b", "(not (not a)) or b"),
            ("a = not b = c", "a = (not (b = c))"),
            ("a is distinct from b and c", "(a is distinct from b) and c"),
            ("a is not distinct from b or c = d", "(a is not distinct from b) or (c = d)"),
            ("a is distinct from b + 1 = c", "a is distinct from ((b + 1) = c)"),
            ("a or b and c", "a or (b and c)"),
            ("a = 1 xor b = 2 and c", "(a = 1) xor ((b = 2) and c)"),
            ("a + 1 = any (b || c ^ 2)", "(a + 1) = any (b || (c ^ 2))"),
            ("a and b + 1 >= all (c) or d", "(a and ((b + 1) >= all (c))) or d"),
            (
                "f(a * b ^ 2) + case when a is distinct from b and c then d end",
                "f(a * (b ^ 2)) + case when (a is distinct from b) and c then d end",
            ),
            ("a in (select 2 * b ^ 2) = c", "(a in (select 2 * (b ^ 2))) = c"),
            ("a // b * c - d - e", "(((a // b) * c) - d) - e"),
        ] {
            // both with all parentheses: those that were typed decide on the right
            assert_eq!(bare(parsed(text)), bare(parsed(grouped)), "{text}");
        }
    }

    #[test]
    fn chains_stay_in_their_order() {
        for operator in ["+", "^", "and", "||", "->"] {
            let chain = vec!["t.a"; 200].join(&format!(" {operator} "));
            let expr = Parser::new(&GenericDialect {}).try_with_sql(&chain).unwrap().parse_expr().unwrap();
            let mut placed = expr.clone();
            regroup(&mut placed);
            assert_eq!(placed, expr, "{operator}");
        }
    }
}
