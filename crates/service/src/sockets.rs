//! The sockets that systemd holds for us, matched to the configuration by what they are.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixListener;

use brim_config::{Address, Listener, SocketType};
use listenfd::ListenFd;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// Why a socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// An inherited descriptor is no socket that Brim can serve.
    #[error("inherited descriptor {index} is not a listening stream socket")]
    NotAListener {
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
                let path = socket.local_addr()?.as_pathname().map(ToOwned::to_owned);
                Address::Unix(path.unwrap_or_default())
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

/// Takes what systemd (or `brimctl run`) handed over. To be called before there is any thread:
/// it changes the environment.
pub(crate) fn adopt() -> (Vec<Held>, Vec<SocketError>) {
    let mut inherited = ListenFd::from_env();
    let (mut held, mut errors) = (Vec::new(), Vec::new());
    for index in 0..inherited.len() {
        let socket = match inherited.take_tcp_listener(index) {
            Ok(socket) => socket.map(ListeningSocket::Tcp),
            Err(_) => inherited.take_unix_listener(index).ok().flatten().map(ListeningSocket::Unix),
        };
        match socket.map(Held::new) {
            Some(Ok(socket)) => held.push(socket),
            _ => errors.push(SocketError::NotAListener { index }),
        }
    }
    (held, errors)
}

/// Opens the section's own listeners: there is no systemd (a container, say).
pub(crate) fn bind(listeners: &[Listener], backlog: u32) -> Result<Vec<Held>, SocketError> {
    let open = |listener: &Listener| {
        let address = listener.address.clone();
        listening(&address, backlog)
            .and_then(Held::new)
            .map_err(|source| SocketError::Bind { address, source })
    };
    listeners.iter().map(open).collect()
}

fn listening(address: &Address, backlog: u32) -> io::Result<ListeningSocket> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    match address {
        Address::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_reuse_address(true)?;
            socket.bind(&SockAddr::from(*address))?;
            socket.listen(backlog)?;
            Ok(ListeningSocket::Tcp(socket.into()))
        }
        Address::Unix(path) => {
            // A file that a process which was killed left behind; one that somebody serves stays.
            if std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            {
                std::fs::remove_file(path)?;
            }
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.bind(&SockAddr::unix(path)?)?;
            socket.listen(backlog)?;
            Ok(ListeningSocket::Unix(socket.into()))
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
    pub(crate) fn between(held: &[Address], listeners: &[Listener]) -> Self {
        let wanted: Vec<_> = listeners
            .iter()
            .filter(|listener| listener.socket_type == SocketType::Stream)
            .map(|listener| &listener.address)
            .collect();
        Self {
            missing: wanted
                .iter()
                .filter(|wanted| !held.iter().any(|held| same(held, wanted)))
                .map(|wanted| (*wanted).clone())
                .collect(),
            unnamed: held
                .iter()
                .filter(|held| !wanted.iter().any(|wanted| same(held, wanted)))
                .cloned()
                .collect(),
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

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn listener(text: &str) -> Listener {
        Listener { address: address(text), socket_type: SocketType::Stream, origin: None }
    }

    #[test]
    fn sockets_are_matched_by_address_and_not_by_position() {
        let held = [address("127.0.0.1:81"), address("127.0.0.1:80")];
        let wanted = [listener("127.0.0.1:80"), listener("127.0.0.1:81")];
        assert_eq!(Mismatch::between(&held, &wanted).sentence("brim@wsgi"), None);
    }

    #[test]
    fn a_changed_port_names_both_addresses_and_the_command() {
        let mismatch = Mismatch::between(&[address("*:8901")], &[listener("*:8902")]);
        assert_eq!(
            mismatch.sentence("brim@wsgi").unwrap(),
            "configured but not open: 0.0.0.0:8902, open but not configured: 0.0.0.0:8901; \
             run: systemctl daemon-reload && systemctl restart brim@wsgi"
        );
    }

    #[test]
    fn a_socket_left_behind_by_a_killed_process_is_bound_anew_and_a_served_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let wanted = [Listener {
            address: Address::Unix(path.clone()),
            socket_type: SocketType::Stream,
            origin: None,
        }];
        drop(bind(&wanted, 16).unwrap());
        assert!(path.exists());
        let held = bind(&wanted, 16).unwrap();
        assert!(matches!(bind(&wanted, 16), Err(SocketError::Bind { .. })));
        drop(held);
    }
}
