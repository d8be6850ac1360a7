//! Charts for a terminal: block characters for bars, braille for lines, shaded cells for heat maps.
//!
//! Colours are from the palette of the terminal; without colours series differ by their glyphs.

mod across;
mod down;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{Kind, Plot};

/// Minimum width of a terminal for charts.
const MIN_WIDTH: usize = 36;
/// Maximum width of a chart.
const MAX_WIDTH: usize = 120;

/// The colours of series, as indexes into the terminal's palette: blue, yellow, green, magenta, cyan, red, white, grey.
pub(crate) const PALETTE: [u8; 8] = [4, 3, 2, 5, 6, 1, 7, 8];

/// The terminal a chart is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) width: usize,
    pub(crate) has_color: bool,
}

/// The chart as lines of at most `width` columns, each terminated; empty if there is nothing to draw or too little
/// room.
pub fn terminal(plot: &Plot, width: usize, has_color: bool) -> String {
    if width < MIN_WIDTH {
        return String::new();
    }
    let screen = Screen { width: width.min(MAX_WIDTH), has_color };
    let plot = crate::time_axis::ordered(plot);
    let plot = plot.as_ref();
    let lines = match plot.kind {
        // a time series with more bars than a screen has lines is drawn as a line
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
    /// The text in the colour of a series.
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

/// The display width of text, in columns.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// The text truncated to `width` columns.
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

/// The text truncated or padded to `width` columns.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let blanks = width.saturating_sub(columns(&text));
    text + &" ".repeat(blanks)
}

/// The text right-aligned in `width` columns.
pub(crate) fn at_right(text: &str, width: usize) -> String {
    let text = fit(text, width);
    " ".repeat(width.saturating_sub(columns(&text))) + &text
}

#[cfg(test)]
mod tests;
