//! `cxql serve`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::error::{Error, Result};
use crate::flight::{ServeOptions, Server};
use crate::project::Project;

/// Where the server listens when nobody says otherwise.
const LISTEN: &str = "127.0.0.1:32010";

/// How long running queries may take when the server is stopped.
const DRAIN_SECONDS: u64 = 30;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:32010]
    #[arg(long, value_name = "HOST:PORT", env = "CXQL_LISTEN", hide_env_values = true)]
    listen: Option<String>,
    /// Write the address to this file once clients can connect; it is removed at the end
    #[arg(long, value_name = "PATH")]
    address_file: Option<PathBuf>,
    /// Let other machines connect, without encryption and without login
    #[arg(long)]
    open: bool,
}

pub(super) async fn run(args: ServeArgs, project: Project) -> Result<ExitCode> {
    let config = &project.serve;
    let listen = args.listen.filter(|listen| !listen.is_empty()).or_else(|| config.listen.clone());
    let server = Server::bind(ServeOptions {
        listen: listen.unwrap_or_else(|| LISTEN.into()),
        is_open: args.open,
        drain: Duration::from_secs(config.drain_s.unwrap_or(DRAIN_SECONDS)),
        keys: project.keys.clone(),
    })?;
    let address = server.address();
    let session = project.open(false).await?;
    let mut file = None;
    let ready = || {
        if let Some(path) = &args.address_file {
            file = Some(AddressFile::write(path, &address.to_string())?);
        }
        super::note(&format!("Flight SQL on grpc://{address}, without encryption and without login; Ctrl-C stops"));
        Ok(())
    };
    server.run(session, ready).await?;
    Ok(ExitCode::SUCCESS)
}

/// A file with the address of a running server, removed when dropped.
#[derive(Debug)]
struct AddressFile(PathBuf);

impl AddressFile {
    /// Writes the file beside its place and renames it, so that it is never seen in part.
    fn write(path: &Path, address: &str) -> Result<Self> {
        let failed = |cause| Error::Io { action: "write", path: path.to_path_buf(), cause };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        writeln!(file, "{address}").map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(Self(path.to_path_buf()))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // somebody may have removed it
        let _ = std::fs::remove_file(&self.0);
    }
}
