//! What Brim is made of without Brim: nothing but hyper (and rustls), with the same workers, fed the
//! same way: one thread accepts and hands each connection to the next worker's single-threaded
//! runtime. `/echo` answers with the request's body, everything else with 1 KiB.
//!
//! Usage: `bare-hyper ADDRESS WORKERS [CERTIFICATE KEY]`
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map(String::as_str);
    let listener = TcpListener::bind(argument(0).unwrap_or("127.0.0.1:0"))?;
    let workers = argument(1).and_then(|count| count.parse().ok()).unwrap_or(2);
    let tls = match (argument(2), argument(3)) {
        (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
        _ => None,
    };
    println!("{}", listener.local_addr()?);
    let mut senders = Vec::new();
    for _ in 0..workers {
        let (sender, receiver) = unbounded_channel();
        senders.push(sender);
        let tls = tls.clone();
        std::thread::spawn(move || worker(receiver, tls));
    }
    for sender in senders.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let _ = sender.send(stream);
    }
    Ok(())
}

fn acceptor(certificate: &str, key: &str) -> io::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn worker(mut receiver: UnboundedReceiver<std::net::TcpStream>, tls: Option<TlsAcceptor>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async move {
        while let Some(stream) = receiver.recv().await {
            let Ok(stream) = TcpStream::from_std(stream) else { continue };
            let Some(tls) = tls.clone() else {
                tokio::task::spawn_local(serve(TokioIo::new(stream)));
                continue;
            };
            tokio::task::spawn_local(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve(TokioIo::new(stream)).await;
                }
            });
        }
    });
}

async fn serve(io: impl Read + Write + Unpin) {
    let _ = http1::Builder::new().serve_connection(io, service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/echo" {
        return Ok(Response::new(Full::new(Bytes::from_static(&[b'x'; 1024]))));
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Response::new(Full::new(body)))
}
