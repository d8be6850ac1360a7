//! The gallery of charts in `docs/` is what the program makes of `tests/projects/gallery`.
//!
//! `UPDATE_GOLDEN=1 cargo test --test reports gallery` makes the pages anew; look at them before you commit them.

use std::fs;
use std::path::Path;

use crate::program::{Project, root};

const PAGES: [(&str, &str); 2] = [("gallery", "docs/gallery.html"), ("gallery_zh", "docs/gallery.zh-CN.html")];

/// The page of a report, made at a fixed instant.
fn page(report: &str, data: &Path) -> String {
    let output = Project::of_tests("gallery", data)
        .command(&["run", report, "-f", "html"])
        .env("SOURCE_DATE_EPOCH", "1748764800")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no check fails");
    String::from_utf8(output.stdout).expect("a page is UTF-8")
}

#[test]
fn the_gallery_is_what_the_program_makes() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for (report, path) in PAGES {
        let page = page(report, data.path());
        let path = root().join(path);
        if is_update {
            fs::write(&path, page).expect("the gallery can be written");
            continue;
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        let differs = page.lines().zip(known.lines()).position(|(new, old)| new != old);
        assert!(page == known, "{} differs, first in line {differs:?}; see the top of gallery.rs", path.display());
    }
}

/// The pictures in `docs/reports.md`: the section of the gallery that each shows.
const PICTURES: [(&str, &str); 4] = [("figures", "1"), ("bars", "3"), ("line", "9"), ("heatmap", "16")];

#[test]
fn the_pictures_of_the_docs_are_made_by_the_program() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let docs = fs::read_to_string(root().join("docs/reports.md")).expect("there is docs/reports.md");
    for (name, section) in PICTURES {
        let made = data.path().join("made.png");
        let output = Project::of_tests("gallery", data.path())
            .command(&["run", "gallery", "--section", section, "-o", &made.display().to_string()])
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made = fs::read(&made).expect("a picture is made");
        let path = root().join(format!("docs/img/{name}.png"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(root().join("docs/img")).expect("docs/img can be made");
            fs::write(&path, &made).expect("a picture can be written");
        }
        let known = fs::read(&path).unwrap_or_default();
        // the header of a PNG holds its width and height; pixels may differ by a shade from machine to machine
        assert_eq!(made.get(..24), known.get(..24), "docs/img/{name}.png is not what the program makes");
        assert!(docs.contains(&format!("img/{name}.png")), "{name} is in no document");
    }
}

#[test]
fn every_kind_of_chart_is_in_the_gallery() {
    let sql =
        fs::read_to_string(root().join("tests/projects/gallery/sql/gallery.sql")).expect("the gallery can be read");
    for kind in [
        "bar",
        "line",
        "area",
        "scatter",
        "heatmap",
        "histogram",
        "box",
        "pie",
        "funnel",
        "pareto",
        "sparkline",
        "figure",
    ] {
        assert!(sql.contains(&format!("-- chart: {kind} ")), "{kind}");
    }
    let page = fs::read_to_string(root().join("docs/gallery.html")).expect("there is docs/gallery.html");
    let charts = sql.matches("-- chart:").count();
    // each for a wide and for a narrow screen, and with its table
    assert_eq!(page.matches("<svg class=\"cx wide\"").count(), charts);
    assert_eq!(page.matches("<svg class=\"cx narrow\"").count(), charts);
    assert_eq!(page.matches("<table").count(), charts);
}
