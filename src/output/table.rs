//! Text tables for readers, drawn by `comfy-table`.
//!
//! Numbers are right-aligned, floats of a column have the same number of decimals (at most four; other formats have all
//! digits), NULL is shown as `NULL`, control characters and line breaks are made visible. Of a long result the first
//! and last rows are shown; in a wide one strings are truncated first, then middle columns are omitted. Lines below and
//! within the table say what is missing. Only the rows that are shown are buffered.

use std::collections::VecDeque;

use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use super::text::{self, Times};
use super::{FinishState, Format, OutputError, Result, Sink};

/// Layout of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableOptions {
    /// The width limit.
    pub width: Width,
    /// Rows of a section that are shown, half of them from its end; 0 shows all and buffers them.
    /// Default 40.
    pub max_rows: usize,
    /// Whether headers are bold and NULL is dim.
    pub color: Color,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { width: Width::Auto, max_rows: 40, color: Color::Auto }
    }
}

impl TableOptions {
    /// The width limit in characters; `None` is unlimited.
    pub(crate) fn columns(&self, to_terminal: bool) -> Option<usize> {
        match self.width {
            // a width of 0 is unknown
            Width::Auto if to_terminal => Table::new().width().map(usize::from).filter(|width| *width > 0),
            Width::Auto => None,
            Width::Fixed(width) => Some(usize::from(width)),
        }
    }

    /// Returns true if terminal styles are used.
    pub(crate) fn is_styled(&self, to_terminal: bool) -> bool {
        match self.color {
            #[cfg(test)]
            Color::Always => true,
            Color::Never => false,
            Color::Auto => to_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

/// Width limit of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// The width of the terminal; unlimited elsewhere.
    Auto,
    /// At most this many characters.
    Fixed(u16),
}

/// When terminal styles are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    /// On a terminal, if `NO_COLOR` is not set.
    Auto,
    /// Always, for tests.
    #[cfg(test)]
    Always,
    /// Never.
    Never,
}

/// Light lines, no lines between rows, round corners.
const LINES: &str = "││──├─┼┤│    ┬┴╭╮╰╯";

/// Strings are truncated to this width before a column is omitted.
const LEAST_TEXT: usize = 10;

/// Minimum width of a header.
const LEAST_HEADER: usize = 14;

/// Maximum characters of a cell, even of a table of unlimited width.
const LONGEST_CELL: usize = 10_000;

/// Maximum characters of a header: longer expressions lose their middle.
const LONGEST_HEADER: usize = 60;

/// The width of the placeholder for omitted columns.
const GAP: usize = 1;

#[derive(Debug)]
pub(crate) struct TableSink {
    max_rows: usize,
    width: Option<usize>,
    styled: bool,
    sections: usize,
    section: Option<Section>,
}

/// The buffered rows of a section.
#[derive(Debug)]
struct Section {
    title: Option<String>,
    schema: SchemaRef,
    head: Vec<RecordBatch>,
    head_rows: usize,
    tail: VecDeque<RecordBatch>,
    tail_rows: usize,
    rows: usize,
}

impl TableSink {
    pub(crate) fn new(options: TableOptions, to_terminal: bool) -> Self {
        let (width, styled) = (options.columns(to_terminal), options.is_styled(to_terminal));
        Self { max_rows: options.max_rows, width, styled, sections: 0, section: None }
    }

    /// The numbers of rows that are shown from the start and from the end.
    fn shares(&self) -> (usize, usize) {
        match self.max_rows {
            0 => (usize::MAX, 0),
            most => (most.div_ceil(2), most / 2),
        }
    }
}

impl Sink for TableSink {
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, _: &mut Vec<u8>) -> Result<()> {
        self.section = Some(Section {
            title: title.map(text::visible),
            schema: SchemaRef::clone(schema),
            head: Vec::new(),
            head_rows: 0,
            tail: VecDeque::new(),
            tail_rows: 0,
            rows: 0,
        });
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        let (first, last) = self.shares();
        let Some(section) = &mut self.section else { return Ok(()) };
        let rows = batch.num_rows();
        section.rows += rows;
        let to_head = rows.min(first - section.head_rows);
        if to_head > 0 {
            section.head.push(batch.slice(0, to_head));
            section.head_rows += to_head;
        }
        if rows > to_head {
            section.tail.push_back(batch.slice(to_head, rows - to_head));
            section.tail_rows += rows - to_head;
        }
        // one row above the limit is shown too: the line about one missing row would take as much space
        while section.tail.front().is_some_and(|front| section.tail_rows - front.num_rows() > last) {
            section.tail_rows -= section.tail.pop_front().map_or(0, |front| front.num_rows());
        }
        Ok(())
    }

