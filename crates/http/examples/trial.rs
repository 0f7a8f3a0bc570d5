//! Apps for the process tests: each answers on `/ITS-NAME` with one thing that a real app may do.
//!
//! `slow?seconds=0.5` sleeps, `block?seconds=2` stops its worker as no app should, `stream?pieces=3` sends its body in pieces (and with `end=error` or
//! `end=panic` ends badly), `upload` reads the whole body, `panic` panics (with `build = yes` in
//! its section already when it is made), `tell` fills every field of the access line, `where`
//! answers everything with what it sees.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use brim_http::{
    App, AppContext, Bytes, Claims, Error, Next, Reader, Registry, Request, Response, ResponseBody,
};
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;

/// Whether the request is for this app.
fn is_for(request: &Request, name: &str) -> bool {
    request.path().strip_prefix('/') == Some(name)
}

fn number<T: std::str::FromStr>(request: &Request, name: &str) -> Option<T> {
    request.query_value(name)?.parse().ok()
}

struct Slow(String);

impl App for Slow {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn new(name: &str, _: Arc<()>, _: &AppContext) -> Self {
        Self(name.to_owned())
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        if !is_for(&request, &self.0) {
            return next.call(request).await;
        }
        let seconds = number(&request, "seconds").unwrap_or(1.0);
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok(Response::new("slow but whole\n".into()))
    }
}

struct Block(String);

impl App for Block {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn new(name: &str, _: Arc<()>, _: &AppContext) -> Self {
        Self(name.to_owned())
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        if !is_for(&request, &self.0) {
            return next.call(request).await;
        }
        std::thread::sleep(Duration::from_secs_f64(number(&request, "seconds").unwrap_or(1.0)));
        Ok(Response::new("the loop stood still\n".into()))
    }
}

struct Pieces(String);

impl App for Pieces {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn new(name: &str, _: Arc<()>, _: &AppContext) -> Self {
        Self(name.to_owned())
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        if !is_for(&request, &self.0) {
            return next.call(request).await;
        }
        let count = number(&request, "pieces").unwrap_or(3);
        let size = number(&request, "size").unwrap_or(6);
        let pause = Duration::from_secs_f64(number(&request, "seconds").unwrap_or(0.0));
        let end = request.query_value("end");
        let pieces = pieces(count, Bytes::from(vec![b'x'; size]), pause).chain(last(end));
        Ok(Response::new(ResponseBody::stream(StreamBody::new(pieces))))
    }
}

fn pieces(
    count: u64,
    piece: Bytes,
    pause: Duration,
) -> impl Stream<Item = Result<Frame<Bytes>, Error>> {
    stream::iter(0..count).then(move |_| {
        let piece = piece.clone();
        async move {
            tokio::time::sleep(pause).await;
            Ok(Frame::data(piece))
        }
    })
}

fn last(end: Option<String>) -> impl Stream<Item = Result<Frame<Bytes>, Error>> {
    stream::iter(end).map(|end| match end.as_str() {
        "panic" => panic!("in the middle of a body"),
        end => Err(Error::internal(end)),
    })
}

struct Upload(String);

impl App for Upload {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn new(name: &str, _: Arc<()>, _: &AppContext) -> Self {
        Self(name.to_owned())
    }

    async fn call(&self, mut request: Request, next: Next) -> Result<Response, Error> {
        if !is_for(&request, &self.0) {
            return next.call(request).await;
        }
        let body = request.body().read_all(usize::MAX).await?;
        Ok(Response::new(format!("{} bytes\n", body.len()).into()))
    }
}

struct Panic(String);

impl App for Panic {
    type Conf = bool;

    fn parse_conf(section: &mut Reader<'_>) -> bool {
        section.get_or("build", false)
    }

    fn new(name: &str, build: Arc<bool>, _: &AppContext) -> Self {
        assert!(!*build, "in the constructor");
        Self(name.to_owned())
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        assert!(!is_for(&request, &self.0), "on purpose");
        next.call(request).await
    }
}

struct Tell(String);

impl App for Tell {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn new(name: &str, _: Arc<()>, _: &AppContext) -> Self {
        Self(name.to_owned())
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        if !is_for(&request, &self.0) {
            return next.call(request).await;
        }
        let exchange = request.exchange();
        exchange.set_remote_user("claimed user");
        exchange.set_authenticated_user("proven");
        exchange.set_source("source");
        exchange.log_info("test:");
        exchange.log_info("one two");
        let client = exchange.client().map_or("nobody".to_owned(), |client| client.to_string());
        Ok(Response::new(format!("{} {client}\n", exchange.txn()).into()))
    }
}

/// Answers whatever comes to it with its name, and what it sees of the request. With a body it reads
/// that, too.
struct Where(String);

impl App for Where {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn claims(_: &()) -> Claims {
        Claims::Everything
    }

    fn new(name: &str, _: Arc<()>, _: &AppContext) -> Self {
        Self(name.to_owned())
    }

    async fn call(&self, mut request: Request, _: Next) -> Result<Response, Error> {
        let length = request.body().read_all(usize::MAX).await?.len();
        let prefix = request.route().map_or("-", |route| route.prefix());
        let seen = [
            &self.0,
            prefix,
            &request.path(),
            &String::from_utf8_lossy(request.rest_bytes()),
            request.forward_path(),
            request.forward_rest(),
            &length.to_string(),
        ];
        Ok(Response::new(seen.join(" ").into()))
    }
}

fn main() -> ExitCode {
    let registry = Registry::builtin()
        .with::<Slow>("slow")
        .with::<Block>("block")
        .with::<Pieces>("stream")
        .with::<Upload>("upload")
        .with::<Panic>("panic")
        .with::<Tell>("tell")
        .with::<Where>("where");
    brim_http::main(registry)
}
