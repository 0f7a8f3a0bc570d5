//! The rate_limit app.

use crate::support::{Daemon, Home, curl, eventually, finished, get, serve, serve_trial};

/// The status for a client at this address, and what Retry-After says.
fn from(daemon: &Daemon, address: &str) -> (u16, Option<String>) {
    let mut client = daemon.client();
    client.send(format!(
        "GET /echo HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n\r\n"
    ));
    let response = client.response();
    (response.status, response.header("retry-after").map(str::to_owned))
}

const LIMITED: &str = "apps = limit echo stats\ntrusted_proxies = 127.0.0.1\nworkers = 2\n\
    [limit]\ncall = rate_limit\nrate = 3/h\n";

#[test]
fn one_more_than_the_burst_is_429_and_says_when_to_come_back() {
    let daemon = serve("apps = limit echo\n[limit]\ncall = rate_limit\nrate = 3/h");
    let url = format!("http://{}/echo", daemon.address());
    let format = "%{http_code} %header{retry-after},";
    let answer = curl(&[
        "-s",
        "-o",
        "/dev/null",
        "-w",
        format,
        &url,
        "-o",
        "/dev/null",
        &url,
        "-o",
        "/dev/null",
        &url,
        "-o",
        "/dev/null",
        &url,
    ]);
    let answers: Vec<_> = answer.trim_end_matches(',').split(',').collect();
    assert_eq!(answers[..3], ["200 ", "200 ", "200 "]);
    let wait = answers[3].strip_prefix("429 ").unwrap().parse::<u64>().unwrap();
    assert!((1190..=1200).contains(&wait), "{wait}");
    assert!(get(&daemon, "/echo").text().contains("too many requests"));
}

#[test]
fn clients_are_told_apart_by_address_and_ipv6_networks() {
    let daemon = serve(LIMITED);
    let statuses = |addresses: &[&str]| -> Vec<u16> {
        addresses.iter().map(|address| from(&daemon, address).0).collect()
    };
    assert_eq!(statuses(&["192.0.2.1"; 4]), [200, 200, 200, 429]);
    assert_eq!(statuses(&["192.0.2.2"]), [200]);
    let network = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1", "2001:db8::9"];
    assert_eq!(statuses(&network), [200, 200, 200, 429]);
    assert_eq!(statuses(&["2001:db8:0:1::1"]), [200]);
}

#[test]
fn a_reload_forgets_nothing() {
    let daemon = serve(LIMITED);
    for _ in 0..3 {
        assert_eq!(from(&daemon, "192.0.2.1").0, 200);
    }
    daemon.home.configure(&LIMITED.replace("echo stats", "echo"));
    daemon.reload();
    assert_eq!(from(&daemon, "192.0.2.1").0, 429);
    assert_eq!(from(&daemon, "192.0.2.2").0, 200);
}

#[test]
fn one_more_at_the_same_time_is_429_until_a_response_is_sent() {
    let daemon = serve_trial("apps = limit slow echo\n[limit]\ncall = rate_limit\nconcurrent = 2");
    let mut slow: Vec<_> = (0..2).map(|_| daemon.client()).collect();
    for client in &mut slow {
        client.send("GET /slow?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let refused = eventually("a refusal", || {
        Some(get(&daemon, "/echo")).filter(|response| response.status == 429)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    slow.pop().unwrap().reset();
    eventually("room", || (get(&daemon, "/echo").status == 200).then_some(()));
    // What is open before a reload counts after it.
    daemon.home.configure("apps = limit slow echo\n[limit]\ncall = rate_limit\nconcurrent = 1");
    daemon.reload();
    assert_eq!(get(&daemon, "/echo").status, 429);
    slow.pop().unwrap().reset();
    eventually("room", || (get(&daemon, "/echo").status == 200).then_some(()));
}

#[test]
fn what_is_passed_and_limited_is_counted() {
    let daemon = serve(&LIMITED.replace("limit echo stats", "stats limit echo"));
    for _ in 0..5 {
        from(&daemon, "192.0.2.1");
    }
    let stats = daemon.stats();
    assert_eq!(
        (&stats["wsgi"]["limit.passed"], &stats["wsgi"]["limit.limited"]),
        (&3.into(), &2.into())
    );
}

#[test]
fn a_limit_of_nothing_is_an_error() {
    for (keys, wrong) in [
        ("", "[limit] rate: must be set, or else `concurrent`"),
        (
            "rate = 10",
            "[limit] rate: \"10\" is not a rate (10/s, 600/min, 1000/h, 5000/d; at most 1000000)",
        ),
        ("concurrent = 1\nburst = 2", "[limit] burst: has no meaning without `rate`"),
    ] {
        let home = Home::new(&format!("apps = limit\n[limit]\ncall = rate_limit\n{keys}")).shared();
        let ended = finished(&["--check", "--config", home.config().to_str().unwrap(), "wsgi"]);
        assert_eq!(ended.code, Some(78));
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(wrong), "{said}");
    }
}
