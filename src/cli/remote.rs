//! `cxql query --server URL`: executes a query on a server.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{Action, CancelFlightInfoRequest, FlightData, FlightInfo};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, stream};
use prost::Message;
use tokio::runtime::Handle;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Request, Status, Streaming};

use super::results::{self, ResultArgs};
use crate::error::{Error, Result, with_all_causes};
use crate::execute::PlannedStatement;
use crate::flight::{CANCEL_FLIGHT_INFO, CANCEL_QUERY_ID};
use crate::ipc::{FlightBatches, FlightFault};
use crate::project::Project;
use crate::session::{Session, SessionOptions};
use crate::source::Source;

/// Requests compressed batches: compression is faster than networks.
const COMPRESSION: (&str, &str) = ("x-cxql-compression", "lz4");

/// The server and the credentials.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerArgs {
    /// Ask a server, such as grpc://localhost:32010 or grpc+tls://HOST:PORT, in place of the project's data
    #[arg(long, value_name = "URL")]
    pub(super) server: Option<String>,
    /// The user; the password is that of CXQL_PASSWORD, or asked for. CXQL_TOKEN has a token in place of both
    #[arg(long, value_name = "NAME", env = "CXQL_USER", hide_env_values = true)]
    user: Option<String>,
    /// PEM file of the authority of the server's certificate [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// Stop a running query of the server by its id, as system.queries has it
    #[arg(long, value_name = "QUERY_ID", requires = "server", conflicts_with = "sql")]
    pub(super) cancel: Option<String>,
}

type Client = FlightSqlServiceClient<InterceptedService<Channel, Headers>>;

/// Adds the headers of every request.
#[derive(Debug, Clone, Default)]
struct Headers {
    authorization: Option<AsciiMetadataValue>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(COMPRESSION.0, AsciiMetadataValue::from_static(COMPRESSION.1));
        if let Some(authorization) = self.authorization.clone() {
            request.metadata_mut().insert("authorization", authorization);
        }
        Ok(request)
    }
}

/// Converts a server's error; its message is that of the local command line.
fn server_error(error: FlightError) -> Error {
    match error {
        FlightError::Tonic(status) if !status.message().is_empty() => Error::data(status.message()),
        FlightError::Tonic(status) => Error::data(format!("the server answers {}", status.code())),
        other => Error::data(format!("the server's answer cannot be read: {other}")),
    }
}

