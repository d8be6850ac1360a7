//! Limits of a statement: its length, the length of its chains, and the size of its plan.
//!
//! ```text
//!  tokens --> segments --> parse --> AND and OR balanced --> depth, tables --> statement
//! ```
//!
//! The parser builds `1 + 1 + 1 + ...` in a loop as a tree that is as deep as the chain is long, and whatever visits, copies,
//! plans or drops the tree is recursive. The tokens between two commas on one level of brackets bound the depth before
//! anything is parsed; the tree is measured on a stack of its own. AND and OR, of which tools write hundreds, become balanced
//! trees. A common table expression is planned once for each place that reads it, so that twenty, each of which reads the one
//! before it twice, are a million scans: these are counted too.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::parser::{CopyToSource, Statement as DataFusionStatement};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Select,
    SetExpr, SetOperator, Statement, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{BRACKET_LIMIT, token_spot};
use crate::error::{Error, Result};
use crate::source::Source;

const SHORTER: &str = "put the values into a table and join it, or send the statement in parts";

/// Maximum number of words and symbols of a text: a list of 100,000 values has twice as many.
const MAX_TOKENS: usize = 250_000;

/// Texts up to this length are split into tokens whatever they are; a token takes a hundred times its byte.
const SHORT_TEXT_BYTES: usize = 2 << 20;

/// Maximum number of words and symbols between two commas on one level of brackets.
const MAX_SEGMENT: usize = 16_000;

/// Maximum depth of an expression: the operators of a chain, brackets, calls.
const MAX_DEPTH: usize = 256;

/// Maximum number of subscripts and types of arrays between two commas.
const MAX_SUBSCRIPTS: usize = 256;

/// Maximum number of EXPLAINs between two commas, and how often a word may follow itself: the parser reads `interval interval`
/// and the like without counting. `end end` closes as many CASEs.
const MAX_EXPLAINS: usize = 16;
const MAX_REPEATS: usize = 64;

/// Maximum number of SELECTs of a query: those of its set operations, and subqueries.
const MAX_SELECTS: usize = 256;

/// Maximum number of INTERSECTs and EXCEPTs of a query: each is a join above the one before it, and each join of a task yields
/// to Tokio's budget of 128 before the innermost comes to read.
const MAX_INTERSECTIONS: usize = 100;

/// Maximum number of expressions of a CUBE, which is planned as two to this power grouping sets: DataFusion takes 4,096.
const MAX_CUBE: usize = 12;

/// Maximum number of tables of a SELECT: those of its joins.
const MAX_TABLES: usize = 100;

/// Maximum nesting of operands that are planned twice, such as `x` in `coalesce(x, y)`, `x between y and z` or `x = y` of
/// doubles: each level doubles the expression, some of them more.
const MAX_COPIES: usize = 8;

/// Maximum number of tables of a statement, each counted as often as it is planned.
const MAX_SCANS: u64 = 4_000;

/// Maximum number of conditions that AND or OR connects. DataFusion compares each of an AND with the others.
const MAX_CONJUNCTS: usize = 1_000;
const MAX_DISJUNCTS: usize = 5_000;

/// Chains of AND and OR from this length are balanced.
const BALANCED_FROM: usize = 16;

/// Stack for each token of a segment: the frames of a level of the tree, of any function of the parser's crate.
const STACK_PER_TOKEN: usize = 12 << 10;

/// A segment for which any stack suffices.
const SHORT_SEGMENT: usize = 500;

/// Checks a long text before it is split into tokens. What looks like words and symbols is counted in strings and comments too.
///
/// # Errors
/// More than may be in a statement.
pub(super) fn check_text(source: &Arc<Source>) -> Result<()> {
    if source.text.len() <= SHORT_TEXT_BYTES {
        return Ok(());
    }
    let mut count = 0usize;
    let mut is_word = false;
    for byte in source.text.bytes() {
        let is_part = byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
        count += usize::from(is_part && !is_word || !is_part && !byte.is_ascii_whitespace());
        is_word = is_part;
    }
    if count <= MAX_TOKENS {
        return Ok(());
    }
    let text = format!(
        "the statement has {} MB and {count} words and symbols, at most {MAX_TOKENS} are taken",
        source.text.len() >> 20
    );
    Err(Error::at(source, None, text).help(SHORTER))
}

