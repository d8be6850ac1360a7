//! Charts: data in, SVG text out. Knows no engine, no report and no file.
//!
//! A [`Plot`] says what is drawn from which columns; [`svg`] draws it in one of two widths, [`description`] says the same
//! in words. Colours are classes: [`stylesheet`] gives them values, variables of a page or fixed ones for a picture that
//! stands alone. The palette is that of Okabe and Ito (2008), which stays apart for colour-blind readers.

mod axis;
mod bars;
mod canvas;
mod figure;
mod form;
mod grid;
mod heat;
mod lines;
mod plot;
mod points;
mod scale;
mod shares;
mod spread;
mod stats;
mod style;
mod terminal;
mod text;
mod words;

pub use self::form::Form;
pub use self::plot::{Column, Kind, Plot, Values};
pub use self::style::{Theme, stylesheet, variables};
pub use self::terminal::terminal;
pub use self::words::Language;

use self::canvas::Canvas;

/// How wide a chart is drawn, in units of its view box: 12 units are a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// For a page or a sheet of paper.
    Wide,
    /// For a phone.
    Narrow,
}

impl Size {
    fn width(self) -> f64 {
        match self {
            Self::Wide => 800.0,
            Self::Narrow => 360.0,
        }
    }

    /// The height of the part between the axes.
    fn plot_height(self) -> f64 {
        match self {
            Self::Wide => 260.0,
            Self::Narrow => 210.0,
        }
    }
}

/// The chart as an `svg` element whose colours are classes. Without a number to draw it says that there is no data.
pub fn svg(plot: &Plot, size: Size) -> String {
    draw(plot, size).finish(&description(plot), None)
}

/// The chart as a file of its own: with its title, its colours and a background.
pub fn standalone(plot: &Plot, size: Size, theme: Theme) -> String {
    let mut canvas = Canvas::new(size.width());
    if let Some(title) = &plot.title {
        canvas.heading(title);
    }
    draw_on(&mut canvas, plot, size);
    canvas.finish(&description(plot), Some(theme))
}

fn draw(plot: &Plot, size: Size) -> Canvas {
    let mut canvas = Canvas::new(size.width());
    draw_on(&mut canvas, plot, size);
    canvas
}

fn draw_on(canvas: &mut Canvas, plot: &Plot, size: Size) {
    let is_drawn = match plot.kind {
        Kind::Bar => bars::draw(canvas, plot, size),
        Kind::Line | Kind::Area => lines::draw(canvas, plot, size),
        Kind::Scatter => points::draw(canvas, plot, size),
        Kind::Heatmap => heat::draw(canvas, plot, size),
        Kind::Histogram => spread::histogram(canvas, plot, size),
        Kind::Box => spread::boxes(canvas, plot, size),
        Kind::Pie => shares::pie(canvas, plot, size),
        Kind::Funnel => shares::funnel(canvas, plot, size),
        Kind::Pareto => shares::pareto(canvas, plot, size),
        Kind::Sparkline => figure::sparklines(canvas, plot, size),
        Kind::Figure => figure::draw(canvas, plot, size),
    };
    if !is_drawn {
        canvas.empty(plot.language.words().no_data);
    }
}

/// What the chart shows, in a sentence or two, for those who do not see it.
pub fn description(plot: &Plot) -> String {
    words::description(plot)
}

#[cfg(test)]
mod tests;
