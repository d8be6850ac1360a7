//! English: VADER, a rated word list with rules for negation, degree, emphasis and contrast.
//!
//! Source: C.J. Hutto and E. Gilbert, ICWSM 2014. Every rule is that of the PyPI package vaderSentiment 3.3.2, its
//! quirks included, so that scores can be compared with published ones; `tests/sentiment_reference.rs` holds both
//! against one another. Where a rule looks odd, the comment names the reference as the reason.

mod lexicon;
mod token;

use std::collections::BTreeSet;

use lexicon::{Key, Word, degree_phrase, idiom};
use token::Tokenizer;

use super::language::Scorer;

/// Added to the size of a valence when its word is in capitals and the text is not.
const CAPITALS: f64 = 0.733;
/// What a negation makes of a valence.
const NEGATION: f64 = -0.74;
/// What "never so" and "never this" make of a valence, instead of negating it.
const NEVER_SO: f64 = 1.25;
/// How far before a rated word the rules look, and the share of a degree word's effect that is left there.
const FADING: [(usize, f64); 3] = [(1, 1.0), (2, 0.95), (3, 0.9)];
/// Emphasis of one exclamation mark, of which four count.
const EXCLAMATION: f64 = 0.292;
/// Emphasis of one question mark when there are two or three, and of all when there are more.
const QUESTION: f64 = 0.18;
const QUESTIONS: f64 = 0.96;
/// Brings sums into (-1, 1): sum / sqrt(sum^2 + NORM), near the largest sum that is to be expected.
const NORM: f64 = 15.0;

/// Scores English texts; its buffers serve one text after the other.
#[derive(Debug, Default)]
pub(super) struct English {
    tokenizer: Tokenizer,
    valences: Vec<f64>,
}

impl Scorer for English {
    fn score(&mut self, text: &str) -> f64 {
        let sentence = Sentence::new(self.tokenizer.read(text));
        self.valences.clear();
        self.valences.extend((0..sentence.tokens.len()).map(|at| sentence.valence(at)));
        if let Some(but) = sentence.tokens.iter().position(|token| token.word.key == Key::But) {
            shift_to_after_but(&mut self.valences, but);
        }
        // Added up from the left without compensation: the sign of a sum that rounding keeps off zero decides about
        // the emphasis, and it has to be that of the reference.
        let sum = self.valences.iter().fold(0.0, |sum, valence| sum + valence);
        compound(emphasize(sum, self.tokenizer.exclamation_marks(), self.tokenizer.question_marks()))
    }
}

/// One word or emoticon of a text.
#[derive(Debug, Clone, Copy)]
struct Token {
    word: &'static Word,
    is_upper: bool,
}

struct Sentence<'a> {
    tokens: &'a [Token],
    /// Some tokens are in capitals and some are not, so capitals mean something.
    has_emphatic_capitals: bool,
}

