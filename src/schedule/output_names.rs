//! Templates of output names: `reports/{job}/{date:%Y}/{scheduled}.html`.

use std::fmt::Write;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

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

/// A timestamp as it is written in names: `20250106T080000Z`.
pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
