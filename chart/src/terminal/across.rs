//! Charts with two axes, drawn in braille with `ratatui-widgets`.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Style};
use ratatui_core::symbols::Marker;
use ratatui_core::text::Line;
use ratatui_core::widgets::Widget;
use ratatui_widgets::chart::{Axis, Chart, Dataset, GraphType};

use super::{PALETTE, Screen, columns, fit};
use crate::grid::{Grid, labels};
use crate::scale::time_labels;
use crate::{Form, Plot, Values, axis, points, stats};

/// The height of a chart, in lines.
const HEIGHT: u16 = 15;
/// Limit of series: more are not distinguishable on a terminal.
const MAX_SERIES: usize = 7;
/// The markers of series without colours.
const MARKERS: [Marker; 4] = [Marker::Braille, Marker::Dot, Marker::HalfBlock, Marker::Block];

/// Consecutive points of a series.
struct Stretch {
    series: Option<usize>,
    points: Vec<(f64, f64)>,
    is_line: bool,
}

pub(super) fn lines(plot: &Plot, screen: Screen) -> Vec<String> {
    let mut grid = Grid::new(plot);
    if !grid.has_values() {
        return vec![];
    }
    if let Some(x) = &plot.x {
        grid.sort_by(&x.values);
    }
    let positions: Vec<Option<f64>> = match &plot.x {
        Some(x) if !matches!(x.values, Values::Strings(_)) => {
            grid.firsts.iter().map(|row| x.values.number(*row)).collect()
        }
        _ => (0..grid.firsts.len()).map(|index| Some(index as f64)).collect(),
    };
    let shades = grid.shades();
    let mut stretches = Vec::new();
    let mut below = vec![0.0; grid.firsts.len()];
    for (at, series) in
        grid.series.iter().enumerate().filter(|(at, _)| shades[*at].is_some_and(|shade| shade < MAX_SERIES))
    {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (index, value) in series.values.iter().enumerate() {
            if let (Some(x), Some(value), true) = (positions[index], value, series.few[index]) {
                // no line to a value of few cases
                if !points.is_empty() {
                    let points = std::mem::take(&mut points);
                    stretches.push(Stretch { series: shades[at], is_line: points.len() > 1, points });
                }
                stretches.push(Stretch { series: shades[at], points: vec![(x, *value)], is_line: false });
                continue;
            }
            match (positions[index], value) {
                (Some(x), Some(value)) => {
                    below[index] += value;
                    points.push((x, if plot.is_stacked { below[index] } else { *value }));
                }
                _ if points.is_empty() => {}
                _ => {
                    let points = std::mem::take(&mut points);
                    stretches.push(Stretch { series: shades[at], is_line: points.len() > 1, points });
                }
            }
        }
        if !points.is_empty() {
            stretches.push(Stretch { series: shades[at], is_line: points.len() > 1, points });
        }
    }
    // formatted together, so that both have the same precision
    let ends: Vec<usize> = grid.firsts.first().into_iter().chain(grid.firsts.last()).copied().collect();
    let ends = labels(plot.x.as_ref().map(|x| (x.name.as_str(), &x.values)), &ends, plot.language);
    let ends = [ends.first(), ends.last()].map(|end| end.cloned().unwrap_or_default());
    let names: Vec<(String, Option<usize>)> = grid
        .series
        .iter()
        .zip(&shades)
        .map(|(series, shade)| (series.name.clone(), shade.filter(|shade| *shade < MAX_SERIES)))
        .collect();
    let mut lines = draw(plot, screen, &stretches, &names, ends);
    lines.extend(super::down::weak_values(plot, &grid, screen));
    lines
}

pub(super) fn points(plot: &Plot, screen: Screen) -> Vec<String> {
    let points = points::points(plot);
    if points.is_empty() {
        return vec![];
    }
    let pairs: Vec<(f64, f64)> = points.iter().map(|point| (point.x, point.y)).collect();
    let low = pairs.iter().map(|pair| pair.0).fold(f64::INFINITY, f64::min);
    let high = pairs.iter().map(|pair| pair.0).fold(f64::NEG_INFINITY, f64::max);
    let mut stretches = vec![Stretch { series: Some(0), points: pairs.clone(), is_line: false }];
    if let Some(line) = stats::least_squares(&pairs).filter(|_| plot.has_trend) {
        let at = |x: f64| (x, line.intercept + line.slope * x);
        stretches.push(Stretch { series: Some(1), points: vec![at(low), at(high)], is_line: true });
    }
    let is_time = matches!(plot.x.as_ref().map(|x| &x.values), Some(Values::Timestamps(_)));
    let mut times = time_labels(&[Some(low), Some(high)], plot.language).into_iter().flatten();
    let ends = [low, high].map(|value| match is_time {
        true => times.next().unwrap_or_default(),
        false => Form::Number.value(value, plot.language),
    });
    draw(plot, screen, &stretches, &[], ends)
}

