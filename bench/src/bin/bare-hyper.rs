//! The peer of `brim-http`'s echo: nothing but hyper, with the same workers, fed the same way: one
//! thread accepts and hands each connection to the next worker's single-threaded runtime.
//!
//! Usage: `bare-hyper ADDRESS WORKERS`
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::net::TcpListener;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let workers = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(2);
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    let mut senders = Vec::new();
    for _ in 0..workers {
        let (sender, receiver) = unbounded_channel();
        senders.push(sender);
        std::thread::spawn(move || worker(receiver));
    }
    for sender in senders.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let _ = sender.send(stream);
    }
    Ok(())
}

fn worker(mut receiver: UnboundedReceiver<std::net::TcpStream>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async move {
        while let Some(stream) = receiver.recv().await {
            let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
            tokio::task::spawn_local(async move {
                let io = TokioIo::new(stream);
                let _ = http1::Builder::new().serve_connection(io, service_fn(echo)).await;
            });
        }
    });
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Response::new(Full::new(body)))
}
