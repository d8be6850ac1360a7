//! Distributions: histograms and box plots.

use crate::axis::{self, Swatch};
use crate::canvas::{Anchor, Area, Canvas, LINE};
use crate::grid::{Grid, Series, all, labels};
use crate::scale::{self, Scale};
use crate::stats::{self, FiveNumbers};
use crate::{Form, Language, Plot, Size, Values, style, text};

/// Limit of boxes.
const MAX_BOXES: usize = 40;
/// Limit of outliers drawn per box.
const MAX_OUTSIDE: usize = 120;

/// Histogram bins of equal width, with a count per series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bins {
    pub(crate) from: f64,
    pub(crate) width: f64,
    counts: Vec<(String, Vec<f64>)>,
}

impl Bins {
    /// The total per bin over all series.
    pub(crate) fn sums(&self) -> Vec<f64> {
        let number = self.counts.iter().map(|(_, counts)| counts.len()).max().unwrap_or(0);
        (0..number).map(|bin| self.counts.iter().filter_map(|(_, counts)| counts.get(bin)).sum()).collect()
    }
}

/// The bins of a histogram; `None` if there is no value.
pub(crate) fn bins(plot: &Plot) -> Option<Bins> {
    let x = plot.x.as_ref()?;
    if plot.y.is_empty() { counted(plot, &x.values) } else { given(plot, &x.values) }
}

pub(crate) fn histogram(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let Some(x) = &plot.x else { return false };
    let Some(bins) = bins(plot) else { return false };
    let sums = bins.sums();
    let number = sums.len();
    if bins.counts.len() > 1 {
        let names: Vec<String> = bins.counts.iter().map(|(name, _)| name.clone()).collect();
        axis::legend(canvas, &axis::entries(&names, &shades(names.len()), Swatch::Square, plot));
    }
    let language = plot.language;
    let reach = axis::reach(sums.into_iter(), true, 4, Form::Number);
    let caption = match (plot.y.first(), language) {
        (Some(y), _) => y.label(),
        (None, Language::English) => "count".to_string(),
        (None, Language::Chinese) => "数量".to_string(),
    };
    let (area, down) = axis::values_at_left(canvas, (Form::Number, language), size, reach, 14.0, &caption);
    let (low, high) = (bins.from, bins.from + bins.width * number as f64);
    let across = Scale { low, high, from: area.left, to: area.right() };
    let shades = shades(bins.counts.len());
    for bin in 0..number {
        let start = bins.from + bins.width * bin as f64;
        let (left, right) = (across.at(start), across.at(start + bins.width));
        let mut below = 0.0;
        for ((name, counts), shade) in bins.counts.iter().zip(&shades) {
            let count = counts.get(bin).copied().unwrap_or(0.0);
            if count == 0.0 {
                continue;
            }
            let (top, bottom) = (down.at(below + count), down.at(below));
            below += count;
            let (from, to) = (plot.form.value(start, language), plot.form.value(start + bins.width, language));
            let name = if name.is_empty() { String::new() } else { format!("{name}, ") };
            let tip = format!("{name}{from} – {to}: {}", Form::Number.value(count, language));
            let rect = Area { left: left + 0.5, top, width: (right - left - 1.0).max(0.6), height: bottom - top };
            canvas.rect(&style::class('f', *shade), rect, 0.0, Some(&tip));
        }
    }
    let (from, to, step) = scale::nice(low, high, (area.width / 80.0) as usize, plot.form);
    let ticks = scale::ticks(from, to, step, plot.form, language);
    let ticks: Vec<_> =
        ticks.into_iter().filter(|tick| tick.value >= low - step * 1e-6 && tick.value <= high + step * 1e-6).collect();
    axis::marks_below(canvas, area, &ticks, |value| across.at(value));
    axis::caption_below(canvas, area, &x.label());
    true
}

fn shades(count: usize) -> Vec<Option<usize>> {
    (0..count).map(|at| (count <= style::SERIES || at < style::SERIES - 1).then_some(at)).collect()
}

