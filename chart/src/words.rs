//! Generated words in English and Chinese, and descriptions of charts.

use crate::grid::{self, Grid, Selection, labels};
use crate::{Form, Kind, Plot, stats};

/// The language of generated words in a page or chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese, simplified characters.
    Chinese,
}

/// The words of one language.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) no_data: &'static str,
    pub(crate) not_known: &'static str,
    pub(crate) other: &'static str,
    pub(crate) trend: &'static str,
    pub(crate) total: &'static str,
    pub(crate) before: &'static str,
    pub(crate) unchanged: &'static str,
    pub(crate) significant: &'static str,
    pub(crate) not_significant: &'static str,
    pub(crate) interval: &'static str,
    pub(crate) running_share: &'static str,
    pub(crate) of_first: &'static str,
    pub(crate) last: &'static str,
    pub(crate) weekdays: [&'static str; 7],
    pub(crate) months: [&'static str; 12],
}

const ENGLISH: Words = Words {
    no_data: "No data",
    not_known: "not known",
    other: "other",
    trend: "trend",
    total: "total",
    before: "before",
    unchanged: "unchanged",
    significant: "significant",
    not_significant: "not significant",
    interval: "95%",
    running_share: "running share",
    of_first: "of the first",
    last: "last",
    weekdays: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    months: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
};

const CHINESE: Words = Words {
    no_data: "没有数据",
    not_known: "未知",
    other: "其他",
    trend: "趋势",
    total: "合计",
    before: "上期",
    unchanged: "无变化",
    significant: "显著",
    not_significant: "不显著",
    interval: "95%",
    running_share: "累计占比",
    of_first: "占首步",
    last: "最新",
    weekdays: ["周一", "周二", "周三", "周四", "周五", "周六", "周日"],
    months: ["1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月"],
};

impl Language {
    /// The language of text: Chinese if it contains a Chinese character.
    pub fn of(text: &str) -> Self {
        let is_han =
            |c: char| matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}');
        if text.chars().any(is_han) { Self::Chinese } else { Self::English }
    }

    /// The HTML language tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }

    /// A measure by a category.
    pub(crate) fn by(self, measure: &str, category: &str) -> String {
        match self {
            Self::English => format!("{measure} by {category}"),
            Self::Chinese => format!("{measure}（按 {category}）"),
        }
    }

    /// A note that only some of the rows are drawn.
    pub(crate) fn shown(self, shown: usize, all: usize) -> String {
        match self {
            Self::English => format!("{shown} of {all} drawn."),
            Self::Chinese => format!("共 {all} 项，绘制 {shown} 项。"),
        }
    }

    /// A note which of too many categories are drawn.
    pub(crate) fn selected(self, selection: Selection, shown: usize, all: usize) -> String {
        let rest = all - shown;
        match (self, selection) {
            (Self::English, Selection::Newest) => format!("The newest {shown} of {all} drawn."),
            (Self::English, Selection::Largest) => format!("The largest {shown} of {all} drawn; the table has all."),
            (Self::English, Selection::BothEnds) => {
                format!("{shown} of {all} drawn, the highest and the lowest; {rest} between them are left out.")
            }
            (Self::Chinese, Selection::Newest) => format!("共 {all} 项，绘制最新的 {shown} 项。"),
            (Self::Chinese, Selection::Largest) => format!("共 {all} 项，绘制最大的 {shown} 项；表格含全部。"),
            (Self::Chinese, Selection::BothEnds) => {
                format!("共 {all} 项，绘制最高和最低的 {shown} 项，省略居中的 {rest} 项。")
            }
        }
    }

    /// Notes about values that are drawn lighter or hollow.
    pub(crate) fn weak_values(self, plot: &Plot, grid: &Grid) -> Vec<String> {
        const MOST: usize = 4;
        let mut notes = Vec::new();
        let partial = grid.partial();
        if !partial.is_empty() {
            let rows: Vec<usize> = partial.iter().map(|index| grid.firsts[*index]).collect();
            let mut names = labels(plot.x.as_ref().map(|x| (&*x.name, &x.values)), &rows, self);
            let more = names.len().saturating_sub(MOST);
            names.truncate(MOST);
            let how = match (self, plot.kind) {
                (Self::English, Kind::Line) => "Dashed",
                (Self::English, _) => "Lighter",
                (Self::Chinese, Kind::Line) => "虚线",
                (Self::Chinese, _) => "浅色",
            };
            notes.push(match self {
                Self::English if more > 0 => {
                    format!("{how}: the data cover only a part of {} and {more} more.", names.join(", "))
                }
                Self::English => format!("{how}: the data cover only a part of {}.", names.join(", ")),
                Self::Chinese if more > 0 => {
                    format!("{how}：数据只覆盖 {} 等 {} 个时段的一部分。", names.join("、"), rows.len())
                }
                Self::Chinese => format!("{how}：数据只覆盖 {} 的一部分。", names.join("、")),
            });
        }
        if grid.has_few() {
            let is_line = matches!(plot.kind, Kind::Line | Kind::Area);
            notes.push(match (self, is_line) {
                (Self::English, true) => format!("Hollow and not connected: fewer than {} cases.", grid::FEW),
                (Self::English, false) => format!("Lighter: fewer than {} cases.", grid::FEW),
                (Self::Chinese, true) => format!("空心且不连线：样本少于 {}。", grid::FEW),
                (Self::Chinese, false) => format!("浅色：样本少于 {}。", grid::FEW),
            });
        }
        notes
    }

    /// The name of the remaining series.
    pub(crate) fn more(self, count: usize) -> String {
        match self {
            Self::English => format!("{count} more"),
            Self::Chinese => format!("其他 {count} 项"),
        }
    }
}

