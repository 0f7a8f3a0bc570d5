//! Clients that ask at a fixed rate, or wait together: raw requests on connections that stay open.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream as AsyncStream;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers that came in this time.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// How many.
    pub count: u64,
    /// How long it took.
    pub time: Duration,
}

/// One request and its answer, which has to be a 200 and to fit into one read or few.
pub fn exchange(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    stream.write_all(request(path).as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !is_whole(&answer)? {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    Ok(())
}

/// So many connections ask so often in all, for this long; late ones ask at once.
pub fn ask(address: SocketAddr, connections: u32, rate: u32, time: Duration) -> io::Result<Asked> {
    let period = Duration::from_secs(1) * connections / rate;
    run(connections, async move |number, answers: &AtomicU64| {
        let mut stream = AsyncStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let start = Instant::now();
        let first = tokio::time::Instant::now() + period * number / connections;
        let mut tick = interval_at(first, period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while start.elapsed() < time {
            tick.tick().await;
            async_exchange(&mut stream, "/").await?;
            answers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// So many connections wait for a message to all of them, and again, for this long.
pub fn wait_together(address: SocketAddr, connections: u32, time: Duration) -> io::Result<Asked> {
    // All of them do the same number of rounds: the last one is begun by all or by none.
    let rounds = Arc::new(AtomicU64::new(u64::MAX));
    let start = Instant::now();
    run(connections, async move |number, answers: &AtomicU64| {
        let mut stream = AsyncStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut round = 0;
        while round < rounds.load(Ordering::Relaxed) {
            // The first one decides, a round ahead of the others.
            if number == 0 && start.elapsed() > time {
                rounds.fetch_min(round + 2, Ordering::Relaxed);
            }
            async_exchange(&mut stream, "/wait").await?;
            answers.fetch_add(1, Ordering::Relaxed);
            round += 1;
        }
        Ok(())
    })
}

/// So many tasks on one thread; how many answers they count, and how long it takes.
fn run<F>(connections: u32, each: F) -> io::Result<Asked>
where
    F: AsyncFn(u32, &AtomicU64) -> io::Result<()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answers = AtomicU64::new(0);
    let start = Instant::now();
    runtime.block_on(async {
        let all = (0..connections).map(|number| each(number, &answers));
        futures_util::future::try_join_all(all).await
    })?;
    Ok(Asked { count: answers.into_inner(), time: start.elapsed() })
}

async fn async_exchange(stream: &mut AsyncStream, path: &str) -> io::Result<()> {
    let talk = async {
        stream.write_all(request(path).as_bytes()).await?;
        let mut answer = Vec::with_capacity(512);
        while !is_whole(&answer)? {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    };
    timeout(PATIENCE, talk).await.map_err(|_| io::Error::other("no answer in time"))?
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Whether the answer, which ends with the handlers' word, is all here.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let is_fine = answer.len() < 12 || answer.starts_with(b"HTTP/1.1 200");
    if !is_fine {
        return Err(io::Error::other(String::from_utf8_lossy(answer).into_owned()));
    }
    Ok(answer.ends_with(b"\r\n\r\nHello\n"))
}
