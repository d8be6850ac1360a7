//! [`CallClauses`]: clauses of calls that the function has no use for are errors.
//!
//! | call | DataFusion 55.2 | here |
//! |---|---|---|
//! | `length(x) filter (where false)`, `abs(distinct x)`, `abs(x) over ()` | the clause is ignored | an error |
//! | `lag(distinct x) over w`, `rank() ignore nulls over w` | the clause is ignored | an error |
//! | `rank() filter (where false) over w` | an error in the words of its plan | an error |
//! | `corr(distinct x, y)`, `nth_value(distinct x, 2)`, `over (w order by x)` | DISTINCT and the window `w` are ignored | an error |
//! | `sum(x) respect nulls over w` | the clause is ignored; without OVER an error | an error |
//! | `sum(x) filter (where y)`, `lag(x) ignore nulls over w` | computed | computed |
//!
//! PostgreSQL refuses them too ("FILTER specified, but length is not an aggregate function"). No issue was found.
//! Switch: `cxql.engine.sql_rewrites`.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Diagnostic, Span};
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, Ident, Spanned, VisitorMut,
    WindowSpec, WindowType,
};

/// Window functions of DataFusion that ignore a NULL treatment; those of other crates look after it themselves.
const WITHOUT_NULL_TREATMENT: [&str; 6] = ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"];

/// Functions that are rewritten, but not over running frames: what is left of them after the rewrites is such a call.
const RUNNING: [&str; 4] = ["max_by", "min_by", "arg_max", "arg_min"];

/// Aggregates that ignore DISTINCT and whose answer depends on it, beside those that refuse it themselves.
const WITHOUT_DISTINCT: [&str; 17] = [
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "corr",
    "covar",
    "covar_pop",
    "covar_samp",
    "nth_value",
    "percentile_disc",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
];

/// What to write for a window that extends a named one.
pub(super) const WHOLE_WINDOW: &str = "write the whole window: over (partition by ... order by ...)";

/// Looks for clauses without a use.
pub(super) struct CallClauses<'a> {
    state: &'a SessionState,
    /// The error of the first call with such a clause.
    pub(super) refused: Option<DataFusionError>,
}

impl<'a> CallClauses<'a> {
    pub(super) fn new(state: &'a SessionState) -> Self {
        Self { state, refused: None }
    }

    fn kind(&self, call: &Function, name: &str) -> Option<Kind> {
        let state = self.state;
        if state.scalar_functions().contains_key(name)
            || state.higher_order_functions().contains_key(name)
            || ["make_map", "unnest", "unnest_outer"].contains(&name)
        {
            return Some(Kind::Scalar);
        }
        // of first_value and others there are both: with OVER DataFusion takes the window function
        if call.over.is_some() && state.window_functions().contains_key(name) {
            return Some(Kind::Window { treats_nulls: !WITHOUT_NULL_TREATMENT.contains(&name) });
        }
        let function = state.aggregate_functions().get(name)?;
        Some(Kind::Aggregate { treats_nulls: function.supports_null_handling_clause() })
    }

    fn check(&self, call: &Function) -> Option<DataFusionError> {
        let [name] = call.name.0.as_slice() else { return None };
        let name = name.as_ident().map(folded)?;
        if call.over.is_some() && RUNNING.contains(&name.as_str()) {
            let message = format!("`{name}` is computed over whole partitions");
            let remedy =
                format!("write {name}(x, y) over (partition by ...), without ORDER BY, a frame or a named window");
            return Some(refusal(call, &message, &remedy));
        }
        let extends_named = matches!(&call.over, Some(WindowType::WindowSpec(WindowSpec { window_name: Some(_), .. })));
        if extends_named {
            return Some(refusal(call, "a window that extends a named one is not supported", WHOLE_WINDOW));
        }
        let clauses = Clauses::of(call);
        let is_aggregate = self.state.aggregate_functions().contains_key(&name);
        if is_aggregate && clauses.distinct.is_some() && WITHOUT_DISTINCT.contains(&name.as_str()) {
            let message = format!("`{name}` has no DISTINCT");
            return Some(refusal(call, &message, "take the rows of a subquery: from (select distinct x, y from t)"));
        }
        let (what, clause, remedy) = match self.kind(call, &name)? {
            Kind::Scalar => ("is computed from one row", clauses.of_one_row()?, remedy_of_one_row(call, clauses)),
            Kind::Window { treats_nulls } => {
                let clause = clauses.of_window(treats_nulls)?;
                ("is a window function", clause, remedy_of_window(clause))
            }
            Kind::Aggregate { treats_nulls } => {
                let clause = clauses.nulls.filter(|_| !treats_nulls)?;
                ("has one treatment of NULLs", clause, format!("leave out {clause}"))
            }
        };
        let message = format!("`{name}` {what}: {clause} has no meaning here");
        Some(refusal(call, &message, &remedy))
    }
}

