//! Authentication: users with passwords and tokens, logins, and rate limits against guessing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use uuid::Uuid;

use super::recent;
use crate::config::UserConfig;
use crate::error::{Error, Result};

/// How long a verified `authorization` header is cached: password verification is slow by design.
const BASIC_LIFE: Duration = Duration::from_secs(5 * 60);

/// Maximum number of logins of a user, of which the least recently used end.
const MAX_LOGINS: u64 = 1_000;

/// Maximum number of verified headers, and of addresses with failed logins.
const MAX_HEADERS: u64 = 100_000;

/// Maximum failed logins of a user at an address, and of an address in total, within [`FAILURES_LIFE`].
const MAX_FAILURES: u32 = 5;
const MAX_FAILURES_OF_ADDRESS: u32 = 50;
const FAILURES_LIFE: Duration = Duration::from_secs(60);

/// Maximum concurrent password verifications; each takes 19 MB.
const CHECKS_AT_A_TIME: usize = 2;

/// Maximum length of a password.
const MAX_PASSWORD_BYTES: usize = 1024;

/// A SHA-256 hash.
pub(super) type Sha256Digest = [u8; 32];

/// The authenticated user of a request; `None` if the server has no users.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Principal(pub(super) Option<Arc<str>>);

impl Principal {
    /// The principal of a request that passed [`Authenticator::authenticate`].
    pub(super) fn of_request<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }
}

#[derive(Debug)]
struct User {
    name: Arc<str>,
    password: Option<String>,
    token: Option<Sha256Digest>,
}

/// Authenticates requests.
#[derive(Debug)]
pub(super) struct Authenticator {
    users: Vec<User>,
    /// The hashes of the tokens of the logins of each user: nobody's logins end those of others.
    logins: BTreeMap<Arc<str>, Cache<Sha256Digest, ()>>,
    /// Users by the hash of a verified header.
    verified_headers: Cache<Sha256Digest, Arc<str>>,
    failures: Cache<(IpAddr, String), Arc<AtomicU32>>,
    verifications: Semaphore,
    /// The hash of no known password: verifying an unknown user against it takes as long as a known one.
    dummy_hash: String,
}

/// Hashes a password for `cxql.toml`.
///
/// # Errors
/// A password that is empty or too long.
pub(crate) fn hash_password(password: &str) -> Result<String> {
    if password.is_empty() || password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::usage(format!("a password has 1 to {MAX_PASSWORD_BYTES} bytes")));
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| Error::Engine { message: format!("cannot hash: {error}") })
}

