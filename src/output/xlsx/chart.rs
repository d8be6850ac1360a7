//! Excel's own charts over the rows of a sheet.
//!
//! Bar, line, area, scatter, pie and pre-binned histogram charts exist in Excel and refer to the cells; for other kinds
//! the sheet has no chart. A chart by series needs the rows of each series to be contiguous.

use std::ops::RangeInclusive;

use cxql_chart::{Form, Kind};
use datafusion::arrow::datatypes::{DataType, Schema};
use rust_xlsxwriter::{
    Chart as NativeChart, ChartFormat, ChartLegendPosition, ChartLine, ChartMarker, ChartMarkerType, ChartSeries,
    ChartSolidFill, ChartTrendline, ChartTrendlineType, ChartType, Color,
};

/// Maximum rows of a chart; Excel is slow with more.
const MOST_ROWS: u32 = 20_000;
/// Maximum series; more cannot be distinguished.
const MOST_SERIES: usize = 20;
/// The size of a chart in pixels.
const SIZE: (u32, u32) = (760, 400);
/// The colours of Okabe and Ito, as in the other charts.
const COLORS: [u32; 8] = [0x0072b2, 0xd55e00, 0x009e73, 0xb8609a, 0xe69f00, 0x56b4e9, 0x4b5666, 0x7a5c00];

/// The chart of a sheet: a kind, and columns by name.
#[derive(Debug, Clone)]
pub(crate) struct SheetChart {
    /// The kind.
    pub kind: Kind,
    /// Its title.
    pub title: Option<String>,
    /// The column of categories, timestamps or a first measure.
    pub x: String,
    /// The columns of measures.
    pub y: Vec<String>,
    /// The column that divides rows into series.
    pub series: Option<String>,
    /// The number format of measures.
    pub form: Form,
    /// Whether bars and areas are stacked.
    pub is_stacked: bool,
    /// Whether bars are horizontal.
    pub is_horizontal: bool,
    /// Whether a pie is a donut.
    pub is_donut: bool,
    /// Whether a scatter chart has a least-squares line.
    pub has_trend: bool,
}

/// Consecutive rows of one series, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeriesRun {
    pub(super) name: String,
    pub(super) rows: RangeInclusive<u32>,
}

/// Adds a row to the runs. Returns false if the series is not contiguous.
pub(super) fn add_row(runs: &mut Vec<SeriesRun>, name: &str, row: u32) -> bool {
    if let Some(last) = runs.last_mut().filter(|last| last.name == name) {
        last.rows = *last.rows.start()..=row;
        return true;
    }
    let is_new = !runs.iter().any(|run| run.name == name);
    runs.push(SeriesRun { name: name.to_owned(), rows: row..=row });
    is_new && runs.len() <= MOST_SERIES
}

impl SheetChart {
    fn native(&self) -> Option<ChartType> {
        Some(match (self.kind, self.is_stacked, self.is_horizontal) {
            (Kind::Bar, false, false) | (Kind::Histogram, ..) => ChartType::Column,
            (Kind::Bar, true, false) => ChartType::ColumnStacked,
            (Kind::Bar, false, true) => ChartType::Bar,
            (Kind::Bar, true, true) => ChartType::BarStacked,
            (Kind::Line, ..) => ChartType::Line,
            (Kind::Area, false, _) => ChartType::Area,
            (Kind::Area, true, _) => ChartType::AreaStacked,
            (Kind::Scatter, ..) => ChartType::Scatter,
            (Kind::Pie, ..) if self.is_donut => ChartType::Doughnut,
            (Kind::Pie, ..) => ChartType::Pie,
            _ => return None,
        })
    }

