use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, send, sendmsg, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, Sleep, sleep};

use crate::stream::poll_call;

/// So many writes in a row that were not held up, and the kernel is not asked about room any more.
const SMOOTH: u8 = 32;
/// How often one looks for room of which one cannot hear.
const LOOK: Duration = Duration::from_millis(10);

/// A Unix stream socket on the runtime of the thread that made it.
///
/// Each time when a peer has read something, the kernel says of such a socket that there is room, even if there
/// always was: with tokio's own type, every short message costs its sender a wake-up for nothing. This one
/// listens for input only, and for room while it was held up.
pub struct LocalStream {
    /// The socket. Of a pipe's end it has only that the runtime listens to one direction.
    input: Receiver,
    /// Boxed: few are ever held up, and each connection has room for one of these.
    output: Cell<Option<Box<Output>>>,
}

/// What there is while writes are held up.
struct Output {
    room: Room,
    /// Writes that were not held up, one after the other.
    smooth: u8,
}

/// How one learns of room.
enum Room {
    /// By the socket once more, at which the runtime listens.
    Heard(Sender),
    /// By looking from time to time: the process has no descriptor left for that.
    Looked(Pin<Box<Sleep>>),
}

impl Room {
    /// `socket`: the socket once more.
    fn of(socket: io::Result<OwnedFd>) -> io::Result<Self> {
        match socket {
            Ok(socket) => Ok(Self::Heard(Sender::from_owned_fd_unchecked(socket)?)),
            Err(error) if is_scarcity(&error) => Ok(Self::Looked(Box::pin(sleep(LOOK)))),
            Err(error) => Err(error),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Heard(room) => room.poll_write_ready(cx),
            Self::Looked(sleep) => {
                ready!(sleep.as_mut().poll(cx));
                Poll::Ready(Ok(()))
            }
        }
    }

    fn try_io<R>(&mut self, output: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Self::Heard(room) => room.try_io(output),
            Self::Looked(sleep) => {
                let written = output();
                if is_held_up(&written) {
                    sleep.as_mut().reset(Instant::now() + LOOK);
                }
                written
            }
        }
    }
}

/// Whether descriptors have run out.
fn is_scarcity(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

impl LocalStream {
    /// Connects with who listens at a path.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        Self::from_tokio(tokio::net::UnixStream::connect(path).await?)
    }

    /// Takes a socket from tokio.
    pub(crate) fn from_tokio(socket: tokio::net::UnixStream) -> io::Result<Self> {
        Self::from_fd(socket.into_std()?.into())
    }

    /// Takes a connected socket, which has to be non-blocking.
    pub fn from_fd(socket: OwnedFd) -> io::Result<Self> {
        let input = Receiver::from_owned_fd_unchecked(socket)?;
        Ok(Self { input, output: Cell::new(None) })
    }

    /// Waits until there is something to read, or the end.
    pub async fn readable(&self) -> io::Result<()> {
        self.input.readable().await
    }

    /// As [`LocalStream::readable`].
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.poll_read_ready(cx)
    }

    /// Waits for room, if the last write found none.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut held) = self.output.take() else {
            // Who writes on and on lets others have their turn, as with any other socket.
            return poll_proceed(cx).map(|turn| {
                turn.made_progress();
                Ok(())
            });
        };
        let ready = held.room.poll_ready(cx);
        self.output.set(Some(held));
        ready
    }

    /// Reads by a call of one's own, `WouldBlock` where nothing has come.
    pub fn try_input<R>(
        &self,
        input: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.input.try_io(|| input(self.input.as_fd()))
    }

    /// As [`LocalStream::try_input`], for bytes.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.try_read(buffer)
    }

    /// Writes by a call of one's own, `WouldBlock` where there is no room.
    pub fn try_output<R>(
        &self,
        output: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        let Some(mut held) = self.output.take() else {
            let written = output(self.as_fd());
            if is_held_up(&written) {
                let room = Room::of(self.as_fd().try_clone_to_owned())?;
                self.output.set(Some(Box::new(Output { room, smooth: 0 })));
            }
            return written;
        };
        let written = held.room.try_io(|| output(self.as_fd()));
        held.smooth = if is_held_up(&written) { 0 } else { held.smooth + 1 };
        if held.smooth < SMOOTH {
            self.output.set(Some(held));
        }
        written
    }

    /// As [`LocalStream::try_output`], for bytes.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_output(|socket| Ok(send(socket, bytes, SendFlags::NOSIGNAL)?))
    }

    /// The user whose process is at the other end.
    pub fn peer_uid(&self) -> io::Result<u32> {
        Ok(socket_peercred(self)?.uid.as_raw())
    }

    /// Writes by a call of one's own, when there is room.
    pub(crate) fn poll_output(
        &self,
        cx: &mut Context<'_>,
        output: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        poll_call(|| self.poll_write_ready(cx), || self.try_output(&output))
    }
}

