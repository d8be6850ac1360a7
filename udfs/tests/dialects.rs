//! `docs/dialects.md` and its Chinese twin: every figure that they show is what the functions give for the rows that they show.

use std::collections::BTreeSet;
use std::path::Path;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Float64Type;
use datafusion::prelude::SessionContext;

const PAGES: [&str; 2] = ["dialects.md", "dialects.zh-CN.md"];

/// A row of a table of the page: a product, a call in code, and the figure that the page shows for it.
struct Claim {
    product: String,
    call: String,
    figure: String,
}

fn read(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of SQL of a page, in order.
fn statements(text: &str) -> Vec<String> {
    text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The rows of the tables whose second cell is a call in code.
fn claims(text: &str) -> Vec<Claim> {
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let claim = |line: &str| match cells(line).as_slice() {
        [product, call, figure, ..] if call.starts_with('`') && call.ends_with(")`") => {
            Some(Claim { product: product.clone(), call: call.trim_matches('`').to_owned(), figure: figure.clone() })
        }
        _ => None,
    };
    text.lines().filter(|line| line.starts_with("| ")).filter_map(claim).collect()
}

/// The table over which a call is made: contacts have waits, stretches of agents do not.
fn table(call: &str) -> &'static str {
    if call.starts_with("occupancy") { "agent_time" } else { "contacts" }
}

#[tokio::test]
async fn every_figure_of_the_pages_is_computed_from_their_rows() {
    for page in PAGES {
        let text = read(page);
        let ctx = SessionContext::new();
        cxql_udfs::register_all(&mut *ctx.state_ref().write()).unwrap();
        for statement in statements(&text) {
            ctx.sql(&statement)
                .await
                .unwrap_or_else(|error| panic!("{page}: {statement}: {error}"))
                .collect()
                .await
                .unwrap();
        }
        let claims = claims(&text);
        assert!(claims.len() >= 20, "{page} shows {} figures", claims.len());
        for Claim { product, call, figure } in claims {
            let sql = format!("select {call} from {}", table(&call));
            let batches = ctx.sql(&sql).await.unwrap_or_else(|error| panic!("{page}: {sql}: {error}"));
            let batches = batches.collect().await.unwrap();
            let got = batches[0].column(0).as_primitive::<Float64Type>().value(0);
            let decimals = figure.split('.').nth(1).map_or(0, str::len);
            assert_eq!(format!("{got:.decimals$}"), figure, "{page}: {product}, {call}");
        }
    }
}

#[test]
fn both_pages_show_the_same_calls_and_figures() {
    let shown = PAGES.map(|page| {
        let claims = claims(&read(page)).into_iter().map(|claim| (claim.call, claim.figure));
        claims.collect::<BTreeSet<_>>()
    });
    assert_eq!(shown[0], shown[1]);
    assert_eq!(statements(&read(PAGES[0])), statements(&read(PAGES[1])));
}

/// The names of the dialects, as a wrong one lists them.
#[tokio::test]
async fn every_dialect_is_on_the_page() {
    let ctx = SessionContext::new();
    cxql_udfs::register_all(&mut *ctx.state_ref().write()).unwrap();
    let text = read(PAGES[0]);
    for call in [
        "service_level(1, false, 20, '?', 5)",
        "abandonment_rate(false, 1, 5, '?')",
        "aht(1, 1, 1, false, '?')",
        "occupancy(1, 1, 1, '?')",
    ] {
        let result = match ctx.sql(&format!("select {call}")).await {
            Ok(frame) => frame.collect().await.map(|_| ()),
            Err(error) => Err(error),
        };
        let message = result.unwrap_err().to_string();
        let names = message.split("one of ").nth(1).unwrap().split(", got").next().unwrap().replace(" or ", ", ");
        let function = call.split('(').next().unwrap();
        for name in names.split(", ") {
            let is_shown = claims(&text)
                .iter()
                .any(|claim| claim.call.starts_with(function) && claim.call.contains(&format!("'{name}'")));
            assert!(is_shown, "{function}: the page shows no figure of '{name}'");
        }
    }
}