/// Returns a new token and its hash for `cxql.toml`.
pub(crate) fn new_token() -> (String, String) {
    let token = format!("cxql_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let hash = sha256(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    (token, hash)
}

fn sha256(bytes: &[u8]) -> Sha256Digest {
    Sha256::digest(bytes).into()
}

fn parse_hash(text: &str) -> Option<Sha256Digest> {
    let bytes: Option<Vec<u8>> = match text.len() {
        64 => (0..32).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect(),
        _ => None,
    };
    bytes?.try_into().ok()
}

impl Authenticator {
    /// Creates an authenticator; a login expires when it was not used for `idle`.
    ///
    /// # Errors
    /// A user whose password or token is not a hash, or who has neither.
    pub(super) fn new(users: &BTreeMap<String, UserConfig>, idle: Duration) -> Result<Self> {
        let user = |(name, config): (&String, &UserConfig)| {
            let wrong = |what: &str| {
                Error::usage(format!("[users.{name}] in cxql.toml: {what}; `cxql user add {name}` writes such a user"))
            };
            if let Some(password) = &config.password {
                let hash = PasswordHash::new(password).map_err(|_| wrong("the password is no argon2id hash"))?;
                if hash.algorithm.as_str() != "argon2id" {
                    return Err(wrong("the password is no argon2id hash"));
                }
            }
            let token = config.token.as_deref().map(|token| {
                parse_hash(token).ok_or_else(|| wrong("the token is no SHA-256 hash in 64 hexadecimal digits"))
            });
            let token = token.transpose()?;
            if config.password.is_none() && token.is_none() {
                return Err(wrong("there is neither a password nor a token"));
            }
            Ok(User { name: name.as_str().into(), password: config.password.clone(), token })
        };
        let users = users.iter().map(user).collect::<Result<Vec<_>>>()?;
        let dummy_hash = if users.is_empty() { String::new() } else { hash_password(&Uuid::new_v4().to_string())? };
        let logins = users.iter().map(|user| (Arc::clone(&user.name), recent(MAX_LOGINS).time_to_idle(idle).build()));
        Ok(Self {
            logins: logins.collect(),
            users,
            verified_headers: recent(MAX_HEADERS).time_to_live(BASIC_LIFE).build(),
            failures: Cache::builder().max_capacity(MAX_HEADERS).time_to_live(FAILURES_LIFE).build(),
            verifications: Semaphore::new(CHECKS_AT_A_TIME),
            dummy_hash,
        })
    }

    /// Authenticates a request by its headers and address: a bearer token of a login or of a user, or a user name and a
    /// password.
    pub(super) async fn authenticate(
        &self,
        headers: &MetadataMap,
        address: Option<SocketAddr>,
    ) -> Result<Principal, Status> {
        if self.users.is_empty() {
            return Ok(Principal(None));
        }
        let address = address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
        match authorization(headers) {
            Some(Authorization::Bearer(token)) => self.by_token(token),
            Some(Authorization::Basic(text)) => self.by_password(text, address).await,
            None => Err(Status::unauthenticated("a login is wanted: a user and a password, or a token")),
        }
        .map(|user| Principal(Some(user)))
    }

    /// Logs a user in and returns a bearer token.
    pub(super) fn login(&self, principal: &Principal) -> String {
        match &principal.0 {
            Some(user) => {
                let (token, _) = new_token();
                if let Some(logins) = self.logins.get(user) {
                    logins.insert(sha256(token.as_bytes()), ());
                }
                token
            }
            // some tools always log in
            None => "nobody".to_owned(),
        }
    }

    /// The hash of the request's bearer token, if it is that of a login.
    pub(super) fn login_of(&self, headers: &MetadataMap) -> Option<Sha256Digest> {
        match authorization(headers)? {
            Authorization::Bearer(token) => Some(sha256(token.as_bytes())).filter(|hash| self.user_of(hash).is_some()),
            Authorization::Basic(_) => None,
        }
    }

    /// Ends the login of the request's token. False if there is none.
    pub(super) fn logout(&self, headers: &MetadataMap) -> bool {
        match authorization(headers) {
            Some(Authorization::Bearer(token)) => {
                let hash = sha256(token.as_bytes());
                self.user_of(&hash).and_then(|user| self.logins.get(user)?.remove(&hash)).is_some()
            }
            _ => false,
        }
    }

    /// The user of a login.
    fn user_of(&self, hash: &Sha256Digest) -> Option<&Arc<str>> {
        // `get` and not `contains_key`: the login is used
        self.logins.iter().find(|(_, logins)| logins.get(hash).is_some()).map(|(user, _)| user)
    }

    fn by_token(&self, token: &str) -> Result<Arc<str>, Status> {
        let hash = sha256(token.as_bytes());
        if let Some(user) = self.user_of(&hash) {
            return Ok(Arc::clone(user));
        }
        let mut found = None;
        for user in &self.users {
            // compares every user, so that the time does not reveal which one matched
            if user.token.is_some_and(|token| bool::from(token.ct_eq(&hash))) {
                found = Some(Arc::clone(&user.name));
            }
        }
        found.ok_or_else(|| Status::unauthenticated("the token is not known or has expired; log in again"))
    }

    async fn by_password(&self, text: &str, address: IpAddr) -> Result<Arc<str>, Status> {
        let hash = sha256(text.as_bytes());
        let wrong = || Status::unauthenticated("the user or the password is wrong");
        let decoded = BASE64_STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (name, password) = match decoded.as_ref().and_then(|text| text.split_once(':')) {
            Some((name, password)) if password.len() <= MAX_PASSWORD_BYTES => (name.to_owned(), password.to_owned()),
            _ => return Err(wrong()),
        };
        let count = |name: &str| self.failures.get_with((address, name.to_owned()), Arc::default);
        // no user has an empty name: it counts for the address
        let (of_user, of_address) = (count(&name), count(""));
        let is_limited = || {
            of_user.load(Ordering::Relaxed) >= MAX_FAILURES
                || of_address.load(Ordering::Relaxed) >= MAX_FAILURES_OF_ADDRESS
        };
        let refused = || {
            tracing::warn!(user = name.as_str(), %address, "too many failed logins");
            Status::resource_exhausted("too many failed logins; wait a minute")
        };
        // first: an answer to the right password would tell a guesser that it is right
        if is_limited() {
            return Err(refused());
        }
        if let Some(user) = self.verified_headers.get(&hash) {
            return Ok(user);
        }
        let _permit = self.verifications.acquire().await.map_err(|_| Status::cancelled("the server is stopping"))?;
        // tools open many connections at once: the first verification is valid for all
        if let Some(user) = self.verified_headers.get(&hash) {
            return Ok(user);
        }
        if is_limited() {
            return Err(refused());
        }
        of_user.fetch_add(1, Ordering::Relaxed);
        of_address.fetch_add(1, Ordering::Relaxed);
        let user = self.users.iter().find(|user| *user.name == *name);
        let hash_text = user.and_then(|user| user.password.clone()).unwrap_or_else(|| self.dummy_hash.clone());
        let checked = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash_text)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        let is_right = checked.await.map_err(|error| super::status::fault(&error.to_string()))?;
        match user {
            Some(user) if is_right => {
                self.failures.invalidate(&(address, name));
                of_address.fetch_sub(1, Ordering::Relaxed);
                self.verified_headers.insert(hash, Arc::clone(&user.name));
                tracing::info!(user = &*user.name, %address, "login");
                Ok(Arc::clone(&user.name))
            }
            _ => {
                tracing::warn!(user = name.as_str(), %address, "failed login");
                Err(wrong())
            }
        }
    }
}

