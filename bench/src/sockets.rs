//! What a WebSocket costs that is open and says nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::handlers::{Handler, Served};
use crate::peers::WORKERS;
use crate::site::Site;

/// Silence before the memory is read.
const SILENCE: Duration = Duration::from_secs(5);
/// Opened and closed before.
const WARM_UP: usize = 200;

/// Prints the memory of so many.
pub fn run(site: &Site, connections: usize) -> io::Result<()> {
    println!("{connections} idle WebSockets, a handler in Rust");
    line("Brim: front end, gateway", &Served::brim(site, Handler::Rust, WORKERS)?, connections)?;
    line("Mongrel2", &Served::mongrel2(site, Handler::Rust)?, connections)?;
    println!();
    Ok(())
}

fn line(name: &str, served: &Served, connections: usize) -> io::Result<()> {
    for _ in 0..WARM_UP {
        open(served.address)?;
    }
    let before = served.resident()?;
    let open: Vec<_> = (0..connections).map(|_| open(served.address)).collect::<io::Result<_>>()?;
    std::thread::sleep(SILENCE);
    let costs = served.resident()?.into_iter().zip(before).map(|(after, before)| {
        format!("{:.2}", after.saturating_sub(before) as f64 / connections as f64 / 1024.0)
    });
    println!("  {name:<34}KiB each: {}", costs.collect::<Vec<_>>().join(" + "));
    drop(open);
    Ok(())
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    if answer.starts_with(b"HTTP/1.1 101") {
        Ok(stream)
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
    }
}
