use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Schema;

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn strings(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn options(width: Width, max_rows: usize) -> TableOptions {
    TableOptions { width, max_rows, color: Color::Never }
}

fn drawn(options: TableOptions, sections: &[(Option<&str>, Vec<RecordBatch>)]) -> String {
    let mut sink = TableSink::new(options, false);
    let mut out = Vec::new();
    for (title, batches) in sections {
        sink.begin_section(*title, &batches[0].schema(), &mut out).unwrap();
        for batch in batches {
            sink.write(batch, &mut out).unwrap();
        }
        sink.end_section(&mut out).unwrap();
    }
    assert_eq!(sink.finish(&mut out).unwrap(), FinishState::Done);
    String::from_utf8(out).unwrap()
}

fn numbers(rows: std::ops::Range<i64>) -> RecordBatch {
    batch(vec![("n", Arc::new(Int64Array::from_iter_values(rows)))])
}

#[test]
fn values_are_aligned_and_wide_characters_count_twice() {
    let table = batch(vec![
        ("topic", strings(&[Some("delivery"), Some("退货与退款"), None])),
        ("contacts", Arc::new(Int64Array::from(vec![Some(1200), Some(7), None]))),
        ("fcr_ratio", Arc::new(Float64Array::from(vec![Some(0.731_234_567_8), Some(12.5), None]))),
        ("is_new", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
    ]);
    // Drawn by hand.
    let expected = "\
Topics of the week
╭────────────┬──────────┬───────────┬────────╮
│ topic      │ contacts │ fcr_ratio │ is_new │
├────────────┼──────────┼───────────┼────────┤
│ delivery   │     1200 │    0.7312 │ true   │
│ 退货与退款 │        7 │   12.50   │ false  │
│ NULL       │     NULL │      NULL │ NULL   │
╰────────────┴──────────┴───────────┴────────╯
(3 rows)
";
    assert_eq!(drawn(options(Width::Auto, 40), &[(Some("Topics of the week"), vec![table])]), expected);
}

#[test]
fn sections_stand_apart_and_an_empty_one_has_its_header() {
    let expected = "\
A
╭───╮
│ n │
├───┤
│ 0 │
╰───╯
(1 row)

╭───╮
│ n │
├───┤
╰───╯
(0 rows)
";
    assert_eq!(
        drawn(options(Width::Auto, 40), &[(Some("A"), vec![numbers(0..1)]), (None, vec![numbers(0..0)])]),
        expected
    );
}

#[test]
fn a_long_result_shows_its_first_and_last_rows() {
    let found = drawn(options(Width::Auto, 3), &[(None, vec![numbers(0..1000), numbers(1000..1234)])]);
    // The table is too narrow for the sentence, and for the number, which takes nine with its marks.
    let expected = "\
╭──────╮
│    n │
├──────┤
│    0 │
│    1 │
│  ⋮   │
│ 1233 │
╰──────╯
(1,234 rows)
";
    assert_eq!(found, expected);
}

#[test]
fn the_line_of_missing_rows_says_how_many() {
    let wide = batch(vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..2000))),
        ("a_column_with_a_name", Arc::new(Int64Array::from_iter_values(0..2000))),
    ]);
    let found = drawn(options(Width::Auto, 2), &[(None, vec![wide])]);
    let expected = "\
╭──────┬──────────────────────╮
│    n │ a_column_with_a_name │
├──────┼──────────────────────┤
│    0 │                    0 │
│  ⋮ 1,998 rows not shown ⋮   │
│ 1999 │                 1999 │
╰──────┴──────────────────────╯
(2,000 rows)
";
    assert_eq!(found, expected);
}

#[test]
fn rows_that_are_shown_do_not_depend_on_the_batches() {
    for rows in [0, 1, 3, 4, 5, 6, 50] {
        let whole = drawn(options(Width::Auto, 4), &[(None, vec![numbers(0..rows)])]);
        for size in [1, 2, 3, 7] {
            let pieces: Vec<_> = (0..rows).step_by(size).map(|at| numbers(at..rows.min(at + size as i64))).collect();
            let pieces = if pieces.is_empty() { vec![numbers(0..0)] } else { pieces };
            assert_eq!(drawn(options(Width::Auto, 4), &[(None, pieces)]), whole, "{rows} rows in batches of {size}");
        }
        let shown = whole.lines().filter(|line| line.contains(|digit: char| digit.is_ascii_digit())).count() as i64 - 1;
        // Five fit: a line in place of one row would save nothing.
        let expected = if rows <= 5 { rows } else { 4 };
        assert_eq!(shown, expected, "{rows} rows\n{whole}");
    }
    let all = drawn(options(Width::Auto, 0), &[(None, vec![numbers(0..500)])]);
    assert_eq!(all.lines().count(), 500 + 5);
}

