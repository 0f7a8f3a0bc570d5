use std::cell::Cell;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use tempfile::TempDir;

use crate::server::Server;

/// What outlives a server: its configuration, its directories, its socket.
#[derive(Debug)]
pub struct Home {
    program: PathBuf,
    /// The section, and what the program is called with.
    section: &'static str,
    directory: TempDir,
    socket: OwnedFd,
    address: SocketAddr,
    lives: Cell<u32>,
}

impl Home {
    /// Of a TCP server with these keys in `[tcp]`.
    pub fn tcp(program: impl Into<PathBuf>, keys: &str) -> Rc<Self> {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        Self::new(program.into(), "tcp", (socket.into(), address), keys)
    }

    /// Of a UDP server with these keys in `[udp]`.
    pub fn udp(program: impl Into<PathBuf>, keys: &str) -> Rc<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        Self::new(program.into(), "udp", (socket.into(), address), keys)
    }

    fn new(
        program: PathBuf,
        section: &'static str,
        (socket, address): (OwnedFd, SocketAddr),
        keys: &str,
    ) -> Rc<Self> {
        let directory = tempfile::tempdir().expect("a folder");
        let home = Self { program, section, directory, socket, address, lives: Cell::new(0) };
        std::fs::create_dir(home.path("run")).expect("a folder");
        home.configure(keys);
        Rc::new(home)
    }

    /// Writes the configuration anew. Keys that begin with `listen` are the section's listeners, instead of
    /// the socket of this home.
    pub fn configure(&self, keys: &str) {
        let listen = match keys.contains("listen =") {
            true => String::new(),
            false => format!("listen = {}\n", self.address),
        };
        let section = self.section;
        let text = format!("[{section}]\n{listen}{keys}\n[brim]\nworkers = 1\nlog_level = debug\n");
        std::fs::write(self.config(), text).expect("a configuration");
    }

    /// The file of the configuration.
    pub fn config(&self) -> PathBuf {
        self.path("brim.conf")
    }

    /// The file of the counters.
    pub(crate) fn counters(&self) -> PathBuf {
        self.path("run/counters")
    }

    /// Its socket, which is the servers' unless they get others.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// The address of its socket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A file of its own.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program with everything that systemd gives it but sockets.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(self.config())
            .arg(self.section)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RUNTIME_DIRECTORY", self.path("run"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", self.path("no-bus").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What is wrong with the configuration.
    pub fn check(&self) -> String {
        let output = self.command().arg("--check").output().expect("the program runs");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts a server and waits until it is ready.
    pub fn start(self: &Rc<Self>) -> Server {
        self.start_with(vec![self.socket.try_clone().expect("a socket")])
    }

    /// Starts a server with these sockets of systemd's, or with none.
    pub fn start_with(self: &Rc<Self>, sockets: Vec<OwnedFd>) -> Server {
        self.lives.set(self.lives.get() + 1);
        let notify = self.path(format!("notify-{}", self.lives.get()));
        Server::start(self.clone(), &notify, sockets)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the counters: {:?}", std::fs::read_to_string(self.counters()));
        }
    }
}
