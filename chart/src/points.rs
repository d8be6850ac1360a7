//! Scatter charts, with a trend line.

use crate::axis::{self, Swatch};
use crate::canvas::Canvas;
use crate::grid::{all, labels};
use crate::scale::{self, Scale};
use crate::style::SERIES;
use crate::{Form, Plot, Size, Values, stats};

/// Limit of points; larger inputs are sampled.
const MOST: usize = 3000;

/// One point.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    row: usize,
}

/// The points of all rows in which both measures are not NULL.
pub(crate) fn points(plot: &Plot) -> Vec<Point> {
    let (Some(x), Some(y)) = (&plot.x, plot.y.first()) else { return vec![] };
    let point = |row| Some(Point { x: x.values.number(row)?, y: y.values.number(row)?, row });
    (0..plot.rows()).filter_map(point).collect()
}

pub(crate) fn draw(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let points = points(plot);
    let (Some(x), Some(y)) = (&plot.x, plot.y.first()) else { return false };
    if points.is_empty() {
        return false;
    }
    let names = plot
        .series
        .as_ref()
        .map(|series| labels(Some((&series.name, &series.values)), &all(plot.rows()), plot.language));
    let mut series: Vec<String> = Vec::new();
    for point in &points {
        let name = names.as_ref().map(|names| names[point.row].clone()).unwrap_or_default();
        if !series.contains(&name) {
            series.push(name);
        }
    }
    let shades: Vec<Option<usize>> =
        (0..series.len()).map(|at| (series.len() <= SERIES || at < SERIES - 1).then_some(at)).collect();
    if series.len() > 1 {
        axis::legend(canvas, &axis::entries(&series, &shades, Swatch::Dot(0), plot));
    }
    let reach = axis::reach(points.iter().map(|point| point.y), false, 5, plot.form);
    let (area, down) = axis::values_at_left(canvas, (plot.form, plot.language), size, reach, 14.0, &y.label());
    let is_time = matches!(x.values, Values::Timestamps(_));
    let wanted = ((area.width / 80.0) as usize).max(2);
    let first = points.iter().map(|point| point.x).fold(f64::INFINITY, f64::min);
    let last = points.iter().map(|point| point.x).fold(f64::NEG_INFINITY, f64::max);
    let (low, high, ticks) = if is_time {
        (first, last, scale::time_ticks(first, last, wanted, plot.language))
    } else {
        let (low, high, step) = scale::nice(first, last, wanted, Form::Number);
        (low, high, scale::ticks(low, high, step, Form::Number, plot.language))
    };
    let across = Scale { low, high, from: area.left + 4.0, to: area.right() - 4.0 };
    let every = points.len().div_ceil(MOST);
    let radius = if points.len() > 300 { 2.6 } else { 4.0 };
    for point in points.iter().step_by(every) {
        let name = names.as_ref().map(|names| names[point.row].clone()).unwrap_or_default();
        let at = series.iter().position(|known| *known == name).unwrap_or(0);
        let formatted =
            plot.label.as_ref().map(|label| labels(Some((&label.name, &label.values)), &[point.row], plot.language));
        let formatted = formatted
            .and_then(|labels| labels.into_iter().next())
            .map(|label| format!("{label}: "))
            .unwrap_or_default();
        let x_formatted = labels(Some((&x.name, &x.values)), &[point.row], plot.language).pop().unwrap_or_default();
        let tip = format!("{formatted}{x_formatted}, {}", plot.form.value(point.y, plot.language));
        axis::dot(
            canvas,
            shades[at],
            shades[at].unwrap_or(0),
            (across.at(point.x), down.at(point.y)),
            radius,
            Some(&tip),
        );
    }
    let pairs: Vec<(f64, f64)> = points.iter().map(|point| (point.x, point.y)).collect();
    let trend = stats::least_squares(&pairs).filter(|_| plot.has_trend);
    if let Some(line) = trend {
        // clip the line to the chart
        let clip = |x: f64| (line.intercept + line.slope * x).clamp(reach.0, reach.1);
        let n = Canvas::number;
        let [start, end] = [first, last].map(|x| format!("{} {}", n(across.at(x)), n(down.at(clip(x)))));
        let path = format!("M{start}L{end}");
        canvas.path("w", &path, None);
    }
    axis::marks_below(canvas, area, &ticks, |value| across.at(value));
    if !is_time {
        axis::caption_below(canvas, area, &x.label());
    }
    if let Some(line) = trend {
        let words = plot.language.words();
        canvas.note(&format!("{}: R² {:.2}, n = {}", words.trend, line.r_squared, points.len()));
    }
    if every > 1 {
        canvas.note(&plot.language.shown(points.len().div_ceil(every), points.len()));
    }
    true
}
