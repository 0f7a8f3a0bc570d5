use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use brim_service::LocalStream;
use brim_wire::link::{Content, FrameDecoder, HEADER_BYTES, LinkError};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::{sleep, sleep_until};

use super::call::Follows;
use super::line::Line;

/// Bytes that are read at once.
const READ: usize = 64 * 1024;
/// Reads in a row before others have their turn.
const TURNS: usize = 16;
/// Pieces of at least so many bytes are kept where they were read, smaller ones are copied: a slow client
/// is to hold no more memory than its credit says, nearly.
const LARGE: usize = 16 * 1024;
/// Buffers larger than this are let go when they are empty.
const KEPT: usize = 256 * 1024;
/// Silence after which the gateway is asked whether it is there, and the time that it has to answer.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the last frame may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
    #[error("the gateway broke a rule of the link")]
    Link(#[from] LinkError),
    #[error("the gateway does not answer a ping")]
    Silent,
    #[error("the gateway closed the link")]
    Closed,
}

struct Drive {
    line: Rc<Line>,
    stream: LocalStream,
    decoder: FrameDecoder,
    read: BytesMut,
    writing: Vec<u8>,
    /// What of it was written.
    at: usize,
    /// The gateway takes nothing more: it has closed.
    is_deaf: bool,
}

/// Moves a link's bytes until it ends.
pub(super) async fn run(
    line: Rc<Line>,
    stream: LocalStream,
    decoder: FrameDecoder,
    read: BytesMut,
) {
    let mut drive = Drive {
        line: line.clone(),
        stream,
        decoder,
        read,
        writing: Vec::new(),
        at: 0,
        is_deaf: false,
    };
    tokio::task::spawn_local(listen(Rc::downgrade(&line)));
    let early = drive.dispatch();
    let ended = match early {
        Ok(()) => poll_fn(|cx| drive.poll(cx)).await,
        Err(error) => Err(error.into()),
    };
    match &ended {
        Ok(()) => {}
        Err(Lost::Link(error)) => {
            line.refuse(error);
            let flushed = poll_fn(|cx| drive.poll_write(cx));
            let _ = tokio::time::timeout(LAST_WORDS, flushed).await;
        }
        Err(Lost::Closed) if line.is_done() => {}
        Err(_) => {}
    }
    if let Err(error) = &ended
        && !(matches!(error, Lost::Closed) && line.is_done())
    {
        tracing::warn!(peer = %line.peer(), error = error as &dyn std::error::Error, "the link is lost");
    }
    line.lose();
}

/// Asks a gateway whether it is there that has said nothing for long. A task of its own: the one that moves
/// bytes has no clock to look at each time.
async fn listen(line: Weak<Line>) {
    let mut asked = None;
    while let Some(heard) = line.upgrade().map(|line| line.heard()) {
        if heard.elapsed() < SILENCE {
            sleep_until((heard + SILENCE).into()).await;
            continue;
        }
        let Some(line) = line.upgrade() else { return };
        match asked.replace(heard) == Some(heard) {
            true => line.give_up(),
            false => line.ping(1),
        }
        drop(line);
        sleep(SILENCE).await;
    }
}

impl Drive {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.line.keep_task(cx);
        let read = self.poll_read(cx)?;
        // After what came in time: it may be we who were held up.
        if self.line.is_given_up() {
            return Poll::Ready(Err(Lost::Silent));
        }
        match self.poll_write(cx) {
            Poll::Ready(Err(Lost::Io(error))) => {
                // What it said before it closed is still to be read: answers, and what it has not taken.
                tracing::debug!(peer = %self.line.peer(), %error, "the link takes nothing");
                self.is_deaf = true;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if self.line.is_done() => return Poll::Ready(Ok(())),
            _ => {}
        }
        if read.is_ready() {
            // There is more, and others have their turn first.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ready when there may be more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        for _ in 0..TURNS {
            self.read.reserve(READ);
            let count = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(cx))?;
            if count == 0 {
                return Poll::Ready(Err(Lost::Closed));
            }
            self.line.hear_something(Instant::now());
            self.dispatch()?;
        }
        Poll::Ready(Ok(()))
    }

    /// Hands every frame that is whole to its exchange.
    fn dispatch(&mut self) -> Result<(), LinkError> {
        let mut at = 0;
        loop {
            let bytes = self.read.get(at..).unwrap_or_default();
            let mut input = bytes;
            let Some(frame) = self.decoder.decode(&mut input)? else { break };
            let length = bytes.len() - input.len();
            let (bytes, follows) = match frame.content {
                Content::Data { bytes, end: true, close } => (bytes, Follows::End { close }),
                Content::Data { bytes, .. } => (bytes, Follows::Another),
                Content::Part(bytes) => (bytes, Follows::Rest),
                _ => {
                    self.line.hear(&frame)?;
                    at += length;
                    continue;
                }
            };
            let id = frame.exchange;
            if bytes.len() < LARGE {
                self.line.data(id, Bytes::copy_from_slice(bytes), follows)?;
                at += length;
            } else {
                self.read.advance(at);
                let piece = self.read.split_to(length).freeze();
                at = 0;
                self.line.data(id, piece.slice(HEADER_BYTES..), follows)?;
            }
        }
        self.read.advance(at);
        if self.read.is_empty() && self.read.capacity() > KEPT {
            self.read = BytesMut::new();
        }
        Ok(())
    }

    /// Ready when all is written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        while !self.is_deaf {
            let rest = self.writing.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                self.at = 0;
                self.writing.clear();
                if self.writing.capacity() > KEPT {
                    self.writing = Vec::new();
                }
                self.line.swap_out(&mut self.writing);
                if self.writing.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            self.at += count;
            self.line.wrote(count);
        }
        Poll::Pending
    }
}
