//! Rows brought into order: categories by series, and cells of a heat map.

use std::collections::HashMap;

use crate::scale::time_labels;
use crate::style::SERIES;
use crate::{Column, Language, Plot, Values};

/// Categories in the order in which they come, and a value of each series at each.
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
}

impl Grid {
    /// Every row has a place: where a category comes twice in a series, it stands twice.
    pub(crate) fn new(plot: &Plot) -> Self {
        let rows = plot.rows();
        let names =
            plot.series.as_ref().map(|series| labels(Some((&series.name, &series.values)), &all(rows), plot.language));
        let keys: Vec<String> =
            (0..rows).map(|row| plot.x.as_ref().map_or(String::new(), |x| key(&x.values, row))).collect();
        let mut places: HashMap<(String, usize), usize> = HashMap::new();
        let mut counts: HashMap<(String, String), usize> = HashMap::new();
        let mut series_at: HashMap<String, usize> = HashMap::new();
        let mut grid = Self { firsts: vec![], series: vec![] };
        for row in 0..rows {
            let name = names.as_ref().map(|names| names[row].clone()).unwrap_or_default();
            let count = counts.entry((keys[row].clone(), name.clone())).or_default();
            let place = *places.entry((keys[row].clone(), *count)).or_insert_with(|| {
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
                grid.series[at].put(place, measure.values.number(row), plot, row);
            }
        }
        let count = grid.firsts.len();
        for series in &mut grid.series {
            series.values.resize(count, None);
            series.low.resize(count, None);
            series.high.resize(count, None);
        }
        grid
    }

    /// Whether there is a number at all.
    pub(crate) fn has_values(&self) -> bool {
        self.series.iter().any(|series| series.values.iter().any(Option::is_some))
    }

    /// Every number that needs room: values and ends of intervals.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
        self.series
            .iter()
            .flat_map(|series| series.values.iter().chain(&series.low).chain(&series.high))
            .flatten()
            .copied()
    }

    /// The sums above and below zero of each category, for stacks.
    pub(crate) fn stacks(&self) -> Vec<(f64, f64)> {
        let sum = |place: usize, sign: f64| {
            let parts = self.series.iter().filter_map(|series| series.values[place]);
            // an empty sum of floats is minus zero
            parts.filter(|value| value * sign > 0.0).sum::<f64>() + 0.0
        };
        (0..self.firsts.len()).map(|place| (sum(place, -1.0), sum(place, 1.0))).collect()
    }

    /// The colour of each series: the largest have one of their own, the rest none.
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

    /// Keeps the first categories.
    pub(crate) fn cut(&mut self, most: usize) {
        self.firsts.truncate(most);
        for series in &mut self.series {
            series.values.truncate(most);
            series.low.truncate(most);
            series.high.truncate(most);
        }
    }

    /// Brings the categories into the order of their numbers or instants; texts stay as they come.
    pub(crate) fn sort_by(&mut self, x: &Values) {
        if matches!(x, Values::Texts(_)) {
            return;
        }
        let mut order: Vec<usize> = (0..self.firsts.len()).collect();
        let number = |place: usize| x.number(self.firsts[place]).unwrap_or(f64::INFINITY);
        order.sort_by(|a, b| number(*a).total_cmp(&number(*b)));
        self.firsts = order.iter().map(|place| self.firsts[*place]).collect();
        let sorted = |values: &[Option<f64>]| order.iter().map(|place| values[*place]).collect();
        for series in &mut self.series {
            series.values = sorted(&series.values);
            series.low = sorted(&series.low);
            series.high = sorted(&series.high);
        }
    }
}

impl Series {
    fn put(&mut self, place: usize, value: Option<f64>, plot: &Plot, row: usize) {
        let set = |values: &mut Vec<Option<f64>>, value: Option<f64>| {
            if values.len() <= place {
                values.resize(place + 1, None);
            }
            values[place] = value;
        };
        // an interval belongs to one measure
        let end = |column: &Option<Column>| {
            column.as_ref().filter(|_| plot.y.len() == 1).and_then(|column| column.values.number(row))
        };
        set(&mut self.values, value);
        set(&mut self.low, end(&plot.low));
        set(&mut self.high, end(&plot.high));
    }
}

pub(crate) fn all(rows: usize) -> Vec<usize> {
    (0..rows).collect()
}

/// What makes a category the same as another.
fn key(values: &Values, row: usize) -> String {
    match values {
        Values::Texts(texts) => texts.get(row).cloned().flatten().map_or("n".into(), |text| format!("t{text}")),
        other => other.number(row).map_or("n".into(), |number| number.to_string()),
    }
}

/// The labels of some rows of a column. A column called `weekday` with 1 to 7 has the names of the days.
pub(crate) fn labels(column: Option<(&str, &Values)>, rows: &[usize], language: Language) -> Vec<String> {
    let not_known = || language.words().not_known.to_string();
    let Some((name, values)) = column else { return rows.iter().map(|_| String::new()).collect() };
    match values {
        Values::Texts(texts) => {
            rows.iter().map(|row| texts.get(*row).cloned().flatten().unwrap_or_else(not_known)).collect()
        }
        Values::Times(_) => {
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

/// Brings rows into cells; of two rows for one cell the later counts. `None` without a value.
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

/// The labels of an axis of cells and the place of each row. Numbers and instants are in order, and whole numbers close
/// together have no gaps: an hour without contacts has its column too.
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
    if !matches!(values, Values::Texts(_)) {
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
        let place = |row: usize| values.number(row).map_or(0, |number| (number - low) as usize);
        return (labels, (0..rows).map(place).collect());
    }
    let places: HashMap<String, usize> = firsts.iter().enumerate().map(|(at, row)| (key(values, *row), at)).collect();
    let place = |row: usize| places.get(&key(values, row)).copied().unwrap_or(0);
    (labels(Some((&column.name, values)), &firsts, language), (0..rows).map(place).collect())
}