    fn end_section(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let (_, last) = self.shares();
        let Some(mut section) = self.section.take() else { return Ok(()) };
        if self.sections > 0 {
            out.push(b'\n');
        }
        self.sections += 1;
        let shown = if section.rows - section.head_rows <= last + 1 { section.tail_rows } else { last };
        let mut surplus = section.tail_rows - shown;
        while surplus > 0 {
            let Some(front) = section.tail.pop_front() else { break };
            let drop = surplus.min(front.num_rows());
            surplus -= drop;
            if drop < front.num_rows() {
                section.tail.push_front(front.slice(drop, front.num_rows() - drop));
            }
        }
        out.extend_from_slice(render(&section, self.width, self.styled)?.as_bytes());
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<FinishState> {
        Ok(FinishState::Done)
    }
}

/// A column of the buffered rows.
#[derive(Debug)]
struct Column {
    header: String,
    cells: Vec<Option<String>>,
    at_right: bool,
    can_be_cut: bool,
}

impl Column {
    fn new(section: &Section, index: usize) -> Result<Self> {
        let field = section.schema.field(index);
        let data_type = field.data_type();
        let mut cells = Vec::new();
        let mut floats = Vec::new();
        for batch in section.head.iter().chain(&section.tail) {
            let column = batch.column(index);
            let nulls = column.logical_nulls();
            let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            if column.data_type().is_floating() {
                // via the shortest decimal representation: a direct cast of a 32-bit float adds digits
                let wide = match column.data_type() {
                    DataType::Float64 => cast(column, &DataType::Float64),
                    _ => cast(column, &DataType::Utf8).and_then(|texts| cast(&texts, &DataType::Float64)),
                };
                let wide = wide.map_err(|source| OutputError::encode(Format::Table, source))?;
                let wide = wide.as_primitive::<Float64Type>();
                floats.extend((0..wide.len()).map(|row| (!is_null(row)).then(|| wide.value(row))));
                continue;
            }
            // a value that cannot be formatted does not fail the table
            let options = text::options(column.data_type(), Times::Spaced).with_display_error(true);
            let formatter = text::formatter(Format::Table, column, &options)?;
            for row in 0..column.len() {
                cells.push((!is_null(row)).then(|| text::shortened(&formatter.value(row).to_string(), LONGEST_CELL)));
            }
        }
        if !floats.is_empty() {
            let decimals = floats.iter().flatten().filter_map(|value| text::decimals(*value)).max().unwrap_or(1);
            cells = floats.into_iter().map(|value| value.map(|value| text::aligned(value, decimals))).collect();
        }
        let at_right = text::is_number(data_type);
        let can_be_cut = !(at_right || data_type.is_temporal() || *data_type == DataType::Boolean);
        Ok(Self { header: text::visible(&short_header(field.name())), cells, at_right, can_be_cut })
    }
}

/// A header without its middle if it is long: the end of an expression tells it from others that begin as it does.
fn short_header(name: &str) -> String {
    let count = name.chars().count();
    if count <= LONGEST_HEADER {
        return name.to_owned();
    }
    let (first, last) = (LONGEST_HEADER * 2 / 3, LONGEST_HEADER - LONGEST_HEADER * 2 / 3 - 1);
    let head: String = name.chars().take(first).collect();
    let tail: String = name.chars().skip(count - last).collect();
    format!("{}…{}", head.trim_end(), tail.trim_start())
}

/// Preferred and minimum width of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Need {
    natural: usize,
    least: usize,
}

/// A column of the drawn table.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    Column { index: usize, width: usize },
    Gap,
}

/// The width of a table with columns of these widths, including padding and lines.
fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + 3).sum::<usize>() + 1
}

