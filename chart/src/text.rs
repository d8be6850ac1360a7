//! Text in charts: measuring, truncating, wrapping, escaping.
//!
//! Widths are estimates for a common sans-serif font, close enough to keep labels apart in any font.

/// The default font size.
pub(crate) const SIZE: f64 = 12.0;
/// The font size of tick labels and captions.
pub(crate) const SMALL: f64 = 11.0;

/// The width of text in units, for a font of `size` units.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size
}

/// The width of a character relative to the font size.
fn advance(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | '\'' | '|' | '!' | '.' | ',' | ':' | ';' | 'I' => 0.28,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | ' ' | '-' => 0.36,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' => 0.9,
        'A'..='Z' | '&' | '<' | '>' | '=' | '+' => 0.68,
        // combining marks and joiners
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0.0,
        // East Asian scripts: one square per character
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{ff60}' => 1.0,
        '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}' => 1.2,
        '0'..='9' => 0.61,
        _ => 0.58,
    }
}

/// The text, truncated with an ellipsis if it does not fit.
pub(crate) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_string();
    }
    let mut used = width("…", size);
    let kept: String = text
        .chars()
        .take_while(|character| {
            used += advance(*character) * size;
            used <= room
        })
        .collect();
    format!("{}…", kept.trim_end())
}

/// Wraps text into at most `most` lines of width `room`, between words, and between wide characters. The last
/// line is truncated.
pub(crate) fn wrap(text: &str, size: f64, room: f64, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in pieces(text) {
        let is_full =
            |line: &String| !line.trim().is_empty() && width(line, size) + width(word.trim_end(), size) > room;
        if lines.last().is_some_and(is_full) {
            if lines.len() == most {
                if let Some(last) = lines.last_mut() {
                    let whole = format!("{last}{word}…");
                    *last = fit(&whole, size, room);
                }
                return lines;
            }
            lines.push(String::new());
        }
        if let Some(last) = lines.last_mut() {
            last.push_str(word);
        }
    }
    for line in &mut lines {
        *line = fit(line.trim(), size, room);
    }
    lines
}

/// The words with trailing blanks; each wide character is a word.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut before: Option<char> = None;
    for (at, character) in text.char_indices() {
        let wide = |c: char| advance(c) >= 1.0;
        let breaks = before.is_some_and(|before| {
            (before.is_whitespace() && !character.is_whitespace()) || wide(before) || wide(character)
        });
        if breaks {
            pieces.push(&text[start..at]);
            start = at;
        }
        before = Some(character);
    }
    pieces.push(&text[start..]);
    pieces
}

/// Escapes text for an XML element or attribute, and replaces characters that XML does not allow.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' | '\r' => escaped.push(' '),
            control if control.is_control() => escaped.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chinese_character_is_a_square() {
        assert_eq!(width("满意", 12.0), 24.0);
        // 0.58 * 12 for each of three letters
        assert!((width("abc", 12.0) - 20.88).abs() < 1e-9);
    }

    #[test]
    fn texts_are_cut_where_the_room_ends() {
        assert_eq!(fit("short", 12.0, 100.0), "short");
        let cut = fit("a very long label indeed", 12.0, 60.0);
        assert!(cut.ends_with('…') && width(&cut, 12.0) <= 60.0, "{cut}");
    }

    #[test]
    fn lines_break_between_words_and_between_chinese_characters() {
        assert_eq!(wrap("first contact resolution", 12.0, 80.0, 3), ["first contact", "resolution"]);
        assert_eq!(wrap("首次联系解决率", 12.0, 48.0, 2), ["首次联系", "解决率"]);
        assert!(wrap("one two three four five six", 12.0, 40.0, 2)[1].ends_with('…'));
    }

    #[test]
    fn markup_and_control_characters_are_text() {
        assert_eq!(
            escaped("<script>\"a\" & b\u{1b}</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; b\u{fffd}&lt;/script&gt;"
        );
    }
}