#[test]
fn only_the_rows_that_are_shown_are_kept() {
    let mut sink = TableSink::new(options(Width::Auto, 40), false);
    let mut out = Vec::new();
    sink.begin_section(None, &numbers(0..1).schema(), &mut out).unwrap();
    for _ in 0..1000 {
        sink.write(&numbers(0..8192), &mut out).unwrap();
    }
    let section = sink.section.as_ref().unwrap();
    assert_eq!(section.rows, 8_192_000);
    assert_eq!((section.head.len(), section.head_rows), (1, 20));
    assert!(section.tail.len() <= 2);
}

#[test]
fn floats_of_a_column_share_their_decimals_and_small_ones_keep_their_digits() {
    let table = batch(vec![("x", Arc::new(Float64Array::from(vec![1.0, 0.25, 0.000_012_3, f64::NAN, 1234.5])))]);
    let found = drawn(options(Width::Auto, 40), &[(None, vec![table])]);
    let cells: Vec<&str> = found.lines().skip(3).take(5).map(|line| line.trim_matches(['│', ' '])).collect();
    assert_eq!(cells, ["1", "0.25", "1.23e-5", "NaN", "1234.5"]);
}

#[test]
fn texts_are_cut_before_columns_are_left_out() {
    let long = "The quick brown fox jumps over the lazy dog";
    let table = batch(vec![
        ("n", Arc::new(Int64Array::from(vec![1_000_000]))),
        ("text", strings(&[Some(long)])),
        ("note", strings(&[Some("漢字漢字漢字漢字漢字")])),
    ]);
    let found = drawn(options(Width::Fixed(40), 40), &[(None, vec![table.clone()])]);
    // The lines take 10 and the number 7: 23 are left for the texts, and the first has the odd one. Six wide
    // characters would take 12.
    let expected = "\
╭─────────┬──────────────┬─────────────╮
│       n │ text         │ note        │
├─────────┼──────────────┼─────────────┤
│ 1000000 │ The quick b… │ 漢字漢字漢… │
╰─────────┴──────────────┴─────────────╯
(1 row)
";
    assert_eq!(found, expected);
    // Less than the least widths: 7 + 10 + 10 and the lines are 37.
    let found = drawn(options(Width::Fixed(36), 40), &[(None, vec![table])]);
    assert!(found.ends_with("(1 row; 1 of 3 columns is not shown)\n"), "{found}");
    assert!(found.lines().all(|line| line.chars().count() <= 36), "{found}");
    assert_eq!(found.lines().nth(1).unwrap().matches('…').count(), 1, "{found}");
}

#[test]
fn no_line_is_wider_than_asked() {
    let names: Vec<String> = (0..12).map(|index| format!("column_number_{index}")).collect();
    let texts = strings(&[Some("some words that are long")]);
    let table = batch(names.iter().map(|name| (name.as_str(), ArrayRef::clone(&texts))).collect());
    for width in [1, 5, 9, 10, 17, 30, 33, 80, 81, 200, 500] {
        let found = drawn(options(Width::Fixed(width), 40), &[(None, vec![table.clone()])]);
        let widest =
            found.lines().filter(|line| !line.starts_with('(')).map(|line| line.chars().count()).max().unwrap();
        // One column of one character and the gap take nine.
        assert!(widest <= usize::from(width).max(9), "{width}:\n{found}");
    }
}

