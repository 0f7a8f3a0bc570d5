//! nginx as Debian packages it, with what its `nginx.conf` sets (sendfile, tcp_nopush), two workers,
//! and no end to a kept connection. Beside it the same one tuned: what an administrator
//! who looks for speed adds.

use std::io;
use std::path::Path;
use std::process::Command;

use super::{Front, Task, WORKERS};
use crate::server::{Server, free_address};
use crate::site::Site;

/// How much of nginx's speed is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// Debian's defaults: a write(2) per access line, an open(2) per file sent.
    Debian,
    /// The access log buffered (as Brim's is), open files cached, a listening socket per worker.
    Tuned,
}

/// Starts it with a configuration of its own.
pub fn start(site: &Site, front: Front, task: Task, tuning: Tuning) -> io::Result<Server> {
    let address = free_address()?;
    let folder = site.folder_for(&format!("nginx-{}", address.port()))?;
    let (log, cache, reuseport) = match tuning {
        Tuning::Debian => ("", "", ""),
        Tuning::Tuned => (" buffer=64k flush=1s", "open_file_cache max=1000;", "reuseport"),
    };
    let tls = match front {
        Front::Plain => String::new(),
        Front::Tls => format!(
            "ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols TLSv1.2 TLSv1.3;",
            site.certfile().display(),
            site.keyfile().display()
        ),
    };
    let ssl = if front == Front::Tls { "ssl" } else { "" };
    let config = format!(
        r"daemon off;
user www-data;
worker_processes {WORKERS};
worker_rlimit_nofile 20000;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 10000; }}
http {{
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  types_hash_max_size 2048;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  access_log {folder}/access.log combined{log};
  {cache}
  {upstream}
  server {{
    listen {address} {ssl} {reuseport} backlog=4096;
    {tls}
    root {root};
    {location}
  }}
}}
",
        folder = folder.display(),
        root = site.files().display(),
        upstream = upstream(task),
        location = location(task),
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config)?;
    Server::start(Command::new(binary()).arg("-c").arg(path), address)
}

/// Kept connections, of which there may be as many as wrk has.
fn upstream(task: Task) -> String {
    match task {
        Task::Proxy(address) => format!(
            "upstream bench {{ server {address}; keepalive 64; keepalive_requests 1000000000; }}"
        ),
        _ => String::new(),
    }
}

/// With the headers of Debian's `proxy_params`, as Brim sets them too.
fn location(task: Task) -> &'static str {
    match task {
        Task::Proxy(_) => {
            "location / {
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }"
        }
        _ => "",
    }
}

/// It lies where only root's `PATH` leads.
fn binary() -> &'static Path {
    Path::new("/usr/sbin/nginx")
}
