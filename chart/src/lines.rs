//! Line and area charts, with intervals, and gaps at NULL values.

use crate::axis::{self, Swatch};
use crate::canvas::{Anchor, Area, Canvas};
use crate::grid::{Grid, Series, labels};
use crate::scale::{self, Scale, Tick};
use crate::{Form, Kind, Plot, Size, Values, style, text};

/// Lines with more points than this have no dots.
const MAX_DOTS: usize = 40;
/// Lines with more points than this are thinner.
const MANY: usize = 120;
/// Charts with more points than this have no tooltips.
const MAX_TIPS: usize = 1500;

pub(crate) fn draw(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let mut grid = Grid::new(plot);
    if !grid.has_values() {
        return false;
    }
    if let Some(x) = &plot.x {
        grid.sort_by(&x.values);
    }
    let is_area = plot.kind == Kind::Area;
    let shades = grid.shades();
    let names: Vec<String> = grid.series.iter().map(|series| series.name.clone()).collect();
    let is_many = grid.series.len() > 1;
    // names at the ends of the lines replace a legend
    let at_ends = !is_area && is_many && grid.series.len() <= 6 && size == Size::Wide;
    let right = if at_ends {
        names.iter().map(|name| text::width(name, text::SIZE)).fold(0.0, f64::max).min(170.0) + 22.0
    } else {
        14.0
    };
    if is_many && !at_ends {
        let swatch = if is_area { Swatch::Square } else { Swatch::Line };
        axis::legend(canvas, &axis::entries(&names, &shades, swatch, plot));
    }
    let stacked = plot.is_stacked.then(|| stack(&grid));
    let values: Vec<f64> = match &stacked {
        Some(_) => grid.stacks().into_iter().flat_map(|(below, above)| [below, above]).collect(),
        None => grid.numbers().collect(),
    };
    let mut reach = axis::reach(values.into_iter(), is_area, 5, plot.form);
    // stacked shares end at 100%
    if plot.form == Form::Percent && plot.is_stacked && reach.1 > 1.0 && reach.1 < 1.3 {
        reach.1 = 1.0;
        reach.2 = 0.25;
    }
    let caption = if is_many && plot.series.is_none() { String::new() } else { plot.measure() };
    let (area, scale) = axis::values_at_left(canvas, (plot.form, plot.language), size, reach, right, &caption);
    let across = Across::new(plot, &grid, area);
    match &stacked {
        Some(stacked) => {
            for (at, (lower, upper)) in stacked.iter().enumerate() {
                let edge: Vec<(f64, f64, f64)> = (0..grid.firsts.len())
                    .filter_map(|index| Some((across.at(index)?, scale.at(lower[index]), scale.at(upper[index]))))
                    .collect();
                canvas.path(&format!("{} pc", style::class('f', shades[at])), &band(&edge), Some(&names[at]));
            }
            veil(canvas, &grid, &across, area);
        }
        None => {
            for (at, series) in grid.series.iter().enumerate() {
                interval(canvas, series, shades[at], &across, &scale);
                if is_area {
                    fill(canvas, series, shades[at], &across, &scale);
                }
            }
            if is_area {
                veil(canvas, &grid, &across, area);
            }
            // uncoloured series first, so that the coloured lines are drawn on top
            let mut order: Vec<usize> = (0..grid.series.len()).collect();
            order.sort_by_key(|at| shades[*at].is_some());
            for at in order {
                line(canvas, &grid.series[at], shades[at], &across, &scale);
            }
        }
    }
    let count: usize = grid.series.iter().map(|series| series.values.iter().flatten().count()).sum();
    if count <= MAX_TIPS {
        tips(canvas, plot, &grid, &across, |at, index| match &stacked {
            Some(stacked) => grid.series[at].values[index].map(|_| scale.at(stacked[at].1[index])),
            None => grid.series[at].values[index].map(|value| scale.at(value)),
        });
    }
    if at_ends {
        names_at_ends(canvas, &grid, &shades, &across, &scale, area);
    }
    axis::marks_below(canvas, area, &across.ticks, |value| across.scale.at(value));
    if let Some(x) = plot.x.as_ref().filter(|x| matches!(x.values, Values::Numbers(_))) {
        axis::caption_below(canvas, area, &x.label());
    }
    for note in plot.language.weak_values(plot, &grid) {
        canvas.note(&note);
    }
    true
}

/// The x axis: numbers and timestamps to scale, strings evenly spaced.
struct Across {
    positions: Vec<Option<f64>>,
    scale: Scale,
    ticks: Vec<Tick>,
    labels: Vec<String>,
}

