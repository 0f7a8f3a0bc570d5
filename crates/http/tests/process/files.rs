//! Files from a directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Client, Daemon, Response, eventually, finished, get, serve};

/// A directory, and what is outside of it.
pub(crate) struct Site {
    home: TempDir,
}

impl Site {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let site = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir(site.path("")).unwrap();
        for (name, content) in files {
            site.write(name, content);
        }
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("www").join(name)
    }

    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn serve(&self, keys: &str) -> Daemon {
        self.serve_beside("", keys)
    }

    pub(super) fn serve_beside(&self, others: &str, keys: &str) -> Daemon {
        let root = self.path("");
        let app = format!("[web]\ncall = files\nroot = {}\n{keys}", root.display());
        serve(&format!("apps = stats web {others}\n{app}"))
    }
}

/// A request with these headers.
pub(super) fn ask(client: &mut Client, target: &str, headers: &[&str]) -> Response {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    client.response()
}

pub(super) fn curl(daemon: &Daemon, target: &str, arguments: &[&str]) -> Vec<u8> {
    let url = format!("http://{}{target}", daemon.address());
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--path-as-is"]);
    let output = curl.args(arguments).arg(url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_file_has_its_type_length_tag_and_date() {
    let site =
        Site::new(&[("a b.html", "<p>ä</p>"), ("x.png", "png"), ("none", ""), ("d.XML", "<a/>")]);
    let daemon = site.serve("cache_control = public, max-age=60");
    let response = get(&daemon, "/a%20b.html");
    assert_eq!((response.status, response.text()), (200, "<p>ä</p>"));
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(response.header("content-length"), Some("9"));
    assert_eq!(response.header("accept-ranges"), Some("bytes"));
    assert_eq!(response.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(response.header("vary"), None);
    let etag = response.header("etag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 4, "{etag}");
    assert!(response.header("last-modified").unwrap().ends_with(" GMT"));
    let of = |target| get(&daemon, target).header("content-type").unwrap().to_owned();
    assert_eq!(of("/x.png"), "image/png");
    assert_eq!(of("/d.XML"), "text/xml");
    assert_eq!(of("/none"), "application/octet-stream");
    assert_eq!(get(&daemon, "/none").header("content-length"), Some("0"));
}

#[test]
fn head_says_what_get_would_and_sends_no_body() {
    let site = Site::new(&[("small", "small"), ("empty", "")]);
    site.write("large", vec![b'x'; 300_000]);
    let daemon = site.serve("");
    let mut client = daemon.client();
    for (target, length) in
        [("/small", "5"), ("/large", "300000"), ("/empty", "0"), ("/small", "5")]
    {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n"));
        let head = client.response_to_head();
        assert_eq!((head.status, head.header("content-length")), (200, Some(length)), "{target}");
        assert_eq!(head.header("etag"), client.get(target).header("etag"));
    }
}

#[test]
fn other_methods_are_405_and_options_says_which_there_are() {
    let site = Site::new(&[("a", "a")]);
    let daemon = site.serve("");
    for method in ["POST", "PUT", "DELETE", "PATCH", "brew"] {
        let mut client = daemon.client();
        client.send(format!("{method} /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"));
        let response = client.response();
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    let mut client = daemon.client();
    client.send("OPTIONS /a HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response_to_head();
    assert_eq!((response.status, response.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(client.get("/a").text(), "a");
}

#[test]
fn who_has_the_file_is_not_sent_it_again() {
    let site = Site::new(&[("a", "content")]);
    let daemon = site.serve("cache_control = no-cache");
    let mut client = daemon.client();
    let first = client.get("/a");
    let (etag, date) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    for header in [
        format!("If-None-Match: {etag}"),
        format!("If-None-Match: \"x\", W/{etag}"),
        "If-None-Match: *".to_owned(),
        format!("If-Modified-Since: {date}"),
    ] {
        client.send(format!("GET /a HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n"));
        let response = client.response_to_head();
        assert_eq!((response.status, response.header("etag")), (304, Some(etag)), "{header}");
        assert_eq!(response.header("cache-control"), Some("no-cache"));
        assert_eq!(response.header("content-type"), None);
    }
    for header in ["If-Match: \"x\"", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"] {
        assert_eq!(ask(&mut client, "/a", &[header]).status, 412, "{header}");
        assert_eq!(ask(&mut client, "/none", &[header]).status, 404, "{header}");
    }
    let both = format!("If-Match: {etag}");
    assert_eq!(ask(&mut client, "/a", &[&both, "If-None-Match: \"x\""]).text(), "content");
}

#[test]
fn a_change_is_seen_within_the_cache_time() {
    let site = Site::new(&[("a", "one")]);
    let daemon = site.serve("cache_time = 0");
    let etag = get(&daemon, "/a").header("etag").unwrap().to_owned();
    site.write("new", "two");
    fs::rename(site.path("new"), site.path("a")).unwrap();
    let changed = get(&daemon, "/a");
    assert_eq!(changed.text(), "two");
    assert_ne!(changed.header("etag"), Some(&*etag));
    fs::remove_file(site.path("a")).unwrap();
    assert_eq!(get(&daemon, "/a").status, 404);
    let daemon = site.serve("");
    site.write("b", "one");
    assert_eq!(get(&daemon, "/b").text(), "one");
    site.write("b", "three");
    eventually("the new text", || (get(&daemon, "/b").text() == "three").then_some(()));
    assert!(daemon.stats()["wsgi"]["web.requests"].as_u64().unwrap() >= 2);
}

#[test]
fn parts_are_sent_as_they_are_asked_for() {
    let text: String = (0..100).map(|n| format!("{n:02}")).collect();
    let site = Site::new(&[("a", &text), ("empty", "")]);
    let daemon = site.serve("");
    let mut client = daemon.client();
    let whole = client.get("/a");
    for (range, start, end) in
        [("0-9", 0, 10), ("190-", 190, 200), ("-3", 197, 200), ("5-999", 5, 200)]
    {
        let part = ask(&mut client, "/a", &[&format!("Range: bytes={range}")]);
        assert_eq!((part.status, part.text()), (206, &text[start..end]), "{range}");
        let content_range = format!("bytes {start}-{}/200", end - 1);
        assert_eq!(part.header("content-range"), Some(&*content_range));
        assert_eq!(part.header("etag"), whole.header("etag"));
    }
    for range in ["200-", "-0", "300-400,500-"] {
        let none = ask(&mut client, "/a", &[&format!("Range: bytes={range}")]);
        assert_eq!(
            (none.status, none.header("content-range")),
            (416, Some("bytes */200")),
            "{range}"
        );
    }
    for range in ["9-5", "x", "0-1,0-1", &vec!["1-1"; 200].join(",")] {
        assert_eq!(
            ask(&mut client, "/a", &[&format!("Range: bytes={range}")]).status,
            200,
            "{range}"
        );
    }
    assert_eq!(ask(&mut client, "/empty", &["Range: bytes=0-"]).status, 416);
    assert_eq!(ask(&mut client, "/empty", &["Range: bytes=-5"]).status, 200);
    let etag = format!("If-Range: {}", whole.header("etag").unwrap());
    assert_eq!(ask(&mut client, "/a", &["Range: bytes=0-1", &etag]).status, 206);
    assert_eq!(ask(&mut client, "/a", &["Range: bytes=0-1", "If-Range: \"x\""]).status, 200);
}

#[test]
fn several_parts_have_their_boundary_between_them() {
    let content: Vec<u8> = (0..400_000_u32).map(|n| (n / 7) as u8).collect();
    let site = Site::new(&[]);
    site.write("large.txt", &content);
    site.write("small.txt", &content[..1000]);
    let daemon = site.serve("");
    let mut client = daemon.client();
    for target in ["/large.txt", "/small.txt"] {
        let response = ask(&mut client, target, &["Range: bytes=10-19, -5, 100-600"]);
        assert_eq!(response.status, 206);
        let kind = response.header("content-type").unwrap();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let length = if target == "/large.txt" { content.len() } else { 1000 };
        let mut expected = Vec::new();
        for (index, (start, end)) in
            [(10, 20), (length - 5, length), (100, 601)].into_iter().enumerate()
        {
            let line = if index == 0 { "" } else { "\r\n" };
            expected.extend_from_slice(
                format!(
                    "{line}--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {start}-{}/{length}\r\n\r\n",
                    end - 1
                )
                .as_bytes(),
            );
            expected.extend_from_slice(&content[start..end]);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert_eq!(response.body, expected, "{target}");
    }
}

#[test]
fn what_lies_beside_a_file_is_sent_to_who_wants_it() {
    let site = Site::new(&[
        ("a.js", "plain"),
        ("a.js.gz", "gzip"),
        ("a.js.br", "brotli"),
        ("a.js.zst", "zstandard"),
        ("b.js", "only"),
        ("c.js", "plain"),
        ("c.js.zst", "zstandard"),
    ]);
    let daemon = site.serve("precompressed = yes");
    let mut client = daemon.client();
    let mut tags = std::collections::HashSet::new();
    for (accept, text, coding) in [
        ("", "plain", None),
        ("Accept-Encoding: gzip", "gzip", Some("gzip")),
        ("Accept-Encoding: gzip, br, zstd", "brotli", Some("br")),
        ("Accept-Encoding: br;q=0.1, gzip;q=0.2", "gzip", Some("gzip")),
        ("Accept-Encoding: zstd", "zstandard", Some("zstd")),
        ("Accept-Encoding: gzip, zstd", "zstandard", Some("zstd")),
        ("Accept-Encoding: gzip, br;q=0.5, zstd;q=0.6", "gzip", Some("gzip")),
        ("Accept-Encoding: identity;q=0, *;q=0.1", "brotli", Some("br")),
    ] {
        let headers: &[&str] = if accept.is_empty() { &[] } else { &[accept] };
        let response = ask(&mut client, "/a.js", headers);
        assert_eq!(
            (response.text(), response.header("content-encoding")),
            (text, coding),
            "{accept}"
        );
        assert_eq!(response.header("vary"), Some("Accept-Encoding"));
        assert_eq!(response.header("content-type"), Some("text/javascript; charset=utf-8"));
        tags.insert(response.header("etag").unwrap().to_owned());
    }
    assert_eq!(tags.len(), 4, "{tags:?}");
    assert_eq!(ask(&mut client, "/a.js", &["Accept-Encoding: identity;q=0"]).status, 406);
    let only = ask(&mut client, "/b.js", &["Accept-Encoding: identity;q=0"]);
    assert_eq!((only.text(), only.header("vary")), ("only", None));
    let other = ask(&mut client, "/c.js", &["Accept-Encoding: gzip, br"]);
    assert_eq!((other.text(), other.header("vary")), ("plain", Some("Accept-Encoding")));
    let part = ask(&mut client, "/a.js", &["Accept-Encoding: gzip", "Range: bytes=1-2"]);
    assert_eq!((part.status, part.text()), (206, "zi"));
    assert_eq!(get(&site.serve(""), "/a.js").header("vary"), None);
}

#[test]
fn types_can_be_added_and_replaced() {
    let site =
        Site::new(&[("a.foo", ""), ("b.tar.gz", ""), ("c.gz", ""), ("d.html", ""), ("e", "")]);
    let daemon = site.serve(
        "default_type = text/plain\ncharset = iso-8859-1\n[mimetypes]\nfoo = application/x-foo\n\
         .tar.gz = application/x-tgz\nhtml = text/html; charset=utf-8",
    );
    for (target, kind) in [
        ("/a.foo", "application/x-foo"),
        ("/b.tar.gz", "application/x-tgz"),
        ("/c.gz", "application/gzip"),
        ("/d.html", "text/html; charset=utf-8"),
        ("/e", "text/plain; charset=iso-8859-1"),
    ] {
        assert_eq!(get(&daemon, target).header("content-type"), Some(kind), "{target}");
    }
}

#[test]
fn curl_resumes_and_takes_compressed_files() {
    let content: Vec<u8> = (0..1_500_000_u32).map(|n| (n / 3) as u8).collect();
    let site = Site::new(&[("a.txt", "hello hello")]);
    site.write("big", &content);
    fs::copy(site.path("a.txt"), site.path("b.txt")).unwrap();
    assert!(Command::new("gzip").arg("-k").arg(site.path("b.txt")).status().unwrap().success());
    let daemon = site.serve("precompressed = yes");
    assert!(curl(&daemon, "/big", &[]) == content);
    let partial = site.outside("partial");
    fs::write(&partial, &content[..700_000]).unwrap();
    curl(&daemon, "/big", &["-C", "-", "-o", partial.to_str().unwrap()]);
    assert!(fs::read(partial).unwrap() == content);
    assert_eq!(curl(&daemon, "/b.txt", &["--compressed"]), b"hello hello");
    assert_eq!(curl(&daemon, "/a.txt", &["--http1.0"]), b"hello hello");
}

#[test]
fn what_is_wrong_with_the_section_is_told_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "[wsgi]\nport = 1\napps = a b\n[a]\ncall = files\nroot = /none/such\nmissing = 405\n\
                [b]\ncall = files\n[mimetypes]\nx = nonsense\n";
    fs::write(file.path(), text).unwrap();
    let ended = finished(&["--check", "--config", file.path().to_str().unwrap(), "wsgi"]);
    assert_eq!(ended.code, Some(78));
    for (line, part) in [
        (6, "[a] root: cannot open the directory /none/such: No such file"),
        (7, "[a] missing: "),
        (8, "[b] root: "),
        (11, "[mimetypes] x: "),
    ] {
        let place = format!("{}:{line}: {part}", file.path().display());
        assert!(ended.stdout.contains(&place), "{place} is not in {}", ended.stdout);
    }
}

#[test]
fn a_directory_is_listed_where_that_is_wanted() {
    let site = Site::new(&[
        ("d/b.txt", "12345"),
        ("d/A <i>&\"'.txt", ""),
        ("d/a:b%", "x"),
        ("d/sub/x", ""),
        ("d/.hidden", ""),
        ("with/index.html", "index"),
    ]);
    symlink("/etc/passwd", site.path("d/out")).unwrap();
    symlink("b.txt", site.path("d/in")).unwrap();
    let daemon = site.serve("listing = yes\nfallback = /with/index.html");
    let page = get(&daemon, "/d/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let links: Vec<_> =
        page.text().split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let expected = ["../", "./sub/", "./A%20%3Ci%3E%26%22%27.txt", "./a%3Ab%25", "./b.txt", "./in"];
    assert_eq!(links, expected);
    assert!(page.text().contains(">A &lt;i&gt;&amp;&quot;&#39;.txt</a>"), "{}", page.text());
    assert!(page.text().contains("<title>/d/</title>") && page.text().contains(">5 B<"));
    assert!(!page.text().contains("<script") && !page.text().contains("hidden"));
    for link in &links[2..] {
        assert_eq!(get(&daemon, &format!("/d/{}", &link[2..])).status, 200, "{link}");
    }
    assert!(!get(&daemon, "/").text().contains("../"));
    assert_eq!(get(&daemon, "/with/").text(), "index");
    assert_eq!(get(&daemon, "/none/").text(), "index");
    let cut = get(&site.serve("listing = yes\nlisting_limit = 2"), "/d/");
    assert!(cut.text().contains("Only 2 entries are shown"), "{}", cut.text());
    assert_eq!(get(&site.serve(""), "/d/").status, 404);
}
