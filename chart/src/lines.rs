//! Lines and areas, with intervals and gaps where nothing is known.

use crate::axis::{self, Swatch};
use crate::canvas::{Anchor, Area, Canvas};
use crate::grid::{Grid, Series, labels};
use crate::scale::{self, Scale, Tick};
use crate::{Form, Kind, Plot, Size, Values, style, text};

/// Lines with more points show no dots.
const MOST_DOTS: usize = 40;
/// Lines with more points are thinner.
const MANY: usize = 120;
/// More points in all have no tips.
const MOST_TIPS: usize = 1500;

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
    // names at the ends of the lines need no looking up
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
    // shares of a whole end at the whole
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
                    .filter_map(|place| Some((across.at(place)?, scale.at(lower[place]), scale.at(upper[place]))))
                    .collect();
                canvas.path(&format!("{} pc", style::class('f', shades[at])), &band(&edge), Some(&names[at]));
            }
        }
        None => {
            for (at, series) in grid.series.iter().enumerate() {
                interval(canvas, series, shades[at], &across, &scale);
                if is_area {
                    fill(canvas, series, shades[at], &across, &scale);
                }
            }
            // the rest first, so that the coloured lines lie above
            let mut order: Vec<usize> = (0..grid.series.len()).collect();
            order.sort_by_key(|at| shades[*at].is_some());
            for at in order {
                line(canvas, &grid.series[at], shades[at], &across, &scale);
            }
        }
    }
    let count: usize = grid.series.iter().map(|series| series.values.iter().flatten().count()).sum();
    if count <= MOST_TIPS {
        tips(canvas, plot, &grid, &across, |at, place| match &stacked {
            Some(stacked) => grid.series[at].values[place].map(|_| scale.at(stacked[at].1[place])),
            None => grid.series[at].values[place].map(|value| scale.at(value)),
        });
    }
    if at_ends {
        names_at_ends(canvas, &grid, &shades, &across, &scale, area);
    }
    axis::marks_below(canvas, area, &across.ticks, |value| across.scale.at(value));
    if let Some(x) = plot.x.as_ref().filter(|x| matches!(x.values, Values::Numbers(_))) {
        axis::caption_below(canvas, area, &x.label());
    }
    true
}

/// The axis from left to right: numbers and instants at their places, texts evenly.
struct Across {
    places: Vec<Option<f64>>,
    scale: Scale,
    ticks: Vec<Tick>,
    labels: Vec<String>,
}

impl Across {
    fn new(plot: &Plot, grid: &Grid, area: Area) -> Self {
        let x = plot.x.as_ref();
        let labels = labels(x.map(|x| (x.name.as_str(), &x.values)), &grid.firsts, plot.language);
        let measured = x.filter(|x| !matches!(x.values, Values::Texts(_)));
        let places: Vec<Option<f64>> = match measured {
            Some(x) => grid.firsts.iter().map(|row| x.values.number(*row)).collect(),
            None => (0..grid.firsts.len()).map(|place| Some(place as f64)).collect(),
        };
        let low = places.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let high = places.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let wanted = ((area.width / 64.0) as usize).max(2);
        let scale = Scale { low, high, from: area.left + 6.0, to: area.right() - 6.0 };
        let ticks = match measured.map(|x| &x.values) {
            Some(Values::Times(_)) if high > low => scale::time_ticks(low, high, wanted, plot.language),
            Some(Values::Numbers(_)) if high > low => {
                let (from, to, step) = scale::nice(low, high, wanted, Form::Number);
                let ticks = scale::ticks(from, to, step, Form::Number, plot.language);
                ticks.into_iter().filter(|tick| (low..=high).contains(&tick.value)).collect()
            }
            _ => {
                let every = labels.len().div_ceil(wanted.max(1)).max(1);
                let tick = |(place, text): (usize, &String)| {
                    Some(Tick { value: places[place]?, text: text::fit(text, 11.0, 110.0), below: None })
                };
                labels.iter().enumerate().step_by(every).filter_map(tick).collect()
            }
        };
        Self { places, scale, ticks, labels }
    }

    /// Where a category stands; `None` when it is not known.
    fn at(&self, place: usize) -> Option<f64> {
        self.places[place].map(|value| self.scale.at(value))
    }
}

/// The lower and upper edge of each series when they stand on one another; nothing counts as zero.
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