/// Chooses the columns that are shown, and their widths.
fn layout(needs: &[Need], width: Option<usize>) -> Vec<Slot> {
    let all: Vec<usize> = (0..needs.len()).collect();
    let Some(width) = width else { return fill(needs, &all, usize::MAX) };
    let least = |kept: &[usize]| total(kept.iter().filter_map(|index| needs.get(*index)).map(|need| need.least));
    if least(&all) <= width {
        return fill(needs, &all, width);
    }
    for count in (1..needs.len()).rev() {
        let (left, right) = (count.div_ceil(2), count / 2);
        let mut kept: Vec<usize> = (0..left).chain(needs.len() - right..needs.len()).collect();
        if least(&kept) + GAP + 3 <= width || count == 1 {
            let right = kept.split_off(left);
            let count = kept.len();
            kept.extend(right);
            let mut slots = fill(needs, &kept, width.saturating_sub(GAP + 3));
            slots.insert(count, Slot::Gap);
            return slots;
        }
    }
    fill(needs, &all, width)
}

/// Distributes the width over the columns: the widest are reduced first, none below its minimum unless it is the only
/// one.
fn fill(needs: &[Need], kept: &[usize], width: usize) -> Vec<Slot> {
    let kept: Vec<(usize, Need)> = kept.iter().filter_map(|index| Some((*index, *needs.get(*index)?))).collect();
    let at = |cap: usize| kept.iter().map(move |(_, need)| need.natural.min(cap.max(need.least)));
    let fits = |cap: usize| total(at(cap)) <= width;
    let most = kept.iter().map(|(_, need)| need.natural).max().unwrap_or(0);
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    let mut room = width.saturating_sub(total(at(low)));
    let widths: Vec<usize> = at(low).collect();
    let alone = kept.len() == 1;
    kept.iter()
        .zip(widths)
        .map(|((index, need), mut slot)| {
            if slot < need.natural && room > 0 {
                slot += 1;
                room -= 1;
            }
            if alone {
                slot = slot.min(width.saturating_sub(4)).max(1);
            }
            Slot::Column { index: *index, width: slot }
        })
        .collect()
}

/// The maximum display width of the strings.
fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    let mut table = Table::new();
    table.force_no_tty();
    for text in texts {
        table.add_row(Row::from(vec![Cell::new(text)]));
    }
    table.column_max_content_widths().first().copied().map_or(1, usize::from)
}

fn render(section: &Section, width: Option<usize>, styled: bool) -> Result<String> {
    let mut drawn = String::new();
    if let Some(title) = &section.title {
        drawn += &if styled { format!("\x1b[1m{title}\x1b[0m\n") } else { format!("{title}\n") };
    }
    let mut columns: Vec<Column> =
        (0..section.schema.fields().len()).map(|index| Column::new(section, index)).collect::<Result<_>>()?;
    let cells: Vec<usize> = columns
        .iter()
        .map(|column| widest(column.cells.iter().map(|cell| cell.as_deref().unwrap_or("NULL"))))
        .collect();
    let needs_of = |columns: &[Column]| -> Vec<Need> {
        let need = |(column, cells): (&Column, &usize)| {
            let header = widest(column.header.lines());
            let natural = header.max(*cells);
            let least = if column.can_be_cut {
                LEAST_TEXT.max(header.min(LEAST_HEADER))
            } else {
                header.min(LEAST_HEADER).max(*cells)
            };
            Need { natural, least: least.min(natural) }
        };
        columns.iter().zip(&cells).map(need).collect()
    };
    let mut needs = needs_of(&columns);
    if width.is_some_and(|width| total(needs.iter().map(|need| need.natural)) > width) {
        for (column, cells) in columns.iter_mut().zip(&cells) {
            column.header = folded(&column.header, *cells);
        }
        needs = needs_of(&columns);
    }
    let slots = layout(&needs, width);
    let tail_rows: usize = section.tail.iter().map(RecordBatch::num_rows).sum();
    let missing = section.rows - section.head_rows - tail_rows;
    if !columns.is_empty() {
        drawn += &draw(&columns, &slots, section.head_rows, missing, styled);
    }
    let rows = format!("{} {}", grouped(section.rows), if section.rows == 1 { "row" } else { "rows" });
    let left_out = columns.len() - slots.iter().filter(|slot| **slot != Slot::Gap).count();
    drawn += &match left_out {
        0 => format!("({rows})\n"),
        1 => format!("({rows}; 1 of {} columns is not shown)\n", columns.len()),
        _ => format!("({rows}; {left_out} of {} columns are not shown)\n", columns.len()),
    };
    Ok(drawn)
}

