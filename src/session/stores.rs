//! [`Stores`]: object stores created when a query first names one: local files, `s3://bucket`, `http(s)://host`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::SessionOptions;
use crate::config::S3Config;
use crate::error::Error;

/// An [`ObjectStoreRegistry`] that creates stores on demand.
#[derive(Debug)]
pub(crate) struct Stores {
    s3: S3Config,
    made: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    #[cfg(test)]
    faults: Option<Arc<super::faults::Faults>>,
}

impl Stores {
    /// The stores of a session with these options.
    pub(crate) fn of(options: &SessionOptions) -> Self {
        Self {
            s3: options.s3.clone(),
            made: Mutex::new(HashMap::new()),
            #[cfg(test)]
            faults: options.faults.clone(),
        }
    }

    fn make(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match url.scheme() {
            "file" => Ok(Arc::new(LocalFileSystem::new())),
            "s3" => self.s3(url),
            "http" | "https" => {
                let origin = url.origin().ascii_serialization();
                let options = ClientOptions::new().with_allow_http(url.scheme() == "http");
                let builder = HttpBuilder::new().with_url(origin).with_client_options(options).with_retry(retry());
                Ok(Arc::new(builder.build()?))
            }
            scheme => Err(Error::usage(format!(
                "`{url}`: no storage is known for `{scheme}://`; use a local path, s3://, http:// or https://"
            ))
            .into()),
        }
    }

    fn s3(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let Some(bucket) = url.host_str() else {
            return Err(Error::usage(format!("`{url}` names no bucket; write s3://BUCKET/PATH")).into());
        };
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry());
        if let Some(endpoint) = &self.s3.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &self.s3.region {
            builder = builder.with_region(region);
        }
        if self.s3.anonymous {
            builder = builder.with_skip_signature(true);
        }
        let asked = |name: &str| std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        let allow_http = self.s3.allow_http || asked("AWS_ALLOW_HTTP");
        builder = builder.with_allow_http(allow_http);
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint).unwrap_or_default();
        if endpoint.starts_with("http://") && !allow_http {
            return Err(Error::usage(format!(
                "the S3 endpoint {endpoint} is plain http, which anybody on the way can read; use https, or say that \
                 you mean it with --allow-http, CXQL_ALLOW_HTTP=true or `[s3] allow_http = true`"
            ))
            .into());
        }
        Ok(Arc::new(builder.build()?))
    }
}

/// Retries: short outages are survived, permanent ones are reported within seconds.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(4),
            base: 2.,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(60),
    }
}

/// The key of a store: scheme and host.
fn key(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.authority())
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key(url), store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let removed = self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(url));
        removed.ok_or_else(|| DataFusionError::Plan(format!("no store is registered for {url}")))
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = made.get(&key(url)) {
            return Ok(Arc::clone(store));
        }
        let store = self.make(url)?;
        #[cfg(test)]
        let store = match &self.faults {
            Some(faults) => faults.store(store),
            None => store,
        };
        made.insert(key(url), Arc::clone(&store));
        Ok(store)
    }
}