impl Across {
    fn new(plot: &Plot, grid: &Grid, area: Area) -> Self {
        let x = plot.x.as_ref();
        let labels = labels(x.map(|x| (x.name.as_str(), &x.values)), &grid.firsts, plot.language);
        let measured = x.filter(|x| !matches!(x.values, Values::Strings(_)));
        let positions: Vec<Option<f64>> = match measured {
            Some(x) => grid.firsts.iter().map(|row| x.values.number(*row)).collect(),
            None => (0..grid.firsts.len()).map(|index| Some(index as f64)).collect(),
        };
        let low = positions.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let high = positions.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let wanted = ((area.width / 64.0) as usize).max(2);
        let scale = Scale { low, high, from: area.left + 6.0, to: area.right() - 6.0 };
        let ticks = match measured.map(|x| &x.values) {
            Some(Values::Timestamps(_)) if high > low => scale::time_ticks(low, high, wanted, plot.language),
            Some(Values::Numbers(_)) if high > low => {
                let (from, to, step) = scale::nice(low, high, wanted, Form::Number);
                let ticks = scale::ticks(from, to, step, Form::Number, plot.language);
                ticks.into_iter().filter(|tick| (low..=high).contains(&tick.value)).collect()
            }
            _ => {
                let every = labels.len().div_ceil(wanted.max(1)).max(1);
                let tick = |(index, text): (usize, &String)| {
                    Some(Tick { value: positions[index]?, text: text::fit(text, 11.0, 110.0), below: None })
                };
                labels.iter().enumerate().step_by(every).filter_map(tick).collect()
            }
        };
        Self { positions, scale, ticks, labels }
    }

    /// The x position of a category; `None` for NULL.
    fn at(&self, index: usize) -> Option<f64> {
        self.positions[index].map(|value| self.scale.at(value))
    }
}

/// The lower and upper edge of each stacked series; NULL counts as zero.
fn stack(grid: &Grid) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut below = vec![0.0; grid.firsts.len()];
    let edges = grid.series.iter().map(|series| {
        let lower = below.clone();
        for (sum, value) in below.iter_mut().zip(&series.values) {
            *sum += value.unwrap_or(0.0).max(0.0);
        }
        (lower, below.clone())
    });
    edges.collect()
}