/// Checks the number of tokens, the nesting of brackets and the length of segments.
///
/// # Errors
/// At the first token that is too much.
pub(super) fn check_tokens(source: &Arc<Source>, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut levels = vec![Segment::default()];
    let mut count = 0usize;
    for token in tokens {
        if matches!(token.token, Token::Whitespace(_)) {
            continue;
        }
        count += 1;
        let excess = if count > MAX_TOKENS {
            Some((format!("the statement has more than {MAX_TOKENS} words and symbols"), SHORTER))
        } else if !walk(&mut levels, &token.token) {
            None
        } else if levels.len() > BRACKET_LIMIT + 1 {
            let help = "split the statement into common table expressions or views";
            Some((format!("brackets nest deeper than {BRACKET_LIMIT} levels"), help))
        } else {
            levels.last().and_then(Segment::excess)
        };
        if let Some((text, help)) = excess {
            return Err(Error::at(source, Some(token_spot(token)), text).help(help));
        }
    }
    Ok(())
}

/// The tokens between two commas on a level of brackets.
#[derive(Debug, Default)]
struct Segment {
    tokens: usize,
    subscripts: usize,
    explains: usize,
    last_word: String,
    repeats: usize,
}

impl Segment {
    fn add(&mut self, token: &Token) {
        self.tokens += 1;
        self.subscripts += usize::from(*token == Token::LBracket);
        match token {
            Token::Word(word) => {
                self.explains += usize::from(word.keyword == Keyword::EXPLAIN);
                if word.value.eq_ignore_ascii_case(&self.last_word) {
                    self.repeats += 1;
                } else {
                    self.last_word.clear();
                    self.last_word.push_str(&word.value);
                    self.repeats = 0;
                }
            }
            _ => (self.repeats, self.last_word) = (0, String::new()),
        }
    }

    fn excess(&self) -> Option<(String, &'static str)> {
        if self.tokens > MAX_SEGMENT {
            let text = format!("an expression or query of more than {MAX_SEGMENT} words and symbols");
            Some((text, "write `x in (...)`, or split it into common table expressions"))
        } else if self.subscripts > MAX_SUBSCRIPTS {
            Some((format!("more than {MAX_SUBSCRIPTS} subscripts in an expression"), "split the statement"))
        } else if self.explains > MAX_EXPLAINS {
            Some((format!("more than {MAX_EXPLAINS} times EXPLAIN"), "write it once"))
        } else if self.repeats > MAX_REPEATS {
            Some((format!("`{}` more than {MAX_REPEATS} times in a row", self.last_word), "write it once"))
        } else {
            None
        }
    }
}

/// Adds a token to the segments of the brackets around it. True if a segment has grown.
fn walk(levels: &mut Vec<Segment>, token: &Token) -> bool {
    match token {
        Token::Whitespace(_) => return false,
        Token::RParen | Token::RBracket | Token::RBrace if levels.len() > 1 => {
            levels.pop();
            return false;
        }
        Token::Comma | Token::SemiColon => {
            if let Some(segment) = levels.last_mut() {
                *segment = Segment::default();
            }
            return false;
        }
        _ => {}
    }
    if let Some(segment) = levels.last_mut() {
        segment.add(token);
    }
    // what is too much on this level is so before the bracket opens
    if matches!(token, Token::LParen | Token::LBracket | Token::LBrace)
        && levels.last().is_none_or(|segment| segment.excess().is_none())
    {
        levels.push(Segment::default());
    }
    true
}

