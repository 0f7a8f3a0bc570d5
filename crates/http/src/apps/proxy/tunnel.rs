//! Two connections that have become one: bytes go both ways until both sides have ended.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::timer::Timer;

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

thread_local! {
    /// What was just read, and is mostly written at once: a silent tunnel holds no memory for it.
    static PIECES: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// The times of a tunnel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Of silence in both directions.
    pub(super) silence: Duration,
    /// The same when one side has ended.
    pub(super) half: Duration,
}

/// One direction.
struct Half {
    /// What was read and could not be written yet.
    held: Bytes,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The reader has ended, the writer is to hear of it.
    Ended,
    Over,
}

/// Joins two connections. What `upstream` had sent already goes first.
pub(super) async fn join(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    early: Bytes,
    times: Times,
) -> io::Result<()> {
    let mut up = Half { held: Bytes::new(), state: State::Open };
    let mut down = Half { held: early, state: State::Open };
    let mut timer = Timer::new(times.silence);
    poll_fn(|cx| {
        let mut moved = false;
        let up_over = up.poll(cx, &mut client, &mut upstream, &mut moved)?;
        let down_over = down.poll(cx, &mut upstream, &mut client, &mut moved)?;
        if up_over.is_ready() && down_over.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if moved {
            let half = up_over.is_ready() || down_over.is_ready();
            let time = if half { times.half.min(times.silence) } else { times.silence };
            timer.set(Instant::now(), time);
        }
        timer.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

impl Half {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.held.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.held))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                bytes::Buf::advance(&mut self.held, count);
                *moved = true;
            }
            match self.state {
                State::Over => return Poll::Ready(Ok(())),
                State::Ended => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Over;
                    *moved = true;
                }
                State::Open => {
                    let read = PIECES.with_borrow_mut(|piece| self.pass(cx, from, to, piece));
                    if read?.is_pending() {
                        // TLS may hold back something.
                        let _ = Pin::new(&mut *to).poll_flush(cx)?;
                        return Poll::Pending;
                    }
                    *moved = true;
                }
            }
        }
    }

    /// Reads a piece, and writes what of it can be written at once.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        piece: &mut [u8],
    ) -> io::Result<Poll<()>> {
        let mut read = ReadBuf::new(piece);
        match Pin::new(from).poll_read(cx, &mut read) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(result) => result?,
        }
        if read.filled().is_empty() {
            self.state = State::Ended;
            return Ok(Poll::Ready(()));
        }
        let written = match Pin::new(to).poll_write(cx, read.filled()) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        let left = read.filled().get(written..).unwrap_or_default();
        self.held = Bytes::copy_from_slice(left);
        Ok(Poll::Ready(()))
    }
}
