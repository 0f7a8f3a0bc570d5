//! A socket for datagrams, of IP or in the file system.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

use brim_config::Address;
use brim_service::Datagrams;
use nix::cmsg_space;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg,
    sendmmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};

use crate::batch::{Batch, Came};

mod runs;

use runs::{Run, runs};

/// Who has sent a datagram.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Over IPv4 or IPv6.
    Ip(SocketAddr),
    /// Over a Unix socket, from a socket with this path.
    Unix(PathBuf),
    /// Over a Unix socket, from one without a path: there is no way to answer.
    Unnamed,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Unnamed => f.write_str("unix:"),
        }
    }
}

/// Whence a datagram came, and which of our addresses was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct From {
    pub(crate) peer: Peer,
    /// Of sockets that listen on all addresses.
    pub(crate) asked: Option<IpAddr>,
}

/// A socket on the runtime of the calling thread.
#[derive(Debug)]
pub(crate) struct Socket {
    kind: Kind,
    local: Arc<Address>,
}

#[derive(Debug)]
enum Kind {
    Ip(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    pub(crate) fn new(socket: Datagrams, local: Arc<Address>) -> io::Result<Self> {
        let kind = match socket {
            Datagrams::Unix(socket) => Kind::Unix(UnixDatagram::from_std(socket)?),
            Datagrams::Udp(socket) => {
                let address = socket.local_addr()?;
                // Several of our addresses may be asked.
                let any = address.ip().is_unspecified();
                match address {
                    SocketAddr::V4(_) if any => {
                        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?
                    }
                    SocketAddr::V6(_) if any => {
                        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?
                    }
                    _ => {}
                }
                Kind::Ip(UdpSocket::from_std(socket)?)
            }
        };
        Ok(Self { kind, local })
    }

    pub(crate) fn local(&self) -> &Address {
        &self.local
    }

    /// Receives as much as there is, at least one datagram.
    pub(crate) async fn receive(&self, batch: &mut Batch) -> io::Result<()> {
        batch.came.clear();
        loop {
            let received = match &self.kind {
                Kind::Ip(socket) => {
                    socket.readable().await?;
                    socket.try_io(Interest::READABLE, || receive_ip(socket, batch))
                }
                Kind::Unix(socket) => {
                    socket.readable().await?;
                    receive_unix(socket, batch)
                }
            };
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }

    /// Sends one datagram to where another one came from.
    pub(crate) async fn send(&self, bytes: &[u8], to: &From) -> io::Result<()> {
        match (&self.kind, &to.peer) {
            (Kind::Ip(socket), Peer::Ip(peer)) => {
                let run = Run { to: *peer, asked: to.asked, segment: None, parts: vec![bytes] };
                loop {
                    socket.writable().await?;
                    let sent = socket.try_io(Interest::WRITABLE, || send_run(socket, &run));
                    match sent {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        sent => return sent,
                    }
                }
            }
            (Kind::Unix(socket), Peer::Unix(path)) => socket.send_to(bytes, path).await.map(drop),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sends everything that came back to where it came from; returns how much could not be sent.
    pub(crate) async fn send_back(&self, batch: &Batch) -> usize {
        let Kind::Ip(socket) = &self.kind else {
            let mut failed = 0;
            for came in &batch.came {
                failed += usize::from(self.send(batch.bytes(came), &came.from).await.is_err());
            }
            return failed;
        };
        let mut failed = 0;
        let runs = runs(batch);
        let mut left = runs.as_slice();
        while !left.is_empty() {
            let sent = socket.try_io(Interest::WRITABLE, || send_some(socket, left));
            let (done, bad) = match sent {
                Ok(done) => (done, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if socket.writable().await.is_err() {
                        return failed + left.iter().map(|run| run.parts.len()).sum::<usize>();
                    }
                    continue;
                }
                // The first one is at fault: perhaps it cannot go out as one.
                Err(_) => (1, send_apart(socket, left.first())),
            };
            failed += bad;
            left = left.get(done..).unwrap_or_default();
        }
        failed
    }
}

/// Room for one word of the kernel on which address was asked.
fn space() -> Vec<u8> {
    cmsg_space!(libc::in6_pktinfo)
}

fn receive_ip(socket: &UdpSocket, batch: &mut Batch) -> io::Result<()> {
    let Batch { buffers, came } = batch;
    let count = buffers.len();
    // Anew each time: what the kernel writes there is not put back.
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(count, Some(space()));
    let mut slices: Vec<_> =
        buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer.as_mut_slice())]).collect();
    let flags = MsgFlags::MSG_DONTWAIT;
    let results = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
    for (buffer, message) in results.enumerate() {
        let Some(peer) = message.address.as_ref().and_then(address) else { continue };
        let asked = message.cmsgs().ok().and_then(|mut words| words.find_map(asked));
        let from = From { peer: Peer::Ip(peer), asked };
        came.push(Came { buffer, length: message.bytes, from });
    }
    Ok(())
}

fn receive_unix(socket: &UnixDatagram, batch: &mut Batch) -> io::Result<()> {
    let Batch { buffers, came } = batch;
    for (index, buffer) in buffers.iter_mut().enumerate() {
        match socket.try_recv_from(buffer) {
            Ok((length, peer)) => {
                let path = peer.as_pathname().map(ToOwned::to_owned);
                let peer = path.map_or(Peer::Unnamed, Peer::Unix);
                came.push(Came { buffer: index, length, from: From { peer, asked: None } });
            }
            Err(_) if !came.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let four = || storage.as_sockaddr_in().map(|&four| SocketAddrV4::from(four).into());
    let six = || storage.as_sockaddr_in6().map(|&six| SocketAddrV6::from(six).into());
    four().or_else(six)
}

/// Which of our addresses was asked.
fn asked(word: ControlMessageOwned) -> Option<IpAddr> {
    match word {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    }
}

/// The kernel's form of the address that a reply is to come from.
enum Source {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
    Any,
}

impl Source {
    fn of(run: &Run<'_>) -> Self {
        match run.asked {
            Some(IpAddr::V4(ip)) => Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            // Nobody answers from an address that is several machines'.
            Some(IpAddr::V6(ip)) if !ip.is_multicast() => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                ipi6_ifindex: 0,
            }),
            _ => Self::Any,
        }
    }

    fn word(&self) -> Option<ControlMessage<'_>> {
        match self {
            Self::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Self::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
            Self::Any => None,
        }
    }

