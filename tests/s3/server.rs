//! Servers that a test starts on a free port: S3 over a temporary folder, or plain files by HTTP, with faults on demand.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

pub(crate) const ACCESS_KEY: &str = "desk-reader";
pub(crate) const SECRET_KEY: &str = "not-so-secret";

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    List,
    Head,
    Get,
    Put,
    BeginUpload,
    UploadPart,
    CompleteUpload,
    AbortUpload,
    Other,
}

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) path: String,
    /// First and last byte asked for, and the size of the object.
    pub(crate) range: Option<(u64, u64, u64)>,
}

impl Request {
    fn of<B>(request: &hyper::Request<B>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let has = |key: &str| query.split('&').any(|pair| pair.split('=').next() == Some(key));
        let kind = match *request.method() {
            Method::GET if has("list-type") => Kind::List,
            Method::GET => Kind::Get,
            Method::HEAD => Kind::Head,
            Method::PUT if has("partNumber") => Kind::UploadPart,
            Method::PUT => Kind::Put,
            Method::POST if has("uploads") => Kind::BeginUpload,
            Method::POST if has("uploadId") => Kind::CompleteUpload,
            Method::DELETE if has("uploadId") => Kind::AbortUpload,
            _ => Kind::Other,
        };
        Self { kind, path: request.uri().path().to_owned(), range: None }
    }

    /// Whether a GET reads the end of an object, where Parquet has its footer.
    pub(crate) fn reads_end(&self) -> bool {
        self.kind == Kind::Get && self.range.is_none_or(|(_, last, size)| last + 1 == size)
    }
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The answer is 503.
    Unavailable,
    /// The answer is 403.
    Denied,
    /// Half of the body is sent, then the connection is cut.
    Cut,
    /// No answer comes.
    Silence,
}

type Condition = Box<dyn Fn(&Request) -> bool + Send>;

struct Rule {
    fault: Fault,
    applies: Condition,
    times_left: usize,
}

#[derive(Default)]
struct Log {
    requests: Vec<Request>,
    rules: Vec<Rule>,
    struck: usize,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no test fails while it holds the log")
    }

    /// The fault that strikes this request, if any.
    fn strike(&self, request: &Request) -> Option<Fault> {
        let mut log = self.lock();
        log.requests.push(request.clone());
        let rule = log.rules.iter_mut().find(|rule| rule.times_left > 0 && (rule.applies)(request));
        let fault = rule.map(|rule| {
            rule.times_left = rule.times_left.saturating_sub(1);
            rule.fault
        });
        log.struck += usize::from(fault.is_some());
        self.changed.notify_all();
        fault
    }

    fn note_range(&self, path: &str, response: &Response<Body>) {
        let text = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let range = text.and_then(|text| {
            let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
            let (first, last) = range.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
        });
        let Some((first, last, size)) = range else { return };
        let mut log = self.lock();
        // requests for one object may overlap: the oldest without a range is as good as any
        let open =
            log.requests.iter_mut().find(|seen| seen.kind == Kind::Get && seen.path == path && seen.range.is_none());
        if let Some(request) = open {
            request.range = Some((first, last, size));
        }
    }
}

#[derive(Clone)]
enum Service {
    S3(S3Service, Arc<PathBuf>),
    Files(Arc<PathBuf>),
}

impl Service {
    async fn answer(&self, request: hyper::Request<Incoming>) -> io::Result<Response<Body>> {
        match self {
            // S3 itself knows buckets; s3s-fs would make a folder for what is put into one that is missing
            Self::S3(_, folder) if !folder.join(bucket(request.uri().path())).is_dir() => Ok(missing_bucket()),
            Self::S3(service, _) => {
                service.call(request.map(Body::from)).await.map_err(|_| io::Error::other("no answer"))
            }
            Self::Files(folder) => Ok(file(folder, &request)),
        }
    }
}

fn bucket(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// The answer of S3, as its reference gives it.
fn missing_bucket() -> Response<Body> {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchBucket</Code>\
                <Message>The specified bucket does not exist</Message></Error>";
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// A file as a plain web server gives it: whole, in part, or its size alone.
fn file(folder: &Path, request: &hyper::Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let Ok(mut bytes) = fs::read(folder.join(request.uri().path().trim_start_matches('/'))).map(Bytes::from) else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let size = bytes.len();
    let headers = response.headers_mut();
    headers.insert(header::LAST_MODIFIED, HeaderValue::from_static("Sat, 01 Nov 2025 08:00:00 GMT"));
    headers.insert(header::ETAG, HeaderValue::from_static("\"1\""));
    let range = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|text| {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let last = last.parse::<usize>().map_or(size, |last| last + 1).min(size);
        match first.parse::<usize>() {
            Ok(first) => Some(first..last),
            Err(_) => Some(size - last..size),
        }
    });
    if let Some(range) = range {
        let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(&text).expect("digits are a header's text"));
        bytes = bytes.slice(range);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, bytes.len().into());
    if request.method() != Method::HEAD {
        *response.body_mut() = Body::from(bytes);
    }
    response
}

