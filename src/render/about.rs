//! The rows of a workbook's sheet `About`: what the report shows, with which parameters, from which data and when, what
//! the columns are, what the checks found.

use std::sync::{Arc, PoisonError};

use cxql_chart::Language;
use datafusion::arrow::datatypes::DataType;

use super::words::Words;
use super::{PageFacts, SharedFindings};
use crate::output::{AboutRow, AboutSheet};
use crate::types::type_name;

/// The sheet of a report's or query's facts.
pub(super) fn sheet(facts: PageFacts, findings: &SharedFindings) -> AboutSheet {
    let findings = Arc::clone(findings);
    let name = if facts.language == Language::Chinese { "说明" } else { "About" };
    AboutSheet {
        name: name.into(),
        rows: Box::new(move |sheets| {
            let words = Words::of(facts.language);
            let is_chinese = facts.language == Language::Chinese;
            let mut rows = Vec::new();
            let heading = |text: &str| AboutRow::Heading(text.to_string());
            let cells = |texts: &[&str]| AboutRow::Cells(texts.iter().map(|text| (*text).to_string()).collect());
            rows.push(heading(&facts.title));
            for line in facts.description.iter().flat_map(|text| text.lines()) {
                rows.push(cells(&[line]));
            }
            if let Some(report) = &facts.report {
                rows.push(cells(&[words.report, report]));
            }
            if let Some(grain) = &facts.grain {
                rows.push(cells(&[words.grain, grain]));
            }
            rows.push(cells(&[words.generated, &facts.generated_at]));
            rows.push(cells(&[words.made_by, concat!("cxql ", env!("CARGO_PKG_VERSION"))]));
            for fresh in &facts.freshness {
                let newest = match (&fresh.column, &fresh.newest) {
                    (None, _) => words.no_time,
                    (_, None) => words.empty,
                    (_, Some(newest)) => newest,
                };
                rows.push(cells(&[words.newest, &fresh.table, newest]));
            }
            if !facts.parameters.is_empty() {
                rows.push(heading(words.parameters));
                for (name, value, note) in &facts.parameters {
                    rows.push(cells(&[name, value, note.as_deref().unwrap_or_default()]));
                }
            }
            rows.push(heading(if is_chinese { "列" } else { "Columns" }));
            for (sheet, schema) in sheets {
                for field in schema.fields() {
                    let meaning = meaning(field.name(), field.data_type(), facts.language);
                    rows.push(cells(&[sheet, field.name(), &meaning]));
                }
            }
            let findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
            if !findings.notes.is_empty() {
                rows.push(heading(words.notes));
                rows.extend(findings.notes.iter().map(|note| cells(&[note])));
            }
            if !findings.checks.is_empty() {
                rows.push(heading(words.checks));
                for (text, verdict) in &findings.checks {
                    let outcome = match verdict.failed_count {
                        0 => (words.holds)(verdict.row_count),
                        failed => (words.fails)(failed, verdict.row_count),
                    };
                    rows.push(cells(&[text, &outcome, verdict.first_failed.as_deref().unwrap_or_default()]));
                }
            }
            if !facts.functions.is_empty() {
                rows.push(heading(words.definitions));
                for page in &facts.functions {
                    let more = page.sections.iter().map(|(label, text)| format!("{}: {text}", (words.label)(label)));
                    rows.push(cells(&[&page.name, &page.description, &more.collect::<Vec<_>>().join("\n")]));
                }
            }
            if let Some(sql) = &facts.sql {
                rows.push(heading(words.sql));
                // a line per row: a cell holds 32,767 characters
                rows.extend(sql.lines().map(|line| cells(&[line])));
            }
            rows
        }),
    }
}

/// What the name of a column says of its values.
fn meaning(name: &str, data_type: &DataType, language: Language) -> String {
    let is_chinese = language == Language::Chinese;
    let pick = |english: &'static str, chinese: &'static str| if is_chinese { chinese } else { english };
    let ends = |ending: &str| name.ends_with(ending);
    let word = if ends("_ratio") {
        pick("share of 1, shown in per cent", "比例（以百分数显示）")
    } else if ends("_count") {
        pick("number", "数量")
    } else if ends("_s") {
        pick("seconds", "秒")
    } else if ends("_h") {
        pick("hours", "小时")
    } else if ends("_zscore") || name == "zscore" {
        pick("standard deviations", "标准差的倍数")
    } else if matches!(data_type, DataType::Timestamp(_, Some(_))) || ends("_at") {
        pick("time, UTC unless the column has another zone", "时间（默认 UTC）")
    } else {
        return type_name(data_type);
    };
    format!("{}, {word}", type_name(data_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_name_is_its_unit() {
        assert_eq!(
            meaning("fcr_ratio", &DataType::Float64, Language::English),
            "double, share of 1, shown in per cent"
        );
        assert_eq!(meaning("aht_s", &DataType::Float64, Language::Chinese), "double, 秒");
        assert_eq!(meaning("topic", &DataType::Utf8View, Language::English), "text");
    }
}
