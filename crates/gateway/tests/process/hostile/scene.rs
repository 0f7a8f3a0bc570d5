use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use brim_wire::zmtp::{Greeting, SocketType, append_ready};

use crate::support::{Front, Gateway, PATIENCE, Puppet};

/// A gateway, its good handler, and where strangers come.
pub(super) struct Scene {
    pub(super) gateway: Gateway,
    pub(super) front: Front,
    _puppet: Puppet,
    memory: usize,
    /// Where handlers fetch requests and publish replies.
    pub(super) send: Place,
    pub(super) recv: Place,
}

/// Where strangers connect.
#[derive(Clone)]
pub(super) enum Place {
    Ipc(PathBuf),
    Tcp(String),
}

/// A stranger's connection.
pub(super) trait Stranger: Read + Write {}
impl<T: Read + Write> Stranger for T {}

impl Place {
    fn spec(&self) -> String {
        match self {
            Self::Ipc(path) => format!("ipc://{}", path.display()),
            Self::Tcp(address) => format!("tcp://{address}"),
        }
    }

    pub(super) fn connect(&self) -> std::io::Result<Box<dyn Stranger>> {
        Ok(match self {
            Self::Ipc(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        })
    }
}

/// An address of this process, and a port that it has not used yet.
fn tcp() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(9000);
    let [a, b, c, d] = std::process::id().to_be_bytes();
    format!("127.{}.{c}.{}:{}", a | b, d.max(1), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Gateways with a good handler; strangers come to the first by ipc, to the second by TCP.
pub(super) fn scenes() -> [Scene; 2] {
    let own = "handshake_timeout = 2s";
    let keys = "handler_wait = 10s\nmax_reply = 1M";
    let gateway = Gateway::with(own, keys);
    let (send, recv) = (gateway.path("send"), gateway.path("recv"));
    let ipc = scene(gateway, Place::Ipc(send), Place::Ipc(recv));
    let (send, recv) = (tcp(), tcp());
    let specs = format!("send_spec = tcp://{send}\nrecv_spec = tcp://{recv}");
    let other = format!("{keys}\n[t]\ncall = handler\nsend_ident = u-1\n{specs}\n{keys}");
    let tcp = scene(Gateway::with(own, &other), Place::Tcp(send), Place::Tcp(recv));
    [ipc, tcp]
}

fn scene(gateway: Gateway, send: Place, recv: Place) -> Scene {
    let puppet = gateway.puppet(&["echo", "good"]);
    let mut front = Front::connect(&gateway);
    front.wait_for_handler();
    let memory = gateway.memory();
    Scene { gateway, front, _puppet: puppet, memory, send, recv }
}

impl Scene {
    /// A good handler that comes to where the strangers are, and the name of its section.
    pub(super) fn joins(&self) -> (Puppet, &'static str) {
        let name = if matches!(self.send, Place::Ipc(_)) { "h" } else { "t" };
        (Puppet::start(&self.send.spec(), &self.recv.spec(), &["echo", "late"]), name)
    }

    /// A publisher behind its handshake.
    pub(super) fn publisher(&self) -> Box<dyn Stranger> {
        ready(&self.recv, SocketType::Pub)
    }

    /// One of each kind behind its handshake.
    pub(super) fn both(&self) -> [Box<dyn Stranger>; 2] {
        [self.publisher(), ready(&self.send, SocketType::Pull)]
    }

    /// All is well, and not much memory went, at no time.
    pub(super) fn stays_well(mut self) {
        for _ in 0..50 {
            assert_eq!(self.front.fetch("/x").body, b"/x good");
        }
        let (memory, peak) = (self.gateway.memory(), self.gateway.peak());
        println!("{} KiB of memory before, {memory} after, {peak} at the peak", self.memory);
        assert!(memory < self.memory + 64 * 1024, "{memory} KiB");
        assert!(peak < self.memory + 64 * 1024, "{peak} KiB at the peak");
    }
}

pub(super) fn ready(place: &Place, socket: SocketType) -> Box<dyn Stranger> {
    let mut stream = place.connect().unwrap();
    let mut bytes = Greeting::OURS.encode().to_vec();
    append_ready(&mut bytes, socket, None);
    stream.write_all(&bytes).unwrap();
    stream
}
