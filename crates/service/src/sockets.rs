//! The sockets that systemd holds for us, matched to the configuration by what they are.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;

use brim_config::{Address, Listener, SocketType};
use listenfd::ListenFd;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::acceptor::Open;

/// Why a socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// An inherited descriptor is no socket that Brim can serve.
    #[error(
        "inherited descriptor {index} is neither a listening stream socket nor a datagram socket"
    )]
    Useless {
        /// Its place among the inherited ones, from 0.
        index: usize,
    },
    /// Without systemd: the address could not be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address of the configuration.
        address: Address,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A listening stream socket.
#[derive(Debug)]
pub(crate) enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl AsRawFd for ListeningSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl ListeningSocket {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }
}

/// A socket that gets datagrams.
#[derive(Debug)]
pub enum Datagrams {
    /// UDP over IPv4 or IPv6.
    Udp(UdpSocket),
    /// A Unix socket.
    Unix(UnixDatagram),
}

/// A datagram socket for a program to serve. It does not block.
#[derive(Debug)]
pub struct DatagramSocket {
    /// The socket.
    pub socket: Datagrams,
    /// Its address.
    pub local: Arc<Address>,
    /// The drain waits until this is dropped.
    pub open: Open,
}

/// A datagram socket and the address that it says it has.
#[derive(Debug)]
pub(crate) struct HeldDatagrams {
    pub(crate) address: Address,
    pub(crate) socket: Datagrams,
}

impl HeldDatagrams {
    fn new(socket: Datagrams) -> io::Result<Self> {
        let address = match &socket {
            Datagrams::Udp(socket) => {
                socket.set_nonblocking(true)?;
                Address::Tcp(socket.local_addr()?)
            }
            Datagrams::Unix(socket) => {
                socket.set_nonblocking(true)?;
                path_of(&socket.local_addr()?)
            }
        };
        Ok(Self { address, socket })
    }
}

/// All sockets that a daemon has.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) streams: Vec<Held>,
    pub(crate) datagrams: Vec<HeldDatagrams>,
}

impl Sockets {
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.datagrams.is_empty()
    }

    /// What they are, to be compared with the configuration.
    pub(crate) fn places(&self) -> Vec<Place> {
        let streams = self.streams.iter().map(|held| (held.address.clone(), SocketType::Stream));
        let datagrams = self.datagrams.iter();
        let datagrams = datagrams.map(|held| (held.address.clone(), SocketType::Datagram));
        streams.chain(datagrams).collect()
    }
}

/// An address, and what kind of socket it has.
pub(crate) type Place = (Address, SocketType);

/// A listening socket and the address that it says it has.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) address: Address,
    pub(crate) socket: ListeningSocket,
}

impl Held {
    fn new(socket: ListeningSocket) -> io::Result<Self> {
        let address = match &socket {
            ListeningSocket::Tcp(socket) => {
                let options = SockRef::from(socket);
                // Accepted sockets inherit it, which saves a call per connection.
                options.set_tcp_nodelay(true)?;
                socket.set_nonblocking(true)?;
                Address::Tcp(socket.local_addr()?)
            }
            ListeningSocket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                path_of(&socket.local_addr()?)
            }
        };
        Ok(Self { address, socket })
    }

    /// Whether the kernel looks after silent peers. Accepted sockets inherit it, too.
    pub(crate) fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        match &self.socket {
            ListeningSocket::Tcp(socket) => SockRef::from(socket).set_keepalive(keepalive),
            ListeningSocket::Unix(_) => Ok(()),
        }
    }

    /// A second descriptor of the same socket.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { address: self.address.clone(), socket: self.socket.try_clone()? })
    }
}

fn path_of(address: &std::os::unix::net::SocketAddr) -> Address {
    Address::Unix(address.as_pathname().map(ToOwned::to_owned).unwrap_or_default())
}

/// Takes what systemd (or `brimctl run`) handed over. To be called before there is any thread:
/// it changes the environment.
pub(crate) fn adopt() -> (Sockets, Vec<SocketError>) {
    let mut inherited = ListenFd::from_env();
    let (mut sockets, mut errors) = (Sockets::default(), Vec::new());
    for index in 0..inherited.len() {
        if sockets.adopt(&mut inherited, index).is_none() {
            errors.push(SocketError::Useless { index });
        }
    }
    (sockets, errors)
}

impl Sockets {
    /// Takes one; what it is, is tried.
    fn adopt(&mut self, inherited: &mut ListenFd, index: usize) -> Option<()> {
        if let Ok(socket) = inherited.take_tcp_listener(index) {
            self.streams.push(Held::new(ListeningSocket::Tcp(socket?)).ok()?);
        } else if let Ok(socket) = inherited.take_unix_listener(index) {
            self.streams.push(Held::new(ListeningSocket::Unix(socket?)).ok()?);
        } else if let Ok(socket) = inherited.take_udp_socket(index) {
            self.datagrams.push(HeldDatagrams::new(Datagrams::Udp(socket?)).ok()?);
        } else if let Ok(socket) = inherited.take_unix_datagram(index) {
            self.datagrams.push(HeldDatagrams::new(Datagrams::Unix(socket?)).ok()?);
        } else {
            return None;
        }
        Some(())
    }
}

/// Opens the section's own listeners: there is no systemd (a container, say).
pub(crate) fn bind(listeners: &[Listener], backlog: u32) -> Result<Sockets, SocketError> {
    let mut sockets = Sockets::default();
    for listener in listeners {
        sockets
            .open(listener, backlog)
            .map_err(|source| SocketError::Bind { address: listener.address.clone(), source })?;
    }
    Ok(sockets)
}