/// The index ranges of a series between gaps.
fn stretches(known: &[bool]) -> Vec<Vec<usize>> {
    let mut stretches: Vec<Vec<usize>> = vec![vec![]];
    for (index, known) in known.iter().enumerate() {
        match (known, stretches.last_mut()) {
            (true, Some(last)) => last.push(index),
            (false, Some(last)) if !last.is_empty() => stretches.push(vec![]),
            _ => {}
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

/// Pales an area where the data cover only a part of a period.
fn veil(canvas: &mut Canvas, grid: &Grid, across: &Across, area: Area) {
    for index in grid.partial() {
        let Some(at) = across.at(index) else { continue };
        let near =
            |neighbour: Option<usize>| neighbour.and_then(|index| across.positions.get(index).copied().flatten());
        let (before, after) = (near(index.checked_sub(1)), near(Some(index + 1)));
        let left = before.map_or(at, |before| (across.scale.at(before) + at) / 2.0);
        let right = after.map_or(at, |after| (across.scale.at(after) + at) / 2.0);
        if right > left {
            canvas.rect("veil", Area { left, top: area.top, width: right - left, height: area.height }, 0.0, None);
        }
    }
}

/// A closed path through points (x, lower edge, upper edge).
fn band(edge: &[(f64, f64, f64)]) -> String {
    let n = Canvas::number;
    let upper = edge.iter().map(|(x, _, upper)| format!("{} {}", n(*x), n(*upper)));
    let lower = edge.iter().rev().map(|(x, lower, _)| format!("{} {}", n(*x), n(*lower)));
    format!("M{}Z", upper.chain(lower).collect::<Vec<_>>().join("L"))
}

fn interval(canvas: &mut Canvas, series: &Series, shade: Option<usize>, across: &Across, scale: &Scale) {
    let ends = |index: usize| Some((across.at(index)?, scale.at(series.low[index]?), scale.at(series.high[index]?)));
    let known: Vec<bool> = (0..series.values.len()).map(|index| ends(index).is_some()).collect();
    for stretch in stretches(&known) {
        let edge: Vec<_> = stretch.into_iter().filter_map(ends).collect();
        match edge.as_slice() {
            // a single point between gaps has no width
            [(x, low, high)] => {
                let rect = Area { left: x - 3.0, top: *high, width: 6.0, height: low - high };
                canvas.rect(&style::class('b', shade.or(Some(6))), rect, 0.0, None);
            }
            edge => canvas.path(&style::class('b', shade.or(Some(6))), &band(edge), None),
        }
    }
}

fn fill(canvas: &mut Canvas, series: &Series, shade: Option<usize>, across: &Across, scale: &Scale) {
    let zero = scale.at(0.0);
    let edge = |index: usize| Some((across.at(index)?, zero, scale.at(series.values[index]?)));
    let known: Vec<bool> = (0..series.values.len()).map(|index| edge(index).is_some()).collect();
    for stretch in stretches(&known).into_iter().filter(|stretch| stretch.len() > 1) {
        let edge: Vec<_> = stretch.into_iter().filter_map(edge).collect();
        canvas.path(&style::class('b', shade.or(Some(6))), &band(&edge), None);
    }
}

fn line(canvas: &mut Canvas, series: &Series, shade: Option<usize>, across: &Across, scale: &Scale) {
    let point = |index: usize| Some((across.at(index)?, scale.at(series.values[index]?)));
    let known: Vec<bool> = (0..series.values.len()).map(|index| point(index).is_some()).collect();
    // values of few cases stand alone: a line to them would show a change that is chance
    let joined: Vec<bool> = known.iter().zip(&series.few).map(|(known, few)| *known && !few).collect();
    let n = Canvas::number;
    let (mut path, mut dashes) = (String::new(), String::new());
    let count = known.iter().filter(|known| **known).count();
    for stretch in stretches(&joined) {
        if let [index] = stretch.as_slice()
            && let Some((x, y)) = point(*index)
        {
            path.push_str(&format!("M{} {}", n(x), n(y)));
            if count > MAX_DOTS {
                // a single point between gaps: a line of one point would be invisible
                canvas.circle(&style::class('f', shade), (x, y), 2.0, None);
            }
        }
        // a piece to or from a part of a period is dashed
        let mut is_open = false;
        for pair in stretch.windows(2) {
            let (Some((x1, y1)), Some((x2, y2))) = (point(pair[0]), point(pair[1])) else { continue };
            if series.partial[pair[0]] || series.partial[pair[1]] {
                dashes.push_str(&format!("M{} {}L{} {}", n(x1), n(y1), n(x2), n(y2)));
                is_open = false;
                continue;
            }
            if !is_open {
                path.push_str(&format!("M{} {}", n(x1), n(y1)));
            }
            path.push_str(&format!("L{} {}", n(x2), n(y2)));
            is_open = true;
        }
    }
    let class = style::class('l', shade);
    let class = if count > MANY { format!("{class} fine") } else { class };
    if !path.is_empty() {
        canvas.path(&class, &path, None);
    }
    if !dashes.is_empty() {
        canvas.path(&format!("{class} dash"), &dashes, None);
    }
    for index in 0..series.values.len() {
        let Some(at) = point(index) else { continue };
        let is_weak = series.partial[index] || series.few[index];
        match shade {
            Some(_) if is_weak && (count <= MANY || series.partial[index]) => {
                canvas.circle(&style::class('o', shade), at, 3.2, None);
            }
            Some(_) if count <= MAX_DOTS => canvas.circle(&style::class('p', shade), at, 3.2, None),
            _ => {}
        }
    }
}

/// Invisible circles that carry the tooltips.
fn tips(canvas: &mut Canvas, plot: &Plot, grid: &Grid, across: &Across, height: impl Fn(usize, usize) -> Option<f64>) {
    for (at, series) in grid.series.iter().enumerate() {
        for (index, value) in series.values.iter().enumerate() {
            let (Some(value), Some(x), Some(y)) = (value, across.at(index), height(at, index)) else { continue };
            let value = plot.form.value(*value, plot.language);
            let name = if grid.series.len() > 1 { format!(", {}", series.name) } else { String::new() };
            let ends = series.low[index].zip(series.high[index]).map(|(low, high)| {
                format!(" ({} – {})", plot.form.value(low, plot.language), plot.form.value(high, plot.language))
            });
            let tip = format!("{}{name}: {value}{}", across.labels[index], ends.unwrap_or_default());
            canvas.circle("x", (x, y), 7.0, Some(&tip));
        }
    }
}

/// Writes each name at the end of its line, moved apart where names would overlap.
fn names_at_ends(
    canvas: &mut Canvas,
    grid: &Grid,
    shades: &[Option<usize>],
    across: &Across,
    scale: &Scale,
    area: Area,
) {
    let mut ends: Vec<(f64, f64, usize)> = Vec::new();
    for (at, series) in grid.series.iter().enumerate() {
        let last =
            (0..series.values.len()).rev().find_map(|index| Some((across.at(index)?, scale.at(series.values[index]?))));
        if let Some((x, y)) = last {
            ends.push((y, x, at));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    const APART: f64 = 15.0;
    let mut label_ys: Vec<f64> = ends.iter().map(|end| end.0).collect();
    for at in 1..label_ys.len() {
        label_ys[at] = label_ys[at].max(label_ys[at - 1] + APART);
    }
    // the lowest stays inside the chart; those above move up
    let mut limit = area.bottom() - 2.0;
    for label_y in label_ys.iter_mut().rev() {
        *label_y = label_y.min(limit);
        limit = *label_y - APART;
    }
    for ((y, x, at), label_y) in ends.into_iter().zip(label_ys) {
        let left = area.right() + 8.0;
        if (label_y - y).abs() > 3.0 || area.right() - x > 12.0 {
            let n = Canvas::number;
            canvas.path("r", &format!("M{} {}L{} {}", n(x + 4.0), n(y), n(left - 2.0), n(label_y)), None);
        }
        canvas.circle(&style::class('f', shades[at]), (left + 3.0, label_y), 3.5, None);
        let room = canvas.width - left - 12.0;
        canvas.label("", Anchor::Start, (left + 11.0, label_y + 4.0), &grid.series[at].name, room);
    }
}
