use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};

use super::Slot;
use super::encoder::Encoder;
use crate::body::ResponseBody;
use crate::error::Error;

/// How much is compressed between two looks at the clock, in bytes.
const SLICE: usize = 16 * 1024;
/// After so long the worker's other connections have their turn.
const TURN: Duration = Duration::from_millis(1);

/// A body that is compressed while it is sent. What has come in goes out at once when nothing more
/// is there for now, so that events and progress pass.
pub(super) struct Compressing {
    body: ResponseBody,
    /// `None` at the end.
    encoder: Option<Encoder>,
    input: Bytes,
    /// The encoder may hold something back.
    unflushed: bool,
    /// Others are to have their turn first.
    yields: bool,
    trailers: Option<HeaderMap>,
    _slot: Slot,
}

impl Compressing {
    pub(super) fn new(body: ResponseBody, encoder: Encoder, slot: Slot) -> Self {
        Self {
            body,
            encoder: Some(encoder),
            input: Bytes::new(),
            unflushed: false,
            yields: false,
            trailers: None,
            _slot: slot,
        }
    }

    /// Compresses a part of what is there.
    fn work(&mut self) -> io::Result<Bytes> {
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        let start = Instant::now();
        while !self.input.is_empty() && !self.yields {
            let slice = self.input.split_to(self.input.len().min(SLICE));
            encoder.write(&slice)?;
            self.unflushed = true;
            self.yields = start.elapsed() >= TURN;
        }
        Ok(encoder.take())
    }

    fn flush(&mut self) -> io::Result<Bytes> {
        match &mut self.encoder {
            Some(encoder) if std::mem::take(&mut self.unflushed) => {
                encoder.flush()?;
                Ok(encoder.take())
            }
            _ => Ok(Bytes::new()),
        }
    }

    fn finish(&mut self) -> io::Result<Bytes> {
        self.encoder.take().map_or(Ok(Bytes::new()), Encoder::finish)
    }
}

type Next = Option<Result<Frame<Bytes>, Error>>;

/// Something that is worth a frame.
fn out(bytes: io::Result<Bytes>) -> Next {
    match bytes {
        Ok(bytes) if bytes.is_empty() => None,
        Ok(bytes) => Some(Ok(Frame::data(bytes))),
        Err(error) => Some(Err(Error::internal(error))),
    }
}

impl Body for Compressing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = self.get_mut();
        loop {
            if this.yields {
                this.yields = false;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !this.input.is_empty() {
                if let next @ Some(_) = out(this.work()) {
                    return Poll::Ready(next);
                }
                continue;
            }
            if this.encoder.is_none() {
                return Poll::Ready(
                    this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
                );
            }
            let last = match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        this.input = data;
                        continue;
                    }
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        this.finish()
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    this.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => this.finish(),
                Poll::Pending => {
                    return match out(this.flush()) {
                        Some(next) => Poll::Ready(Some(next)),
                        None => Poll::Pending,
                    };
                }
            };
            if let next @ Some(_) = out(last) {
                return Poll::Ready(next);
            }
        }
    }
}

/// A body of unknown length that has nothing in it.
pub(super) struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Next> {
        Poll::Ready(None)
    }
}
