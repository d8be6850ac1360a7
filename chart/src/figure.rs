//! Single figures with the previous period, and rows of sparklines.

use crate::canvas::{Anchor, Area, Canvas};
use crate::grid::{Grid, labels};
use crate::scale::Scale;

use crate::{Form, Language, Plot, Size, Values, text};

/// Limit of figures.
const MAX_FIGURES: usize = 48;
/// Limit of sparklines.
const MAX_ROWS: usize = 60;
/// The p-value below which a change is called significant.
const SIGNIFICANT: f64 = 0.05;

/// A formatted figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) name: Option<String>,
    pub(crate) value: String,
    pub(crate) previous: Option<String>,
    pub(crate) change: Option<String>,
    pub(crate) direction: i8,
    pub(crate) interval: Option<String>,
    pub(crate) p_value: Option<f64>,
}

/// One figure per row; a NULL value is shown as not known.
pub(crate) fn figures(plot: &Plot) -> Vec<Figure> {
    let Some(value) = &plot.value else { return vec![] };
    let language = plot.language;
    let rows = plot.rows().min(MAX_FIGURES);
    let all: Vec<usize> = (0..rows).collect();
    let names = plot.x.as_ref().map(|x| labels(Some((&x.name, &x.values)), &all, language));
    let figure = |row: usize| {
        let unit = match plot.unit.as_ref().map(|unit| &unit.values) {
            Some(Values::Strings(units)) => units.get(row).cloned().flatten(),
            _ => None,
        };
        let (form, word) = unit_form(unit.as_deref(), plot.form);
        let at = |column: &Option<crate::Column>| column.as_ref().and_then(|column| column.values.number(row));
        let formatted = |value: f64| match word {
            Some(word) => format!("{} {word}", form.value(value, language)),
            None => form.value(value, language),
        };
        let (now, before) = (value.values.number(row), at(&plot.previous));
        let difference = now.zip(before).map(|(now, before)| now - before);
        let interval = at(&plot.low).zip(at(&plot.high));
        let words = language.words();
        let change = difference.map(|difference| match (form, before) {
            _ if difference == 0.0 => words.unchanged.to_string(),
            // for counts, durations and amounts the relative change is more informative
            (Form::Number | Form::Duration | Form::Currency, Some(before)) if before != 0.0 => {
                let share = difference / before.abs();
                let sign = if share < 0.0 { "−" } else { "+" };
                format!(
                    "{} ({sign}{})",
                    form.difference(difference, language),
                    Form::Percent.value(share.abs(), language)
                )
            }
            _ => form.difference(difference, language),
        });
        Figure {
            name: names.as_ref().map(|names| names[row].clone()).or_else(|| Some(value.label())),
            value: now.map_or_else(|| words.not_known.to_string(), formatted),
            previous: before.map(|value| form.value(value, language)),
            change,
            direction: difference.map_or(0, |difference| {
                if difference > 0.0 {
                    1
                } else if difference < 0.0 {
                    -1
                } else {
                    0
                }
            }),
            interval: interval
                .map(|(low, high)| format!("{} – {}", form.value(low, language), form.value(high, language))),
            p_value: at(&plot.p_value).filter(|p| (0.0..=1.0).contains(p)),
        }
    };
    all.iter().map(|row| figure(*row)).collect()
}

/// The format of a unit: known units have a [`Form`], any other word is appended to the number.
fn unit_form(unit: Option<&str>, default: Form) -> (Form, Option<&str>) {
    match unit {
        None => (default, None),
        Some("ratio" | "percent") => (Form::Percent, None),
        Some("seconds" | "duration" | "s") => (Form::Duration, None),
        Some("points") => (Form::Points, None),
        Some("count" | "number" | "score" | "") => (Form::Number, None),
        Some("currency") => (Form::Currency, None),
        Some(word) => (Form::Number, Some(word)),
    }
}

pub(crate) fn draw(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let figures = figures(plot);
    if figures.is_empty() {
        return false;
    }
    let most = if size == Size::Wide { 4 } else { 2 };
    let columns = figures.len().min(most);
    const GAP: f64 = 10.0;
    let wide = ((canvas.width - 4.0 - GAP * (most - 1) as f64) / most as f64).max(1.0);
    let wide = if figures.len() == 1 { wide * 1.6 } else { wide };
    let has_interval = figures.iter().any(|figure| figure.interval.is_some());
    let has_change = figures.iter().any(|figure| figure.change.is_some());
    let has_p = figures.iter().any(|figure| figure.p_value.is_some());
    let tall = 66.0 + 17.0 * [has_interval, has_change, has_change, has_p].iter().filter(|is| **is).count() as f64;
    let words = plot.language.words();
    let start = canvas.top + 2.0;
    for (at, figure) in figures.iter().enumerate() {
        let (column, row) = (at % columns, at / columns);
        let area = Area {
            left: 2.0 + (wide + GAP) * column as f64,
            top: start + (tall + GAP) * row as f64,
            width: wide,
            height: tall,
        };
        canvas.rect("k", area, 8.0, None);
        let left = area.left + 13.0;
        let room = wide - 24.0;
        if let Some(name) = &figure.name {
            canvas.label("tm", Anchor::Start, (left, area.top + 23.0), name, room);
        }
        let class = if text::width(&figure.value, 26.0) <= room { "tv" } else { "tn" };
        canvas.label(class, Anchor::Start, (left, area.top + 53.0), &figure.value, room * 2.4);
        let mut y = area.top + 56.0;
        if has_change {
            y += 17.0;
            if let Some(change) = &figure.change {
                let arrow = match figure.direction {
                    1 => "▲ ",
                    -1 => "▼ ",
                    _ => "",
                };
                canvas.label("tb", Anchor::Start, (left, y), &format!("{arrow}{change}"), room);
            }
            y += 17.0;
            if let Some(previous) = &figure.previous {
                canvas.label("ts", Anchor::Start, (left, y), &format!("{} {previous}", words.before), room);
            }
        }
        if has_p {
            y += 17.0;
            if let Some(p_value) = figure.p_value {
                canvas.label("ts", Anchor::Start, (left, y), &p_words(p_value, plot.language), room);
            }
        }
        if has_interval {
            y += 17.0;
            if let Some(interval) = &figure.interval {
                canvas.label("ts", Anchor::Start, (left, y), &format!("{} {interval}", words.interval), room);
            }
        }
    }
    canvas.top = start + (tall + GAP) * figures.len().div_ceil(columns) as f64 - GAP + 2.0;
    if plot.rows() > MAX_FIGURES {
        canvas.note(&plot.language.shown(MAX_FIGURES, plot.rows()));
    }
    true
}