fn is_held_up<R>(written: &io::Result<R>) -> bool {
    written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl fmt::Debug for LocalStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalStream").field(&self.as_fd()).finish()
    }
}

impl AsFd for LocalStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().input).poll_read(cx, buffer)
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_output(cx, |socket| Ok(send(socket, bytes, SendFlags::NOSIGNAL)?))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(shutdown(&*self, Shutdown::Write)?))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_output(cx, |socket| {
            let mut nothing = SendAncillaryBuffer::default();
            Ok(sendmsg(socket, parts, &mut nothing, SendFlags::NOSIGNAL)?)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> io::Result<(LocalStream, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((LocalStream::from_fd(ours.into())?, theirs))
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// Whether the runtime is asked about room.
    fn is_watched(stream: &LocalStream) -> bool {
        let held = stream.output.take();
        let is_watched = held.is_some();
        stream.output.set(held);
        is_watched
    }

    /// How often the calling thread has gone to sleep.
    fn sleeps() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_peer_that_reads_wakes_nobody() {
        const ROUNDS: u64 = 200;
        runtime().block_on(async {
            let (mut ours, mut theirs) = pair().unwrap();
            let peer = std::thread::spawn(move || {
                let mut word = [0; 5];
                for _ in 0..ROUNDS {
                    theirs.read_exact(&mut word).unwrap();
                    // Whoever is woken by that has the time to go to sleep again.
                    std::thread::sleep(Duration::from_millis(2));
                    theirs.write_all(&word).unwrap();
                }
            });
            let before = sleeps();
            let mut word = [0; 5];
            for _ in 0..ROUNDS {
                ours.write_all(b"hello").await.unwrap();
                ours.read_exact(&mut word).await.unwrap();
            }
            let count = sleeps() - before;
            println!("{count} sleeps in {ROUNDS} rounds");
            assert!(count < ROUNDS * 3 / 2, "{count} sleeps in {ROUNDS} rounds");
            peer.join().unwrap();
        });
    }

    #[test]
    fn who_is_held_up_hears_of_room() {
        all_goes_out(|_| {});
    }

    #[test]
    fn without_another_descriptor_one_looks_for_room() {
        all_goes_out(|ours| {
            for errno in [Errno::NFILE, Errno::MFILE] {
                let room = Room::of(Err(errno.into())).unwrap();
                assert!(matches!(room, Room::Looked(_)));
                ours.output.set(Some(Box::new(Output { room, smooth: 0 })));
            }
        });
        assert!(Room::of(Err(Errno::BADF.into())).is_err());
    }

    /// `change`: what is done once the socket is full.
    fn all_goes_out(change: impl FnOnce(&LocalStream)) {
        const LENGTH: usize = 8 << 20;
        runtime().block_on(async {
            let (mut ours, mut theirs) = pair().unwrap();
            while ours.try_write(&[1; 4096]).is_ok() {}
            assert!(is_watched(&ours), "the runtime is asked about room");
            change(&ours);
            let peer = std::thread::spawn(move || {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).unwrap();
                all
            });
            let sent = vec![2; LENGTH];
            ours.write_all(&sent).await.unwrap();
            for _ in 0..10 * u32::from(SMOOTH) {
                std::thread::sleep(Duration::from_millis(1));
                ours.write_all(&[3]).await.unwrap();
                if !is_watched(&ours) {
                    break;
                }
            }
            assert!(
                !is_watched(&ours),
                "once the peer keeps up, the runtime is not asked any more"
            );
            ours.shutdown().await.unwrap();
            let all = peer.join().unwrap();
            assert_eq!(all.iter().filter(|byte| **byte == 2).count(), LENGTH);
            assert!(all.ends_with(&[2, 3]) || all.ends_with(&[3, 3]), "in their order");
            assert_eq!(ours.read(&mut [0; 1]).await.unwrap(), 0, "the peer's end comes");
            let error = ours.write_all(b"too late").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }
}
