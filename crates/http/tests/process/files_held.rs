//! Files that are not in memory, on a file system that stands still: nobody else waits for them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::files::Site;
use super::http2::serve_unix;
use crate::support::{
    Authority, Daemon, Frames, PATIENCE, curl_tls, curl_tls_command, eventually, get, kind, serve,
    serve_tls,
};

/// `held.py`, mounted as `fs`.
struct Held {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
    path: PathBuf,
}

impl Held {
    /// `operation`: what stands still. `None` where the machine has no FUSE.
    fn mount(site: &Site, operation: &str) -> Option<Self> {
        if !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: needs /dev/fuse");
            return None;
        }
        let path = site.path("fs");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/held.py");
        let mut child = Command::new(brim_testing::python_with("fusepy"))
            .arg(script)
            .arg(&path)
            .arg(operation)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (give, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| give.send(line))
        });
        let held = Self { child, orders, lines, path };
        held.says("ready");
        Some(held)
    }

    /// Waits until it says this.
    fn says(&self, line: &str) {
        while self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {line}")) != line {}
    }

    fn hold(&mut self) {
        self.orders.write_all(b"hold\n").unwrap();
        self.says("holds");
    }

    /// Nothing stands still any more.
    fn go(&mut self) {
        self.orders.write_all(b"go\n").unwrap();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Without its process nothing waits for it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

/// What is in the files of this name.
fn content(name: &str) -> Vec<u8> {
    let size = if name.ends_with("small") { 1000 } else { 3 * 1024 * 1024 + 17 };
    (0..=250).cycle().take(size).collect()
}

/// A site, its daemon, and its file system, on which this stands still. What waits for that one cannot be killed, so
/// it has to be the first to go: it comes last.
fn scene(operation: &str, serve: impl FnOnce(&str) -> Daemon) -> Option<(Site, Daemon, Held)> {
    let site = Site::new(&[("hot", "hot")]);
    let root = site.path("");
    std::fs::create_dir(site.path("fs")).unwrap();
    let daemon = serve(&format!("apps = echo web\n[web]\ncall = files\nroot = {}", root.display()));
    let held = Held::mount(&site, operation)?;
    Some((site, daemon, held))
}

/// Asks for a file of which this stands still, in clear text; meanwhile there is an answer for others, who ask for
/// these, too, on the only worker.
fn is_asked(operation: &str, name: &str, others: &[&str]) {
    let Some((_site, daemon, mut held)) = scene(operation, serve) else { return };
    let mut kept = daemon.client();
    assert_eq!(kept.get("/hot").text(), "hot");
    let mut client = daemon.client();
    client.send(format!("GET /fs/{name} HTTP/1.1\r\nHost: x\r\n\r\n"));
    held.says(&format!("{operation} /{name}"));
    for _ in 0..3 {
        for target in [&["/hot", "/echo"], others].concat() {
            assert_eq!(kept.get(target).status, 200);
            assert_eq!(get(&daemon, target).status, 200);
        }
    }
    assert!(client.is_open());
    held.go();
    assert!(client.response().body == content(name));
    assert!(client.get(&format!("/fs/{name}")).body == content(name));
}

#[test]
fn a_small_file_whose_bytes_stand_still_blocks_nobody() {
    is_asked("read", "held-small", &["/fs/other-small", "/fs/other-large"]);
}

#[test]
fn a_large_file_whose_bytes_stand_still_blocks_nobody() {
    is_asked("read", "held-large", &["/fs/other-small", "/fs/other-large"]);
}

#[test]
fn a_file_that_cannot_be_found_yet_blocks_nobody() {
    is_asked("getattr", "held-small", &[]);
}

#[test]
fn a_file_that_is_not_open_yet_blocks_nobody() {
    is_asked("open", "held-small", &[]);
}

#[test]
fn a_known_file_that_stands_still_blocks_nobody() {
    for operation in ["getattr", "open", "read"] {
        let keys = |keys: &str| serve(&format!("{keys}\ncache_files = 0"));
        let Some((_site, daemon, mut held)) = scene(operation, keys) else { return };
        held.go();
        known_and_asked(&mut held, &daemon, operation, "/fs/held-large");
    }
}

#[test]
fn a_root_on_a_file_system_that_stands_still_blocks_nobody() {
    let fs = |keys: &str| serve(&format!("{keys}/fs\ncache_files = 0"));
    for operation in ["getattr", "open"] {
        let Some((_site, daemon, mut held)) = scene(operation, fs) else { return };
        held.go();
        // What was the root before was in the way of the mount.
        eventually("the mount", || (get(&daemon, "/held-large").status == 200).then_some(()));
        known_and_asked(&mut held, &daemon, operation, "/held-large");
    }
}

/// Asks for a file of which this stands still though it was answered before.
fn known_and_asked(held: &mut Held, daemon: &Daemon, operation: &str, target: &str) {
    let mut client = daemon.client();
    assert!(client.get(target).body == content("large"));
    let mut kept = daemon.client();
    assert_eq!(kept.get("/echo").status, 200);
    held.hold();
    // The root is looked at once a second.
    std::thread::sleep(Duration::from_millis(1100));
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
    held.says(&format!("{operation} /held-large"));
    for _ in 0..3 {
        assert!(kept.is_served() && daemon.client().is_served(), "{operation}");
    }
    held.go();
    assert!(client.response().body == content("large"));
}

#[test]
fn a_file_whose_bytes_stand_still_blocks_no_other_stream_of_its_connection() {
    for name in ["held-small", "held-large"] {
        let Some((_site, daemon, mut held)) = scene("read", |keys| serve_unix(keys).0) else {
            return;
        };
        let path = daemon.home.path("x.sock");
        // A window for all of it.
        let mut frames = Frames::connect(&path, &[(4, 1 << 24)]);
        let more = (1_u32 << 24).to_be_bytes();
        assert!(frames.send(kind::WINDOW_UPDATE, 0, 0, &more));
        assert!(frames.request(1, "GET", &format!("/fs/{name}"), true));
        held.says(&format!("read /{name}"));
        for stream in [3, 5, 7] {
            assert!(frames.request(stream, "GET", "/hot", true));
            assert_eq!(frames.body(stream).unwrap(), b"hot");
        }
        held.go();
        assert!(frames.body(1).unwrap() == content(name), "{name}");
    }
}

#[test]
fn over_tls_a_file_whose_bytes_stand_still_blocks_nobody() {
    for (name, version) in [
        ("held-small", "--http1.1"),
        ("held-large", "--http1.1"),
        ("held-small", "--http2"),
        ("held-large", "--http2"),
    ] {
        let tls = |keys: &str| serve_tls(keys, &Authority::new());
        let Some((site, daemon, mut held)) = scene("read", tls) else { return };
        let got = site.outside("got");
        let arguments = ["-o", got.to_str().unwrap(), version];
        let mut download =
            curl_tls_command(&daemon, &format!("/fs/{name}"), &arguments).spawn().unwrap();
        held.says(&format!("read /{name}"));
        for _ in 0..3 {
            assert_eq!(curl_tls(&daemon, "/hot", &[]), (true, "hot".to_owned()));
            assert!(curl_tls(&daemon, "/echo", &[]).0);
        }
        assert!(download.try_wait().unwrap().is_none());
        held.go();
        assert!(download.wait().unwrap().success());
        assert!(std::fs::read(&got).unwrap() == content(name), "{name} {version}");
    }
}
