//! Report files: header, typed parameters, statements, charts, checks, alerts. Parses and plans them.

mod alert;
mod alert_group;
mod chart;
mod condition;
mod draw;
mod library;
mod param;
mod plan;
mod views;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

pub(crate) use self::alert::{Alert, AlertOutcome};
pub(crate) use self::alert_group::{Group, parse_group};
pub(crate) use self::chart::Chart;
pub(crate) use self::chart::words;
pub(crate) use self::condition::{Check, Condition, Verdict};
pub(crate) use self::draw::ChartData;
pub(crate) use self::library::{Library, ReportFile};
pub(crate) use self::param::{BoundValues, Param};
pub(crate) use self::plan::{CheckedPlan, integer_divisions, plan_notes, plan_section, plan_view};
pub(crate) use self::views::register;

use crate::error::{Error, Result};
use crate::source::{Source, nearest};
use crate::sqlfile::{self, HeaderLine, SqlStatement};

/// A parsed report.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// Its name, that of its file.
    pub name: String,
    /// Its SQL.
    pub source: Arc<Source>,
    /// Its heading; the name if the file has none.
    pub title: String,
    /// What it shows.
    pub description: Option<String>,
    /// Its grain: what one row stands for.
    pub grain: Option<String>,
    /// Its parameters in the order of the file.
    pub params: Vec<Param>,
    /// Its statements.
    pub sections: Vec<Section>,
    /// The statements whose rows are its notes.
    pub notes: Vec<Notes>,
}

/// A statement whose rows are notes on the figures of the report.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    /// What they are about, if the file says so.
    pub about: Option<String>,
    /// The statement, with parameters as in [`Section::statement`].
    pub statement: Statement,
}

/// One statement of a report.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// Its heading, if the file has one.
    pub title: Option<String>,
    /// Its chart.
    pub chart: Option<Chart>,
    /// Conditions that every row must meet.
    pub checks: Vec<Condition>,
    /// Conditions over the result of which recipients are notified.
    pub alerts: Vec<Alert>,
    /// The statement, with parameters as `$1`, `$2`, ... in the order of [`Report::params`].
    pub statement: Statement,
}

impl Report {
    /// Parses a report.
    ///
    /// # Errors
    /// A header line outside the grammar, a statement that does not only read, a parameter that is used but not
    /// declared or declared but not used; each with its position.
    pub(crate) fn parse(name: &str, source: &Arc<Source>) -> Result<Self> {
        let statements = sqlfile::parse(source)?;
        if statements.is_empty() {
            return Err(Error::at(source, None, "the file holds no statement").help("add a `select ...`"));
        }
        let leading = &statements[0].header;
        let params: Vec<Param> = leading
            .iter()
            .filter(|line| line.key == "param")
            .map(|line| Param::parse(source, line))
            .collect::<Result<_>>()?;
        for (at, param) in params.iter().enumerate() {
            if params[..at].iter().any(|other| other.name == param.name) {
                return Err(Error::at(
                    source,
                    Some(param.spot),
                    format!("the parameter `{}` stands twice", param.name),
                )
                .help("remove one of the two lines"));
            }
        }
        let mut used = vec![false; params.len()];
        let mut sections = Vec::new();
        let mut notes = Vec::new();
        for statement in &statements {
            if statement.is_notes() {
                statement.check_notes(source)?;
                let about = single(source, &statement.header, sqlfile::NOTES)?;
                let about = about.map(|line| line.value.clone()).filter(|about| !about.is_empty());
                notes.push(Notes { about, statement: bound_statement(source, statement, &params, &mut used)? });
            } else {
                sections.push(section(source, statement, &params, &mut used)?);
            }
        }
        if sections.is_empty() {
            return Err(Error::at(source, None, "the file holds no statement beside its notes")
                .help("add a `select ...` whose rows are the result"));
        }
        if let Some((param, _)) = params.iter().zip(&used).find(|(_, used)| !**used) {
            return Err(Error::at(source, Some(param.spot), format!("the parameter `{}` is never used", param.name))
                .help(format!("write ${} where its value belongs, or remove the line", param.name)));
        }
        Ok(Self {
            name: name.to_string(),
            source: Arc::clone(source),
            title: single(source, leading, "title")?.map_or_else(|| name.to_string(), |line| line.value.clone()),
            description: single(source, leading, "description")?.map(|line| line.value.clone()),
            grain: single(source, leading, "grain")?.map(|line| line.value.clone()),
            params,
            sections,
            notes,
        })
    }

    /// Returns true if every parameter has a default.
    pub(crate) fn has_defaults(&self) -> bool {
        self.params.iter().all(|param| param.default.is_some())
    }
}

/// The line of a key that may occur once.
fn single<'a>(source: &Arc<Source>, header: &'a [HeaderLine], key: &str) -> Result<Option<&'a HeaderLine>> {
    let mut lines = header.iter().filter(|line| line.key == key);
    let first = lines.next();
    match lines.next() {
        Some(second) => {
            Err(Error::at(source, Some(second.key_spot), format!("`{key}` stands twice"))
                .help("keep one of the two lines"))
        }
        None => Ok(first),
    }
}

