//! Text of data in chat messages: never a mention, a link or markup, and one line for each line of the message.
//!
//! The services are sent plain text wherever they take it. What their clients interpret in plain text too is broken up
//! by characters that no reader sees (U+200B) or, for the `<` of a tag, that looks the same (U+FF1C).

use crate::output::visible;

/// Breaks up what a client would turn into a link, a mention or a tag.
pub(super) fn plain(line: &str) -> String {
    const BREAK: char = '\u{200b}';
    let shown = visible(line);
    let mut text = String::with_capacity(shown.len() + 16);
    let mut characters = shown.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        let next = characters.peek().copied().unwrap_or(' ');
        match character {
            // a tag begins without a space: `<at ...>`, `<@user>`, `<font>`, `</a>`, `<!channel>`
            '<' if !(next.is_whitespace() || next.is_ascii_digit() || next == '=' || next == '-') => text.push('＜'),
            // @all, @somebody, a mail address
            '@' | '＠' if !next.is_whitespace() => text.extend([character, BREAK]),
            // https://, mailto:, tel:
            ':' if before.is_alphanumeric() && (next == '/' || next.is_alphanumeric()) => {
                text.extend([character, BREAK])
            }
            // www.example.com
            '.' | '。' if before.is_alphanumeric() && next.is_alphabetic() => text.extend([character, BREAK]),
            // [text](address)
            ']' if next == '(' => text.extend([character, BREAK]),
            other => text.push(other),
        }
        before = character;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_no_mention_no_link_and_no_markup() {
        for attack in [
            "<at user_id=\"all\">all</at>",
            "<@U123>",
            "<!channel>",
            "<font color=\"warning\">",
            "<https://example.com|click>",
            "[click](https://example.com)",
            "https://example.com",
            "www.example.com",
            "example.com/login",
            "mailto:ada@example.com",
            "@all",
            "@13800000000",
            "@所有人",
            "one\ntwo\r\u{2028}three",
            "\u{202e}evil\u{1b}[31m",
        ] {
            let text = plain(attack);
            for part in
                ["<at", "<@", "<!", "</", "<font", "<https", "](", "://", "www.e", "e.com", ":a", "@a", "@1", "@所"]
            {
                assert!(!text.contains(part), "{attack}: {text:?} has {part}");
            }
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(!text.contains(['\u{2028}', '\u{202e}']), "{text:?}");
        }
        // figures and conditions are unchanged
        for usual in
            ["queue=billing", "error: `fcr_ratio < 0.6` is met (fcr_ratio=0.4)", "n <= 3", "满意度: 0.8", "a-b: 12:30"]
        {
            assert_eq!(plain(usual).replace('\u{200b}', ""), usual);
        }
        assert_eq!(plain("`fcr_ratio < 0.6` is met"), "`fcr_ratio < 0.6` is met");
    }
}
