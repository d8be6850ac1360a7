//! `-- chart: bar x=topic y=fcr_ratio format=percent`: how a section is drawn.

use std::sync::Arc;

use datafusion::common::DFSchema;

use crate::error::{Error, Result};
use crate::source::{Source, Spot, nearest};
use crate::sqlfile::HeaderLine;

/// The kinds of chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartKind {
    /// Bars by a category.
    Bar,
    /// A line over time or an order.
    Line,
    /// A filled line.
    Area,
    /// Points of two measures.
    Scatter,
    /// Cells of two categories, coloured by a value.
    Heatmap,
    /// How values are distributed.
    Histogram,
    /// Quartiles by a category.
    Box,
    /// Shares of a whole.
    Pie,
    /// Steps that lose some on the way.
    Funnel,
    /// Bars in falling order with their running share.
    Pareto,
    /// One number, with the one before.
    Figure,
}

/// Kind, name, keys that it must have, keys that it may have.
type Grammar = (ChartKind, &'static str, &'static [&'static str], &'static [&'static str]);

const KINDS: [Grammar; 11] = [
    (ChartKind::Bar, "bar", &["x", "y"], &["series", "low", "high", "layout"]),
    (ChartKind::Line, "line", &["x", "y"], &["series", "low", "high"]),
    (ChartKind::Area, "area", &["x", "y"], &["series", "layout"]),
    (ChartKind::Scatter, "scatter", &["x", "y"], &["series"]),
    (ChartKind::Heatmap, "heatmap", &["x", "y", "value"], &[]),
    (ChartKind::Histogram, "histogram", &["x"], &["y", "series"]),
    (ChartKind::Box, "box", &["y"], &["x"]),
    (ChartKind::Pie, "pie", &["x", "y"], &[]),
    (ChartKind::Funnel, "funnel", &["x", "y"], &[]),
    (ChartKind::Pareto, "pareto", &["x", "y"], &[]),
    (ChartKind::Figure, "figure", &["value"], &["previous", "x"]),
];

/// Keys that every kind may have, which name no column.
const COMMON: [&str; 2] = ["format", "title"];
const FORMATS: [&str; 5] = ["number", "percent", "duration", "points", "currency"];
const LAYOUTS: [&str; 3] = ["grouped", "stacked", "horizontal"];

/// A parsed `chart:` line.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The kind.
    pub kind: ChartKind,
    /// What is drawn where: a key such as `x` with its columns.
    pub columns: Vec<(String, Vec<String>)>,
    /// `number`, `percent`, `duration`, `points` or `currency`.
    pub format: Option<String>,
    /// `grouped`, `stacked` or `horizontal`.
    pub layout: Option<String>,
    /// A title of its own.
    pub title: Option<String>,
    /// Where each column stands in the file.
    spots: Vec<(String, Spot)>,
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
        let mut chart = Self { kind, columns: vec![], format: None, layout: None, title: None, spots: vec![] };
        for (start, word) in &words[1..] {
            let here = at(*start, word.chars().count());
            let Some((key, value)) = word.split_once('=').filter(|(_, value)| !value.is_empty()) else {
                let error = Error::at(source, Some(here), format!("`{word}` is no `key=value`"));
                return Err(error.help(format!("write like `{kind_name} {}`", example(required))));
            };
            let is_column = required.contains(&key) || (optional.contains(&key) && key != "layout");
            if !is_column && !COMMON.contains(&key) && !optional.contains(&key) {
                let keys: Vec<&str> = required.iter().chain(optional).chain(&COMMON).copied().collect();
                let error = Error::at(source, Some(here), format!("a {kind_name} chart has no key `{key}`"));
                return Err(error.help(format!("its keys are {}", keys.join(", "))));
            }
            let seen = chart.columns.iter().any(|(known, _)| known == key)
                || (key == "format" && chart.format.is_some())
                || (key == "title" && chart.title.is_some());
            if seen {
                return Err(Error::at(source, Some(here), format!("`{key}` stands twice")));
            }
            let value = value.trim_matches('"').to_string();
            let choice = |known: &[&str]| {
                if known.contains(&value.as_str()) {
                    return Ok(value.clone());
                }
                let error = Error::at(source, Some(here), format!("unknown {key} `{value}`"));
                Err(error.help(format!("it is one of {}", known.join(", "))))
            };
            match key {
                "format" => chart.format = Some(choice(&FORMATS)?),
                "layout" => chart.layout = Some(choice(&LAYOUTS)?),
                "title" => chart.title = Some(value),
                _ => {
                    let columns: Vec<String> = value.split(',').map(|column| column.trim().to_string()).collect();
                    for column in &columns {
                        let bytes = word
                            .find('=')
                            .and_then(|equals| word[equals..].find(column.as_str()).map(|found| equals + found));
                        let offset = bytes.map_or(0, |bytes| word[..bytes].chars().count());
                        chart.spots.push((column.clone(), at(start + offset, column.chars().count())));
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

    /// Checks that the result has the columns.
    pub(super) fn validate(&self, source: &Arc<Source>, schema: &DFSchema) -> Result<()> {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        for (column, spot) in &self.spots {
            if !names.contains(&column.as_str()) {
                let error = Error::at(source, Some(*spot), format!("the result has no column `{column}`"));
                let error = match nearest(column, names.iter().copied()) {
                    Some(near) => error.label(format!("did you mean `{near}`?")),
                    None => error,
                };
                return Err(error.help(format!("its columns are {}", names.join(", "))));
            }
        }
        Ok(())
    }
}

fn example(required: &[&str]) -> String {
    required.iter().map(|key| format!("{key}=COLUMN")).collect::<Vec<_>>().join(" ")
}

/// Words separated by blanks outside double quotes, with their character offsets.
pub(crate) fn words(text: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let (mut is_quoted, mut is_inside) = (false, false);
    for (at, c) in text.chars().enumerate() {
        if c.is_whitespace() && !is_quoted {
            is_inside = false;
            continue;
        }
        if c == '"' {
            is_quoted = !is_quoted;
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
    }
}
