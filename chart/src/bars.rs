//! Bar charts: vertical or horizontal, grouped or stacked, with intervals.

use crate::axis::{self, Swatch};
use crate::canvas::{Anchor, Area, Canvas, LINE};
use crate::grid::{Grid, labels};
use crate::scale::{self, Scale};
use crate::{Plot, Size, Values, style, text};

/// Limit of horizontal bars: more are not readable.
const MAX_HORIZONTAL: usize = 40;
/// Limit of vertical bars: more would be thinner than a line.
const MAX_VERTICAL: usize = 400;
/// Limit of vertical bars on a time axis, most of which may be empty.
const MAX_TIMES: usize = 4000;
/// Maximum width of a vertical bar.
const MAX_BAR_WIDTH: f64 = 46.0;

pub(crate) fn draw(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let mut grid = Grid::new(plot);
    if !grid.has_values() {
        return false;
    }
    let all = grid.firsts.len();
    let is_time = matches!(plot.x.as_ref().map(|x| &x.values), Some(Values::Timestamps(_)));
    let is_category = matches!(plot.x.as_ref().map(|x| &x.values), Some(Values::Strings(_)) | None);
    let names = category_names(plot, &grid);
    let is_horizontal = plot.is_horizontal.unwrap_or_else(|| is_category && !fits_below(&names, size.width() - 60.0));
    let most = match (is_horizontal, is_time) {
        (true, _) => MAX_HORIZONTAL,
        (false, true) => MAX_TIMES,
        (false, false) => MAX_VERTICAL,
    };
    let selection = grid.select(most, plot);
    let names = category_names(plot, &grid);
    if grid.series.len() > 1 {
        let series: Vec<String> = grid.series.iter().map(|series| series.name.clone()).collect();
        axis::legend(canvas, &axis::entries(&series, &grid.shades(), Swatch::Square, plot));
    }
    if is_horizontal {
        horizontal(canvas, plot, size, &grid, &names)
    } else {
        vertical(canvas, plot, size, &grid, &names)
    }
    if let Some(selection) = selection {
        canvas.note(&plot.language.selected(selection, most, all));
    }
    for note in plot.language.weak_values(plot, &grid) {
        canvas.note(&note);
    }
    true
}

fn category_names(plot: &Plot, grid: &Grid) -> Vec<String> {
    labels(plot.x.as_ref().map(|x| (x.name.as_str(), &x.values)), &grid.firsts, plot.language)
}

/// Returns true if all names fit below vertical bars in at most two lines.
fn fits_below(names: &[String], room: f64) -> bool {
    let band = room / names.len().max(1) as f64 - 6.0;
    let is_short = |name: &String| {
        let lines = text::wrap(name, 11.0, band, 2);
        lines.iter().all(|line| !line.ends_with('…') || name.ends_with('…'))
    };
    names.len() <= 24 && names.iter().all(is_short)
}

fn caption(plot: &Plot) -> String {
    let measure = if plot.series.is_some() || plot.y.len() == 1 { plot.measure() } else { String::new() };
    match plot.x.as_ref() {
        Some(x) if !measure.is_empty() => plot.language.by(&measure, &x.label()),
        _ => measure,
    }
}

/// The values that the value axis must include.
fn extent(plot: &Plot, grid: &Grid) -> Vec<f64> {
    match plot.is_stacked {
        true => grid.stacks().into_iter().flat_map(|(below, above)| [below, above]).collect(),
        false => grid.numbers().collect(),
    }
}

/// One bar: its ends on the value axis, category, series, value and interval.
struct Bar {
    category: usize,
    series: usize,
    from: f64,
    to: f64,
    value: f64,
    interval: Option<(f64, f64)>,
    /// Whether it is drawn lighter: of a part of its period, or of few cases.
    is_weak: bool,
}

impl Bar {
    fn class(&self, shades: &[Option<usize>]) -> String {
        let class = style::class('f', shades[self.series]);
        if self.is_weak { format!("{class} weak") } else { class }
    }
}

fn all_bars(plot: &Plot, grid: &Grid) -> Vec<Bar> {
    let mut bars = Vec::new();
    for category in 0..grid.firsts.len() {
        let (mut below, mut above) = (0.0, 0.0);
        for (at, series) in grid.series.iter().enumerate() {
            let Some(value) = series.values[category] else { continue };
            let start = match (plot.is_stacked, value >= 0.0) {
                (false, _) => 0.0,
                (true, true) => above,
                (true, false) => below,
            };
            if value >= 0.0 {
                above += value
            } else {
                below += value
            }
            let interval = series.low[category].zip(series.high[category]).filter(|_| !plot.is_stacked);
            let is_weak = series.partial[category] || series.few[category];
            bars.push(Bar { category, series: at, from: start, to: start + value, value, interval, is_weak });
        }
    }
    bars
}

