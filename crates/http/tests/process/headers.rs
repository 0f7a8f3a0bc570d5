//! The headers app.

use super::proxy::{seen, text};
use crate::support::{Home, Upstream, curl, finished, serve, serve_trial};

const SECTION: &str = "[h]\ncall = headers\nset = X-Frame-Options: DENY\n  Server: brim\n\
    default = Content-Type: text/html\nadd = Link: </a>\n  Link: </b>\nremove = Allow\n";

#[test]
fn responses_of_the_apps_behind_it_are_changed() {
    let daemon = serve(&format!("apps = stats h echo\n{SECTION}"));
    let url = format!("http://{}/echo", daemon.address());
    let head = curl(&["-s", "-D", "-", "-o", "/dev/null", &url]);
    for line in [
        "X-Frame-Options: DENY",
        "Server: brim",
        "Content-Type: text/html",
        "Link: </a>",
        "Link: </b>",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    let before = daemon.client().get("/stats");
    assert_eq!(before.header("x-frame-options"), None, "it stands before");
    assert_eq!(daemon.stats()["wsgi"]["h.responses"], 1);
}

#[test]
fn errors_and_panics_have_the_headers_too() {
    let daemon = serve_trial(&format!("apps = h panic upload\nbody_limit = 4\n{SECTION}"));
    for (target, status) in [("/nothing", 404), ("/panic", 500)] {
        let response = daemon.client().get(target);
        assert_eq!((response.status, response.header("x-frame-options")), (status, Some("DENY")));
        assert_eq!(response.header("content-type"), Some("text/plain"), "not a default's case");
    }
    let mut client = daemon.client();
    client.send("POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\n12345\r\n0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("x-frame-options")), (413, Some("DENY")));
}

#[test]
fn requests_are_changed_for_the_apps_behind_it() {
    // `compress` tells what it was asked for.
    let daemon = serve(
        "apps = h c stats\n[h]\ncall = headers\nrequest_set = Accept-Encoding: gzip\n\
         request_remove = X-None\n[c]\ncall = compress\nmin_size = 1\ntypes = application/json",
    );
    let response = daemon.client().get("/stats");
    assert_eq!(response.header("content-encoding"), Some("gzip"));
}

#[test]
fn headers_are_removed_both_ways() {
    let upstream = Upstream::new(|client, _| {
        while let Some(head) = client.request() {
            let length = head.len();
            client.send(format!(
                "HTTP/1.1 200 OK\r\nX-Inside: 1\r\nX-Kept: 1\r\nContent-Length: {length}\r\n\r\n{head}"
            ));
        }
    });
    let daemon = serve(&format!(
        "apps = h proxy\n[h]\ncall = headers\nremove = x-inside\nrequest_remove = Cookie X-Secret\n\
         [proxy]\ncall = proxy\nupstream = {}",
        upstream.address()
    ));
    let mut client = daemon.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nx-secret: 1\r\nX-Secret: 2\r\nX-Own: 3\r\n\r\n",
    );
    let response = client.response();
    let head = text(&response);
    assert_eq!(seen(head, "X-Own"), ["3"]);
    assert!(seen(head, "Cookie").is_empty() && seen(head, "X-Secret").is_empty(), "{head}");
    assert_eq!((response.header("x-inside"), response.header("x-kept")), (None, Some("1")));
}

#[test]
fn bad_lines_are_told() {
    let keys = "apps = h\n[h]\ncall = headers\nset = X\nadd = Content-Length: 3\n\
        request_set = Host: y\nremove = ETag date";
    let home = Home::new(keys).shared();
    let ended = finished(&["--check", "--config", home.config().to_str().unwrap(), "wsgi"]);
    let said = ended.stdout + &ended.stderr;
    assert_eq!(ended.code, Some(78));
    for wrong in [
        ":6: [h] set: \"X\" is not of the form `Name: value`",
        ":7: [h] add: \"content-length\" belongs to the connection",
        ":8: [h] request_set: Host is the client's",
        ":9: [h] remove: a server with a clock sends Date",
    ] {
        assert!(said.contains(wrong), "{wrong} in {said}");
    }
}
