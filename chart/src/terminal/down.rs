//! Charts drawn line by line: bars, heat maps, box plots, figures.

use std::collections::HashMap;

use super::{Screen, at_right, columns, fit, padded};
use crate::grid::{self, Grid, labels};
use crate::shares;
use crate::spread;
use crate::stats::FiveNumbers;
use crate::{Form, Plot, Values, figure};

/// Limit of lines.
const MAX_LINES: usize = 40;

/// Blocks from one eighth to full.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// The fill characters of series without colours.
const FILLS: [char; 4] = ['█', '▒', '░', '▓'];
/// The fill character of a value that rests on a part of its period or on few cases.
const WEAK: char = '░';
/// Shades of cells without colours.
const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];
/// Shades of cells with colours, from the 256-colour palette.
const DEPTHS: [u8; 6] = [236, 24, 25, 31, 38, 117];

/// A bar of `share` of `room` columns, exact to an eighth of a column for the solid fill.
fn bar(share: f64, room: usize, fill: char) -> String {
    let eighths = (share.clamp(0.0, 1.0) * room as f64 * 8.0).round() as usize;
    let mut text: String = std::iter::repeat_n(fill, eighths / 8).collect();
    match (eighths % 8, fill) {
        (0, _) => {}
        (rest, '█') => text.push(EIGHTHS[rest - 1]),
        (rest, other) if rest >= 4 => text.push(other),
        _ => {}
    }
    if text.is_empty() && share > 0.0 {
        text.push(EIGHTHS[0]);
    }
    text
}

fn fill_of(series: usize, screen: Screen) -> char {
    if screen.has_color { '█' } else { FILLS[series % FILLS.len()] }
}

fn legend(names: &[String], shades: &[Option<usize>], screen: Screen, plot: &Plot) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    let rest = shades.iter().filter(|shade| shade.is_none()).count();
    let named = names.iter().zip(shades).filter_map(|(name, shade)| shade.map(|shade| (Some(shade), fit(name, 24))));
    let more = (rest > 0).then(|| (None, plot.language.more(rest)));
    for (shade, name) in named.chain(more) {
        let width = columns(&name) + 5;
        if used > 0 && used + width > screen.width {
            lines.push(String::new());
            used = 0;
        }
        let mark = fill_of(shade.unwrap_or(3), screen).to_string();
        if let Some(line) = lines.last_mut() {
            *line += &format!("{} {name}   ", screen.colored(&mark, shade));
        }
        used += width;
    }
    lines
}

fn note(plot: &Plot, shown: usize, all: usize, screen: Screen) -> Option<String> {
    (shown < all).then(|| screen.dim(&plot.language.shown(shown, all)))
}

/// The width of the longest text, at most `most`.
fn widest<'a>(texts: impl Iterator<Item = &'a str>, most: usize) -> usize {
    texts.map(columns).max().unwrap_or(0).min(most)
}

/// Returns true for an ordered x axis with more bars than lines.
pub(super) fn is_long(plot: &Plot) -> bool {
    let is_ordered = plot.x.as_ref().is_some_and(|x| !matches!(x.values, Values::Strings(_)));
    is_ordered && Grid::new(plot).firsts.len() > MAX_LINES
}