impl<'a> Sentence<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        let upper = tokens.iter().filter(|token| token.is_upper).count();
        Self { tokens, has_emphatic_capitals: 0 < upper && upper < tokens.len() }
    }

    fn before(&self, at: usize, distance: usize) -> Option<&Token> {
        self.tokens.get(at.checked_sub(distance)?)
    }

    fn key_before(&self, at: usize, distance: usize) -> Key {
        self.before(at, distance).map_or(Key::Other, |token| token.word.key)
    }

    fn key_after(&self, at: usize, distance: usize) -> Key {
        self.tokens.get(at + distance).map_or(Key::Other, |token| token.word.key)
    }

    /// `value` with the emphasis of capitals, upwards when `valence` is positive, else downwards: for zero, too.
    fn with_capitals(&self, token: &Token, valence: f64, value: f64) -> f64 {
        match token.is_upper && self.has_emphatic_capitals {
            true if valence > 0.0 => value + CAPITALS,
            true => value - CAPITALS,
            false => value,
        }
    }

    fn valence(&self, at: usize) -> f64 {
        let Some(token) = self.tokens.get(at) else { return 0.0 };
        let is_kind_of = token.word.key == Key::Kind && self.key_after(at, 1) == Key::Of;
        let Some(rating) = token.word.valence.filter(|_| !is_kind_of) else { return 0.0 };

        let rating = self.after_no(at, token.word.key, rating);
        let mut valence = self.with_capitals(token, rating, rating);
        for (distance, fading) in FADING {
            let Some(before) = self.before(at, distance) else { break };
            if before.word.valence.is_some() {
                continue;
            }
            valence += self.degree(before, valence) * fading;
            valence *= self.negation(at, distance, before);
            // Idioms are looked at only from the fourth word on, and only after an unrated word three before: so does
            // the reference.
            if distance == 3 {
                valence = self.idioms(at, valence);
            }
        }
        if self.key_before(at, 1) == Key::Least && !matches!(self.key_before(at, 2), Key::At | Key::Very) {
            valence *= NEGATION;
        }
        valence
    }

    /// "no" is a rated word of its own, unless it stands before another, which it then negates.
    fn after_no(&self, at: usize, key: Key, rating: f64) -> f64 {
        let is_negated = self.key_before(at, 1) == Key::No
            || self.key_before(at, 2) == Key::No
            || (self.key_before(at, 3) == Key::No && matches!(self.key_before(at, 1), Key::Or | Key::Nor));
        if is_negated {
            rating * NEGATION
        } else if key == Key::No && self.tokens.get(at + 1).is_some_and(|next| next.word.valence.is_some()) {
            0.0
        } else {
            rating
        }
    }

    /// What a degree word adds to the valence that it modifies.
    fn degree(&self, modifier: &Token, valence: f64) -> f64 {
        match modifier.word.degree {
            0.0 => 0.0,
            degree => self.with_capitals(modifier, valence, if valence < 0.0 { -degree } else { degree }),
        }
    }

    /// The factor by which the word at a distance before negates or strengthens.
    fn negation(&self, at: usize, distance: usize, before: &Token) -> f64 {
        let is_so = |key| matches!(key, Key::So | Key::This);
        let (last, second) = (self.key_before(at, 1), self.key_before(at, 2));
        match (distance, before.word.key) {
            (2, Key::Never) if is_so(last) => NEVER_SO,
            // In the reference "so" and "this" directly before strengthen whatever stands three before; "never" is
            // asked for only when they are one word further away.
            (3, _) if is_so(last) => NEVER_SO,
            (3, Key::Never) if is_so(second) => NEVER_SO,
            (2, Key::Without) if last == Key::Doubt => 1.0,
            (3, Key::Without) if last == Key::Doubt || second == Key::Doubt => 1.0,
            _ if before.word.negates => NEGATION,
            _ => 1.0,
        }
    }

    fn idioms(&self, at: usize, valence: f64) -> f64 {
        let [third, second, last, own, next, after_next] = [
            self.key_before(at, 3),
            self.key_before(at, 2),
            self.key_before(at, 1),
            self.key_before(at, 0),
            self.key_after(at, 1),
            self.key_after(at, 2),
        ];
        let behind =
            [&[last, own] as &[Key], &[second, last, own], &[second, last], &[third, second, last], &[third, second]];
        let ahead = [&[own, next, after_next] as &[Key], &[own, next]];
        let replaced = ahead.into_iter().chain(behind).find_map(idiom).unwrap_or(valence);
        replaced + degree_phrase(third, second) + degree_phrase(second, last)
    }
}

/// Halves what stands before "but" and strengthens what stands after by half.
///
/// The reference looks each value up by its number, not by its place: of equal values it changes the first in the list,
/// which can be one that it changed before. The set finds that first place without reading the list again and again.
/// Zeros are left out, they stay zero.
fn shift_to_after_but(valences: &mut [f64], but: usize) {
    let mut places: BTreeSet<(u64, usize)> =
        valences.iter().enumerate().filter(|(_, v)| **v != 0.0).map(|(at, v)| (v.to_bits(), at)).collect();
    for turn in 0..valences.len() {
        let value = valences[turn];
        let bits = value.to_bits();
        let first = places.range((bits, 0)..=(bits, usize::MAX)).next().map(|(_, place)| *place);
        let Some(first) = first else { continue };
        let shifted = value * if first < but { 0.5 } else { 1.5 };
        places.remove(&(bits, first));
        places.insert((shifted.to_bits(), first));
        valences[first] = shifted;
    }
}

/// Moves a sum away from zero by the emphasis of its punctuation.
fn emphasize(sum: f64, exclamation_marks: usize, question_marks: usize) -> f64 {
    let exclamations = exclamation_marks.min(4) as f64 * EXCLAMATION;
    let questions = match question_marks {
        0 | 1 => 0.0,
        2 | 3 => question_marks as f64 * QUESTION,
        _ => QUESTIONS,
    };
    let emphasis = exclamations + questions;
    if sum > 0.0 {
        sum + emphasis
    } else if sum < 0.0 {
        sum - emphasis
    } else {
        0.0
    }
}

