use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Child;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};

use crate::home::Home;
use crate::{PATIENCE, eventually};

/// A running server; dropping it kills it.
#[derive(Debug)]
pub struct Server {
    home: Rc<Home>,
    child: Child,
    notices: Receiver<String>,
    stderr: Arc<Mutex<String>>,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(home: Rc<Home>, notify: &Path, sockets: Vec<OwnedFd>) -> Self {
        let notices = UnixDatagram::bind(notify).expect("a socket");
        let mut command = home.command();
        command.env("NOTIFY_SOCKET", notify);
        if !sockets.is_empty() {
            // Without LISTEN_PID, which nobody knows before the fork.
            command.env("LISTEN_FDS", sockets.len().to_string());
        }
        let sockets = (3..).zip(sockets);
        let sockets = sockets.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        let command = command.fd_mappings(sockets.collect()).expect("numbers of their own");
        let mut child = command.spawn().expect("the program starts");
        let stderr = collect(child.stderr.take().expect("a pipe"));
        let server = Self { home, child, notices: hear(notices), stderr };
        server.notice("READY=1");
        server
    }

    /// What outlives it.
    pub fn home(&self) -> &Rc<Home> {
        &self.home
    }

    /// The address of its home.
    pub fn address(&self) -> SocketAddr {
        self.home.address()
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next message to systemd that holds this text.
    pub fn notice(&self, text: &str) -> String {
        loop {
            match self.notices.recv_timeout(PATIENCE) {
                Ok(notice) if notice.contains(text) => return notice,
                Ok(_) => {}
                Err(error) => panic!("no {text:?} for systemd ({error}); it said:\n{}", self.log()),
            }
        }
    }

    /// What it said on standard error so far.
    pub fn log(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until standard error holds this text.
    pub fn logs(&self, text: &str) -> String {
        eventually(text, || Some(self.log()).filter(|log| log.contains(text)))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process");
    }

    /// Reloads, and returns what systemd was told when that was over.
    pub fn reload(&self) -> String {
        self.signal(Signal::HUP);
        self.notice("RELOADING=1");
        self.notice("READY=1")
    }

    /// Begins the drain, and waits until it has begun.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
        self.notice("STOPPING=1");
    }

    /// Waits for the end; returns the exit code.
    pub fn ended(mut self) -> Option<i32> {
        eventually("the server's end", || self.child.try_wait().expect("a child")).code()
    }

    /// The total of a counter, read from the file that outlives the server.
    pub fn saved(&self, name: &str) -> u64 {
        let bytes = std::fs::read(self.home.counters()).unwrap_or_default();
        let saved: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let values = saved["stats"][name]["values"].as_array().cloned().unwrap_or_default();
        values.iter().filter_map(serde_json::Value::as_u64).sum()
    }

    /// Waits until the file of counters has this total.
    pub fn saves(&self, name: &str, value: u64) {
        let what = format!("{name} = {value}");
        eventually(&what, || (self.saved(name) == value).then_some(()));
    }

    /// Its open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("a process").count()
    }

    /// Its resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        size.expect("a size")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let counters = std::fs::read_to_string(self.home.counters());
            let log = self.log();
            eprintln!("--- the server's standard error:\n{log}--- its counters: {counters:?}");
        }
    }
}

/// Takes every message at once, as systemd does: a sender waits when too many lie about.
fn hear(socket: UnixDatagram) -> Receiver<String> {
    let (heard, notices) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length) = socket.recv(&mut buffer) {
            let notice = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            if heard.send(notice.into_owned()).is_err() {
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
            let mut text = collected.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}