    fn space(&self) -> Option<Vec<u8>> {
        match self {
            Self::V4(_) => Some(cmsg_space!(libc::in_pktinfo)),
            Self::V6(_) => Some(cmsg_space!(libc::in6_pktinfo)),
            Self::Any => None,
        }
    }
}

/// Sends the first runs; returns how many.
fn send_some(socket: &UdpSocket, runs: &[Run<'_>]) -> io::Result<usize> {
    let Some(first) = runs.first() else { return Ok(0) };
    if first.segment.is_some() {
        return send_run(socket, first).map(|()| 1);
    }
    // All that are alike go out in one call.
    let alike = runs.iter().take_while(|run| run.segment.is_none() && run.asked == first.asked);
    let runs: Vec<_> = alike.collect();
    let source = Source::of(first);
    let mut headers = MultiHeaders::preallocate(runs.len(), source.space());
    let parts: Vec<[IoSlice<'_>; 1]> = runs.iter().map(|run| [IoSlice::new(run.only())]).collect();
    let to: Vec<_> = runs.iter().map(|run| Some(SockaddrStorage::from(run.to))).collect();
    let words: Vec<_> = source.word().into_iter().collect();
    let flags = MsgFlags::MSG_DONTWAIT;
    let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &parts, to, words, flags)?;
    Ok(sent.count())
}

/// Sends one datagram, or several of one size that the kernel takes apart.
fn send_run(socket: &UdpSocket, run: &Run<'_>) -> io::Result<()> {
    let source = Source::of(run);
    let mut words: Vec<_> = source.word().into_iter().collect();
    if let Some(segment) = &run.segment {
        words.push(ControlMessage::UdpGsoSegments(segment));
    }
    let parts: Vec<_> = run.parts.iter().map(|part| IoSlice::new(part)).collect();
    let to = SockaddrStorage::from(run.to);
    sendmsg(socket.as_raw_fd(), &parts, &words, MsgFlags::MSG_DONTWAIT, Some(&to))?;
    Ok(())
}

/// Sends what could not be sent as one; returns how much still cannot.
fn send_apart(socket: &UdpSocket, run: Option<&Run<'_>>) -> usize {
    let Some(run) = run else { return 0 };
    if run.segment.is_none() {
        return 1;
    }
    let mut single = Run { segment: None, parts: Vec::new(), ..run.clone() };
    let mut failed = 0;
    for part in &run.parts {
        single.parts = vec![part];
        failed += usize::from(send_run(socket, &single).is_err());
    }
    failed
}
