//! The last sheet of a workbook: what the figures are, so that a workbook that is passed on explains itself.

use datafusion::arrow::datatypes::SchemaRef;
use rust_xlsxwriter::{Format as CellFormat, Workbook, XlsxError};

use super::MAX_TEXT;

/// A row of the sheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AboutRow {
    /// A heading, with an empty row above it.
    Heading(String),
    /// Cells from the first column on.
    Cells(Vec<String>),
}

/// Makes the rows from the names and schemas of the data sheets.
pub(crate) type AboutRows = Box<dyn FnOnce(&[(String, SchemaRef)]) -> Vec<AboutRow> + Send>;

/// The sheet's content. The rows are asked for at the end, when the checks have run, with the name and the columns of
/// each data sheet.
pub(crate) struct AboutSheet {
    /// Its name.
    pub name: String,
    /// Makes its rows.
    pub rows: AboutRows,
}

impl std::fmt::Debug for AboutSheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AboutSheet").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Widths of the columns, in characters; those after them have the last.
const WIDTHS: [u32; 4] = [30, 44, 44, 60];

/// Adds the sheet behind the others.
pub(super) fn add(workbook: &mut Workbook, name: &str, rows: &[AboutRow]) -> Result<(), XlsxError> {
    let (bold, wrapped) = (CellFormat::new().set_bold(), CellFormat::new().set_text_wrap());
    let worksheet = workbook.add_worksheet();
    worksheet.set_name(name)?;
    for (column, width) in (0..).zip(WIDTHS) {
        worksheet.set_column_width(column, width)?;
    }
    let mut at = 0;
    for row in rows {
        match row {
            AboutRow::Heading(text) => {
                at += u32::from(at > 0);
                worksheet.write_string_with_format(at, 0, cut(text), &bold)?;
            }
            AboutRow::Cells(cells) => {
                for (column, text) in (0..).zip(cells).filter(|(_, text)| !text.is_empty()) {
                    worksheet.write_string_with_format(at, column, cut(text), &wrapped)?;
                }
            }
        }
        at += 1;
    }
    Ok(())
}

/// The text as far as a cell holds it.
fn cut(text: &str) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, character)| {
        units += character.len_utf16();
        units > MAX_TEXT
    });
    end.map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}
