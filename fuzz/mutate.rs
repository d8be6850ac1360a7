//! The loop of a fuzz target: a corpus of inputs, seeded changes of their bytes, and the number of the case that fails.
//!
//! Each case follows from the seed and its number. `fuzz/run targets` sets the environment: `CXQL_FUZZ_SEED`,
//! `CXQL_FUZZ_MINUTES` in place of a number of cases, `CXQL_FUZZ_CASE` for one case alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use rand::Rng;
use rand_pcg::Pcg64;

/// The largest input.
const MOST_BYTES: usize = 1 << 16;

/// Numbers at which arithmetic and sizes go wrong.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "0.1",
    "nan",
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Calls `case` with changed inputs of `corpus`: `cases` of them, or for as long as the environment says. `words` are inserted
/// among the bytes. Returns the number of cases.
pub(crate) fn run(
    target: &str,
    cases: u64,
    corpus: &[Vec<u8>],
    words: &[&str],
    mut case: impl FnMut(&mut Pcg64, Vec<u8>),
) -> u64 {
    assert!(!corpus.is_empty(), "{target}: no corpus");
    let seed = number("CXQL_FUZZ_SEED").unwrap_or(1);
    let end = number("CXQL_FUZZ_MINUTES").map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let only = number("CXQL_FUZZ_CASE");
    let mut at = only.unwrap_or(0);
    loop {
        let is_over = match (only, end) {
            (Some(only), _) => at > only,
            (None, Some(end)) => Instant::now() > end,
            (None, None) => at >= cases,
        };
        if is_over {
            println!("{target}: {at} cases of seed {seed}");
            return at;
        }
        let mut random = Pcg64::new(u128::from(seed), u128::from(at));
        let input = changed(&mut random, corpus, words);
        let shown = String::from_utf8_lossy(&input[..input.len().min(2_000)]).into_owned();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(&mut random, input))) {
            println!("{target}: case {at} of seed {seed} fails with {shown:?}");
            println!("again: CXQL_FUZZ_SEED={seed} CXQL_FUZZ_CASE={at} cargo test --workspace fuzz");
            resume_unwind(panic);
        }
        at += 1;
    }
}

/// An input of the corpus with up to eight changes.
fn changed(random: &mut Pcg64, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = pick(random, corpus).clone();
    for _ in 0..random.random_range(0..9) {
        let at = random.random_range(0..=input.len());
        let end = input.len().min(at + random.random_range(1..40));
        match random.random_range(0..9) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            1 if at < input.len() => input[at] = random.random(),
            2 => drop(input.drain(at..end)),
            3 => {
                let copy = input[at..end].repeat(random.random_range(1..4));
                drop(input.splice(at..at, copy));
            }
            4 if !words.is_empty() => drop(input.splice(at..at, pick(random, words).bytes())),
            5 if !words.is_empty() => drop(input.splice(at..end, pick(random, words).bytes())),
            6 => drop(input.splice(at..at, pick(random, &NUMBERS).bytes())),
            7 => {
                let other = pick(random, corpus);
                let from = random.random_range(0..=other.len());
                let to = other.len().min(from + random.random_range(0..200));
                drop(input.splice(at..at, other[from..to].to_vec()));
            }
            // a long run of one piece
            _ if random.random_bool(0.1) => {
                let copy = input[at..end].repeat(random.random_range(1..400));
                drop(input.splice(at..at, copy));
            }
            _ => input.truncate(at),
        }
        input.truncate(MOST_BYTES);
    }
    input
}

pub(crate) fn pick<'a, T>(random: &mut Pcg64, from: &'a [T]) -> &'a T {
    &from[random.random_range(0..from.len())]
}
