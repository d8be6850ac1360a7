//! Finds personal data in one text.
//!
//! Each step reads the text once and looks at a bounded number of characters around each position, so that the time is
//! linear in the length of the text whatever is in it.

use std::ops::Range;

use iban::Iban;
use regex::Regex;

use super::ids::{self, is_free_after, is_free_before};
use super::kind::{Kind, Kinds};
use super::network::{self, Found};
use super::phone;
use super::text::{FoldedText, Token, is_word};

/// What is less likely is not reported.
pub(super) const LEAST_CONFIDENCE: f64 = 0.5;

/// Characters of an IBAN, and with blanks between groups.
const IBAN_LENGTHS: Range<usize> = 15..35;
const IBAN_WITH_BLANKS: usize = 34 + 8;

/// Personal data in a text. Positions count characters from 0.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
    /// From 0.5 to 1.
    pub(super) confidence: f64,
}

/// Finds personal data; keeps its buffers from text to text.
#[derive(Debug, Default)]
pub(super) struct Finder {
    folded: FoldedText,
    tokens: Vec<Token>,
    claimed: Vec<bool>,
    found: Found,
    phones: Vec<(Range<usize>, f64)>,
}

impl Finder {
    /// The personal data of a text in the order in which it stands, none overlapping another. `order_number` is the
    /// pattern of the project's order numbers.
    pub(super) fn find(&mut self, text: &str, kinds: Kinds, order_number: Option<&Regex>) -> Vec<Finding> {
        self.found.clear();
        self.phones.clear();
        self.folded.fold(text);
        self.claimed.clear();
        self.claimed.resize(self.folded.len(), false);
        if let Some(pattern) = order_number {
            for order in pattern.find_iter(text).filter(|order| !order.is_empty()) {
                let span = self.folded.index(order.start())..self.folded.index(order.end());
                self.found.push((Kind::OrderNumber, span, 0.9));
            }
            self.claim(0, kinds);
        }
        let begun = self.found.len();
        if self.folded.bytes.contains(&b'@') {
            network::find_at_signs(text, &self.folded, &mut self.found);
            self.claim(begun, kinds);
        }
        if self.folded.bytes.iter().any(u8::is_ascii_digit) {
            self.find_numbers(text, kinds);
        }
        if kinds.has(Kind::Handle) {
            let begun = self.found.len();
            network::find_accounts(text, &self.folded, &self.claimed, &mut self.found);
            self.claim(begun, kinds);
        }
        let findings = self.found.drain(..).map(|(kind, span, confidence)| Finding { kind, span, confidence });
        let mut findings: Vec<Finding> = findings.collect();
        findings.sort_unstable_by_key(|finding| finding.span.start);
        findings
    }

    fn find_numbers(&mut self, text: &str, kinds: Kinds) {
        self.folded.tokens(&mut self.tokens);
        network::claim_guids(&self.folded, &mut self.claimed);
        let begun = self.found.len();
        network::find_machines(text, &self.folded, &self.tokens, &self.claimed, &mut self.found);
        self.claim(begun, kinds);
        let begun = self.found.len();
        self.find_ibans();
        self.claim(begun, kinds);
        if kinds.has(Kind::Card) || kinds.has_national_id() || kinds.has(Kind::Phone) {
            let begun = self.found.len();
            ids::find(text, &self.folded, &self.tokens, &self.claimed, &mut self.found);
            self.claim(begun, kinds);
        }
        if kinds.has(Kind::Phone) {
            phone::find(text, &self.folded, &self.tokens, &self.claimed, &mut self.phones);
            let begun = self.found.len();
            let phones = self.phones.drain(..).map(|(span, confidence)| (Kind::Phone, span, confidence));
            self.found.extend(phones);
            self.claim(begun, kinds);
        }
    }

    /// Claims the characters of what was found from `begun` on, and drops what overlaps earlier ones or is of no wanted
    /// kind. What is of another kind stays claimed: a card is no phone number, also where only phones are wanted.
    fn claim(&mut self, begun: usize, kinds: Kinds) {
        let (claimed, mut index) = (&mut self.claimed, 0);
        self.found.retain(|(kind, span, _)| {
            index += 1;
            if index <= begun {
                return true;
            }
            let Some(characters) = claimed.get_mut(span.clone()) else { return false };
            let is_free = !characters.contains(&true);
            characters.fill(true);
            is_free && kinds.has(*kind)
        });
    }

    fn find_ibans(&mut self) {
        let mut free = 0;
        for token in &self.tokens {
            let start = token.start;
            let head = self.folded.bytes.get(start..start + 4).unwrap_or_default();
            let is_head = matches!(head, [a, b, c, d]
                if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && c.is_ascii_digit() && d.is_ascii_digit());
            if !is_head
                || start < free
                || !is_free_before(&self.folded, start)
                || self.claimed.get(start) == Some(&true)
            {
                continue;
            }
            if let Some(end) = iban_end(&self.folded, start) {
                free = end;
                self.found.push((Kind::Iban, start..end, 0.99));
            }
        }
    }
}

/// The end of the IBAN that begins at a character; groups are joined by single blanks or hyphens.
fn iban_end(folded: &FoldedText, start: usize) -> Option<usize> {
    let mut electronic = String::with_capacity(IBAN_LENGTHS.end);
    let mut ends = vec![];
    let mut index = start;
    while index < start + IBAN_WITH_BLANKS && electronic.len() < IBAN_LENGTHS.end {
        let byte = folded.at(index);
        match byte {
            _ if byte.is_ascii_alphanumeric() => electronic.push(char::from(byte.to_ascii_uppercase())),
            b' ' | b'-' if folded.at(index + 1).is_ascii_alphanumeric() => {}
            _ => break,
        }
        index += 1;
        if byte.is_ascii_alphanumeric() && !is_word(folded.at(index)) && IBAN_LENGTHS.contains(&electronic.len()) {
            ends.push((index, electronic.len()));
        }
    }
    // the longest first: a shorter one inside would be chance
    ends.into_iter().rev().find_map(|(end, length)| {
        let is_iban = electronic.get(..length)?.parse::<Iban>().is_ok();
        (is_iban && (is_free_after(folded, end) || folded.at(end) == b'-')).then_some(end)
    })
}
