//! Clients of every kind at once: files and an upstream, in the clear and by TLS, over HTTP/1.1 and
//! HTTP/2. They never stop asking, and remember everything that went wrong.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::certificate::{Authority, NAME};

/// How long a client waits for an answer before it counts that as a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// Requests at once on each HTTP/2 connection.
const STREAMS: usize = 4;
/// How often a request is sent again that the server has said it did not look at.
const REPEATS: usize = 5;

type Trouble = Box<dyn Error + Send + Sync>;
type Content = Empty<Bytes>;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A file on a kept connection.
    File,
    /// A file on a connection of its own.
    FileFresh,
    /// The upstream on a kept connection.
    Proxy,
    /// A file by TLS on a kept connection.
    Tls,
    /// The upstream by TLS, with a handshake for each request.
    TlsFresh,
    /// Files and the upstream over HTTP/2 by TLS, several requests at once.
    Http2,
}

pub(crate) const ALL: &[Kind] =
    &[Kind::File, Kind::FileFresh, Kind::Proxy, Kind::Tls, Kind::TlsFresh, Kind::Http2];

/// Where to ask.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// A file and what is in it.
    pub(crate) file: (&'static str, &'static [u8]),
    /// A path of the upstream's and what it answers.
    pub(crate) app: (&'static str, &'static [u8]),
    h1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
}

impl Site {
    pub(crate) fn new(
        plain: SocketAddr,
        tls: SocketAddr,
        file: (&'static str, &'static [u8]),
        app: (&'static str, &'static [u8]),
        authority: &Authority,
    ) -> Self {
        let (h1, h2) = (authority.client(&["http/1.1"]), authority.client(&["h2"]));
        Self { plain, tls, file, app, h1, h2 }
    }
}

/// What clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Answers by kind and status.
    pub(crate) answers: BTreeMap<(Kind, u16), usize>,
    pub(crate) failures: Vec<String>,
    /// From each request to its whole answer.
    pub(crate) times: Vec<Duration>,
    /// Requests of HTTP/2 that found their connection about to end before they were sent.
    pub(crate) unsent: usize,
    /// Requests of HTTP/2 that were sent, and that a server which was about to go had not looked at.
    pub(crate) unprocessed: usize,
    /// When there was an answer with another status than 200 for the last time.
    pub(crate) last_odd: Option<Instant>,
}

impl Seen {
    /// Answers of a kind, whatever their status.
    pub(crate) fn of(&self, kind: Kind) -> usize {
        self.answers.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| count).sum()
    }

    /// Every status that there was.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let mut statuses: Vec<_> = self.answers.keys().map(|(_, status)| *status).collect();
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }

    /// The time within which this share of the answers came.
    pub(crate) fn within(&self, share: f64) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = (times.len() as f64 * share) as usize;
        times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// Nobody may have noticed anything, and each kind must have been at work.
    pub(crate) fn unnoticed(&self, kinds: &[Kind], least: usize, what: &str) {
        println!("{what}: {self}");
        let some: Vec<_> = self.failures.iter().take(5).collect();
        assert!(self.failures.is_empty(), "{what}: {} failures: {some:#?}", self.failures.len());
        assert_eq!(self.statuses(), [200], "{what}: {:?}", self.answers);
        for kind in kinds {
            let count = self.of(*kind);
            assert!(count >= least, "{what}: only {count} answers of {kind:?}");
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((kind, status), count) in &self.answers {
            write!(f, "{count} {kind:?} {status}, ")?;
        }
        write!(
            f,
            "{} failures, {} unsent and {} unprocessed ones repeated, median {:?}, p99 {:?}, slowest {:?}",
            self.failures.len(),
            self.unsent,
            self.unprocessed,
            self.within(0.5),
            self.within(0.99),
            self.within(1.0)
        )
    }
}

/// Clients at work.
pub(crate) struct Mixed {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
}

