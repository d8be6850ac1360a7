//! Client sessions: the options and ingested tables of each client, and their lifetime.
//!
//! A login has a session, named by its token. A client without a login, such as one with a static token, gets a session
//! when it sets an option, named by a cookie. All other requests of the same user from the same address share a session
//! in which no option can be set.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::sync::Cache;
use parking_lot::RwLock;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use uuid::Uuid;

use super::auth::{Principal, Sha256Digest};
use super::ingest::{SCRATCH, ScratchSchema};
use super::{recent, status};
use crate::error::Result;
use crate::session::Session;

/// The cookie that names a session, as in Arrow's own servers.
pub(super) const COOKIE: &str = "arrow_flight_session_id";

/// Maximum number of sessions of a user, of which the least recently used are evicted. One with options has a DataFusion
/// session state of its own.
const MAX_SESSIONS: u64 = 1_000;

/// The same where all clients are one user, because the server has none.
const MAX_OPEN_SESSIONS: u64 = 10_000;

/// The key of a session in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum SessionKey {
    Login(Sha256Digest),
    Cookie(Uuid),
    Direct(Principal, Option<IpAddr>),
}

/// How a session is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionKind {
    Login,
    Cookie,
    Direct,
}

impl SessionKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Cookie => "cookie",
            Self::Direct => "direct",
        }
    }
}

/// The options that a client has set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SessionSettings {
    pub(super) schema: Option<String>,
    pub(super) time_zone: Option<String>,
    pub(super) timeout: Option<Duration>,
}

/// The session of a client.
#[derive(Debug)]
pub(super) struct ClientSession {
    pub(super) id: Uuid,
    pub(super) principal: Principal,
    pub(super) kind: SessionKind,
    pub(super) address: Option<IpAddr>,
    pub(super) opened_at: DateTime<Utc>,
    /// Microseconds since the Unix epoch.
    used_at: AtomicI64,
    queries: AtomicU64,
    /// The session of the user, without options and ingested tables.
    base: Arc<Session>,
    /// The ingested tables.
    scratch: OnceLock<Arc<ScratchSchema>>,
    current: RwLock<(SessionSettings, Arc<Session>)>,
    /// The sessions with the schemas of requests; emptied when the options change.
    with_schemas: RwLock<HashMap<String, Arc<Session>>>,
}

impl ClientSession {
    fn new(
        id: Uuid,
        principal: Principal,
        kind: SessionKind,
        address: Option<IpAddr>,
        session: Arc<Session>,
    ) -> Arc<Self> {
        let opened_at = Utc::now();
        Arc::new(Self {
            id,
            principal,
            kind,
            address,
            opened_at,
            used_at: AtomicI64::new(opened_at.timestamp_micros()),
            queries: AtomicU64::new(0),
            base: Arc::clone(&session),
            scratch: OnceLock::new(),
            current: RwLock::new((SessionSettings::default(), session)),
            with_schemas: RwLock::default(),
        })
    }

    /// The session of an admitted request.
    pub(super) fn of_request<T>(request: &Request<T>) -> Result<Arc<Self>, Status> {
        let client = request.extensions().get::<Arc<Self>>().map(Arc::clone);
        client.ok_or_else(|| status::fault("a request without a session"))
    }

