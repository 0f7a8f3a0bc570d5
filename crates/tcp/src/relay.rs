//! Two connections that have become one: bytes go both ways until both sides have ended.
//!
//! Little is copied through a buffer of the thread. Of much, where both sides are sockets, the kernel moves
//! the pages, by splice(2) through a pipe that a direction has only as long as there is something in it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brim_service::{Stream, Transport};
use brim_stats::Counter;
use bytes::{Buf, Bytes};
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Connection;

/// Bytes that are copied at once.
const PIECE: usize = 16 * 1024;
/// Bytes that a pipe holds, if the kernel lets it.
const PIPE: i32 = 256 * 1024;
/// Pipes that a worker keeps.
const PIPES: usize = 64;
/// Pieces that one direction moves before others have their turn.
const AT_ONCE: usize = 16;

thread_local! {
    static PIECES: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
    static EMPTY: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// One side of a relay.
pub(crate) trait Side: AsyncRead + AsyncWrite + Unpin {
    /// The socket, if its bytes are the very bytes that are relayed.
    fn socket(&self) -> Option<&Stream>;
    /// Bytes went in or out behind its back.
    fn moved(&self) {}
    /// It was read to its end behind its back.
    fn end(&mut self) {}
}

impl Side for Stream {
    fn socket(&self) -> Option<&Stream> {
        Some(self)
    }
}

impl Side for Connection {
    fn socket(&self) -> Option<&Stream> {
        match &self.transport {
            Transport::Plain(stream) if self.first.is_empty() => Some(stream),
            _ => None,
        }
    }

    fn moved(&self) {
        self.silence.breaks();
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

/// What counts the bytes of a relay.
#[derive(Debug)]
pub(crate) struct Counts {
    /// From the client.
    pub(crate) up: Counter,
    /// To the client.
    pub(crate) down: Counter,
}

/// When a relay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// When both sides have ended.
    Both,
    /// When the other side has: then nobody wants what the client still says.
    Other,
}

/// Relays until the end.
pub(crate) async fn relay(
    client: &mut Connection,
    other: &mut Stream,
    until: Until,
    counts: &Counts,
) -> io::Result<()> {
    // What becomes of the other side's socket is its own affair: a program may close its input early.
    let forgiven = |what| (until == Until::Other).then_some(what);
    let mut up = Half { forgiven: forgiven(What::Write), ..Half::default() };
    let mut down = Half { forgiven: forgiven(What::Read), ..Half::default() };
    poll_fn(|cx| {
        let up_over = up.poll(cx, client, other, &counts.up)?.is_ready();
        down.last = up_over;
        let down_over = down.poll(cx, other, client, &counts.down)?.is_ready();
        up.last = down_over;
        match down_over && (up_over || until == Until::Other) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    })
    .await
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Read,
    Write,
}

/// What failed, and why.
struct Fault(What, io::Error);

/// One direction.
#[derive(Default)]
struct Half {
    state: State,
    /// What was read and could not be written yet: copied, or in the kernel. One of them is empty.
    held: Bytes,
    pipe: Option<Pipe>,
    /// So much came at once the last time that the kernel had better move it alone.
    bulk: bool,
    /// The other direction is over.
    last: bool,
    /// What is not an error, but the end.
    forgiven: Option<What>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The reader has ended, the writer is to hear of it.
    Ended,
    Over,
}

/// A pipe, and how much is in it.
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    held: usize,
}

impl Pipe {
    /// An empty one. An error is for instance that there are no more descriptors.
    fn take() -> io::Result<Self> {
        if let Some(pipe) = EMPTY.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (reader, writer) = io::pipe()?;
        // Where it is not allowed, less is moved at once.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE));
        Ok(Self { reader, writer, held: 0 })
    }

    fn give_back(self) {
        EMPTY.with_borrow_mut(|empty| {
            if self.held == 0 && empty.len() < PIPES {
                empty.push(self);
            }
        });
    }
}

/// Moves bytes inside the kernel.
fn shift(from: BorrowedFd<'_>, to: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    Ok(splice(from, None, to, None, count, flags)?)
}

impl Half {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Side,
        to: &mut impl Side,
        count: &Counter,
    ) -> Poll<io::Result<()>> {
        for _ in 0..AT_ONCE {
            match ready!(self.poll_step(cx, from, to, count)) {
                Ok(()) if self.state == State::Over => return Poll::Ready(Ok(())),
                Ok(()) => {}
                Err(Fault(what, _)) if self.forgiven == Some(what) => {
                    self.held = Bytes::new();
                    self.pipe = None;
                    self.state = if what == What::Read { State::Ended } else { State::Over };
                }
                Err(Fault(_, error)) => return Poll::Ready(Err(error)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is left, then reads a piece or ends.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Side,
        to: &mut impl Side,
        count: &Counter,
    ) -> Poll<Result<(), Fault>> {
        let failed = |error| Fault(What::Write, error);
        ready!(self.poll_rest(cx, to)).map_err(failed)?;
        match self.state {
            State::Over => {}
            State::Ended => {
                // Of the last direction, closing the socket tells the writer just that.
                if !self.last || to.socket().is_none() {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(failed)?;
                }
                self.state = State::Over;
            }
            State::Open => match self.poll_pass(cx, from, to)? {
                Poll::Ready(0) => {
                    self.state = State::Ended;
                    from.end();
                }
                Poll::Ready(passed) => {
                    count.add(passed as u64);
                    from.moved();
                    to.moved();
                }
                Poll::Pending => {
                    // TLS may hold back something.
                    let _ = Pin::new(&mut *to).poll_flush(cx).map_err(failed)?;
                    return Poll::Pending;
                }
            },
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is left from before.
    fn poll_rest(&mut self, cx: &mut Context<'_>, to: &mut impl Side) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(cx, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.held.advance(count),
            }
        }
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(())) };
        while let (held @ 1.., Some(socket)) = (pipe.held, to.socket()) {
            let moved = socket.poll_output(cx, |fd| shift(pipe.reader.as_fd(), fd, held));
            pipe.held -= ready!(moved)?.min(held);
            to.moved();
        }
        if let Some(pipe) = self.pipe.take() {
            pipe.give_back();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads something, and writes what of it can be written at once; 0 is the end.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Side,
        to: &mut impl Side,
    ) -> Result<Poll<usize>, Fault> {
        if self.bulk
            && let (Some(source), Some(_)) = (from.socket(), to.socket())
            && let Ok(pipe) = Pipe::take()
        {
            return self.shift(cx, source, pipe).map_err(|error| Fault(What::Read, error));
        }
        PIECES.with_borrow_mut(|piece| {
            let mut read = ReadBuf::new(piece);
            match Pin::new(from).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(result) => result.map_err(|error| Fault(What::Read, error))?,
            }
            let bytes = read.filled();
            self.bulk = bytes.len() == PIECE;
            let written = match bytes.is_empty() {
                true => 0,
                false => match Pin::new(to).poll_write(cx, bytes) {
                    Poll::Ready(written) => written.map_err(|error| Fault(What::Write, error))?,
                    Poll::Pending => 0,
                },
            };
            self.held = Bytes::copy_from_slice(bytes.get(written..).unwrap_or_default());
            Ok(Poll::Ready(bytes.len()))
        })
    }

    fn shift(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        mut pipe: Pipe,
    ) -> io::Result<Poll<usize>> {
        let size = PIPE.unsigned_abs() as usize;
        // The pipe is empty, so that `WouldBlock` is the socket's word.
        let moved = from.poll_input(cx, |fd| shift(fd, pipe.writer.as_fd(), size))?;
        if let Poll::Ready(count) = moved {
            pipe.held = count;
            self.bulk = count >= PIECE;
        }
        match pipe.held {
            0 => pipe.give_back(),
            _ => self.pipe = Some(pipe),
        }
        Ok(moved)
    }
}