/// The tokens of the longest segment, which bound the depth of the tree.
fn longest_segment(tokens: &[TokenWithSpan]) -> usize {
    let mut levels = vec![Segment::default()];
    let mut longest = 0;
    for token in tokens {
        if walk(&mut levels, &token.token) {
            longest = longest.max(levels.iter().rev().take(2).map(|segment| segment.tokens).max().unwrap_or(0));
        }
    }
    longest
}

/// A stack on which the tree of some tokens can be parsed, visited and dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParseStack {
    longest_segment: usize,
}

impl ParseStack {
    pub(crate) fn of(tokens: &[TokenWithSpan]) -> Self {
        Self { longest_segment: longest_segment(tokens) }
    }

    /// Whether any stack suffices.
    pub(super) fn is_small(self) -> bool {
        self.longest_segment <= SHORT_SEGMENT
    }

    /// Runs `work` on the stack.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        if self.is_small() { work() } else { stacker::grow((8 << 20) + self.longest_segment * STACK_PER_TOKEN, work) }
    }
}

/// Balances the chains of a statement and checks its depth and its number of tables.
///
/// # Errors
/// A limit that is exceeded.
pub(super) fn bound_statement(source: &Arc<Source>, statement: &mut DataFusionStatement) -> Result<()> {
    match statement {
        DataFusionStatement::Statement(statement) => bound(source, statement.as_mut()),
        DataFusionStatement::Explain(explain) => bound_statement(source, &mut explain.statement),
        DataFusionStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => bound(source, query.as_mut()),
            CopyToSource::Relation(_) => Ok(()),
        },
        DataFusionStatement::CreateExternalTable(_) | DataFusionStatement::Reset(_) => Ok(()),
    }
}

/// The same for a part of a statement.
pub(super) fn bound<T: Visit + VisitMut>(source: &Arc<Source>, tree: &mut T) -> Result<()> {
    let mut measure = Measure::new();
    let measured = match VisitMut::visit(tree, &mut Balance) {
        ControlFlow::Continue(()) => Visit::visit(tree, &mut measure),
        excess => excess,
    };
    match measured {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(excess) => {
            let (text, help) = match excess {
                Excess::Depth => (
                    format!("an expression nests deeper than {MAX_DEPTH} operators, brackets and calls"),
                    "write `x in (...)`, `sum(...)` or `concat(...)` in place of a long chain, or split it into common table \
                     expressions",
                ),
                Excess::Conditions => (
                    format!(
                        "more than {MAX_CONJUNCTS} conditions connected by AND, or {MAX_DISJUNCTS} connected by OR"
                    ),
                    "write `x in (...)` or `x not in (...)`",
                ),
                Excess::Copies => (
                    format!("comparisons, BETWEEN, ANY, coalesce and the like nest deeper than {MAX_COPIES} levels"),
                    "compute the inner ones in a common table expression",
                ),
                Excess::Cube => (
                    format!("a CUBE of more than {MAX_CUBE} expressions"),
                    "name the wanted combinations in GROUPING SETS, or write ROLLUP",
                ),
                Excess::Intersections => (
                    format!("a query of more than {MAX_INTERSECTIONS} INTERSECTs and EXCEPTs"),
                    "write IN, NOT IN or EXISTS, or put a part of the query into a table",
                ),
                Excess::Parts => (
                    format!("a SELECT of more than {MAX_TABLES} tables, or a query of more than {MAX_SELECTS} SELECTs"),
                    "put the parts into one table, or run the statement in parts",
                ),
                Excess::Scans => (
                    format!(
                        "the statement reads tables {MAX_SCANS} times and more: common table expressions count each time"
                    ),
                    "read each common table expression fewer times",
                ),
            };
            Err(Error::at(source, None, text).help(help))
        }
    }
}

/// Makes long chains of AND and of OR balanced trees.
struct Balance;

impl VisitorMut for Balance {
    type Break = Excess;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Excess> {
        for (op, most) in [(BinaryOperator::Or, MAX_DISJUNCTS), (BinaryOperator::And, MAX_CONJUNCTS)] {
            let length = chain_length(expr, &op);
            if length >= most {
                return ControlFlow::Break(Excess::Conditions);
            }
            if length >= BALANCED_FROM {
                let operands = operands(std::mem::replace(expr, Expr::Value(Value::Null.into())), &op);
                *expr = balanced(operands, &op);
                break;
            }
        }
        ControlFlow::Continue(())
    }
}