/// A body that ends in an error after some of its bytes.
struct Cut {
    inner: Body,
    bytes_left: usize,
    has_paused: bool,
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.bytes_left == 0 {
            if !self.has_paused {
                // what was given so far is on its way before the connection ends
                self.has_paused = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(io::Error::other("cut"))));
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let mut data = frame.into_data().unwrap_or_default();
                data.truncate(self.bytes_left);
                self.bytes_left -= data.len();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(_) => Poll::Ready(Some(Err(io::Error::other("cut")))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn refusal(code: &str, status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("<Error><Code>{code}</Code></Error>")));
    *response.status_mut() = status;
    response
}

async fn answer(
    shared: Arc<Shared>,
    service: Service,
    request: hyper::Request<Incoming>,
) -> io::Result<Response<Body>> {
    let seen = Request::of(&request);
    match shared.strike(&seen) {
        Some(Fault::Unavailable) => Ok(refusal("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE)),
        Some(Fault::Denied) => Ok(refusal("AccessDenied", StatusCode::FORBIDDEN)),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Cut) => {
            let response = service.answer(request).await?;
            shared.note_range(&seen.path, &response);
            let length = response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
            let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
            Ok(response.map(|inner| Body::http_body_unsync(Cut { inner, bytes_left: length / 2, has_paused: false })))
        }
        None => {
            let response = service.answer(request).await?;
            shared.note_range(&seen.path, &response);
            Ok(response)
        }
    }
}

async fn serve(shared: Arc<Shared>, service: Service, socket: TcpStream) {
    let each = |request| answer(Arc::clone(&shared), service.clone(), request);
    // a client that goes away, and a cut, end the connection: nothing else is to be done
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(each)).await;
}

/// A server over a temporary folder. It ends with the test.
pub(crate) struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    folder: TempDir,
    _runtime: Runtime,
}

impl Server {
    /// An S3 server; each folder below its own is a bucket.
    pub(crate) fn s3() -> Self {
        Self::start(|folder| {
            let mut builder = S3ServiceBuilder::new(FileSystem::new(folder).expect("the folder is there"));
            builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
            Service::S3(builder.build(), Arc::new(folder.to_path_buf()))
        })
    }

    /// A web server that gives the files of its folder.
    pub(crate) fn files() -> Self {
        Self::start(|folder| Service::Files(Arc::new(folder.to_path_buf())))
    }

    fn start(make: impl FnOnce(&Path) -> Service) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let service = make(folder.path());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("the system gives threads");
        let shared = Arc::new(Shared::default());
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("there is a free port");
        let address = listener.local_addr().expect("the port is known");
        let log = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&log), service.clone(), socket));
            }
        });
        Self { shared, address, folder, _runtime: runtime }
    }

    /// The server's address, such as `http://127.0.0.1:40123`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder whose folders are buckets.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a bucket.
    pub(crate) fn bucket(&self, name: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::create_dir_all(&path).expect("a bucket can be made");
        path
    }

    /// Lets a fault strike the next `times` requests for which `applies` holds.
    pub(crate) fn fault(&self, fault: Fault, times: usize, applies: impl Fn(&Request) -> bool + Send + 'static) {
        self.shared.lock().rules.push(Rule { fault, applies: Box::new(applies), times_left: times });
    }

    /// How many requests were struck by a fault.
    pub(crate) fn struck(&self) -> usize {
        self.shared.lock().struck
    }

    /// The requests since the last call.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.lock().requests)
    }

    /// Waits until a request of this kind has come.
    pub(crate) fn wait_for(&self, kind: Kind) {
        let is_missing = |log: &mut Log| !log.requests.iter().any(|request| request.kind == kind);
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), Duration::from_secs(120), is_missing);
        let (_log, waited) = waited.expect("no test fails while it holds the log");
        assert!(!waited.timed_out(), "no {kind:?} within two minutes");
    }

    /// The server's records of uploads that are neither completed nor aborted.
    pub(crate) fn open_uploads(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder()).expect("the folder can be read");
        let names = files.map(|file| file.expect("the folder can be read").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(".upload-")).collect()
    }
}
