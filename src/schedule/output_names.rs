//! Templates of output names: `reports/{job}/{date:%Y}/{scheduled}.html`.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use url::Url;

use crate::output::visible;

/// Values of the template fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct TemplateFields<'a> {
    /// The job's name.
    pub(super) job: &'a str,
    /// The report's name.
    pub(super) report: &'a str,
    /// The report's title.
    pub(super) title: &'a str,
    /// The id of the run.
    pub(super) run: &'a str,
    /// The scheduled time.
    pub(super) scheduled: DateTime<Utc>,
    /// The job's time zone.
    pub(super) zone: Tz,
}

/// Fills in `{job}`, `{report}`, `{title}`, `{run}`, `{scheduled}` (UTC, `20250106T080000Z`), `{date}` and
/// `{date:FORMAT}` (in the job's time zone, as `strftime`).
///
/// # Errors
/// An unclosed brace, an unknown field, an invalid format.
pub(super) fn fill_template(template: &str, fields: TemplateFields<'_>) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((word, after)) = after.split_once('}') else {
            return Err(format!("`{template}`: a `{{` is not closed"));
        };
        rest = after;
        let local = fields.scheduled.with_timezone(&fields.zone);
        match word.split_once(':') {
            None => match word {
                "job" => text.push_str(fields.job),
                "report" => text.push_str(fields.report),
                "title" => text.push_str(fields.title),
                "run" => text.push_str(fields.run),
                "scheduled" => text.push_str(&stamp(fields.scheduled)),
                "date" => text.push_str(&local.format("%Y-%m-%d").to_string()),
                other => {
                    return Err(format!(
                        "`{template}`: `{{{other}}}` is not known; there are {{job}}, {{report}}, {{title}}, {{run}}, \
                         {{scheduled}}, {{date}} and {{date:%Y-%m}}"
                    ));
                }
            },
            Some(("date", format)) if !StrftimeItems::new(format).any(|item| item == Item::Error) => {
                // the format has been validated, so that writing cannot fail
                let _ = write!(text, "{}", local.format(format));
            }
            Some(("date", format)) => return Err(format!("`{template}`: `{format}` is no format such as %Y-%m-%d")),
            Some((other, _)) => {
                return Err(format!("`{template}`: only {{date:...}} takes a format, not {{{other}:...}}"));
            }
        }
    }
    text.push_str(rest);
    Ok(text)
}

/// Fills in the template of an output. Values are parts of names: they contain no separator of folders and nothing that
/// an address interprets. The result of a path has no `..`, and it is below `project` or one of `folders`.
///
/// # Errors
/// Those of [`fill_template`], a path that leaves the project folder.
pub(super) fn fill_output(
    template: &str,
    fields: TemplateFields<'_>,
    project: &Path,
    folders: &[PathBuf],
) -> Result<String, String> {
    let (report, title) = (name_part(fields.report), name_part(fields.title));
    let fields = TemplateFields { report: &report, title: &title, ..fields };
    let name = fill_template(template, fields)?;
    if name.chars().any(|character| character.is_control()) {
        return Err(format!("`{}`: the name has control characters", visible(&name)));
    }
    let is_address = template.contains("://");
    if name.split(['/', '\\']).any(|part| part == "..") {
        return Err(format!("`{name}` has `..`; write the path without it"));
    }
    // `file:///x` is a path in another spelling
    let path = match Url::parse(&name) {
        Ok(url) if is_address && url.scheme() == "file" => {
            let path = url.to_file_path();
            path.map_err(|()| format!("`{name}` is the address of another machine's file; write file:///PATH"))?
        }
        _ if is_address => return Ok(name),
        _ => PathBuf::from(&name),
    };
    if path.is_absolute() || path.has_root() {
        let is_allowed = |folder: &PathBuf| path.starts_with(project.join(folder));
        if !path.starts_with(project) && !folders.iter().any(is_allowed) {
            return Err(format!(
                "`{name}` is outside the project folder; write a path below it, or name the folder in `output_folders` \
                 of [jobs]"
            ));
        }
    }
    Ok(name)
}

/// The first of several outputs that has the name of an earlier one, whatever the spelling: `out/./x.csv` is `out/x.csv`.
pub(super) fn repeated<'a>(names: &'a [String], project: &Path) -> Option<&'a str> {
    let mut seen = HashSet::new();
    let place = |name: &String| match Url::parse(name) {
        Ok(url) if name.contains("://") => url.to_file_path().unwrap_or_else(|()| PathBuf::from(name)),
        _ => project.join(name),
    };
    names.iter().find(|&name| !seen.insert(place(name).components().collect::<PathBuf>())).map(String::as_str)
}

/// A value as a part of a file's name: without separators, characters that an address or another system interprets, and
/// control characters; at most 100 characters, and no name of a folder such as `..`.
fn name_part(value: &str) -> String {
    let is_special = |character: char| character.is_control() || "/\\:*?\"<>|%#&{}".contains(character);
    let shown = visible(value);
    let part: String =
        shown.chars().map(|character| if is_special(character) { '-' } else { character }).take(100).collect();
    let part = part.trim();
    let dots = part.len() - part.trim_start_matches('.').len();
    let part = format!("{}{}", "-".repeat(dots), part.trim_start_matches('.'));
    // 255 bytes are the limit of most systems, with other parts and the ending
    let mut end = part.len().min(200);
    while !part.is_char_boundary(end) {
        end -= 1;
    }
    match part.get(..end) {
        None | Some("") => "-".into(),
        Some(part) => part.into(),
    }
}