fn draw(
    plot: &Plot,
    screen: Screen,
    stretches: &[Stretch],
    names: &[(String, Option<usize>)],
    ends: [String; 2],
) -> Vec<String> {
    let all = || stretches.iter().flat_map(|stretch| &stretch.points);
    let (low, high, step) = axis::reach(all().map(|point| point.1), false, 4, plot.form);
    let from = all().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let to = all().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
    let (from, to) = if from < to { (from, to) } else { (from - 1.0, to + 1.0) };
    let style = |series: Option<usize>| match screen.has_color {
        true => Style::default().fg(Color::Indexed(series.map_or(8, |series| PALETTE[series % PALETTE.len()]))),
        false => Style::default(),
    };
    let marker = |series: Option<usize>| match screen.has_color {
        true => Marker::Braille,
        false => MARKERS[series.unwrap_or(0) % MARKERS.len()],
    };
    let datasets = stretches.iter().map(|stretch| {
        Dataset::default()
            .data(&stretch.points)
            .marker(marker(stretch.series))
            .graph_type(if stretch.is_line { GraphType::Line } else { GraphType::Scatter })
            .style(style(stretch.series))
    });
    let count = ((high - low) / step).round() as usize;
    let formatted: Vec<Line<'_>> =
        (0..=count).map(|mark| Line::from(plot.form.tick(low + step * mark as f64, step, plot.language))).collect();
    let [first, last] = ends;
    let chart = Chart::new(datasets.collect())
        .x_axis(Axis::default().bounds([from, to]).labels([Line::from(first), Line::from(last)]))
        .y_axis(Axis::default().bounds([low, high]).labels(formatted))
        .legend_position(None);
    let area = Rect::new(0, 0, u16::try_from(screen.width).unwrap_or(u16::MAX), HEIGHT);
    let mut buffer = Buffer::empty(area);
    chart.render(area, &mut buffer);
    let mut lines = legend(names, screen, plot, &marker);
    lines.extend((0..HEIGHT).map(|row| line_of(&buffer, row, screen)));
    lines
}

fn legend(
    names: &[(String, Option<usize>)],
    screen: Screen,
    plot: &Plot,
    marker: &impl Fn(Option<usize>) -> Marker,
) -> Vec<String> {
    if names.is_empty() {
        return vec![];
    }
    let glyph = |series| match marker(series) {
        Marker::Dot => "•",
        Marker::HalfBlock => "▀",
        Marker::Block => "█",
        _ => "⣀",
    };
    let rest = names.iter().filter(|(_, shade)| shade.is_none()).count();
    let mut lines = vec![String::new()];
    let mut used = 0;
    let named = names.iter().filter(|(_, shade)| shade.is_some()).map(|(name, shade)| (*shade, fit(name, 24)));
    for (shade, name) in named.chain((rest > 0).then(|| (None, format!("(+ {})", plot.language.more(rest))))) {
        let width = columns(&name) + 5;
        if used > 0 && used + width > screen.width {
            lines.push(String::new());
            used = 0;
        }
        let mark = if shade.is_some() { screen.colored(glyph(shade), shade) } else { " ".to_string() };
        if let Some(line) = lines.last_mut() {
            *line += &format!("{mark} {name}   ");
        }
        used += width;
    }
    lines
}

/// A line of the buffer, with colour escapes.
fn line_of(buffer: &Buffer, row: u16, screen: Screen) -> String {
    let mut line = String::new();
    let mut color = Color::Reset;
    let mut skip = 0;
    for column in 0..buffer.area().width {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let Some(cell) = buffer.cell((column, row)) else { continue };
        skip = columns(cell.symbol()).saturating_sub(1);
        if screen.has_color && cell.fg != color {
            color = cell.fg;
            match color {
                Color::Indexed(8) => line += "\u{1b}[90m",
                Color::Indexed(number) => line += &format!("\u{1b}[{}m", 30 + number),
                _ => line += "\u{1b}[0m",
            }
        }
        line += cell.symbol();
    }
    if color != Color::Reset {
        line += "\u{1b}[0m";
    }
    line
}
