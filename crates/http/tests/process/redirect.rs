//! The redirect app.

use crate::support::{Home, curl, finished, serve};

#[test]
fn a_browser_is_sent_to_the_same_page_elsewhere() {
    let daemon = serve("apps = stats https\n[https]\ncall = redirect\nto = https://{host}{uri}");
    let url = format!("http://{}/a%20b/?q=1&r=%2f", daemon.address());
    let answer = curl(&["-s", "-w", "%{http_code} %{redirect_url}", &url]);
    assert_eq!(answer, "308 Permanent Redirect\n308 https://127.0.0.1/a%20b/?q=1&r=%2f");
    assert_eq!(daemon.stats()["wsgi"]["https.redirected"], 1);
}

#[test]
fn curl_follows_to_a_path_with_its_query() {
    let daemon =
        serve("apps = echo moved\n[moved]\ncall = redirect\nto = /echo?seen=yes\nstatus = 307");
    let url = format!("http://{}/old?q=1", daemon.address());
    let answer = curl(&["-s", "-L", "-d", "body", "-w", " %{url_effective}", &url]);
    assert_eq!(answer, format!("body http://{}/echo?seen=yes&q=1", daemon.address()));
}

#[test]
fn no_request_makes_another_host_or_header_of_it() {
    let daemon = serve("apps = r\n[r]\ncall = redirect\nto = https://{host}{uri}\n");
    for (request, status, location) in [
        ("GET /%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: x", 308, Some("https://x/%0d%0aSet-Cookie:x")),
        ("GET //evil.example HTTP/1.1\r\nHost: x:80", 308, Some("https://x//evil.example")),
        ("GET / HTTP/1.1\r\nHost: x/evil", 400, None),
        ("GET / HTTP/1.1\r\nHost: x@evil.example", 400, None),
        ("GET / HTTP/1.0", 400, None),
        ("OPTIONS * HTTP/1.1\r\nHost: x", 308, Some("https://x/")),
    ] {
        let mut client = daemon.client();
        client.send(format!("{request}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("location")), (status, location), "{request}");
    }
    let daemon = serve("apps = r\n[r]\ncall = redirect\nto = {uri}");
    let location = daemon.client().get("//evil.example/x").header("location").map(str::to_owned);
    assert_eq!(location.as_deref(), Some("/evil.example/x"));
}

#[test]
fn what_is_wrong_with_it_is_told_with_its_line() {
    let home = Home::new("apps = r\n[r]\ncall = redirect\nto = example.com\nstatus = 304").shared();
    let ended = finished(&["--check", "--config", home.config().to_str().unwrap(), "wsgi"]);
    let said = ended.stdout + &ended.stderr;
    assert_eq!(ended.code, Some(78));
    assert!(said.contains(":6: [r] to: must be an absolute URL"), "{said}");
    assert!(said.contains(":7: [r] status: expected 301, 302, 303, 307 or 308"), "{said}");
}