impl VisitorMut for CallClauses<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && self.refused.is_none()
        {
            self.refused = self.check(call);
        }
        ControlFlow::Continue(())
    }
}

fn refusal(call: &Function, message: &str, remedy: &str) -> DataFusionError {
    let mut diagnostic = Diagnostic::new_error(message, Span::try_from_sqlparser_span(call.name.span()));
    diagnostic.add_help(remedy, None);
    DataFusionError::Plan(format!("{message}; {remedy}")).with_diagnostic(diagnostic)
}

enum Kind {
    Scalar,
    Aggregate { treats_nulls: bool },
    Window { treats_nulls: bool },
}

/// The clauses of a call, each by its name.
#[derive(Clone, Copy)]
struct Clauses {
    filter: Option<&'static str>,
    distinct: Option<&'static str>,
    order_by: Option<&'static str>,
    nulls: Option<&'static str>,
    within_group: Option<&'static str>,
    over: Option<&'static str>,
}

impl Clauses {
    fn of(call: &Function) -> Self {
        let named = |is_there: bool, name: &'static str| is_there.then_some(name);
        let (mut distinct, mut order_by, mut nulls) = (false, false, call.null_treatment.as_ref());
        if let FunctionArguments::List(list) = &call.args {
            distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
            for clause in &list.clauses {
                match clause {
                    FunctionArgumentClause::OrderBy(_) => order_by = true,
                    FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => nulls = Some(treatment),
                    _ => {}
                }
            }
        }
        let is_ignore = nulls.is_some_and(|nulls| nulls.to_string().starts_with("IGNORE"));
        Self {
            filter: named(call.filter.is_some(), "FILTER"),
            distinct: named(distinct, "DISTINCT"),
            order_by: named(order_by, "ORDER BY"),
            nulls: named(nulls.is_some(), if is_ignore { "IGNORE NULLS" } else { "RESPECT NULLS" }),
            within_group: named(!call.within_group.is_empty(), "WITHIN GROUP"),
            over: named(call.over.is_some(), "OVER"),
        }
    }

    fn of_one_row(self) -> Option<&'static str> {
        self.filter.or(self.distinct).or(self.order_by).or(self.nulls).or(self.within_group).or(self.over)
    }

    fn of_window(self, treats_nulls: bool) -> Option<&'static str> {
        let nulls = self.nulls.filter(|_| !treats_nulls);
        self.filter.or(self.distinct).or(self.order_by).or(self.within_group).or(nulls)
    }
}

/// What to write in place of a clause of a function of one row.
fn remedy_of_one_row(call: &Function, clauses: Clauses) -> String {
    let bare = Function {
        args: match &call.args {
            FunctionArguments::List(list) => {
                let mut list = list.clone();
                list.duplicate_treatment = None;
                list.clauses.clear();
                FunctionArguments::List(list)
            }
            other => other.clone(),
        },
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
        ..call.clone()
    };
    if let Some(condition) = &call.filter {
        return format!("write case when {condition} then {bare} end, or put the condition into WHERE");
    }
    if clauses.distinct.is_some() {
        return format!("write select distinct {bare}");
    }
    if clauses.order_by.is_some() || clauses.within_group.is_some() {
        return format!("write {bare}, and ORDER BY at the end of the query");
    }
    format!("write {bare}")
}

/// What to write in place of a clause of a window function.
fn remedy_of_window(clause: &str) -> String {
    match clause {
        "FILTER" => "put the condition into WHERE of a subquery, or into an argument: case when ... then x end".into(),
        "DISTINCT" => "take the rows of a subquery with select distinct".into(),
        "ORDER BY" | "WITHIN GROUP" => "its order stands in over (order by ...)".into(),
        _ => format!("leave out {clause}"),
    }
}

fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}
