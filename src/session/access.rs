//! Access control of the server: what the roles of a user let them read.
//!
//! ```text
//!  user's statement
//!        | planned over
//!        v
//!  authorized catalog    only the tables, views and reports that a role grants    [`AuthorizedSchema`]
//!        | views and reports are planned over
//!        v
//!  filtered catalog      every restricted table as filtered rows, masked columns  [`FilteredSchema`]
//!        | reads
//!        v
//!  project's tables
//! ```
//!
//! A restricted table, and every view that is granted, is a security barrier ([`BarrierTable`]): its operator has no
//! inputs, so that no rule pushes a user's condition below the row filter, and neither plans nor statistics nor errors
//! show what is below.
//!
//! [`AuthorizedSchema`]: authorized_catalogs::AuthorizedSchema
//! [`FilteredSchema`]: authorized_catalogs::FilteredSchema
//! [`BarrierTable`]: security_barrier::BarrierTable

mod authorized_catalogs;
mod policy;
mod role;
mod security_barrier;

use std::sync::Arc;

pub(super) use self::policy::AccessPolicy;
pub(crate) use self::role::{ADMIN, Role};
use super::Session;

/// What a user of the server may read.
#[derive(Debug, Clone)]
pub(crate) enum ReadAccess {
    /// The data and the server's own tables.
    Everything,
    /// The data.
    Data,
    /// The data as the user's roles restrict it.
    Restricted(Arc<Session>),
}
