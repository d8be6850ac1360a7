//! Axes, gridlines and legends.

use crate::canvas::{Anchor, Area, Canvas, LINE};
use crate::scale::{self, Scale, Tick};
use crate::{Form, Language, Plot, Size, style, text};

/// The symbol of a series in a legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swatch {
    Square,
    Line,
    Dot(usize),
}

/// A legend entry: colour, name and symbol.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) shade: Option<usize>,
    pub(crate) name: String,
    pub(crate) swatch: Swatch,
}

/// The entries of a legend; all series without a colour of their own share the last entry.
pub(crate) fn entries(names: &[String], shades: &[Option<usize>], swatch: Swatch, plot: &Plot) -> Vec<Entry> {
    let entry = |(name, shade): (&String, &Option<usize>)| {
        let swatch = if let (Swatch::Dot(_), Some(shade)) = (swatch, shade) { Swatch::Dot(*shade) } else { swatch };
        shade.map(|shade| Entry { shade: Some(shade), name: name.clone(), swatch })
    };
    let mut entries: Vec<Entry> = names.iter().zip(shades).filter_map(entry).collect();
    let rest = shades.iter().filter(|shade| shade.is_none()).count();
    if rest > 0 {
        entries.push(Entry { shade: None, name: plot.language.more(rest), swatch });
    }
    entries
}

/// Draws a legend, wrapped to the width of the canvas.
pub(crate) fn legend(canvas: &mut Canvas, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    const MARK: f64 = 18.0;
    const GAP: f64 = 16.0;
    let most = canvas.width - 24.0;
    let mut left = 4.0;
    let mut baseline = canvas.top + 12.0;
    for entry in entries {
        let name = text::fit(&entry.name, text::SIZE, (most - MARK).min(220.0));
        let width = MARK + text::width(&name, text::SIZE) + GAP;
        if left > 4.0 && left + width - GAP > canvas.width - 4.0 {
            left = 4.0;
            baseline += LINE + 2.0;
        }
        match entry.swatch {
            Swatch::Square => {
                let area = Area { left, top: baseline - 10.0, width: 11.0, height: 11.0 };
                canvas.rect(&style::class('f', entry.shade), area, 2.0, None);
            }
            Swatch::Line => {
                canvas.line(&style::class('l', entry.shade), (left, baseline - 4.0), (left + 14.0, baseline - 4.0));
            }
            Swatch::Dot(shape) => dot(canvas, entry.shade, shape, (left + 6.0, baseline - 4.0), 4.5, None),
        }
        canvas.text("", Anchor::Start, (left + MARK, baseline), &name);
        left += width;
    }
    canvas.top = baseline + 10.0;
}

/// A point. Series differ by shape as well as by colour.
pub(crate) fn dot(
    canvas: &mut Canvas,
    shade: Option<usize>,
    shape: usize,
    at: (f64, f64),
    size: f64,
    tip: Option<&str>,
) {
    let class = style::class('p', shade);
    let n = Canvas::number;
    let (x, y) = at;
    match shape % 4 {
        0 => canvas.circle(&class, at, size, tip),
        1 => {
            let side = size * 1.75;
            canvas.rect(
                &class,
                Area { left: x - side / 2.0, top: y - side / 2.0, width: side, height: side },
                0.0,
                tip,
            );
        }
        2 => {
            let r = size * 1.25;
            let path =
                format!("M{} {}L{} {}L{} {}Z", n(x), n(y - r), n(x + r), n(y + r * 0.75), n(x - r), n(y + r * 0.75));
            canvas.path(&class, &path, tip);
        }
        _ => {
            let r = size * 1.3;
            let path =
                format!("M{} {}L{} {}L{} {}L{} {}Z", n(x), n(y - r), n(x + r), n(y), n(x), n(y + r), n(x - r), n(y));
            canvas.path(&class, &path, tip);
        }
    }
}

