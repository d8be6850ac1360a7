//! Runs `cxql` and reads what it prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A project folder and its data.
pub(crate) struct Project {
    folder: PathBuf,
    data: PathBuf,
}

/// A result as text cells; NULL is the empty cell.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Project {
    /// The shipped reports alone over the sample data.
    pub(crate) fn shipped() -> Self {
        Self::over(&root().join("data"))
    }

    /// The shipped reports alone. The folder has no `sql/`, so that what the program carries is run.
    pub(crate) fn over(data: &Path) -> Self {
        Self { folder: root().join("tests/projects"), data: data.to_path_buf() }
    }

    /// A project in any folder.
    pub(crate) fn at(folder: &Path, data: &Path) -> Self {
        Self { folder: folder.to_path_buf(), data: data.to_path_buf() }
    }

    /// A project below `tests/projects`.
    pub(crate) fn of_tests(name: &str, data: &Path) -> Self {
        Self::at(&root().join("tests/projects").join(name), data)
    }

    /// The program in this project.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cxql"));
        command.args(args).arg("--project").arg(&self.folder).arg("--data").arg(&self.data).env_remove("CXQL_CONFIG");
        command
    }

    /// Runs the program in this project.
    pub(crate) fn cxql(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }

    /// Standard output of a run that succeeds.
    pub(crate) fn output(&self, args: &[&str]) -> String {
        let output = self.cxql(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cxql {args:?} ends with {}:\n{errors}", output.status);
        String::from_utf8(output.stdout).expect("the output is UTF-8")
    }

    /// The result of a report; `section` counts from 1.
    pub(crate) fn run(&self, report: &str, section: usize, params: &[&str]) -> Table {
        let section = section.to_string();
        let mut args = vec!["run", report, "--section", &section, "-f", "csv"];
        for param in params {
            args.extend(["-p", param]);
        }
        Table::parse(&self.output(&args))
    }

    /// The result of a query.
    pub(crate) fn query(&self, sql: &str) -> Table {
        Table::parse(&self.output(&["query", sql, "-f", "csv"]))
    }
}

impl Table {
    /// Parses CSV with a header line.
    pub(crate) fn parse(text: &str) -> Self {
        let mut rows = vec![vec![String::new()]];
        let mut is_quoted = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let row = rows.last_mut().expect("there is a row");
            let cell = row.last_mut().expect("there is a cell");
            match c {
                '"' if is_quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    cell.push('"');
                }
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => row.push(String::new()),
                '\r' if !is_quoted => {}
                '\n' if !is_quoted => rows.push(vec![String::new()]),
                c => cell.push(c),
            }
        }
        if rows.last().is_some_and(|row| row.len() == 1 && row[0].is_empty()) {
            rows.pop();
        }
        let mut rows = rows.into_iter();
        let columns = rows.next().expect("the result has a header");
        let rows: Vec<_> = rows.collect();
        assert!(rows.iter().all(|row| row.len() == columns.len()), "a row of another length in\n{text}");
        Self { columns, rows }
    }

    fn at(&self, column: &str) -> usize {
        let found = self.columns.iter().position(|name| name == column);
        found.unwrap_or_else(|| panic!("no column `{column}` in {:?}", self.columns))
    }

    /// The cells of a column.
    pub(crate) fn texts(&self, column: &str) -> Vec<&str> {
        let at = self.at(column);
        self.rows.iter().map(|row| row[at].as_str()).collect()
    }

    /// The numbers of a column.
    pub(crate) fn numbers(&self, column: &str) -> Vec<f64> {
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("`{text}` in `{column}` is no number"));
        self.texts(column).into_iter().map(number).collect()
    }

    /// The rows that have these values.
    pub(crate) fn filter(&self, values: &[(&str, &str)]) -> Self {
        let has = |row: &&Vec<String>| values.iter().all(|(column, value)| row[self.at(column)] == *value);
        Self { columns: self.columns.clone(), rows: self.rows.iter().filter(has).cloned().collect() }
    }

    /// A number of the only row that has these values.
    pub(crate) fn number(&self, values: &[(&str, &str)], column: &str) -> f64 {
        let found = self.filter(values);
        assert_eq!(found.rows.len(), 1, "rows with {values:?} in {:?}", self.rows);
        found.numbers(column)[0]
    }

    /// The first rows, and of them only the columns of another table.
    pub(crate) fn like(&self, other: &Self, row_count: usize) -> Self {
        let at: Vec<usize> = other.columns.iter().map(|column| self.at(column)).collect();
        let rows = self.rows.iter().take(row_count).map(|row| at.iter().map(|at| row[*at].clone()).collect()).collect();
        Self { columns: other.columns.clone(), rows }
    }

    /// Fails unless both tables have the same columns and rows; numbers may differ by `tolerance` of their size.
    pub(crate) fn assert_equal(&self, expected: &Self, tolerance: f64, what: &str) {
        assert_eq!(self.columns, expected.columns, "{what}: columns");
        for (at, (row, wanted)) in self.rows.iter().zip(&expected.rows).enumerate() {
            let is_equal = row.iter().zip(wanted).all(|(cell, wanted)| is_close(cell, wanted, tolerance));
            assert!(is_equal, "{what}, row {}: got {row:?}, wanted {wanted:?}", at + 1);
        }
        assert_eq!(self.rows.len(), expected.rows.len(), "{what}: number of rows");
    }
}

/// The scripts in `tests/expected` write twelve digits.
const TOLERANCE: f64 = 1e-9;

/// Figures that a script in `tests/expected` computed without the program.
fn expected(name: &str) -> Table {
    let path = root().join("tests/expected").join(name);
    Table::parse(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// A result has the expected columns, and the expected rows first and in their order.
pub(crate) fn assert_begins(result: &Table, name: &str) {
    let expected = expected(name);
    result.like(&expected, expected.rows.len()).assert_equal(&expected, TOLERANCE, name);
}

/// A result has the expected columns, and the expected rows and no other.
pub(crate) fn assert_is(result: &Table, name: &str) {
    let expected = expected(name);
    result.like(&expected, usize::MAX).assert_equal(&expected, TOLERANCE, name);
}

fn is_close(cell: &str, wanted: &str, tolerance: f64) -> bool {
    match (cell.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(cell), Ok(wanted)) => (cell - wanted).abs() <= tolerance * wanted.abs().max(1.0),
        _ => cell == wanted,
    }
}

#[test]
fn csv_is_read_with_quotes_and_line_breaks() {
    let table = Table::parse("a,b\n\"x, \"\"y\"\"\",1\n\"two\nlines\",\n");
    assert_eq!(table.texts("a"), ["x, \"y\"", "two\nlines"]);
    assert_eq!(table.texts("b"), ["1", ""]);
}

#[test]
fn numbers_are_equal_within_the_tolerance_and_texts_exactly() {
    assert!(is_close("0.3000000001", "0.3", 1e-9) && !is_close("0.31", "0.3", 1e-9));
    assert!(is_close("a", "a", 1.0) && !is_close("a", "b", 1.0) && !is_close("", "0", 1.0));
}
