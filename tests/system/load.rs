//! Clients that never stop asking, and remember everything that went wrong.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a client waits for anything before it counts that as a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answers: usize,
    pub(crate) failures: Vec<String>,
    /// From the request to the first byte of its answer.
    pub(crate) slowest: Duration,
}

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
}

/// How a client treats its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Habit {
    /// A new connection for every request.
    Fresh,
    /// One connection until the server says `Connection: close`.
    KeepAlive,
}

impl Load {
    /// Starts `count` clients of each habit.
    pub(crate) fn start(server: SocketAddr, count: usize, habits: &[Habit]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let clients = habits.iter().flat_map(|habit| (0..count).map(|_| *habit));
        let clients = clients.map(|habit| {
            let (stop, seen) = (stop.clone(), seen.clone());
            std::thread::spawn(move || client(server, habit, &stop, &seen))
        });
        Self { clients: clients.collect(), stop, seen }
    }

    /// Answers so far.
    pub(crate) fn answers(&self) -> usize {
        self.seen.lock().expect("clients do not panic").answers
    }

    /// Ends the clients and says what they saw.
    pub(crate) fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for client in std::mem::take(&mut self.clients) {
            client.join().expect("clients do not panic");
        }
        std::mem::take(&mut *self.seen.lock().expect("clients do not panic"))
    }
}

/// A trial that fails leaves nobody behind.
impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn client(server: SocketAddr, habit: Habit, stop: &AtomicBool, seen: &Mutex<Seen>) {
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let answer = ask(server, habit, &mut connection);
        let mut seen = seen.lock().expect("clients do not panic");
        match answer {
            Ok(first_byte) => {
                seen.answers += 1;
                seen.slowest = seen.slowest.max(first_byte);
            }
            Err(error) => {
                connection = None;
                seen.failures.push(format!("{habit:?} after {:?}: {error}", started.elapsed()));
                drop(seen);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// One request and its whole answer; the time to the first byte.
fn ask(
    server: SocketAddr,
    habit: Habit,
    connection: &mut Option<TcpStream>,
) -> io::Result<Duration> {
    let started = Instant::now();
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => connect(server)?,
    };
    let close = match habit {
        Habit::Fresh => "Connection: close\r\n",
        Habit::KeepAlive => "",
    };
    let request = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n{close}\r\nping");
    stream.write_all(request.as_bytes())?;
    let answer = Answer::read(&mut stream)?;
    if answer.status != 200 || answer.body != b"ping" {
        return Err(io::Error::other(format!("answered {}: {:?}", answer.status, answer.body)));
    }
    if matches!(habit, Habit::KeepAlive) && !answer.close {
        *connection = Some(stream);
    }
    Ok(answer.first_byte - started)
}

/// A connection with patience.
pub(crate) fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// An answer with a Content-Length.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) close: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) first_byte: Instant,
}

impl Answer {
    /// Reads a whole answer.
    pub(crate) fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let head = Head::read(stream)?;
        let mut body = head.rest;
        let missing = head.length.saturating_sub(body.len());
        let begun = body.len();
        body.resize(begun + missing, 0);
        stream.read_exact(&mut body[begun..])?;
        let Head { status, close, first_byte, .. } = head;
        Ok(Self { status, close, body, first_byte })
    }
}

/// An answer's head, and what of the body came with it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) close: bool,
    pub(crate) length: usize,
    pub(crate) rest: Vec<u8>,
    pub(crate) first_byte: Instant,
}

impl Head {
    /// Reads a head.
    pub(crate) fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = vec![0; 16384];
        let mut count = 0;
        let mut first_byte = None;
        loop {
            let got = stream.read(&mut bytes[count..])?;
            first_byte.get_or_insert_with(Instant::now);
            if got == 0 {
                let what = format!("closed after {count} bytes of the head");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
            count += got;
            let end = bytes[..count].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
                let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                return Ok(Self {
                    status: number(head.get(9..12)).unwrap_or(0) as u16,
                    close: head.lines().any(|line| line == "connection: close"),
                    length: number(length).unwrap_or(0),
                    rest: bytes[end + 4..count].to_vec(),
                    first_byte: first_byte.unwrap_or_else(Instant::now),
                });
            }
        }
    }
}
