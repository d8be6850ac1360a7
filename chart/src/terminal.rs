//! Charts as text for a terminal: bars of blocks, lines of braille dots, heat maps of shaded cells.
//!
//! Colours are those of the terminal's own palette; without colours series differ by their glyphs.

mod across;
mod down;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{Kind, Plot};

/// A terminal narrower than this shows no chart.
const NARROWEST: usize = 36;
/// A chart is no wider than this: longer bars say no more.
const WIDEST: usize = 120;

/// The colours of series, as numbers of the terminal's palette: blue, yellow, green, magenta, cyan, red, white, grey.
pub(crate) const PALETTE: [u8; 8] = [4, 3, 2, 5, 6, 1, 7, 8];

/// What a chart is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) width: usize,
    pub(crate) has_color: bool,
}

/// The chart as lines of at most `width` columns, the last ended; empty where there is nothing to draw or no room for it.
pub fn terminal(plot: &Plot, width: usize, has_color: bool) -> String {
    if width < NARROWEST {
        return String::new();
    }
    let screen = Screen { width: width.min(WIDEST), has_color };
    let lines = match plot.kind {
        // more bars over time than lines of a screen are a line
        Kind::Bar if down::is_long(plot) => across::lines(plot, screen),
        Kind::Bar => down::bars(plot, screen),
        Kind::Pareto | Kind::Pie | Kind::Funnel => down::parts(plot, screen),
        Kind::Histogram => down::histogram(plot, screen),
        Kind::Box => down::boxes(plot, screen),
        Kind::Heatmap => down::heat(plot, screen),
        Kind::Sparkline => down::sparklines(plot, screen),
        Kind::Figure => down::figures(plot, screen),
        Kind::Line | Kind::Area => across::lines(plot, screen),
        Kind::Scatter => across::points(plot, screen),
    };
    if lines.is_empty() {
        return String::new();
    }
    let title = plot.title.as_ref().map(|title| screen.bold(&fit(title, screen.width)));
    let mut text: String = title.into_iter().chain(lines).map(|line| line.trim_end().to_string() + "\n").collect();
    text.shrink_to_fit();
    text
}

impl Screen {
    /// The text in a series' colour.
    pub(crate) fn colored(self, text: &str, series: Option<usize>) -> String {
        let color = series.map_or(8, |series| PALETTE[series % PALETTE.len()]);
        match self.has_color && !text.trim().is_empty() {
            true if color >= 8 => format!("\u{1b}[90m{text}\u{1b}[0m"),
            true => format!("\u{1b}[{}m{text}\u{1b}[0m", 30 + color),
            false => text.to_string(),
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        if self.has_color { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_string() }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        if self.has_color { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// The columns that a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// The text, cut to so many columns.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_string();
    }
    let mut used = 1;
    let kept: String = text
        .chars()
        .take_while(|character| {
            used += character.width().unwrap_or(0);
            used <= width
        })
        .collect();
    kept + "…"
}

/// The text, cut or filled up to so many columns.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let blanks = width.saturating_sub(columns(&text));
    text + &" ".repeat(blanks)
}

/// The text at the right of so many columns.
pub(crate) fn at_right(text: &str, width: usize) -> String {
    let text = fit(text, width);
    " ".repeat(width.saturating_sub(columns(&text))) + &text
}

#[cfg(test)]
mod tests;
