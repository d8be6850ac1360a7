//! TLS: certificates from files, reloaded when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::config::TlsFiles;
use crate::error::{Error, Result};

/// The TLS configuration of the current content of its files.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    current: Mutex<(Vec<Option<SystemTime>>, Arc<ServerConfig>)>,
}

impl Tls {
    /// # Errors
    /// A file that cannot be read or is no valid PEM file.
    pub(super) fn load(files: TlsFiles) -> Result<Self> {
        let current = (modified_times(&files), Arc::new(config(&files)?));
        Ok(Self { files, current: Mutex::new(current) })
    }

    /// The configuration of the next connection. Files that are invalid after a change leave the previous one.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let modified_times = modified_times(&self.files);
        if modified_times != current.0 {
            match config(&self.files) {
                Ok(config) => {
                    tracing::info!("the certificate was read again");
                    current.1 = Arc::new(config);
                }
                Err(error) => tracing::error!("the old certificate stays: {error}"),
            }
            // an invalid file is not read again until it changes
            current.0 = modified_times;
        }
        Arc::clone(&current.1)
    }
}

/// Modification times of the files.
fn modified_times(files: &TlsFiles) -> Vec<Option<SystemTime>> {
    let paths = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
    let modified_time = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
    paths.into_iter().flatten().map(modified_time).collect()
}

fn config(files: &TlsFiles) -> Result<ServerConfig> {
    let wrong = |path: &Path, cause: String| {
        Error::usage(format!("[serve] in cxql.toml: {}: {cause}; a PEM file is wanted", path.display()))
    };
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>> {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = read.map_err(|error| wrong(path, error.to_string()))?;
        if certificates.is_empty() {
            Err(wrong(path, "there is no certificate in it".into()))
        } else {
            Ok(certificates)
        }
    };
    let chain = certificates(&files.certificate)?;
    // the cause could contain a part of the key
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|_| wrong(&files.key, "there is no key in it".into()))?;
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Engine { message: error.to_string() })?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| wrong(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(path, error.to_string()))?)
        }
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|error| wrong(&files.certificate, format!("does not fit the key: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
