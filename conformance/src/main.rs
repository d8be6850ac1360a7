//! Compares cxql's session with stock DataFusion.
//!
//! ```text
//!  cxql-conformance record stock|cxql DIR OUT    runs the SQL logic tests below DIR, writes one line per record
//!  cxql-conformance compare STOCK CXQL LIST      compares two such files, fails on a difference that LIST does not explain
//!  cxql-conformance pipe                         statements as JSON lines on stdin, answers on stdout (see fuzz/)
//! ```
//! `conformance/run` calls them one after the other. docs/trust.md says what is compared and what was found.
#![expect(clippy::print_stdout, reason = "a command line tool")]

mod compare;
mod pipe;
mod record;
mod session;
mod values;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cxql-conformance record stock|cxql DIR OUT | compare STOCK CXQL LIST | pipe";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let outcome = match arguments.as_slice() {
        ["record", session, folder, output] => match session::Kind::parse(session) {
            Some(kind) => record::run(kind, Path::new(folder), Path::new(output)).await,
            None => Err(format!("no session `{session}`; {USAGE}")),
        },
        ["compare", stock, cxql, list] => compare::run(Path::new(stock), Path::new(cxql), Path::new(list)),
        ["pipe"] => pipe::run().await,
        _ => Err(USAGE.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