fn tip(plot: &Plot, grid: &Grid, names: &[String], bar: &Bar) -> String {
    let value = plot.form.value(bar.value, plot.language);
    let series = if grid.series.len() > 1 { format!(", {}", grid.series[bar.series].name) } else { String::new() };
    let interval = bar.interval.map(|(low, high)| {
        format!(" ({} – {})", plot.form.value(low, plot.language), plot.form.value(high, plot.language))
    });
    format!("{}{series}: {value}{}", names[bar.category], interval.unwrap_or_default())
}

fn vertical(canvas: &mut Canvas, plot: &Plot, size: Size, grid: &Grid, names: &[String]) {
    let values = extent(plot, grid);
    let reach = axis::reach(values.into_iter(), true, 5, plot.form);
    let (area, scale) = axis::values_at_left(canvas, (plot.form, plot.language), size, reach, 8.0, &caption(plot));
    let band = area.width / names.len() as f64;
    let beside = if plot.is_stacked { 1 } else { grid.series.len() };
    let group = (band * 0.76).min(MAX_BAR_WIDTH * beside as f64).max(band.min(1.0));
    let broad = group / beside as f64;
    let center = |category: usize| area.left + band * (category as f64 + 0.5);
    let shades = grid.shades();
    let is_alone = grid.series.len() == 1;
    for bar in all_bars(plot, grid) {
        let offset = if plot.is_stacked { 0 } else { bar.series };
        let left = center(bar.category) - group / 2.0 + broad * offset as f64;
        let (top, bottom) = (scale.at(bar.from.max(bar.to)), scale.at(bar.from.min(bar.to)));
        let gap = if broad > 6.0 && beside > 1 { 1.0 } else { 0.0 };
        let rect = Area { left, top, width: (broad - gap).max(0.8), height: (bottom - top).max(0.6) };
        let round = if plot.is_stacked || broad < 8.0 { 0.0 } else { 2.0 };
        canvas.rect(&bar.class(&shades), rect, round, Some(&tip(plot, grid, names, &bar)));
        let middle = left + (broad - gap) / 2.0;
        if let Some((low, high)) = bar.interval {
            let half = (broad / 5.0).clamp(1.5, 5.0);
            let (low, high) = (scale.at(low), scale.at(high));
            let n = Canvas::number;
            let path = format!(
                "M{0} {2}V{3}M{1} {2}h{4}M{1} {3}h{4}",
                n(middle),
                n(middle - half),
                n(high),
                n(low),
                n(half * 2.0)
            );
            canvas.path("w", &path, None);
        } else if is_alone && names.len() <= 16 {
            let formatted = plot.form.value(bar.value, plot.language);
            if text::width(&formatted, 11.0) < band - 4.0 {
                let y = if bar.value >= 0.0 { top - 5.0 } else { bottom + 12.0 };
                canvas.text("ts", Anchor::Middle, (middle, y), &formatted);
            }
        }
    }
    names_below(canvas, plot, grid, names, area, band);
}

/// The category labels below the axis: wrapped, or every n-th when there are many.
fn names_below(canvas: &mut Canvas, plot: &Plot, grid: &Grid, names: &[String], area: Area, band: f64) {
    let center = |category: usize| area.left + band * (category as f64 + 0.5);
    let x = plot.x.as_ref();
    if let Some(Values::Timestamps(_)) = x.map(|x| &x.values) {
        let times: Option<Vec<f64>> = grid.firsts.iter().map(|row| x.and_then(|x| x.values.number(*row))).collect();
        if let Some(times) = times.filter(|times| is_regular(times)) {
            let last = times.len() - 1;
            let scale = Scale { low: times[0], high: times[last], from: center(0), to: center(last) };
            let wanted = (area.width / 60.0) as usize;
            let ticks = scale::time_ticks(times[0], times[last], wanted, plot.language);
            if ticks.len() >= 2 {
                return axis::marks_below(canvas, area, &ticks, |value| scale.at(value));
            }
        }
    }
    let widest = names.iter().map(|name| text::width(name, 11.0)).fold(0.0, f64::max);
    let is_category = matches!(x.map(|x| &x.values), Some(Values::Strings(_)) | None);
    let every = if is_category && names.len() <= 24 { 1 } else { ((widest + 10.0) / band).ceil().max(1.0) as usize };
    let mut most = 1;
    for (category, name) in names.iter().enumerate().filter(|(category, _)| category % every == 0) {
        let lines = text::wrap(name, 11.0, band * every as f64 - 4.0, if every == 1 { 2 } else { 1 });
        most = most.max(lines.len());
        for (line, part) in lines.iter().enumerate() {
            canvas.text("ts", Anchor::Middle, (center(category), area.bottom() + 16.0 + 13.0 * line as f64), part);
        }
    }
    canvas.top = area.bottom() + 9.0 + 13.0 * most as f64 + 2.0;
    if matches!(x.map(|x| &x.values), Some(Values::Numbers(_)))
        && let Some(x) = x
    {
        axis::caption_below(canvas, area, &x.label());
    }
}

