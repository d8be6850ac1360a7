//! Heat maps: two categories, and a value shown as the intensity of a colour.

use std::collections::HashSet;

use crate::canvas::{Anchor, Area, Canvas, LINE};
use crate::style::{HIGH_STEP, STEPS};
use crate::{Plot, Size, axis, grid, scale, text};

/// Limit of columns and of rows.
const MOST: usize = 120;

pub(crate) fn draw(canvas: &mut Canvas, plot: &Plot, size: Size) -> bool {
    let Some(cells) = grid::cells(plot) else { return false };
    let columns = cells.columns.len().min(MOST);
    let rows = cells.rows.len().min(MOST);
    let values = || cells.cells.iter().map(|(_, _, value)| *value);
    let (low, high, _) = axis::reach(values(), false, 5, plot.form);
    let step_of = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 1.0 };
        ((share * STEPS as f64) as usize).min(STEPS - 1)
    };
    legend(canvas, plot, low, high);
    let widest = cells.rows.iter().take(rows).map(|name| text::width(name, text::SIZE)).fold(0.0, f64::max);
    let left = (widest + 12.0).min(size.width() * 0.35);
    let wide = ((canvas.width - left - 4.0) / columns as f64).min(72.0);
    let tall = (wide * 0.9).clamp(if size == Size::Wide { 24.0 } else { 20.0 }, 36.0);
    let top = canvas.top + 4.0;
    let gap = if wide > 14.0 { 2.0 } else { 1.0 };
    let formatted: Vec<String> = cells.cells.iter().map(|(_, _, value)| short(plot, *value)).collect();
    let longest = formatted.iter().map(|formatted| text::width(formatted, 11.0)).fold(0.0, f64::max);
    let has_texts = longest + 6.0 <= wide;
    let known: HashSet<(usize, usize)> = cells.cells.iter().map(|(column, row, _)| (*column, *row)).collect();
    for row in 0..rows {
        for column in (0..columns).filter(|column| !known.contains(&(*column, row))) {
            canvas.rect("e", cell_area(left, top, wide, tall, gap, column, row), 2.0, None);
        }
    }
    for ((column, row, value), formatted) in
        cells.cells.iter().zip(&formatted).filter(|((c, r, _), _)| *c < columns && *r < rows)
    {
        let area = cell_area(left, top, wide, tall, gap, *column, *row);
        let step = step_of(*value);
        let full = plot.form.value(*value, plot.language);
        let tip = format!("{}, {}: {full}", cells.rows[*row], cells.columns[*column]);
        canvas.rect(&format!("h{step}"), area, 2.0, Some(&tip));
        if has_texts {
            let class = if step >= HIGH_STEP { "ts to" } else { "ts tl" };
            canvas.text(
                class,
                Anchor::Middle,
                (area.left + area.width / 2.0, area.top + area.height / 2.0 + 4.0),
                formatted,
            );
        }
    }
    for (row, name) in cells.rows.iter().take(rows).enumerate() {
        let middle = top + tall * (row as f64 + 0.5);
        canvas.label("", Anchor::End, (left - 7.0, middle + 4.0), name, left - 9.0);
    }
    let longest = cells.columns.iter().map(|name| text::width(name, 11.0)).fold(0.0, f64::max);
    let every = if longest + 6.0 <= wide { 1 } else { nice_every((longest.min(80.0) + 6.0) / wide) };
    let bottom = top + tall * rows as f64;
    for (column, name) in cells.columns.iter().take(columns).enumerate().step_by(every) {
        let middle = left + wide * (column as f64 + 0.5);
        canvas.label("ts", Anchor::Middle, (middle, bottom + 14.0), name, wide * every as f64);
    }
    canvas.top = bottom + 18.0;
    if let Some(x) = &plot.x {
        canvas.label(
            "ts",
            Anchor::Middle,
            (left + wide * columns as f64 / 2.0, canvas.top + 11.0),
            &x.label(),
            canvas.width - left,
        );
        canvas.top += LINE;
    }
    let (all_columns, all_rows) = (cells.columns.len(), cells.rows.len());
    if all_columns > columns || all_rows > rows {
        canvas.note(&plot.language.shown(columns * rows, all_columns * all_rows));
    }
    true
}

fn cell_area(left: f64, top: f64, wide: f64, tall: f64, gap: f64, column: usize, row: usize) -> Area {
    Area { left: left + wide * column as f64, top: top + tall * row as f64, width: wide - gap, height: tall - gap }
}

/// The label of a cell, with few digits.
fn short(plot: &Plot, value: f64) -> String {
    match plot.form {
        crate::Form::Percent => format!("{:.0}%", value * 100.0),
        crate::Form::Number if value.abs() >= 100.0 => plot.form.value(value.round(), plot.language),
        form => form.value(value, plot.language),
    }
}

/// The interval between labels: every second, third, fourth, sixth or twelfth.
fn nice_every(least: f64) -> usize {
    [1, 2, 3, 4, 6, 12, 24].into_iter().find(|every| *every as f64 >= least).unwrap_or(24)
}

/// The colour scale from low to high.
fn legend(canvas: &mut Canvas, plot: &Plot, low: f64, high: f64) {
    let top = canvas.top + 2.0;
    let measure = plot.value.as_ref().map(crate::Column::label).unwrap_or_default();
    let step = (high - low) / STEPS as f64;
    let tick = |value: f64| scale::ticks(value, value, step.max(1e-9), plot.form, plot.language).pop();
    let ends = [low, high].map(|value| match plot.form {
        crate::Form::Number | super::Form::Percent => plot.form.tick(value, high - low, plot.language),
        _ => tick(value).map(|tick| tick.text).unwrap_or_default(),
    });
    let [low_text, high_text] = ends;
    let size = 13.0;
    let name_room = (canvas.width * 0.45).min(text::width(&measure, text::SIZE) + 6.0);
    canvas.label("ts", Anchor::Start, (4.0, top + 10.0), &measure, name_room);
    let mut left = 4.0 + name_room + 8.0;
    canvas.text("ts", Anchor::Start, (left, top + 10.0), &low_text);
    left += text::width(&low_text, 11.0) + 6.0;
    for step in 0..STEPS {
        canvas.rect(&format!("h{step}"), Area { left, top, width: size, height: 12.0 }, 0.0, None);
        left += size;
    }
    canvas.text("ts", Anchor::Start, (left + 6.0, top + 10.0), &high_text);
    canvas.top = top + 20.0;
}