/// The stretches of a series between gaps, as places.
fn stretches(known: &[bool]) -> Vec<Vec<usize>> {
    let mut stretches: Vec<Vec<usize>> = vec![vec![]];
    for (place, known) in known.iter().enumerate() {
        match (known, stretches.last_mut()) {
            (true, Some(last)) => last.push(place),
            (false, Some(last)) if !last.is_empty() => stretches.push(vec![]),
            _ => {}
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

/// A closed band through points of x, lower and upper edge.
fn band(edge: &[(f64, f64, f64)]) -> String {
    let n = Canvas::number;
    let upper = edge.iter().map(|(x, _, upper)| format!("{} {}", n(*x), n(*upper)));
    let lower = edge.iter().rev().map(|(x, lower, _)| format!("{} {}", n(*x), n(*lower)));
    format!("M{}Z", upper.chain(lower).collect::<Vec<_>>().join("L"))
}

fn interval(canvas: &mut Canvas, series: &Series, shade: Option<usize>, across: &Across, scale: &Scale) {
    let ends = |place: usize| Some((across.at(place)?, scale.at(series.low[place]?), scale.at(series.high[place]?)));
    let known: Vec<bool> = (0..series.values.len()).map(|place| ends(place).is_some()).collect();
    for stretch in stretches(&known) {
        let edge: Vec<_> = stretch.into_iter().filter_map(ends).collect();
        match edge.as_slice() {
            // a single interval between gaps has no width
            [(x, low, high)] => {
                let place = Area { left: x - 3.0, top: *high, width: 6.0, height: low - high };
                canvas.rect(&style::class('b', shade.or(Some(6))), place, 0.0, None);
            }
            edge => canvas.path(&style::class('b', shade.or(Some(6))), &band(edge), None),
        }
    }
}

fn fill(canvas: &mut Canvas, series: &Series, shade: Option<usize>, across: &Across, scale: &Scale) {
    let zero = scale.at(0.0);
    let edge = |place: usize| Some((across.at(place)?, zero, scale.at(series.values[place]?)));
    let known: Vec<bool> = (0..series.values.len()).map(|place| edge(place).is_some()).collect();
    for stretch in stretches(&known).into_iter().filter(|stretch| stretch.len() > 1) {
        let edge: Vec<_> = stretch.into_iter().filter_map(edge).collect();
        canvas.path(&style::class('b', shade.or(Some(6))), &band(&edge), None);
    }
}

fn line(canvas: &mut Canvas, series: &Series, shade: Option<usize>, across: &Across, scale: &Scale) {
    let point = |place: usize| Some((across.at(place)?, scale.at(series.values[place]?)));
    let known: Vec<bool> = (0..series.values.len()).map(|place| point(place).is_some()).collect();
    let n = Canvas::number;
    let mut path = String::new();
    let count = known.iter().filter(|known| **known).count();
    for stretch in stretches(&known) {
        let points: Vec<(f64, f64)> = stretch.into_iter().filter_map(point).collect();
        if let [(x, y)] = points.as_slice()
            && count > MOST_DOTS
        {
            // between two gaps: a dot, or nobody would see it
            canvas.circle(&style::class('f', shade), (*x, *y), 2.0, None);
        }
        let texts: Vec<String> = points.iter().map(|(x, y)| format!("{} {}", n(*x), n(*y))).collect();
        path.push('M');
        path.push_str(&texts.join("L"));
    }
    let class = style::class('l', shade);
    let class = if count > MANY { format!("{class} fine") } else { class };
    canvas.path(&class, &path, None);
    if count <= MOST_DOTS && shade.is_some() {
        for (x, y) in (0..series.values.len()).filter_map(point) {
            canvas.circle(&style::class('p', shade), (x, y), 3.2, None);
        }
    }
}

/// Circles that nobody sees and that tell what is below the pointer.
fn tips(canvas: &mut Canvas, plot: &Plot, grid: &Grid, across: &Across, height: impl Fn(usize, usize) -> Option<f64>) {
    for (at, series) in grid.series.iter().enumerate() {
        for (place, value) in series.values.iter().enumerate() {
            let (Some(value), Some(x), Some(y)) = (value, across.at(place), height(at, place)) else { continue };
            let value = plot.form.value(*value, plot.language);
            let name = if grid.series.len() > 1 { format!(", {}", series.name) } else { String::new() };
            let ends = series.low[place].zip(series.high[place]).map(|(low, high)| {
                format!(" ({} – {})", plot.form.value(low, plot.language), plot.form.value(high, plot.language))
            });
            let tip = format!("{}{name}: {value}{}", across.labels[place], ends.unwrap_or_default());
            canvas.circle("x", (x, y), 7.0, Some(&tip));
        }
    }
}

/// Writes each name beside the end of its line, moved apart where they would touch.
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
            (0..series.values.len()).rev().find_map(|place| Some((across.at(place)?, scale.at(series.values[place]?))));
        if let Some((x, y)) = last {
            ends.push((y, x, at));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    const APART: f64 = 15.0;
    let mut places: Vec<f64> = ends.iter().map(|end| end.0).collect();
    for at in 1..places.len() {
        places[at] = places[at].max(places[at - 1] + APART);
    }
    // the lowest may not leave the chart; those above make room
    let mut limit = area.bottom() - 2.0;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - APART;
    }
    for ((y, x, at), place) in ends.into_iter().zip(places) {
        let left = area.right() + 8.0;
        if (place - y).abs() > 3.0 || area.right() - x > 12.0 {
            let n = Canvas::number;
            canvas.path("r", &format!("M{} {}L{} {}", n(x + 4.0), n(y), n(left - 2.0), n(place)), None);
        }
        canvas.circle(&style::class('f', shades[at]), (left + 3.0, place), 3.5, None);
        let room = canvas.width - left - 12.0;
        canvas.label("", Anchor::Start, (left + 11.0, place + 4.0), &grid.series[at].name, room);
    }
}
