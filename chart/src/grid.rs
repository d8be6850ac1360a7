//! Pivots rows: categories by series, and the cells of a heat map.

use std::collections::HashMap;

use crate::scale::time_labels;
use crate::style::SERIES;
use crate::{Column, Language, Plot, Values};

/// The categories in order of first occurrence, and the value of each series per category.
#[derive(Debug)]
pub(crate) struct Grid {
    /// The first row of each category.
    pub(crate) firsts: Vec<usize>,
    pub(crate) series: Vec<Series>,
}

/// The values of one series, one per category.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) low: Vec<Option<f64>>,
    pub(crate) high: Vec<Option<f64>>,
    /// Which values are of periods that the data cover in part.
    pub(crate) partial: Vec<bool>,
    /// Which values rest on few cases.
    pub(crate) few: Vec<bool>,
}

/// Values of fewer cases are no score: one answer makes a net promoter score of +100 or -100.
pub(crate) const FEW: f64 = 5.0;

/// The categories that are drawn of too many, and how they were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The newest on a time axis.
    Newest,
    /// The largest counts.
    Largest,
    /// The highest and the lowest values.
    BothEnds,
}

impl Grid {
    /// No row is dropped: a category that occurs twice in a series is listed twice.
    pub(crate) fn new(plot: &Plot) -> Self {
        let rows = plot.rows();
        let names =
            plot.series.as_ref().map(|series| labels(Some((&series.name, &series.values)), &all(rows), plot.language));
        let keys: Vec<String> =
            (0..rows).map(|row| plot.x.as_ref().map_or(String::new(), |x| key(&x.values, row))).collect();
        let mut indices: HashMap<(String, usize), usize> = HashMap::new();
        let mut counts: HashMap<(String, String), usize> = HashMap::new();
        let mut series_at: HashMap<String, usize> = HashMap::new();
        let mut grid = Self { firsts: vec![], series: vec![] };
        for row in 0..rows {
            let name = names.as_ref().map(|names| names[row].clone()).unwrap_or_default();
            let count = counts.entry((keys[row].clone(), name.clone())).or_default();
            let index = *indices.entry((keys[row].clone(), *count)).or_insert_with(|| {
                grid.firsts.push(row);
                grid.firsts.len() - 1
            });
            *count += 1;
            for measure in &plot.y {
                let full = match (&names, plot.y.len()) {
                    (None, _) => measure.label(),
                    (Some(_), 1) => name.clone(),
                    (Some(_), _) => format!("{name}, {}", measure.label()),
                };
                let at = *series_at.entry(full.clone()).or_insert_with(|| {
                    grid.series.push(Series { name: full, ..Series::default() });
                    grid.series.len() - 1
                });
                grid.series[at].put(index, measure.values.number(row), plot, row);
            }
        }
        let count = grid.firsts.len();
        for series in &mut grid.series {
            series.values.resize(count, None);
            series.low.resize(count, None);
            series.high.resize(count, None);
            series.partial.resize(count, false);
            series.few.resize(count, false);
        }
        grid
    }

    /// Returns true if there is any number.
    pub(crate) fn has_values(&self) -> bool {
        self.series.iter().any(|series| series.values.iter().any(Option::is_some))
    }

