//! Charts from columns of values: SVG, text for a terminal, or a description in words. Depends on no query engine.
//!
//! A [`Plot`] names the kind of chart and its columns. [`svg()`] draws it in one of two widths, [`terminal()`] as text,
//! and [`description()`] describes it. Colours are CSS classes: [`stylesheet`] maps them to variables of a page, or to
//! fixed colours for a standalone picture. The palette is that of Okabe and Ito (2008), safe for colour-blind readers.
//!
//! ```
//! use cxql_chart::{Column, Kind, Plot, Size, Values};
//!
//! let topics = Values::Strings(vec![Some("billing".into()), Some("delivery".into())]);
//! let contacts = Values::Numbers(vec![Some(120.0), Some(80.0)]);
//! let plot = Plot {
//!     x: Some(Column { name: "topic".into(), values: topics }),
//!     y: vec![Column { name: "contacts".into(), values: contacts }],
//!     ..Plot::new(Kind::Bar)
//! };
//! let svg = cxql_chart::svg(&plot, Size::Wide);
//! assert!(svg.starts_with("<svg"));
//! ```

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
mod time_axis;
mod words;

pub use self::form::Form;
pub use self::plot::{Column, Kind, Plot, Values};
pub use self::style::{Theme, stylesheet, variables};
pub use self::terminal::terminal;
pub use self::words::Language;

use self::canvas::Canvas;

/// The width of a chart, in units of its view box; a line of text has about 12 units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// For a desktop page or paper.
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

    /// The height of the plot area between the axes.
    fn plot_height(self) -> f64 {
        match self {
            Self::Wide => 260.0,
            Self::Narrow => 210.0,
        }
    }
}

/// The chart as an `svg` element whose colours are CSS classes. Without any number it shows "No data".
pub fn svg(plot: &Plot, size: Size) -> String {
    draw(plot, size).finish(&description(plot), None)
}

/// The chart as a standalone SVG file with title, colours and background.
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
    let plot = time_axis::ordered(plot);
    let plot = plot.as_ref();
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

/// A description of the chart in a sentence or two, for screen readers and plain text.
pub fn description(plot: &Plot) -> String {
    words::description(plot)
}

#[cfg(test)]
mod tests;
