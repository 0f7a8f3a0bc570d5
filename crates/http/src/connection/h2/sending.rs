use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::service::Stream;
use crate::body::{Chunk, Sending};
use crate::error::Error;

/// The largest piece that is given to hyper, in bytes. A client that takes nothing makes us hold one of
/// them per stream, and no more.
pub(super) const PIECE: usize = 16 * 1024;

/// A response's body on its way through a stream: in small pieces, with a clock that runs while the
/// client does not want the next one.
#[derive(Debug)]
pub(crate) struct StreamSending {
    body: Sending,
    /// What is left of a piece that was too large.
    rest: Bytes,
    stream: Stream,
    /// There is nothing to send.
    over: bool,
}

impl StreamSending {
    pub(crate) fn new(body: Sending, stream: Stream, unsent: bool) -> Self {
        Self { body, rest: Bytes::new(), stream, over: unsent }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        self.stream.clock.write_blocks();
        Frame::data(piece)
    }
}

impl Body for StreamSending {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        // hyper asks for more when the client has taken what there was.
        this.stream.clock.write_goes();
        if this.over {
            return Poll::Ready(None);
        }
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.piece())));
        }
        match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            None => {
                this.over = true;
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(Chunk::Bytes(data)) => {
                    this.rest = data;
                    Poll::Ready(Some(Ok(this.piece())))
                }
                // Only a socket without anything between sends files by itself.
                Ok(Chunk::File(_)) => {
                    let bug = "bug: a file for a stream of HTTP/2";
                    Poll::Ready(Some(Err(Error::internal(bug))))
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                    Err(_) => Poll::Ready(None),
                },
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || (self.rest.is_empty() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self.over {
            true => SizeHint::with_exact(0),
            false => self.body.size_hint(),
        }
    }
}

impl Drop for StreamSending {
    fn drop(&mut self) {
        self.stream.whole = self.is_end_stream();
    }
}
