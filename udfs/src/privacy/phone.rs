//! Phone numbers: groups of digits whose lengths and separators are those of a numbering plan.
//!
//! Source: ITU-T E.164 (country codes, at most 15 digits), and the lengths of national numbers in the national numbering
//! plans that the ITU publishes. Allocations inside a plan are not checked: they change every month, and a mistyped
//! number is personal data too.

use std::ops::Range;

use super::checks::is_date;
use super::cues::{Context, is_phone_word_before};
use super::kind::Kind;
use super::text::{FoldedText, IDEOGRAPH, Token, is_word};

/// A number has at most so many groups.
const MOST_GROUPS: usize = 8;
/// Digits of a number: at least, and at most with 00 and an extension in digits.
const FEWEST_DIGITS: usize = 7;
const MOST_DIGITS: usize = 20;

/// Country codes with the fewest and most digits of their national numbers; all others have 7 to 12.
const PLANS: [(u64, usize, usize); 48] = [
    (1, 10, 10),
    (7, 10, 10),
    (20, 8, 10),
    (27, 9, 9),
    (30, 10, 10),
    (31, 9, 9),
    (32, 8, 9),
    (33, 9, 9),
    (34, 9, 9),
    (36, 8, 9),
    (39, 6, 11),
    (40, 9, 9),
    (41, 9, 9),
    (43, 7, 13),
    (44, 9, 10),
    (45, 8, 8),
    (46, 7, 10),
    (47, 8, 8),
    (48, 9, 9),
    (49, 6, 12),
    (51, 8, 9),
    (52, 10, 10),
    (54, 10, 11),
    (55, 10, 11),
    (56, 9, 9),
    (57, 10, 10),
    (60, 8, 10),
    (61, 9, 9),
    (62, 8, 12),
    (63, 8, 10),
    (64, 8, 10),
    (65, 8, 8),
    (66, 8, 9),
    (81, 9, 10),
    (82, 8, 10),
    (84, 9, 10),
    (86, 9, 11),
    (90, 10, 10),
    (91, 10, 10),
    (351, 9, 9),
    (353, 7, 9),
    (358, 6, 11),
    (380, 9, 9),
    (420, 9, 9),
    (852, 8, 8),
    (853, 8, 8),
    (886, 8, 9),
    (971, 8, 9),
];

/// Country codes of two digits that are assigned. Those of one digit are 1 and 7, all others have three.
const TWO_DIGIT_CODES: [u64; 44] = [
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62,
    63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

/// What stands between two groups of digits of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// A blank, or a hyphen, dot or slash.
    Mark(u8),
    /// The end of a group in parentheses.
    Closing,
    /// The beginning of one.
    Opening,
}

/// A run of digits.
#[derive(Debug, Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
    /// The end of an extension that is written to it, `x123`.
    extension_end: usize,
}

/// Groups of digits that may be one number.
struct Window<'a> {
    groups: &'a [Group],
    gaps: Vec<Gap>,
    digits: Vec<u8>,
    /// Digits of each group.
    sizes: Vec<usize>,
    /// The first group is in parentheses.
    is_area_enclosed: bool,
}

/// Appends the phone numbers of a text: their characters and confidence. Tokens that are `claimed` belong to something else.
pub(super) fn find(
    text: &str,
    folded: &FoldedText,
    tokens: &[Token],
    claimed: &[bool],
    found: &mut Vec<(Range<usize>, f64)>,
) {
    let groups = groups(text, folded, tokens, claimed);
    let mut index = 0;
    while index < groups.len() {
        let candidate = groups.get(index..).unwrap_or_default();
        match longest(text, folded, candidate, claimed) {
            Some((count, span, confidence)) => {
                found.push((span, confidence));
                index += count;
            }
            None => index += 1,
        }
    }
}

/// The tokens that are runs of digits: whole, before an extension (`555x12`) or after a word for a phone (`tel555`).
fn groups(text: &str, folded: &FoldedText, tokens: &[Token], claimed: &[bool]) -> Vec<Group> {
    let mut groups = vec![];
    for token in tokens {
        if (token.start..token.end).any(|index| claimed.get(index) == Some(&true)) || token.end - token.start > 64 {
            continue;
        }
        let (start, end) = (token.start, token.end);
        let run = |from: usize| (from..end).take_while(|index| folded.at(*index).is_ascii_digit()).count();
        let letters = (start..end).take_while(|index| folded.at(*index).is_ascii_alphabetic()).count();
        let first = start + letters;
        let last = first + run(first);
        let has_extension = matches!(folded.at(last), b'x' | b'X') && last + 1 < end && last + 1 + run(last + 1) == end;
        let is_labelled = letters == 0 || letters > 1 && is_phone_word_before(text, folded, first);
        if is_labelled && last > first && (last == end || has_extension) {
            groups.push(Group { start: first, end: last, extension_end: end });
        }
    }
    groups
}