/// Returns true if timestamps are about evenly spaced, as months are.
fn is_regular(times: &[f64]) -> bool {
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let least = gaps.iter().copied().fold(f64::INFINITY, f64::min);
    let most = gaps.iter().copied().fold(0.0, f64::max);
    times.len() > 2 && least > 0.0 && most <= least * 1.5
}

fn horizontal(canvas: &mut Canvas, plot: &Plot, size: Size, grid: &Grid, names: &[String]) {
    let beside = if plot.is_stacked { 1 } else { grid.series.len() };
    let broad = match beside {
        1 => 18.0,
        2 => 13.0,
        _ => 10.0,
    };
    let band = broad * beside as f64 + if beside == 1 { 9.0 } else { 12.0 };
    let caption = caption(plot);
    if !caption.is_empty() {
        canvas.label("ts", Anchor::Start, (4.0, canvas.top + 11.0), &caption, canvas.width - 8.0);
        canvas.top += LINE + 2.0;
    }
    let widest = names.iter().map(|name| text::width(name, text::SIZE)).fold(0.0, f64::max);
    let left = (widest + 14.0).min(size.width() * 0.42);
    let has_values = !plot.is_stacked && beside <= 3;
    let bars = all_bars(plot, grid);
    let formatted: Vec<String> = bars.iter().map(|bar| plot.form.value(bar.value, plot.language)).collect();
    let longest = formatted.iter().map(|formatted| text::width(formatted, 11.0)).fold(0.0, f64::max);
    let right = if has_values { longest + 14.0 } else { 20.0 };
    let area =
        Area { left, top: canvas.top + 4.0, width: canvas.width - left - right, height: band * names.len() as f64 };
    let wanted = if size == Size::Wide { 6 } else { 3 };
    let (low, high, step) = axis::reach(extent(plot, grid).into_iter(), true, wanted, plot.form);
    let scale = Scale { low, high, from: area.left, to: area.right() };
    let ticks = scale::ticks(low, high, step, plot.form, plot.language);
    for tick in &ticks {
        let x = scale.at(tick.value);
        canvas.line(if tick.value == 0.0 { "a" } else { "g" }, (x, area.top), (x, area.bottom()));
    }
    let shades = grid.shades();
    for (category, name) in names.iter().enumerate() {
        let middle = area.top + band * (category as f64 + 0.5);
        canvas.label("", Anchor::End, (left - 8.0, middle + 4.0), name, left - 12.0);
    }
    for (bar, formatted) in bars.iter().zip(&formatted) {
        let offset = if plot.is_stacked { 0 } else { bar.series };
        let group = broad * beside as f64;
        let top = area.top + band * (bar.category as f64 + 0.5) - group / 2.0 + broad * offset as f64;
        let (start, end) = (scale.at(bar.from.min(bar.to)), scale.at(bar.from.max(bar.to)));
        let gap = if beside > 1 { 1.0 } else { 0.0 };
        let rect = Area { left: start, top, width: (end - start).max(0.6), height: broad - gap };
        let round = if plot.is_stacked { 0.0 } else { 2.0 };
        canvas.rect(&bar.class(&shades), rect, round, Some(&tip(plot, grid, names, bar)));
        let middle = top + (broad - gap) / 2.0;
        let mut free = end;
        if let Some((low, high)) = bar.interval {
            let (low, high) = (scale.at(low), scale.at(high));
            let n = Canvas::number;
            canvas.path(
                "w",
                &format!("M{} {}H{}M{0} {3}v6M{2} {3}v6", n(low), n(middle), n(high), n(middle - 3.0)),
                None,
            );
            free = free.max(high);
        }
        if has_values {
            let at = if bar.value < 0.0 { end.max(scale.at(0.0)) } else { free };
            canvas.text("ts", Anchor::Start, (at + 6.0, middle + 4.0), formatted);
        }
    }
    axis::marks_below(canvas, area, &ticks, |value| scale.at(value));
}
