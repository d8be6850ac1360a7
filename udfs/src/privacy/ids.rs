//! Cards and national ids: numbers of a fixed form with a check digit or a rule of their issuer.

use std::ops::Range;

use super::checks;
use super::cues::Context;
use super::find::LEAST_CONFIDENCE;
use super::kind::Kind;
use super::text::{FoldedText, Token, is_word};

/// One kind of number.
struct Rule {
    kind: Kind,
    /// Its forms: `9` is a digit, `A` a letter, `*` a letter or digit, `~` a blank or hyphen, all else itself.
    forms: &'static [&'static str],
    is_valid: fn(&[u8]) -> bool,
    /// How likely a valid number of such a form is of this kind.
    plain: f64,
    /// The same beside a word for the kind.
    named: f64,
    /// Found also beside a word for something else.
    is_certain: bool,
}

const fn rule(
    kind: Kind,
    forms: &'static [&'static str],
    is_valid: fn(&[u8]) -> bool,
    plain: f64,
    named: f64,
    is_certain: bool,
) -> Rule {
    Rule { kind, forms, is_valid, plain, named, is_certain }
}

/// The rules, the more certain ones first. A number whose form and check digit leave much room for chance needs a word
/// beside it: its `plain` confidence is below the least.
const RULES: [Rule; 26] = [
    rule(
        Kind::CnId,
        &["99999999999999999*", "999999~99999999~999*", "999999~9999~9999~999*"],
        checks::cn_id,
        0.95,
        0.99,
        true,
    ),
    rule(Kind::CnId, &["999999999999999"], checks::cn_id_of_15, 0.2, 0.8, false),
    rule(
        Kind::Card,
        &[
            "9999~9999~9999~9999~999",
            "9999~9999~9999~9999",
            "9999~999999~99999",
            "9999~999999~9999",
            "999999~9999999999999",
        ],
        checks::card,
        0.95,
        0.99,
        true,
    ),
    rule(Kind::ChAhv, &["999.9999.9999.99", "9999999999999", "999 9999 9999 99"], checks::ch_ahv, 0.9, 0.99, true),
    rule(
        Kind::Card,
        &[
            "9999999999999999999",
            "999999999999999999",
            "99999999999999999",
            "9999999999999999",
            "999999999999999",
            "99999999999999",
        ],
        checks::card,
        0.85,
        0.98,
        false,
    ),
    rule(Kind::Card, &["9999999999999", "999999999999"], checks::card, 0.3, 0.85, false),
    rule(
        Kind::FrNir,
        &["9 99 99 ** 999 999 99", "9 99 99 ** 999 999~99", "99999**99999999", "99999**999999~99"],
        checks::fr_nir,
        0.9,
        0.99,
        true,
    ),
    rule(Kind::ItFiscalCode, &["AAAAAA**A**A***A"], checks::it_fiscal_code, 0.95, 0.99, true),
    rule(Kind::FiId, &["999999-999*", "999999+999*", "999999A999*"], checks::fi_id, 0.9, 0.99, true),
    rule(Kind::BrCpf, &["999.999.999-99"], checks::br_cpf, 0.95, 0.99, true),
    rule(Kind::BrCpf, &["99999999999"], checks::br_cpf, 0.3, 0.9, false),
    rule(Kind::BeId, &["99.99.99-999.99", "99.99.99 999 99"], checks::be_id, 0.95, 0.99, true),
    rule(Kind::BeId, &["99999999999", "999999 999 99", "999999-999-99"], checks::be_id, 0.3, 0.9, false),
    rule(Kind::DeTaxId, &["99 999 999 999"], checks::de_tax_id, 0.85, 0.99, false),
    rule(Kind::DeTaxId, &["99999999999"], checks::de_tax_id, 0.4, 0.95, false),
    rule(Kind::PlPesel, &["99999999999"], checks::pl_pesel, 0.3, 0.95, false),
    rule(Kind::SeId, &["999999-9999", "99999999-9999", "999999+9999"], checks::se_id, 0.75, 0.97, false),
    rule(Kind::SeId, &["9999999999", "999999999999"], checks::se_id, 0.2, 0.9, false),
    rule(Kind::UsSsn, &["999-99-9999"], checks::us_ssn, 0.75, 0.97, false),
    rule(Kind::UsSsn, &["999 99 9999", "999999999"], checks::us_ssn, 0.2, 0.85, false),
    rule(Kind::GbNino, &["AA 99 99 99 A", "AA999999A", "AA 999999 A"], checks::gb_nino, 0.75, 0.97, false),
    rule(
        Kind::EsId,
        &["99999999A", "99999999-A", "A9999999A", "A-9999999-A", "A-9999999A"],
        checks::es_id,
        0.75,
        0.97,
        false,
    ),
    rule(Kind::NlBsn, &["999999999", "9999.99.999", "999.999.999", "999 999 999"], checks::nl_bsn, 0.2, 0.9, false),
    rule(Kind::HkId, &["A999999(*)"], checks::hk_id, 0.9, 0.99, true),
    rule(Kind::TwId, &["A999999999"], checks::tw_id, 0.6, 0.97, false),
    rule(Kind::SgId, &["A9999999A"], checks::sg_id, 0.6, 0.97, false),
];

