//! A server under test, and who talks to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use brim_testing::Home;
pub(crate) use brim_testing::{PATIENCE, Server, eventually};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_brim-tcp");

/// The home of a server with these keys in `[tcp]`.
pub(crate) fn home(keys: &str) -> Rc<Home> {
    Home::tcp(PROGRAM, keys)
}

/// A running server with these keys.
pub(crate) fn serve(keys: &str) -> Server {
    home(keys).start()
}

/// The home of a program of `examples/`.
pub(crate) fn example(name: &str, keys: &str) -> Rc<Home> {
    Home::tcp(brim_testing::example(PROGRAM, name), keys)
}

/// A connection that fails the test where it is not as expected.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn of(server: &Server) -> Self {
        Self::new(TcpStream::connect(server.address()).unwrap())
    }

    /// Connects and is reset, perhaps before it knows that it is connected.
    pub(crate) fn reset_by(server: &Server) {
        match TcpStream::connect(server.address()) {
            Ok(stream) => Self::new(stream).is_reset(),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Says that nothing more will come.
    pub(crate) fn finish(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let mut read = vec![0; bytes.as_ref().len()];
        self.0.read_exact(&mut read).unwrap();
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(bytes.as_ref()));
    }

    /// All that still comes.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Nothing more comes, neither bytes nor an error.
    pub(crate) fn is_closed(&mut self) {
        assert_eq!(self.rest(), "");
    }

    /// The other side breaks off.
    pub(crate) fn is_reset(&mut self) {
        let error = self.0.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    /// Has the kernel reset the connection when it is dropped.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
