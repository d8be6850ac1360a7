//! Panics of libraries that decode files and messages of others, as errors.
//!
//! A corrupt file or message may end in an assertion of a library. [`catch`], [`catch_future`] and [`CatchStream`] turn it
//! into a [`CaughtPanic`]; meanwhile the panic hook of the program is silent, because the error is reported.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use datafusion::error::DataFusionError;
use futures::Stream;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Crates that decode. A panic in one of them is reported as an error, also where a task of DataFusion runs it.
const DECODERS: [&str; 14] = [
    "/parquet-",
    "/arrow-",
    "/arrow_",
    "/bytes-",
    "/flatbuffers-",
    "/lz4_flex-",
    "/zstd-",
    "/snap-",
    "/brotli",
    "/flate2-",
    "/miniz_oxide-",
    "/thrift-",
    "/half-",
    "/bzip2",
];

/// A panic that was caught.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CaughtPanic(String);

impl From<CaughtPanic> for DataFusionError {
    fn from(panic: CaughtPanic) -> Self {
        Self::External(Box::new(panic))
    }
}

/// Whether a panic at this file is caught and reported as an error.
pub(crate) fn is_caught(file: &str) -> bool {
    IS_CAUGHT.get() || DECODERS.iter().any(|name| file.contains(name))
}

/// Restores the flag of the thread, also when a panic unwinds.
struct Scope(bool);

impl Scope {
    fn enter() -> Self {
        Self(IS_CAUGHT.replace(true))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        IS_CAUGHT.set(self.0);
    }
}

/// Beginnings of the messages of panics that the compiler and the standard library write: they say nothing of the data.
const LANGUAGE_PANICS: [&str; 16] = [
    "assertion ",
    "attempt to ",
    "byte index ",
    "called `",
    "capacity overflow",
    "copy_from_slice",
    "end byte index ",
    "explicit panic",
    "index out of bounds",
    "internal error: entered unreachable",
    "mid > len",
    "not implemented",
    "not yet implemented",
    "range ",
    "slice index ",
    "start byte index ",
];

/// What the panic of a decoder says of the data.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the decoder stopped");
    let line = text.lines().next().unwrap_or_default();
    if LANGUAGE_PANICS.iter().any(|beginning| line.starts_with(beginning)) {
        return "its parts do not fit together: a length, an offset or a type in it is wrong".to_owned();
    }
    line.to_owned()
}

/// Runs a decoder.
///
/// # Errors
/// The message of its panic.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    let _scope = Scope::enter();
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| CaughtPanic(message(panic.as_ref())))
}

/// Runs a future that decodes, on whatever threads it is polled.
///
/// # Errors
/// The message of its panic.
pub(crate) async fn catch_future<T>(work: impl Future<Output = T>) -> Result<T, CaughtPanic> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| match catch(|| work.as_mut().poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// A stream whose panic is its last item.
pub(crate) struct CatchStream<S>(Option<S>);

impl<S> CatchStream<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(Some(stream))
    }
}

impl<T, E: From<CaughtPanic>, S: Stream<Item = Result<T, E>> + Unpin> Stream for CatchStream<S> {
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.0 else { return Poll::Ready(None) };
        // not silent: a panic that is no decoder's is a fault of the program
        match catch_unwind(AssertUnwindSafe(|| Pin::new(stream).poll_next(cx))) {
            Ok(polled) => polled,
            Err(panic) => {
                // the state of what has panicked is not known
                self.0 = None;
                Poll::Ready(Some(Err(CaughtPanic(message(panic.as_ref())).into())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_the_thread_is_loud_again() {
        let caught = catch(|| {
            assert!(is_caught("src/x.rs"));
            panic!("index {} out of range\nmore", 7)
        });
        let caught: Result<(), _> = caught;
        assert_eq!(caught.unwrap_err().to_string(), "index 7 out of range");
        let none: Result<u8, _> = catch(|| [1, 2].into_iter().find(|x| *x > 2).unwrap());
        assert!(none.unwrap_err().to_string().starts_with("its parts do not fit together"));
        assert!(!is_caught("src/x.rs"));
        assert!(is_caught("/registry/src/index/parquet-59.3.2/src/file/reader.rs"));
    }
}
