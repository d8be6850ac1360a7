//! What is drawn: a kind, and columns in their parts.

use crate::{Form, Language};

/// The kinds of chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bars by a category.
    Bar,
    /// A line over time or an order.
    Line,
    /// A filled line.
    Area,
    /// Points of two measures.
    Scatter,
    /// Cells of two categories, coloured by a value.
    Heatmap,
    /// How values are distributed.
    Histogram,
    /// Quartiles by a category.
    Box,
    /// Shares of a whole.
    Pie,
    /// Steps that lose some on the way.
    Funnel,
    /// Bars in falling order with their running share.
    Pareto,
    /// A row with a small line for each series.
    Sparkline,
    /// One number, with the one before.
    Figure,
}

/// The values of a column, one per row; `None` is NULL.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Instants, in milliseconds since 1970 UTC.
    Times(Vec<Option<i64>>),
    /// Texts, and everything that is shown as its text.
    Texts(Vec<Option<String>>),
}

/// Larger numbers have no place on an axis: the way between two of them would be no number.
const LARGEST: f64 = 1e300;

impl Values {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Times(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number in a row, an instant as its milliseconds; `None` for NULL, texts, NaN, infinities and
    /// what is as good as infinite.
    pub fn number(&self, row: usize) -> Option<f64> {
        match self {
            Self::Numbers(values) => values.get(row).copied().flatten().filter(|value| value.abs() <= LARGEST),
            Self::Times(values) => values.get(row).copied().flatten().map(|value| value as f64),
            Self::Texts(_) => None,
        }
    }

    /// Every number that there is.
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
    /// The name as a reader sees it.
    pub(crate) fn label(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// What is drawn from which columns. All columns have the same number of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// The kind.
    pub kind: Kind,
    /// How values are written.
    pub form: Form,
    /// The language of the words that the chart adds.
    pub language: Language,
    /// A title, drawn only in a picture that stands alone.
    pub title: Option<String>,
    /// Whether bars and areas stand on one another.
    pub is_stacked: bool,
    /// Whether bars lie; `None` lets their labels decide.
    pub is_horizontal: Option<bool>,
    /// Whether a pie has a hole.
    pub is_donut: bool,
    /// Whether a scatter chart shows its straight line of least squares.
    pub has_trend: bool,
    /// Categories, instants or a first measure.
    pub x: Option<Column>,
    /// Measures.
    pub y: Vec<Column>,
    /// What divides rows into series.
    pub series: Option<Column>,
    /// Lower ends of intervals.
    pub low: Option<Column>,
    /// Upper ends of intervals.
    pub high: Option<Column>,
    /// The value of a cell or a figure.
    pub value: Option<Column>,
    /// The value of the period before.
    pub previous: Option<Column>,
    /// How likely a change at least as large is by chance alone.
    pub p_value: Option<Column>,
    /// The unit of each row: `ratio`, `seconds`, `points`, `count`, or a word that is shown.
    pub unit: Option<Column>,
    /// Names of points.
    pub label: Option<Column>,
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
        }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        let columns = [&self.x, &self.value, &self.series].into_iter().flatten().chain(&self.y);
        columns.map(|column| column.values.len()).max().unwrap_or(0)
    }

    /// What the measures are called.
    pub(crate) fn measure(&self) -> String {
        let columns: Vec<String> = self.y.iter().chain(&self.value).map(Column::label).collect();
        columns.join(", ")
    }
}