    /// All numbers that the axis must include: values and interval bounds.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
        self.series
            .iter()
            .flat_map(|series| series.values.iter().chain(&series.low).chain(&series.high))
            .flatten()
            .copied()
    }

    /// The sums above and below zero per category, for stacked charts.
    pub(crate) fn stacks(&self) -> Vec<(f64, f64)> {
        let sum = |index: usize, sign: f64| {
            let parts = self.series.iter().filter_map(|series| series.values[index]);
            // the empty sum of floats is minus zero
            parts.filter(|value| value * sign > 0.0).sum::<f64>() + 0.0
        };
        (0..self.firsts.len()).map(|index| (sum(index, -1.0), sum(index, 1.0))).collect()
    }

    /// The colour index of each series: the largest series have one, the rest have none.
    pub(crate) fn shades(&self) -> Vec<Option<usize>> {
        if self.series.len() <= SERIES {
            return (0..self.series.len()).map(Some).collect();
        }
        let size = |series: &Series| series.values.iter().flatten().map(|value| value.abs()).sum::<f64>();
        let mut order: Vec<usize> = (0..self.series.len()).collect();
        order.sort_by(|a, b| size(&self.series[*b]).total_cmp(&size(&self.series[*a])));
        let mut largest = order[..SERIES - 1].to_vec();
        largest.sort_unstable();
        (0..self.series.len()).map(|series| largest.iter().position(|at| *at == series)).collect()
    }

    /// Keeps the `most` categories that say most, in their order: the newest on a time axis, of counts the largest, of
    /// other values the highest and the lowest. `None` if there are not more than `most`.
    pub(crate) fn select(&mut self, most: usize, plot: &Plot) -> Option<Selection> {
        let count = self.firsts.len();
        if count <= most {
            return None;
        }
        if matches!(plot.x.as_ref().map(|x| &x.values), Some(Values::Timestamps(_))) {
            self.keep(&(count - most..count).collect::<Vec<_>>());
            return Some(Selection::Newest);
        }
        let numbers = || self.series.iter().flat_map(|series| series.values.iter().flatten());
        let is_count = plot.form == crate::Form::Number && numbers().all(|value| *value >= 0.0 && value.fract() == 0.0);
        // the value that puts a category into the order: its sum or its first measure, and NULL behind all
        let rank = |index: usize| match plot.is_stacked || is_count {
            true => self.series.iter().filter_map(|series| series.values[index]).reduce(|a, b| a + b),
            false => self.series.iter().find_map(|series| series.values[index]),
        };
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|a, b| rank(*b).unwrap_or(f64::NEG_INFINITY).total_cmp(&rank(*a).unwrap_or(f64::NEG_INFINITY)));
        let known = order.iter().filter(|index| rank(**index).is_some()).count();
        let (kept, selection) = if is_count || known <= most {
            order.truncate(most);
            (order, Selection::Largest)
        } else {
            let low = most / 2;
            let mut kept = order[..most - low].to_vec();
            kept.extend_from_slice(&order[known - low..known]);
            (kept, Selection::BothEnds)
        };
        let mut kept = kept;
        kept.sort_unstable();
        self.keep(&kept);
        Some(selection)
    }

    fn keep(&mut self, kept: &[usize]) {
        fn taken<T: Copy>(values: &[T], kept: &[usize]) -> Vec<T> {
            kept.iter().map(|index| values[*index]).collect()
        }
        self.firsts = taken(&self.firsts, kept);
        for series in &mut self.series {
            series.values = taken(&series.values, kept);
            series.low = taken(&series.low, kept);
            series.high = taken(&series.high, kept);
            series.partial = taken(&series.partial, kept);
            series.few = taken(&series.few, kept);
        }
    }

    /// The indexes of the categories with a value that the data cover in part.
    pub(crate) fn partial(&self) -> Vec<usize> {
        let is_partial = |index: &usize| self.series.iter().any(|series| series.partial[*index]);
        (0..self.firsts.len()).filter(is_partial).collect()
    }

    /// Returns true if any value rests on few cases.
    pub(crate) fn has_few(&self) -> bool {
        self.series.iter().any(|series| series.few.contains(&true))
    }

    /// Sorts the categories by number or timestamp; strings keep their order.
    pub(crate) fn sort_by(&mut self, x: &Values) {
        if matches!(x, Values::Strings(_)) {
            return;
        }
        let mut order: Vec<usize> = (0..self.firsts.len()).collect();
        let number = |index: usize| x.number(self.firsts[index]).unwrap_or(f64::INFINITY);
        order.sort_by(|a, b| number(*a).total_cmp(&number(*b)));
        self.keep(&order);
    }
}

impl Series {
    fn put(&mut self, index: usize, value: Option<f64>, plot: &Plot, row: usize) {
        let set = |values: &mut Vec<Option<f64>>, value: Option<f64>| {
            if values.len() <= index {
                values.resize(index + 1, None);
            }
            values[index] = value;
        };
        // an interval belongs to one measure
        let end = |column: &Option<Column>| {
            column.as_ref().filter(|_| plot.y.len() == 1).and_then(|column| column.values.number(row))
        };
        set(&mut self.values, value);
        set(&mut self.low, end(&plot.low));
        set(&mut self.high, end(&plot.high));
        let flag = |flags: &mut Vec<bool>, is_set: bool| {
            if flags.len() <= index {
                flags.resize(index + 1, false);
            }
            flags[index] = is_set && value.is_some();
        };
        flag(&mut self.partial, plot.partial.as_ref().is_some_and(|partial| partial.values.is_true(row)));
        let is_few = |base: &Column| base.values.number(row).is_some_and(|count| count < FEW);
        flag(&mut self.few, plot.base.as_ref().is_some_and(is_few));
    }
}

pub(crate) fn all(rows: usize) -> Vec<usize> {
    (0..rows).collect()
}