/// Wraps a header after `_` or a space, so that it is hardly wider than the cells below it.
fn folded(header: &str, cells: usize) -> String {
    let pieces: Vec<&str> = header.split_inclusive(['_', ' ']).collect();
    let longest = pieces.iter().map(|piece| piece.chars().count()).max().unwrap_or(0);
    let target = cells.max(longest);
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if line.chars().count() + piece.chars().count() <= target => line.push_str(piece),
            _ => lines.push(piece.to_owned()),
        }
    }
    lines.join("\n")
}

/// Draws the columns, with a line about the missing rows after the first `head_rows` rows.
fn draw(columns: &[Column], slots: &[Slot], head_rows: usize, missing: usize, styled: bool) -> String {
    let mut table = Table::new();
    table.load_preset(LINES).set_content_arrangement(ContentArrangement::Disabled).set_truncation_indicator("…");
    // truncate at the width limit, not between words: no cell contains this character
    table.set_delimiter('\u{0}').force_no_tty();
    if styled {
        table.enforce_styling();
    }
    let header = slots.iter().map(|slot| match slot {
        Slot::Column { index, .. } => {
            let text = columns.get(*index).map_or("", |column| column.header.as_str());
            Cell::new(text).add_attribute(Attribute::Bold)
        }
        Slot::Gap => Cell::new("…"),
    });
    let header_height = slots
        .iter()
        .filter_map(|slot| match slot {
            Slot::Column { index, .. } => columns.get(*index),
            Slot::Gap => None,
        })
        .map(|column| column.header.lines().count())
        .max()
        .unwrap_or(1)
        .max(1);
    let mut header = Row::from(header.collect::<Vec<_>>());
    header.max_height(header_height);
    table.set_header(header);
    let rows = columns.first().map_or(0, |column| column.cells.len());
    for index in 0..rows {
        if missing > 0 && index == head_rows {
            table.add_row(vec![Cell::new(""); slots.len()]);
        }
        let cells = slots.iter().map(|slot| {
            let Slot::Column { index: column, .. } = slot else { return Cell::new("…") };
            match columns.get(*column).and_then(|column| column.cells.get(index)) {
                Some(Some(text)) => Cell::new(text),
                _ => Cell::new("NULL").add_attribute(Attribute::Dim),
            }
        });
        let mut row = Row::from(cells.collect::<Vec<_>>());
        row.max_height(1);
        table.add_row(row);
    }
    if missing > 0 && rows == head_rows {
        table.add_row(vec![Cell::new(""); slots.len()]);
    }
    for (slot, column) in slots.iter().zip(table.column_iter_mut()) {
        let (width, alignment) = match slot {
            Slot::Column { index, width } => {
                let at_right = columns.get(*index).is_some_and(|column| column.at_right);
                (*width, if at_right { CellAlignment::Right } else { CellAlignment::Left })
            }
            Slot::Gap => (GAP, CellAlignment::Center),
        };
        let width = u16::try_from(width + 2).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::Absolute(comfy_table::Width::Fixed(width)));
        column.set_cell_alignment(alignment);
    }
    let mut drawn = String::new();
    // above the rows are the upper border, the lines of the header and the line below it
    let missing_line = (missing > 0).then_some(2 + header_height + head_rows);
    let mut inner = 0;
    for (index, line) in table.lines().enumerate() {
        if index == 0 {
            inner = line.chars().count().saturating_sub(2);
        }
        if Some(index) == missing_line {
            drawn += &missing_text(missing, inner, styled);
        } else {
            drawn += &line;
        }
        drawn.push('\n');
    }
    drawn
}

fn missing_text(missing: usize, inner: usize, styled: bool) -> String {
    let number = grouped(missing);
    let texts = [format!("⋮ {number} rows not shown ⋮"), format!("⋮ {number} ⋮"), "⋮".to_owned()];
    let text = texts.into_iter().find(|text| text.chars().count() <= inner).unwrap_or_default();
    let room = inner - text.chars().count().min(inner);
    let (before, after) = (" ".repeat(room / 2), " ".repeat(room.div_ceil(2)));
    if styled { format!("│{before}\x1b[2m{text}\x1b[0m{after}│") } else { format!("│{before}{text}{after}│") }
}

/// Formats a number with thousands separators: `1,234`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests;
