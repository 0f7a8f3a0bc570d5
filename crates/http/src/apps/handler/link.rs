//! A worker's links to gateways: one for each socket, whoever uses it.
//!
//! ```text
//! Gateway -> keep (connect, back off) -> Line (one connection, its exchanges) -> drive (its bytes)
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use brim_service::LocalStream;
use brim_wire::link::{Content, Frame, FrameDecoder, HIGHEST, Hello, LOWEST, Limits, Side};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

mod call;
mod drive;
mod headers;
mod line;
mod open;
mod pieces;

pub(super) use call::{Answer, Failure, Piece};
pub(super) use headers::KEEP_ALIVE;
pub(super) use line::{Line, NotBegun};
pub(super) use open::{Open, message_bytes};

/// Bytes of an exchange that a gateway may send before it gets more credit.
pub(super) const CREDIT: u32 = 64 * 1024;
/// The longest payload that is taken.
const PAYLOAD: usize = 128 * 1024;
/// Most headers of a response.
const HEADERS: usize = 1000;
/// The first and the longest time between two attempts to connect.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long a gateway may take to greet: systemd takes the connection, and then starts it.
const GREETING: Duration = Duration::from_secs(60);
/// A link that lived so long is connected again at once. A gateway that stops may greet, and go.
const STABLE: Duration = Duration::from_millis(100);

thread_local! {
    /// The worker's links, those that somebody still uses. They outlive a reload.
    static GATEWAYS: RefCell<HashMap<PathBuf, Weak<Gateway>>> = RefCell::default();
}

/// A gateway, and the link to it while there is one.
pub(super) struct Gateway {
    path: PathBuf,
    /// Who we are, for its log.
    name: String,
    line: RefCell<Option<Rc<Line>>>,
    /// There is one now.
    up: Notify,
}

/// There is no link, and none came in time.
#[derive(Debug)]
pub(super) struct NoLink;

impl Gateway {
    /// The worker's link to the gateway that listens there. The first one who asks for it opens it.
    pub(super) fn at(path: &Path, name: &str) -> Rc<Self> {
        GATEWAYS.with_borrow_mut(|gateways| {
            if let Some(gateway) = gateways.get(path).and_then(Weak::upgrade) {
                return gateway;
            }
            let gateway = Rc::new(Self::new(path, name));
            gateways.retain(|_, gateway| gateway.strong_count() > 0);
            gateways.insert(path.to_owned(), Rc::downgrade(&gateway));
            tokio::task::spawn_local(keep(Rc::downgrade(&gateway), GREETING));
            gateway
        })
    }

    fn new(path: &Path, name: &str) -> Self {
        Self {
            path: path.to_owned(),
            name: name.to_owned(),
            line: RefCell::default(),
            up: Notify::new(),
        }
    }

    /// A link that takes a new exchange; waits for one for so long.
    pub(super) async fn line(&self, time: Duration) -> Result<Rc<Line>, NoLink> {
        if let Some(line) = self.open_line().filter(|line| line.has_room()) {
            return Ok(line);
        }
        let up = async {
            loop {
                let up = self.up.notified();
                let Some(line) = self.open_line() else {
                    up.await;
                    continue;
                };
                poll_fn(|cx| line.poll_room(cx)).await;
                // It may have been lost meanwhile.
                if line.is_open() {
                    return line;
                }
            }
        };
        // Boxed: most requests have no need of its room.
        Box::pin(timeout(time, up)).await.map_err(|_| NoLink)
    }

    fn open_line(&self) -> Option<Rc<Line>> {
        self.line.borrow().as_ref().filter(|line| line.is_open()).cloned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // What is open on it goes on to its end.
        if let Some(line) = self.line.take() {
            line.retire();
        }
    }
}