enum Authorization<'a> {
    Bearer(&'a str),
    Basic(&'a str),
}

fn authorization(headers: &MetadataMap) -> Option<Authorization<'_>> {
    let (scheme, rest) = headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(Authorization::Bearer(rest.trim())),
        "basic" => Some(Authorization::Basic(rest.trim())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn authenticator() -> (Authenticator, String) {
        let (token, hash) = new_token();
        let ana = UserConfig { password: Some(hash_password("s:ecret").unwrap()), token: None, roles: vec![] };
        let bot = UserConfig { password: None, token: Some(hash), roles: vec![] };
        (Authenticator::new(&BTreeMap::from([("ana".into(), ana), ("bot".into(), bot)]), IDLE).unwrap(), token)
    }

    fn request(authorization: &str) -> Request<()> {
        let mut request = Request::new(());
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        request
    }

    fn basic(name: &str, password: &str) -> Request<()> {
        request(&format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))))
    }

    async fn check(authenticator: &Authenticator, request: &Request<()>) -> Result<Principal, Status> {
        authenticator.authenticate(request.metadata(), request.remote_addr()).await
    }

    #[tokio::test]
    async fn a_login_gives_a_token_until_it_ends() {
        let (authenticator, _) = authenticator();
        let principal = check(&authenticator, &basic("ana", "s:ecret")).await.unwrap();
        assert_eq!(principal, Principal(Some("ana".into())));
        let bearer = request(&format!("Bearer {}", authenticator.login(&principal)));
        assert_eq!(check(&authenticator, &bearer).await.unwrap(), principal);
        assert!(authenticator.logout(bearer.metadata()) && !authenticator.logout(bearer.metadata()));
        assert_eq!(check(&authenticator, &bearer).await.unwrap_err().code(), Code::Unauthenticated);
    }

    #[tokio::test]
    async fn a_token_is_its_users() {
        let (authenticator, token) = authenticator();
        assert_eq!(
            check(&authenticator, &request(&format!("bearer {token}"))).await.unwrap(),
            Principal(Some("bot".into()))
        );
        for wrong in ["Bearer nobody", "Bearer ", "Basic !!", "Digest x"] {
            assert_eq!(
                check(&authenticator, &request(wrong)).await.unwrap_err().code(),
                Code::Unauthenticated,
                "{wrong}"
            );
        }
        assert_eq!(check(&authenticator, &Request::new(())).await.unwrap_err().code(), Code::Unauthenticated);
        // a user without a password cannot log in with any
        assert_eq!(check(&authenticator, &basic("bot", "")).await.unwrap_err().code(), Code::Unauthenticated);
    }

    #[tokio::test]
    async fn guessing_is_slowed_down() {
        let (authenticator, _) = authenticator();
        for _ in 0..MAX_FAILURES {
            assert_eq!(check(&authenticator, &basic("ana", "wrong")).await.unwrap_err().code(), Code::Unauthenticated);
        }
        assert_eq!(check(&authenticator, &basic("ana", "s:ecret")).await.unwrap_err().code(), Code::ResourceExhausted);
        // other users are not affected
        assert_eq!(check(&authenticator, &basic("eve", "x")).await.unwrap_err().code(), Code::Unauthenticated);
    }

    #[tokio::test]
    async fn a_password_that_was_right_before_is_locked_too() {
        let (authenticator, _) = authenticator();
        let login = check(&authenticator, &basic("ana", "s:ecret")).await.unwrap();
        let token = request(&format!("Bearer {}", authenticator.login(&login)));
        for _ in 0..3_000 {
            let code = check(&authenticator, &basic("ana", "wrong")).await.unwrap_err().code();
            assert!([Code::Unauthenticated, Code::ResourceExhausted].contains(&code));
        }
        assert_eq!(check(&authenticator, &basic("ana", "s:ecret")).await.unwrap_err().code(), Code::ResourceExhausted);
        // a login is no password: who has its token goes on
        assert_eq!(check(&authenticator, &token).await.unwrap(), login);
    }

    #[tokio::test]
    async fn right_passwords_are_no_failures() {
        let (authenticator, _) = authenticator();
        for _ in 0..3 * MAX_FAILURES {
            authenticator.verified_headers.invalidate_all();
            check(&authenticator, &basic("ana", "s:ecret")).await.unwrap();
        }
    }

    #[test]
    fn users_without_a_hash_are_refused() {
        for (password, token) in [(Some("plain"), None), (None, Some("plain")), (None, None)] {
            let user =
                UserConfig { password: password.map(str::to_owned), token: token.map(str::to_owned), roles: vec![] };
            let error = Authenticator::new(&BTreeMap::from([("ana".to_owned(), user)]), IDLE).unwrap_err();
            assert!(error.to_string().contains("[users.ana]"), "{error}");
        }
    }

    #[tokio::test]
    async fn without_users_everybody_is_nobody() {
        let authenticator = Authenticator::new(&BTreeMap::new(), IDLE).unwrap();
        assert_eq!(check(&authenticator, &Request::new(())).await.unwrap(), Principal(None));
    }
}
