//! Nothing but tokio, as a peer and as an upstream: `bare-tokio echo|source|datagrams ADDRESS THREADS`,
//! `bare-tokio relay ADDRESS THREADS UPSTREAM`.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let usage =
        || io::Error::other("bare-tokio echo|source|datagrams|relay ADDRESS THREADS [UPSTREAM]");
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().ok_or_else(usage)?;
    let address: SocketAddr =
        arguments.next().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
    let threads = arguments.next().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
    let upstream = arguments.next().and_then(|text| text.parse().ok());
    let service = match (mode.as_str(), upstream) {
        ("echo", None) => Service::Echo,
        ("source", None) => Service::Source,
        ("relay", Some(upstream)) => Service::Relay(upstream),
        ("datagrams", None) => Service::Datagrams,
        _ => return Err(usage()),
    };
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    // On a worker, for the main thread is none.
    let serving = async move { tokio::spawn(serve(address, service)).await };
    runtime.block_on(serving).map_err(io::Error::other)?
}

/// What clients get.
#[derive(Clone, Copy)]
enum Service {
    /// What they send.
    Echo,
    /// Bytes without an end.
    Source,
    /// What this server says.
    Relay(SocketAddr),
    /// Their datagrams.
    Datagrams,
}

async fn serve(address: SocketAddr, service: Service) -> io::Result<()> {
    if let Service::Datagrams = service {
        return datagrams(address).await;
    }
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match service {
            Service::Relay(upstream) => drop(tokio::spawn(relay(stream, upstream))),
            Service::Source => drop(tokio::spawn(send_for_ever(stream))),
            _ => drop(tokio::spawn(send_back(stream))),
        }
    }
}

async fn relay(mut stream: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let mut other = TcpStream::connect(upstream).await?;
    other.set_nodelay(true)?;
    copy_bidirectional(&mut stream, &mut other).await.map(drop)
}

async fn send_back(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(buffer.get(..count).unwrap_or_default()).await?,
        }
    }
}

async fn send_for_ever(mut stream: TcpStream) -> io::Result<()> {
    let bytes = vec![0; 256 * 1024];
    loop {
        stream.write_all(&bytes).await?;
    }
}

async fn datagrams(address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(address).await?;
    let mut buffer = vec![0; 65_536];
    loop {
        let (count, peer) = socket.recv_from(&mut buffer).await?;
        let _ = socket.send_to(buffer.get(..count).unwrap_or_default(), peer).await;
    }
}