    /// The chart over the rows of a sheet, with `runs` as its series; `None` if Excel has no such chart.
    pub(super) fn draw(
        &self,
        sheet: &str,
        schema: &Schema,
        rows: u32,
        runs: Option<&[SeriesRun]>,
    ) -> Option<NativeChart> {
        let native = self.native()?;
        if rows == 0 || rows > MOST_ROWS || self.y.is_empty() {
            return None;
        }
        let column = |name: &String| schema.index_of(name).ok().and_then(|index| u16::try_from(index).ok());
        let x = column(&self.x)?;
        let y: Vec<(u16, &String)> = self.y.iter().map(|name| Some((column(name)?, name))).collect::<Option<_>>()?;
        let whole = [SeriesRun { name: String::new(), rows: 1..=rows }];
        let runs = match (&self.series, runs) {
            (None, _) => &whole[..],
            (Some(_), Some(runs)) => runs,
            (Some(_), None) => return None,
        };
        let mut chart = NativeChart::new(native);
        let count = runs.len() * y.len();
        for (at, (run, (value, name))) in
            runs.iter().flat_map(|run| y.iter().map(move |measure| (run, measure))).enumerate()
        {
            let (first, last) = (*run.rows.start(), *run.rows.end());
            let mut series = ChartSeries::new();
            series.set_categories((sheet, first, x, last, x)).set_values((sheet, first, *value, last, *value));
            match (run.name.as_str(), y.len()) {
                ("", _) => series.set_name(name.as_str()),
                (run, 1) => series.set_name(run),
                (run, _) => series.set_name(&format!("{run}, {name}")),
            };
            self.paint(&mut series, COLORS[at % COLORS.len()]);
            chart.push_series(&series);
        }
        match &self.title {
            Some(title) => chart.title().set_name(title.as_str()),
            None => chart.title().set_hidden(),
        };
        let is_pie = self.kind == Kind::Pie;
        if count == 1 && !is_pie {
            chart.legend().set_hidden();
        } else {
            chart.legend().set_position(ChartLegendPosition::Bottom);
        }
        if !is_pie {
            let is_day = matches!(schema.field(usize::from(x)).data_type(), DataType::Date32 | DataType::Date64);
            if is_day {
                chart.x_axis().set_date_axis(true);
            }
            chart.x_axis().set_name(self.x.as_str());
            if let [only] = self.y.as_slice() {
                chart.y_axis().set_name(only.as_str());
            }
            if self.form == Form::Percent {
                chart.y_axis().set_num_format("0%");
            }
            if self.is_horizontal && self.kind == Kind::Bar {
                // the first row is the uppermost bar
                chart.x_axis().set_reverse();
            }
        }
        chart.set_width(SIZE.0).set_height(SIZE.1);
        Some(chart)
    }

    fn paint(&self, series: &mut ChartSeries, color: u32) {
        let color = Color::RGB(color);
        match self.kind {
            // the slices of a pie have colours of their own
            Kind::Pie => {
                series.set_point_colors(&COLORS.map(Color::RGB));
            }
            Kind::Line => {
                series.set_format(ChartFormat::new().set_line(ChartLine::new().set_color(color).set_width(2.0)));
            }
            Kind::Scatter => {
                let mut marker = ChartMarker::new();
                marker.set_type(ChartMarkerType::Circle).set_size(6);
                marker.set_format(ChartFormat::new().set_solid_fill(ChartSolidFill::new().set_color(color)));
                series.set_marker(&marker);
                if self.has_trend {
                    let mut trend = ChartTrendline::new();
                    trend.set_type(ChartTrendlineType::Linear);
                    series.set_trendline(&trend);
                }
            }
            _ => {
                series.set_format(ChartFormat::new().set_solid_fill(ChartSolidFill::new().set_color(color)));
                if self.kind == Kind::Histogram {
                    series.set_gap(2);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_series_stand_together_or_there_is_no_chart() {
        let mut runs = Vec::new();
        assert!(add_row(&mut runs, "a", 1) && add_row(&mut runs, "a", 2) && add_row(&mut runs, "b", 3));
        assert_eq!(runs, [SeriesRun { name: "a".into(), rows: 1..=2 }, SeriesRun { name: "b".into(), rows: 3..=3 }]);
        assert!(!add_row(&mut runs, "a", 4));
    }
}
