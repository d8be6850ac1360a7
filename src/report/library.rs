//! [`Library`]: the shipped reports and views, and those of the project's `sql/` folder, which adds and overrides by
//! name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use include_dir::{Dir, DirEntry, include_dir};

use super::Report;
use crate::error::{Error, Result};
use crate::session::View;
use crate::source::{Source, nearest};

static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/sql");

/// The folder of views below `sql/`.
const VIEWS: &str = "views";

/// An unparsed report.
#[derive(Debug, Clone)]
pub(crate) struct ReportFile {
    /// Its name, that of its file.
    pub name: String,
    /// Its folder, such as `descriptive`.
    pub kind: String,
    /// Its SQL.
    pub source: Arc<Source>,
}

/// The reports and views of a project.
#[derive(Debug, Default)]
pub(crate) struct Library {
    reports: BTreeMap<String, ReportFile>,
    views: BTreeMap<String, View>,
}

impl ReportFile {
    /// Parses it.
    ///
    /// # Errors
    /// As [`Report::parse`].
    pub(crate) fn parse(&self) -> Result<Report> {
        Report::parse(&self.name, &self.source)
    }
}

impl Library {
    /// Loads the shipped files and those of a project's `sql/` folder.
    ///
    /// # Errors
    /// A file that cannot be read or is not UTF-8, or two project files with one name.
    pub(crate) fn load(project_sql: Option<&Path>) -> Result<Self> {
        let mut library = Self::default();
        let mut files = Vec::new();
        shipped(&SHIPPED, &mut files);
        for (path, text) in files {
            let source =
                Source { name: format!("sql/{}", path.display()), path: None, text: text.into(), is_shipped: true };
            library.add(&path, source)?;
        }
        if let Some(folder) = project_sql {
            let mut paths = Vec::new();
            walk(folder, &mut paths)?;
            paths.sort();
            for path in paths {
                let source = read(&path)?;
                let relative = path.strip_prefix(folder).unwrap_or(&path).to_path_buf();
                library.add(&relative, source)?;
            }
        }
        Ok(library)
    }

    fn add(&mut self, relative: &Path, source: Source) -> Result<()> {
        let name = relative.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let kind = relative.parent().map(|folder| folder.to_string_lossy().replace('\\', "/")).unwrap_or_default();
        let source = Arc::new(source);
        let known = if kind == VIEWS {
            self.views
                .insert(name.to_lowercase(), View { name: name.to_lowercase(), source: Arc::clone(&source) })
                .map(|view| view.source)
        } else {
            let file = ReportFile { name: name.clone(), kind, source: Arc::clone(&source) };
            self.reports.insert(name.clone(), file).map(|file| file.source)
        };
        match known {
            Some(known) if !known.is_shipped => Err(Error::usage(format!(
                "two files below sql/ have the name `{name}`: {} and {}; rename one",
                known.name, source.name
            ))),
            _ => Ok(()),
        }
    }

    /// The reports, ordered by kind and name.
    pub(crate) fn reports(&self) -> Vec<&ReportFile> {
        let mut reports: Vec<&ReportFile> = self.reports.values().collect();
        reports.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        reports
    }

    /// The views by name.
    pub(crate) fn views(&self) -> &BTreeMap<String, View> {
        &self.views
    }

    /// Finds a report by name or by the path of its file.
    ///
    /// # Errors
    /// An unknown name, with the nearest one; a file that cannot be read; as [`Report::parse`].
    pub(crate) fn report(&self, name_or_path: &str) -> Result<Report> {
        if let Some(file) = self.reports.get(name_or_path) {
            return file.parse();
        }
        let is_path = name_or_path.ends_with(".sql") || name_or_path.contains(['/', '\\']);
        if is_path {
            let path = Path::new(name_or_path);
            let source = Arc::new(read(path)?);
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            return Report::parse(&name, &source);
        }
        let hint = match nearest(name_or_path, self.reports.keys().map(String::as_str)) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => "; `cxql list` shows all".to_string(),
        };
        let view = if self.views.contains_key(name_or_path) {
            format!("; `{name_or_path}` is a view: `cxql query 'select * from {name_or_path}'`")
        } else {
            String::new()
        };
        Err(Error::usage(format!("there is no report '{name_or_path}'{view}{hint}")))
    }
}

fn shipped(folder: &'static Dir<'static>, files: &mut Vec<(PathBuf, &'static str)>) {
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(inner) => shipped(inner, files),
            DirEntry::File(file) => {
                let is_sql = file.path().extension().is_some_and(|ending| ending == "sql");
                if let Some(text) = file.contents_utf8().filter(|_| is_sql) {
                    files.push((file.path().to_path_buf(), text));
                }
            }
        }
    }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let fault = |cause| Error::Io { action: "read", path: folder.to_path_buf(), cause };
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, paths)?;
        } else if path.extension().is_some_and(|ending| ending == "sql") {
            paths.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Source> {
    let bytes = std::fs::read(path).map_err(|cause| {
        let is_missing = cause.kind() == std::io::ErrorKind::NotFound;
        if is_missing {
            Error::usage(format!("there is no file {}", path.display()))
        } else {
            Error::Io { action: "read", path: path.to_path_buf(), cause }
        }
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::data(format!("{}:{line}: the file is not UTF-8; save it as UTF-8", path.display()))
    })?;
    // strip the byte order mark
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(Source {
        name: path.display().to_string(),
        path: Some(path.to_path_buf()),
        text: text.into(),
        is_shipped: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_overrides_and_adds() {
        let folder = tempfile::tempdir().unwrap();
        let sql = folder.path();
        std::fs::create_dir_all(sql.join("views")).unwrap();
        std::fs::create_dir_all(sql.join("own")).unwrap();
        std::fs::write(sql.join("views/interactions.sql"), "\u{feff}select 1 as interaction_id").unwrap();
        std::fs::write(sql.join("own/kpi_overview.sql"), "select 1 as a").unwrap();
        let library = Library::load(Some(sql)).unwrap();
        assert!(library.views().contains_key("interactions"));
        assert_eq!(library.reports["kpi_overview"].kind, "own");
        std::fs::write(sql.join("kpi_overview.sql"), "select 2 as a").unwrap();
        assert!(Library::load(Some(sql)).unwrap_err().to_string().contains("two files below sql/"));
    }

    #[test]
    fn an_unknown_report_has_a_hint_and_a_file_may_be_named() {
        let library = Library::load(None).unwrap();
        assert!(library.report("kpi_overvew").unwrap_err().to_string().contains("did you mean `kpi_overview`?"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sql");
        std::fs::write(&path, b"select 1;\n-- \xff").unwrap();
        let error = library.report(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("x.sql:2: the file is not UTF-8"), "{error}");
    }

    #[test]
    fn every_shipped_report_parses() {
        for file in Library::load(None).unwrap().reports() {
            file.parse().unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
