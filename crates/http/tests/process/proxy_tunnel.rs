//! WebSocket and the like: a connection that goes on in another protocol.

use std::time::{Duration, Instant};

use crate::support::{Client, Daemon, Upstream, serve};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";

/// Switches, then sends back what it gets.
pub(crate) fn echoing() -> Upstream {
    Upstream::new(|client, _| {
        let Some(head) = client.request() else { return };
        assert!(
            head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: websocket\r\n"),
            "{head}"
        );
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: a\r\n\r\nfirst");
        while std::io::Read::read(&mut client.stream, &mut [0]).is_ok_and(|count| count > 0) {
            client.try_send("x");
        }
    })
}

fn switched(daemon: &Daemon) -> Client {
    let mut client = daemon.client();
    client.send(ASK);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: websocket\r\n"),
        "{head}"
    );
    assert!(
        head.contains("\r\nsec-websocket-accept: a\r\n") && !head.contains("content-length"),
        "{head}"
    );
    assert_eq!(client.take(5), b"first");
    client
}

fn speaks(client: &mut Client) {
    client.send("ab");
    assert_eq!(client.take(2), b"xx");
}

#[test]
fn bytes_go_both_ways_and_the_line_comes_at_the_end() {
    let upstream = echoing();
    let daemon = serve(&upstream.behind(""));
    let mut client = switched(&daemon);
    speaks(&mut client);
    std::thread::sleep(Duration::from_millis(400));
    speaks(&mut client);
    assert_eq!(daemon.stats()["wsgi"]["proxy.upgrades"], 1);
    client.half_close();
    client.is_closed();
    let lines = daemon.access_lines(2);
    let line = lines.iter().find(|line| line.contains("/chat")).unwrap();
    let fields: Vec<_> = line.split(' ').collect();
    assert_eq!((fields[8], fields[9], fields[10], fields[15]), ("101", "9", "4", "-"), "{line}");
    assert!(fields[14].parse::<f64>().unwrap() >= 0.4, "{line}");
}

#[test]
fn much_goes_through_whole() {
    let upstream = Upstream::new(|client, _| {
        client.request();
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: a\r\n\r\nfirst");
        let mut back = client.stream.try_clone().unwrap();
        std::io::copy(&mut client.stream, &mut back).unwrap();
    });
    let daemon = serve(&upstream.behind(""));
    let mut client = switched(&daemon);
    let all: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 253) as u8).collect();
    let (mut writer, sent) = (client.stream.try_clone().unwrap(), all.clone());
    let writes = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert!(client.rest() == all);
    writes.join().unwrap();
}

#[test]
fn what_the_client_sends_at_once_arrives_too() {
    let upstream = Upstream::new(|client, _| {
        client.request();
        client.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        );
        let early = client.take(5);
        client.send(early);
    });
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    client.send(format!("{ASK}early"));
    assert!(client.head().starts_with("HTTP/1.1 101"));
    assert_eq!(client.rest(), b"early");
}

#[test]
fn an_upstream_that_refuses_answers_as_ever() {
    let upstream = Upstream::saying("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let daemon = serve(&upstream.behind(""));
    let mut client = daemon.client();
    for _ in 0..2 {
        client.send(ASK);
        let response = client.response();
        assert_eq!((response.status, response.text()), (403, "no"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn only_the_protocols_that_may_be_are_asked_for() {
    let upstream = Upstream::showing();
    for (keys, ask) in [
        ("", ASK.replace("websocket", "h2c")),
        ("", ASK.replace("HTTP/1.1", "HTTP/1.0")),
        ("", ASK.replace("Connection: keep-alive, Upgrade\r\n", "")),
        ("", ASK.replace("Upgrade: websocket\r\n", "Upgrade: websocket\r\nUpgrade: h2c\r\n")),
        ("upgrade = none", ASK.to_owned()),
        ("upgrade = other", ASK.to_owned()),
    ] {
        let daemon = serve(&upstream.behind(keys));
        let mut client = daemon.client();
        client.send(ask);
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(!response.text().contains("Upgrade:"), "{}", response.text());
    }
    let other = Upstream::saying_once(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n",
    );
    let daemon = serve(&other.behind(""));
    let mut client = daemon.client();
    client.send(ASK);
    assert_eq!(client.response().status, 502);
}

#[test]
fn a_silent_one_is_closed_after_its_time() {
    let upstream = echoing();
    let daemon = serve(&upstream.behind("tunnel_timeout = 4s"));
    let mut client = switched(&daemon);
    let mut start = Instant::now();
    // In all it takes longer than that.
    for _ in 0..7 {
        std::thread::sleep(Duration::from_millis(600));
        start = Instant::now();
        speaks(&mut client);
    }
    client.is_closed();
    assert!((Duration::from_millis(3900)..Duration::from_secs(10)).contains(&start.elapsed()));
}

#[test]
fn it_survives_reloads() {
    let upstream = echoing();
    let daemon = serve(&upstream.behind(""));
    let mut client = switched(&daemon);
    for _ in 0..3 {
        daemon.reload();
        speaks(&mut client);
    }
    daemon.home.configure("apps = stats");
    daemon.reload();
    speaks(&mut client);
    assert!(client.is_open());
}

#[test]
fn at_stop_it_has_drain_tunnel() {
    let upstream = echoing();
    let daemon = serve(&format!("drain_tunnel = 4s\n{}", upstream.behind("")));
    let mut client = switched(&daemon);
    let log = daemon.access_log();
    let home = daemon.home.clone();
    let start = Instant::now();
    daemon.terminate();
    speaks(&mut client);
    client.is_closed();
    assert!((Duration::from_millis(3900)..Duration::from_secs(10)).contains(&start.elapsed()));
    assert_eq!(daemon.ended().code, Some(0));
    assert!(std::fs::read_to_string(log).unwrap().contains(" 101 "));
    drop(home);
}
