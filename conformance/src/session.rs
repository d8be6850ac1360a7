//! The two sessions that are compared.

use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

/// Which session runs a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// DataFusion as it is, with the functions of cxql-udfs.
    Stock,
    /// The session of cxql: rules, operators, repaired functions, and the functions of cxql-udfs.
    Cxql,
}

impl Kind {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "stock" => Some(Self::Stock),
            "cxql" => Some(Self::Cxql),
            _ => None,
        }
    }

    /// A fresh session.
    ///
    /// # Errors
    /// A rule or function cannot be registered.
    pub(crate) fn session(self, config: SessionConfig) -> Result<SessionContext> {
        let builder = SessionStateBuilder::new().with_config(config).with_default_features();
        let mut state = match self {
            Self::Stock => builder.build(),
            Self::Cxql => cxql_engine::register(builder, cxql_engine::EngineOptions::default())?.build(),
        };
        cxql_udfs::register_all(&mut state)?;
        Ok(SessionContext::new_with_state(state))
    }
}