/// The sum in [-1, 1], rounded to four digits as the reference does.
fn compound(sum: f64) -> f64 {
    let norm = (sum / (sum * sum + NORM).sqrt()).clamp(-1.0, 1.0);
    let scaled = norm * 1e4;
    // Near the middle between two results the product is not exact enough to tell which of them is nearer; the decimal
    // digits are.
    let rounded = if (scaled.fract().abs() - 0.5).abs() < 1e-6 {
        format!("{norm:.4}").parse().unwrap_or(norm)
    } else {
        scaled.round() / 1e4
    };
    // No negative zero in a result.
    if rounded == 0.0 { 0.0 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str) -> f64 {
        English::default().score(text)
    }

    // By hand, with the ratings good 1.9, bad -2.5, kind 2.4, no -1.2: s / sqrt(s^2 + 15).

    #[test]
    fn a_rating_is_brought_into_range() {
        assert_eq!(score("good"), 0.4404); // 1.9 / 4.3139
        assert_eq!(score("bad"), -0.5423); // -2.5 / 4.6098
        assert_eq!(score("table"), 0.0);
        assert_eq!(score(""), 0.0);
    }

    #[test]
    fn a_negation_turns_and_weakens() {
        assert_eq!(score("not good"), -0.3412); // 1.9 * -.74 = -1.406; / 4.1203
        assert_eq!(score("not a b c good"), 0.4404); // four words away
    }

    #[test]
    fn a_degree_word_fades_with_distance() {
        assert_eq!(score("very good"), 0.4927); // 1.9 + .293 = 2.193; / 4.4508
        assert_eq!(score("very bad"), -0.5849); // -2.5 - .293 = -2.793; / 4.7751
        assert_eq!(score("very fried bread good"), 0.4877); // 1.9 + .9 * .293 = 2.1637; / 4.4364
    }

    #[test]
    fn capitals_count_among_lower_case_only() {
        assert_eq!(score("a GOOD b"), 0.5622); // 1.9 + .733 = 2.633; / 4.6832
        assert_eq!(score("GOOD"), 0.4404);
    }

    #[test]
    fn what_follows_but_outweighs_what_precedes() {
        assert_eq!(score("good but bad"), -0.5859); // .5 * 1.9 - 1.5 * 2.5 = -2.8; / 4.7791
        assert_eq!(score("bad but good"), 0.3818); // -.5 * 2.5 + 1.5 * 1.9 = 1.6; / 4.1905
    }

    #[test]
    fn of_equal_values_but_changes_the_first() {
        // Values 4, 0 (but), 4: the first turn halves the first 4; the third looks for a 4 and finds its own place.
        let mut values = [4.0, 0.0, 4.0];
        shift_to_after_but(&mut values, 1);
        assert_eq!(values, [2.0, 0.0, 6.0]);
        // Values 4, 2, 0 (but): the first turn makes 2, 2; the second looks for a 2, finds the first place again.
        let mut values = [4.0, 2.0, 0.0];
        shift_to_after_but(&mut values, 2);
        assert_eq!(values, [1.0, 2.0, 0.0]);
    }

    #[test]
    fn emphasis_has_a_ceiling_and_needs_a_sign() {
        assert_eq!(emphasize(1.0, 4, 0), emphasize(1.0, 400, 0));
        assert_eq!(emphasize(1.0, 0, 4), emphasize(1.0, 0, 400));
        assert_eq!(emphasize(0.0, 4, 4), 0.0);
        assert_eq!(emphasize(-1.0, 1, 0), -1.292);
        assert_eq!(emphasize(1.0, 0, 1), 1.0);
    }

    #[test]
    fn a_compound_has_four_digits_and_no_negative_zero() {
        assert_eq!(compound(-1e-9).to_bits(), 0.0_f64.to_bits());
        assert_eq!(compound(1e9), 1.0);
        assert_eq!(compound(-1e9), -1.0);
    }

    #[test]
    fn buffers_carry_nothing_from_text_to_text() {
        let mut english = English::default();
        let texts = ["good!!! 😀", "bad", "", "NOT good ??", "table"];
        let alone = texts.map(score);
        assert_eq!(texts.map(|text| english.score(text)), alone);
        assert_eq!(texts.map(|text| english.score(text)), alone);
    }
}