impl Sockets {
    fn open(&mut self, listener: &Listener, backlog: u32) -> io::Result<()> {
        let socket = bound(listener)?;
        let tcp = matches!(listener.address, Address::Tcp(_));
        if listener.socket_type == SocketType::Datagram {
            let socket =
                if tcp { Datagrams::Udp(socket.into()) } else { Datagrams::Unix(socket.into()) };
            self.datagrams.push(HeldDatagrams::new(socket)?);
            return Ok(());
        }
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let socket = match tcp {
            true => ListeningSocket::Tcp(socket.into()),
            false => ListeningSocket::Unix(socket.into()),
        };
        self.streams.push(Held::new(socket)?);
        Ok(())
    }
}

fn bound(listener: &Listener) -> io::Result<Socket> {
    let kind = match listener.socket_type {
        SocketType::Stream => Type::STREAM,
        SocketType::Datagram => Type::DGRAM,
    };
    match &listener.address {
        Address::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(*address), kind, None)?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // Of UDP, two servers could then share an address.
            socket.set_reuse_address(kind == Type::STREAM)?;
            socket.bind(&SockAddr::from(*address))?;
            Ok(socket)
        }
        Address::Unix(path) => {
            // A file that a process which was killed left behind; one that somebody serves stays.
            if std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            {
                std::fs::remove_file(path)?;
            }
            let socket = Socket::new(Domain::UNIX, kind, None)?;
            socket.bind(&SockAddr::unix(path)?)?;
            Ok(socket)
        }
    }
}

/// Where the sockets that are open and the listeners of the configuration differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mismatch {
    missing: Vec<Address>,
    unnamed: Vec<Address>,
}

impl Mismatch {
    /// Compares by address and type, never by position: systemd's order changes.
    pub(crate) fn between(held: &[Place], listeners: &[Listener]) -> Self {
        let is = |(held, kind): &Place, wanted: &Listener| {
            *kind == wanted.socket_type && same(held, &wanted.address)
        };
        let missing = listeners.iter().filter(|wanted| !held.iter().any(|held| is(held, wanted)));
        let unnamed = held.iter().filter(|held| !listeners.iter().any(|wanted| is(held, wanted)));
        Self {
            missing: missing.map(|wanted| wanted.address.clone()).collect(),
            unnamed: unnamed.map(|(held, _)| held.clone()).collect(),
        }
    }

    /// What is wrong and what mends it, on one line; `None` where all is well.
    pub(crate) fn sentence(&self, unit: &str) -> Option<String> {
        let list = |addresses: &[Address]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let found = match (self.missing.is_empty(), self.unnamed.is_empty()) {
            (true, true) => return None,
            (false, true) => format!("configured but not open: {}", list(&self.missing)),
            (true, false) => format!("open but not configured: {}", list(&self.unnamed)),
            (false, false) => format!(
                "configured but not open: {}, open but not configured: {}",
                list(&self.missing),
                list(&self.unnamed)
            ),
        };
        Some(format!("{found}; run: systemctl daemon-reload && systemctl restart {unit}"))
    }
}

/// The same socket? Port 0 (`brimctl run`) means any port of that address.
fn same(held: &Address, wanted: &Address) -> bool {
    match (held, wanted) {
        (Address::Tcp(held), Address::Tcp(wanted)) => {
            held.ip() == wanted.ip() && (held.port() == wanted.port() || wanted.port() == 0)
        }
        (held, wanted) => held == wanted,
    }
}

/// The address of a TCP peer, `None` for what came over a Unix socket.
pub type PeerAddress = Option<SocketAddr>;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        (text.parse().unwrap(), SocketType::Stream)
    }

    fn listener(text: &str) -> Listener {
        let (address, socket_type) = place(text);
        Listener { address, socket_type, origin: None }
    }

    #[test]
    fn sockets_are_matched_by_address_and_not_by_position() {
        let held = [place("127.0.0.1:81"), place("127.0.0.1:80")];
        let wanted = [listener("127.0.0.1:80"), listener("127.0.0.1:81")];
        assert_eq!(Mismatch::between(&held, &wanted).sentence("brim@wsgi"), None);
    }

    #[test]
    fn a_changed_port_names_both_addresses_and_the_command() {
        let mismatch = Mismatch::between(&[place("*:8901")], &[listener("*:8902")]);
        assert_eq!(
            mismatch.sentence("brim@wsgi").unwrap(),
            "configured but not open: 0.0.0.0:8902, open but not configured: 0.0.0.0:8901; \
             run: systemctl daemon-reload && systemctl restart brim@wsgi"
        );
    }

    #[test]
    fn a_stream_is_no_datagram_socket() {
        let held = [(place("*:53").0, SocketType::Datagram)];
        assert!(Mismatch::between(&held, &[listener("*:53")]).sentence("brim@tcp").is_some());
    }

    #[test]
    fn a_socket_left_behind_by_a_killed_process_is_bound_anew_and_a_served_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for socket_type in [SocketType::Stream, SocketType::Datagram] {
            let path = folder.path().join(format!("{socket_type:?}.sock"));
            let address = Address::Unix(path.clone());
            let wanted = [Listener { address, socket_type, origin: None }];
            drop(bind(&wanted, 16).unwrap());
            assert!(path.exists());
            let held = bind(&wanted, 16).unwrap();
            assert!(matches!(bind(&wanted, 16), Err(SocketError::Bind { .. })));
            drop(held);
        }
    }
}
