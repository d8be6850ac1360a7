//! A project folder: its configuration, its reports and views, and a session over its data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{
    self, ChannelConfig, ConfigFile, JobConfig, JobsConfig, MailConfig, RoleConfig, S3Config, ServeConfig, TlsFiles,
    UserConfig, parse_size,
};
use crate::error::{Error, Result};
use crate::history;
use crate::report::{self, Library};
use crate::session::{ADMIN, ReadAccess, Role, Session, SessionOptions, data_url};
use crate::source::nearest;

/// Maximum number of threads; more are a typing error.
pub(crate) const MAX_THREADS: usize = 1024;

/// Options of the command line and environment variables; `None` leaves them to `cxql.toml` and defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct CliOptions {
    /// The project folder.
    pub project: Option<PathBuf>,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The data folder or address.
    pub data: Option<String>,
    /// The memory limit, such as `4GB`.
    pub memory: Option<String>,
    /// The number of threads.
    pub threads: Option<usize>,
    /// The folder for spill files.
    pub temp_dir: Option<PathBuf>,
    /// The folder of what is known of the keys of files.
    pub cache_dir: Option<PathBuf>,
    /// The user's cache folder, in which that folder is by default.
    pub user_cache: Option<PathBuf>,
    /// The address of an S3-compatible store.
    pub s3_endpoint: Option<String>,
    /// The region of S3.
    pub s3_region: Option<String>,
    /// Whether plain http is allowed for S3.
    pub allow_http: bool,
    /// Faults of object stores and memory pools.
    #[cfg(test)]
    pub faults: Option<Arc<crate::session::faults::Faults>>,
}

/// A project with its options resolved: command line, environment, `cxql.toml`, defaults.
#[derive(Debug)]
pub(crate) struct Project {
    /// Its reports and views.
    pub library: Library,
    /// The options of its sessions.
    pub options: SessionOptions,
    /// `[server]`: settings of the server.
    pub serve: ServeConfig,
    /// The server's certificate and key files.
    pub tls: Option<TlsFiles>,
    /// The users of the server.
    pub users: BTreeMap<String, UserConfig>,
    /// The roles of the server.
    pub roles: BTreeMap<String, RoleConfig>,
    /// Primary key columns by table.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Its folder.
    pub folder: PathBuf,
    /// Its jobs and how people are notified.
    pub job_settings: JobSettings,
}

/// The settings of jobs in `cxql.toml`: `[jobs]`, `[[job]]`, `[mail]` and `[channels]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobSettings {
    /// `[jobs]`: settings of all jobs.
    pub defaults: JobsConfig,
    /// The jobs.
    pub jobs: Vec<JobConfig>,
    /// The mail server.
    pub mail: Option<MailConfig>,
    /// The notification channels by name.
    pub channels: BTreeMap<String, ChannelConfig>,
    /// The file of the history.
    pub store: PathBuf,
}

impl Project {
    /// Reads the configuration and finds the reports and views. Opens no data.
    ///
    /// # Errors
    /// A missing folder or file, an invalid configuration or limit.
    pub(crate) fn resolve(options: &CliOptions) -> Result<Self> {
        let folder = options.project.clone().unwrap_or_else(|| PathBuf::from("."));
        if !folder.is_dir() {
            return Err(Error::usage(format!("--project: there is no folder {}", folder.display())));
        }
        // without `--project` paths are shown without `./`
        let inside =
            |name: &str| options.project.as_ref().map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
        let default_config = inside(config::FILE_NAME);
        let file = match &options.config {
            Some(path) => ConfigFile::read(path)?,
            None if default_config.is_file() => ConfigFile::read(&default_config)?,
            None => ConfigFile::default(),
        };
        let sql = inside("sql");
        let library = Library::load(sql.is_dir().then_some(sql.as_path()))?;
        let size =
            |text: &String, what: &str| parse_size(text).map_err(|error| Error::usage(format!("{what}: {error}")));
        let memory = match (&options.memory, &file.memory) {
            (Some(text), _) => Some(size(text, "--memory")?),
            (None, Some(text)) => Some(size(text, "cxql.toml: memory")?),
            (None, None) => None,
        };
        let threads = options.threads.or(file.threads);
        if threads.is_some_and(|threads| !(1..=MAX_THREADS).contains(&threads)) {
            let got = threads.unwrap_or_default();
            return Err(Error::usage(format!(
                "threads in cxql.toml: a whole number of at least 1 and at most {MAX_THREADS} is wanted, got {got}"
            )));
        }
        let temp_dir = options.temp_dir.clone().or_else(|| file.temp_dir.as_ref().map(|path| folder.join(path)));
        if let Some(missing) = temp_dir.as_ref().filter(|path| !path.is_dir()) {
            return Err(Error::usage(format!(
                "--temp-dir: there is no folder {}; make it with `mkdir -p {}`",
                missing.display(),
                missing.display()
            )));
        }
        let cache_dir = options.cache_dir.clone().or_else(|| file.cache_dir.as_ref().map(|path| folder.join(path)));
        let cache_dir = cache_dir.or_else(|| options.user_cache.as_ref().map(|cache| cache.join("cxql")));
        let data = data(options, &file, &folder)?;
        let tls = file.serve.tls(&folder)?;
        let mut tables = file.tables;
        if data.is_none() {
            // without a data folder the paths of tables are relative to the project folder
            for table in tables.values_mut().filter(|table| !table.path.contains("://")) {
                table.path = folder.join(&table.path).display().to_string();
            }
        }
        let mut engine = file.engine.0;
        engine.hash_window_agg &= file.grouped_windows != Some(false);
        let options = SessionOptions {
            data,
            tables,
            views: library.views().clone(),
            memory,
            threads,
            temp_dir,
            cache_dir,
            time_zone: file.time_zone,
            privacy: file.privacy.settings(&folder)?,
            calendars: Arc::new(config::calendars(&file.calendars)?),
            engine,
            s3: S3Config {
                endpoint: options.s3_endpoint.clone().or(file.s3.endpoint),
                region: options.s3_region.clone().or(file.s3.region),
                allow_http: options.allow_http || file.s3.allow_http,
                anonymous: file.s3.anonymous,
            },
            files_in_from: false,
            #[cfg(test)]
            faults: options.faults.clone(),
        };
        let store = folder.join(file.jobs.store.clone().unwrap_or_else(|| PathBuf::from(history::FILE_NAME)));
        let job_settings =
            JobSettings { defaults: file.jobs, jobs: file.job, mail: file.mail, channels: file.channels, store };
        Ok(Self {
            library,
            options,
            serve: file.serve,
            tls,
            users: file.users,
            roles: file.roles,
            keys: file.keys,
            folder,
            job_settings,
        })
    }

