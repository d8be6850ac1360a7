//! From the rows of a section to what its chart draws.

use cxql_chart::{Column, Form, Kind, Language, Plot, Values};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::Chart;
use crate::output::{SheetChart, visible};

/// Rows that a chart draws; more are in the table only. Keeps the memory of a page small.
const MOST_ROWS: usize = 200_000;

/// Collects the columns that a chart needs while rows pass.
#[derive(Debug)]
pub struct Drawing {
    chart: Chart,
    language: Language,
    /// The columns that are needed, by their place in the result.
    columns: Vec<(usize, Column)>,
    drawn: usize,
    rows: usize,
}

/// The type in which a chart takes the values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Taken {
    Number,
    Seconds(TimeUnit),
    Time,
    Text,
}

fn taken(data_type: &DataType) -> Taken {
    match data_type {
        DataType::Dictionary(_, values) => taken(values),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Taken::Time,
        DataType::Duration(unit) => Taken::Seconds(*unit),
        number if number.is_numeric() || *number == DataType::Null => Taken::Number,
        _ => Taken::Text,
    }
}

impl Chart {
    /// The chart in the words of a workbook; `None` without the columns that it needs there.
    pub fn sheet_chart(&self) -> Option<SheetChart> {
        let has = |layout: &str| self.layout.iter().any(|word| word == layout);
        let first = |key: &str| self.columns(key).first().cloned();
        Some(SheetChart {
            kind: self.kind,
            title: self.title.clone(),
            x: first("x")?,
            y: self.columns("y").to_vec(),
            series: first("series"),
            form: self.form(),
            is_stacked: self.is_stacked(),
            is_horizontal: has("horizontal"),
            is_donut: has("donut"),
            has_trend: self.has_trend,
        })
    }

    fn form(&self) -> Form {
        self.format.as_deref().map_or(Form::Number, Form::named)
    }

    /// Whether bars and areas stand on one another.
    fn is_stacked(&self) -> bool {
        let has = |layout: &str| self.layout.iter().any(|word| word == layout);
        let is_whole = self.columns("y").len() > 1 || !self.columns("series").is_empty();
        // areas are parts of a whole unless the line says otherwise
        has("stacked") || (self.kind == Kind::Area && is_whole && !has("grouped"))
    }
}

impl Drawing {
    /// A drawing over rows of this schema. Columns that it lacks are left out, as the plan was validated before.
    pub fn new(chart: &Chart, schema: &Schema, language: Language) -> Self {
        let mut columns: Vec<(usize, Column)> = Vec::new();
        for name in chart.columns.iter().flat_map(|(_, names)| names) {
            let Ok(index) = schema.index_of(name) else { continue };
            if columns.iter().any(|(known, _)| *known == index) {
                continue;
            }
            let values = match taken(schema.field(index).data_type()) {
                Taken::Number | Taken::Seconds(_) => Values::Numbers(vec![]),
                Taken::Time => Values::Timestamps(vec![]),
                Taken::Text => Values::Strings(vec![]),
            };
            columns.push((index, Column { name: visible(name), values }));
        }
        Self { chart: chart.clone(), language, columns, drawn: 0, rows: 0 }
    }

    /// Takes the rows of a batch.
    ///
    /// # Errors
    /// A column that cannot be converted.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.rows += batch.num_rows();
        let kept = batch.num_rows().min(MOST_ROWS - self.drawn);
        self.drawn += kept;
        if kept == 0 {
            return Ok(());
        }
        for (index, column) in &mut self.columns {
            append(&mut column.values, &batch.column(*index).slice(0, kept))?;
        }
        Ok(())
    }

    /// The rows that came and were not drawn.
    pub fn left_out(&self) -> usize {
        self.rows - self.drawn
    }

    /// What is to be drawn.
    pub fn plot(&self) -> Plot {
        let chart = &self.chart;
        let all = |key: &str| -> Vec<Column> {
            let find = |name: &String| self.columns.iter().find(|(_, column)| column.name == visible(name));
            chart.columns(key).iter().filter_map(find).map(|(_, column)| column.clone()).collect()
        };
        let one = |key: &str| all(key).into_iter().next();
        let has = |layout: &str| chart.layout.iter().any(|word| word == layout);
        Plot {
            form: chart.form(),
            language: self.language,
            title: chart.title.as_deref().map(visible),
            is_stacked: chart.is_stacked(),
            is_horizontal: if has("horizontal") { Some(true) } else { has("vertical").then_some(false) },
            is_donut: has("donut"),
            has_trend: chart.has_trend,
            x: one("x"),
            y: all("y"),
            series: one("series"),
            low: one("low"),
            high: one("high"),
            value: one("value"),
            previous: one("previous"),
            p_value: one("p_value"),
            unit: one("unit"),
            label: one("label"),
            ..Plot::new(chart.kind)
        }
    }
}

