//! Collects the data of a chart from the rows of a section.

use std::str::FromStr;

use chrono::DateTime;
use cxql_chart::{Column, Form, Kind, Language, Plot, Values};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::FormatOptions;

use super::Chart;
use crate::output::durations;
use crate::output::{SheetChart, visible};

/// Maximum rows that a chart draws, which limits the memory of a page; the table has all rows.
const MOST_ROWS: usize = 200_000;

/// Collects the columns of a chart while the rows are written.
#[derive(Debug)]
pub(crate) struct ChartData {
    chart: Chart,
    language: Language,
    /// The columns of the chart with their index in the result.
    columns: Vec<(usize, Column)>,
    drawn: usize,
    rows: usize,
}

/// The form in which a chart takes a column's values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ValueForm {
    Number,
    Seconds(TimeUnit),
    Time,
    Text,
}

fn value_form(data_type: &DataType) -> ValueForm {
    match data_type {
        DataType::Dictionary(_, values) => value_form(values),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => ValueForm::Time,
        DataType::Duration(unit) => ValueForm::Seconds(*unit),
        number if number.is_numeric() || *number == DataType::Null => ValueForm::Number,
        _ => ValueForm::Text,
    }
}

impl Chart {
    /// The chart as Excel's own; `None` without the columns that Excel needs.
    pub(crate) fn sheet_chart(&self) -> Option<SheetChart> {
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

    /// Returns true if bars and areas are stacked.
    fn is_stacked(&self) -> bool {
        let has = |layout: &str| self.layout.iter().any(|word| word == layout);
        let is_whole = self.columns("y").len() > 1 || !self.columns("series").is_empty();
        // areas are stacked by default
        has("stacked") || (self.kind == Kind::Area && is_whole && !has("grouped"))
    }
}

impl ChartData {
    /// The data of a chart over rows of this schema. Missing columns are skipped: the plan has been validated before.
    pub(crate) fn new(chart: &Chart, schema: &Schema, language: Language) -> Self {
        let mut columns: Vec<(usize, Column)> = Vec::new();
        for name in chart.columns.iter().flat_map(|(_, names)| names) {
            let Ok(index) = schema.index_of(name) else { continue };
            if columns.iter().any(|(known, _)| *known == index) {
                continue;
            }
            let values = match value_form(schema.field(index).data_type()) {
                ValueForm::Number | ValueForm::Seconds(_) => Values::Numbers(vec![]),
                ValueForm::Time => Values::Timestamps(vec![]),
                ValueForm::Text => Values::Strings(vec![]),
            };
            columns.push((index, Column { name: visible(name), values }));
        }
        Self { chart: chart.clone(), language, columns, drawn: 0, rows: 0 }
    }

    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// A column that cannot be converted.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
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

    /// The number of rows that are not drawn.
    pub(crate) fn left_out(&self) -> usize {
        self.rows - self.drawn
    }

    /// The plot.
    pub(crate) fn plot(&self) -> Plot {
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
            partial: one("partial"),
            base: one("base"),
            ..Plot::new(chart.kind)
        }
    }
}

fn append(values: &mut Values, column: &ArrayRef) -> Result<(), ArrowError> {
    match values {
        Values::Numbers(numbers) => {
            let per_second = match value_form(column.data_type()) {
                ValueForm::Seconds(TimeUnit::Second) | ValueForm::Number | ValueForm::Time | ValueForm::Text => 1.0,
                ValueForm::Seconds(TimeUnit::Millisecond) => 1e3,
                ValueForm::Seconds(TimeUnit::Microsecond) => 1e6,
                ValueForm::Seconds(TimeUnit::Nanosecond) => 1e9,
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
            let local =
                zone.as_deref().filter(|zone| !matches!(*zone, "UTC" | "+00:00")).map(Tz::from_str).transpose()?;
            let timestamps = cast(&plain, &DataType::Timestamp(TimeUnit::Millisecond, zone))?;
            let counts = cast(&timestamps, &DataType::Int64)?;
            // an axis shows the wall clock of the column's zone, in which months begin at midnight
            let wall = |count: i64| match local {
                Some(zone) => {
                    let at = DateTime::from_timestamp_millis(count)?.with_timezone(&zone);
                    Some(at.naive_local().and_utc().timestamp_millis())
                }
                None => Some(count),
            };
            times.extend(counts.as_primitive::<Int64Type>().iter().map(|count| count.and_then(wall)));
        }
        Values::Strings(texts) => {
            let options = FormatOptions::new().with_display_error(true);
            let formatter = durations::formatter(column.as_ref(), &options)?;
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

    use datafusion::arrow::array::{Date32Array, Int64Array, StringArray, TimestampSecondArray};

    use super::*;
    use crate::report::Report;
    use crate::source::Source;

    fn drawing(header: &str, batch: &RecordBatch) -> ChartData {
        let text = format!("-- chart: {header}\nselect 1 as a");
        let report = Report::parse("r", &Arc::new(Source::query(&text))).unwrap();
        let mut drawing =
            ChartData::new(report.sections[0].chart.as_ref().unwrap(), &batch.schema(), Language::English);
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
    fn an_axis_shows_the_wall_clock_of_the_columns_zone() {
        // 2025-05-31T22:00:00Z and 2025-11-30T23:00:00Z are first days of months in Berlin: 20,240 and 20,423 days
        let times = TimestampSecondArray::from(vec![1_748_728_800, 1_764_543_600]).with_timezone("Europe/Berlin");
        let n: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("month", Arc::new(times) as ArrayRef), ("n", n)]).unwrap();
        let plot = drawing("bar x=month y=n", &batch).plot();
        let days = [20_240, 20_423].map(|days| Some(days * 86_400_000));
        assert_eq!(plot.x.unwrap().values, Values::Timestamps(days.to_vec()));
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
