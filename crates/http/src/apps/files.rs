//! Files from a directory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brim_config::Reader;
use brim_stats::{Counter, Stat};
use http::{Method, StatusCode};
use rustix::io::Errno;

use crate::accept_encoding::Coding;
use crate::app::{App, AppContext, Claims, Request, blocking};
use crate::body::Response;
use crate::chain::Next;
use crate::error::Error;

mod answer;
mod cache;
mod codings;
mod conditions;
mod conf;
mod listing;
mod media;
mod ranges;
mod resource;
mod root;
mod target;

use cache::Cache;
use conf::{Conf, Missing};
use listing::Listing;
use resource::Resource;
use root::{May, Opened, Root, failure};
use target::Target;

/// Answers requests below its path with the files of a directory.
pub(crate) struct Files {
    conf: Arc<Conf>,
    root: RefCell<Option<Arc<Root>>>,
    /// When the root's path was last followed.
    root_checked: Cell<Instant>,
    cache: Cache,
    counters: Counters,
}

struct Counters {
    requests: Counter,
    bytes: Counter,
    cache_hits: Counter,
}

/// What a path leads to.
enum Found {
    File(Rc<Resource>),
    /// A directory, where a file was asked for.
    Directory,
    /// A directory without an index.
    Listing(Listing),
    Nothing,
}

/// What lies where a path leads to.
enum Looked {
    /// A file: its name, and its forms.
    File(Vec<u8>, Vec<(Option<Coding>, Opened)>),
    Directory,
    Nothing,
}

/// How often the root's path is followed anew.
const ROOT_TIME: Duration = Duration::from_secs(1);

impl App for Files {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        Conf::read(section)
    }

    fn claims(conf: &Conf) -> Claims {
        match (conf.missing == Missing::Pass, &*conf.prefix) {
            (false, "" | "/") => Claims::Everything,
            _ => Claims::Perhaps,
        }
    }

    /// `NAME.requests`: those that were answered. `NAME.bytes`: the lengths of the bodies that were promised.
    /// `NAME.cache_hits`: how often the disk was not even looked at.
    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        ["requests", "bytes", "cache_hits"].map(|stat| Stat::sum(format!("{name}.{stat}"))).into()
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        let counter = |stat| context.counter(&format!("{name}.{stat}"));
        let counters = Counters {
            requests: counter("requests"),
            bytes: counter("bytes"),
            cache_hits: counter("cache_hits"),
        };
        Self {
            root: RefCell::new(conf.root.clone()),
            root_checked: Cell::new(Instant::now()),
            cache: Cache::new(conf.cache),
            conf,
            counters,
        }
    }

    /// Answers with what is kept.
    fn call_at_once(&self, request: &Request) -> Option<Result<Response, Error>> {
        let now = request.exchange().start;
        if !is_read(request) || self.has_to_follow_root(now) {
            return None;
        }
        let Target::Path(path) = self.target(request) else { return None };
        let file = self.kept(path, now)?;
        self.counters.requests.incr();
        Some(self.send(&file, request))
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        let conf = &*self.conf;
        let target = self.target(&request);
        let reads = is_read(&request);
        let passes = conf.missing == Missing::Pass;
        if target == Target::Elsewhere || (passes && !reads) {
            return next.call(request).await;
        }
        if !reads {
            self.counters.requests.incr();
            return match *request.method() {
                Method::OPTIONS => Ok(answer::options()),
                _ => Err(answer::not_allowed()),
            };
        }
        let mut found = match &target {
            Target::Path(path) => self.find(path, request.exchange().start).await?,
            Target::Prefix => Found::Directory,
            _ => Found::Nothing,
        };
        if let (Found::Nothing, Target::Path(path), Some(limit)) = (&found, target, conf.listing)
            && (path.is_empty() || path.ends_with(b"/"))
        {
            found = self.list(path, limit).await?;
        }
        if let (Found::Nothing, Some(fallback)) = (&found, &conf.fallback) {
            let now = request.exchange().start;
            found = self.find(fallback.0.as_bytes(), now).await?;
        }
        match found {
            Found::Nothing if passes => return next.call(request).await,
            _ => self.counters.requests.incr(),
        }
        match found {
            Found::File(file) => self.send(&file, &request),
            Found::Directory => Ok(answer::to_slash(request.forward_path(), request.query())),
            Found::Listing(listing) => {
                let top = matches!(target, Target::Path(b""));
                Ok(listing.page(&request.path(), top))
            }
            Found::Nothing => Err(Error::status(StatusCode::NOT_FOUND, "")),
        }
    }
}