/// The description of a chart.
pub(crate) fn description(plot: &Plot) -> String {
    let is_english = plot.language == Language::English;
    let kind = kind_name(plot.kind, plot.language);
    let category = plot.x.as_ref().map(crate::Column::label);
    let measure = match plot.kind {
        Kind::Histogram => category.clone().unwrap_or_default(),
        _ => plot.measure(),
    };
    let subject = match (&category, plot.kind) {
        (Some(category), Kind::Heatmap) => {
            let value = plot.value.as_ref().map(crate::Column::label).unwrap_or_default();
            let other = plot.y.first().map(crate::Column::label).unwrap_or_default();
            plot.language.by(&value, &format!("{category}, {other}"))
        }
        (Some(category), kind) if kind != Kind::Histogram => plot.language.by(&measure, category),
        _ => measure,
    };
    let start = if is_english { format!("{kind}: {subject}.") } else { format!("{kind}：{subject}。") };
    let details = details(plot).unwrap_or_else(|| plot.language.words().no_data.to_string());
    let end = if is_english { "." } else { "。" };
    format!("{start} {details}{end}")
}

fn kind_name(kind: Kind, language: Language) -> &'static str {
    let (english, chinese) = match kind {
        Kind::Bar => ("Bar chart", "柱形图"),
        Kind::Line => ("Line chart", "折线图"),
        Kind::Area => ("Area chart", "面积图"),
        Kind::Scatter => ("Scatter chart", "散点图"),
        Kind::Heatmap => ("Heat map", "热力图"),
        Kind::Histogram => ("Histogram", "直方图"),
        Kind::Box => ("Box plot", "箱线图"),
        Kind::Pie => ("Pie chart", "饼图"),
        Kind::Funnel => ("Funnel", "漏斗图"),
        Kind::Pareto => ("Pareto chart", "帕累托图"),
        Kind::Sparkline => ("Sparklines", "迷你图"),
        Kind::Figure => ("Figures", "指标"),
    };
    if language == Language::English { english } else { chinese }
}

fn details(plot: &Plot) -> Option<String> {
    let (form, language) = (plot.form, plot.language);
    let is_english = language == Language::English;
    match plot.kind {
        Kind::Figure => {
            let figures = crate::figure::figures(plot);
            let formatted = figures.iter().take(12).map(|figure| {
                let name = figure.name.as_deref().map(|name| format!("{name} ")).unwrap_or_default();
                let before =
                    figure.previous.as_ref().map(|previous| format!(" ({} {previous})", language.words().before));
                format!("{name}{}{}", figure.value, before.unwrap_or_default())
            });
            let formatted: Vec<String> = formatted.collect();
            (!formatted.is_empty()).then(|| formatted.join("; "))
        }
        Kind::Histogram | Kind::Box => {
            let column = if plot.kind == Kind::Box { plot.y.first() } else { plot.x.as_ref() };
            let mut values = column?.values.numbers();
            values.sort_by(f64::total_cmp);
            let (first, last) = (values.first()?, values.last()?);
            let form = if plot.kind == Kind::Histogram && !plot.y.is_empty() { Form::Number } else { form };
            let median = form.value(stats::quantile(&values, 0.5)?, language);
            let (low, high) = (form.value(*first, language), form.value(*last, language));
            Some(if is_english {
                format!("{} values from {low} to {high}, median {median}", values.len())
            } else {
                format!("{} 个值，{low} 至 {high}，中位数 {median}", values.len())
            })
        }
        Kind::Scatter => {
            let points = crate::points::points(plot);
            let line = stats::least_squares(&points.iter().map(|point| (point.x, point.y)).collect::<Vec<_>>());
            let formatted =
                if is_english { format!("{} points", points.len()) } else { format!("{} 个点", points.len()) };
            let trend = line.map(|line| format!(", R² {:.2}", line.r_squared)).unwrap_or_default();
            (!points.is_empty()).then(|| formatted + &trend)
        }
        Kind::Heatmap => {
            let grid = grid::cells(plot)?;
            let at = |column: usize, row: usize| {
                format!("{} {}", grid.rows.get(row).map_or("", String::as_str), grid.columns[column])
            };
            let cells = grid.cells.iter().map(|(column, row, value)| (at(*column, *row), *value));
            extremes(cells, form, language)
        }
        _ => {
            let grid = Grid::new(plot);
            let names = labels(plot.x.as_ref().map(|x| (&*x.name, &x.values)), grid.firsts.as_slice(), language);
            let is_single = grid.series.len() == 1;
            let values = grid.series.iter().flat_map(|series| {
                let name = &series.name;
                let names = &names;
                series.values.iter().zip(names).filter_map(move |(value, label)| {
                    let formatted = if is_single { label.clone() } else { format!("{name} {label}") };
                    Some((formatted, (*value)?))
                })
            });
            extremes(values, form, language)
        }
    }
}

/// The number of values, the lowest and the highest.
fn extremes(values: impl Iterator<Item = (String, f64)>, form: Form, language: Language) -> Option<String> {
    let values: Vec<(String, f64)> = values.collect();
    let lowest = values.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let highest = values.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (low, high) = (form.value(lowest.1, language), form.value(highest.1, language));
    let (low_at, high_at, count) = (&lowest.0, &highest.0, values.len());
    Some(match language {
        Language::English if count == 1 => format!("{high_at} {high}"),
        Language::English => format!("{count} values, lowest {low_at} {low}, highest {high_at} {high}"),
        Language::Chinese => format!("{count} 个值，最低 {low_at} {low}，最高 {high_at} {high}"),
    })
}
