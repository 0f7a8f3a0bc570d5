//! An audio stream to many listeners: `audio [--rate BYTES] FILE... [-- SEND_SPEC RECV_SPEC]`.
//!
//! The files are sent one after the other, over and over, at a constant rate; one message goes to all
//! who listen. Players that ask for it (`Icy-MetaData: 1`) get the file's name between the pieces.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use brim_handler::response::{self, Framing};
use brim_handler::{Client, Kind, Replies, Request, http};

/// Bytes a second of a stream of 128 kbit/s.
const RATE: usize = 16_000;
/// Pieces a second.
const PIECES: usize = 2;

struct Arguments {
    rate: usize,
    files: Vec<PathBuf>,
    send_spec: String,
    recv_spec: String,
}

impl Arguments {
    fn read() -> Result<Self, Box<dyn Error>> {
        let (mut rate, mut files) = (RATE, Vec::new());
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--" => break,
                "--rate" => rate = arguments.next().ok_or("--rate BYTES")?.parse()?,
                _ => files.push(PathBuf::from(argument)),
            }
        }
        let mut spec = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
        let send_spec = spec("tcp://127.0.0.1:9997");
        let recv_spec = spec("tcp://127.0.0.1:9996");
        if files.is_empty() || rate < PIECES {
            return Err("audio [--rate BYTES] FILE... [-- SEND_SPEC RECV_SPEC]".into());
        }
        Ok(Self { rate, files, send_spec, recv_spec })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { rate, files, send_spec, recv_spec } = Arguments::read()?;
    let (mut requests, replies) = brim_handler::connect(&send_spec, &recv_spec)?;
    let mut station = Station::new(replies, rate / PIECES, files)?;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / PIECES as u32);
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Ok(request) => station.event(&request).await?,
                Err(error) => eprintln!("a message that is no request: {error}"),
            },
            _ = tick.tick() => station.play().await?,
        }
    }
}

/// Who listens, and what is on.
struct Station {
    replies: Replies,
    /// Listeners who want the audio alone.
    plain: HashSet<Client>,
    /// Listeners who want a name behind each piece.
    with_names: HashSet<Client>,
    piece: Vec<u8>,
    files: Vec<PathBuf>,
    next: usize,
    file: File,
    name: String,
}

impl Station {
    fn new(replies: Replies, piece: usize, files: Vec<PathBuf>) -> io::Result<Self> {
        let first = &files[0];
        let (file, name) = (File::open(first)?, name(first));
        let (plain, with_names) = (HashSet::new(), HashSet::new());
        let piece = vec![0; piece];
        Ok(Self { replies, plain, with_names, piece, next: 1, file, name, files })
    }

    async fn event(&mut self, request: &Request) -> http::Result<()> {
        let client = &request.client;
        match request.kind() {
            Kind::Http => {
                let head = http::Response::builder().header("content-type", "audio/mpeg");
                let head = head.header("cache-control", "no-store").header("icy-name", "Brim");
                if request.headers.get("icy-metadata") == Some(b"1") {
                    let head = head.header("icy-metaint", self.piece.len()).body(())?;
                    self.replies.send(client, &response::head(&head, Framing::Close)).await;
                    self.with_names.insert(client.clone());
                } else {
                    let head = response::head(&head.body(())?, Framing::Close);
                    self.replies.send(client, &head).await;
                    self.plain.insert(client.clone());
                }
            }
            Kind::Disconnect => {
                self.plain.remove(client);
                self.with_names.remove(client);
            }
            _ => {}
        }
        Ok(())
    }

    /// The next piece, to all; those who have come since the last one begin with it.
    async fn play(&mut self) -> io::Result<()> {
        let mut filled = 0;
        while filled < self.piece.len() {
            match self.file.read(&mut self.piece[filled..])? {
                0 => {
                    let path = &self.files[self.next % self.files.len()];
                    (self.file, self.name) = (File::open(path)?, name(path));
                    self.next += 1;
                }
                count => filled += count,
            }
        }
        self.replies.send_to_all(&self.plain, &self.piece).await;
        if !self.with_names.is_empty() {
            let piece = [&self.piece[..], &metadata(&self.name)].concat();
            self.replies.send_to_all(&self.with_names, &piece).await;
        }
        Ok(())
    }
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace('\'', "’")
}

/// A byte that counts blocks of 16, and as many: the title, filled up with zeros.
fn metadata(title: &str) -> Vec<u8> {
    let mut text = format!("StreamTitle='{title}';").into_bytes();
    text.truncate(255 * 16);
    text.resize(text.len().next_multiple_of(16), 0);
    text.insert(0, (text.len() / 16) as u8);
    text
}