/// Executes SQL on the server, or cancels a query there.
pub(super) async fn run(
    args: ServerArgs,
    url: &str,
    text: String,
    result: &ResultArgs,
    project: Project,
) -> Result<ExitCode> {
    let mut client = connect(&args, url).await?;
    if let Some(id) = &args.cancel {
        return cancel(&mut client, id).await;
    }
    let source = Arc::new(Source::query(&text));
    let text = if result.explain { format!("explain {text}") } else { text };
    let info = client.execute(text, None).await.map_err(server_error)?;
    let schema = crate::panics::catch(|| info.clone().try_decode_schema());
    let schema = schema.map_err(|panic| Error::data(format!("the server's answer cannot be read: {panic}")))?;
    let schema: SchemaRef = Arc::new(schema.map_err(|error| server_error(error.into()))?);
    let ticket = info.endpoint.first().and_then(|endpoint| endpoint.ticket.clone());
    let ticket = ticket.ok_or_else(|| Error::data("the server's answer has no rows to fetch"))?;
    let messages = client.inner_mut().do_get(ticket).await;
    let messages = messages.map_err(|status| server_error(status.into()))?.into_inner();
    let rows = Rows { schema: Arc::clone(&schema), messages: Mutex::new(Some(messages)) };
    let engine = |error: DataFusionError| Error::Engine { message: error.strip_backtrace() };
    let table = StreamingTable::try_new(schema, vec![Arc::new(rows)]).map_err(engine)?;
    let plan = LogicalPlanBuilder::scan("result", provider_as_source(Arc::new(table)), None);
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(engine)?;
    // limits and stores are the project's, the data is the server's
    let options =
        SessionOptions { data: None, tables: Default::default(), views: Default::default(), ..project.options };
    let session = Session::open(options).await?;
    let statement = PlannedStatement::new(None, source, plan);
    let result = ResultArgs { explain: false, ..result.clone() };
    match results::show(&session, &result, vec![statement], None).await {
        Err(Error::Stopped) => {
            stop(&mut client, info).await;
            Err(Error::Stopped)
        }
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

async fn connect(args: &ServerArgs, url: &str) -> Result<Client> {
    let wanted = "grpc://HOST:PORT or grpc+tls://HOST:PORT is wanted";
    let (scheme, place) = url.split_once("://").unwrap_or(("grpc", url));
    let is_encrypted = match scheme {
        "grpc" | "grpc+tcp" | "http" => false,
        "grpc+tls" | "https" => true,
        _ => return Err(Error::usage(format!("--server: {wanted}, got `{url}`"))),
    };
    let token = std::env::var("CXQL_TOKEN").ok().filter(|token| !token.is_empty());
    let is_secret = token.is_some() || args.user.is_some();
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    if is_secret && !is_encrypted && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return Err(Error::usage(format!(
            "--server: a password or token would go to `{host}` unencrypted; use grpc+tls://{place}"
        )));
    }
    let scheme = if is_encrypted { "https" } else { "http" };
    let endpoint = Channel::from_shared(format!("{scheme}://{place}"));
    let mut endpoint = endpoint.map_err(|error| Error::usage(format!("--server: {wanted}, got `{url}`: {error}")))?;
    if is_encrypted {
        let tls = ClientTlsConfig::new().ca_certificates(authorities(args)?);
        endpoint =
            endpoint.tls_config(tls).map_err(|error| Error::usage(format!("--server: {}", with_all_causes(&error))))?;
    }
    let channel = endpoint.connect().await;
    let channel =
        channel.map_err(|error| Error::data(format!("cannot connect to {url}: {}", with_all_causes(&error))))?;
    let authorization = match (token, &args.user) {
        (Some(token), _) => Some(format!("Bearer {token}")),
        (None, Some(user)) => {
            let password =
                match std::env::var("CXQL_PASSWORD") {
                    Ok(password) => password,
                    Err(_) => rpassword::prompt_password(format!("password of {user}: "))
                        .map_err(|cause| Error::Io { action: "read", path: "the password".into(), cause })?,
                };
            Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
        }
        (None, None) => None,
    };
    let authorization = authorization.map(|text| text.parse()).transpose();
    let authorization = authorization.map_err(|_| Error::usage("CXQL_TOKEN: a token has no spaces or line ends"))?;
    let channel = InterceptedService::new(channel, Headers { authorization });
    Ok(FlightSqlServiceClient::new(channel))
}

/// The trusted certificate authorities.
fn authorities(args: &ServerArgs) -> Result<Vec<Certificate>> {
    if let Some(path) = &args.ca {
        let pem = std::fs::read(path)
            .map_err(|cause| Error::usage(format!("--ca: cannot read {}: {cause}", path.display())))?;
        return Ok(vec![Certificate::from_pem(pem)]);
    }
    let pem = |der: &[u8]| {
        let text = BASE64_STANDARD.encode(der);
        Certificate::from_pem(format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"))
    };
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err(Error::usage("the system has no certificates of authorities; name a file with --ca"));
    }
    Ok(found.iter().map(|certificate| pem(certificate)).collect())
}

/// Cancels a query by its id.
async fn cancel(client: &mut Client, id: &str) -> Result<ExitCode> {
    let action = Action { r#type: CANCEL_QUERY_ID.into(), body: id.to_owned().into_bytes().into() };
    client
        .do_action(action)
        .await
        .map_err(server_error)?
        .message()
        .await
        .map_err(|status| server_error(status.into()))?;
    super::note(&format!("query {id} is stopped"));
    Ok(ExitCode::SUCCESS)
}

/// Cancels an abandoned query. The server would also cancel it when the connection ends, but without acknowledgement.
async fn stop(client: &mut Client, info: FlightInfo) {
    let body = CancelFlightInfoRequest { info: Some(info) }.encode_to_vec().into();
    if let Ok(mut answer) = client.do_action(Action { r#type: CANCEL_FLIGHT_INFO.into(), body }).await {
        // a server that does not answer notices the closed connection
        let _ = answer.message().await;
    }
}

/// The batches of the server.
struct Rows {
    schema: SchemaRef,
    messages: Mutex<Option<Streaming<FlightData>>>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
        let rows = match messages {
            Some(messages) => {
                let pool = context.memory_pool();
                let limit = match pool.memory_limit() {
                    MemoryLimit::Finite(limit) => limit,
                    _ => usize::MAX,
                };
                let batches = FlightBatches::new(messages, limit, pool, "rows of the server", Handle::current());
                stream::try_unfold(batches, async |mut batches| {
                    let batch = batches.next().await.map_err(|fault| match fault {
                        FlightFault::Status(status) => server_error(status.into()),
                        FlightFault::Message(fault) => {
                            Error::data(format!("the server's answer cannot be read: {fault}"))
                        }
                    })?;
                    Ok(batch.map(|batch| (batch, batches)))
                })
                .boxed()
            }
            None => {
                let error = DataFusionError::from(Error::data("the rows of a server come only once"));
                stream::iter([Err(error)]).boxed()
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
