//! Functions of PostgreSQL, DuckDB and Snowflake that DataFusion has not, by those that it has.
//!
//! | SQL | as |
//! |---|---|
//! | `mod(x, y)` | `x % y` |
//! | `~x` | `x # -1` |
//! | `-interval '1 day 2 hours'` | `-1 * interval '1 day 2 hours'`: DataFusion reads `-1 day +2 hours` |
//! | `-(x - y)` | `y - x`: DataFusion has no minus before the difference of timestamps |
//! | `age(x)` | `age(current_date, x)` |
//! | `sign(x)`, `variance(x)`, `every(x)` | `signum(x)`, `var_samp(x)`, `bool_and(x)` |
//! | `arg_max(x, y)`, `max_by(x, y)`, and `min` | `first_value(x order by y desc)` of the rows in which neither is NULL, as in DuckDB |
//! | `max_by(x, y) over (partition by z)` and the like | `first_value(x) ignore nulls over (partition by z order by y desc rows between unbounded preceding and unbounded following)` of the same rows |
//! | `listagg(x, ',') within group (order by y)` | `string_agg(x, ',' order by y)`; without a delimiter there is none, as in Snowflake |
//! | `string_agg(x, ',') within group (order by y)`, and `array_agg` | `string_agg(x, ',' order by y)` |
//! | `percentile_cont(p) within group (order by x) over w`, and disc, approx | `percentile_cont(x, p) over w` |
//! | `lag(x, n, y) over w` where `y` reads a column, and `lead` | `case when lag(1, n) over w is null then y else lag(x, n) over w end` |
//! | `x in (values (1), (2))` | `x in (select * from (values (1), (2)))` |
//! | `extract(century from x)`, decade, millennium, and `date_part` | arithmetic of the year; the 20th century is 1901 to 2000, as in PostgreSQL |
//!
//! Part of [`rewrite`](super::rewrite).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident,
    ObjectName, OrderByExpr, Query, SetExpr, TableFactor, UnaryOperator, Value, WindowSpec, WindowType,
    visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

use super::reads_column;

/// The expression that stands for one of these functions; `None` for all others.
pub(super) fn rewritten(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr } => {
            // the dialect of templates has no `#`
            let minus_one = filled("-1", &[])?;
            let (left, right) = (Box::new(Expr::Nested(expr.clone())), Box::new(minus_one));
            let flipped = Expr::BinaryOp { left, op: BinaryOperator::PGBitwiseXor, right };
            Some(Expr::Nested(Box::new(flipped)))
        }
        // a minus before the text of an interval would belong to its first number alone
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Interval(interval) if matches!(*interval.value, Expr::Value(_)) => filled("-1 * x", &[("x", expr)]),
            Expr::Nested(nested) => match nested.as_ref() {
                Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
                    filled("y - x", &[("x", left), ("y", right)])
                }
                _ => None,
            },
            _ => None,
        },
        Expr::Extract { field, expr, .. } => part_of_year(&field.to_string(), expr),
        Expr::InSubquery { expr, subquery, negated } if matches!(*subquery.body, SetExpr::Values(_)) => {
            Some(Expr::InSubquery { expr: expr.clone(), subquery: Box::new(selected(subquery)?), negated: *negated })
        }
        Expr::Function(call) => call_rewritten(call),
        _ => None,
    }
}

/// `select * from (values ...)`: DataFusion takes no VALUES alone after IN.
fn selected(rows: &Query) -> Option<Query> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, "select * from (select 1)").tokenize().ok()?;
    let mut query = *Parser::new(&dialect).with_tokens(tokens).parse_query().ok()?;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation else { return None };
    **subquery = rows.clone();
    Some(query)
}

fn call_rewritten(call: &Function) -> Option<Expr> {
    let name = call.name.to_string().to_lowercase();
    let args = plain_args(call);
    match (name.as_str(), args.as_deref()) {
        ("mod", Some([x, y])) => filled("x % y", &[("x", x), ("y", y)]),
        ("age", Some([x])) => filled("age(current_date, x)", &[("x", x)]),
        ("every", _) => Some(renamed(call, "bool_and")),
        ("sign", _) => Some(renamed(call, "signum")),
        ("variance", _) => Some(renamed(call, "var_samp")),
        ("arg_max" | "max_by", Some([x, y])) => by_other(call, x, y, "desc"),
        ("arg_min" | "min_by", Some([x, y])) => by_other(call, x, y, "asc"),
        ("percentile_cont" | "percentile_disc" | "approx_percentile_cont", Some([p])) => percentile_over(call, p),
        ("listagg", _) => listagg(call),
        ("string_agg" | "array_agg", _) if !call.within_group.is_empty() && call.over.is_none() => {
            Some(Expr::Function(ordered(call.clone())?))
        }
        ("lag" | "lead", Some([x, n, y])) if reads_column(y) => shifted(call, x, n, y),
        ("date_part" | "datepart", Some([Expr::Value(field), x])) => match &field.value {
            Value::SingleQuotedString(field) => part_of_year(field, x),
            _ => None,
        },
        _ => None,
    }
}

/// The arguments of a call that has nothing but unnamed ones.
fn plain_args(call: &Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &call.args else { return None };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return None;
    }
    let arg = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    list.args.iter().map(arg).collect()
}

fn renamed(call: &Function, name: &str) -> Expr {
    let mut ident = Ident::new(name);
    if let Some(old) = call.name.0.last().and_then(|part| part.as_ident()) {
        ident.span = old.span;
    }
    Expr::Function(Function { name: ObjectName::from(vec![ident]), ..call.clone() })
}

