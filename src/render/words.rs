//! Labels of pages and mails in English and Chinese.

use cxql_chart::{Form, Language};

/// The labels of one language.
pub(super) struct Words {
    pub(super) parameters: &'static str,
    pub(super) newest: &'static str,
    pub(super) no_time: &'static str,
    pub(super) empty: &'static str,
    pub(super) generated: &'static str,
    pub(super) at: &'static str,
    pub(super) report: &'static str,
    pub(super) grain: &'static str,
    pub(super) contents: &'static str,
    pub(super) notes: &'static str,
    pub(super) checks: &'static str,
    pub(super) definitions: &'static str,
    pub(super) sql: &'static str,
    pub(super) made_by: &'static str,
    pub(super) table: fn(usize) -> String,
    pub(super) left_out: fn(usize) -> String,
    pub(super) checks_short: fn(usize, usize) -> String,
    pub(super) holds: fn(u64) -> String,
    pub(super) fails: fn(u64, u64) -> String,
    /// The label of a section of a function's documentation.
    pub(super) label: fn(&str) -> &str,
}

fn count(count: u64) -> String {
    Form::Number.tick(count as f64, 1.0, Language::English)
}

const ENGLISH: Words = Words {
    parameters: "Parameters",
    newest: "Data up to",
    no_time: "has no times",
    empty: "no rows",
    generated: "Generated",
    at: "at",
    report: "report",
    grain: "grain",
    contents: "Contents",
    notes: "Notes",
    checks: "Checks",
    definitions: "Definitions",
    sql: "SQL",
    made_by: "Made by",
    table: |rows| if rows == 1 { "Table, 1 row".into() } else { format!("Table, {} rows", count(rows as u64)) },
    left_out: |rows| format!("{} rows more are not drawn.", count(rows as u64)),
    checks_short: |good, all| format!("{good} of {all} checks hold"),
    holds: |rows| format!("holds for {} rows", count(rows)),
    fails: |failed, rows| format!("fails for {} of {} rows, first:", count(failed), count(rows)),
    label: |label| label,
};

const CHINESE: Words = Words {
    parameters: "参数",
    newest: "数据截至",
    no_time: "无时间列",
    empty: "无数据",
    generated: "生成",
    at: "时间",
    report: "报表",
    grain: "粒度",
    contents: "目录",
    notes: "说明",
    checks: "数据检查",
    definitions: "指标定义",
    sql: "SQL 语句",
    made_by: "生成工具",
    table: |rows| format!("数据表，共 {} 行", count(rows as u64)),
    left_out: |rows| format!("另有 {} 行未绘制。", count(rows as u64)),
    checks_short: |good, all| format!("{all} 项检查中 {good} 项通过"),
    holds: |rows| format!("{} 行全部通过", count(rows)),
    fails: |failed, rows| format!("{} 行中 {} 行未通过，首行：", count(rows), count(failed)),
    label: |label| match label {
        "Formula" => "公式",
        "Units" => "单位",
        "NULL" => "空值",
        "Edges" => "边界",
        "Source" => "来源",
        other => other,
    },
};

impl Words {
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }
}
