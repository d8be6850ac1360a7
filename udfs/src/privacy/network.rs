//! Mail addresses, handles, addresses of machines and GUIDs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::cues::Context;
use super::ids::is_free_after;
use super::kind::Kind;
use super::text::{FoldedText, IDEOGRAPH, Token, is_word};

/// The longest local part (RFC 5321).
const LOCAL_LENGTH: usize = 64;
/// The longest domain name (RFC 1035).
const DOMAIN_LENGTH: usize = 253;
/// The longest handle.
const HANDLE_LENGTH: usize = 30;
/// Characters of an IPv6 address with an IPv4 address at its end.
const IPV6_LENGTH: usize = 45;
/// Names of all or of the shop, not of a person.
const COMMON_HANDLES: [&str; 6] = ["所有人", "全体成员", "客服", "官方", "everyone", "here"];
/// Words after which an account of a chat program stands.
const ACCOUNT_WORDS: [&str; 10] =
    ["微信号", "微信", "v信", "wechat id", "wechat", "weixin", "vx", "qq号码", "qq号", "qq"];

/// Ranges of one kind with their confidence.
pub(super) type Found = Vec<(Kind, Range<usize>, f64)>;

/// Appends mail addresses and handles: what stands around an `@`.
pub(super) fn find_at_signs(text: &str, folded: &FoldedText, found: &mut Found) {
    let mut free = 0;
    for at in (0..folded.len()).filter(|index| folded.at(*index) == b'@') {
        if at < free {
            continue;
        }
        let found_here = match email(folded, free, at) {
            Some(span) => Some((Kind::Email, span, 0.99)),
            None => handle(text, folded, at).map(|(span, confidence)| (Kind::Handle, span, confidence)),
        };
        if let Some((kind, span, confidence)) = found_here {
            free = span.end;
            found.push((kind, span, confidence));
        }
    }
}

fn email(folded: &FoldedText, free: usize, at: usize) -> Option<Range<usize>> {
    let is_local = |byte: u8| is_word(byte) || b".%+-'&".contains(&byte);
    let length = (free..at).rev().take_while(|index| is_local(folded.at(*index))).take(LOCAL_LENGTH + 1).count();
    let mut start = at - length;
    while start < at && !is_word(folded.at(start)) && folded.at(start) != b'+' {
        start += 1;
    }
    if start == at || at - start > LOCAL_LENGTH || folded.before(at) == b'.' {
        return None;
    }
    let is_domain = |byte: u8| is_word(byte) && byte != b'_' || matches!(byte, b'.' | b'-');
    let length = (at + 1..folded.len()).take_while(|index| is_domain(folded.at(*index))).take(DOMAIN_LENGTH).count();
    let domain = folded.bytes.get(at + 1..at + 1 + length)?;
    // labels up to the first that is none; the last one is of letters, and ends at a hyphen: "a@b.de-c@d.de"
    let mut end = 0;
    let mut position = 0;
    for (index, label) in domain.split(|byte| *byte == b'.').enumerate() {
        let letters = label.iter().position(|byte| *byte == b'-').unwrap_or(label.len());
        if index > 0 && is_top_level(label) {
            end = position + label.len();
        } else if index > 0 && domain.len() == position + label.len() && label.get(..letters).is_some_and(is_top_level)
        {
            end = position + letters;
        }
        if label.is_empty() || label.len() > 63 || label.first() == Some(&b'-') || label.last() == Some(&b'-') {
            break;
        }
        position += label.len() + 1;
    }
    (end > 0).then(|| start..at + 1 + end)
}

fn is_top_level(label: &[u8]) -> bool {
    let is_letters = label.len() >= 2 && label.iter().all(|byte| !byte.is_ascii_digit() && *byte != b'-');
    is_letters || label.len() > 4 && label[..4].eq_ignore_ascii_case(b"xn--")
}