/// The longest number that begins with the first group: its groups, characters and confidence.
fn longest(text: &str, folded: &FoldedText, groups: &[Group], claimed: &[bool]) -> Option<(usize, Range<usize>, f64)> {
    let mut context = None;
    for count in (1..=joined_groups(folded, groups)).rev() {
        let Some(window) = Window::new(folded, groups.get(..count)?) else { continue };
        if !window.is_plausible() {
            continue;
        }
        let start = window.start(folded);
        let end = window.end(text, folded);
        if claimed.get(start..end).is_none_or(|taken| taken.contains(&true)) || !is_bounded(text, folded, start, end) {
            continue;
        }
        let context = *context.get_or_insert_with(|| Context::of(text, folded, &(start..end)));
        // a label after the number is that of this window only
        let context =
            if count == 1 || context.has(Kind::Phone) { context } else { Context::of(text, folded, &(start..end)) };
        let confidence = window.confidence(folded, context);
        if confidence >= super::find::LEAST_CONFIDENCE && !window.is_part_of_spaced(folded) {
            return Some((count, start..end, confidence));
        }
    }
    None
}

/// How many groups from the first on are joined by separators of phone numbers.
fn joined_groups(folded: &FoldedText, groups: &[Group]) -> usize {
    let joined = groups.windows(2).take(MOST_GROUPS - 1).take_while(|pair| gap(folded, &pair[0], &pair[1]).is_some());
    joined.count() + 1
}

fn gap(folded: &FoldedText, one: &Group, next: &Group) -> Option<Gap> {
    if one.extension_end > one.end {
        return None;
    }
    match folded.bytes.get(one.end..next.start)? {
        [mark @ (b' ' | b'-' | b'.' | b'/')] => Some(Gap::Mark(*mark)),
        b") " | b")" | b")-" | b")/" => Some(Gap::Closing),
        b" (" | b"(" | b"-(" => Some(Gap::Opening),
        b") (" => Some(Gap::Closing),
        _ => None,
    }
}

/// Returns true if nothing before or after makes the characters a part of a longer number or name.
fn is_bounded(text: &str, folded: &FoldedText, start: usize, end: usize) -> bool {
    let is_digit = |index: Option<usize>| index.is_some_and(|index| folded.at(index).is_ascii_digit());
    let is_name = |index: Option<usize>| index.is_some_and(|index| is_word(folded.at(index)));
    // a list of numbers, 13812345678/13912345678
    let is_number = |digits: usize| (7..12).contains(&digits);
    let is_digit_at = |index: &usize| folded.at(*index).is_ascii_digit();
    let before = start.checked_sub(1);
    let two_before = start.checked_sub(2);
    let is_free_before = match folded.before(start) {
        b'-' | b'_' => !is_name(two_before) || is_phone_word_before(text, folded, start - 1),
        b'/' => {
            two_before.is_none()
                || !is_name(two_before) && folded.at(start - 2) != b'/'
                || is_phone_word_before(text, folded, start - 1)
                || is_number((0..start - 1).rev().take(12).take_while(is_digit_at).count())
                || folded.slice(text, start.saturating_sub(6)..start).eq_ignore_ascii_case("wa.me/")
        }
        b'.' => !is_digit(two_before),
        b',' => !(is_digit(two_before) && is_digit(Some(start + 2)) && !is_digit(Some(start + 3))),
        b'#' | b'$' | b'@' | b'&' | b'*' | b'\\' | b'+' => false,
        b')' => !is_digit(two_before),
        b'(' => folded.at(start) != b'(',
        _ => before.is_none_or(|before| !is_word(folded.at(before))) || is_phone_word_before(text, folded, start),
    };
    let is_free_after = match folded.at(end) {
        b'-' | b'_' => !is_name(Some(end + 1)) || is_label(text, folded, end + 1),
        b'/' => !is_name(Some(end + 1)) || is_number((end + 1..folded.len()).take(12).take_while(is_digit_at).count()),
        b'.' => !is_digit(Some(end + 1)),
        b',' => !(1..=3).all(|after| is_digit(Some(end + after))) || is_digit(Some(end + 4)),
        b'$' | b'%' | b'@' | b'\\' | b'*' => false,
        byte => !is_word(byte),
    };
    is_free_before && is_free_after && !is_amount(text, folded, end)
}