/// Describes whether a change is statistically significant.
pub(crate) fn p_words(p_value: f64, language: Language) -> String {
    let words = language.words();
    let word = if p_value < SIGNIFICANT { words.significant } else { words.not_significant };
    format!("{word} ({})", p_text(p_value))
}

fn p_text(p_value: f64) -> String {
    if p_value < 0.01 {
        let limit = if p_value < 0.001 { "0.001" } else { "0.01" };
        format!("p < {limit}")
    } else {
        format!("p = {p_value:.2}")
    }
}

pub(crate) fn sparklines(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let mut grid = Grid::new(plot);
    if !grid.has_values() {
        return false;
    }
    if let Some(x) = &plot.x {
        grid.sort_by(&x.values);
    }
    let shown = grid.series.len().min(MAX_ROWS);
    let names = labels(plot.x.as_ref().map(|x| (x.name.as_str(), &x.values)), &grid.firsts, plot.language);
    let widest = grid.series.iter().take(shown).map(|series| text::width(&series.name, text::SIZE)).fold(0.0, f64::max);
    let left = (widest + 18.0).min(size.width() * 0.34);
    let right = if size == Size::Wide { 230.0 } else { 122.0 };
    let words = plot.language.words();
    const ROW: f64 = 34.0;
    let top = canvas.top + 22.0;
    if let (Some(first), Some(last)) = (names.first(), names.last()) {
        canvas.text("ts", Anchor::Start, (left, top - 8.0), first);
        canvas.text("ts", Anchor::End, (canvas.width - right, top - 8.0), last);
    }
    let (last_at, change_at) = if size == Size::Wide {
        (canvas.width - 130.0, canvas.width - 6.0)
    } else {
        (canvas.width - 62.0, canvas.width - 2.0)
    };
    canvas.text("ts", Anchor::End, (last_at, top - 8.0), words.last);
    canvas.text("ts", Anchor::End, (change_at, top - 8.0), "±");
    let n = Canvas::number;
    let count = grid.firsts.len();
    for (at, series) in grid.series.iter().take(shown).enumerate() {
        let (above, below) = (top + ROW * at as f64, top + ROW * (at as f64 + 1.0));
        canvas.line("g", (4.0, below), (canvas.width - 2.0, below));
        canvas.label("", Anchor::Start, (4.0, above + 21.0), &series.name, left - 14.0);
        let known: Vec<(usize, f64)> =
            series.values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?))).collect();
        let low = known.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        let high = known.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
        let down = Scale { low, high, from: below - 7.0, to: above + 8.0 };
        let across = Scale { low: 0.0, high: count.saturating_sub(1) as f64, from: left, to: canvas.width - right };
        let mut path = String::new();
        let mut before: Option<usize> = None;
        for (index, value) in &known {
            let starts = before.is_none_or(|before| before + 1 != *index);
            path.push_str(&format!(
                "{}{} {}",
                if starts { "M" } else { "L" },
                n(across.at(*index as f64)),
                n(down.at(*value))
            ));
            before = Some(*index);
        }
        if !path.is_empty() {
            canvas.path("l0", &path, None);
        }
        let formatted = |value: f64| plot.form.value(value, plot.language);
        if let (Some((_, first)), Some((index, last))) = (known.first(), known.last()) {
            let tip = format!("{}: {} – {}", series.name, formatted(low), formatted(high));
            canvas.circle("p1", (across.at(*index as f64), down.at(*last)), 3.4, Some(&tip));
            canvas.text("tb", Anchor::End, (last_at, above + 21.0), &formatted(*last));
            canvas.label(
                "tm",
                Anchor::End,
                (change_at, above + 21.0),
                &plot.form.difference(last - first, plot.language),
                118.0,
            );
        }
    }
    canvas.top = top + ROW * shown as f64 + 2.0;
    if grid.series.len() > shown {
        canvas.note(&plot.language.shown(shown, grid.series.len()));
    }
    true
}