pub(super) fn bars(plot: &Plot, screen: Screen) -> Vec<String> {
    let mut grid = Grid::new(plot);
    if !grid.has_values() {
        return vec![];
    }
    let all = grid.firsts.len();
    let beside = if plot.is_stacked { 1 } else { grid.series.len().max(1) };
    let most = (MAX_LINES / beside).max(4);
    let selection = grid.select(most, plot);
    let names = labels(plot.x.as_ref().map(|x| (x.name.as_str(), &x.values)), &grid.firsts, plot.language);
    let shades = grid.shades();
    let mut lines = Vec::new();
    if grid.series.len() > 1 {
        let series: Vec<String> = grid.series.iter().map(|series| series.name.clone()).collect();
        lines = legend(&series, &shades, screen, plot);
    }
    let label = widest(names.iter().map(String::as_str), screen.width / 3);
    let formatted = |value: f64| plot.form.value(value, plot.language);
    let stacks = grid.stacks();
    let values: Vec<f64> = match plot.is_stacked {
        true => stacks.iter().flat_map(|(below, above)| [*below, *above]).collect(),
        false => grid.series.iter().flat_map(|series| series.values.iter().flatten().copied()).collect(),
    };
    let value_width = values.iter().map(|value| columns(&formatted(*value))).max().unwrap_or(0);
    let (low, high) = values.iter().fold((0.0f64, 0.0f64), |(low, high), value| (low.min(*value), high.max(*value)));
    let room = screen.width.saturating_sub(label + value_width + 4).max(4);
    let reach = (high - low).max(f64::MIN_POSITIVE);
    // negative bars end where positive ones start
    let left = ((-low / reach) * room as f64).round() as usize;
    for (index, name) in names.iter().enumerate() {
        if plot.is_stacked {
            let mut text = String::new();
            let mut used = 0;
            let mut sum = 0.0;
            for (at, series) in grid.series.iter().enumerate() {
                sum += series.values[index].unwrap_or(0.0).max(0.0);
                // round the ends, not the parts, so that the total has the correct length
                let end = (sum / reach * room as f64).round() as usize;
                let part: String = std::iter::repeat_n(fill_of(at, screen), end.saturating_sub(used)).collect();
                text += &screen.colored(&part, shades[at]);
                used = used.max(end);
            }
            let (below, above) = stacks[index];
            let gap = " ".repeat(room.saturating_sub(used));
            lines.push(format!(
                "{} {text}{gap} {}",
                padded(name, label),
                at_right(&formatted(above + below), value_width)
            ));
            continue;
        }
        for (at, series) in grid.series.iter().enumerate() {
            let name = if at == 0 { padded(name, label) } else { " ".repeat(label) };
            let Some(value) = series.values[index] else {
                lines.push(format!("{name} {}", " ".repeat(left) + &screen.dim("·")));
                continue;
            };
            let fill = fill_of(at, screen);
            let text = if value < 0.0 {
                let length = ((-value / reach) * room as f64).round() as usize;
                let part: String = std::iter::repeat_n(fill, length.min(left)).collect();
                format!("{}{}", " ".repeat(left - length.min(left)), screen.colored(&part, shades[at]))
                    + &" ".repeat(room - left)
            } else {
                let is_weak = series.partial[index] || series.few[index];
                let part = bar(value / reach, room, if is_weak { WEAK } else { fill });
                let gap = room.saturating_sub(left + columns(&part));
                format!("{}{}{}", " ".repeat(left), screen.colored(&part, shades[at]), " ".repeat(gap))
            };
            lines.push(format!("{name} {text} {}", at_right(&formatted(value), value_width)));
        }
    }
    lines.extend(selection.map(|selection| screen.dim(&plot.language.selected(selection, grid.firsts.len(), all))));
    lines.extend(weak_values(plot, &grid, screen));
    lines
}

/// Notes about values that are drawn lighter, cut to the width.
pub(super) fn weak_values(plot: &Plot, grid: &Grid, screen: Screen) -> Vec<String> {
    plot.language.weak_values(plot, grid).iter().map(|note| screen.dim(&fit(note, screen.width))).collect()
}

/// Pies, funnels and Pareto charts: a bar for each part, its value and its share.
pub(super) fn parts(plot: &Plot, screen: Screen) -> Vec<String> {
    let mut parts = shares::parts(plot);
    let all = parts.len();
    let is_funnel = plot.kind == crate::Kind::Funnel;
    let total: f64 = parts.iter().map(|part| part.value.max(0.0)).sum();
    let first = parts.first().map_or(0.0, |part| part.value);
    if !is_funnel {
        parts.retain(|part| part.value > 0.0);
        parts.sort_by(|a, b| b.value.total_cmp(&a.value));
    }
    let most = parts.iter().map(|part| part.value).fold(0.0, f64::max);
    if most <= 0.0 {
        return vec![];
    }
    parts.truncate(MAX_LINES);
    let label = widest(parts.iter().map(|part| part.name.as_str()), screen.width / 3);
    let formatted: Vec<String> = parts.iter().map(|part| plot.form.value(part.value, plot.language)).collect();
    let value_width = widest(formatted.iter().map(String::as_str), screen.width / 4);
    let room = screen.width.saturating_sub(label + value_width + 12).max(4);
    let mut sum = 0.0;
    let mut lines = Vec::new();
    for (part, formatted) in parts.iter().zip(&formatted) {
        sum += part.value;
        let share = match plot.kind {
            crate::Kind::Pareto => sum / total,
            crate::Kind::Funnel if first > 0.0 => part.value / first,
            _ => part.value / total,
        };
        let text = bar(part.value / most, room, '█');
        let gap = room.saturating_sub(columns(&text));
        let (before, after) = if is_funnel { (gap / 2, gap - gap / 2) } else { (0, gap) };
        lines.push(format!(
            "{} {}{}{} {} {}",
            padded(&part.name, label),
            " ".repeat(before),
            screen.colored(&text, Some(0)),
            " ".repeat(after),
            at_right(formatted, value_width),
            screen.dim(&at_right(&Form::Percent.value(share, plot.language), 7))
        ));
    }
    lines.extend(note(plot, parts.len(), if is_funnel { all } else { all.min(parts.len().max(MAX_LINES)) }, screen));
    lines
}