    /// The session with its options and ingested tables, in which statements are planned.
    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.current.read().1)
    }

    pub(super) fn settings(&self) -> SessionSettings {
        self.current.read().0.clone()
    }

    /// Sets the options.
    ///
    /// # Errors
    /// An invalid option; then nothing is changed.
    pub(super) fn set(&self, settings: SessionSettings) -> Result<()> {
        // the lock serializes concurrent changes
        let mut current = self.current.write();
        let mut session = Arc::clone(&self.base);
        if let Some(scratch) = self.scratch.get() {
            let scratch: Arc<ScratchSchema> = Arc::clone(scratch);
            session = Arc::new(session.with_schema(SCRATCH, scratch)?);
        }
        if settings.schema.is_some() || settings.time_zone.is_some() {
            session = Arc::new(session.with_settings(settings.schema.as_deref(), settings.time_zone.as_deref())?);
        }
        *current = (settings, session);
        self.with_schemas.write().clear();
        Ok(())
    }

    /// The session with another default schema, which the header of a request names.
    ///
    /// # Errors
    /// An unknown schema.
    pub(super) fn with_schema(&self, schema: &str) -> Result<Arc<Session>> {
        if let Some(session) = self.with_schemas.read().get(schema) {
            return Ok(Arc::clone(session));
        }
        // the lock keeps the options until the session is stored
        let current = self.current.read();
        let session = Arc::new(current.1.with_settings(Some(schema), None)?);
        self.with_schemas.write().insert(schema.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    /// The schema of the ingested tables, of at most `limit` bytes; created at the first call.
    ///
    /// # Errors
    /// When the schema cannot be registered, which is a fault.
    pub(super) fn scratch(&self, limit: usize) -> Result<Arc<ScratchSchema>> {
        if let Some(scratch) = self.scratch.get() {
            return Ok(Arc::clone(scratch));
        }
        let pool = &self.base.context().runtime_env().memory_pool;
        let scratch = Arc::clone(self.scratch.get_or_init(|| ScratchSchema::new(pool, limit)));
        self.set(self.settings())?;
        Ok(scratch)
    }

    pub(super) fn used_at(&self) -> i64 {
        self.used_at.load(Ordering::Relaxed)
    }

    pub(super) fn query_count(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    pub(super) fn count_query(&self) {
        self.queries.fetch_add(1, Ordering::Relaxed);
    }
}

/// The sessions of a user.
type UserSessions = Cache<SessionKey, Arc<ClientSession>>;

/// All client sessions, by user: nobody's sessions evict those of others.
#[derive(Debug, Clone)]
pub(super) struct ClientSessionStore {
    users: Arc<RwLock<HashMap<Principal, UserSessions>>>,
    idle: Duration,
}

impl ClientSessionStore {
    /// `idle` is how long an unused session is kept.
    pub(super) fn new(idle: Duration) -> Self {
        Self { users: Arc::default(), idle }
    }

    fn of_user(&self, principal: &Principal) -> UserSessions {
        if let Some(sessions) = self.users.read().get(principal) {
            return sessions.clone();
        }
        let most = if principal.0.is_some() { MAX_SESSIONS } else { MAX_OPEN_SESSIONS };
        let mut users = self.users.write();
        users.entry(principal.clone()).or_insert_with(|| recent(most).time_to_idle(self.idle).build()).clone()
    }

    pub(super) fn all(&self) -> Vec<Arc<ClientSession>> {
        let users = self.users.read();
        users.values().flat_map(|sessions| sessions.iter().map(|(_, client)| client)).collect()
    }

    pub(super) fn count(&self) -> u64 {
        let users = self.users.read();
        users
            .values()
            .map(|sessions| {
                sessions.run_pending_tasks();
                sessions.entry_count()
            })
            .sum()
    }
}

/// Assigns requests to sessions.
#[derive(Debug)]
pub(super) struct ClientSessions {
    store: ClientSessionStore,
    /// The session of requests on a server without users.
    open: Arc<Session>,
    users: BTreeMap<String, Arc<Session>>,
}

impl ClientSessions {
    pub(super) fn new(store: ClientSessionStore, open: Arc<Session>, users: BTreeMap<String, Arc<Session>>) -> Self {
        Self { store, open, users }
    }

    /// The session of a user, without options and ingested tables.
    fn base_session(&self, principal: &Principal) -> Result<Arc<Session>, Status> {
        match &principal.0 {
            None => Ok(Arc::clone(&self.open)),
            Some(user) => match self.users.get(user.as_ref()) {
                Some(session) => Ok(Arc::clone(session)),
                None => Err(status::fault("a user without a session")),
            },
        }
    }

    /// The session of a request: that of its cookie, else of its login, else the shared one.
    pub(super) fn find_or_open(
        &self,
        principal: &Principal,
        login: Option<Sha256Digest>,
        headers: &MetadataMap,
        address: Option<SocketAddr>,
    ) -> Result<Arc<ClientSession>, Status> {
        let address = address.map(|address| address.ip());
        let sessions = self.store.of_user(principal);
        let client = match (cookie(headers), login) {
            (Some(id), _) => {
                let client = sessions.get(&SessionKey::Cookie(id));
                client.ok_or_else(|| {
                    Status::unauthenticated("the session of the cookie is not known or has ended; connect again")
                })?
            }
            (None, Some(login)) => {
                let session = self.base_session(principal)?;
                sessions.get_with(SessionKey::Login(login), || {
                    ClientSession::new(Uuid::new_v4(), principal.clone(), SessionKind::Login, address, session)
                })
            }
            (None, None) => {
                let session = self.base_session(principal)?;
                sessions.get_with(SessionKey::Direct(principal.clone(), address), || {
                    ClientSession::new(Uuid::new_v4(), principal.clone(), SessionKind::Direct, address, session)
                })
            }
        };
        client.used_at.store(Utc::now().timestamp_micros(), Ordering::Relaxed);
        Ok(client)
    }

    /// Opens a session of its own for a client of a shared one, named by a cookie. It has the ingested tables of the
    /// shared one.
    pub(super) fn open_for(&self, shared: &ClientSession) -> Result<Arc<ClientSession>, Status> {
        let id = Uuid::new_v4();
        let session = self.base_session(&shared.principal)?;
        let client = ClientSession::new(id, shared.principal.clone(), SessionKind::Cookie, shared.address, session);
        if let Some(scratch) = shared.scratch.get() {
            client.scratch.get_or_init(|| scratch.copy());
            client.set(client.settings()).map_err(|error| status::from_error(&error))?;
        }
        self.store.of_user(&shared.principal).insert(SessionKey::Cookie(id), Arc::clone(&client));
        Ok(client)
    }

    /// Closes the session of a cookie or login. False for a shared one.
    pub(super) fn close(&self, client: &ClientSession, login: Option<Sha256Digest>) -> bool {
        let sessions = self.store.of_user(&client.principal);
        match (client.kind, login) {
            (SessionKind::Cookie, _) => sessions.remove(&SessionKey::Cookie(client.id)).is_some(),
            (SessionKind::Login, Some(login)) => sessions.remove(&SessionKey::Login(login)).is_some(),
            (SessionKind::Login, None) | (SessionKind::Direct, _) => false,
        }
    }
}

/// The session id in a request's cookies.
fn cookie(headers: &MetadataMap) -> Option<Uuid> {
    let all = headers.get_all("cookie");
    let mut pairs = all.iter().filter_map(|header| header.to_str().ok()).flat_map(|header| header.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then(|| Uuid::parse_str(value.trim_matches('"')).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let id = Uuid::new_v4();
        let mut headers = MetadataMap::new();
        headers.append("cookie", "a=b".parse().unwrap());
        headers.append("cookie", format!("x=1; {COOKIE}=\"{id}\"; y").parse().unwrap());
        assert_eq!(cookie(&headers), Some(id));
        assert_eq!(cookie(&MetadataMap::new()), None);
        let mut wrong = MetadataMap::new();
        wrong.append("cookie", format!("{COOKIE}=1").parse().unwrap());
        assert_eq!(cookie(&wrong), None);
    }
}