/// A trial that fails leaves nobody behind.
impl Drop for Mixed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Mixed {
    /// Starts `count` clients of each kind; between two requests each of them makes this pause.
    pub(crate) fn start(site: &Site, kinds: &[Kind], count: usize, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let kinds: Vec<_> = kinds.iter().flat_map(|kind| vec![*kind; count]).collect();
        let (site, halt, notes) = (site.clone(), stop.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let local = LocalSet::new();
            let client = Rc::new(Client { site, pause, stop: halt, seen: notes });
            for kind in kinds {
                local.spawn_local(client.clone().work(kind));
            }
            runtime.expect("a runtime").block_on(local);
        });
        Self { stop, thread: Some(thread), seen }
    }

    /// What was seen so far is forgotten, and handed over.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().expect("clients do not panic"))
    }

    /// Ends the clients and says what they saw.
    pub(crate) fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("clients do not panic");
        }
        std::mem::take(&mut *self.seen.lock().expect("clients do not panic"))
    }
}

struct Client {
    site: Site,
    pause: Duration,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    async fn work(self: Rc<Self>, kind: Kind) {
        match kind {
            Kind::File => self.keep(kind, self.site.file).await,
            Kind::Proxy => self.keep(kind, self.site.app).await,
            Kind::Tls => self.keep(kind, self.site.file).await,
            Kind::FileFresh => self.fresh(kind, self.site.file).await,
            Kind::TlsFresh => self.fresh(kind, self.site.app).await,
            Kind::Http2 => self.streams(kind).await,
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// One connection for as long as it lasts, and then the next.
    async fn keep(&self, kind: Kind, (path, content): (&str, &[u8])) {
        let mut kept = None;
        while self.goes_on() {
            let started = Instant::now();
            let answer = self.within_patience(self.on_kept(kind, path, &mut kept)).await;
            if answer.is_err() {
                kept = None;
            }
            self.note(kind, started, content, answer).await;
        }
    }

    async fn on_kept(
        &self,
        kind: Kind,
        path: &str,
        kept: &mut Option<http1::SendRequest<Content>>,
    ) -> Result<(u16, Bytes), Trouble> {
        let mut sender = match kept.take() {
            Some(sender) => sender,
            None => self.connect(kind).await?,
        };
        let answer = sender.send_request(request(kind, path)?).await?;
        let closes = answer.headers().get("connection").is_some_and(|value| value == "close");
        let answer = whole(answer).await?;
        if !closes {
            sender.ready().await?;
            *kept = Some(sender);
        }
        Ok(answer)
    }

    /// A connection for each request.
    async fn fresh(&self, kind: Kind, (path, content): (&str, &[u8])) {
        while self.goes_on() {
            let started = Instant::now();
            let once = async {
                let mut request = request(kind, path)?;
                request.headers_mut().insert("connection", "close".parse()?);
                whole(self.connect(kind).await?.send_request(request).await?).await
            };
            let answer = self.within_patience(once).await;
            self.note(kind, started, content, answer).await;
        }
    }

    async fn connect(&self, kind: Kind) -> Result<http1::SendRequest<Content>, Trouble> {
        async fn speak<T>(stream: T) -> Result<http1::SendRequest<Content>, Trouble>
        where
            T: AsyncRead + AsyncWrite + Unpin + 'static,
        {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            spawn_local(connection);
            Ok(sender)
        }
        match kind {
            Kind::Tls | Kind::TlsFresh => speak(self.shake_hands(&self.site.h1).await?).await,
            _ => speak(open(self.site.plain).await?).await,
        }
    }

    async fn shake_hands(
        &self,
        config: &Arc<ClientConfig>,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Trouble> {
        let stream = open(self.site.tls).await?;
        let name = ServerName::try_from(NAME)?;
        Ok(TlsConnector::from(config.clone()).connect(name, stream).await?)
    }

    /// One connection of HTTP/2 with several requests at any time.
    async fn streams(self: Rc<Self>, kind: Kind) {
        let sender = Rc::new(tokio::sync::Mutex::new(None));
        let ask = |client: Rc<Self>, sender: Rc<tokio::sync::Mutex<_>>, place| async move {
            let (path, content): (&str, &[u8]) = place;
            while client.goes_on() {
                let started = Instant::now();
                let answer = client.within_patience(client.on_stream(path, &sender)).await;
                client.note(kind, started, content, answer).await;
            }
        };
        let streams: Vec<_> = (0..STREAMS)
            .map(|number| {
                let place = if number % 2 == 0 { self.site.file } else { self.site.app };
                spawn_local(ask(self.clone(), sender.clone(), place))
            })
            .collect();
        for stream in streams {
            stream.await.expect("clients do not panic");
        }
    }

    /// RFC 9113 section 8.7: what the server refused or never saw is asked again.
    async fn on_stream(
        &self,
        path: &str,
        kept: &tokio::sync::Mutex<Option<http2::SendRequest<Content>>>,
    ) -> Result<(u16, Bytes), Trouble> {
        let mut left = REPEATS;
        loop {
            let mut sender = self.stream(kept).await?;
            let request = request(Kind::Http2, path)?;
            let answer = match sender.try_send_request(request).await {
                Ok(answer) => answer,
                Err(mut failed) => {
                    kept.lock().await.take_if(|kept| kept.is_closed());
                    let unsent = failed.take_message().is_some();
                    let error = failed.into_error();
                    if left > 0 && (unsent || is_unprocessed(&error)) {
                        left -= 1;
                        let mut seen = self.seen.lock().expect("clients do not panic");
                        seen.unsent += usize::from(unsent);
                        seen.unprocessed += usize::from(!unsent);
                        continue;
                    }
                    return Err(error.into());
                }
            };
            return whole(answer).await;
        }
    }

    async fn stream(
        &self,
        kept: &tokio::sync::Mutex<Option<http2::SendRequest<Content>>>,
    ) -> Result<http2::SendRequest<Content>, Trouble> {
        let mut kept = kept.lock().await;
        if let Some(sender) = kept.as_mut()
            && !sender.is_closed()
            && sender.ready().await.is_ok()
        {
            return Ok(sender.clone());
        }
        let stream = TokioIo::new(self.shake_hands(&self.site.h2).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        spawn_local(connection);
        Ok(kept.insert(sender).clone())
    }

    async fn within_patience<T>(
        &self,
        answer: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        timeout(PATIENCE, answer).await.map_err(|_| "no answer in time")?
    }

    async fn note(
        &self,
        kind: Kind,
        started: Instant,
        content: &[u8],
        answer: Result<(u16, Bytes), Trouble>,
    ) {
        let now = Instant::now();
        let took = now - started;
        let failed = {
            let mut seen = self.seen.lock().expect("clients do not panic");
            match answer {
                Ok((200, body)) if body != content => {
                    seen.failures.push(format!("{kind:?}: {} bytes of another kind", body.len()));
                    true
                }
                Ok((status, _)) => {
                    *seen.answers.entry((kind, status)).or_default() += 1;
                    seen.times.push(took);
                    if status != 200 {
                        seen.last_odd = Some(now);
                    }
                    false
                }
                Err(error) => {
                    seen.failures.push(format!("{kind:?} after {took:?}: {}", chain(&*error)));
                    true
                }
            }
        };
        sleep(if failed { self.pause.max(Duration::from_millis(10)) } else { self.pause }).await;
    }
}

/// Whether the server has said that it did nothing about the request.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        error.reason() == Some(h2::Reason::REFUSED_STREAM)
            || (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

async fn open(address: SocketAddr) -> Result<TcpStream, Trouble> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn request(kind: Kind, path: &str) -> Result<Request<Content>, Trouble> {
    let target = match kind {
        Kind::Http2 => format!("https://{NAME}{path}"),
        _ => path.to_owned(),
    };
    let request = Request::get(target);
    let request = if kind == Kind::Http2 { request } else { request.header("host", NAME) };
    Ok(request.body(Empty::new())?)
}

async fn whole(answer: Response<Incoming>) -> Result<(u16, Bytes), Trouble> {
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}
