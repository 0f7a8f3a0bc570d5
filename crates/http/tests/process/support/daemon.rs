use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};

use super::home::Home;
use super::{Client, PATIENCE, curl, eventually, get};

/// A running daemon; dropping it kills it.
pub(crate) struct Daemon {
    pub(crate) home: Rc<Home>,
    /// The message that told systemd of the start's end.
    pub(crate) ready: String,
    child: Child,
    notices: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    stdout: Arc<Mutex<String>>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Daemon {
    pub(super) fn start(home: &Rc<Home>, notify: &Path, sockets: Vec<OwnedFd>) -> Self {
        let notices = UnixDatagram::bind(notify).unwrap();
        let mut command = home.command();
        command.env("NOTIFY_SOCKET", notify);
        if !sockets.is_empty() {
            // Without LISTEN_PID, which nobody knows before the fork.
            command.env("LISTEN_FDS", sockets.len().to_string());
        }
        let sockets = (3..).zip(sockets);
        let sockets = sockets.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        let mut child = command.fd_mappings(sockets.collect()).unwrap().spawn().unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let stdout = collect(child.stdout.take().unwrap());
        let notices = hear(notices);
        let ready = String::new();
        let mut daemon = Self { home: home.clone(), ready, child, notices, stderr, stdout };
        daemon.ready = daemon.notice("READY=1");
        daemon
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.home.address()
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
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

    /// Whether such a message comes within this time.
    pub(crate) fn try_notice(&self, text: &str, time: Duration) -> bool {
        self.notices.recv_timeout(time).is_ok_and(|notice| notice.contains(text))
    }

    /// What it said on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// What it said on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
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

    /// Begins the drain, and waits until its only worker knows.
    pub(crate) fn drains(&self) {
        self.terminate();
        eventually("an answer that closes", || self.client().get("/").closes().then_some(()));
    }

    /// What it has cost until now.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // User and system time, the 14th and 15th field, in hundredths of a second.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> Ended {
        let status = eventually("the daemon's end", || self.child.try_wait().unwrap());
        // Those who read what it says let go at the end.
        let readers = || Arc::strong_count(&self.stdout) + Arc::strong_count(&self.stderr);
        eventually("its last words", || (readers() == 2).then_some(()));
        let (stdout, stderr) = (self.stdout(), self.log());
        Ended { code: status.code(), stdout, stderr }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn access_log(&self) -> PathBuf {
        let section = std::fs::read_to_string(self.home.config()).unwrap();
        let section = section.lines().next().unwrap().trim_matches(['[', ']']).replace('#', ":");
        self.home.path("logs").join(format!("{section}-access.log"))
    }

    /// Waits until the access log has so many lines, and returns all that it has.
    pub(crate) fn access_lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} access lines"), || {
            let log = std::fs::read_to_string(self.access_log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().map(str::to_owned).collect();
            (lines.len() >= count && log.ends_with('\n')).then_some(lines)
        })
    }

    /// The total of a counter, read from the file that outlives the daemon.
    pub(crate) fn saved(&self, name: &str) -> u64 {
        let bytes = std::fs::read(self.home.counters()).unwrap_or_default();
        let saved: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let values = saved["stats"][name]["values"].as_array().cloned().unwrap_or_default();
        values.iter().filter_map(serde_json::Value::as_u64).sum()
    }

    /// Waits until the file of counters has this total.
    pub(crate) fn saves(&self, name: &str, value: u64) {
        eventually(&format!("{name} = {value}"), || (self.saved(name) == value).then_some(()));
    }

    /// A section's totals in `/stats`, which has to be among the apps.
    pub(crate) fn stats(&self) -> serde_json::Value {
        serde_json::from_slice(&get(self, "/stats").body).unwrap()
    }

    /// The totals of `[wsgi]`, as this user.
    pub(crate) fn stats_as(&self, credentials: &str) -> serde_json::Value {
        let url = format!("http://{}/stats", self.address());
        let mut stats: serde_json::Value =
            serde_json::from_str(&curl(&["-s", "-u", credentials, &url])).unwrap();
        stats["wsgi"].take()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's standard error:\n{}---", self.log());
        }
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