/// Counts values into bins with round boundaries.
fn counted(plot: &Plot, values: &Values) -> Option<Bins> {
    let mut sorted = values.numbers();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (*sorted.first()?, *sorted.last()?);
    let (from, width, number) = match stats::bin_width(&sorted) {
        Some(width) => {
            let wanted = ((high - low) / width).round().max(1.0) as usize;
            let (from, _, step) = scale::nice(low, high, wanted, plot.form);
            // bins are half-open: a value on the upper boundary belongs to the next bin
            (from, step, ((high - from) / step + 1e-9).floor() as usize + 1)
        }
        None => {
            let (from, _, step) = scale::nice(low, low, 1, plot.form);
            (from.max(low - step / 2.0), step, 1)
        }
    };
    let names = plot
        .series
        .as_ref()
        .map(|series| labels(Some((&series.name, &series.values)), &all(values.len()), plot.language));
    let mut counts: Vec<(String, Vec<f64>)> = Vec::new();
    for row in 0..values.len() {
        let Some(value) = values.number(row) else { continue };
        let name = names.as_ref().map(|names| names[row].clone()).unwrap_or_default();
        let at = counts.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            counts.push((name, vec![0.0; number]));
            counts.len() - 1
        });
        let bin = (((value - from) / width + 1e-9).floor().max(0.0) as usize).min(number - 1);
        counts[at].1[bin] += 1.0;
    }
    Some(Bins { from, width, counts })
}

/// Precomputed bins: `x` is the lower boundary, `y` the count.
fn given(plot: &Plot, x: &Values) -> Option<Bins> {
    let mut grid = Grid::new(plot);
    grid.sort_by(x);
    let starts: Vec<f64> = grid.firsts.iter().filter_map(|row| x.number(*row)).collect();
    let gaps = starts.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0);
    let width = gaps.fold(f64::INFINITY, f64::min);
    let width = if width.is_finite() { width } else { 1.0 };
    let (from, last) = (*starts.first()?, *starts.last()?);
    let number = (((last - from) / width).round() as usize + 1).min(2000);
    let bins = |series: &Series| {
        let mut counts = vec![0.0; number];
        for (index, row) in grid.firsts.iter().enumerate() {
            if let (Some(start), Some(value)) = (x.number(*row), series.values[index]) {
                let bin = ((start - from) / width).round() as usize;
                if let Some(count) = counts.get_mut(bin) {
                    *count += value;
                }
            }
        }
        (if grid.series.len() == 1 { String::new() } else { series.name.clone() }, counts)
    };
    grid.has_values().then(|| Bins { from, width, counts: grid.series.iter().map(bins).collect() })
}

/// A box with its name and the number of its values, if known.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) five: FiveNumbers,
    count: Option<usize>,
}

pub(crate) fn named_boxes(plot: &Plot) -> Vec<Named> {
    let rows = plot.rows();
    let names = match &plot.x {
        Some(x) => labels(Some((&x.name, &x.values)), &all(rows), plot.language),
        None => plot.y.first().map(|y| vec![y.label(); rows]).unwrap_or_default(),
    };
    if let [low, first, median, third, high] = plot.y.as_slice() {
        let number = |column: &crate::Column, row| column.values.number(row);
        let named = |row: usize| {
            let five = FiveNumbers {
                low: number(low, row)?,
                first: number(first, row)?,
                median: number(median, row)?,
                third: number(third, row)?,
                high: number(high, row)?,
                outside: vec![],
            };
            Some(Named { name: names[row].clone(), five, count: None })
        };
        return (0..rows).filter_map(named).collect();
    }
    let Some(y) = plot.y.first() else { return vec![] };
    let mut groups: Vec<(String, Vec<f64>)> = Vec::new();
    let mut indices = std::collections::HashMap::new();
    for (row, name) in names.into_iter().enumerate() {
        let Some(value) = y.values.number(row) else { continue };
        let index = *indices.entry(name.clone()).or_insert_with(|| {
            groups.push((name, vec![]));
            groups.len() - 1
        });
        groups[index].1.push(value);
    }
    let named = |(name, values): (String, Vec<f64>)| {
        Some(Named { name, five: stats::five_numbers(&values)?, count: Some(values.len()) })
    };
    groups.into_iter().filter_map(named).collect()
}

