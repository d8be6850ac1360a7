use super::*;
use crate::regression::design::{Feature, FeatureKind};

const LAYOUT: Layout = Layout { first: 2, width: 4 };

fn encoder() -> FeatureEncoder {
    let feature = |name: &str, kind| Feature { name: name.to_owned(), kind };
    FeatureEncoder::new(vec![feature("x", FeatureKind::Number), feature("name", FeatureKind::Text)])
}

/// Rows with y, weight 1, x and a string.
fn add(state: &mut GroupState, encoder: &mut FeatureEncoder, rows: &[(f64, f64, &str)]) {
    for (y, x, name) in rows {
        let code = f64::from(encoder.levels[1].code(name));
        state.rows.extend([*y, 1.0, *x, code]);
    }
}

/// Sends a state to another accumulator.
fn send(state: &GroupState, from: &FeatureEncoder, target: &mut GroupState, to: &mut FeatureEncoder) {
    let (mut numbers, mut strings) = (vec![], vec![]);
    state.write(from, LAYOUT, &mut numbers, &mut strings);
    let strings = strings.into_iter().map(str::to_owned);
    target.merge(to, LAYOUT, &numbers, strings).unwrap();
}

const ROWS: [(f64, f64, &str); 7] = [
    (1.0, 0.5, "a"),
    (2.0, 1.5, "b"),
    (2.5, 1.0, "c"),
    (3.0, 3.5, "b"),
    (7.0, 2.5, "d"),
    (1.5, 2.0, "a"),
    (4.0, 0.0, "b"),
];

#[test]
fn rows_keep_their_strings_in_other_accumulators() {
    let (mut one, mut one_encoder) = (GroupState::default(), encoder());
    add(&mut one, &mut one_encoder, &ROWS[..4]);
    one.missing = 3;
    let (mut other, mut other_encoder) = (GroupState::default(), encoder());
    add(&mut other, &mut other_encoder, &[(9.0, 9.0, "z"), (8.0, 8.0, "c")]);
    send(&one, &one_encoder, &mut other, &mut other_encoder);
    let names: Vec<&str> =
        other.rows.chunks(4).map(|row| other_encoder.levels[1].name(row[3] as u32).unwrap()).collect();
    assert_eq!(names, ["z", "c", "a", "b", "c", "b"]);
    assert_eq!(other.missing, 3);
}

#[test]
fn reduced_states_merge_in_any_order() {
    let whole = {
        let (mut state, mut encoder) = (GroupState::default(), encoder());
        add(&mut state, &mut encoder, &ROWS);
        state.reduce(&encoder, LAYOUT, true);
        fitted(&state, &encoder)
    };
    for split in 0..=ROWS.len() {
        for is_turned in [false, true] {
            for is_reduced in [false, true] {
                let (first, last) = ROWS.split_at(split);
                let parts = if is_turned { [last, first] } else { [first, last] };
                let (mut merged, mut merged_encoder) = (GroupState::default(), encoder());
                for part in parts {
                    let (mut state, mut encoder) = (GroupState::default(), encoder());
                    add(&mut state, &mut encoder, part);
                    if is_reduced {
                        state.reduce(&encoder, LAYOUT, true);
                    }
                    send(&state, &encoder, &mut merged, &mut merged_encoder);
                }
                merged.reduce(&merged_encoder, LAYOUT, true);
                for (got, wanted) in fitted(&merged, &merged_encoder).iter().zip(&whole) {
                    assert!((got - wanted).abs() < 1e-12, "{split} {is_turned} {is_reduced}: {got}, wanted {wanted}");
                }
            }
        }
    }
}

/// Estimates of x and of the levels a, c and d.
fn fitted(state: &GroupState, encoder: &FeatureEncoder) -> Vec<f64> {
    let reduced = state.reduced.as_ref().unwrap();
    let code = |name: &str| encoder.levels[1].names().position(|known| known == name).map(|code| code as u32);
    let mut columns = vec![reduced.column(2, None).unwrap()];
    columns.extend(["a", "c", "d"].map(|name| reduced.column(3, code(name)).unwrap()));
    assert_eq!(reduced.level_counts(encoder, LAYOUT)[1].values().sum::<i64>(), 7);
    reduced.triangle.least_squares(0, &columns).estimates
}

#[test]
fn too_many_levels_are_given_up_and_stay_so() {
    let names: Vec<String> = (0..=MAX_LEVELS).map(|index| format!("level {index}")).collect();
    let rows: Vec<(f64, f64, &str)> = names.iter().map(|name| (1.0, 2.0, name.as_str())).collect();
    let (mut state, mut one_encoder) = (GroupState::default(), encoder());
    add(&mut state, &mut one_encoder, &rows);
    state.reduce(&one_encoder, LAYOUT, true);
    assert_eq!(state.reduced.as_ref().unwrap().overflow, Some(1));
    let (mut other, mut other_encoder) = (GroupState::default(), encoder());
    add(&mut other, &mut other_encoder, &ROWS);
    send(&state, &one_encoder, &mut other, &mut other_encoder);
    other.reduce(&other_encoder, LAYOUT, true);
    assert_eq!(other.reduced.as_ref().unwrap().overflow, Some(1));
}

#[test]
fn numbers_that_no_state_has_are_refused() {
    for numbers in
        [&[][..], &[1.0], &[0.0, -1.0, 0.0, 5.0, -1.0], &[0.0, -1.0, 0.0, 0.0, -1.0, 1.0], &[0.0, -1.0, 0.0, 0.0, 9.0]]
    {
        let merged = GroupState::default().merge(&mut encoder(), LAYOUT, numbers, std::iter::empty());
        assert_eq!(merged, None, "{numbers:?}");
    }
    assert_eq!(
        GroupState::default().merge(&mut encoder(), LAYOUT, &[2.0, -1.0, 0.0, 0.0, -1.0], std::iter::empty()),
        Some(())
    );
}
