//! TCP servers under clients of our own: ping-pong, fresh connections, a stream of bytes.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;

use crate::contest::Rounds;
use crate::peers::WORKERS;
use crate::rivals::{Rival, Seen, Table, table};
use crate::server::{Server, brim_server, free_address, program};
use crate::site::Site;

/// Connections of the ping-pong.
const CONNECTIONS: usize = 100;
/// Bytes of a ping.
const PING: usize = 64;
/// Clients that connect anew each time.
const FRESH: usize = 16;
/// Connections of which each gets a stream of bytes.
const STREAMS: usize = 4;

/// An eventlet echo, as the first Brim's was.
const EVENTLET: &str = "
import sys, eventlet
def serve(sock, address):
    while True:
        data = sock.recv(65536)
        if not data:
            break
        sock.sendall(data)
    sock.close()
host, port = sys.argv[1].rsplit(':', 1)
eventlet.serve(eventlet.listen((host, int(port))), serve, concurrency=1000)
";

/// Prints the tables.
pub fn run(site: &Site, rounds: Rounds) -> io::Result<()> {
    echo(site, rounds)?;
    forward(site, rounds)
}

fn echo(site: &Site, rounds: Rounds) -> io::Result<()> {
    let mut all = vec![
        Rival::new("brim-tcp", brim(site, "tcp", "call = echo")?),
        Rival::new("bare tokio", bare("echo", None)?).wanted(0.95).bare(),
    ];
    match eventlet() {
        Ok(server) => all.push(Rival::new("eventlet", server).wanted(10.0)),
        Err(error) => println!("eventlet is left out (pip install eventlet): {error}"),
    }
    let title = format!("TCP echo, {CONNECTIONS} connections, {PING} bytes to and fro");
    table(Table { title: &title, unit: "answers/s", size: 1.0 }, &all, rounds, |rival, time| {
        clients(CONNECTIONS, time, rival.address(), |address, count, end| async move {
            let mut stream = connect(address).await?;
            let mut bytes = [7; PING];
            while Instant::now() < end {
                stream.write_all(&bytes).await?;
                stream.read_exact(&mut bytes).await?;
                count.set(count.get() + 1);
            }
            Ok(())
        })
    })
}

fn forward(site: &Site, rounds: Rounds) -> io::Result<()> {
    let upstream = bare("echo", None)?;
    let mut all = rivals(site, upstream.address, 2.0)?;
    all.push(Rival::new("bare tokio", bare("relay", Some(upstream.address))?).bare());
    let title = "TCP forward, new connections";
    table(Table { title, unit: "connections/s", size: 1.0 }, &all, rounds, |rival, time| {
        clients(FRESH, time, rival.address(), |address, count, end| async move {
            while Instant::now() < end {
                let mut stream = connect(address).await?;
                stream.write_all(b"x").await?;
                stream.read_exact(&mut [0]).await?;
                count.set(count.get() + 1);
            }
            Ok(())
        })
    })?;
    let source = bare("source", None)?;
    let all = rivals(site, source.address, 1.0)?;
    let title = format!("TCP forward, {STREAMS} streams of bytes");
    table(
        Table { title: &title, unit: "MiB/s", size: f64::from(1 << 20) },
        &all,
        rounds,
        |rival, time| {
            clients(STREAMS, time, rival.address(), |address, count, end| async move {
                let mut stream = connect(address).await?;
                let mut bytes = vec![0; 256 * 1024];
                while Instant::now() < end {
                    let read = stream.read(&mut bytes).await?;
                    count.set(count.get() + read as u64);
                }
                Ok(())
            })
        },
    )
}

fn rivals(site: &Site, upstream: SocketAddr, wanted: f64) -> io::Result<Vec<Rival>> {
    let keys = format!("call = forward\nupstream = {upstream}");
    Ok(vec![
        Rival::new("brim-tcp", brim(site, "tcp", &keys)?),
        Rival::new("systemd-socket-proxyd", socket_proxyd(upstream)?).wanted(wanted),
    ])
}

/// `brim-tcp` or `brim-udp` as it is installed: every limit at its default.
pub(crate) fn brim(site: &Site, kind: &str, keys: &str) -> io::Result<Server> {
    let address = free_address()?;
    let path = site.folder_for(&format!("{kind}-{}", address.port()))?.join("brim.conf");
    // One client is all there is here.
    let limit = if kind == "tcp" { "connections_per_client = 0\n" } else { "" };
    let section = format!("[{kind}]\nlisten = {address}\nworkers = {WORKERS}\n{limit}{keys}\n");
    std::fs::write(&path, section)?;
    let mut command = brim_server(&format!("brim-{kind}"))?;
    // The watchdog's clock, as under systemd.
    command.arg("--config").arg(path).arg(kind).env("WATCHDOG_USEC", "10000000");
    start(&mut command, address, kind == "udp")
}

/// Nothing but tokio: see `bin/bare-tokio.rs`.
pub(crate) fn bare(mode: &str, upstream: Option<SocketAddr>) -> io::Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(program("bare-tokio")?);
    command.args([mode, &address.to_string(), &WORKERS.to_string()]);
    command.args(upstream.map(|upstream| upstream.to_string()));
    start(&mut command, address, mode == "datagrams")
}

fn start(command: &mut Command, address: SocketAddr, datagrams: bool) -> io::Result<Server> {
    match datagrams {
        true => Server::start_datagrams(command, address),
        false => Server::start(command, address),
    }
}

fn eventlet() -> io::Result<Server> {
    let known = Command::new("python3").args(["-c", "import eventlet"]).output()?;
    if !known.status.success() {
        return Err(io::Error::other("python3 does not know it"));
    }
    let address = free_address()?;
    let mut command = Command::new("python3");
    command.args(["-c", EVENTLET, &address.to_string()]);
    Server::start(&mut command, address)
}

fn socket_proxyd(upstream: SocketAddr) -> io::Result<Server> {
    let address = free_address()?;
    // SIGPIPE is ignored in systemd's services; otherwise a client that leaves its stream ends the server.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' PIPE; exec \"$@\"", "sh", "systemd-socket-activate"]);
    command.args(["--listen", &address.to_string(), "/usr/lib/systemd/systemd-socket-proxyd"]);
    command.args(["--connections-max=10000", &upstream.to_string()]);
    Server::start(&mut command, address)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// So many clients on one thread, for this time; returns what they have counted, and how long that took.
fn clients<F: Future<Output = io::Result<()>> + 'static>(
    count: usize,
    time: Duration,
    address: SocketAddr,
    client: impl Fn(SocketAddr, Rc<Cell<u64>>, Instant) -> F,
) -> io::Result<Seen> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let counted = Rc::new(Cell::new(0));
    let begin = Instant::now();
    runtime.block_on(async {
        let mut all = JoinSet::new();
        for _ in 0..count {
            all.spawn_local(client(address, counted.clone(), begin + time));
        }
        while let Some(ended) = all.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok::<_, io::Error>(())
    })?;
    Ok(Seen { count: counted.get(), lost: 0, time: begin.elapsed() })
}
