use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use super::head::Outgoing;
use super::link::Link;
use super::upstream::{Busy, Upstream};
use crate::error::{Error, UpstreamFailure};

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

impl Lease {
    /// A kept connection, where there is one and nobody has to wait for it.
    pub(super) fn kept(upstream: &Rc<Upstream>, now: Instant) -> Option<Self> {
        upstream.refresh(now);
        if !upstream.has_room() {
            return None;
        }
        let link = upstream.take_idle(now)?;
        Some(Self { link, busy: Busy::new(upstream.clone()) })
    }

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
        self.link.is_fresh()
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    pub(super) fn upstream(&self) -> &Rc<Upstream> {
        &self.busy.0
    }

    /// Sends a request and waits for the head of the response, which stays with the link.
    pub(super) async fn exchange(&mut self, outgoing: &Outgoing, now: Instant) -> Result<(), Lost> {
        let conf = self.busy.0.conf();
        let (link, time) = (&mut *self.link, conf.response_timeout);
        let (upload, asked) = (&outgoing.upload, outgoing.asked());
        link.timer.set(now, time);
        link.begin(|text| outgoing.write(conf, self.busy.0.spec(), text));
        let mut progress = 0;
        let answered = poll_fn(|cx| {
            let _ = link.poll_send(cx, upload);
            if link.is_body_broken() {
                return Poll::Ready(Err(UpstreamFailure::CutOff));
            }
            if let Poll::Ready(head) = link.poll_head(cx, asked) {
                return Poll::Ready(head);
            }
            if progress != upload.progress() || upload.waits_for_client() {
                // The client's own clock runs.
                progress = upload.progress();
                link.timer.set(Instant::now(), time);
            }
            link.timer.poll(cx).map(|()| Err(UpstreamFailure::HeadTimeout))
        });
        let answered = answered.await;
        answered.map_err(|failure| Lost { failure, sent: link.has_begun() })
    }

    /// The connection, and its place among the others.
    pub(super) fn into_parts(self) -> (Box<Link>, Busy) {
        (self.link, self.busy)
    }

    /// Gives the connection back, if another request can use it. Whether it is still open then, whoever
    /// takes it asks.
    pub(super) fn give_back(mut self) {
        if self.link.is_reusable() {
            self.link.rest(Instant::now() + self.busy.0.conf().keepalive_timeout);
            self.busy.0.keep(self.link);
        }
    }
}