/// How many operators of a kind follow each other from the top to the left.
fn chain_length(mut expr: &Expr, wanted: &BinaryOperator) -> usize {
    let mut length = 0;
    while let Expr::BinaryOp { left, op, .. } = expr
        && op == wanted
    {
        (expr, length) = (left, length + 1);
    }
    // a balanced tree is visited again from each of its nodes
    length
}

/// The operands of a chain, from left to right.
fn operands(mut expr: Expr, wanted: &BinaryOperator) -> Vec<Expr> {
    let mut found = Vec::new();
    loop {
        match expr {
            Expr::BinaryOp { left, op, right } if op == *wanted => {
                found.push(*right);
                expr = *left;
            }
            first => {
                found.push(first);
                break;
            }
        }
    }
    found.reverse();
    found
}

fn balanced(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                // brackets keep the order when the expression is written out
                Some(right) => {
                    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(bracketed(right, op)) }
                }
                None => left,
            });
        }
        operands = pairs;
    }
    operands.pop().unwrap_or(Expr::Value(Value::Null.into()))
}

/// A right operand in brackets if it is of the same kind.
fn bracketed(expr: Expr, op: &BinaryOperator) -> Expr {
    match &expr {
        Expr::BinaryOp { op: own, .. } if own == op => Expr::Nested(Box::new(expr)),
        _ => expr,
    }
}

/// The limit that is exceeded.
enum Excess {
    Conditions,
    Copies,
    Cube,
    Depth,
    Intersections,
    Parts,
    Scans,
}

/// The number of INTERSECTs and EXCEPTs between the SELECTs of a query.
fn intersections(body: &SetExpr) -> usize {
    let (mut count, mut left) = (0, vec![body]);
    while let Some(body) = left.pop() {
        match body {
            SetExpr::SetOperation { op, left: first, right: second, .. } => {
                count += usize::from(*op != SetOperator::Union);
                left.extend([first.as_ref(), second.as_ref()]);
            }
            SetExpr::Query(query) => left.push(&query.body),
            _ => {}
        }
    }
    count
}

/// Measures a statement.
struct Measure {
    /// The depth of the expression that is visited.
    depth: usize,
    /// The number of operands around it that are planned twice, and how often those that are still to be visited count.
    copies: usize,
    copied: HashMap<*const Expr, usize>,
    /// The number of SELECTs of each query around.
    selects: Vec<usize>,
    /// The number of tables of each SELECT around.
    tables: Vec<usize>,
    /// The number of planned tables of each query around.
    scans: Vec<u64>,
    /// Planned tables of common table expressions by name.
    named: HashMap<String, u64>,
    /// The names of common table expressions that are still to be visited, by the address of their query.
    expected: HashMap<*const Query, String>,
}

impl Measure {
    fn new() -> Self {
        Self {
            depth: 0,
            copies: 0,
            copied: HashMap::new(),
            selects: vec![0],
            tables: vec![0],
            scans: vec![0],
            named: HashMap::new(),
            expected: HashMap::new(),
        }
    }

    fn add_select(&mut self) -> ControlFlow<Excess> {
        count(&mut self.selects, MAX_SELECTS)
    }
}

/// Adds one to the innermost count.
fn count(counts: &mut [usize], most: usize) -> ControlFlow<Excess> {
    match counts.last_mut() {
        Some(count) if *count >= most => ControlFlow::Break(Excess::Parts),
        Some(count) => {
            *count += 1;
            ControlFlow::Continue(())
        }
        None => ControlFlow::Continue(()),
    }
}

/// Functions that become CASE with an argument twice.
const CONDITIONAL: [&str; 5] = ["coalesce", "ifnull", "nullif", "nvl", "nvl2"];

