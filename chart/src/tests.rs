use super::*;

fn texts(name: &str, values: &[&str]) -> Column {
    Column { name: name.into(), values: Values::Strings(values.iter().map(|text| Some((*text).to_string())).collect()) }
}

/// A column in which NaN stands for NULL.
fn numbers(name: &str, values: &[f64]) -> Column {
    let value = |value: &f64| value.is_finite().then_some(*value);
    Column { name: name.into(), values: Values::Numbers(values.iter().map(value).collect()) }
}

fn bars(values: &[f64]) -> Plot {
    let names = ["a", "b", "c", "d"];
    Plot { x: Some(texts("topic", &names[..values.len()])), y: vec![numbers("n", values)], ..Plot::new(Kind::Bar) }
}

/// The values of an attribute of all elements of a class.
fn attributes(svg: &str, class: &str, attribute: &str) -> Vec<f64> {
    svg.split('<')
        .filter(|element| element.contains(&format!("class=\"{class}\"")))
        .filter_map(|element| element.split_once(&format!(" {attribute}=\"")))
        .filter_map(|(_, rest)| rest.split('"').next()?.parse().ok())
        .collect()
}

#[test]
fn bars_stand_on_zero_and_are_as_high_as_their_values() {
    let svg = svg(&bars(&[50.0, 100.0]), Size::Wide);
    // the axis reaches from 0 to 100 over 260 units
    assert_eq!(attributes(&svg, "f0", "height"), [130.0, 260.0]);
    let tops = attributes(&svg, "f0", "y");
    assert_eq!(tops[0] - tops[1], 130.0);
}

#[test]
fn bars_on_one_another_add_up() {
    let mut plot = bars(&[30.0, 10.0]);
    plot.y.push(numbers("m", &[50.0, 90.0]));
    plot.is_stacked = true;
    let svg = svg(&plot, Size::Wide);
    // 30 + 50 and 10 + 90 of 100
    assert_eq!(attributes(&svg, "f0", "height")[1..], [78.0, 26.0]);
    assert_eq!(attributes(&svg, "f1", "height")[1..], [130.0, 234.0]);
    let (lower, upper) = (attributes(&svg, "f0", "y"), attributes(&svg, "f1", "y"));
    assert_eq!(upper[1] + 130.0, lower[1], "the second stands on the first");
}

