//! The servers that are compared. Each writes an access log to a file and has two workers, Mongrel2
//! excepted, which is one process.

use std::io;
use std::net::SocketAddr;
use std::process::Command;

use crate::server::{Server, brim_server, free_address, program};
use crate::site::Site;

pub mod mongrel2;
pub mod nginx;

/// Worker threads or processes of each server.
pub const WORKERS: u32 = 2;

/// Where Brim sends a body back.
pub const ECHO: &str = "/echo";

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Plain TCP.
    Plain,
    /// TLS 1.3 and 1.2.
    Tls,
}

/// What a server does.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// Sends a request's body back.
    Echo,
    /// Serves the site's files.
    Files,
    /// Sends the bodies of requests for [`ECHO`] back and serves the site's files.
    FilesAndEcho,
    /// Asks this upstream.
    Proxy(SocketAddr),
}

/// `brim-http` as it is installed: access log to a file, every limit at its default.
pub fn brim(site: &Site, front: Front, task: Task) -> io::Result<Server> {
    let address = free_address()?;
    let folder = site.folder_for(&format!("brim-{}", address.port()))?;
    let mut config = format!("[wsgi]\nlisten = {address}\nworkers = {WORKERS}\n");
    if front == Front::Tls {
        let (certificate, key) = (site.certfile(), site.keyfile());
        config += &format!("certfile = {}\nkeyfile = {}\n", certificate.display(), key.display());
    }
    let site_section = format!("[site]\ncall = files\nroot = {}\n", site.files().display());
    config += &match task {
        Task::Echo => "apps = echo\n".to_owned(),
        Task::Files => format!("apps = site\n{site_section}"),
        Task::FilesAndEcho => format!("apps = echo site\n{site_section}"),
        Task::Proxy(upstream) => {
            format!("apps = up\n[up]\ncall = proxy\nupstream = {upstream}\n")
        }
    };
    let path = folder.join("brim.conf");
    std::fs::write(&path, config)?;
    let mut command = brim_server("brim-http")?;
    command.arg("--config").arg(path).arg("wsgi").env("LOGS_DIRECTORY", &folder);
    Server::start(&mut command, address)
}

/// `brim-http` and `brim-gateway` with a handler for everything at these endpoints, requests and replies.
pub fn brim_with_handler(
    site: &Site,
    specs: [SocketAddr; 2],
    workers: u32,
) -> io::Result<Vec<Server>> {
    let address = free_address()?;
    let folder = site.folder_for(&format!("brim-{}", address.port()))?;
    let [send, recv] = specs;
    let config = format!(
        "[wsgi]\nlisten = {address}\nworkers = {workers}\napps = all\n[gateway]\nlink = {}\n\
         [all]\ncall = handler\nsend_spec = tcp://{send}\nrecv_spec = tcp://{recv}\n",
        folder.join("link").display()
    );
    let path = folder.join("brim.conf");
    std::fs::write(&path, config)?;
    let start = |name: &str, section: &str, address| {
        let mut command = brim_server(name)?;
        command.arg("--config").arg(&path).arg(section).env("LOGS_DIRECTORY", &folder);
        Server::start(&mut command, address)
    };
    let gateway = start("brim-gateway", "gateway", send)?;
    Ok(vec![start("brim-http", "wsgi", address)?, gateway])
}

/// Nothing but hyper: see `bin/bare-hyper.rs`. It has no access log.
pub fn bare(site: &Site, front: Front) -> io::Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(program("bare-hyper")?);
    command.args([address.to_string(), WORKERS.to_string()]);
    if front == Front::Tls {
        command.args([site.certfile(), site.keyfile()]);
    }
    Server::start(&mut command, address)
}
