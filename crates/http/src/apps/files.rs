//! Files from a directory.

use std::sync::Arc;

use brim_config::Reader;
use brim_stats::{Counter, Stat};
use http::{Method, StatusCode};
use rustix::io::Errno;

use crate::app::{App, AppContext, Request, blocking};
use crate::body::Response;
use crate::chain::Next;
use crate::error::Error;

mod answer;
mod codings;
mod conditions;
mod conf;
mod media;
mod ranges;
mod resource;
mod root;
mod target;

use codings::Coding;
use conf::{Conf, Missing};
use resource::Resource;
use root::{May, Opened, Root, failure};
use target::Target;

/// Answers requests below its path with the files of a directory.
pub(crate) struct Files {
    conf: Arc<Conf>,
    counters: Counters,
}

struct Counters {
    requests: Counter,
    bytes: Counter,
}

/// What a path leads to.
enum Found {
    File(Resource),
    /// A directory, where a file was asked for.
    Directory,
    Nothing,
}

impl App for Files {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        Conf::read(section)
    }

    /// `NAME.requests`: those that were answered. `NAME.bytes`: the lengths of the bodies that were promised.
    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        ["requests", "bytes"].map(|stat| Stat::sum(format!("{name}.{stat}"))).into()
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        let counter = |stat| context.counter(&format!("{name}.{stat}"));
        let counters = Counters { requests: counter("requests"), bytes: counter("bytes") };
        Self { conf, counters }
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        let conf = &*self.conf;
        let target = Target::of(request.uri().path(), &conf.prefix, conf.hidden);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
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
            Target::Path(path) => self.find(path).await?,
            _ => Found::Nothing,
        };
        if let (Found::Nothing, Some(fallback)) = (&found, &conf.fallback) {
            found = self.find(fallback.0.as_bytes()).await?;
        }
        match found {
            Found::Nothing if passes => return next.call(request).await,
            _ => self.counters.requests.incr(),
        }
        match found {
            Found::File(file) => self.send(&file, &request),
            Found::Directory => Ok(answer::to_slash(request.uri().path(), request.query())),
            Found::Nothing => Err(Error::status(StatusCode::NOT_FOUND, "")),
        }
    }
}

impl Files {
    fn send(&self, file: &Resource, request: &Request) -> Result<Response, Error> {
        let method = request.method();
        let response = answer::answer(file, method, request.headers(), self.conf.range_limit)?;
        if *method == Method::GET {
            let length = http_body::Body::size_hint(response.body()).exact();
            self.counters.bytes.add(length.unwrap_or_default());
        }
        Ok(response)
    }

    /// Looks for what a path leads to.
    async fn find(&self, path: &[u8]) -> Result<Found, Error> {
        if path.is_empty() || path.ends_with(b"/") {
            for index in &self.conf.index {
                let file = [path, index.0.as_bytes()].concat();
                if let Found::File(file) = self.file(&file).await? {
                    return Ok(Found::File(file));
                }
            }
            return Ok(Found::Nothing);
        }
        self.file(path).await
    }

    async fn file(&self, path: &[u8]) -> Result<Found, Error> {
        let Some(opened) = self.open(path).await? else { return Ok(Found::Nothing) };
        if opened.directory {
            return Ok(Found::Directory);
        }
        let mut forms = vec![(Coding::Identity, opened)];
        if self.conf.precompressed {
            for coding in Coding::BESIDE {
                let beside = [path, coding.suffix().as_bytes()].concat();
                let opened = self.open(&beside).await?.filter(|opened| !opened.directory);
                forms.extend(opened.map(|opened| (coding, opened)));
            }
        }
        Ok(Found::File(Resource::new(&self.conf, path, forms)))
    }

    /// Opens what lies below the root; the blocking pool does it where that takes a disk.
    async fn open(&self, path: &[u8]) -> Result<Option<Opened>, Error> {
        let Some(root) = &self.conf.root else { return Ok(None) };
        let opened = match root.open_beneath(path, May::NotWait) {
            Err(Errno::AGAIN | Errno::INVAL) => open_waiting(root.clone(), path.to_vec()).await?,
            opened => opened,
        };
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(errno) => failure(errno).map_or(Ok(None), Err),
        }
    }
}

async fn open_waiting(root: Arc<Root>, path: Vec<u8>) -> Result<Result<Opened, Errno>, Error> {
    blocking(move || root.open_beneath(&path, May::Wait)).await
}