#[test]
fn null_is_a_gap_in_a_line() {
    let plot = Plot { kind: Kind::Line, ..bars(&[1.0, 2.0, f64::NAN, 3.0]) };
    let svg = svg(&plot, Size::Wide);
    let path = svg.split("class=\"l0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
}

#[test]
fn nothing_to_draw_is_said_in_the_language_of_the_page() {
    for kind in [
        Kind::Bar,
        Kind::Line,
        Kind::Area,
        Kind::Scatter,
        Kind::Heatmap,
        Kind::Histogram,
        Kind::Box,
        Kind::Pie,
        Kind::Funnel,
        Kind::Pareto,
        Kind::Sparkline,
        Kind::Figure,
    ] {
        let mut plot = Plot::new(kind);
        assert!(svg(&plot, Size::Wide).contains(">No data</text>"), "{kind:?}");
        plot.x = Some(texts("x", &[]));
        plot.y = vec![numbers("y", &[])];
        plot.value = Some(numbers("value", &[]));
        plot.language = Language::Chinese;
        assert!(svg(&plot, Size::Narrow).contains(">没有数据</text>"), "{kind:?}");
        assert!(description(&plot).ends_with("没有数据。"), "{}", description(&plot));
    }
}

#[test]
fn values_that_are_no_numbers_break_nothing() {
    for kind in [
        Kind::Bar,
        Kind::Line,
        Kind::Area,
        Kind::Scatter,
        Kind::Histogram,
        Kind::Box,
        Kind::Pie,
        Kind::Funnel,
        Kind::Pareto,
        Kind::Sparkline,
    ] {
        for values in [
            [f64::NAN, f64::NAN, f64::NAN],
            [f64::INFINITY, 1.0, f64::NEG_INFINITY],
            [0.0, 0.0, 0.0],
            [-1.0, -2.0, -3.0],
            [1e300, -1e300, 1.0],
            [5.0, 5.0, 5.0],
        ] {
            for has_numbers in [false, true] {
                let mut plot = Plot { kind, ..bars(&values) };
                plot.y = vec![Column {
                    name: "n".into(),
                    values: Values::Numbers(values.iter().map(|v| Some(*v)).collect()),
                }];
                if has_numbers {
                    plot.x = Some(numbers("x", &values));
                }
                for size in [Size::Wide, Size::Narrow] {
                    let drawn = svg(&plot, size);
                    assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{kind:?} {values:?}: {drawn}");
                }
            }
        }
    }
}

#[test]
fn of_many_series_the_largest_have_colours_and_the_rest_is_counted() {
    let names: Vec<String> = (0..12).map(|at| format!("s{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plot = Plot {
        kind: Kind::Line,
        x: Some(numbers("x", &[1.0; 12])),
        series: Some(texts("s", &names)),
        y: vec![numbers("n", &(0..12).map(f64::from).collect::<Vec<_>>())],
        ..Plot::new(Kind::Line)
    };
    let svg = svg(&plot, Size::Wide);
    assert!(svg.contains(">5 more</text>") && svg.contains(">s11</text>") && !svg.contains(">s4</text>"), "{svg}");
}

#[test]
fn names_that_are_too_long_lie_beside_their_bars() {
    let mut plot = bars(&[1.0, 2.0]);
    plot.x = Some(texts(
        "reason",
        &["a reason that takes more room than there is below one of the bars of this chart, by far", "b"],
    ));
    let svg = svg(&plot, Size::Narrow);
    // bars that lie have one height and the width of their values
    let heights = attributes(&svg, "f0", "height");
    assert_eq!(heights[0], heights[1]);
    assert!(svg.contains("…</text>") && svg.contains("<title>a reason that takes more room"), "{svg}");
}

#[test]
fn what_is_drawn_is_also_said() {
    let plot = Plot { form: Form::Percent, ..bars(&[0.5, 0.25]) };
    assert_eq!(description(&plot), "Bar chart: n by topic. 2 values, lowest b 25.0%, highest a 50.0%.");
    let plot = Plot { language: Language::Chinese, ..plot };
    assert_eq!(description(&plot), "柱形图：n（按 topic）。 2 个值，最低 b 25.0%，最高 a 50.0%。");
}

#[test]
fn nothing_in_the_data_is_markup() {
    let mut plot = bars(&[1.0]);
    plot.x = Some(texts("<b>\"x\"", &["</title><script>alert(1)</script>"]));
    plot.title = Some("<i>".into());
    for drawn in [svg(&plot, Size::Wide), standalone(&plot, Size::Wide, Theme::Light)] {
        assert!(!drawn.contains("<script") && !drawn.contains("<b>") && !drawn.contains("<i>"), "{drawn}");
    }
}

#[test]
fn weekdays_have_names_and_missing_hours_have_columns() {
    let plot = Plot {
        x: Some(numbers("hour", &[8.0, 10.0])),
        y: vec![numbers("weekday", &[1.0, 7.0])],
        value: Some(numbers("n", &[3.0, 4.0])),
        ..Plot::new(Kind::Heatmap)
    };
    let svg = svg(&plot, Size::Wide);
    assert!(svg.contains(">Mon</text>") && svg.contains(">Sun</text>") && svg.contains(">9</text>"), "{svg}");
    // seven days of three hours, two of them known
    assert_eq!(attributes(&svg, "e", "width").len(), 19);
}

#[test]
fn a_figure_tells_its_change_and_whether_it_is_more_than_chance() {
    let plot = Plot {
        form: Form::Percent,
        value: Some(numbers("fcr_ratio", &[0.76])),
        previous: Some(numbers("before", &[0.70])),
        p_value: Some(numbers("p", &[0.03])),
        ..Plot::new(Kind::Figure)
    };
    let drawn = svg(&plot, Size::Wide);
    for wanted in [">76.0%<", ">▲ +6.0 pp<", ">before 70.0%<", ">significant (p = 0.03)<"] {
        assert!(drawn.contains(wanted), "{wanted}: {drawn}");
    }
    let plot = Plot { p_value: Some(numbers("p", &[0.4])), ..plot };
    assert!(svg(&plot, Size::Wide).contains(">not significant (p = 0.40)<"));
}

#[test]
fn shares_of_a_pie_add_up_and_small_ones_are_one() {
    let values: Vec<f64> = (1..=10).map(f64::from).collect();
    let names: Vec<String> = (1..=10).map(|at| format!("p{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plot = Plot { x: Some(texts("part", &names)), y: vec![numbers("n", &values)], ..Plot::new(Kind::Pie) };
    let svg = svg(&plot, Size::Wide);
    // 10 of 55, and 1 + 2 + 3 + 4 of 55
    assert!(svg.contains(">18.2%<") && svg.contains(">other (4)<") && svg.matches(">18.2%<").count() == 2, "{svg}");
}

/// First days of months of 2025.
fn months(name: &str, numbers: &[u32]) -> Column {
    let at = |month: &u32| chrono::NaiveDate::from_ymd_opt(2025, *month, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
    let times = numbers.iter().map(|month| Some(at(month).and_utc().timestamp_millis())).collect();
    Column { name: name.into(), values: Values::Timestamps(times) }
}

fn flags(name: &str, values: &[bool]) -> Column {
    Column { name: name.into(), values: Values::Strings(values.iter().map(|value| Some(value.to_string())).collect()) }
}

#[test]
fn bars_over_dates_stand_in_the_order_of_time_and_an_empty_month_is_a_gap() {
    // April, January, February: three bars in four slots
    let plot = Plot { x: Some(months("month", &[4, 1, 2])), ..bars(&[40.0, 10.0, 20.0]) };
    let svg = svg(&plot, Size::Wide);
    assert_eq!(attributes(&svg, "f0", "height"), [65.0, 130.0, 260.0]);
    let left = attributes(&svg, "f0", "x");
    assert!((left[2] - left[1] - 2.0 * (left[1] - left[0])).abs() < 0.3, "{left:?}");
}

#[test]
fn a_line_does_not_cross_a_month_without_rows() {
    let plot = Plot { kind: Kind::Line, x: Some(months("month", &[1, 2, 4, 5])), ..bars(&[1.0, 2.0, 3.0, 4.0]) };
    let svg = svg(&plot, Size::Wide);
    let path = svg.split("class=\"l0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 2), "{path}");
}

#[test]
fn a_part_of_a_period_is_drawn_lighter_and_named() {
    let partial = Some(flags("is_partial", &[false, false, true]));
    let plot = Plot { x: Some(months("month", &[1, 2, 3])), partial, ..bars(&[10.0, 20.0, 5.0]) };
    let drawn = svg(&plot, Size::Wide);
    assert_eq!(attributes(&drawn, "f0 weak", "height").len(), 1);
    assert!(drawn.contains("Lighter: the data cover only a part of Mar 2025."), "{drawn}");
    let plot = Plot { kind: Kind::Line, ..plot };
    let drawn = svg(&plot, Size::Wide);
    assert_eq!((drawn.matches("class=\"l0 dash\"").count(), drawn.matches("class=\"o0\"").count()), (1, 1));
    let plot = Plot { kind: Kind::Area, ..plot };
    assert_eq!(svg(&plot, Size::Wide).matches("class=\"veil\"").count(), 1);
    let plot = Plot { kind: Kind::Bar, language: Language::Chinese, ..plot };
    assert!(terminal(&plot, 60, false).contains("数据只覆盖 2025年3月 的一部分"), "{}", terminal(&plot, 60, false));
}

#[test]
fn no_line_goes_to_a_score_of_one_answer() {
    // one answer each in February and March: +100 and -100
    let plot = Plot {
        kind: Kind::Line,
        form: Form::Points,
        x: Some(months("month", &[1, 2, 3, 4])),
        base: Some(numbers("answer_count", &[80.0, 1.0, 1.0, 5.0])),
        ..bars(&[30.0, 100.0, -100.0, 20.0])
    };
    let drawn = svg(&plot, Size::Wide);
    let path = drawn.split("class=\"l0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(path.matches('L').count(), 0, "{path}");
    assert_eq!(drawn.matches("class=\"o0\"").count(), 2);
    assert!(drawn.contains("fewer than 5 cases"), "{drawn}");
}

#[test]
fn an_axis_of_shares_ends_at_one_and_one_of_scores_at_a_hundred() {
    let only = |form: Form, value: f64| axis::reach([value].into_iter(), false, 5, form);
    assert_eq!(only(Form::Points, 100.0).1, 100.0);
    assert_eq!(only(Form::Points, -100.0).0, -100.0);
    assert_eq!(only(Form::Percent, 1.0).1, 1.0);
    // other scores go beyond
    assert_eq!(axis::reach([0.0, 350.0].into_iter(), true, 5, Form::Points).1, 400.0);
}

#[test]
fn of_too_many_bars_the_extremes_are_drawn_and_the_note_says_which() {
    let names: Vec<String> = (0..50).map(|at| format!("an agent with a name too long to stand below {at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shown = |values: Vec<f64>, form: Form| {
        let plot =
            Plot { form, x: Some(texts("agent", &names)), y: vec![numbers("n", &values)], ..Plot::new(Kind::Bar) };
        svg(&plot, Size::Wide)
    };
    // shares in rows from the middle outwards: the highest is last, the lowest the one before
    let shares: Vec<f64> = (0..50).map(|at| 0.5 + if at % 2 == 0 { -0.01 } else { 0.01 } * f64::from(at)).collect();
    let drawn = shown(shares, Form::Percent);
    assert!(drawn.contains(">99.0%<") && drawn.contains(">2.0%<") && !drawn.contains(">50.0%<"), "{drawn}");
    assert!(drawn.contains("40 of 50 drawn, the highest and the lowest; 10 between them are left out."), "{drawn}");
    // of counts the largest, in the order of the rows
    let drawn = shown((1..=50).map(f64::from).collect(), Form::Number);
    assert!(
        drawn.contains(">50<") && drawn.contains(">11<") && drawn.contains("The largest 40 of 50 drawn"),
        "{drawn}"
    );
}
