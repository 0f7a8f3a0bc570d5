//! Many connections that come and go in every way leave nothing behind.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Server, eventually, serve};

/// Connections of one test; `BRIM_CHURN` makes it more.
fn connections() -> usize {
    std::env::var("BRIM_CHURN").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000)
}

/// One connection that behaves in one of many ways.
fn one(address: SocketAddr, kind: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let reset =
        |stream: &TcpStream| socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    match kind % 8 {
        // Nothing at all.
        0 => {}
        1 => reset(&stream)?,
        // A proper conversation.
        2 | 3 => {
            stream.write_all(b"hello")?;
            stream.read_exact(&mut [0; 5])?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut Vec::new())?;
        }
        // Gone before the answer.
        4 => stream.write_all(&[1; 5000])?,
        5 => {
            stream.write_all(&[1; 5000])?;
            reset(&stream)?;
        }
        // Half closed, and then gone.
        6 => {
            stream.write_all(b"half")?;
            stream.shutdown(Shutdown::Write)?;
        }
        // Stalls with much on the way.
        _ => {
            stream.set_nonblocking(true)?;
            for _ in 0..20 {
                let _ = stream.write(&[7; 100_000]);
            }
            std::thread::sleep(Duration::from_millis(5));
            if kind % 16 == 7 {
                reset(&stream)?;
            }
        }
    }
    Ok(())
}

fn churn(server: &Server, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let address = server.address();
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let next = next.clone();
            std::thread::spawn(move || {
                loop {
                    let kind = next.fetch_add(1, Ordering::Relaxed);
                    if kind >= count {
                        return;
                    }
                    // What becomes of each one is its own affair.
                    let _ = one(address, kind);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn leaves_nothing(server: &Server) {
    // What a process has once and keeps: threads, buffers, pipes.
    churn(server, 400);
    let settle = || {
        let mut before = usize::MAX;
        eventually("an end of all connections", || {
            let now = server.descriptors();
            let steady = now == before;
            before = now;
            std::thread::sleep(Duration::from_millis(300));
            steady.then_some(now)
        })
    };
    let (descriptors, memory) = (settle(), server.memory());
    let start = Instant::now();
    churn(server, connections());
    // Pipes that are kept for later are two descriptors each.
    let after = eventually("an end of all connections", || {
        Some(settle()).filter(|after| *after <= descriptors + 16)
    });
    let grown = server.memory();
    println!(
        "{} connections in {:?}: descriptors {descriptors} -> {after}, memory {memory} -> {grown} KiB",
        connections(),
        start.elapsed()
    );
    assert!(grown <= memory + 8 * 1024, "{memory} -> {grown} KiB");
    server.saves("connection_count", 400 + connections() as u64);
}

#[test]
fn echo_leaves_nothing_behind() {
    leaves_nothing(&serve("call = echo\nclient_timeout = 2s"));
}

#[test]
fn forward_leaves_nothing_behind() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in upstream.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                let mut stream = stream;
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    leaves_nothing(&serve(&format!("call = forward\nupstream = {address}\nidle_timeout = 2s")));
}
