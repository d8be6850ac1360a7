//! Session settings of a user: default schema and time zone.

use datafusion::arrow::array::timezone::Tz;
use datafusion::common::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionContext;

use super::{CATALOG, Session, diagnose};
use crate::error::{Error, Result};
use crate::source::nearest;

/// Checks the name of a time zone.
///
/// # Errors
/// There is none of this name.
pub(super) fn check_time_zone(zone: &str) -> Result<()> {
    match zone.parse::<Tz>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::usage(format!(
            "`{zone}` is no time zone; a name such as Europe/Berlin or an offset such as +01:00 is wanted"
        ))),
    }
}

impl Session {
    /// The time zone in which times are shown and read.
    pub(crate) fn time_zone(&self) -> String {
        let zone = self.context.copied_config().options().execution.time_zone.clone();
        zone.unwrap_or_else(|| "UTC".to_owned())
    }

    /// A copy of this session with another default schema or time zone. Views and reports resolve names as before; their
    /// times are shown in the time zone of the copy. Row conditions and masks of roles do not change.
    ///
    /// # Errors
    /// An unknown schema or time zone.
    pub(crate) fn with_settings(&self, schema: Option<&str>, time_zone: Option<&str>) -> Result<Self> {
        let engine = |error: DataFusionError| diagnose::data_error(error, "");
        let mut state = self.state();
        if let Some(schema) = schema {
            let schemas = self.context.catalog(CATALOG).map(|catalog| catalog.schema_names()).unwrap_or_default();
            if !schemas.iter().any(|known| known == schema) {
                let near = nearest(schema, schemas.iter().map(String::as_str));
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(Error::usage(format!("there is no schema `{schema}`{near}")));
            }
            state.config_mut().options_mut().catalog.default_schema = schema.to_owned();
        }
        if let Some(zone) = time_zone {
            check_time_zone(zone)?;
            state.config_mut().options_mut().execution.time_zone = Some(zone.to_owned());
        }
        let options: &ConfigOptions = state.config().options();
        let changed =
            state.scalar_functions().values().filter_map(|function| function.inner().with_updated_config(options));
        let changed: Vec<_> = changed.collect();
        for function in changed {
            state.register_udf(function.into()).map_err(engine)?;
        }
        Ok(self.with_context(SessionContext::new_with_state(state)))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use futures::TryStreamExt;

    use super::*;
    use crate::source::Source;
    use crate::sqlfile;

    async fn run(session: &Session, sql: &str) -> String {
        let source = std::sync::Arc::new(Source::query(sql));
        let statement = sqlfile::statements(&source).unwrap().pop_front().unwrap();
        let plan = session.plan(&source, statement).await.unwrap();
        let execution = session.execute(&source, &plan).await.unwrap();
        let batches: Vec<_> = execution.stream.try_collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_time_zone_holds_for_one_session() {
        let session = Session::open(Default::default()).await.unwrap();
        let other = session.with_settings(None, Some("+02:00")).unwrap();
        let sql = "select cast(timestamp '2025-01-01T12:00:00Z' as timestamptz) as at";
        assert!(run(&other, sql).await.contains("+02:00"), "{}", run(&other, sql).await);
        assert!(!run(&session, sql).await.contains("+02:00"));
        assert!(session.with_settings(None, Some("Mars")).unwrap_err().to_string().contains("no time zone"));
        let error = session.with_settings(Some("pubilc"), None).unwrap_err().to_string();
        assert!(error.contains("did you mean `public`?"), "{error}");
    }
}
