//! Statements as JSON lines on stdin, answers as JSON lines on stdout: what the fuzzer talks to.
//!
//! A line `{"session": "stock" | "cxql", "settings": {"name": "value"}, "setup": ["create table ..."], "sql": "..."}` is answered
//! by `{"columns": [[name, type], ...], "rows": [[...]]}` or `{"error": "..."}`. A line with `setup` starts the session anew.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Duration;

use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::{Value, json};

use crate::session::Kind;
use crate::values;

/// Longer runs of one statement are an error.
const LIMIT: Duration = Duration::from_secs(60);

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect()
}

async fn fresh(kind: Kind, request: &Value) -> Result<SessionContext, String> {
    let mut config = SessionConfig::new();
    for (name, value) in request["settings"].as_object().into_iter().flatten() {
        if !name.starts_with("cxql.") {
            config.options_mut().set(name, value.as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        }
    }
    let context = kind.session(config).map_err(|error| error.to_string())?;
    if kind == Kind::Cxql {
        for (name, value) in request["settings"].as_object().into_iter().flatten() {
            if name.starts_with("cxql.") {
                let sql = format!("set {name} = '{}'", value.as_str().unwrap_or_default());
                context.sql(&sql).await.map_err(|error| error.to_string())?;
            }
        }
    }
    for sql in strings(&request["setup"]) {
        let frame = context.sql(&sql).await.map_err(|error| format!("{sql}: {error}"))?;
        frame.collect().await.map_err(|error| format!("{sql}: {error}"))?;
    }
    Ok(context)
}

async fn answer(context: SessionContext, sql: String) -> Value {
    let task = tokio::spawn(async move {
        let frame = cxql_engine::planning::sql(&context, &sql).await?;
        let fields = frame.schema().fields().clone();
        let batches = frame.collect().await?;
        let columns =
            fields.iter().map(|field| json!([field.name(), field.data_type().to_string()])).collect::<Vec<_>>();
        let rows = values::rows(&batches)?;
        Ok::<_, datafusion::error::DataFusionError>(json!({"columns": columns, "rows": rows}))
    });
    let abort = task.abort_handle();
    match tokio::time::timeout(LIMIT, task).await {
        Ok(Ok(Ok(value))) => value,
        Ok(Ok(Err(error))) => json!({"error": error.to_string()}),
        Ok(Err(panic)) => json!({"error": format!("panic: {panic}")}),
        Err(_) => {
            abort.abort();
            json!({"error": format!("no answer within {} s", LIMIT.as_secs())})
        }
    }
}

/// Answers until stdin ends.
///
/// # Errors
/// A line is no request, or stdout is closed.
pub(crate) async fn run() -> Result<(), String> {
    let mut sessions: HashMap<String, SessionContext> = HashMap::new();
    let lines = std::io::stdin().lock().lines();
    for line in lines {
        let line = line.map_err(|error| error.to_string())?;
        let request: Value = serde_json::from_str(&line).map_err(|error| format!("no request: {error}"))?;
        let name = request["session"].as_str().unwrap_or_default().to_string();
        let kind = Kind::parse(&name).ok_or_else(|| format!("no session `{name}`"))?;
        let mut problem = None;
        if request.get("setup").is_some() || !sessions.contains_key(&name) {
            match fresh(kind, &request).await {
                Ok(context) => drop(sessions.insert(name.clone(), context)),
                Err(error) => problem = Some(error),
            }
        }
        let reply = match (problem, request["sql"].as_str(), sessions.get(&name)) {
            (Some(error), ..) => json!({"error": format!("setup: {error}")}),
            (None, Some(sql), Some(context)) => answer(context.clone(), sql.to_string()).await,
            _ => json!({"columns": [], "rows": []}),
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{reply}").and_then(|()| stdout.flush()).map_err(|error| error.to_string())?;
    }
    Ok(())
}