/// Opens the link, and opens it again when it is lost, as long as somebody wants it. `greeting`: how long a
/// gateway may take to greet.
async fn keep(gateway: Weak<Gateway>, greeting: Duration) {
    let mut pause = BACK_OFF.0;
    let mut told = false;
    loop {
        let Some((path, name)) = gateway.upgrade().map(|one| (one.path.clone(), one.name.clone()))
        else {
            return;
        };
        let since = Instant::now();
        match timeout(greeting, connect(&path, &name)).await {
            Ok(Ok((line, stream, decoder, early))) => {
                told = false;
                tracing::info!(gateway = %path.display(), peer = %line.peer(), "the link is open");
                tokio::task::spawn_local(drive::run(line.clone(), stream, decoder, early));
                let Some(gateway) = gateway.upgrade() else { return line.retire() };
                gateway.line.replace(Some(line.clone()));
                gateway.up.notify_waiters();
                drop(gateway);
                line.closes().await;
                tracing::info!(gateway = %path.display(), "the link takes no more requests");
            }
            Ok(Err(error)) if !told => {
                told = true;
                tracing::warn!(gateway = %path.display(), error = &error as &dyn std::error::Error, "no link, trying again");
            }
            Err(_) if !told => {
                told = true;
                tracing::warn!(gateway = %path.display(), "no link: it accepts and says nothing, trying again");
            }
            Ok(Err(_)) | Err(_) => {}
        }
        match since.elapsed() >= STABLE {
            true => pause = BACK_OFF.0,
            false => {
                // Not all workers at the same time.
                sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("no connection")]
    Io(#[from] std::io::Error),
    #[error("what answers there is no gateway")]
    Link(#[from] brim_wire::link::LinkError),
    #[error("it ended the connection before it said anything")]
    Ended,
    #[error("it takes no payload above {0} bytes, expected at least {LEAST_PAYLOAD}")]
    Payload(u32),
    #[error("it goes away: {0}")]
    GoAway(String),
}

/// A gateway that takes less could not get a usual head.
const LEAST_PAYLOAD: u32 = 1024;

async fn connect(
    path: &Path,
    name: &str,
) -> Result<(Rc<Line>, LocalStream, FrameDecoder, BytesMut), ConnectError> {
    let mut stream = LocalStream::connect(path).await?;
    let hello = Hello {
        lowest: LOWEST,
        highest: HIGHEST,
        credit: CREDIT,
        payload: u32::try_from(PAYLOAD).unwrap_or(u32::MAX),
        exchanges: 0,
        name: name.as_bytes().get(..255).unwrap_or(name.as_bytes()),
    };
    let mut greeting = Vec::new();
    Frame { exchange: 0, content: Content::Hello(hello) }.append(&mut greeting)?;
    stream.write_all(&greeting).await?;
    let limits = Limits { payload: PAYLOAD, headers: HEADERS };
    let mut decoder = FrameDecoder::new(Side::Gateway, limits);
    let mut bytes = BytesMut::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(ConnectError::Ended);
        }
        let mut input = &*bytes;
        let Some(frame) = decoder.decode(&mut input)? else { continue };
        let line = match frame.content {
            Content::Hello(hello) if hello.payload < LEAST_PAYLOAD => {
                return Err(ConnectError::Payload(hello.payload));
            }
            Content::Hello(hello) => Line::new(&hello, path),
            Content::GoAway(away) => {
                let text = String::from_utf8_lossy(away.text).into_owned();
                return Err(ConnectError::GoAway(text));
            }
            _ => return Err(ConnectError::Ended),
        };
        let used = bytes.len() - input.len();
        bytes::Buf::advance(&mut bytes, used);
        return Ok((Rc::new(line), stream, decoder, bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};

    use tokio::net::UnixListener;
    use tokio::task::LocalSet;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// The warnings.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    struct Message(String);

    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                let _ = write!(self.0, "{value:?}");
            }
        }
    }

    impl Subscriber for Log {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::WARN
        }

        fn event(&self, event: &Event<'_>) {
            let mut message = Message(String::new());
            event.record(&mut message);
            self.0.lock().expect("the log").push(message.0);
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[tokio::test]
    async fn a_gateway_that_accepts_and_says_nothing_is_told_of_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("link");
        let listener = UnixListener::bind(&path).expect("a socket");
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.clone());
        let tries = async {
            let gateway = Rc::new(Gateway::new(&path, "test"));
            let greeting = Duration::from_millis(10);
            tokio::task::spawn_local(keep(Rc::downgrade(&gateway), greeting));
            let mut silent = Vec::new();
            while silent.len() < 4 {
                silent.push(listener.accept().await.expect("a link"));
            }
        };
        LocalSet::new().run_until(tries).await;
        let logged = log.0.lock().expect("the log");
        assert_eq!(*logged, ["no link: it accepts and says nothing, trying again"]);
    }
}
