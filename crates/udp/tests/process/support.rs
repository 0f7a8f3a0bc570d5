//! A server under test, and who talks to it.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The longest that anything may take which ought to happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until there is something, and says what it waited for when there is not.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What outlives a server: its configuration, its directories, its socket.
pub(crate) struct Home {
    directory: TempDir,
    pub(crate) socket: UdpSocket,
    program: PathBuf,
    lives: Cell<u32>,
}

/// A running server with these keys in `[udp]`.
pub(crate) fn serve(keys: &str) -> Server {
    Home::new(keys).start()
}

/// A program of `examples/`. Cargo builds them with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_brim-udp")).with_file_name("examples").join(name);
    assert!(path.exists(), "{} is not there: cargo build --examples makes it", path.display());
    path
}

impl Home {
    pub(crate) fn new(keys: &str) -> Rc<Self> {
        Self::of(env!("CARGO_BIN_EXE_brim-udp").into(), keys)
    }

    pub(crate) fn of(program: PathBuf, keys: &str) -> Rc<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let home = Self { directory, socket, program, lives: Cell::new(0) };
        std::fs::create_dir(home.path("run")).unwrap();
        home.configure(keys);
        Rc::new(home)
    }

    /// Writes the configuration anew. Keys that begin with `listen` are the section's listeners, instead of
    /// the socket of this home.
    pub(crate) fn configure(&self, keys: &str) {
        let listen = match keys.contains("listen =") {
            true => String::new(),
            false => format!("listen = {}\n", self.address()),
        };
        let text = format!("[udp]\n{listen}{keys}\n[brim]\nworkers = 1\nlog_level = debug\n");
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("brim.conf")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program with everything that systemd gives it but sockets.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(self.config())
            .arg("udp")
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
    pub(crate) fn check(&self) -> String {
        let output = self.command().arg("--check").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn start(self: &Rc<Self>) -> Server {
        self.start_with(vec![self.socket.try_clone().unwrap().into()])
    }

    /// Starts a server with these sockets of systemd's, or with none.
    pub(crate) fn start_with(self: &Rc<Self>, sockets: Vec<OwnedFd>) -> Server {
        self.lives.set(self.lives.get() + 1);
        let notify = self.path(format!("notify-{}", self.lives.get()));
        let notices = UnixDatagram::bind(&notify).unwrap();
        let mut command = self.command();
        command.env("NOTIFY_SOCKET", notify);
        if !sockets.is_empty() {
            // Without LISTEN_PID, which nobody knows before the fork.
            command.env("LISTEN_FDS", sockets.len().to_string());
        }
        let sockets = (3..).zip(sockets);
        let sockets = sockets.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        let mut child = command.fd_mappings(sockets.collect()).unwrap().spawn().unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let server = Server { home: self.clone(), child, notices: hear(notices), stderr };
        server.notice("READY=1");
        server
    }
}

/// A running server; dropping it kills it.
pub(crate) struct Server {
    pub(crate) home: Rc<Home>,
    child: Child,
    notices: Receiver<String>,
    stderr: Arc<Mutex<String>>,
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.home.address()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// The next message to systemd that holds this text.
    pub(crate) fn notice(&self, text: &str) -> String {
        loop {
            match self.notices.recv_timeout(PATIENCE) {
                Ok(notice) if notice.contains(text) => return notice,
                Ok(_) => {}
                Err(error) => panic!("no {text:?} for systemd ({error}); it said:\n{}", self.log()),
            }
        }
    }

    /// What it said on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until standard error holds this text.
    pub(crate) fn logs(&self, text: &str) -> String {
        eventually(text, || Some(self.log()).filter(|log| log.contains(text)))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reloads, and returns what systemd was told when that was over.
    pub(crate) fn reload(&self) -> String {
        self.signal(Signal::HUP);
        self.notice("RELOADING=1");
        self.notice("READY=1")
    }

    /// Begins the drain, and waits until it has begun.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
        self.notice("STOPPING=1");
    }

    /// Waits for the end; returns the exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        eventually("the server's end", || self.child.try_wait().unwrap()).code()
    }

    /// The total of a counter, read from the file that outlives the server.
    pub(crate) fn saved(&self, name: &str) -> u64 {
        let bytes = std::fs::read(self.home.path("run/counters")).unwrap_or_default();
        let saved: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let values = saved["stats"][name]["values"].as_array().cloned().unwrap_or_default();
        values.iter().filter_map(serde_json::Value::as_u64).sum()
    }

    /// Waits until the file of counters has this total.
    pub(crate) fn saves(&self, name: &str, value: u64) {
        let what = format!("{name} = {value}");
        eventually(&what, || (self.saved(name) == value).then_some(()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let counters = std::fs::read_to_string(self.home.path("run/counters"));
            eprintln!(
                "--- the server's standard error:\n{}--- its counters: {counters:?}",
                self.log()
            );
        }
    }
}

/// A client that fails the test where something is not as expected.
pub(crate) struct Client(pub(crate) UdpSocket);

impl Client {
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

/// Takes every message at once, as systemd does: a sender waits when too many lie about.
fn hear(socket: UnixDatagram) -> Receiver<String> {
    let (heard, notices) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length) = socket.recv(&mut buffer) {
            if heard.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    notices
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let collected = text.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut text = collected.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}
