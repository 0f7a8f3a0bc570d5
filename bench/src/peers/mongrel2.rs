//! Mongrel2 as Debian packages it: one process, its configuration loaded by m2sh.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::server::{Server, free_address};
use crate::site::Site;

/// Starts it for the site's files, which it wants below its own root.
pub fn start(site: &Site) -> io::Result<Server> {
    let files =
        "Dir(base='files/', index_file='index.html', default_ctype='application/octet-stream')";
    serve(site, files)
}

/// Starts it with a handler for everything at these endpoints, requests and replies.
pub fn start_with_handler(site: &Site, specs: [SocketAddr; 2]) -> io::Result<Server> {
    let [send, recv] = specs;
    let handler = format!(
        "Handler(send_spec='tcp://{send}', send_ident='bench', recv_spec='tcp://{recv}', recv_ident='')"
    );
    serve(site, &handler)
}

fn serve(site: &Site, target: &str) -> io::Result<Server> {
    let address = free_address()?;
    let folder = site.folder_for(&format!("mongrel2-{}", address.port()))?;
    for name in ["logs", "run", "tmp", "files"] {
        std::fs::create_dir(folder.join(name))?;
    }
    for file in std::fs::read_dir(site.files())? {
        let file = file?;
        std::fs::copy(file.path(), folder.join("files").join(file.file_name()))?;
    }
    let config = format!(
        r#"main = Server(
    uuid="bench", name="main", default_host="localhost",
    bind_addr="{ip}", port={port},
    chroot="{folder}", pid_file="/run/mongrel2.pid",
    access_log="/logs/access.log", error_log="/logs/error.log",
    hosts=[Host(name="localhost", routes={{
        '/': {target}
    }})]
)
settings = {{"server.daemonize": 0, "superpoll.max_fd": 20000}}
servers = [main]
"#,
        ip = address.ip(),
        port = address.port(),
        folder = folder.display(),
    );
    std::fs::write(folder.join("mongrel2.conf"), config)?;
    let loaded = Command::new("m2sh")
        .args(["load", "--config", "mongrel2.conf", "--db", "config.sqlite"])
        .current_dir(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !loaded.success() {
        return Err(io::Error::other("m2sh does not load Mongrel2's configuration"));
    }
    // As root it becomes whoever owns this folder.
    let _ = Command::new("chown").args(["-R", "nobody:nogroup"]).arg(&folder).status();
    let mut command = Command::new("mongrel2");
    Server::start(command.args(["config.sqlite", "bench"]).current_dir(&folder), address)
}