fn is_label(text: &str, folded: &FoldedText, start: usize) -> bool {
    let word = folded.slice(text, start..(start + 6).min(folded.len())).to_lowercase();
    ["office", "fax", "mobile", "cell", "home", "work", "desk"].into_iter().any(|label| word.starts_with(label))
}

/// Returns true if a unit follows: money, pieces, a share.
fn is_amount(text: &str, folded: &FoldedText, end: usize) -> bool {
    let rest = folded.slice(text, end..(end + 6).min(folded.len()));
    let rest = rest.trim_start_matches(' ');
    if rest.starts_with(['元', '块', '万', '亿', '件', '€', '$', '£', '¥', '￥', '円']) {
        return true;
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    ["eur", "usd", "gbp", "cny", "rmb", "chf", "euro", "euros", "kg", "mb", "gb"]
        .contains(&word.to_ascii_lowercase().as_str())
}

impl<'a> Window<'a> {
    /// `None` for too few or too many digits.
    fn new(folded: &FoldedText, groups: &'a [Group]) -> Option<Self> {
        let first = groups.first()?;
        let length: usize = groups.iter().map(|group| group.end - group.start).sum();
        if !(FEWEST_DIGITS..=MOST_DIGITS).contains(&length) {
            return None;
        }
        let gaps: Vec<Gap> = groups.windows(2).filter_map(|pair| gap(folded, &pair[0], &pair[1])).collect();
        let sizes: Vec<usize> = groups.iter().map(|group| group.end - group.start).collect();
        let digits = groups.iter().filter_map(|group| folded.bytes.get(group.start..group.end)).flatten().copied();
        let first = first.start - usize::from(folded.before(first.start) == b'+');
        let is_area_enclosed = gaps.first() == Some(&Gap::Closing) && folded.before(first) == b'(';
        Some(Self { groups, digits: digits.collect(), gaps, sizes, is_area_enclosed })
    }

    /// Parentheses are in pairs, and the digits are not one digit again and again.
    fn is_plausible(&self) -> bool {
        let mut is_open = self.is_area_enclosed;
        for gap in &self.gaps {
            match gap {
                Gap::Opening if is_open => return false,
                Gap::Opening => is_open = true,
                Gap::Closing if !is_open => return false,
                Gap::Closing => is_open = false,
                Gap::Mark(_) => {}
            }
        }
        let is_varied = self.digits.iter().any(|digit| Some(digit) != self.digits.first());
        !is_open && is_varied
    }

    fn start(&self, folded: &FoldedText) -> usize {
        let first = self.groups.first().map_or(0, |group| group.start);
        let is_plus = |index: usize| usize::from(folded.before(index) == b'+');
        let first = first - is_plus(first) - usize::from(self.is_area_enclosed);
        first - is_plus(first)
    }

    /// The end with an extension: `x12`, ` ext. 12`, `转12`.
    fn end(&self, text: &str, folded: &FoldedText) -> usize {
        let Some(last) = self.groups.last() else { return 0 };
        if last.extension_end > last.end {
            return last.extension_end;
        }
        let rest = folded.slice(text, last.end..(last.end + 16).min(folded.len()));
        let lower = rest.to_lowercase();
        let trimmed = lower.trim_start_matches([' ', ',', '-']);
        for label in ["extension", "ext.", "ext", "x", "转分机", "转", "分机"] {
            let Some(after) = trimmed.strip_prefix(label) else { continue };
            let number = after.trim_start_matches(' ');
            let digits = number.chars().take_while(char::is_ascii_digit).count();
            if (1..=6).contains(&digits) && lower.len() == rest.len() {
                let skipped = rest.chars().count() - number.chars().count();
                return last.end + skipped + digits;
            }
        }
        last.end
    }

    /// How likely the digits are a phone number; 0 if they are none.
    fn confidence(&self, folded: &FoldedText, context: Context) -> f64 {
        let is_named = context.has(Kind::Phone);
        let start = self.start(folded);
        if folded.at(start) == b'+' || self.is_area_enclosed && folded.at(start + 1) == b'+' {
            return if self.is_e164(0) { 0.95 } else { 0.0 };
        }
        let is_other = context.is_other;
        let by_plan = [
            self.digits.starts_with(b"00").then(|| match (self.is_e164(2), self.sizes.len(), is_named) {
                (true, 2.., _) | (true, _, true) => 0.8,
                _ => 0.0,
            }),
            self.is_chinese_mobile().then_some(0.85),
            self.is_chinese_landline().then_some(0.8),
            self.north_american(is_named),
            self.national(is_named),
            self.labelled(context),
        ];
        let best = by_plan.into_iter().flatten().fold(0.0, f64::max);
        match (is_other, is_named) {
            // an order or ticket with the form of a phone number
            (true, _) => best / 2.0,
            (false, true) if best > 0.0 => (best + 0.1).min(0.95),
            _ => best,
        }
    }

    /// A country code and a national number, after so many digits (`00`).
    fn is_e164(&self, skipped: usize) -> bool {
        // +49 (0)30: the zero is not dialled from abroad
        let zero = self.sizes.first().filter(|_| self.gaps.first() == Some(&Gap::Opening)).copied();
        let zero = zero.filter(|index| self.sizes.get(1) == Some(&1) && self.digits.get(*index) == Some(&b'0'));
        let digits: Vec<u64> = self
            .digits
            .iter()
            .enumerate()
            .skip(skipped)
            .filter(|(index, _)| Some(*index) != zero)
            .map(|(_, digit)| u64::from(digit - b'0'))
            .collect();
        let code = match digits.as_slice() {
            [one @ (1 | 7), ..] => (*one, 1),
            [one, two, ..] if TWO_DIGIT_CODES.contains(&(one * 10 + two)) => (one * 10 + two, 2),
            [one @ (2..=6 | 8 | 9), two, three, ..] => (one * 100 + two * 10 + three, 3),
            _ => return false,
        };
        let plan = PLANS.iter().find(|(known, ..)| *known == code.0);
        let (least, most) = plan.map_or((7, 12), |(_, least, most)| (*least, *most));
        let national = digits.len() - code.1;
        let has_area = code.0 != 1 || digits.get(1).is_some_and(|digit| *digit >= 2);
        (least..=most).contains(&national) && digits.len() <= 15 && has_area
    }

    /// 13 to 19 and nine more digits, alone or in groups, with or without 86 before them.
    fn is_chinese_mobile(&self) -> bool {
        let sizes: &[usize] = &self.sizes;
        let (sizes, digits): (&[usize], &[u8]) = match (sizes, self.digits.as_slice()) {
            ([13], [b'8', b'6', digits @ ..]) => (&[11], digits),
            ([2, rest @ ..], [b'8', b'6', digits @ ..]) => (rest, digits),
            (sizes, digits) => (sizes, digits),
        };
        let is_grouped = matches!(sizes, [11] | [3, 4, 4] | [3, 8] | [4, 3, 4] | [4, 4, 3]);
        is_grouped && matches!(digits, [b'1', b'3'..=b'9', ..]) && self.has_one_mark(1)
    }

    /// 010-62345678, (0755)8234567, 021-62345678-801.
    fn is_chinese_landline(&self) -> bool {
        let is_grouped =
            matches!(self.sizes.as_slice(), [3 | 4, 7 | 8] | [3, 8, 1..=5] | [4, 7 | 8, 1..=5] | [3 | 4, 4, 4]);
        is_grouped
            && matches!(self.digits.as_slice(), [b'0', b'1'..=b'9', ..])
            && !matches!(self.gaps.first(), Some(Gap::Mark(b'.')))
            && self.has_one_mark(1)
    }

    /// Area code and exchange from 2 on, in groups of 3, 3 and 4 with or without a 1; ten digits in a row only beside a
    /// word for a phone.
    fn north_american(&self, is_named: bool) -> Option<f64> {
        let (sizes, digits): (&[usize], &[u8]) = match (self.sizes.as_slice(), self.digits.as_slice()) {
            ([1, sizes @ ..], [b'1', digits @ ..]) => (sizes, digits),
            ([11], [b'1', digits @ ..]) => (&[10], digits),
            (sizes, digits) => (sizes, digits),
        };
        let is_number = digits.len() == 10
            && digits.first().is_some_and(|area| *area >= b'2')
            && digits.get(3).is_some_and(|exchange| *exchange >= b'2');
        let first = 1 + usize::from(self.sizes.first() == Some(&1));
        let is_spaced = self.gaps.last() == Some(&Gap::Mark(b' '));
        match sizes {
            [3, 3, 4] if is_number && self.has_one_mark(first) => {
                Some(if is_spaced && !self.is_area_enclosed { 0.65 } else { 0.75 })
            }
            [3, 7] if is_number && self.is_area_enclosed => Some(0.7),
            [10] if is_number && is_named => Some(0.65),
            _ => None,
        }
    }

    /// Area code with a 0 or in parentheses, and the rest in one or more groups: 020 7946 0958, (07) 5331 0577.
    fn national(&self, is_named: bool) -> Option<f64> {
        let digits = self.digits.len();
        let area = *self.sizes.first()?;
        let has_zero = self.digits.first() == Some(&b'0') && !self.digits.starts_with(b"00");
        if self.sizes.len() == 1 {
            return (has_zero && is_named && (9..=12).contains(&digits)).then_some(0.65);
        }
        let rest = self.sizes.get(1..)?;
        let are_pairs = self.sizes.iter().all(|size| *size == 2);
        let is_grouped = (2..=5).contains(&area)
            && rest.iter().all(|size| (2..=8).contains(size))
            && (rest.len() > 1 || rest.iter().all(|size| *size >= 4))
            && self.has_one_mark(1)
            && !self.has_date();
        let least = if are_pairs { 9 } else { 8 };
        let is_number = is_grouped && (least..=12).contains(&digits);
        (is_number && (has_zero || self.is_area_enclosed)).then_some(0.6)
    }

    /// Any other grouping of 7 to 12 digits beside a word for a phone; without groups directly beside it.
    fn labelled(&self, context: Context) -> Option<f64> {
        let is_named = match self.sizes.as_slice() {
            [_] => context.is_labelled_phone,
            sizes => {
                let are_years = sizes.iter().all(|size| *size == 4)
                    && self.digits.chunks(4).all(|year| year.starts_with(b"19") || year.starts_with(b"20"));
                let are_thousands =
                    self.gaps.iter().all(|gap| *gap == Gap::Mark(b'.')) && sizes.iter().skip(1).all(|size| *size == 3);
                context.has(Kind::Phone)
                    && sizes.iter().skip(1).all(|size| (2..=8).contains(size))
                    && self.has_one_mark(1)
                    && !self.has_date()
                    && !are_years
                    && !are_thousands
            }
        };
        (is_named && (7..=12).contains(&self.digits.len())).then_some(0.55)
    }

    /// The gaps from this one on are all the same mark.
    fn has_one_mark(&self, from: usize) -> bool {
        let rest = self.gaps.get(from..).unwrap_or_default();
        rest.iter().all(|gap| matches!(gap, Gap::Mark(_)) && Some(gap) == rest.first())
    }

    /// The groups are a date: 2024-01-31, 31.01.2024, 31/01/24.
    fn has_date(&self) -> bool {
        let number = |digits: &[u8]| digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
        let [one, two, three] = *self.sizes.as_slice() else { return false };
        if self.gaps.iter().any(|gap| !matches!(gap, Gap::Mark(b'-' | b'.' | b'/'))) {
            return false;
        }
        let part = |from: usize, size: usize| self.digits.get(from..from + size).map_or(0, number);
        let (first, second, third) = (part(0, one), part(one, two), part(one + two, three));
        match (one, two, three) {
            (4, 2, 2) => is_date(first, second, third),
            (2, 2, 4) | (2, 2, 2) => is_date(third, second, first) || is_date(third, first, second),
            _ => false,
        }
    }

    /// Returns true if digits that are joined to it by a blank make it a part of a longer number.
    fn is_part_of_spaced(&self, folded: &FoldedText) -> bool {
        let (Some(first), Some(last)) = (self.groups.first(), self.groups.last()) else { return false };
        let is_exact = folded.at(self.start(folded)) == b'+' || self.is_chinese_mobile();
        if is_exact || !self.gaps.contains(&Gap::Mark(b' ')) {
            return false;
        }
        let before =
            first.start >= 2 && folded.before(first.start) == b' ' && folded.at(first.start - 2).is_ascii_digit();
        let after = folded.at(last.extension_end) == b' ' && {
            let digits = (1..=8).take_while(|index| folded.at(last.extension_end + index).is_ascii_digit()).count();
            let end = folded.at(last.extension_end + 1 + digits);
            digits >= 3 && !is_word(end) && end != IDEOGRAPH
        };
        before || after
    }
}
