//! Nothing but tokio, as a peer and as an upstream: `bare-tokio echo|source|datagrams ADDRESS THREADS`.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let usage = || io::Error::other("bare-tokio echo|source|datagrams ADDRESS THREADS");
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().ok_or_else(usage)?;
    let address: SocketAddr =
        arguments.next().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
    let threads = arguments.next().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async move {
        match mode.as_str() {
            // On a worker, for the main thread is none.
            "datagrams" => tokio::spawn(datagrams(address)).await.map_err(io::Error::other)?,
            mode => {
                let echo = mode == "echo";
                tokio::spawn(streams(address, echo)).await.map_err(io::Error::other)?
            }
        }
    })
}

async fn streams(address: SocketAddr, echo: bool) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match echo {
            true => drop(tokio::spawn(send_back(stream))),
            false => drop(tokio::spawn(send_for_ever(stream))),
        }
    }
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
