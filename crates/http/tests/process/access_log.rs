//! The access log: every field, every format.

use crate::support::{Daemon, get, serve, serve_trial};

/// The fields of the line of one request, sent as it is here.
fn line(daemon: &Daemon, request: &str) -> Vec<String> {
    let before = std::fs::read_to_string(daemon.access_log()).unwrap_or_default().lines().count();
    let mut client = daemon.client();
    client.send(request);
    client.response();
    last_line(daemon, before + 1)
}

fn last_line(daemon: &Daemon, count: usize) -> Vec<String> {
    let lines = daemon.access_lines(count);
    assert_eq!(lines.len(), count, "{lines:?}");
    lines.last().unwrap().split(' ').map(str::to_owned).collect()
}

#[test]
fn eighteen_fields_stand_in_their_places() {
    let daemon = serve("apps = echo");
    let fields = line(
        &daemon,
        "POST /echo?a=b HTTP/1.1\r\nHost: x\r\nX-Txn: my-txn.1\r\nReferer: http://example.com/ä%20\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux)\r\nX-Auth-Token: secret\r\nContent-Length: 10\r\n\r\n0123456789",
    );
    assert_eq!(fields.len(), 18, "{fields:?}");
    assert_eq!(fields[0..4], ["127.0.0.1", "127.0.0.1", "-", "-"]);
    let time = &fields[4];
    let pattern = |text: &str| {
        text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect::<String>()
    };
    assert_eq!(pattern(time), "99999999T999999Z");
    assert_eq!(
        fields[5..13],
        [
            "POST",
            "/echo?a=b",
            "HTTP/1.1",
            "200",
            "10",
            "10",
            "http://example.com/%C3%A4%2520",
            "Mozilla/5.0%20(X11;%20Linux)",
        ]
    );
    assert_eq!(fields[13], "my-txn.1");
    let (seconds, fraction) = fields[14].split_once('.').unwrap();
    assert_eq!((seconds, fraction.len()), ("0", 5), "{}", fields[14]);
    assert_ne!(fields[14], "0.00000");
    assert_eq!(fields[15..18], ["-", "-", "-"]);
}