pub(super) fn histogram(plot: &Plot, screen: Screen) -> Vec<String> {
    let Some(bins) = spread::bins(plot) else { return vec![] };
    let sums = bins.sums();
    let most = sums.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return vec![];
    }
    let formatted = |bin: usize| plot.form.value(bins.from + bins.width * bin as f64, plot.language);
    let names: Vec<String> = (0..sums.len()).map(|bin| format!("{} –", formatted(bin))).collect();
    let label = widest(names.iter().map(String::as_str), screen.width / 3);
    let counts: Vec<String> = sums.iter().map(|count| Form::Number.value(*count, plot.language)).collect();
    let value_width = widest(counts.iter().map(String::as_str), 16);
    let room = screen.width.saturating_sub(label + value_width + 3).max(4);
    let shown = sums.len().min(MAX_LINES);
    let mut lines: Vec<String> = (0..shown)
        .map(|bin| {
            let text = bar(sums[bin] / most, room, '█');
            let gap = " ".repeat(room.saturating_sub(columns(&text)));
            format!(
                "{} {}{gap} {}",
                at_right(&names[bin], label),
                screen.colored(&text, Some(0)),
                at_right(&counts[bin], value_width)
            )
        })
        .collect();
    lines.extend(note(plot, shown, sums.len(), screen));
    lines
}

pub(super) fn boxes(plot: &Plot, screen: Screen) -> Vec<String> {
    let boxes = spread::named_boxes(plot);
    let shown = boxes.len().min(MAX_LINES);
    let low = boxes.iter().take(shown).map(|named| named.five.low).fold(f64::INFINITY, f64::min);
    let high = boxes.iter().take(shown).map(|named| named.five.high).fold(f64::NEG_INFINITY, f64::max);
    if shown == 0 || low > high {
        return vec![];
    }
    let label = widest(boxes.iter().take(shown).map(|named| named.name.as_str()), screen.width / 3);
    let formatted = |value: f64| plot.form.value(value, plot.language);
    let medians: Vec<String> = boxes.iter().take(shown).map(|named| formatted(named.five.median)).collect();
    let value_width = widest(medians.iter().map(String::as_str), 16);
    let room = screen.width.saturating_sub(label + value_width + 3).max(8);
    let at = |value: f64| match high > low {
        true => (((value - low) / (high - low)) * (room - 1) as f64).round() as usize,
        false => room / 2,
    };
    let draw = |five: &FiveNumbers| -> String {
        let [start, first, median, third, end] = [five.low, five.first, five.median, five.third, five.high].map(at);
        let glyph = |index: usize| match index {
            _ if index == median => '┃',
            _ if index == start => '├',
            _ if index == end => '┤',
            _ if (first..=third).contains(&index) => '▒',
            _ if (start..=end).contains(&index) => '─',
            _ => ' ',
        };
        (0..room).map(glyph).collect()
    };
    let mut lines: Vec<String> = boxes
        .iter()
        .take(shown)
        .zip(&medians)
        .map(|(named, median)| {
            format!(
                "{} {} {}",
                padded(&named.name, label),
                screen.colored(&draw(&named.five), Some(0)),
                at_right(median, value_width)
            )
        })
        .collect();
    let (from, to) = (formatted(low), formatted(high));
    let gap = room.saturating_sub(columns(&from) + columns(&to)).max(1);
    lines.push(screen.dim(&format!("{} {from}{}{to}", " ".repeat(label), " ".repeat(gap))));
    lines.extend(note(plot, shown, boxes.len(), screen));
    lines
}