/// The longest number without its separators.
const MOST_CHARACTERS: usize = 20;

/// Appends cards and national ids of a text. Characters that are `claimed` belong to something else.
pub(super) fn find(
    text: &str,
    folded: &FoldedText,
    tokens: &[Token],
    claimed: &[bool],
    found: &mut Vec<(Kind, Range<usize>, f64)>,
) {
    let mut free = 0;
    for token in tokens {
        // `JG 10 37 59 A` and `X-1234567-L` begin before their first digit
        let earlier = [3, 2].into_iter().filter_map(|length| {
            let start = token.start.checked_sub(length)?;
            let is_joined = matches!(folded.before(token.start), b' ' | b'-') && folded.at(start).is_ascii_alphabetic();
            is_joined.then_some(start)
        });
        let starts = std::iter::once(token.start).chain(earlier).filter(|start| *start >= free);
        let number = starts.into_iter().find_map(|start| at(text, folded, start, claimed));
        if let Some((kind, span, confidence)) = number {
            free = span.end;
            found.push((kind, span, confidence));
        }
    }
}

/// The number that begins at a character.
fn at(text: &str, folded: &FoldedText, start: usize, claimed: &[bool]) -> Option<(Kind, Range<usize>, f64)> {
    if !is_free_before(folded, start) {
        return None;
    }
    let mut best: Option<(Kind, Range<usize>, f64)> = None;
    let mut context = None;
    for rule in &RULES {
        for form in rule.forms {
            let end = start + form.len();
            let Some(characters) = folded.bytes.get(start..end) else { continue };
            let is_taken = || claimed.get(start..end).is_none_or(|taken| taken.contains(&true));
            if !has_form(characters, form.as_bytes()) || !is_free_after(folded, end) || is_taken() {
                continue;
            }
            let mut number = [0; MOST_CHARACTERS];
            let mut length = 0;
            // the sign of a Finnish id is a part of it
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || rule.kind == Kind::FiId;
            for (slot, byte) in number.iter_mut().zip(characters.iter().filter(|byte| is_part(**byte))) {
                *slot = *byte;
                length += 1;
            }
            if !number.get(..length).is_some_and(rule.is_valid) {
                continue;
            }
            let context = *context.get_or_insert_with(|| Context::of(text, folded, &(start..end)));
            let confidence = match (context.has(rule.kind), context.is_other && !rule.is_certain) {
                (true, _) => rule.named,
                (false, true) => rule.plain / 2.0,
                (false, false) => rule.plain,
            };
            if confidence >= LEAST_CONFIDENCE && best.as_ref().is_none_or(|(_, _, known)| confidence > *known) {
                best = Some((rule.kind, start..end, confidence));
            }
        }
    }
    best
}

fn has_form(characters: &[u8], form: &[u8]) -> bool {
    characters.iter().zip(form).all(|(byte, form)| match form {
        b'9' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_alphabetic(),
        b'*' => byte.is_ascii_alphanumeric(),
        b'~' => matches!(byte, b' ' | b'-'),
        other => byte == other,
    })
}

/// Returns true if no word is joined to what follows: `AB-123`, `1.23`, `x/123`.
pub(super) fn is_free_before(folded: &FoldedText, start: usize) -> bool {
    let two_before = start.checked_sub(2).map_or(0, |index| folded.at(index));
    match folded.before(start) {
        b'-' | b'_' | b'/' | b'+' => !is_word(two_before) && two_before != b'/',
        b'.' | b',' => !two_before.is_ascii_digit(),
        byte => !is_word(byte),
    }
}

/// Returns true if no word is joined to what came before.
pub(super) fn is_free_after(folded: &FoldedText, end: usize) -> bool {
    let next = folded.at(end + 1);
    match folded.at(end) {
        b'-' | b'/' | b'_' => !is_word(next),
        b'.' => !next.is_ascii_digit(),
        b',' => !(1..=3).all(|after| folded.at(end + after).is_ascii_digit()) || folded.at(end + 4).is_ascii_digit(),
        byte => !is_word(byte),
    }
}
