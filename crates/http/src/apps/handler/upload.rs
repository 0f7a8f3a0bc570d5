use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brim_wire::link::Reason;
use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;

use super::link::Open;
use crate::body::Body;
use crate::error::Error;

/// Bodies up to so many bytes are read before their request is sent: most are here with it, and then all
/// goes out at once. A gateway, too, waits for the whole of a small one.
pub(super) const SMALL: u64 = 16 * 1024;

/// A request's body on its way to the gateway.
pub(super) struct Upload {
    source: Source,
    /// What was read and has not been sent.
    held: Bytes,
    /// Its length, if it is known.
    length: Option<u64>,
    /// The end was sent.
    ended: bool,
}

enum Source {
    /// All of it.
    Whole(Bytes),
    /// It comes; whether something of it was read.
    // Boxed: most are small, and an upload is moved several times.
    Stream { body: Box<Body>, begun: bool },
}

impl Upload {
    /// No body.
    pub(super) fn none() -> Self {
        Self::whole(Bytes::new())
    }

    /// Reads a small body, and leaves a large one where it is.
    pub(super) async fn new(mut body: Body) -> Result<Self, Error> {
        let length = body.size_hint().exact();
        if length.is_some_and(|length| length <= SMALL) {
            return Ok(Self::whole(small(&mut body).await?));
        }
        body.check_length()?;
        let source = Source::Stream { body: Box::new(body), begun: false };
        Ok(Self { source, held: Bytes::new(), length, ended: false })
    }

    fn whole(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        let ended = bytes.is_empty();
        Self { source: Source::Whole(bytes.clone()), held: bytes, length, ended }
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Begins anew; false where something of it is gone.
    pub(super) fn rewind(&mut self) -> bool {
        match &self.source {
            Source::Whole(bytes) => {
                self.held = bytes.clone();
                self.ended = bytes.is_empty();
                true
            }
            Source::Stream { begun, .. } => !begun,
        }
    }

    /// Whether all of it was sent.
    pub(super) fn is_whole(&self) -> bool {
        self.ended
    }

    /// Sends what there is, within credit. Ready at the end, or when the client's side fails.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        open: &Open,
    ) -> Poll<Result<(), Error>> {
        while !self.ended {
            if self.held.is_empty() {
                match ready!(self.poll_read(cx)) {
                    Ok(true) => {}
                    Ok(false) => {
                        open.data(&[], true);
                        self.ended = true;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
                continue;
            }
            let count = ready!(open.poll_credit(cx, 1)).min(self.held.len());
            let end = count == self.held.len() && self.is_last();
            open.data(self.held.get(..count).unwrap_or_default(), end);
            self.held.advance(count);
            self.ended = end;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether nothing follows what is held.
    fn is_last(&self) -> bool {
        match &self.source {
            Source::Whole(_) => true,
            Source::Stream { body, .. } => body.is_end_stream(),
        }
    }

    /// Reads a piece; false at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let Source::Stream { body, begun } = &mut self.source else {
            return Poll::Ready(Ok(false));
        };
        loop {
            let frame = ready!(Pin::new(&mut **body).poll_frame(cx));
            *begun = true;
            match frame.transpose() {
                Ok(None) => return Poll::Ready(Ok(false)),
                // Trailers are not passed on.
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => {
                        self.held = data;
                        return Poll::Ready(Ok(true));
                    }
                    _ => {}
                },
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

async fn small(body: &mut Body) -> Result<Bytes, Error> {
    let Some(first) = body.chunk().await.transpose()? else { return Ok(Bytes::new()) };
    let mut all = BytesMut::new();
    let mut second = body.chunk().await.transpose()?;
    if second.is_none() {
        return Ok(first);
    }
    all.extend_from_slice(&first);
    while let Some(piece) = second {
        all.extend_from_slice(&piece);
        second = body.chunk().await.transpose()?;
    }
    Ok(all.freeze())
}

/// What a gateway is told when a body breaks off.
pub(super) fn reason(error: &Error) -> Reason {
    match error {
        Error::Gone(_) => Reason::ClientLeft,
        Error::BodyTimeout => Reason::ClientIdle,
        _ => Reason::ClientBroke,
    }
}