#[test]
fn the_time_is_utc() {
    let daemon = serve("apps = echo");
    let now = || {
        let output = std::process::Command::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    };
    let before = now();
    let fields = line(&daemon, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!((before..=now()).contains(&fields[4]), "{}", fields[4]);
}

#[test]
fn what_is_absent_empty_or_zero_is_a_dash() {
    let daemon = serve("apps = echo");
    let fields = line(&daemon, "GET /echo HTTP/1.0\r\nReferer:\r\nUser-Agent: \r\n\r\n");
    assert_eq!(fields.len(), 18);
    assert_eq!(fields[5..13], ["GET", "/echo", "HTTP/1.0", "200", "-", "-", "-", "-"]);
}

#[test]
fn a_txn_that_is_not_printable_is_replaced() {
    let daemon = serve("apps = echo");
    for (sent, kept) in [("good_one/1", true), ("has space", false), ("", false), ("ä", false)] {
        let fields =
            line(&daemon, &format!("GET /echo HTTP/1.1\r\nHost: x\r\nX-Txn: {sent}\r\n\r\n"));
        let txn = &fields[13];
        assert_eq!(txn == sent, kept, "{sent}");
        if !kept {
            assert_eq!(txn.len(), 32);
            assert!(txn.bytes().all(|byte| byte.is_ascii_hexdigit()), "{txn}");
        }
    }
}

#[test]
fn the_path_is_decoded_once_and_the_query_has_spaces_for_plus() {
    let daemon = serve("apps = echo");
    for (target, logged) in [
        ("/a%20%2Fb", "/a%20/b"),
        ("/%2541", "/%2541"),
        ("/a+b?c+d=%2B&e=%25", "/a+b?c%20d=+&e=%25"),
        ("/%ff%00?", "/%FF%00?"),
        ("/\"quoted\"[x]?y", "/\"quoted\"[x]?y"),
        ("http://example.com/path?q", "/path?q"),
    ] {
        let fields = line(&daemon, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(fields[6], logged, "{target}");
    }
}

#[test]
fn bytes_are_those_of_the_bodies_without_their_framing() {
    let daemon = serve_trial("apps = stream upload echo");
    let fields = line(&daemon, "GET /stream?pieces=3&size=100 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(fields[9..11], ["300", "-"]);
    let chunks = "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n";
    let fields = line(
        &daemon,
        &format!("POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
    );
    assert_eq!(fields[9..11], ["9", "10"]);
    let fields = line(&daemon, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(fields[8..11], ["404", "14", "-"]);
}

#[test]
fn head_has_no_bytes_out() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("HEAD /none HTTP/1.1\r\nHost: x\r\n\r\n");
    client.response_to_head();
    assert_eq!(last_line(&daemon, 1)[8..11], ["404", "-", "-"]);
}

#[test]
fn what_apps_say_has_its_places() {
    let daemon = serve_trial("apps = tell");
    let fields = line(&daemon, "GET /tell HTTP/1.1\r\nHost: x\r\nX-Txn: t\r\n\r\n");
    assert_eq!(fields.len(), 20, "{fields:?}");
    assert_eq!(fields[3], "claimed%20user");
    assert_eq!(fields[16..20], ["proven", "source", "test:", "one%20two"]);
}

#[test]
fn the_duration_is_that_of_the_exchange() {
    let daemon = serve_trial("apps = slow");
    let fields = line(&daemon, "GET /slow?seconds=0.3 HTTP/1.1\r\nHost: x\r\n\r\n");
    let seconds: f64 = fields[14].parse().unwrap();
    assert!((0.3..3.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_client_that_leaves_before_the_answer_is_499_and_counted() {
    let daemon = serve_trial("apps = slow stats\nworkers = 1");
    for reset in [false, true] {
        let mut client = daemon.client();
        client.send("GET /slow?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n");
        daemon.stats();
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        let count = if reset { 4 } else { 2 };
        let fields = last_line(&daemon, count);
        assert_eq!(fields[6], "/slow?seconds=60");
        assert_eq!(fields[8..11], ["499", "-", "-"]);
        assert_eq!(fields[15], "disconnect");
    }
    assert_eq!(daemon.stats()["wsgi"]["status_499_count"], 2);
    assert_eq!(daemon.stats()["wsgi"]["status_4xx_count"], 2);
}

#[test]
fn a_client_that_leaves_in_the_middle_keeps_its_status_and_is_marked() {
    let daemon = serve_trial("apps = stream");
    let mut client = daemon.client();
    client.send("GET /stream?pieces=1000&size=10&seconds=0.01 HTTP/1.1\r\nHost: x\r\n\r\n");
    client.head();
    client.take(10);
    drop(client);
    let fields = last_line(&daemon, 1);
    assert_eq!((fields[8].as_str(), fields[15].as_str()), ("200", "disconnect"));
    let out: u64 = fields[9].parse().unwrap();
    assert!((1..10_000).contains(&out), "{out}");
}

#[test]
fn refusals_are_logged_and_counted_with_what_was_understood() {
    let daemon = serve("apps = echo stats\nhead_timeout = 1s\nworkers = 1");
    let large = format!("X: {}\r\n", "x".repeat(1019)).repeat(40);
    for (request, status, shown) in [
        ("garbage\r\n\r\n".to_owned(), "400", ["-", "-", "-"]),
        ("GET /bad HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(), "400", ["GET", "/bad", "HTTP/1.1"]),
        ("GET /old HTTP/1.0\r\nHost : x\r\n\r\n".to_owned(), "400", ["GET", "/old", "HTTP/1.0"]),
        ("GET /slow%20 HTTP/1.1\r\nHost:".to_owned(), "408", ["GET", "/slow%20", "HTTP/1.1"]),
        (format!("GET /l HTTP/1.1\r\nHost: x\r\n{large}\r\n"), "431", ["GET", "/l", "HTTP/1.1"]),
        ("GET /none HTTP/1.1\r\n\r\n".to_owned(), "400", ["GET", "/none", "HTTP/1.1"]),
    ] {
        let fields = line(&daemon, &request);
        assert_eq!(fields.len(), 18);
        assert_eq!(fields[0..2], ["127.0.0.1", "127.0.0.1"]);
        assert_eq!(
            (fields[5..8].to_vec(), fields[8].as_str()),
            (shown.map(String::from).to_vec(), status)
        );
        assert_eq!(fields[13].len(), 32);
    }
    let stats = daemon.stats();
    assert_eq!(stats["wsgi"]["request_count"], 6);
    assert_eq!(stats["wsgi"]["status_4xx_count"], 6);
    assert_eq!(stats["wsgi"]["status_408_count"], 1);
}

#[test]
fn a_slow_heads_duration_is_the_time_it_took() {
    let daemon = serve("apps = echo\nhead_timeout = 300ms");
    let fields = line(&daemon, "GET /slow HTTP/1.1\r\nHost:");
    let seconds: f64 = fields[14].parse().unwrap();
    assert!((0.3..3.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_connection_that_only_knocks_is_not_logged() {
    let daemon = serve("apps = echo stats\nworkers = 1");
    drop(daemon.client());
    let mut client = daemon.client();
    client.send("\r\n\r\n");
    client.half_close();
    client.is_closed();
    get(&daemon, "/echo");
    assert_eq!(daemon.access_lines(1).len(), 1);
    assert_eq!(daemon.stats()["wsgi"]["request_count"], 1);
}

#[test]
fn a_client_that_leaves_within_its_head_is_499() {
    let daemon = serve("apps = echo");
    let mut client = daemon.client();
    client.send("GET /half HTTP/1.1\r\nHo");
    client.half_close();
    client.is_closed();
    let fields = last_line(&daemon, 1);
    assert_eq!(fields[5..9], ["GET", "/half", "HTTP/1.1", "499"]);
    assert_eq!(fields[15], "disconnect");
}

#[test]
fn auth_tokens_are_shown_only_on_demand() {
    let request = "GET /echo HTTP/1.1\r\nHost: x\r\nX-Auth-Token: a b%\r\n\r\n";
    assert_eq!(line(&serve("apps = echo"), request)[2], "-");
    assert_eq!(line(&serve("apps = echo\nlog_auth_tokens = yes"), request)[2], "a%20b%25");
}

#[test]
fn headers_are_one_field_at_the_end_and_secrets_are_blotted_out() {
    let daemon = serve_trial("apps = echo tell\nlog_headers = yes\nlog_auth_tokens = yes");
    let headers = "Host: x\r\nX-Thing: one two\r\nAuthorization: Basic c2VjcmV0\r\ncookie: secret=1\r\n\
        Proxy-Authorization: secret\r\nX-Auth-Token: t0ken\r\nX-API-Key: secret";
    let fields = line(&daemon, &format!("GET /echo HTTP/1.1\r\n{headers}\r\n\r\n"));
    assert_eq!(fields.len(), 20, "{fields:?}");
    assert_eq!(fields[2], "t0ken");
    assert_eq!(fields[18], "headers:");
    let mut shown: Vec<_> = fields[19].split("%0A").collect();
    shown.sort_unstable();
    assert_eq!(
        shown,
        [
            "Authorization:(redacted)",
            "Cookie:(redacted)",
            "Host:x",
            "Proxy-Authorization:(redacted)",
            "X-Api-Key:(redacted)",
            "X-Auth-Token:(redacted)",
            "X-Thing:one%20two",
        ]
    );
    let fields = line(&daemon, "GET /tell HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(fields[18..], ["test:", "one%20two", "headers:", "Host:x"]);
}

#[test]
fn only_a_trusted_proxy_is_believed_about_the_client() {
    let request = "GET /tell HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9, 5.6.7.8\r\n\r\n";
    let fields = line(&serve_trial("apps = tell"), request);
    assert_eq!(fields[0..2], ["127.0.0.1", "127.0.0.1"]);
    let fields = line(&serve_trial("apps = tell\ntrusted_proxies = 10.0.0.0/8"), request);
    assert_eq!(fields[0..2], ["127.0.0.1", "127.0.0.1"]);
    let trusting = serve_trial("apps = tell\ntrusted_proxies = 10.0.0.0/8 127.0.0.1");
    assert_eq!(line(&trusting, request)[0..2], ["5.6.7.8", "127.0.0.1"]);
    let cluster = request.replace("X-Forwarded-For: 9.9.9.9, 5.6.7.8", "X-Cluster-Client-Ip: ::2");
    assert_eq!(line(&trusting, &cluster)[0..2], ["::2", "127.0.0.1"]);
}
