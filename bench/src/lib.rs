//! What the figures are made with: servers started and ended, their memory and processor time.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server under measurement, ended when dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
}

impl Server {
    /// Starts a program on this address and waits until it answers.
    pub fn start(command: &mut Command, address: SocketAddr) -> io::Result<Self> {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { address, process };
        let deadline = Instant::now() + Duration::from_secs(10);
        while ask(&mut TcpStream::connect(address)).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{command:?} does not answer")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// Processor time used so far, in clock ticks of 10 ms.
    pub fn ticks(&self) -> io::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let fields: Vec<u64> =
            after_name.split(' ').skip(11).take(2).filter_map(|text| text.parse().ok()).collect();
        Ok(fields.iter().sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One request on a connection, its answer read.
pub fn ask(stream: &mut io::Result<TcpStream>) -> io::Result<()> {
    let stream =
        stream.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nping")?;
    let mut answer = [0; 1024];
    let mut count = 0;
    while !answer[..count].ends_with(b"ping") {
        match stream.read(&mut answer[count..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => count += more,
        }
    }
    Ok(())
}

/// A free port on the loopback.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A program beside this one.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().unwrap_or(Path::new(".")).join(name))
}

/// wrk's requests, and how long it took them, in seconds.
pub fn wrk(address: SocketAddr, connections: u32, seconds: u32) -> io::Result<(u64, f64)> {
    let output = Command::new("wrk")
        .args(["-t2", &format!("-c{connections}"), &format!("-d{seconds}s")])
        .arg(format!("http://{address}/echo"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parse = || {
        let line = text.lines().find(|line| line.contains(" requests in "))?;
        let mut words = line.split_whitespace();
        let requests = words.next()?.parse().ok()?;
        let time = words.nth(2)?.trim_end_matches("s,").parse().ok()?;
        Some((requests, time))
    };
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(io::Error::other(format!("errors under wrk:\n{text}")));
    }
    parse().ok_or_else(|| io::Error::other(format!("wrk said:\n{text}")))
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
