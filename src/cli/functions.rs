//! `cxql functions`.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use cxql_udfs::docs;

use crate::error::{Error, Result};
use crate::source::nearest;

#[derive(Debug, Args)]
pub(super) struct FunctionsArgs {
    /// Show the page of this function
    name: Option<String>,
}

pub(super) async fn run(args: FunctionsArgs) -> Result<ExitCode> {
    let pages = docs::pages();
    if let Some(name) = args.name {
        let Some(page) = docs::page(&name.to_lowercase()) else {
            let near = nearest(&name, pages.iter().map(|page| page.name.as_str()));
            let hint = near.map_or_else(
                || "`cxql functions` lists them; SQL's own functions are documented by DataFusion".to_string(),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(Error::usage(format!("there is no page for the function `{name}`; {hint}")));
        };
        super::print(&format!("{}\n", page.to_text().trim_end()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut family = "";
    let width = pages.iter().map(|page| page.name.len()).max().unwrap_or(0);
    for page in &pages {
        if page.family != family {
            family = &page.family;
            let _ = writeln!(text, "{}{family}", if text.is_empty() { "" } else { "\n" });
        }
        let summary = page.description.lines().next().unwrap_or_default();
        let summary = summary.split_inclusive(". ").next().unwrap_or(summary).trim_end();
        let _ = writeln!(text, "  {:<width$}  {summary}", page.name);
    }
    let _ = writeln!(text, "\n`cxql functions NAME` shows formula, units, NULLs, edges, source and an example.");
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
