//! A client's session: its own socket to an upstream.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use brim_config::Target;
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::timeout_at;

use super::Counters;
use super::conf::Conf;
use super::upstreams::Upstream;
use crate::socket::{From, Socket};

/// The largest answer, in bytes: the largest UDP has.
const LARGEST: usize = 65_535;

thread_local! {
    /// Answers are sent on at once, so that one buffer is enough for all sessions.
    static ANSWER: RefCell<Vec<u8>> = RefCell::new(vec![0; LARGEST]);
}

pub(super) struct Session {
    socket: UdpSocket,
    upstream: Rc<Upstream>,
    address: SocketAddr,
    /// When something was sent last, in either direction.
    last: Cell<Instant>,
    /// Something was sent, and no answer came since.
    waits: Cell<bool>,
    refused: Cell<bool>,
}

impl Session {
    pub(super) fn new(upstream: Rc<Upstream>, address: SocketAddr) -> io::Result<Self> {
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = StdSocket::bind(any)?;
        socket.connect(address)?;
        // The kernel may have given it the port of an upstream on this machine that is down.
        if address.ip().is_loopback() && socket.local_addr()? == address {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let last = Cell::new(Instant::now());
        let (waits, refused) = (Cell::new(false), Cell::new(false));
        Ok(Self { socket, upstream, address, last, waits, refused })
    }

    /// Sends something to the upstream. Where the kernel does not take it, it is lost, as datagrams are.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.last.set(Instant::now());
        // Not by tokio: of a new socket it does not know yet that it takes something.
        let send = || rustix::net::send(&self.socket, bytes, SendFlags::DONTWAIT);
        let sent = match send() {
            Err(error) if !is_about_this_one(error) => {
                // What became of an earlier one is told first; the session's end is near.
                self.refuse();
                send()
            }
            sent => sent,
        };
        sent?;
        self.waits.set(true);
        Ok(())
    }

    /// Whether nobody is there, so that the client is better off with another upstream.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.get()
    }

    /// Whether an answer may be on its way.
    pub(super) fn waits(&self) -> bool {
        self.waits.get()
    }

    /// Sends answers back, until there is silence for too long or nobody is there.
    pub(super) async fn answer(
        &self,
        client: &Socket,
        to: &From,
        conf: &Conf,
        counters: &Counters,
    ) {
        while self.readable(conf.idle_timeout).await {
            // Of one that nobody hears, the kernel says no more than that; it may have told `send` already.
            let mut failed = self.refused.get() || self.has_failed();
            while !failed {
                match self.receive() {
                    Ok(answer) => self.pass(&answer, client, to, counters).await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => failed = true,
                }
                // Others have their turn, however much comes.
                tokio::task::coop::consume_budget().await;
            }
            if failed {
                counters.failed.incr();
                self.refuse();
                break;
            }
        }
        self.waits.set(false);
    }

    fn refuse(&self) {
        if !self.refused.replace(true) {
            self.upstream.failed(self.address);
        }
    }

    /// Whether the kernel has an error to tell. The runtime forgets that it heard of one.
    fn has_failed(&self) -> bool {
        let _ = self
            .socket
            .try_io(Interest::ERROR, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
        SockRef::from(&self.socket).take_error().is_ok_and(|error| error.is_some())
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        ANSWER.with_borrow_mut(|buffer| {
            let length = self.socket.try_recv(buffer)?;
            Ok(buffer.get(..length).unwrap_or_default().to_vec())
        })
    }

    /// Whether it goes to one of these.
    pub(super) fn is_to_one_of(&self, targets: &[Target]) -> bool {
        targets.contains(&self.upstream.target)
    }

    /// Waits for an answer or an error; false when there is silence for too long.
    async fn readable(&self, idle: Duration) -> bool {
        let interest = Interest::READABLE.add(Interest::ERROR);
        loop {
            let due = self.last.get() + idle;
            match timeout_at(due.into(), self.socket.ready(interest)).await {
                Ok(ready) => return ready.is_ok(),
                Err(_) if self.last.get() + idle <= Instant::now() => return false,
                Err(_) => {}
            }
        }
    }

    async fn pass(&self, answer: &[u8], client: &Socket, to: &From, counters: &Counters) {
        self.last.set(Instant::now());
        self.upstream.succeeded();
        match client.send(answer, to).await {
            Ok(()) => counters.down.add(answer.len() as u64),
            Err(_) => counters.unsent.incr(),
        }
        self.waits.set(false);
    }
}

/// Whether an error is about the datagram that is sent, and none before it.
fn is_about_this_one(error: Errno) -> bool {
    matches!(error, Errno::WOULDBLOCK | Errno::MSGSIZE | Errno::NOBUFS | Errno::NOMEM)
}

#[cfg(test)]
mod tests;
