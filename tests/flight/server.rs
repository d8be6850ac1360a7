//! A server in a folder of its own, and how it starts and stops.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// How long anything may take; what takes longer will never happen.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) type Client = FlightSqlServiceClient<Channel>;

/// The sample data of the repository.
pub(crate) fn sample() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").display().to_string()
}

/// The program with nothing of the environment but the path.
fn cxql(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxql"));
    command.args(args).current_dir(folder).stdin(Stdio::null()).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// A running server, killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    pub(crate) folder: TempDir,
    log: Arc<(Mutex<String>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Served {
    /// A server over the sample data.
    pub(crate) fn sample() -> Self {
        Self::start(&[], &["--data", &sample()])
    }

    /// A server in a folder with these files.
    pub(crate) fn start(files: &[(&str, &str)], args: &[&str]) -> Self {
        Self::started(files, args, cxql)
    }

    /// The same with so many open files at most.
    #[cfg(unix)]
    pub(crate) fn limited(open_files: usize, files: &[(&str, &str)], args: &[&str]) -> Self {
        Self::started(files, args, |folder, all| {
            let plain = cxql(folder, all);
            let mut command = Command::new("sh");
            let script = format!("ulimit -n {open_files} && exec \"$0\" \"$@\"");
            command.args(["-c", &script]).arg(plain.get_program()).args(plain.get_args());
            command.current_dir(folder).stdin(Stdio::null()).env_clear();
            command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
            command
        })
    }

    fn started(files: &[(&str, &str)], args: &[&str], command: impl Fn(&Path, &[&str]) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
            fs::write(path, text).expect("the file can be written");
        }
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--address-file", "address"];
        all.extend(args);
        let mut command = command(folder.path(), &all);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::new((Mutex::new(String::new()), Condvar::new()));
        // the line comes when clients can connect
        let mut line = String::new();
        while !line.contains("Flight SQL on ") {
            line.clear();
            let read = stderr.read_line(&mut line).expect("a log");
            assert!(read > 0, "the server ended: {}", log.0.lock().unwrap());
            log.0.lock().unwrap().push_str(&line);
        }
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                kept.0.lock().unwrap().push_str(&line);
                kept.1.notify_all();
                line.clear();
            }
        });
        let address = fs::read_to_string(folder.path().join("address")).expect("the address file");
        Self { child, address: address.trim().to_owned(), folder, log, reader: Some(reader) }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await.expect("the server answers")
    }

    pub(crate) async fn client(&self) -> Client {
        FlightSqlServiceClient::new(self.channel().await)
    }

    /// A client that trusts a certificate's authority, and has a certificate of its own.
    pub(crate) async fn tls_client(&self, ca: &str, own: Option<Identity>) -> Result<Client, tonic::transport::Error> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
        let tls = match own {
            Some(own) => tls.identity(own),
            None => tls,
        };
        let endpoint =
            Channel::from_shared(format!("https://{}", self.address)).expect("an address").tls_config(tls)?;
        Ok(FlightSqlServiceClient::new(endpoint.connect().await?))
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }

    /// What the server has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().clone()
    }

    /// Waits until the server has said something.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        let waiting = |log: &mut String| !log.contains(text);
        let log = self.log.1.wait_timeout_while(self.log.0.lock().unwrap(), LIMIT, waiting).unwrap().0;
        assert!(log.contains(text), "no `{text}` in {log}");
    }

    /// Sends a signal by its name.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill").success());
    }

    /// Waits for the end; what the server has said is whole then.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("it ends");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read");
        }
        status
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // one that has ended is gone already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status below a client's error.
pub(crate) fn status(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => panic!("{other}"),
    }
}

/// The rows of a result as one batch. What was promised is what comes, to the last nullability and metadata.
pub(crate) async fn fetch(client: &mut Client, info: FlightInfo) -> Result<RecordBatch, Status> {
    let promised: SchemaRef = Arc::new(info.clone().try_decode_schema().expect("a schema"));
    let ticket = info.endpoint[0].ticket.clone().expect("a ticket");
    let stream = client.do_get(ticket).await.map_err(status)?;
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(status)?;
    for batch in &batches {
        assert_eq!(batch.schema(), promised);
    }
    Ok(concat_batches(&promised, &batches).expect("one schema"))
}

