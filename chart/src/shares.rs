//! Parts of a whole: pies, funnels, Pareto charts.

use std::f64::consts::TAU;

use crate::axis;
use crate::canvas::{Anchor, Area, Canvas, LINE};
use crate::grid::{Grid, labels};
use crate::scale::{self, Scale};
use crate::{Form, Plot, Size, style, text};

/// Limit of slices of a pie; the smallest are merged.
const MAX_SLICES: usize = 7;
/// Limit of bars of a Pareto chart; the smallest are merged.
const MAX_BARS: usize = 20;

/// A named part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// The parts in row order.
pub(crate) fn parts(plot: &Plot) -> Vec<Part> {
    let grid = Grid::new(plot);
    let names = labels(plot.x.as_ref().map(|x| (x.name.as_str(), &x.values)), &grid.firsts, plot.language);
    let Some(series) = grid.series.first() else { return vec![] };
    let part = |(name, value): (String, &Option<f64>)| value.map(|value| Part { name, value });
    names.into_iter().zip(&series.values).filter_map(part).collect()
}

/// The positive parts in descending order; those beyond `most` are merged into one.
fn ranked(plot: &Plot, most: usize) -> Vec<Part> {
    let mut parts = parts(plot);
    parts.retain(|part| part.value > 0.0);
    parts.sort_by(|a, b| b.value.total_cmp(&a.value));
    if parts.len() > most {
        let rest = parts.split_off(most - 1);
        let name = format!("{} ({})", plot.language.words().other, rest.len());
        parts.push(Part { name, value: rest.iter().map(|part| part.value).sum() });
    }
    parts
}

/// The share of a whole, in percent.
fn share_text(value: f64, total: f64, plot: &Plot) -> String {
    Form::Percent.value(value / total, plot.language)
}

pub(crate) fn pie(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let parts = ranked(plot, MAX_SLICES);
    let total: f64 = parts.iter().map(|part| part.value).sum();
    if parts.is_empty() {
        return false;
    }
    let radius = if size == Size::Wide { 108.0 } else { 92.0 };
    let hole = if plot.is_donut { radius * 0.6 } else { 0.0 };
    let top = canvas.top + 6.0;
    let center = if size == Size::Wide { (150.0, top + radius) } else { (canvas.width / 2.0, top + radius) };
    let shade = |at: usize| (parts.len() < MAX_SLICES || at + 1 < MAX_SLICES).then_some(at);
    let mut angle = 0.0;
    for (at, part) in parts.iter().enumerate() {
        let turn = part.value / total * TAU;
        let tip = format!(
            "{}: {} ({})",
            part.name,
            plot.form.value(part.value, plot.language),
            share_text(part.value, total, plot)
        );
        canvas.path(
            &format!("{} pc", style::class('f', shade(at))),
            &slice(center, radius, hole, angle, turn),
            Some(&tip),
        );
        angle += turn;
    }
    if hole > 0.0 {
        canvas.text("tn", Anchor::Middle, (center.0, center.1 + 3.0), &plot.form.value(total, plot.language));
        canvas.text("ts", Anchor::Middle, (center.0, center.1 + 20.0), plot.language.words().total);
    }
    // the names beside the pie, or below it when narrow
    let row = 24.0;
    let (left, first) = match size {
        Size::Wide => (320.0, center.1 - row * parts.len() as f64 / 2.0 + 16.0),
        Size::Narrow => (8.0, center.1 + radius + 26.0),
    };
    let right = if size == Size::Wide { 720.0 } else { canvas.width - 8.0 };
    for (at, part) in parts.iter().enumerate() {
        let baseline = first + row * at as f64;
        let mark = Area { left, top: baseline - 10.0, width: 11.0, height: 11.0 };
        canvas.rect(&style::class('f', shade(at)), mark, 2.0, None);
        canvas.label("", Anchor::Start, (left + 20.0, baseline), &part.name, right - left - 170.0);
        canvas.text("tm", Anchor::End, (right - 62.0, baseline), &plot.form.value(part.value, plot.language));
        canvas.text("tb", Anchor::End, (right, baseline), &share_text(part.value, total, plot));
        canvas.line("g", (left, baseline + 7.0), (right, baseline + 7.0));
    }
    let names_end = first + row * (parts.len() as f64 - 1.0) + 10.0;
    canvas.top = names_end.max(center.1 + radius + 4.0);
    true
}

