//! SQL source text and positions in it.
//!
//! Every error about SQL points at a [`Spot`] of a [`Source`]: file, line and column, with a caret below.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};

/// SQL source text with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name in errors: a path as the user knows it, or `<query>`.
    pub name: String,
    /// Its file, if it was read from one.
    pub path: Option<PathBuf>,
    /// The text.
    pub text: Arc<str>,
    /// True if it is shipped with the program and not part of the user's project.
    pub is_shipped: bool,
}

impl Source {
    /// SQL typed by the user, without a file.
    pub fn query(text: &str) -> Self {
        // strip the byte order mark
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { name: "<query>".into(), path: None, text: text.into(), is_shipped: false }
    }

    /// The byte range of a spot, clamped to the text.
    fn range(&self, spot: Spot) -> std::ops::Range<usize> {
        let mut line_start = 0;
        for _ in 1..spot.line {
            match self.text[line_start..].find('\n') {
                Some(end) => line_start += end + 1,
                None => break,
            }
        }
        let line_end = self.text[line_start..].find('\n').map_or(self.text.len(), |end| line_start + end);
        let line = &self.text[line_start..line_end];
        let mut starts = line.char_indices().map(|(at, _)| line_start + at).skip(spot.column.saturating_sub(1));
        let start = starts.next().unwrap_or(line_end);
        let end = match spot.length.max(1) {
            1 => starts.next(),
            length => starts.nth(length - 1),
        };
        start..end.unwrap_or(line_end).max(start)
    }

    /// The text at a spot.
    pub fn text_at(&self, spot: Spot) -> Option<&str> {
        self.text.get(self.range(spot))
    }

    /// The position of a byte offset.
    pub fn spot_at(&self, offset: usize, length: usize) -> Spot {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Spot { line, column, length }
    }

    /// An error message that points at `spot` and ends with the remedy.
    pub fn render(&self, title: &str, spot: Option<Spot>, label: &str, helps: &[String]) -> String {
        let mut group = match spot {
            Some(spot) => {
                let annotation = AnnotationKind::Primary.span(self.range(spot));
                let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
                Level::ERROR
                    .primary_title(title)
                    .element(Snippet::source(&*self.text).path(&self.name).annotation(annotation))
            }
            // the name of a query would not help
            None if self.path.is_none() && !self.is_shipped => {
                annotate_snippets::Group::with_title(Level::ERROR.primary_title(title))
            }
            None => Level::ERROR.primary_title(title).element(annotate_snippets::Origin::path(self.name.as_str())),
        };
        for help in helps {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        Renderer::plain().decor_style(DecorStyle::Ascii).render(&[group])
    }
}

/// A position in source text: 1-based line and column, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spot {
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// The number of characters that the caret covers; 0 means one.
    pub length: usize,
}

impl Spot {
    /// The spot of a span that the SQL parser reports; `None` for its empty span.
    pub fn of_span(start_line: u64, start_column: u64, end_line: u64, end_column: u64) -> Option<Self> {
        if start_line == 0 {
            return None;
        }
        let length = if start_line == end_line { end_column.saturating_sub(start_column) } else { 0 };
        Some(Self { line: start_line as usize, column: start_column as usize, length: length as usize })
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The candidate most similar to `word`, if it is similar enough to be a typing error.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let distance = strsim::damerau_levenshtein(&word, &lower);
            let is_part = word.len() >= 4 && lower.len() >= 4 && (lower.contains(&word) || word.contains(&lower));
            (if is_part { distance.min(limit) } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, candidate)| (*distance, candidate.len(), *candidate))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_below_the_spot() {
        let source = Source::query("select a,\n  满意 + strated_at\nfrom t");
        let text = source.render("no column", Some(Spot { line: 2, column: 8, length: 10 }), "", &["try x".into()]);
        assert!(text.contains("<query>:2:8"), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| line.contains("strated_at")).unwrap();
        // two wide characters take four cells: the caret starts two cells further right than the column says
        assert_eq!(lines[at + 1].matches('^').count(), 10, "{text}");
        assert!(text.contains("help: try x"), "{text}");
    }

    #[test]
    fn spots_outside_the_text_do_not_panic() {
        let source = Source::query("select");
        for spot in [Spot { line: 9, column: 9, length: 9 }, Spot { line: 1, column: 7, length: 0 }, Spot::default()] {
            source.render("x", Some(spot), "y", &[]);
        }
        Source::query("").render("x", Some(Spot { line: 1, column: 1, length: 3 }), "", &[]);
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("strated_at", ["started_at", "ended_at"]), Some("started_at"));
        assert_eq!(nearest("STARTED_AT", ["started_at"]), Some("started_at"));
        assert_eq!(nearest("zzz", ["started_at", "ended_at"]), None);
        assert_eq!(nearest("interaction", ["interactions", "surveys"]), Some("interactions"));
    }

    #[test]
    fn an_offset_has_a_spot() {
        let source = Source::query("a\nbc\nd");
        assert_eq!(source.spot_at(3, 1), Spot { line: 2, column: 2, length: 1 });
    }
}
