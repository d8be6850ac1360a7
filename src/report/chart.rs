//! `-- chart: bar x=topic y=fcr_ratio format=percent`: the chart of a section.

use std::sync::Arc;

use cxql_chart::Kind as ChartKind;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;

use crate::error::{Error, Result};
use crate::source::{Source, Spot, nearest};
use crate::sqlfile::HeaderLine;
use crate::types::type_name;

/// Kind, name, required keys, optional keys.
type Grammar = (ChartKind, &'static str, &'static [&'static str], &'static [&'static str]);

const KINDS: [Grammar; 12] = [
    (ChartKind::Bar, "bar", &["x", "y"], &["series", "low", "high", "partial", "base", "layout"]),
    (ChartKind::Line, "line", &["x", "y"], &["series", "low", "high", "partial", "base"]),
    (ChartKind::Area, "area", &["x", "y"], &["series", "low", "high", "partial", "base", "layout"]),
    (ChartKind::Scatter, "scatter", &["x", "y"], &["series", "label", "trend"]),
    (ChartKind::Heatmap, "heatmap", &["x", "y", "value"], &[]),
    (ChartKind::Histogram, "histogram", &["x"], &["y", "series"]),
    (ChartKind::Box, "box", &["y"], &["x"]),
    (ChartKind::Pie, "pie", &["x", "y"], &["layout"]),
    (ChartKind::Funnel, "funnel", &["x", "y"], &[]),
    (ChartKind::Pareto, "pareto", &["x", "y"], &[]),
    (ChartKind::Sparkline, "sparkline", &["x", "y"], &["series"]),
    (ChartKind::Figure, "figure", &["value"], &["previous", "x", "low", "high", "p_value", "unit"]),
];

/// Keys of every kind that name no column.
const COMMON: [&str; 2] = ["format", "title"];
const FORMATS: [&str; 5] = ["number", "percent", "duration", "points", "currency"];
/// Keys of some kinds that name no column.
const CHOICES: [&str; 2] = ["layout", "trend"];
const TRENDS: [&str; 2] = ["linear", "none"];
/// Keys whose columns must be numeric.
const NUMBERS: [&str; 7] = ["y", "value", "previous", "low", "high", "p_value", "base"];

/// The layouts that a kind supports.
fn layouts(kind: ChartKind) -> &'static [&'static str] {
    match kind {
        ChartKind::Pie => &["donut"],
        ChartKind::Area => &["grouped", "stacked"],
        _ => &["grouped", "stacked", "horizontal", "vertical"],
    }
}

/// A parsed `chart:` line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    /// The kind.
    pub kind: ChartKind,
    /// Columns by key, such as `x`.
    pub columns: Vec<(String, Vec<String>)>,
    /// `number`, `percent`, `duration`, `points` or `currency`.
    pub format: Option<String>,
    /// Some of `grouped`, `stacked`, `horizontal`, `vertical`, `donut`.
    pub layout: Vec<String>,
    /// Whether a scatter chart has a least-squares line.
    pub has_trend: bool,
    /// Its own title.
    pub title: Option<String>,
    /// Key, name and position in the file of each column.
    spots: Vec<(String, String, Spot)>,
}

impl Chart {
    pub(super) fn parse(source: &Arc<Source>, line: &HeaderLine) -> Result<Self> {
        let at =
            |start: usize, length: usize| Spot { column: line.value_spot.column + start, length, ..line.value_spot };
        let words = words(&line.value);
        let unclosed = line.value.matches('"').count() % 2 == 1;
        if unclosed {
            return Err(Error::at(source, Some(line.value_spot), "a quote is not closed"));
        }
        let Some((start, kind_name)) = words.first() else {
            return Err(Error::at(source, Some(line.value_spot), "the chart has no kind"));
        };
        let names = KINDS.map(|(_, name, _, _)| name);
        let Some((kind, _, required, optional)) = KINDS.iter().find(|(_, name, _, _)| name == kind_name).copied()
        else {
            let error = Error::at(
                source,
                Some(at(*start, kind_name.chars().count())),
                format!("unknown kind of chart `{kind_name}`"),
            );
            let error = match nearest(kind_name, names) {
                Some(near) => error.label(format!("did you mean `{near}`?")),
                None => error,
            };
            return Err(error.help(format!("the kinds are {}", names.join(", "))));
        };
        let mut chart =
            Self { kind, columns: vec![], format: None, layout: vec![], has_trend: false, title: None, spots: vec![] };
        for (start, word) in &words[1..] {
            let here = at(*start, word.chars().count());
            let Some((key, value)) = word.split_once('=').filter(|(_, value)| !value.is_empty()) else {
                let error = Error::at(source, Some(here), format!("`{word}` is no `key=value`"));
                return Err(error.help(format!("write like `{kind_name} {}`", example(required))));
            };
            let is_column = required.contains(&key) || (optional.contains(&key) && !CHOICES.contains(&key));
            if !is_column && !COMMON.contains(&key) && !optional.contains(&key) {
                let keys: Vec<&str> = required.iter().chain(optional).chain(&COMMON).copied().collect();
                let error = Error::at(source, Some(here), format!("a {kind_name} chart has no key `{key}`"));
                return Err(error.help(format!("its keys are {}", keys.join(", "))));
            }
            let seen = chart.columns.iter().any(|(known, _)| known == key)
                || (key == "format" && chart.format.is_some())
                || (key == "layout" && !chart.layout.is_empty())
                || (key == "title" && chart.title.is_some());
            if seen {
                return Err(Error::at(source, Some(here), format!("`{key}` stands twice")));
            }
            let value = value.trim_matches('"').to_string();
            let choice = |word: &str, known: &[&str]| {
                if known.contains(&word) {
                    return Ok(word.to_string());
                }
                let error = Error::at(source, Some(here), format!("unknown {key} `{word}`"));
                Err(error.help(format!("it is one of {}", known.join(", "))))
            };
            match key {
                "format" => chart.format = Some(choice(&value, &FORMATS)?),
                "layout" => {
                    let words = value.split(',').map(|word| choice(word.trim(), layouts(kind)));
                    chart.layout = words.collect::<Result<_>>()?;
                }
                "trend" => chart.has_trend = choice(&value, &TRENDS)? == "linear",
                "title" => chart.title = Some(value),
                _ => {
                    let columns: Vec<String> = value.split(',').map(|column| column.trim().to_string()).collect();
                    many_columns(source, here, kind, key, columns.len())?;
                    for column in &columns {
                        let bytes = word
                            .find('=')
                            .and_then(|equals| word[equals..].find(column.as_str()).map(|found| equals + found));
                        let offset = bytes.map_or(0, |bytes| word[..bytes].chars().count());
                        let spot = at(start + offset, column.chars().count());
                        chart.spots.push((key.to_string(), column.clone(), spot));
                    }
                    chart.columns.push((key.to_string(), columns));
                }
            }
        }
        if let Some(missing) = required.iter().find(|key| !chart.columns.iter().any(|(known, _)| known == *key)) {
            let error =
                Error::at(source, Some(line.value_spot), format!("a {kind_name} chart needs `{missing}=COLUMN`"));
            return Err(error.help(format!("write like `{kind_name} {}`", example(required))));
        }
        Ok(chart)
    }

    /// Validates that the result has the columns, and that measures are numeric.
    pub(super) fn validate(&self, source: &Arc<Source>, schema: &DFSchema) -> Result<()> {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        for (key, column, spot) in &self.spots {
            let Some(field) = schema.fields().iter().find(|field| field.name() == column) else {
                let error = Error::at(source, Some(*spot), format!("the result has no column `{column}`"));
                let error = match nearest(column, names.iter().copied()) {
                    Some(near) => error.label(format!("did you mean `{near}`?")),
                    None => error,
                };
                return Err(error.help(format!("its columns are {}", names.join(", "))));
            };
            // the rows of a heat map are categories
            let is_measure = NUMBERS.contains(&key.as_str()) && !(self.kind == ChartKind::Heatmap && key == "y");
            let is_measure = is_measure || (self.kind == ChartKind::Histogram && key == "x");
            if is_measure && !is_drawn(field.data_type()) {
                let found = type_name(field.data_type());
                return Err(Error::at(
                    source,
                    Some(*spot),
                    format!("`{key}` wants numbers, and `{column}` is {found}"),
                )
                .help("name a column of numbers, or compute one in the statement"));
            }
        }
        Ok(())
    }

    /// The columns of a key.
    pub(crate) fn columns(&self, key: &str) -> &[String] {
        self.columns.iter().find(|(known, _)| known == key).map_or(&[], |(_, columns)| columns)
    }
}

/// Returns true if values of a type can be placed on an axis.
fn is_drawn(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_drawn(values),
        DataType::Null | DataType::Duration(_) => true,
        other => other.is_numeric(),
    }
}

