use super::*;
use crate::{Column, Form, Values};

fn texts(name: &str, values: &[&str]) -> Column {
    Column { name: name.into(), values: Values::Strings(values.iter().map(|text| Some((*text).to_string())).collect()) }
}

fn numbers(name: &str, values: &[f64]) -> Column {
    let value = |value: &f64| value.is_finite().then_some(*value);
    Column { name: name.into(), values: Values::Numbers(values.iter().map(value).collect()) }
}

fn bars(values: &[f64]) -> Plot {
    let names = ["billing", "电话", "c"];
    Plot { x: Some(texts("topic", &names[..values.len()])), y: vec![numbers("n", values)], ..Plot::new(Kind::Bar) }
}

#[test]
fn a_bar_is_as_long_as_its_share() {
    // 40 columns: 7 for names, 3 for values, 4 between: 26 for the longest bar, 13 for half of it
    let text = terminal(&bars(&[200.0, 100.0]), 40, false);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("billing {} 200", "█".repeat(26)));
    assert_eq!(lines[1], format!("电话    {}{} 100", "█".repeat(13), " ".repeat(13)));
}

#[test]
fn bars_below_zero_go_to_the_left() {
    let text = terminal(&bars(&[10.0, -10.0]), 40, false);
    let lines: Vec<&str> = text.lines().collect();
    let zero = lines[0].find('█').unwrap();
    assert!(lines[1].chars().position(|c| c == '█').unwrap() < zero, "{text}");
}

#[test]
fn nothing_is_wider_than_the_screen() {
    let mut plots = vec![bars(&[1e9, 3.0, 0.0])];
    plots.push(Plot { kind: Kind::Line, ..bars(&[1.0, f64::NAN, 3.0]) });
    plots.push(Plot { kind: Kind::Pie, ..bars(&[1.0, 2.0, 3.0]) });
    plots.push(Plot { kind: Kind::Funnel, ..bars(&[3.0, 2.0, 1.0]) });
    plots.push(Plot { kind: Kind::Pareto, ..bars(&[3.0, 2.0, 1.0]) });
    plots.push(Plot { kind: Kind::Box, ..bars(&[3.0, 2.0, 1.0]) });
    plots.push(Plot { kind: Kind::Sparkline, ..bars(&[3.0, 2.0, 1.0]) });
    plots.push(Plot { x: Some(numbers("h", &[1.0, 2.0, 9.0])), ..Plot::new(Kind::Histogram) });
    plots.push(Plot {
        x: Some(numbers("h", &[1.0, 2.0, 9.0])),
        y: vec![numbers("s", &[3.0, 4.0, 5.0])],
        has_trend: true,
        ..Plot::new(Kind::Scatter)
    });
    plots.push(Plot {
        x: Some(numbers("hour", &[0.0, 1.0, 23.0])),
        y: vec![numbers("weekday", &[1.0, 4.0, 7.0])],
        value: Some(numbers("n", &[3.0, 4.0, 5.0])),
        ..Plot::new(Kind::Heatmap)
    });
    plots.push(Plot {
        x: Some(texts("kpi", &["a long name of a figure", "b", "c"])),
        value: Some(numbers("n", &[0.3, 0.4, f64::NAN])),
        previous: Some(numbers("n", &[0.2, 0.5, 0.1])),
        form: Form::Percent,
        ..Plot::new(Kind::Figure)
    });
    for plot in &plots {
        for width in [36, 60, 200] {
            let text = terminal(plot, width, false);
            assert!(!text.is_empty(), "{:?}", plot.kind);
            for line in text.lines() {
                assert!(columns(line) <= width, "{:?} at {width}: {} columns\n{text}", plot.kind, columns(line));
            }
            assert!(!text.contains('\u{1b}'), "{text}");
            assert!(terminal(plot, width, true).contains('\u{1b}'), "{:?}", plot.kind);
        }
    }
}

#[test]
fn a_narrow_terminal_and_no_data_show_nothing() {
    assert_eq!(terminal(&bars(&[1.0]), 35, false), "");
    assert_eq!(terminal(&bars(&[f64::NAN]), 80, false), "");
    assert_eq!(terminal(&Plot::new(Kind::Line), 80, false), "");
}

#[test]
fn a_line_has_its_marks_and_its_ends() {
    let mut plot = bars(&[1.0, 2.0, 4.0]);
    plot.kind = Kind::Line;
    plot.x = Some(Column {
        name: "month".into(),
        // the first of January, February and March 2025
        values: Values::Timestamps(vec![Some(1_735_689_600_000), Some(1_738_368_000_000), Some(1_740_787_200_000)]),
    });
    let text = terminal(&plot, 60, false);
    assert!(text.contains("Jan 2025") && text.contains("Mar 2025"), "{text}");
    assert!(text.lines().any(|line| line.trim_start().starts_with('4')), "{text}");
    assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{text}");
}

#[test]
fn of_too_many_bars_the_extremes_are_drawn() {
    let names: Vec<String> = (0..50).map(|at| format!("s{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let values: Vec<f64> = (0..50).map(|at| f64::from(at - 25) + 0.5).collect();
    let plot = Plot { x: Some(texts("agent", &names)), y: vec![numbers("zscore", &values)], ..Plot::new(Kind::Bar) };
    let text = terminal(&plot, 80, false);
    assert!(text.contains("s0 ") && text.contains("s49") && !text.contains("s25"), "{text}");
    assert!(text.contains("40 of 50 drawn, the highest and the lowest"), "{text}");
}

#[test]
fn an_empty_month_has_a_line_without_a_bar() {
    let month = |month: u32| {
        let day = chrono::NaiveDate::from_ymd_opt(2025, month, 1).unwrap();
        Some(day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp_millis())
    };
    let x = Column { name: "month".into(), values: Values::Timestamps(vec![month(3), month(1)]) };
    let plot = Plot { x: Some(x), ..bars(&[30.0, 10.0]) };
    let text = terminal(&plot, 60, false);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("Jan 2025") && lines[1].starts_with("Feb 2025") && lines[1].ends_with('·'), "{text}");
    assert!(lines[2].starts_with("Mar 2025"), "{text}");
}