/// A slice that starts at `angle` from the top, clockwise, both in radians.
fn slice(center: (f64, f64), radius: f64, hole: f64, angle: f64, turn: f64) -> String {
    let n = Canvas::number;
    // an arc whose ends coincide is not drawn, so a full circle needs an own element
    let turn = turn.min(TAU - 0.0005);
    let at = |radius: f64, angle: f64| {
        format!("{} {}", n(center.0 + radius * angle.sin()), n(center.1 - radius * angle.cos()))
    };
    let is_large = u8::from(turn > TAU / 2.0);
    let (start, end) = (angle, angle + turn);
    let outer = format!("M{}A{r} {r} 0 {is_large} 1 {}", at(radius, start), at(radius, end), r = n(radius));
    if hole > 0.0 {
        format!("{outer}L{}A{r} {r} 0 {is_large} 0 {}Z", at(hole, end), at(hole, start), r = n(hole))
    } else {
        format!("{outer}L{} {}Z", n(center.0), n(center.1))
    }
}

pub(crate) fn funnel(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let parts = parts(plot);
    let first = parts.first().map_or(0.0, |part| part.value);
    let most = parts.iter().map(|part| part.value).fold(0.0, f64::max);
    if most <= 0.0 {
        return false;
    }
    let is_wide = size == Size::Wide;
    let widest = parts.iter().map(|part| text::width(&part.name, text::SIZE)).fold(0.0, f64::max);
    let left = if is_wide { (widest + 16.0).min(220.0) } else { 4.0 };
    let right = if is_wide { canvas.width - 150.0 } else { canvas.width - 4.0 };
    let (tall, between) = (36.0, if is_wide { 24.0 } else { 42.0 });
    let middle = (left + right) / 2.0;
    let width = |value: f64| ((right - left) * value.max(0.0) / most).max(2.0);
    let mut top = canvas.top + if is_wide { 6.0 } else { 22.0 };
    let language = plot.language;
    let n = Canvas::number;
    for (at, part) in parts.iter().enumerate() {
        let wide = width(part.value);
        let value = plot.form.value(part.value, language);
        let share = if first > 0.0 { share_text(part.value, first, plot) } else { String::new() };
        let rect = Area { left: middle - wide / 2.0, top, width: wide, height: tall };
        let of_first = language.words().of_first;
        canvas.rect("f0", rect, 3.0, Some(&format!("{}: {value} ({share} {of_first})", part.name)));
        if text::width(&value, text::SIZE) + 12.0 < wide {
            canvas.text("tb to", Anchor::Middle, (middle, top + tall / 2.0 + 4.0), &value);
        } else {
            canvas.text("tb", Anchor::Start, (middle + wide / 2.0 + 8.0, top + tall / 2.0 + 4.0), &value);
        }
        if is_wide {
            canvas.label("", Anchor::Start, (4.0, top + tall / 2.0 + 4.0), &part.name, left - 14.0);
            if at > 0 {
                canvas.text(
                    "tm",
                    Anchor::End,
                    (canvas.width - 6.0, top + tall / 2.0 + 4.0),
                    &format!("{share} {of_first}"),
                );
            }
        } else {
            canvas.label("", Anchor::Start, (left, top - 6.0), &part.name, canvas.width * 0.6);
            if at > 0 {
                canvas.text("tm", Anchor::End, (right, top - 6.0), &format!("{share} {of_first}"));
            }
        }
        if let Some(next) = parts.get(at + 1) {
            let (below, half) = (top + tall, width(next.value) / 2.0);
            let path = format!(
                "M{} {}L{} {1}L{} {}L{} {4}Z",
                n(middle - wide / 2.0),
                n(below),
                n(middle + wide / 2.0),
                n(middle + half),
                n(below + between),
                n(middle - half)
            );
            canvas.path("b0", &path, None);
            if part.value > 0.0 {
                let kept = format!("↓ {}", share_text(next.value, part.value, plot));
                let y = below + if is_wide { between / 2.0 + 4.0 } else { 14.0 };
                canvas.text("ts", Anchor::Middle, (middle, y), &kept);
            }
        }
        top += tall + between;
    }
    canvas.top = top - between + 4.0;
    true
}