/// The range of an axis, with or without zero, and its step.
pub(crate) fn reach(values: impl Iterator<Item = f64>, with_zero: bool, wanted: usize, form: Form) -> (f64, f64, f64) {
    let (mut low, mut high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0, 0.5);
    }
    // include zero when it is close to the range: an axis that just leaves it out would mislead
    if with_zero || (low > 0.0 && low < high * 0.4) {
        low = low.min(0.0);
        high = high.max(0.0);
    }
    if low == high && low == 0.0 {
        return (0.0, 1.0, 0.5);
    }
    let (from, to, step) = scale::nice(low, high, wanted, form);
    // shares end at 0 and 1, scores at -100 and 100, as long as no value is beyond
    let (least, most) = match form {
        Form::Percent if low >= 0.0 && high <= 1.0 => (0.0, 1.0),
        Form::Points if low >= -100.0 && high <= 100.0 => (-100.0, 100.0),
        _ => return (from, to, step),
    };
    (from.max(least), to.min(most), step)
}

/// Draws the caption, the tick labels of the value axis at the left and the gridlines; returns the remaining area.
pub(crate) fn values_at_left(
    canvas: &mut Canvas,
    (form, language): (Form, Language),
    size: Size,
    reach: (f64, f64, f64),
    right: f64,
    caption: &str,
) -> (Area, Scale) {
    let (low, high, step) = reach;
    let ticks = scale::ticks(low, high, step, form, language);
    let widest = ticks.iter().map(|tick| text::width(&tick.text, 11.0)).fold(0.0, f64::max);
    let left = widest + 12.0;
    if !caption.is_empty() {
        canvas.label("ts", Anchor::Start, (4.0, canvas.top + 11.0), caption, canvas.width - 8.0);
        canvas.top += LINE + 2.0;
    }
    let area = Area { left, top: canvas.top + 8.0, width: canvas.width - left - right, height: size.plot_height() };
    let scale = Scale { low, high, from: area.bottom(), to: area.top };
    for tick in &ticks {
        let y = scale.at(tick.value);
        let class = if tick.value == 0.0 { "a" } else { "g" };
        canvas.line(class, (area.left, y), (area.right(), y));
        canvas.text("ts", Anchor::End, (left - 7.0, y + 4.0), &tick.text);
    }
    canvas.top = area.bottom();
    (area, scale)
}

/// Tick labels below the chart, at the positions that `at` returns. Labels that would touch the one before are omitted.
pub(crate) fn marks_below(canvas: &mut Canvas, area: Area, ticks: &[Tick], at: impl Fn(f64) -> f64) {
    let baseline = area.bottom() + 17.0;
    let mut free = f64::NEG_INFINITY;
    let mut has_second = false;
    let mut second_free = f64::NEG_INFINITY;
    for tick in ticks {
        let x = at(tick.value);
        let half = text::width(&tick.text, 11.0) / 2.0;
        let center = x.min(canvas.width - half).max(half);
        canvas.line("a", (x, area.bottom()), (x, area.bottom() + 4.0));
        if center - half < free {
            continue;
        }
        free = center + half + 8.0;
        canvas.text("ts", Anchor::Middle, (center, baseline), &tick.text);
        if let Some(below) = &tick.below {
            let half = text::width(below, 11.0) / 2.0;
            let center = x.min(canvas.width - half).max(half);
            if center - half >= second_free {
                canvas.text("ts", Anchor::Middle, (center, baseline + 14.0), below);
                second_free = center + half + 8.0;
                has_second = true;
            }
        }
    }
    canvas.top = baseline + if has_second { 20.0 } else { 6.0 };
}

/// A caption below the tick labels of a numeric x axis.
pub(crate) fn caption_below(canvas: &mut Canvas, area: Area, caption: &str) {
    canvas.label("ts", Anchor::Middle, (area.left + area.width / 2.0, canvas.top + 10.0), caption, area.width);
    canvas.top += LINE;
}