/// The identity of a category.
fn key(values: &Values, row: usize) -> String {
    match values {
        Values::Strings(texts) => texts.get(row).cloned().flatten().map_or("n".into(), |text| format!("t{text}")),
        other => other.number(row).map_or("n".into(), |number| number.to_string()),
    }
}

/// The labels of some rows of a column. A column named `weekday` with 1 to 7 is labelled with the names of the days.
pub(crate) fn labels(column: Option<(&str, &Values)>, rows: &[usize], language: Language) -> Vec<String> {
    let not_known = || language.words().not_known.to_string();
    let Some((name, values)) = column else { return rows.iter().map(|_| String::new()).collect() };
    match values {
        Values::Strings(texts) => {
            rows.iter().map(|row| texts.get(*row).cloned().flatten().unwrap_or_else(not_known)).collect()
        }
        Values::Timestamps(_) => {
            let times: Vec<Option<f64>> = rows.iter().map(|row| values.number(*row)).collect();
            time_labels(&times, language).into_iter().map(|label| label.unwrap_or_else(not_known)).collect()
        }
        Values::Numbers(_) => {
            let is_day = |value: f64| (1.0..=7.0).contains(&value) && value.fract() == 0.0;
            let is_weekday = name.to_lowercase().ends_with("weekday")
                && rows.iter().filter_map(|row| values.number(*row)).all(is_day);
            let label = |value: f64| match is_weekday {
                true => language.words().weekdays[value as usize - 1].to_string(),
                false => crate::Form::Number.value(value, language),
            };
            rows.iter().map(|row| values.number(*row).map_or_else(not_known, label)).collect()
        }
    }
}

/// The cells of a heat map.
#[derive(Debug)]
pub(crate) struct Cells {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<String>,
    /// Column, row, value.
    pub(crate) cells: Vec<(usize, usize, f64)>,
}

/// Assigns rows to cells; the last row of a cell wins. `None` if there is no value.
pub(crate) fn cells(plot: &Plot) -> Option<Cells> {
    let (x, y, value) = (plot.x.as_ref()?, plot.y.first()?, plot.value.as_ref()?);
    let rows = plot.rows();
    let (columns, column_of) = positions(x, rows, plot.language);
    let (lines, line_of) = positions(y, rows, plot.language);
    let mut found: HashMap<(usize, usize), f64> = HashMap::new();
    for row in 0..rows {
        match value.values.number(row) {
            Some(value) => found.insert((column_of[row], line_of[row]), value),
            None => found.remove(&(column_of[row], line_of[row])),
        };
    }
    let mut cells: Vec<(usize, usize, f64)> =
        found.into_iter().map(|((column, row), value)| (column, row, value)).collect();
    cells.sort_by_key(|(column, row, _)| (*row, *column));
    (!cells.is_empty()).then_some(Cells { columns, rows: lines, cells })
}

/// The labels of a heat map's axis and the index of each row. Numbers and timestamps are sorted, and integers close
/// together have no gaps: an hour without contacts has a column, too.
fn positions(column: &Column, rows: usize, language: Language) -> (Vec<String>, Vec<usize>) {
    let values = &column.values;
    let mut firsts: Vec<usize> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for row in 0..rows {
        seen.entry(key(values, row)).or_insert_with(|| {
            firsts.push(row);
            row
        });
    }
    if !matches!(values, Values::Strings(_)) {
        firsts.sort_by(|a, b| {
            let number = |row: &usize| values.number(*row).unwrap_or(f64::INFINITY);
            number(a).total_cmp(&number(b))
        });
    }
    let numbers: Option<Vec<f64>> = firsts.iter().map(|row| values.number(*row)).collect();
    if let (Values::Numbers(_), Some(numbers)) = (values, numbers)
        && let (Some(low), Some(high)) = (numbers.first(), numbers.last())
        && numbers.iter().all(|number| number.fract() == 0.0)
        && high - low < 60.0
    {
        let every: Vec<Option<f64>> = (0..=(high - low) as usize).map(|step| Some(low + step as f64)).collect();
        let count = every.len();
        let labels = labels(Some((&column.name, &Values::Numbers(every))), &all(count), language);
        let index = |row: usize| values.number(row).map_or(0, |number| (number - low) as usize);
        return (labels, (0..rows).map(index).collect());
    }
    let indices: HashMap<String, usize> = firsts.iter().enumerate().map(|(at, row)| (key(values, *row), at)).collect();
    let index = |row: usize| indices.get(&key(values, row)).copied().unwrap_or(0);
    (labels(Some((&column.name, values)), &firsts, language), (0..rows).map(index).collect())
}
