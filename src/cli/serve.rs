//! `cxql serve`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::config::{LogFormat, parse_size};
use crate::error::{Error, Result};
use crate::flight::{ServeOptions, Server, start_log};
use crate::project::Project;
use crate::temporary::TemporaryFile;

/// The default address.
const LISTEN: &str = "127.0.0.1:32010";

/// Default time that running queries have to end at shutdown.
const DRAIN_SECONDS: u64 = 30;

/// Defaults of the concurrency limit and the queue timeout.
const MAX_QUERIES: usize = 32;
const QUEUE_SECONDS: u64 = 30;

/// Default timeout of idle sessions.
const IDLE_SECONDS: u64 = 12 * 60 * 60;

/// Default size limit of the tables that a session ingests.
const INGEST_BYTES: usize = 256 << 20;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:32010]
    #[arg(long, value_name = "HOST:PORT", env = "CXQL_LISTEN", hide_env_values = true)]
    listen: Option<String>,
    /// Write the address to this file once clients can connect; it is removed at the end
    #[arg(long, value_name = "PATH")]
    address_file: Option<PathBuf>,
    /// Let other machines connect although nothing is encrypted or nobody has to log in
    #[arg(long)]
    open: bool,
    /// Let clients bring tables, each into a schema of its session
    #[arg(long)]
    allow_ingest: bool,
}

pub(super) async fn run(args: ServeArgs, project: Project) -> Result<ExitCode> {
    let config = &project.serve;
    start_log(config.log);
    let ingest = config.ingest_memory.as_ref().map_or(Ok(INGEST_BYTES), |text| {
        parse_size(text).map_err(|error| Error::usage(format!("[serve] ingest_memory in cxql.toml: {error}")))
    })?;
    let query_memory = config.query_memory.as_ref().map(|text| {
        parse_size(text).map_err(|error| Error::usage(format!("[serve] query_memory in cxql.toml: {error}")))
    });
    let listen = args.listen.filter(|listen| !listen.is_empty()).or_else(|| config.listen.clone());
    let server = Server::bind(ServeOptions {
        listen: listen.unwrap_or_else(|| LISTEN.into()),
        is_open: args.open,
        tls: project.tls.clone(),
        users: project.users.clone(),
        drain: Duration::from_secs(config.drain_s.unwrap_or(DRAIN_SECONDS)),
        max_queries: at_least_one("max_queries", config.max_queries.unwrap_or(MAX_QUERIES))?,
        queue: Duration::from_secs(config.queue_s.unwrap_or(QUEUE_SECONDS)),
        timeout: config
            .timeout_s
            .map(|seconds| at_least_one("timeout_s", seconds))
            .transpose()?
            .map(Duration::from_secs),
        query_memory: query_memory.transpose()?,
        idle: Duration::from_secs(at_least_one("idle_s", config.idle_s.unwrap_or(IDLE_SECONDS))?),
        ingest: args.allow_ingest.then_some(ingest),
        metrics: config.metrics.clone(),
        keys: project.keys.clone(),
    })?;
    let (address, is_encrypted) = (server.address(), server.is_encrypted());
    let metrics = server.metrics_address();
    let session = project.open(false).await?;
    let readers = project.readers(&session).await?;
    let mut file = None;
    let ready = || {
        if let Some(path) = &args.address_file {
            file = Some(AddressFile::write(path, &address.to_string())?);
        }
        let login = match project.users.len() {
            0 => "without login".to_owned(),
            1 => "with login, 1 user".to_owned(),
            users => format!("with login, {users} users"),
        };
        let (scheme, encryption) =
            if is_encrypted { ("grpc+tls", "encrypted") } else { ("grpc", "without encryption") };
        let mut lines = vec![format!("Flight SQL on {scheme}://{address}, {encryption}, {login}; Ctrl-C stops")];
        lines.extend(metrics.map(|address| format!("metrics on http://{address}/metrics")));
        for line in lines.into_iter().rev() {
            match config.log {
                LogFormat::Text => super::note(&line),
                LogFormat::Json => tracing::info!("{line}"),
            }
        }
        Ok(())
    };
    server.run(session, readers, ready).await?;
    Ok(ExitCode::SUCCESS)
}

/// Rejects 0 for a configured number.
fn at_least_one<T: PartialEq + Default>(key: &str, number: T) -> Result<T> {
    if number == T::default() {
        return Err(Error::usage(format!("[serve] {key} in cxql.toml: at least 1 is wanted, got 0")));
    }
    Ok(number)
}

/// A file with the address of a running server, removed when dropped.
#[derive(Debug)]
struct AddressFile(PathBuf);

impl AddressFile {
    /// Writes a temporary file and renames it, so that readers never see a part of it.
    fn write(path: &Path, address: &str) -> Result<Self> {
        let failed = |cause| Error::Io { action: "write", path: path.to_path_buf(), cause };
        let mut new = TemporaryFile::beside(path, false).map_err(failed)?;
        writeln!(new.file, "{address}").map_err(failed)?;
        new.persist(path).map_err(failed)?;
        Ok(Self(path.to_path_buf()))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // it may have been removed already
        let _ = std::fs::remove_file(&self.0);
    }
}