#[test]
fn room_is_given_to_the_narrow_before_the_wide() {
    let need = |natural, least| Need { natural, least };
    let widths = |slots: Vec<Slot>| -> Vec<usize> {
        slots.iter().map(|slot| if let Slot::Column { width, .. } = slot { *width } else { 0 }).collect()
    };
    let needs = [need(5, 5), need(40, 10), need(12, 10)];
    // The lines take 10; 53 - 10 - 5 = 38 is shared by the two texts, of which one needs 12.
    assert_eq!(widths(layout(&needs, Some(53))), [5, 26, 12]);
    assert_eq!(widths(layout(&needs, Some(35))), [5, 10, 10]);
    assert_eq!(widths(layout(&needs, Some(36))), [5, 11, 10]);
    assert_eq!(widths(layout(&needs, None)), [5, 40, 12]);
    // The first and the last column and the gap: 5 + 10 + 1 and the lines.
    assert_eq!(widths(layout(&needs, Some(34))), [5, 0, 12]);
    assert_eq!(widths(layout(&needs, Some(26))), [5, 0, 10]);
    assert_eq!(widths(layout(&needs, Some(25))), [5, 0]);
    assert_eq!(widths(layout(&[need(40, 10)], Some(9))), [5]);
    assert_eq!(widths(layout(&[], Some(9))), Vec::<usize>::new());
}

#[test]
fn nothing_in_the_data_reaches_the_terminal_as_a_command() {
    let table = batch(vec![("a\x1b[2Jb", strings(&[Some("x\x1b]0;title\x07\r\ny")]))]);
    let found = drawn(options(Width::Auto, 40), &[(Some("t\x1b[1m"), vec![table])]);
    assert!(!found.contains('\x1b') && !found.contains('\x07'), "{found}");
    assert!(found.contains("a␛[2Jb") && found.contains("x␛]0;title␇⏎y") && found.contains("t␛[1m"), "{found}");
}

#[test]
fn styles_are_bold_headers_and_dim_nulls() {
    let options = TableOptions { width: Width::Auto, max_rows: 2, color: Color::Always };
    let texts: Vec<Option<&str>> = vec![None; 9];
    let found = drawn(options, &[(Some("Title"), vec![batch(vec![("a_long_enough_header_for_it", strings(&texts))])])]);
    assert!(found.starts_with("\x1b[1mTitle\x1b[0m\n"), "{found:?}");
    assert!(found.contains("\x1b[1m a_long") || found.contains("\x1b[1ma_long"), "{found:?}");
    assert!(found.contains("\x1b[2m NULL") || found.contains("\x1b[2mNULL"), "{found:?}");
    assert!(found.contains("\x1b[2m⋮ 7 rows not shown ⋮\x1b[0m"), "{found:?}");
}

#[test]
fn times_are_written_for_people() {
    let micros = 20_089_i64 * 86_400_000_000;
    let table = batch(vec![
        ("utc", Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"))),
        ("there", Arc::new(TimestampMicrosecondArray::from(vec![micros + 1]).with_timezone("+02:00"))),
    ]);
    let found = drawn(options(Width::Fixed(20), 40), &[(None, vec![table])]);
    // Too narrow: a time is left out and not cut.
    assert!(found.contains("1 of 2 columns"), "{found}");
    let table = batch(vec![
        ("utc", Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"))),
        ("there", Arc::new(TimestampMicrosecondArray::from(vec![micros + 1]).with_timezone("+02:00"))),
    ]);
    let found = drawn(options(Width::Auto, 40), &[(None, vec![table])]);
    assert!(found.contains("│ 2025-01-01 00:00:00 │ 2025-01-01 02:00:00.000001+02:00 │"), "{found}");
}

#[test]
fn numbers_are_grouped_by_thousands() {
    let found = [0, 999, 1000, 1_234_567].map(grouped);
    assert_eq!(found, ["0", "999", "1,000", "1,234,567"]);
}

#[test]
fn a_result_without_columns_is_its_count() {
    let schema = Arc::new(Schema::empty());
    let mut sink = TableSink::new(options(Width::Auto, 40), false);
    let mut out = Vec::new();
    sink.begin_section(None, &schema, &mut out).unwrap();
    sink.end_section(&mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "(0 rows)\n");
}

#[test]
fn a_number_is_never_cut() {
    let number = 123_456_789_012_345_i64;
    let table = batch(vec![
        ("text", strings(&[Some("some words that are long")])),
        ("n", Arc::new(Int64Array::from(vec![number]))),
    ]);
    // Ten for the text, fifteen for the number, seven for the lines.
    let found = drawn(options(Width::Fixed(32), 40), &[(None, vec![table.clone()])]);
    assert!(found.contains("│ some word… │ 123456789012345 │"), "{found}");
    // One less: the number is left out as a whole.
    let found = drawn(options(Width::Fixed(31), 40), &[(None, vec![table])]);
    assert!(!found.contains("1234") && found.contains("1 of 2 columns is not shown"), "{found}");
}