/// The operands of an expression that its plan has more than once, and how often they count.
fn copied_operands(expr: &Expr) -> Vec<(&Expr, usize)> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    match expr {
        Expr::BinaryOp { left, op: Eq | NotEq | Lt | LtEq | Gt | GtEq, right } => vec![(left, 1), (right, 1)],
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => vec![(left, 1), (right, 1)],
        Expr::Between { expr, .. } | Expr::InList { expr, .. } | Expr::Like { expr, .. } | Expr::ILike { expr, .. } => {
            vec![(expr, 1)]
        }
        Expr::AnyOp { left, right, .. } | Expr::AllOp { left, right, .. } => vec![(left, 3), (right, 3)],
        Expr::Case { operand: Some(operand), .. } => vec![(operand, 1)],
        Expr::Function(Function { name, args: FunctionArguments::List(list), .. })
            if CONDITIONAL.contains(&name.to_string().to_lowercase().as_str()) =>
        {
            let argument = |arg| match arg {
                &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some((expr, 1)),
                _ => None,
            };
            list.args.iter().filter_map(argument).collect()
        }
        _ => vec![],
    }
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

impl Visitor for Measure {
    type Break = Excess;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Excess> {
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.expected.insert(&raw const *named.query, folded(&named.alias.name));
        }
        self.selects.push(0);
        self.scans.push(0);
        if intersections(&query.body) > MAX_INTERSECTIONS {
            return ControlFlow::Break(Excess::Intersections);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Excess> {
        self.selects.pop();
        let scans = self.scans.pop().unwrap_or(0);
        if scans > MAX_SCANS {
            return ControlFlow::Break(Excess::Scans);
        }
        match self.expected.remove(&(&raw const *query)) {
            Some(name) => _ = self.named.insert(name, scans.max(1)),
            None => {
                if let Some(outer) = self.scans.last_mut() {
                    *outer = outer.saturating_add(scans);
                }
            }
        }
        // also one in brackets between set operations
        self.add_select()
    }

    fn pre_visit_select(&mut self, _select: &Select) -> ControlFlow<Excess> {
        self.tables.push(0);
        self.add_select()
    }

    fn post_visit_select(&mut self, _select: &Select) -> ControlFlow<Excess> {
        self.tables.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, _table: &TableFactor) -> ControlFlow<Excess> {
        count(&mut self.tables, MAX_TABLES)
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Excess> {
        let name = match relation.0.as_slice() {
            [only] => only.as_ident().map(folded),
            _ => None,
        };
        let scans = name.and_then(|name| self.named.get(&name)).copied().unwrap_or(1);
        if let Some(own) = self.scans.last_mut() {
            *own = own.saturating_add(scans);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Excess> {
        self.depth += 1;
        // lists here, calls within calls in the plan
        let own = match expr {
            Expr::CompoundFieldAccess { access_chain, .. } => access_chain.len(),
            Expr::CompoundIdentifier(parts) => parts.len(),
            _ => 0,
        };
        if self.depth + own > MAX_DEPTH {
            return ControlFlow::Break(Excess::Depth);
        }
        if matches!(expr, Expr::Cube(sets) if sets.len() > MAX_CUBE) {
            return ControlFlow::Break(Excess::Cube);
        }
        self.copies += self.copied.get(&(&raw const *expr)).copied().unwrap_or(0);
        if self.copies > MAX_COPIES {
            return ControlFlow::Break(Excess::Copies);
        }
        self.copied.extend(copied_operands(expr).into_iter().map(|(operand, weight)| (&raw const *operand, weight)));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Excess> {
        self.depth -= 1;
        self.copies -= self.copied.remove(&(&raw const *expr)).unwrap_or(0);
        ControlFlow::Continue(())
    }

    fn post_visit_statement(&mut self, _statement: &Statement) -> ControlFlow<Excess> {
        match self.scans.last() {
            Some(scans) if *scans > MAX_SCANS => ControlFlow::Break(Excess::Scans),
            _ => ControlFlow::Continue(()),
        }
    }
}
