use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Sleep;

use super::upload::Upload;
use super::upstream::{Busy, Upstream};
use super::wire::Wire;
use crate::error::{Error, UpstreamFailure};

/// A connection to an upstream, with hyper on it.
pub(super) struct Link {
    sender: SendRequest<Upload>,
    connection: Connection<TokioIo<Wire>, Upload>,
    pub(super) timer: Timer,
    idle_since: Instant,
    fresh: bool,
}

/// A link while it carries a request. Dropping it closes the connection.
pub(super) struct Lease {
    link: Box<Link>,
    busy: Busy,
}

/// An attempt that came to nothing.
pub(super) struct Broken {
    pub(super) error: Error,
    /// Another upstream may be asked.
    pub(super) again: bool,
}

/// A link that gave no response.
pub(super) struct Lost {
    pub(super) failure: UpstreamFailure,
    /// Something of the request may have arrived.
    pub(super) sent: bool,
}

impl Link {
    async fn open(upstream: &Upstream) -> Result<Box<Self>, UpstreamFailure> {
        let wire = Wire::connect(upstream).await?;
        let handshake = upstream.conf().protocol.handshake(TokioIo::new(wire));
        let (sender, connection) = handshake.await.map_err(UpstreamFailure::Lost)?;
        let timer = Timer::new(upstream.conf().response_timeout);
        Ok(Box::new(Self { sender, connection, timer, idle_since: Instant::now(), fresh: true }))
    }

    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }

    /// Whether a connection without a request is open, and can take one.
    pub(super) fn is_usable(&mut self) -> bool {
        // Nobody is to be woken: whoever takes the connection polls it again.
        let mut cx = Context::from_waker(Waker::noop());
        self.poll(&mut cx).is_pending() && self.sender.is_ready()
    }

    /// The socket, and what came behind the response's head.
    pub(super) fn into_wire(self: Box<Self>) -> (Wire, Bytes) {
        let parts = self.connection.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }

    /// Lets hyper read and write.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.connection.poll_without_shutdown(cx)
    }
}

impl Lease {
    /// A kept connection, where that is wanted and there is one, or a new one.
    pub(super) async fn take(
        upstream: &Rc<Upstream>,
        now: Instant,
        kept: bool,
    ) -> Result<Self, Broken> {
        upstream.refresh(now);
        let _trial = upstream.try_out(now);
        let refuse = |failure| Broken { error: upstream.error(failure), again: true };
        let busy = upstream.room().await.map_err(refuse)?;
        if let Some(link) = kept.then(|| upstream.take_idle(now)).flatten() {
            return Ok(Self { link, busy });
        }
        match Link::open(upstream).await {
            Ok(link) => Ok(Self { link, busy }),
            Err(failure) => {
                upstream.failed(now);
                Err(refuse(failure))
            }
        }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.link.fresh
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    pub(super) fn upstream(&self) -> &Rc<Upstream> {
        &self.busy.0
    }

    /// Sends a request and waits for the head of the response.
    pub(super) async fn exchange(
        &mut self,
        request: http::Request<Upload>,
        upload: &Upload,
    ) -> Result<Response<Incoming>, Lost> {
        let time = self.busy.0.conf().response_timeout;
        let link = &mut *self.link;
        link.timer.set(time);
        let mut answer = pin!(link.sender.try_send_request(request));
        let (connection, timer) = (&mut link.connection, &mut link.timer);
        // The answer comes out of the connection that is polled just before: to be woken for it
        // would be once too often.
        let mut unwoken = Context::from_waker(Waker::noop());
        let mut progress = 0;
        let answered = poll_fn(|cx| {
            let over = connection.poll_without_shutdown(cx).is_ready();
            if let Poll::Ready(answer) = answer.as_mut().poll(&mut unwoken) {
                return Poll::Ready(Some(answer));
            }
            if over {
                return Poll::Ready(None);
            }
            if progress != upload.progress() || upload.waits_for_client() {
                // The client's own clock runs.
                progress = upload.progress();
                timer.set(time);
            }
            timer.poll(cx).map(|()| None)
        });
        match answered.await {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => {
                let sent = error.message().is_none();
                Err(Lost { failure: UpstreamFailure::Lost(error.into_error()), sent })
            }
            None => Err(Lost { failure: UpstreamFailure::HeadTimeout, sent: true }),
        }
    }

    /// The connection, its place among the others, and its clock.
    pub(super) fn into_parts(mut self) -> (Box<Link>, Busy, Timer) {
        let timer =
            std::mem::replace(&mut self.link.timer, Timer::new(self.busy.0.conf().idle_timeout));
        (self.link, self.busy, timer)
    }

    /// Gives the connection back, if another request can use it.
    pub(super) fn give_back(mut self) {
        if self.link.is_usable() {
            self.link.idle_since = Instant::now();
            self.link.fresh = false;
            self.busy.0.keep(self.link);
        }
    }
}

/// A clock that is set for every request, and wakes somebody only when it was not set again for
/// long: what it has registered stays registered.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
}

impl Timer {
    pub(super) fn new(time: Duration) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(time)), due: Instant::now() + time }
    }

    pub(super) fn set(&mut self, time: Duration) {
        self.due = Instant::now() + time;
        if self.sleep.deadline().into_std() > self.due {
            self.sleep.as_mut().reset(self.due.into());
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.due.into());
        }
        Poll::Pending
    }
}
