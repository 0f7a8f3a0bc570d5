//! Opens listeners as the socket units do.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use brim_config::{Address, Listener, SectionName, SocketType};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::Error;

/// An open listener.
#[derive(Debug)]
pub(super) struct Listening {
    /// Where it listens, with the port that was found for port 0.
    pub(super) address: Address,
    pub(super) socket: OwnedFd,
    pub(super) file: Option<SocketFile>,
}

/// A socket in the file system, which goes with us.
#[derive(Debug)]
pub(super) struct SocketFile(pub(super) PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If somebody else was faster, it is gone all the same.
        let _ = fs::remove_file(&self.0);
    }
}

impl Listening {
    pub(super) fn open(
        section: &SectionName,
        listener: &Listener,
        backlog: u32,
    ) -> Result<Self, Error> {
        let opened = match &listener.address {
            Address::Tcp(address) => tcp(*address, listener.socket_type, backlog),
            Address::Unix(path) => unix(path, listener.socket_type, backlog),
        };
        opened.map_err(|source| Error::Listen {
            origin: listener.origin.clone(),
            section: section.clone(),
            address: listener.address.clone(),
            source,
        })
    }
}

fn tcp(address: SocketAddr, socket_type: SocketType, backlog: u32) -> io::Result<Listening> {
    let socket = Socket::new(Domain::for_address(address), kind(socket_type), None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    listen(&socket, socket_type, backlog)?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(Listening { address: Address::Tcp(address), socket: socket.into(), file: None })
}

fn unix(path: &Path, socket_type: SocketType, backlog: u32) -> io::Result<Listening> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // Left behind by a process that was killed; what somebody serves stays, and the bind fails.
    let connected = UnixStream::connect(path);
    if connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, kind(socket_type), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = Some(SocketFile(path.to_owned()));
    listen(&socket, socket_type, backlog)?;
    Ok(Listening { address: Address::Unix(path.to_owned()), socket: socket.into(), file })
}

fn kind(socket_type: SocketType) -> Type {
    match socket_type {
        SocketType::Stream => Type::STREAM,
        SocketType::Datagram => Type::DGRAM,
    }
}

fn listen(socket: &Socket, socket_type: SocketType, backlog: u32) -> io::Result<()> {
    match socket_type {
        SocketType::Stream => socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)),
        SocketType::Datagram => Ok(()),
    }
}