pub(super) fn heat(plot: &Plot, screen: Screen) -> Vec<String> {
    let Some(cells) = grid::cells(plot) else { return vec![] };
    let label = widest(cells.rows.iter().map(String::as_str), screen.width / 4);
    let wide = ((screen.width - label - 1) / cells.columns.len().max(1)).clamp(1, 5);
    let columns_shown = ((screen.width - label - 1) / wide).min(cells.columns.len());
    let rows_shown = cells.rows.len().min(MAX_LINES);
    let values = cells.cells.iter().map(|(_, _, value)| *value);
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let depth = |value: f64, steps: usize| {
        let share = if high > low { (value - low) / (high - low) } else { 1.0 };
        ((share * steps as f64) as usize).min(steps - 1)
    };
    let cell = |value: Option<f64>| -> String {
        let Some(value) = value else { return at_right("·", wide) };
        if screen.has_color {
            return format!("\u{1b}[48;5;{}m{}\u{1b}[0m", DEPTHS[depth(value, DEPTHS.len())], " ".repeat(wide));
        }
        let glyph = SHADES[depth(value, SHADES.len())].chars().next().unwrap_or(' ');
        std::iter::repeat_n(glyph, wide).collect()
    };
    let known: HashMap<(usize, usize), f64> =
        cells.cells.iter().map(|(column, row, value)| ((*column, *row), *value)).collect();
    let mut lines = Vec::new();
    for row in 0..rows_shown {
        let mut line = padded(&cells.rows[row], label) + " ";
        for column in 0..columns_shown {
            line += &cell(known.get(&(column, row)).copied());
        }
        lines.push(line);
    }
    // names below, as many as fit
    let longest = cells.columns.iter().map(|name| columns(name)).max().unwrap_or(1) + 1;
    let every = longest.div_ceil(wide).max(1);
    let mut names = " ".repeat(label + 1);
    for column in (0..columns_shown).step_by(every) {
        names += &padded(&cells.columns[column], wide * every);
    }
    lines.push(screen.dim(names.trim_end()));
    let steps = if screen.has_color { DEPTHS.len() } else { SHADES.len() };
    let shades: String =
        (0..steps).map(|step| cell(Some(low + (high - low) * (step as f64 + 0.5) / steps as f64))).collect();
    let formatted = |value: f64| plot.form.value(value, plot.language);
    lines.push(format!("{} {} {shades} {}", " ".repeat(label), formatted(low), formatted(high)));
    lines.extend(note(plot, columns_shown * rows_shown, cells.columns.len() * cells.rows.len(), screen));
    lines
}

pub(super) fn sparklines(plot: &Plot, screen: Screen) -> Vec<String> {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut grid = Grid::new(plot);
    if !grid.has_values() {
        return vec![];
    }
    if let Some(x) = &plot.x {
        grid.sort_by(&x.values);
    }
    let shown = grid.series.len().min(MAX_LINES);
    let label = widest(grid.series.iter().take(shown).map(|series| series.name.as_str()), screen.width / 3);
    let formatted = |value: f64| plot.form.value(value, plot.language);
    let room = screen.width.saturating_sub(label + 24).max(8);
    // the newest values that fit
    let skipped = grid.firsts.len().saturating_sub(room);
    let mut lines: Vec<String> = Vec::new();
    for series in grid.series.iter().take(shown) {
        let known: Vec<f64> = series.values.iter().flatten().copied().collect();
        let (low, high) = known
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
        let glyph = |value: &Option<f64>| match value {
            None => ' ',
            Some(value) if high > low => HEIGHTS[(((value - low) / (high - low)) * 7.0).round() as usize],
            Some(_) => HEIGHTS[3],
        };
        let line: String = series.values.iter().skip(skipped).map(glyph).collect();
        let last = known.last().map(|value| formatted(*value)).unwrap_or_default();
        let change =
            known.first().zip(known.last()).map(|(first, last)| plot.form.difference(last - first, plot.language));
        let gap = " ".repeat(room.saturating_sub(columns(&line)));
        lines.push(format!(
            "{} {}{gap} {} {}",
            padded(&series.name, label),
            screen.colored(&line, Some(0)),
            at_right(&last, 10),
            screen.dim(&at_right(&change.unwrap_or_default(), 10))
        ));
    }
    lines.extend(note(plot, shown, grid.series.len(), screen));
    lines
}

pub(super) fn figures(plot: &Plot, screen: Screen) -> Vec<String> {
    let figures = figure::figures(plot);
    let label = widest(figures.iter().filter_map(|figure| figure.name.as_deref()), screen.width / 2);
    let value_width = widest(figures.iter().map(|figure| figure.value.as_str()), screen.width / 3);
    figures
        .iter()
        .map(|figure| {
            let arrow = match figure.direction {
                1 => "▲",
                -1 => "▼",
                _ => " ",
            };
            let change = figure.change.as_deref().map(|change| format!("{arrow} {change}")).unwrap_or_default();
            let p_value = figure.p_value.map(|p_value| format!("  {}", figure::p_words(p_value, plot.language)));
            let name = padded(figure.name.as_deref().unwrap_or_default(), label);
            let value = at_right(&figure.value, value_width);
            let rest = fit(
                &format!("{change}{}", p_value.unwrap_or_default()),
                screen.width.saturating_sub(label + value_width + 4),
            );
            format!("{name}  {}  {}", screen.bold(&value), screen.dim(&rest))
        })
        .collect()
}
