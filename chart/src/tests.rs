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
