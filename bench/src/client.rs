//! A client's connection: plain or TLS, one request after the other.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::peers::Front;
use crate::site::{NAME, Site};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How clients connect.
#[derive(Clone, Debug)]
pub struct Way {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Way {
    /// To this address, over TLS trusting the site's certificate.
    pub fn to(address: SocketAddr, front: Front, site: &Site) -> io::Result<Self> {
        let tls = match front {
            Front::Plain => None,
            Front::Tls => {
                let mut roots = RootCertStore::empty();
                roots.add(site.certificate.clone()).map_err(io::Error::other)?;
                let config = ClientConfig::builder().with_root_certificates(roots);
                Some(Arc::new(config.with_no_client_auth()))
            }
        };
        Ok(Self { address, tls })
    }

    /// A fresh connection.
    pub fn connect(&self) -> io::Result<Client> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let Some(config) = &self.tls else { return Ok(Client::Plain(stream)) };
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Client::Tls(Box::new(StreamOwned::new(session, stream))))
    }
}

/// A connection.
#[derive(Debug)]
pub enum Client {
    /// Over plain TCP.
    Plain(TcpStream),
    /// Over TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Client {
    /// Asks for a path and reads the answer, which has to be a 200 with a length.
    pub fn get(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        match self {
            Self::Plain(stream) => exchange(stream, &request),
            Self::Tls(stream) => exchange(stream, &request),
        }
    }
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> io::Result<()> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::with_capacity(2048);
    let mut piece = [0; 2048];
    loop {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
        if let Some(length) = whole_length(&answer)?
            && answer.len() >= length
        {
            return Ok(());
        }
    }
}

/// The length of an answer whose head is there.
fn whole_length(answer: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).to_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        return Err(io::Error::other(format!("an answer that is no 200: {head}")));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    let length = length.ok_or_else(|| io::Error::other(format!("no length: {head}")))?;
    Ok(Some(end + 4 + length))
}
