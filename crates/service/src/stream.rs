use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustix::fs::sendfile;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::local::LocalStream;

/// Bytes that are read at once to see what a client speaks. A TLS client's first words fit, mostly.
const FIRST: usize = 2048;

/// A stream socket: a client's, or one to an upstream.
#[derive(Debug)]
pub enum Stream {
    /// Over IPv4 or IPv6.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(LocalStream),
}

impl Stream {
    /// Puts an accepted, non-blocking socket onto the runtime of the calling thread.
    pub(crate) fn from_fd(fd: OwnedFd, unix: bool) -> io::Result<Self> {
        Ok(if unix {
            Self::Unix(LocalStream::from_fd(fd)?)
        } else {
            Self::Tcp(TcpStream::from_std(fd.into())?)
        })
    }

    /// The same socket on the runtime of the calling thread.
    pub(crate) fn again(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => Self::from_fd(stream.as_fd().try_clone_to_owned()?, false),
            Self::Unix(stream) => Self::from_fd(stream.as_fd().try_clone_to_owned()?, true),
        }
    }

    /// Waits until there is something to read, or the end of what the client sends.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    /// As [`Stream::readable`], for a future that has no room to spare.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Waits until the client takes something, as far as is known.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Writes bytes of which the kernel need not make a packet yet, since more follow at once.
    pub fn poll_write_more(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_output(cx, |socket| {
            Ok(send(socket, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?)
        })
    }

    /// Sends up to `count` bytes of a file from `offset` on; 0 is the file's end. Blocks where they
    /// are not in memory.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_output(cx, |socket| Ok(sendfile(socket, file, Some(&mut { offset }), count)?))
    }

    /// Writes by a call of one's own, when the kernel takes something.
    pub fn poll_output(
        &self,
        cx: &mut Context<'_>,
        output: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = match self {
            Self::Tcp(socket) => socket,
            Self::Unix(socket) => return socket.poll_output(cx, output),
        };
        poll_call(
            || socket.poll_write_ready(cx),
            || socket.try_io(Interest::WRITABLE, || output(socket.as_fd())),
        )
    }

    /// Reads by a call of one's own, when there is something. Should the call end with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), there has to be nothing in the socket.
    pub fn poll_input(
        &self,
        cx: &mut Context<'_>,
        mut input: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        poll_call(
            || self.poll_readable(cx),
            || match self {
                Self::Tcp(stream) => stream.try_io(Interest::READABLE, || input(stream.as_fd())),
                Self::Unix(stream) => stream.try_input(&mut input),
            },
        )
    }

    /// Appends what there is to read, after waiting for it; false at the end. It is little at a time: the
    /// first words of a client.
    pub async fn read_more(&self, bytes: &mut BytesMut) -> io::Result<bool> {
        let length = bytes.len();
        loop {
            self.readable().await?;
            bytes.resize(length + FIRST, 0);
            let read = self.try_read(bytes.get_mut(length..).unwrap_or_default());
            bytes.truncate(length + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(count) => return Ok(count > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there, `WouldBlock` where nothing is.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }
}

impl Stream {
    /// Waits until the client takes something, as far as is known.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => poll_fn(|cx| stream.poll_write_ready(cx)).await,
        }
    }

    /// As [`Stream::try_read`]. Where that was all there is, the next wait is a true one, and not a call in vain
    /// first.
    pub fn try_read_rest(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        // To say that the call would block is how a runtime learns that there is no more. What comes from now on
        // is a new event, and the end of the stream stays one.
        let mut read = |socket: BorrowedFd<'_>| {
            count = recv(socket, &mut *buffer, RecvFlags::empty())?.0;
            match count {
                short if (1..buffer.len()).contains(&short) => {
                    Err(io::Error::from(io::ErrorKind::WouldBlock))
                }
                count => Ok(count),
            }
        };
        let result = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || read(stream.as_fd())),
            Self::Unix(stream) => stream.try_input(read),
        };
        if count > 0 { Ok(count) } else { result }
    }

    /// Writes what the kernel takes, `WouldBlock` where it takes nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// The user whose process has connected to a Unix socket.
    pub fn peer_uid(&self) -> Option<u32> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(stream) => stream.peer_uid().ok(),
        }
    }
}

/// Makes a call as often as the socket is ready, until there is more to say than that it would block.
pub(crate) fn poll_call(
    mut poll_ready: impl FnMut() -> Poll<io::Result<()>>,
    mut call: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(poll_ready())?;
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