fn append(values: &mut Values, column: &ArrayRef) -> Result<(), ArrowError> {
    match values {
        Values::Numbers(numbers) => {
            let per_second = match taken(column.data_type()) {
                Taken::Seconds(TimeUnit::Second) | Taken::Number | Taken::Time | Taken::Text => 1.0,
                Taken::Seconds(TimeUnit::Millisecond) => 1e3,
                Taken::Seconds(TimeUnit::Microsecond) => 1e6,
                Taken::Seconds(TimeUnit::Nanosecond) => 1e9,
            };
            let whole = if per_second > 1.0 { cast(column, &DataType::Int64)? } else { ArrayRef::clone(column) };
            let wide = cast(&whole, &DataType::Float64)?;
            numbers
                .extend(wide.as_primitive::<Float64Type>().iter().map(|value| value.map(|value| value / per_second)));
        }
        Values::Timestamps(times) => {
            let plain = match column.data_type() {
                DataType::Dictionary(_, inner) => cast(column, inner)?,
                _ => ArrayRef::clone(column),
            };
            let zone = match plain.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let instants = cast(&plain, &DataType::Timestamp(TimeUnit::Millisecond, zone))?;
            let counts = cast(&instants, &DataType::Int64)?;
            times.extend(counts.as_primitive::<Int64Type>().iter());
        }
        Values::Strings(texts) => {
            let options = FormatOptions::new().with_display_error(true);
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
            let nulls = column.logical_nulls();
            for row in 0..column.len() {
                let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                texts.push((!is_null).then(|| visible(&formatter.value(row).to_string())));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Date32Array, Int64Array, StringArray};

    use super::*;
    use crate::report::Report;
    use crate::source::Source;

    fn drawing(header: &str, batch: &RecordBatch) -> Drawing {
        let text = format!("-- chart: {header}\nselect 1 as a");
        let report = Report::parse("r", &Arc::new(Source::query(&text))).unwrap();
        let mut drawing = Drawing::new(report.sections[0].chart.as_ref().unwrap(), &batch.schema(), Language::English);
        drawing.add(batch).unwrap();
        drawing
    }

    fn batch() -> RecordBatch {
        let day: ArrayRef = Arc::new(Date32Array::from(vec![Some(20_089), None]));
        let name: ArrayRef = Arc::new(StringArray::from(vec![Some("a\u{1b}b"), None]));
        let count: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
        RecordBatch::try_from_iter([("day", day), ("name", name), ("n", count)]).unwrap()
    }

    #[test]
    fn columns_come_as_instants_texts_and_numbers() {
        let plot = drawing("line x=day y=n series=name", &batch()).plot();
        // 2025-01-01 is day 20,089
        assert_eq!(plot.x.unwrap().values, Values::Timestamps(vec![Some(20_089 * 86_400_000), None]));
        assert_eq!(plot.y[0].values, Values::Numbers(vec![Some(3.0), None]));
        assert_eq!(plot.series.unwrap().values, Values::Strings(vec![Some("a␛b".into()), None]));
    }

    #[test]
    fn the_words_of_the_line_become_parts_of_the_plot() {
        let plot = drawing("bar x=name y=n layout=stacked,horizontal format=percent title=\"A b\"", &batch()).plot();
        assert_eq!((plot.is_stacked, plot.is_horizontal, plot.form), (true, Some(true), Form::Percent));
        assert_eq!(plot.title.as_deref(), Some("A b"));
        assert!(drawing("area x=day y=n series=name", &batch()).plot().is_stacked);
        assert!(!drawing("area x=day y=n series=name layout=grouped", &batch()).plot().is_stacked);
        assert!(!drawing("area x=day y=n", &batch()).plot().is_stacked);
    }
}
