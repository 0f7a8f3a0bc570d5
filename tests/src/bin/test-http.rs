//! `brim-http` with apps that misbehave on purpose: for tests, never in the package.
#![forbid(unsafe_code)]

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use brim_http::{
    App, AppContext, Bytes, Error, Next, Reader, Registry, Request, Response, ResponseBody,
};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// What the slow app ends its body with.
const END: &[u8] = b"the end\n";

/// `/slow?seconds=N`: the head at once, the body after N seconds.
struct Slow;

impl App for Slow {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn new(_: &str, _: Arc<()>, _: &AppContext) -> Self {
        Self
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        if request.path() != "/slow" {
            return next.call(request).await;
        }
        let seconds = request.query_value("seconds").and_then(|text| text.parse().ok());
        let time = Duration::from_secs(seconds.unwrap_or(1));
        Ok(Response::new(ResponseBody::stream(Later { sleep: Box::pin(sleep(time)), over: false })))
    }
}

/// A body that comes all at once, but later.
struct Later {
    sleep: Pin<Box<Sleep>>,
    over: bool,
}

impl http_body::Body for Later {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        std::task::ready!(self.sleep.as_mut().poll(cx));
        self.over = true;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(END)))))
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.over { 0 } else { END.len() as u64 })
    }
}

/// `/stuck`: the worker's loop turns no more.
struct Stuck;

impl App for Stuck {
    type Conf = ();

    fn parse_conf(_: &mut Reader<'_>) {}

    fn new(_: &str, _: Arc<()>, _: &AppContext) -> Self {
        Self
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        if request.path() != "/stuck" {
            return next.call(request).await;
        }
        loop {
            std::thread::park();
        }
    }
}

fn main() -> ExitCode {
    brim_http::main(Registry::builtin().with::<Slow>("slow").with::<Stuck>("stuck"))
}