pub(crate) fn boxes(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let boxes = named_boxes(plot);
    let shown = boxes.len().min(MAX_BOXES);
    if shown == 0 {
        return false;
    }
    let language = plot.language;
    let caption = if plot.y.len() == 1 { plot.measure() } else { String::new() };
    if !caption.is_empty() {
        canvas.label("ts", Anchor::Start, (4.0, canvas.top + 11.0), &caption, canvas.width - 8.0);
        canvas.top += LINE + 2.0;
    }
    const BAND: f64 = 32.0;
    let widest = boxes.iter().map(|named| text::width(&named.name, text::SIZE)).fold(0.0, f64::max);
    let left = (widest + 14.0).min(size.width() * 0.36);
    let area = Area { left, top: canvas.top + 4.0, width: canvas.width - left - 16.0, height: BAND * shown as f64 };
    let values = boxes.iter().take(shown).flat_map(|named| {
        let five = &named.five;
        [five.low, five.high].into_iter().chain(five.outside.iter().copied())
    });
    let wanted = if size == Size::Wide { 7 } else { 4 };
    let (low, high, step) = axis::reach(values, false, wanted, plot.form);
    let across = Scale { low, high, from: area.left, to: area.right() };
    let ticks = scale::ticks(low, high, step, plot.form, language);
    for tick in &ticks {
        let x = across.at(tick.value);
        canvas.line("g", (x, area.top), (x, area.bottom()));
    }
    let n = Canvas::number;
    for (at, Named { name, five, count }) in boxes.iter().take(shown).enumerate() {
        let middle = area.top + BAND * (at as f64 + 0.5);
        canvas.label("", Anchor::End, (left - 8.0, middle + 4.0), name, left - 12.0);
        let [low, first, median, third, high] =
            [five.low, five.first, five.median, five.third, five.high].map(|value| across.at(value));
        let (top, center) = (n(middle - 5.0), n(middle));
        let (low_at, high_at) = (n(low), n(high));
        let whiskers = format!(
            "M{low_at} {top}v10M{low_at} {center}H{}M{} {center}H{high_at}M{high_at} {top}v10",
            n(first),
            n(third)
        );
        canvas.path("w", &whiskers, None);
        let value = |value: f64| plot.form.value(value, language);
        let count = count.map(|count| format!(", n = {count}")).unwrap_or_default();
        let tip = format!(
            "{name}: {} | {} | {} | {} | {}{count}",
            value(five.low),
            value(five.first),
            value(five.median),
            value(five.third),
            value(five.high)
        );
        let rect = Area { left: first, top: middle - 9.0, width: (third - first).max(1.0), height: 18.0 };
        canvas.rect("q0", rect, 2.0, Some(&tip));
        canvas.path("w m", &format!("M{} {}v18", n(median), n(middle - 9.0)), None);
        let every = five.outside.len().div_ceil(MAX_OUTSIDE).max(1);
        for value in five.outside.iter().step_by(every) {
            canvas.circle("p0", (across.at(*value), middle), 2.6, Some(&plot.form.value(*value, language)));
        }
    }
    canvas.top = area.bottom();
    axis::marks_below(canvas, area, &ticks, |value| across.at(value));
    if boxes.len() > shown {
        canvas.note(&language.shown(shown, boxes.len()));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Kind};

    fn column(values: &[f64]) -> Column {
        Column { name: "x".into(), values: Values::Numbers(values.iter().map(|value| Some(*value)).collect()) }
    }

    #[test]
    fn every_value_is_in_one_bin_with_round_borders() {
        let mut plot = Plot::new(Kind::Histogram);
        plot.x = Some(column(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]));
        // the rule's width is 3.5, two bins over 1 to 8; the next round step is 5
        let bins = counted(&plot, &plot.x.as_ref().unwrap().values).unwrap();
        assert_eq!((bins.from, bins.width), (0.0, 5.0));
        assert_eq!(bins.counts, [(String::new(), vec![4.0, 4.0])]);
    }

    #[test]
    fn one_value_alone_is_one_bin() {
        let mut plot = Plot::new(Kind::Histogram);
        plot.x = Some(column(&[3.0, 3.0]));
        let bins = counted(&plot, &plot.x.as_ref().unwrap().values).unwrap();
        assert_eq!(bins.counts, [(String::new(), vec![2.0])]);
    }

    #[test]
    fn bins_of_the_data_keep_their_gaps() {
        let mut plot = Plot::new(Kind::Histogram);
        plot.x = Some(column(&[0.0, 10.0, 30.0]));
        plot.y = vec![Column { name: "n".into(), ..column(&[5.0, 7.0, 1.0]) }];
        let bins = given(&plot, &plot.x.as_ref().unwrap().values).unwrap();
        assert_eq!((bins.from, bins.width), (0.0, 10.0));
        assert_eq!(bins.counts[0].1, [5.0, 7.0, 0.0, 1.0]);
    }
}
