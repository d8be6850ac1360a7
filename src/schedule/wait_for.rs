//! Data freshness conditions `newest(TABLE.COLUMN) >= DATE`: a run waits until the data is available.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::sql::parser::Statement;
use futures::TryStreamExt;

use super::relative_dates::DateExpr;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::source::Source;
use crate::sqlfile;

/// A condition on the newest value of a column.
#[derive(Debug, Clone)]
pub(crate) struct WaitFor {
    /// The condition as written.
    pub text: String,
    table: String,
    column: String,
    is_strict: bool,
    date: DateExpr,
}

impl WaitFor {
    /// Parses a condition.
    ///
    /// # Errors
    /// The rejected text and the expected form.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`newest(TABLE.COLUMN) >= DATE` is wanted, such as `newest(interactions.started_at) >= today`, got `{text}`"
            )
        };
        let (name, date) = text.split_once('>').ok_or_else(wrong)?;
        let (is_strict, date) = match date.strip_prefix('=') {
            Some(date) => (false, date),
            None => (true, date),
        };
        let inside = name.trim().strip_prefix("newest").and_then(|rest| rest.trim().strip_prefix('('));
        let inside = inside.and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
        let (table, column) = inside.rsplit_once('.').ok_or_else(wrong)?;
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        let (table, column) = (table.trim().to_lowercase(), column.trim().to_lowercase());
        if !is_name(&table) || !is_name(&column) {
            return Err(wrong());
        }
        Ok(Self { text: text.trim().into(), table, column, is_strict, date: DateExpr::parse(date.trim())? })
    }

    /// `None` if the condition is met, else a description of what is missing.
    ///
    /// # Errors
    /// An unknown table or column, a column without times, a date out of range, data that cannot be read.
    pub(crate) async fn missing(
        &self,
        session: &Session,
        scheduled: DateTime<Utc>,
        zone: Tz,
    ) -> Result<Option<String>> {
        let wanted = self.date.timestamp(scheduled, zone);
        let wanted = wanted.ok_or_else(|| Error::usage(format!("`{}` lies beyond the calendar", self.text)))?;
        let sql = format!("select max({}) as newest from {}", self.column, self.table);
        let source = Arc::new(Source { name: format!("wait_for = \"{}\"", self.text), ..Source::query(&sql) });
        let statement = sqlfile::parse(&source)?.swap_remove(0).statement;
        let plan = session.plan(&source, Statement::Statement(Box::new(statement))).await?;
        let execution = session.execute(&source, &plan).await?;
        let batches: Vec<RecordBatch> = match execution.stream.try_collect().await {
            Ok(batches) => batches,
            Err(error) => return Err(session.execution_error(error, &source, &execution.plan).await),
        };
        let newest = batches.first().filter(|batch| batch.num_rows() > 0).map(|batch| first_timestamp(batch.column(0)));
        let newest = newest.transpose().map_err(|data_type| {
            Error::usage(format!("`{}`: {}.{} is {data_type} and no time", self.text, self.table, self.column))
        })?;
        let newest = newest.flatten();
        let is_met = newest.is_some_and(|newest| if self.is_strict { newest > wanted } else { newest >= wanted });
        let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Ok((!is_met).then(|| {
            let newest = newest.map_or_else(|| "no row".to_string(), shown);
            let word = if self.is_strict { "after" } else { "at or after" };
            format!("newest {}.{} is {newest}, {word} {} is wanted", self.table, self.column, shown(wanted))
        }))
    }
}

/// The first value of a timestamp or date array.
///
/// # Errors
/// The name of the type of any other array.
fn first_timestamp(array: &dyn Array) -> Result<Option<DateTime<Utc>>, String> {
    let zone = match array.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        DataType::Date32 | DataType::Date64 => None,
        other => return Err(crate::types::type_name(other)),
    };
    let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone)).map_err(|error| error.to_string())?;
    let micros = micros.as_primitive_opt::<TimestampMicrosecondType>();
    Ok(micros.and_then(|micros| micros.iter().next().flatten()).and_then(DateTime::from_timestamp_micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_parsed_or_rejected() {
        let wait = WaitFor::parse("newest(interactions.started_at) >= start of today").unwrap();
        assert_eq!((wait.table.as_str(), wait.column.as_str(), wait.is_strict), ("interactions", "started_at", false));
        assert!(WaitFor::parse("newest( a.b ) > yesterday").unwrap().is_strict);
        for text in
            ["", "newest(a) >= today", "a.b >= today", "newest(a.b) < today", "newest(a.b; drop table x) >= today"]
        {
            assert!(WaitFor::parse(text).unwrap_err().contains("newest(TABLE.COLUMN)"), "{text}");
        }
        assert!(WaitFor::parse("newest(a.b) >= soon").unwrap_err().contains("no date"));
    }
}