pub(crate) fn pareto(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let parts = ranked(plot, if size == Size::Wide { MAX_BARS } else { 10 });
    let total: f64 = parts.iter().map(|part| part.value).sum();
    if parts.is_empty() {
        return false;
    }
    let language = plot.language;
    let measure = plot.measure();
    let caption = plot.x.as_ref().map_or(measure.clone(), |x| language.by(&measure, &x.label()));
    let reach = axis::reach(parts.iter().map(|part| part.value), true, 5, plot.form);
    let (area, scale) = axis::values_at_left(canvas, (plot.form, language), size, reach, 46.0, &caption);
    let shares = Scale { low: 0.0, high: 1.0, from: area.bottom(), to: area.top };
    let running = language.words().running_share;
    canvas.text("ts", Anchor::End, (canvas.width - 4.0, area.top - 13.0), running);
    for tick in scale::ticks(0.0, 1.0, 0.2, Form::Percent, language) {
        canvas.text("ts", Anchor::Start, (area.right() + 8.0, shares.at(tick.value) + 4.0), &tick.text);
    }
    let band = area.width / parts.len() as f64;
    let broad = (band * 0.76).min(56.0);
    let n = Canvas::number;
    let mut sum = 0.0;
    let mut path = String::new();
    let mut dots = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let middle = area.left + band * (at as f64 + 0.5);
        let top = scale.at(part.value);
        sum += part.value;
        let value = plot.form.value(part.value, language);
        let tip = format!("{}: {value}, {running} {}", part.name, share_text(sum, total, plot));
        let rect = Area { left: middle - broad / 2.0, top, width: broad, height: area.bottom() - top };
        let is_rest = at == parts.len() - 1 && parts_are_joined(plot, &parts);
        canvas.rect(if is_rest { "fo" } else { "f0" }, rect, 2.0, Some(&tip));
        let y = shares.at(sum / total);
        path.push_str(&format!("{}{} {}", if at == 0 { "M" } else { "L" }, n(middle), n(y)));
        dots.push((middle, y));
    }
    let eighty = shares.at(0.8);
    canvas.path("r", &format!("M{} {}H{}", n(area.left), n(eighty), n(area.right())), None);
    canvas.path("l1", &path, None);
    for dot in dots {
        canvas.circle("p1", dot, 3.0, None);
    }
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let is_slanted =
        names.iter().any(|name| text::wrap(name, 11.0, band - 4.0, 2).iter().any(|line| line.ends_with('…')));
    if is_slanted {
        numbered(canvas, area, band, &names);
    } else {
        for (at, name) in names.iter().enumerate() {
            let middle = area.left + band * (at as f64 + 0.5);
            for (line, part) in text::wrap(name, 11.0, band - 4.0, 2).iter().enumerate() {
                canvas.text("ts", Anchor::Middle, (middle, area.bottom() + 16.0 + 13.0 * line as f64), part);
            }
        }
        canvas.top = area.bottom() + 34.0;
    }
    true
}

/// Returns true if the last part is merged from several.
fn parts_are_joined(plot: &Plot, shown: &[Part]) -> bool {
    parts(plot).iter().filter(|part| part.value > 0.0).count() > shown.len()
}

/// Numbers below the bars, and the names listed below the chart, so that long names need no rotation.
fn numbered(canvas: &mut Canvas, area: Area, band: f64, names: &[&str]) {
    for at in 0..names.len() {
        canvas.text(
            "ts",
            Anchor::Middle,
            (area.left + band * (at as f64 + 0.5), area.bottom() + 16.0),
            &(at + 1).to_string(),
        );
    }
    let mut top = area.bottom() + 26.0;
    let columns = if canvas.width > 500.0 { 3 } else { 1 };
    let wide = (canvas.width - 8.0) / columns as f64;
    let lines = names.len().div_ceil(columns);
    for (at, name) in names.iter().enumerate() {
        let (column, line) = (at / lines, at % lines);
        let left = 4.0 + wide * column as f64;
        let baseline = top + LINE * (line as f64 + 1.0) - 2.0;
        canvas.text("ts", Anchor::End, (left + 16.0, baseline), &(at + 1).to_string());
        canvas.label("", Anchor::Start, (left + 24.0, baseline), name, wide - 34.0);
    }
    top += LINE * lines as f64;
    canvas.top = top + 4.0;
}
