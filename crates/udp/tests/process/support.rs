//! A server under test, and who talks to it.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;

use brim_testing::Home;
pub(crate) use brim_testing::{PATIENCE, Server, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_brim-udp");

/// The home of a server with these keys in `[udp]`.
pub(crate) fn home(keys: &str) -> Rc<Home> {
    Home::udp(PROGRAM, keys)
}

/// A running server with these keys.
pub(crate) fn serve(keys: &str) -> Server {
    home(keys).start()
}

/// The home of a program of `examples/`.
pub(crate) fn example(name: &str, keys: &str) -> Rc<Home> {
    Home::udp(brim_testing::example(PROGRAM, name), keys)
}

/// A client that fails the test where something is not as expected.
pub(crate) struct Client(pub(crate) UdpSocket);

impl Client {
    pub(crate) fn of(server: &Server) -> Self {
        Self::new(server.address())
    }

    pub(crate) fn new(server: SocketAddr) -> Self {
        let any: SocketAddr =
            if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.0.send(bytes.as_ref()).unwrap();
    }

    pub(crate) fn expect(&self, bytes: impl AsRef<[u8]>) {
        assert_eq!(
            String::from_utf8_lossy(&self.receive()),
            String::from_utf8_lossy(bytes.as_ref())
        );
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 70_000];
        let length = self.0.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }
}
