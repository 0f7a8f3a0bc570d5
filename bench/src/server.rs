//! A server started and ended, its memory and processor time.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use rustix::process::{Pid, Signal, kill_process};

/// Time that a server has for its start.
const START: Duration = Duration::from_secs(10);
/// Time that it has for its end.
const END: Duration = Duration::from_secs(5);

/// A server under measurement, with all processes it has; ended when dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
}

impl Server {
    /// Starts a program on this address and waits until it accepts.
    pub fn start(command: &mut Command, address: SocketAddr) -> io::Result<Self> {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Self { address, process: process.spawn()? };
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.process.try_wait()? {
                return Err(io::Error::other(format!("{command:?} ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{command:?} does not answer")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Starts a program for datagrams on this address and waits until it answers.
    pub fn start_datagrams(command: &mut Command, address: SocketAddr) -> io::Result<Self> {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { address, process: process.spawn()? };
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let deadline = Instant::now() + START;
        while socket.send_to(b"?", address).and_then(|_| socket.recv(&mut [0])).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{command:?} does not answer")));
            }
        }
        Ok(server)
    }

    /// Resident memory of all its processes, in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        self.processes()?.into_iter().map(resident).sum()
    }

    /// Processor time that all its processes have used so far.
    pub fn busy(&self) -> io::Result<Duration> {
        self.processes()?.into_iter().map(busy).sum()
    }

    /// The process and its descendants.
    fn processes(&self) -> io::Result<Vec<u32>> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(parent) = stat(pid).ok().and_then(|fields| fields.get(1)?.parse().ok()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut all = vec![self.process.id()];
        let mut next = 0;
        while let Some(pid) = all.get(next) {
            all.extend(children.remove(pid).unwrap_or_default());
            next += 1;
        }
        Ok(all)
    }
}

/// Asked to end first: a master that is killed leaves its workers behind.
impl Drop for Server {
    fn drop(&mut self) {
        signal(self.process.id(), Signal::TERM);
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for pid in self.processes().unwrap_or_default() {
            signal(pid, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, signal));
}

/// The fields of `/proc/PID/stat` from the third (the state) on: before it is a name with blanks.
fn stat(pid: u32) -> io::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    Ok(after_name.split_whitespace().map(str::to_owned).collect())
}

/// By the process's own clock, in nanoseconds: `/proc/PID/stat` has steps of 10 ms.
fn busy(pid: u32) -> io::Result<Duration> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let clock = clock_getcpuclockid(nix::unistd::Pid::from_raw(pid))?;
    Ok(clock_gettime(clock)?.into())
}

fn resident(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
}

/// A free port on the loopback.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// The unit that Brim's servers are installed with.
const UNIT: &str = include_str!("../../systemd/brim@.service");

/// One of Brim's servers, with the environment that its unit gives it.
pub fn brim_server(name: &str) -> io::Result<Command> {
    let mut command = Command::new(program(name)?);
    let variables = UNIT.lines().filter_map(|line| line.strip_prefix("Environment="));
    command.envs(variables.filter_map(|variable| variable.split_once('=')));
    Ok(command)
}

/// A program beside this one.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().unwrap_or(Path::new(".")).join(name))
}
