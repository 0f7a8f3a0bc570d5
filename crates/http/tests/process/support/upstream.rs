use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::Client;

/// An address where nobody listens, and that nobody else gets while the socket is held.
pub(crate) fn nobody() -> (OwnedFd, SocketAddr) {
    let (family, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    (socket, address)
}

/// A server behind the one under test, which says what it is told to, byte for byte.
pub(crate) struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Each connection is served on a thread of its own; it is told how many came before it.
    pub(crate) fn new(serve: impl Fn(&mut Client, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (serve, count) = (Arc::new(serve), connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serve = serve.clone();
                let number = count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || serve(&mut Client::over(stream.unwrap()), number));
            }
        });
        Self { address, connections }
    }

    /// Answers each request on each connection by these bytes.
    pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |client, _| {
            while client.request().is_some() {
                client.try_send(&answer);
            }
        })
    }

    /// Answers the first request on each connection by these bytes, and closes.
    pub(crate) fn saying_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |client, _| {
            client.request();
            client.try_send(&answer);
        })
    }

    /// Answers each request without a body by the head that it came with.
    pub(crate) fn showing() -> Self {
        Self::new(|client, _| {
            while let Some(head) = client.request() {
                client.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}",
                    head.len()
                ));
            }
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that came so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A section `proxy` in front of it, with these keys.
    pub(crate) fn behind(&self, keys: &str) -> String {
        format!("apps = stats proxy\n[proxy]\ncall = proxy\nupstream = {}\n{keys}", self.address)
    }
}