/// A timestamp as it is written in names: `20250106T080000Z`.
pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_files_stay_within_the_project_too() {
        let fields = TemplateFields {
            job: "weekly",
            report: "fcr_by_topic",
            title: "FCR",
            run: "weekly-20250105T230000Z",
            scheduled: "2025-01-05T23:00:00Z".parse().unwrap(),
            zone: chrono_tz::UTC,
        };
        let project = tempfile::tempdir().unwrap();
        let address = |path: &Path| Url::from_file_path(path).unwrap().to_string();
        let fill = |name: &str, folders: &[PathBuf]| fill_output(name, fields, project.path(), folders);
        let inside = address(&project.path().join("out/r.csv"));
        assert_eq!(fill(&inside, &[]), Ok(inside.clone()));
        let other = tempfile::tempdir().unwrap();
        let outside = address(&other.path().join("r.csv"));
        assert!(fill(&outside, &[]).unwrap_err().contains("is outside the project folder"));
        assert_eq!(fill(&outside, &[other.path().to_owned()]), Ok(outside.clone()));
        let encoded = address(&project.path().join("out")) + "/%2e%2e/%2e%2e/r.csv";
        assert!(fill(&encoded, &[]).unwrap_err().contains("is outside the project folder"));
        assert!(fill("FILE:///r.csv", &[]).unwrap_err().contains("is outside the project folder"));
        assert!(fill("file://other/r.csv", &[]).is_err());
        assert_eq!(fill("s3://bucket/r.csv", &[]).as_deref(), Ok("s3://bucket/r.csv"));
        let twice = |other: &str| {
            let names = ["out/r.csv".to_owned(), "out/s.csv".to_owned(), other.to_owned()];
            repeated(&names, project.path()).map(str::to_owned)
        };
        for other in ["out/r.csv", "out/./r.csv", "out//r.csv", &address(&project.path().join("out/r.csv"))] {
            assert_eq!(twice(other).as_deref(), Some(other));
        }
        assert_eq!(twice("s3://out/r.csv"), None);
        assert_eq!(twice("out/t.csv"), None);
    }

    #[test]
    fn names_are_filled() {
        let fields = TemplateFields {
            job: "weekly",
            report: "fcr_by_topic",
            title: "FCR",
            run: "weekly-20250105T230000Z",
            scheduled: "2025-01-05T23:00:00Z".parse().unwrap(),
            zone: chrono_tz::Europe::Berlin,
        };
        let fill_template = |template: &str| fill_template(template, fields);
        assert_eq!(
            fill_template("r/{job}/{date:%Y/%m}/{scheduled}.html").unwrap(),
            "r/weekly/2025/01/20250105T230000Z.html"
        );
        assert_eq!(fill_template("{report}-{date}.csv").unwrap(), "fcr_by_topic-2025-01-06.csv");
        assert_eq!(fill_template("latest.html").unwrap(), "latest.html");
        for (template, wanted) in [
            ("{jbo}.csv", "is not known"),
            ("{job", "not closed"),
            ("{date:%Q!}", "no format"),
            ("{job:%Y}", "only {date"),
        ] {
            assert!(fill_template(template).unwrap_err().contains(wanted), "{template}");
        }
    }

    #[test]
    fn outputs_stay_inside_the_project() {
        let fill = |template: &str, title: &str| {
            let fields = TemplateFields {
                job: "weekly",
                report: "r",
                title,
                run: "weekly-20250105T230000Z",
                scheduled: "2025-01-05T23:00:00Z".parse().unwrap(),
                zone: chrono_tz::UTC,
            };
            fill_output(template, fields, Path::new("/srv/care"), &[PathBuf::from("/mnt/share")])
        };
        for (title, wanted) in [
            ("../../etc/x", "out/---..-etc-x.csv"),
            ("/etc/passwd", "out/-etc-passwd.csv"),
            ("..", "out/--.csv"),
            (".hidden", "out/-hidden.csv"),
            ("a\\b:c?d#e%2f", "out/a-b-c-d-e-2f.csv"),
            ("", "out/-.csv"),
            ("满意度 2025", "out/满意度 2025.csv"),
        ] {
            assert_eq!(fill("out/{title}.csv", title).unwrap(), wanted, "{title}");
        }
        let lines = fill("out/{title}.csv", "a\nb\u{1b}[2J\u{202e}").unwrap();
        assert!(!lines.chars().any(char::is_control) && !lines.contains('\u{202e}'), "{lines:?}");
        assert!(fill("{title}.csv", &"满".repeat(500)).unwrap().len() <= 255);
        assert_eq!(fill("s3://b/{title}.csv", "../?x=1").unwrap(), "s3://b/----x=1.csv");
        for template in
            ["../x.csv", "a/../../x.csv", "/etc/x.csv", "/srv/care/../x.csv", "/srv/carex/x.csv", "s3://b/../x.csv"]
        {
            assert!(fill(template, "t").is_err(), "{template}");
        }
        for template in ["/srv/care/out/x.csv", "/mnt/share/x.csv", "out/{date:%Y/%m}/x.csv"] {
            assert!(fill(template, "t").is_ok(), "{template}");
        }
    }
}