/// Rejects several columns for a key that takes one.
fn many_columns(source: &Arc<Source>, here: Spot, kind: ChartKind, key: &str, count: usize) -> Result<()> {
    let (fits, wanted) = match (kind, key) {
        (ChartKind::Box, "y") => {
            (matches!(count, 1 | 5), "one column of values, or five: low end, quartile, median, quartile, high end")
        }
        (ChartKind::Bar | ChartKind::Line | ChartKind::Area | ChartKind::Sparkline, "y") => (true, ""),
        _ => (count == 1, "one column"),
    };
    if fits {
        return Ok(());
    }
    Err(Error::at(source, Some(here), format!("`{key}` names {count} columns")).help(format!("it wants {wanted}")))
}

fn example(required: &[&str]) -> String {
    required.iter().map(|key| format!("{key}=COLUMN")).collect::<Vec<_>>().join(" ")
}

/// Words separated by spaces outside quotes, with their character offsets.
pub(crate) fn words(text: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let (mut quote, mut is_inside) = (None, false);
    for (at, c) in text.chars().enumerate() {
        if c.is_whitespace() && quote.is_none() {
            is_inside = false;
            continue;
        }
        match quote {
            Some(open) if open == c => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            _ => {}
        }
        if !is_inside {
            words.push((at, String::new()));
            is_inside = true;
        }
        if let Some((_, word)) = words.last_mut() {
            word.push(c);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(value: &str) -> Result<Chart> {
        let source = Arc::new(Source { name: "r.sql".into(), ..Source::query(&format!("-- chart: {value}\n")) });
        let spot = Spot { line: 1, column: 11, length: value.chars().count() };
        let line = HeaderLine { key: "chart".into(), value: value.into(), key_spot: spot, value_spot: spot };
        Chart::parse(&source, &line)
    }

    #[test]
    fn a_chart_has_a_kind_and_columns() {
        let parsed =
            chart("line x=month y=nps,\u{6ee1}\u{610f} series=product format=points title=\"NPS by month\"").unwrap();
        assert_eq!(parsed.kind, ChartKind::Line);
        assert_eq!(parsed.columns[1], ("y".to_string(), vec!["nps".to_string(), "满意".to_string()]));
        assert_eq!(parsed.title.as_deref(), Some("NPS by month"));
        let parsed = chart("bar x=month y=n series=channel layout=stacked,horizontal").unwrap();
        assert_eq!(parsed.layout, ["stacked", "horizontal"]);
        assert!(chart("scatter x=a y=b trend=linear").unwrap().has_trend);
    }

    #[test]
    fn faults_are_shown_at_their_place() {
        let error = |value: &str| chart(value).unwrap_err().to_string();
        let text = error("bra x=a y=b");
        assert!(text.contains("r.sql:1:11") && text.contains("did you mean `bar`?"), "{text}");
        let text = error("bar x=a");
        assert!(text.contains("needs `y=COLUMN`"), "{text}");
        let text = error("bar x=a y=b colour=red");
        assert!(text.contains("r.sql:1:23") && text.contains("no key `colour`"), "{text}");
        assert!(error("bar x=a y=b format=euro").contains("number, percent"));
        assert!(error("bar x=a x=b y=c").contains("twice"));
        assert!(error("bar x y=c").contains("is no `key=value`"));
        assert!(error("bar x=\"a").contains("not closed"));
        assert!(error("bar x=a,b y=c").contains("wants one column"));
        assert!(error("box x=a y=b,c").contains("or five"));
        assert!(error("pie x=a y=b layout=stacked").contains("one of donut"));
        assert!(error("bar x=a y=b layout=stacked,upright").contains("unknown layout `upright`"));
    }
}