    /// Opens a session with the project's tables, views and reports.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) async fn open(&self, files_in_from: bool) -> Result<Arc<Session>> {
        let options = SessionOptions { files_in_from, ..self.options.clone() };
        let session = Arc::new(Session::open(options).await?);
        report::register(&session, &self.library)?;
        if !self.job_settings.jobs.is_empty() || self.job_settings.store.exists() {
            history::system::register(&session, &self.job_settings.store)?;
        }
        Ok(session)
    }

    /// What each user may read of a session of this project.
    ///
    /// # Errors
    /// A role that does not fit the data; a user with an unknown role, or without one although there are roles; roles
    /// without a user.
    pub(crate) async fn readers(&self, session: &Arc<Session>) -> Result<BTreeMap<String, ReadAccess>> {
        if self.users.is_empty() && !self.roles.is_empty() {
            return Err(Error::usage(
                "[roles] in cxql.toml: nobody logs in, so that roles have no effect; `cxql user add NAME --role ROLE` adds \
                 a user",
            ));
        }
        let mut roles = BTreeMap::new();
        for (name, config) in &self.roles {
            let role = Role::parse(name, config)?;
            let alone = self.restricted(session, vec![Arc::clone(&role)])?;
            alone.check_roles().await?;
            roles.insert(name.as_str(), role);
        }
        let mut readers = BTreeMap::new();
        let mut known: BTreeMap<&[String], Arc<Session>> = BTreeMap::new();
        for (name, user) in &self.users {
            let wrong = |what: String| Error::usage(format!("[users.{name}] in cxql.toml: {what}"));
            let mut own = Vec::with_capacity(user.roles.len());
            for role in &user.roles {
                match roles.get(role.as_str()) {
                    Some(role) => own.push(Arc::clone(role)),
                    None if role == ADMIN => {}
                    None => {
                        let near = nearest(role, roles.keys().copied().chain([ADMIN]));
                        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                        return Err(wrong(format!("there is no role `{role}`{near}")));
                    }
                }
            }
            let reads = if user.roles.iter().any(|role| role == ADMIN) {
                ReadAccess::Everything
            } else if !own.is_empty() {
                let session = match known.get(user.roles.as_slice()) {
                    Some(session) => Arc::clone(session),
                    None => self.restricted(session, own)?,
                };
                known.insert(&user.roles, Arc::clone(&session));
                ReadAccess::Restricted(session)
            } else if roles.is_empty() {
                ReadAccess::Data
            } else {
                return Err(wrong(format!(
                    "the user has no role; write roles = [\"{ADMIN}\"] for one who reads everything"
                )));
            };
            readers.insert(name.clone(), reads);
        }
        Ok(readers)
    }

    fn restricted(&self, session: &Arc<Session>, roles: Vec<Arc<Role>>) -> Result<Arc<Session>> {
        session.for_roles(roles, |session| report::register(session, &self.library)).map(Arc::new)
    }
}

/// The data folder: one that is named must exist, the default `data` may be missing.
fn data(options: &CliOptions, file: &ConfigFile, folder: &Path) -> Result<Option<url::Url>> {
    if let Some(text) = &options.data {
        return data_url(text).map(Some);
    }
    match &file.data {
        Some(text) if text.contains("://") => data_url(text).map(Some),
        Some(text) => data_url(&folder.join(text).display().to_string()).map(Some),
        None => {
            let default = folder.join("data");
            if default.is_dir() { data_url(&default.display().to_string()).map(Some) } else { Ok(None) }
        }
    }
}