/// The statement, which must only read, with parameters as `$1`, `$2`, ... in the order of `params`.
fn bound_statement(
    source: &Arc<Source>,
    statement: &SqlStatement,
    params: &[Param],
    used: &mut [bool],
) -> Result<Statement> {
    reads_only(source, statement)?;
    let mut tokens = statement.tokens.clone();
    for token in &mut tokens {
        let Token::Placeholder(name) = &token.token else { continue };
        let at = declared(source, name, sqlfile::token_spot(token), params)?;
        used[at] = true;
        token.token = Token::Placeholder(format!("${}", at + 1));
    }
    sqlfile::parse_tokens(source, tokens)
}

fn section(source: &Arc<Source>, statement: &SqlStatement, params: &[Param], used: &mut [bool]) -> Result<Section> {
    let header = &statement.header;
    let bound = bound_statement(source, statement, params, used)?;
    let conditions = |key: &str, used: &mut [bool]| -> Result<Vec<Condition>> {
        header.iter().filter(|line| line.key == key).map(|line| Condition::parse(source, line, params, used)).collect()
    };
    let alerts = header.iter().filter(|line| line.key == "alert");
    let alerts = alerts.map(|line| Alert::parse(source, line, params, used)).collect::<Result<_>>()?;
    Ok(Section {
        title: single(source, header, "section")?.map(|line| line.value.clone()),
        chart: single(source, header, "chart")?.map(|line| Chart::parse(source, line)).transpose()?,
        checks: conditions("check", used)?,
        alerts,
        statement: bound,
    })
}

/// The index of the parameter `$name`.
fn declared(source: &Arc<Source>, placeholder: &str, spot: crate::source::Spot, params: &[Param]) -> Result<usize> {
    let name = placeholder.trim_start_matches(['$', ':', '@']);
    let index = params.iter().position(|param| param.name == name && placeholder.starts_with('$'));
    index.ok_or_else(|| {
        let error = Error::at(source, Some(spot), format!("no `param:` line declares `{placeholder}`"));
        match nearest(name, params.iter().map(|param| param.name.as_str())) {
            Some(near) => error.label(format!("did you mean `${near}`?")),
            None => error.help(format!("add `-- param: {name} TYPE = DEFAULT` at the top of the file")),
        }
    })
}

fn reads_only(source: &Arc<Source>, statement: &SqlStatement) -> Result<()> {
    let into = |token: &&TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::INTO);
    match (&statement.statement, statement.tokens.first()) {
        (Statement::Query(_), _) => match statement.tokens.iter().find(into) {
            Some(token) => Err(sqlfile::reads_only(source, token)),
            None => Ok(()),
        },
        (_, Some(first)) => Err(sqlfile::reads_only(source, first)),
        (_, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Report> {
        Report::parse("r", &Arc::new(Source { name: "r.sql".into(), ..Source::query(text) }))
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_of_the_design_parses() {
        let report = parse(
            "-- title: First-contact resolution by topic\n\
             -- description: Share of first contacts with no repeat within the window.\n\
             -- grain: one row per topic\n\
             -- param: since timestamp = 2025-01-01     # first contact day\n\
             -- param: window interval = 7 days\n\
             -- chart: bar x=topic y=fcr_ratio format=percent\n\
             -- check: fcr_ratio between 0 and 1\n\
             -- alert: min(fcr_ratio) < 0.6\n\
             select topic, fcr_ratio from t where started_at >= $since + $window",
        )
        .unwrap();
        assert_eq!(report.title, "First-contact resolution by topic");
        assert_eq!(report.params[0].note.as_deref(), Some("first contact day"));
        assert!(report.has_defaults());
        let section = &report.sections[0];
        assert_eq!((section.checks.len(), section.alerts.len()), (1, 1));
        assert!(section.statement.to_string().contains("started_at >= $1 + $2"), "{}", section.statement);
    }

    #[test]
    fn parameters_are_declared_and_used() {
        let text = error("-- param: since date\nselect 1 where x > $sinc");
        assert!(text.contains("r.sql:2:20") && text.contains("did you mean `$since`?"), "{text}");
        let text = error("-- param: since date\nselect 1");
        assert!(text.contains("r.sql:1:11") && text.contains("never used"), "{text}");
        let text = error("-- param: a date\n-- param: a text\nselect $a");
        assert!(text.contains("r.sql:2:11") && text.contains("twice"), "{text}");
    }

    #[test]
    fn reports_only_read() {
        for text in [
            "create external table t stored as csv location 'x'",
            "select 1 into t",
            "explain select 1",
            "drop table t",
            "insert into t values (1)",
            "create view v as select 1",
            "delete from t",
        ] {
            assert!(error(text).contains("reports and views only read"), "{text}");
        }
        assert!(error("").contains("no statement"));
    }

    #[test]
    fn keys_that_are_single_stand_once() {
        let text = error("-- title: A\n-- title: B\nselect 1");
        assert!(text.contains("r.sql:2:4"), "{text}");
    }
}