/// Runs a statement.
pub(crate) async fn query(client: &mut Client, sql: &str) -> Result<RecordBatch, Status> {
    let info = client.execute(sql.to_owned(), None).await.map_err(status)?;
    fetch(client, info).await
}

/// The program in a folder.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    cxql(folder, args)
}

/// Runs the program to its end.
pub(crate) fn run(files: &[(&str, &str)], args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the file can be written");
    }
    cxql(folder.path(), args).output().expect("it runs")
}

#[tokio::test]
async fn the_address_is_told_when_clients_can_connect() {
    let served = Served::sample();
    assert!(served.address.starts_with("127.0.0.1:"), "{}", served.address);
    served.says("without encryption, without login");
    let mut client = served.client().await;
    assert_eq!(query(&mut client, "select 1 as one").await.unwrap().num_rows(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_is_stopped_lets_its_queries_end() {
    for signal in ["TERM", "INT"] {
        let mut served = Served::sample();
        let mut client = served.client().await;
        let sql = "select count(*) as n from generate_series(1, 3000000) a(x) where x % 7 <> 1";
        let info = client.execute(sql.to_owned(), None).await.unwrap();
        let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        served.signal(signal);
        let mut rows = 0;
        while let Some(batch) = stream.try_next().await.unwrap() {
            rows += batch.num_rows();
        }
        assert_eq!(rows, 1);
        drop((stream, client));
        assert!(served.wait().success(), "{}", served.log());
        assert!(!served.folder.path().join("address").exists());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_client_closes_its_statement_while_the_server_stops() {
    let mut served = Served::sample();
    let mut client = served.client().await;
    let sql = "select count(*) as n from generate_series(1, 3000000) a(x) where x % 7 <> 1";
    let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    let info = prepared.execute().await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    served.signal("TERM");
    served.says("stopping");
    // no new statement, also on an open connection, and no new connection
    let error = status(client.execute("select 1".to_owned(), None).await.unwrap_err());
    assert_eq!(error.code(), tonic::Code::Unavailable, "{error:?}");
    assert!(error.message().contains("the server is stopping"), "{error:?}");
    assert_eq!(stream.try_next().await.unwrap().unwrap().num_rows(), 1);
    assert!(stream.try_next().await.unwrap().is_none());
    prepared.close().await.unwrap();
    drop((stream, client));
    assert!(served.wait().success(), "{}", served.log());
}

#[cfg(unix)]
#[tokio::test]
async fn a_query_that_never_ends_does_not_keep_the_server() {
    let mut served = Served::start(&[("cxql.toml", "[serve]\ndrain_s = 0\n")], &["--data", &sample()]);
    let mut client = served.client().await;
    let sql = "select count(*) from generate_series(1, 1000000000000) a(x) where x % 7 <> 1";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    served.signal("TERM");
    assert!(stream.try_next().await.is_err(), "half a result looks like an error");
    assert!(served.wait().success());
    served.says("are cancelled");
}

#[test]
fn other_machines_are_let_in_only_when_asked() {
    let out = run(&[], &["serve", "--listen", "0.0.0.0:0"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(
        text.contains("--open") && text.contains("does not encrypt") && text.contains("asks for no login"),
        "{text}"
    );
    let out = run(&[], &["serve", "--listen", "nowhere"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("write HOST:PORT"));
}

#[test]
fn the_configuration_is_checked() {
    let out = run(&[("cxql.toml", "[serve]\nlisten = '127.0.0.1:0'\nport = 1\n")], &["serve"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(text.contains("cxql.toml:3:1") && text.contains("port"), "{text}");
    let args = ["serve", "--listen", "127.0.0.1:0", "--data", &sample()];
    let out = run(&[("cxql.toml", "[keys]\ninteractoins = ['interaction_id']\n")], &args);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(text.contains("did you mean `interactions`?"), "{text}");
}