/// `@name`, not inside a word; a Chinese name up to a blank, a colon or the end.
fn handle(text: &str, folded: &FoldedText, at: usize) -> Option<(Range<usize>, f64)> {
    let before = folded.before(at);
    // `a***@example.com` is a masked address
    if is_word(before) || matches!(before, b'.' | b'/' | b'@' | b'*') {
        return None;
    }
    let first = at + 1;
    let count = |is_part: &dyn Fn(u8) -> bool| {
        (first..folded.len()).take_while(|index| is_part(folded.at(*index))).take(HANDLE_LENGTH + 1).count()
    };
    let is_latin = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let mut length = count(&is_latin);
    while length > 0 && matches!(folded.at(at + length), b'.' | b'-') {
        length -= 1;
    }
    let (length, confidence) = match folded.at(first) {
        IDEOGRAPH => {
            let length = count(&|byte| byte == IDEOGRAPH || is_latin(byte));
            let ends = matches!(folded.at(first + length), 0 | b' ' | b':' | b'\n' | b'\t');
            (if ends { length } else { 0 }, 0.6)
        }
        // numbers in place of names, as in exports without names
        byte if byte.is_ascii_digit() => (if length >= 4 { length } else { 0 }, 0.6),
        _ => (length, 0.85),
    };
    let name = folded.slice(text, first..first + length);
    let is_common = COMMON_HANDLES.iter().any(|common| name.eq_ignore_ascii_case(common));
    ((2..=HANDLE_LENGTH).contains(&length) && !is_common && folded.at(first + length) != b'@')
        .then(|| (at..first + length, confidence))
}

/// Appends accounts of chat programs behind their names: "微信号: zhang_88", "QQ 12345678".
pub(super) fn find_accounts(text: &str, folded: &FoldedText, claimed: &[bool], found: &mut Found) {
    if !text.contains(['q', 'Q', 'v', 'V', 'w', 'W', '微']) {
        return;
    }
    let lower = text.to_ascii_lowercase();
    let mut from = 0;
    while let Some((offset, word)) = next_account_word(&lower, from) {
        from = offset + word.len();
        let start = folded.index(from);
        if is_word(folded.before(folded.index(offset))) {
            continue;
        }
        let mut index = start;
        let mut is_introduced = word.ends_with(['号', '码']) || word.ends_with("id");
        for _ in 0..6 {
            match folded.at(index) {
                b' ' => {}
                b':' | b'=' => is_introduced = true,
                IDEOGRAPH if folded.slice(text, index..index + 1).starts_with(['是', '为', '号', '码', '加']) => {
                    is_introduced = true
                }
                _ => break,
            }
            index += 1;
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = (index..folded.len()).take_while(|index| is_part(folded.at(*index))).take(HANDLE_LENGTH).count();
        let Some(name) = folded.bytes.get(index..index + length) else { continue };
        let is_free = claimed.get(index..index + length).is_some_and(|taken| !taken.contains(&true));
        let is_account = if word.starts_with('q') {
            (5..=11).contains(&length) && name[0] != b'0' && name.iter().all(u8::is_ascii_digit)
        } else {
            // English words may follow "WeChat: " as well
            let is_marked = is_introduced && !word.is_ascii() || name.iter().any(|byte| !byte.is_ascii_alphabetic());
            let is_separate = index > start || !word.is_ascii();
            (6..=20).contains(&length) && is_marked && is_separate && name[0].is_ascii_alphabetic()
        };
        if is_account && is_free {
            found.push((Kind::Handle, index..index + length, 0.8));
        }
    }
}

fn next_account_word(lower: &str, from: usize) -> Option<(usize, &'static str)> {
    let rest = lower.get(from..)?;
    // `find` for each word in turn would read the text again and again
    let mut offsets = rest.match_indices(['q', 'v', 'w', '微']).map(|(offset, _)| offset);
    offsets.find_map(|offset| {
        let here = rest.get(offset..)?;
        ACCOUNT_WORDS.into_iter().find(|word| here.starts_with(word)).map(|word| (from + offset, word))
    })
}

/// Marks GUIDs, and what is joined to them, as claimed.
pub(super) fn claim_guids(folded: &FoldedText, claimed: &mut [bool]) {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    const LENGTH: usize = 36;
    let is_joined = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let mut end = 0;
    for hyphen in (8..folded.len()).filter(|index| folded.at(*index) == b'-') {
        let start = hyphen - 8;
        let is_guid = start >= end
            && folded.bytes.get(start..start + LENGTH).is_some_and(|characters| {
                characters.iter().enumerate().all(|(index, byte)| match HYPHENS.contains(&index) {
                    true => *byte == b'-',
                    false => byte.is_ascii_hexdigit(),
                })
            });
        if is_guid {
            let before = (end..start).rev().take_while(|index| is_joined(folded.at(*index))).count();
            let after = (start + LENGTH..folded.len()).take_while(|index| is_joined(folded.at(*index))).count();
            end = start + LENGTH + after;
            if let Some(characters) = claimed.get_mut(start - before..end) {
                characters.fill(true);
            }
        }
    }
}

/// Appends IPv4, IPv6 and MAC addresses.
pub(super) fn find_machines(text: &str, folded: &FoldedText, tokens: &[Token], claimed: &[bool], found: &mut Found) {
    let mut free = 0;
    for token in tokens {
        let is_taken = claimed.get(token.start) == Some(&true);
        // an IPv6 or MAC address may begin with a group without digits
        let start = (free..token.start)
            .rev()
            .take_while(|index| folded.at(*index).is_ascii_hexdigit() || matches!(folded.at(*index), b':' | b'-'))
            .take(IPV6_LENGTH)
            .last()
            .unwrap_or(token.start);
        if token.start < free || is_taken || token.end - token.start > IPV6_LENGTH {
            continue;
        }
        let address = [start, token.start].into_iter().find_map(|start| machine(text, folded, start));
        if let Some((kind, span, confidence)) = address {
            free = span.end;
            found.push((kind, span, confidence));
        }
    }
}

fn machine(text: &str, folded: &FoldedText, start: usize) -> Option<(Kind, Range<usize>, f64)> {
    let run = |is_part: &dyn Fn(u8) -> bool, longest: usize| {
        let length = (start..folded.len()).take_while(|index| is_part(folded.at(*index))).take(longest + 1).count();
        folded.bytes.get(start..start + length).and_then(|run| std::str::from_utf8(run).ok()).unwrap_or_default()
    };
    let is_free = |span: &Range<usize>| {
        let before = folded.before(span.start);
        !is_word(before) && before != b'.' && !is_word(folded.at(span.end))
    };
    // 192.0.2.1, and not a part of a longer dotted number
    let dotted = run(&|byte| byte.is_ascii_digit() || byte == b'.', 16).trim_end_matches('.');
    let span = start..start + dotted.len();
    if dotted.parse::<Ipv4Addr>().is_ok()
        && is_free(&span)
        && (is_free_after(folded, span.end) || folded.at(span.end) == b'/')
    {
        let context = Context::of(text, folded, &span);
        return (!context.is_other).then_some((Kind::Ipv4, span, 0.9));
    }
    if !is_label_or_free_before(folded, start) {
        return None;
    }
    let hexadecimal = run(&|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'-'), IPV6_LENGTH);
    let hexadecimal = hexadecimal.trim_end_matches(['.', '-']);
    if let Some(mac) = mac(hexadecimal.trim_end_matches(':')) {
        let span = start..start + mac;
        let is_whole = is_free(&span) && is_free_after(folded, span.end) && folded.at(span.end) != b':';
        return is_whole.then_some((Kind::Mac, span, 0.95));
    }
    let address = hexadecimal.split('-').next().unwrap_or_default();
    let address = if address.ends_with("::") { address } else { address.trim_end_matches(':') };
    let groups = address.split(':').filter(|group| !group.is_empty()).count();
    let span = start..start + address.len();
    let is_address = groups >= 2 && address.contains(':') && address.parse::<Ipv6Addr>().is_ok();
    (is_address && is_free(&span)).then_some((Kind::Ipv6, span, 0.9))
}