fn is_read(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

impl Files {
    fn target<'a>(&self, request: &'a Request) -> Target<'a> {
        let Conf { prefix, hidden, .. } = &*self.conf;
        Target::of(request.path_bytes(), request.rest_bytes(), prefix, *hidden)
    }

    fn send(&self, file: &Resource, request: &Request) -> Result<Response, Error> {
        let method = request.method();
        let response = answer::answer(file, method, request.headers(), self.conf.range_limit)?;
        if *method == Method::GET {
            let length = http_body::Body::size_hint(response.body()).exact();
            self.counters.bytes.add(length.unwrap_or_default());
        }
        Ok(response)
    }

    /// What a path leads to, where that is kept and need not be looked at.
    fn kept(&self, path: &[u8], now: Instant) -> Option<Rc<Resource>> {
        let (file, checked) = self.cache.get(path)?;
        let is_fresh = now.saturating_duration_since(checked) < self.conf.cache_time;
        is_fresh.then(|| {
            self.counters.cache_hits.incr();
            file
        })
    }

    fn has_to_follow_root(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.root_checked.get()) >= ROOT_TIME
    }

    /// Looks for what a path leads to: among what is kept, then below the root.
    async fn find(&self, path: &[u8], now: Instant) -> Result<Found, Error> {
        if self.has_to_follow_root(now) {
            self.root_checked.set(now);
            self.follow_root().await?;
        }
        if let Some(file) = self.kept(path, now) {
            return Ok(Found::File(file));
        }
        let (name, forms) = match self.look(path).await? {
            Looked::File(name, forms) => (name, forms),
            other => {
                self.cache.remove(path);
                return Ok(if matches!(other, Looked::Directory) {
                    Found::Directory
                } else {
                    Found::Nothing
                });
            }
        };
        let kept = self.cache.get(path).map(|(resource, _)| resource);
        if let Some(resource) = kept.filter(|resource| resource.is_of(&forms)) {
            self.cache.is_fresh(path, now);
            return Ok(Found::File(resource));
        }
        let mut resource = Resource::new(&self.conf, &name, forms);
        resource.load(self.conf.cache_file_limit.min(self.conf.cache.bytes)).await?;
        let resource = Rc::new(resource);
        self.cache.put(path, resource.clone(), now);
        Ok(Found::File(resource))
    }

    /// Opens the file that a path leads to, or the index of a directory.
    async fn look(&self, path: &[u8]) -> Result<Looked, Error> {
        if !path.is_empty() && !path.ends_with(b"/") {
            return self.forms(path.to_vec()).await;
        }
        for index in &self.conf.index {
            let file = [path, index.0.as_bytes()].concat();
            if let Looked::File(name, forms) = self.forms(file).await? {
                return Ok(Looked::File(name, forms));
            }
        }
        Ok(Looked::Nothing)
    }

    /// Opens a file, and what lies beside it.
    async fn forms(&self, path: Vec<u8>) -> Result<Looked, Error> {
        let Some(opened) = self.open(&path).await? else { return Ok(Looked::Nothing) };
        if opened.directory {
            return Ok(Looked::Directory);
        }
        let mut forms = vec![(None, opened)];
        if self.conf.precompressed {
            for coding in codings::BESIDE {
                let beside = [&path, codings::suffix(coding).as_bytes()].concat();
                let opened = self.open(&beside).await?.filter(|opened| !opened.directory);
                forms.extend(opened.map(|opened| (Some(coding), opened)));
            }
        }
        Ok(Looked::File(path, forms))
    }

    /// Opens what lies below the root; the blocking pool does it where that takes a disk.
    async fn open(&self, path: &[u8]) -> Result<Option<Opened>, Error> {
        let Some(root) = self.root.borrow().clone() else { return Ok(None) };
        let opened = match root.open_beneath(path, May::NotWait) {
            Err(Errno::AGAIN | Errno::INVAL | Errno::XDEV) => {
                open_waiting(root, path.to_vec()).await?
            }
            opened => opened,
        };
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(errno) => failure(errno).map_or(Ok(None), Err),
        }
    }

    /// Reads a directory; that takes a disk, or at least its time.
    async fn list(&self, path: &[u8], limit: usize) -> Result<Found, Error> {
        let Some(root) = self.root.borrow().clone() else { return Ok(Found::Nothing) };
        let (path, hidden) = (path.to_vec(), self.conf.hidden);
        match blocking(move || Listing::read(&root, &path, hidden, limit)).await? {
            Ok(listing) => Ok(listing.map_or(Found::Nothing, Found::Listing)),
            Err(errno) => failure(errno).map_or(Ok(Found::Nothing), Err),
        }
    }

    /// Goes to the directory to which the root's path leads now, where somebody has put another one
    /// there. Without any there the old one serves on.
    async fn follow_root(&self) -> Result<(), Error> {
        let is_same = |new: &Root| self.root.borrow().as_ref().is_some_and(|old| old.is_same(new));
        if Root::open(&self.conf.path, May::NotWait).is_ok_and(|new| is_same(&new)) {
            return Ok(());
        }
        let path = self.conf.path.clone();
        let opened = blocking(move || Root::open(&path, May::Wait)).await?;
        let Ok(new) = opened else { return Ok(()) };
        if !is_same(&new) {
            *self.root.borrow_mut() = Some(Arc::new(new));
            self.cache.clear();
        }
        Ok(())
    }
}

async fn open_waiting(root: Arc<Root>, path: Vec<u8>) -> Result<Result<Opened, Errno>, Error> {
    blocking(move || root.open_beneath(&path, May::Wait)).await
}
