//! A builder for SVG, filled from top to bottom.

use std::fmt::Write;

use crate::style::{self, Theme};
use crate::text;

/// The alignment of text relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    pub(crate) fn right(self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// The SVG under construction.
#[derive(Debug)]
pub(crate) struct Canvas {
    body: String,
    pub(crate) width: f64,
    /// The top of the free area.
    pub(crate) top: f64,
}

/// The height of a line of text.
pub(crate) const LINE: f64 = 16.0;

impl Canvas {
    pub(crate) fn new(width: f64) -> Self {
        Self { body: String::new(), width, top: 4.0 }
    }

    /// A coordinate with at most one decimal: a tenth of a unit is not visible.
    pub(crate) fn number(value: f64) -> String {
        let rounded = (value * 10.0).round() / 10.0;
        // no minus zero
        format!("{}", rounded + 0.0)
    }

    fn put(&mut self, tag: &str, class: &str, attributes: &[(&str, f64)], tip: Option<&str>) {
        // writing into a String cannot fail
        let _ = write!(self.body, "<{tag} class=\"{class}\"");
        for (name, value) in attributes {
            let _ = write!(self.body, " {name}=\"{}\"", Self::number(*value));
        }
        self.close(tag, tip);
    }

    fn close(&mut self, tag: &str, tip: Option<&str>) {
        let _ = match tip {
            Some(tip) => write!(self.body, "><title>{}</title></{tag}>", text::escaped(tip)),
            None => write!(self.body, "/>"),
        };
    }

    pub(crate) fn rect(&mut self, class: &str, area: Area, round: f64, tip: Option<&str>) {
        let mut attributes = vec![("x", area.left), ("y", area.top), ("width", area.width), ("height", area.height)];
        if round > 0.0 {
            attributes.push(("rx", round));
        }
        self.put("rect", class, &attributes, tip);
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.put("line", class, &[("x1", from.0), ("y1", from.1), ("x2", to.0), ("y2", to.1)], None);
    }

    pub(crate) fn circle(&mut self, class: &str, center: (f64, f64), radius: f64, tip: Option<&str>) {
        self.put("circle", class, &[("cx", center.0), ("cy", center.1), ("r", radius)], tip);
    }

    pub(crate) fn path(&mut self, class: &str, commands: &str, tip: Option<&str>) {
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{commands}\"");
        self.close("path", tip);
    }

    pub(crate) fn text(&mut self, class: &str, anchor: Anchor, at: (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y) = (Self::number(at.0), Self::number(at.1));
        let text = text::escaped(text);
        let _ = write!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>");
    }

    /// Text truncated to a width; truncated text has a tooltip with the whole.
    pub(crate) fn label(&mut self, class: &str, anchor: Anchor, at: (f64, f64), text: &str, room: f64) {
        let size = if class.starts_with("ts") { text::SMALL } else { text::SIZE };
        let fitting = text::fit(text, size, room);
        if fitting == text {
            return self.text(class, anchor, at, text);
        }
        self.body.push_str("<g>");
        let _ = write!(self.body, "<title>{}</title>", text::escaped(text));
        self.text(class, anchor, at, &fitting);
        self.body.push_str("</g>");
    }

    /// The title of the chart.
    pub(crate) fn heading(&mut self, title: &str) {
        self.top += 8.0;
        for line in text::wrap(title, 16.0, self.width - 24.0, 2) {
            self.top += 20.0;
            self.text("th", Anchor::Start, (12.0, self.top - 4.0), &line);
        }
        self.top += 8.0;
    }

    /// A note below the chart.
    pub(crate) fn note(&mut self, note: &str) {
        for line in text::wrap(note, text::SIZE, self.width - 8.0, 3) {
            self.top += LINE;
            self.text("tm", Anchor::Start, (4.0, self.top - 4.0), &line);
        }
    }

    /// A message in place of the chart.
    pub(crate) fn empty(&mut self, text: &str) {
        let area = Area { left: 1.0, top: self.top + 4.0, width: self.width - 2.0, height: 96.0 };
        self.rect("e", area, 6.0, None);
        self.text("tm", Anchor::Middle, (self.width / 2.0, area.top + 52.0), text);
        self.top = area.bottom() + 4.0;
    }

    /// The complete `svg` element. With a theme it is a standalone file.
    pub(crate) fn finish(self, description: &str, theme: Option<Theme>) -> String {
        let (width, height) = (Self::number(self.width), Self::number(self.top + 4.0));
        let description = text::escaped(description);
        let start =
            format!("<svg class=\"cx\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{description}\"");
        match theme {
            None => format!("{start}>{}</svg>", self.body),
            Some(theme) => format!(
                "{start} xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\">\
                 <style>{}</style><rect class=\"bg\" width=\"{width}\" height=\"{height}\"/>{}</svg>",
                style::stylesheet(Some(theme)),
                self.body
            ),
        }
    }
}