/// Returns true if what stands before the characters is not a group of the same address: `MAC:00:1a` and `地址:fe80::1`,
/// but not `12:00:1a`.
fn is_label_or_free_before(folded: &FoldedText, start: usize) -> bool {
    if folded.before(start) != b':' {
        return folded.before(start) != b'-' || !is_word(folded.before(start - 1));
    }
    let word: Vec<u8> =
        (0..start - 1).rev().map(|index| folded.at(index)).take_while(|byte| is_word(*byte)).take(20).collect();
    match word.is_empty() {
        true => folded.before(start - 1) != b':',
        false => word.iter().any(|byte| !byte.is_ascii_hexdigit()),
    }
}

/// The length of a MAC address at the beginning: six or eight pairs joined by `:` or `-`, or three groups of four by dots.
fn mac(text: &str) -> Option<usize> {
    for (mark, size, counts) in [(':', 2, [6, 8]), ('-', 2, [6, 8]), ('.', 4, [3, 4])] {
        let groups = text
            .split(mark)
            .take_while(|group| group.len() == size && group.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let count = groups.count();
        let length = count * size + count.saturating_sub(1);
        // six pairs of digits with hyphens are a phone number rather
        let has_letter = mark == ':' || text.bytes().take(length).any(|byte| byte.is_ascii_alphabetic());
        if counts.contains(&count) && has_letter {
            return Some(length);
        }
    }
    None
}
