//! Masks: what is left of a mail address, phone number or card that people recognize and nobody else can use.

use super::kind::Kind;

/// The character in place of a letter or digit.
const STAR: char = '*';

/// The first character of the local part and the domain: `a***@example.com`. What is no address is three stars.
pub(super) fn email(text: &str) -> String {
    let (local, domain) = match text.trim().rsplit_once(['@', '＠']) {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() => (local, domain),
        _ => return String::from(if text.trim().is_empty() { "" } else { "***" }),
    };
    let mut characters = local.chars();
    // a local part of one character would be shown whole
    let first = characters.next().filter(|_| characters.next().is_some());
    format!("{}***@{domain}", first.map(String::from).unwrap_or_default())
}

/// The last four digits, of fewer than eight digits the last two, of fewer than five none. Separators stay.
pub(super) fn phone(text: &str) -> String {
    let shown = match digits(text) {
        8.. => 4,
        5..=7 => 2,
        _ => 0,
    };
    numbers(text, shown)
}

/// The last four digits, as on a receipt; of fewer than twelve digits none. Separators stay.
pub(super) fn card(text: &str) -> String {
    numbers(text, if digits(text) >= 12 { 4 } else { 0 })
}

/// The mask of a finding: that of its kind, or stars for all letters and digits.
pub(super) fn of_kind(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Email => email(text),
        Kind::Phone => phone(text),
        Kind::Card => card(text),
        _ => numbers(text, 0),
    }
}

fn digits(text: &str) -> usize {
    text.chars().filter(|character| character.is_numeric()).count()
}

/// Stars for all letters and digits but the last `shown` digits.
fn numbers(text: &str, shown: usize) -> String {
    let mut hidden = digits(text).saturating_sub(shown);
    let mask = |character: char| {
        if !character.is_numeric() {
            return if character.is_alphabetic() { STAR } else { character };
        }
        if hidden == 0 {
            return character;
        }
        hidden -= 1;
        STAR
    };
    text.chars().map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_a_character_and_the_domain() {
        for (text, masked) in [
            ("anna.schmidt@example.com", "a***@example.com"),
            ("a@example.com", "***@example.com"),
            ("张三@例子.中国", "张***@例子.中国"),
            ("zhang＠example.cn", "z***@example.cn"),
            ("\"a@b\"@example.com", "\"***@example.com"),
            ("no address", "***"),
            ("@example.com", "***"),
            ("anna@", "***"),
            ("", ""),
        ] {
            assert_eq!(email(text), masked, "{text}");
        }
    }

    #[test]
    fn phones_keep_their_last_digits_and_separators() {
        for (text, masked) in [
            ("+49 170 1234567", "+** *** ***4567"),
            ("(415) 555-0132", "(***) ***-0132"),
            ("13812345678", "*******5678"),
            ("１３８１２３４５６７８", "*******５６７８"),
            ("555 0132", "*** **32"),
            ("110", "***"),
            ("call me", "**** **"),
            ("", ""),
        ] {
            assert_eq!(phone(text), masked, "{text}");
        }
    }

    #[test]
    fn cards_keep_four_digits() {
        assert_eq!(card("4012 8888 8888 1881"), "**** **** **** 1881");
        assert_eq!(card("378282246310005"), "***********0005");
        assert_eq!(card("12345678"), "********");
    }

    #[test]
    fn other_kinds_keep_nothing() {
        assert_eq!(of_kind(Kind::Iban, "DE89 3704"), "**** ****");
        assert_eq!(of_kind(Kind::Handle, "@anna_k"), "@****_*");
    }
}