fn by_other(call: &Function, x: &Expr, y: &Expr, direction: &str) -> Option<Expr> {
    if let Some(over) = &call.over {
        return by_other_over(over, call.filter.as_deref(), x, y, direction);
    }
    let template = format!("first_value(x order by y {direction}) filter (where x is not null and y is not null)");
    let mut expr = filled(&template, &[("x", x), ("y", y)])?;
    if let Expr::Nested(first) = &mut expr
        && let (Expr::Function(first), Some(filter)) = (first.as_mut(), &call.filter)
        && let Some(known) = first.filter.take()
    {
        let left = Box::new(Expr::Nested(filter.clone()));
        first.filter = Some(Box::new(Expr::BinaryOp { left, op: BinaryOperator::And, right: known }));
    }
    Some(expr)
}

/// As [`by_other`], over whole partitions; `None` for running frames and names of windows.
fn by_other_over(over: &WindowType, filter: Option<&Expr>, x: &Expr, y: &Expr, direction: &str) -> Option<Expr> {
    let WindowType::WindowSpec(WindowSpec { window_name: None, partition_by, order_by, window_frame: None }) = over
    else {
        return None;
    };
    if !order_by.is_empty() {
        return None;
    }
    let always = Expr::Value(Value::Boolean(true).into());
    let template = format!(
        "first_value(case when y is not null and f then x end) ignore nulls over (order by y {direction} \
         rows between unbounded preceding and unbounded following)"
    );
    let mut expr = filled(&template, &[("x", x), ("y", y), ("f", filter.unwrap_or(&always))])?;
    let Expr::Nested(first) = &mut expr else { return None };
    let Expr::Function(Function { over: Some(WindowType::WindowSpec(window)), .. }) = first.as_mut() else {
        return None;
    };
    window.partition_by.clone_from(partition_by);
    Some(expr)
}

/// `percentile_cont(p) within group (order by x) over w` with the value as an argument, as DataFusion takes it.
fn percentile_over(call: &Function, p: &Expr) -> Option<Expr> {
    call.over.as_ref()?;
    let [OrderByExpr { expr, options, with_fill: None }] = call.within_group.as_slice() else { return None };
    if options.asc == Some(false) {
        return None;
    }
    let mut call = Function { within_group: vec![], ..call.clone() };
    let FunctionArguments::List(list) = &mut call.args else { return None };
    list.args = [expr, p].map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg.clone()))).into();
    Some(Expr::Function(call))
}

fn listagg(call: &Function) -> Option<Expr> {
    let Expr::Function(mut call) = renamed(call, "string_agg") else { return None };
    let FunctionArguments::List(list) = &mut call.args else { return None };
    if list.args.len() == 1 {
        let empty = Expr::Value(Value::SingleQuotedString(String::new()).into());
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(empty)));
    }
    Some(Expr::Function(ordered(call)?))
}

/// The order of WITHIN GROUP as ORDER BY among the arguments.
fn ordered(mut call: Function) -> Option<Function> {
    let FunctionArguments::List(list) = &mut call.args else { return None };
    if !call.within_group.is_empty() {
        list.clauses.push(FunctionArgumentClause::OrderBy(std::mem::take(&mut call.within_group)));
    }
    Some(call)
}

/// `lag` and `lead` with a default that is not a constant. Of `ignore nulls` NULL means that there is no such row.
fn shifted(call: &Function, x: &Expr, n: &Expr, default: &Expr) -> Option<Expr> {
    call.over.as_ref()?;
    let with_args = |args: [&Expr; 2]| {
        let mut call = call.clone();
        if let FunctionArguments::List(list) = &mut call.args {
            list.args = args.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg.clone()))).into();
        }
        Expr::Function(call)
    };
    let shifted = with_args([x, n]);
    let ignores_nulls = call.null_treatment.as_ref().is_some_and(|nulls| nulls.to_string().starts_with("IGNORE"));
    if ignores_nulls {
        return filled("coalesce(x, y)", &[("x", &shifted), ("y", default)]);
    }
    let one = Expr::Value(Value::Number("1".into(), false).into());
    let probe = with_args([&one, n]);
    filled("case when p is null then y else x end", &[("p", &probe), ("x", &shifted), ("y", default)])
}

fn part_of_year(field: &str, at: &Expr) -> Option<Expr> {
    let template = match field.trim_matches(['\'', '"']).to_lowercase().as_str() {
        "decade" | "decades" => "case when y >= 0 then y / 10 else -((9 - y) / 10) end",
        "century" | "centuries" => "case when y > 0 then (y + 99) / 100 else -((100 - y) / 100) end",
        "millennium" | "millenium" | "millennia" => {
            "case when y > 0 then (y + 999) / 1000 else -((1000 - y) / 1000) end"
        }
        _ => return None,
    };
    let year = filled("date_part('year', x)", &[("x", at)])?;
    filled(template, &[("y", &year)])
}

/// An expression with other expressions in place of its names, in brackets; its own words have no positions.
fn filled(template: &str, parts: &[(&str, &Expr)]) -> Option<Expr> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, template).tokenize().ok()?;
    let mut expr = Parser::new(&dialect).with_tokens(tokens).parse_expr().ok()?;
    let _: ControlFlow<()> = visit_expressions_mut(&mut expr, |part| {
        if let Expr::Identifier(ident) = part
            && let Some((_, value)) = parts.iter().find(|(name, _)| *name == ident.value)
        {
            *part = (*value).clone();
            if !matches!(part, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_)) {
                *part = Expr::Nested(Box::new(part.clone()));
            }
        }
        ControlFlow::Continue(())
    });
    Some(Expr::Nested(Box::new(expr)))
}
