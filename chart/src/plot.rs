//! [`Plot`]: the kind of chart, and the columns with their roles.

use crate::{Form, Language};

/// The kinds of chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bars by a category.
    Bar,
    /// A line over time or another ordered column.
    Line,
    /// A filled line.
    Area,
    /// Points at two measures.
    Scatter,
    /// Cells of two categories, coloured by a value.
    Heatmap,
    /// The distribution of values.
    Histogram,
    /// Quartiles by a category.
    Box,
    /// Shares of a whole.
    Pie,
    /// Steps with the remaining share at each.
    Funnel,
    /// Bars in descending order with their cumulative share.
    Pareto,
    /// A small line per series.
    Sparkline,
    /// One number, with that of the previous period.
    Figure,
}

/// The values of a column, one per row; `None` is NULL.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Timestamps, in milliseconds since 1970 UTC.
    Timestamps(Vec<Option<i64>>),
    /// Strings, and all other types by their string form.
    Strings(Vec<Option<String>>),
}

/// Limit of the absolute value of numbers on an axis: the difference of two larger ones may overflow to infinity.
const LARGEST: f64 = 1e300;

impl Values {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Timestamps(values) => values.len(),
            Self::Strings(values) => values.len(),
        }
    }

    /// Returns true if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number in a row, a timestamp as its milliseconds; `None` for NULL, strings, NaN, infinities and
    /// numbers beyond the limit of an axis.
    pub fn number(&self, row: usize) -> Option<f64> {
        match self {
            Self::Numbers(values) => values.get(row).copied().flatten().filter(|value| value.abs() <= LARGEST),
            Self::Timestamps(values) => values.get(row).copied().flatten().map(|value| value as f64),
            Self::Strings(_) => None,
        }
    }

    /// Returns true for `true` and for numbers other than zero.
    pub(crate) fn is_true(&self, row: usize) -> bool {
        match self {
            Self::Strings(values) => values.get(row).and_then(Option::as_deref) == Some("true"),
            other => other.number(row).is_some_and(|number| number != 0.0),
        }
    }

    /// All numbers of the column.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        (0..self.len()).filter_map(|row| self.number(row)).collect()
    }
}

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in the result.
    pub name: String,
    /// Its values.
    pub values: Values,
}

impl Column {
    /// The name as shown to a reader.
    pub(crate) fn label(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// A chart to draw: its kind, options and columns. All columns have the same number of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// The kind.
    pub kind: Kind,
    /// The format of values.
    pub form: Form,
    /// The language of generated words.
    pub language: Language,
    /// A title, drawn only in standalone pictures and on a terminal.
    pub title: Option<String>,
    /// True if bars and areas are stacked.
    pub is_stacked: bool,
    /// True for horizontal bars; `None` chooses by the length of the labels.
    pub is_horizontal: Option<bool>,
    /// True for a donut.
    pub is_donut: bool,
    /// True if a scatter chart shows its least-squares line.
    pub has_trend: bool,
    /// The x column: categories, timestamps or a measure.
    pub x: Option<Column>,
    /// The measures.
    pub y: Vec<Column>,
    /// The column that splits rows into series.
    pub series: Option<Column>,
    /// Lower bounds of intervals.
    pub low: Option<Column>,
    /// Upper bounds of intervals.
    pub high: Option<Column>,
    /// The value of a heat map's cell or of a figure.
    pub value: Option<Column>,
    /// The value of the previous period.
    pub previous: Option<Column>,
    /// The p-value of the change.
    pub p_value: Option<Column>,
    /// The unit of each row: `ratio`, `seconds`, `points`, `count`, or any other word, shown as it is.
    pub unit: Option<Column>,
    /// Labels of points.
    pub label: Option<Column>,
    /// True for periods that the data cover in part; they are drawn lighter.
    pub partial: Option<Column>,
    /// How many cases a value rests on; values of fewer than 5 are drawn hollow and no line connects them.
    pub base: Option<Column>,
}

impl Plot {
    /// A plot of a kind without columns.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            form: Form::Number,
            language: Language::English,
            title: None,
            is_stacked: false,
            is_horizontal: None,
            is_donut: false,
            has_trend: false,
            x: None,
            y: vec![],
            series: None,
            low: None,
            high: None,
            value: None,
            previous: None,
            p_value: None,
            unit: None,
            label: None,
            partial: None,
            base: None,
        }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        let columns = [&self.x, &self.value, &self.series].into_iter().flatten().chain(&self.y);
        columns.map(|column| column.values.len()).max().unwrap_or(0)
    }

    /// The names of the measures.
    pub(crate) fn measure(&self) -> String {
        let columns: Vec<String> = self.y.iter().chain(&self.value).map(Column::label).collect();
        columns.join(", ")
    }
}
