//! What is answered without hyper, beside the same answered by it: nobody may see a difference.

use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::files::Site;
use crate::support::{Client, Daemon, Response, serve_trial};

/// Long enough for what was sent to be read alone.
const PAUSE: Duration = Duration::from_millis(30);

fn request(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

fn by_hyper(daemon: &Daemon, request: &str) -> (Client, Response) {
    let mut client = daemon.client();
    // What begins with an empty line is hyper's.
    client.send(format!("\r\n{request}"));
    let response = client.response();
    (client, response)
}

/// A head without what differs from one second to the next. The order of headers means nothing.
fn head(response: &Response) -> Vec<&str> {
    let mut lines: Vec<_> = response.head.lines().collect();
    lines.retain(|line| !line.starts_with("Date: "));
    lines[1..].sort_unstable();
    lines
}

#[test]
fn all_answers_are_the_same() {
    let site = Site::new(&[]);
    let sizes = [0, 1, 1024, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 1_000_000];
    for size in sizes {
        std::fs::write(site.path(&format!("{size}.txt")), "x".repeat(size)).unwrap();
    }
    let daemon = site.serve("");
    let mut targets: Vec<_> = sizes.iter().map(|size| format!("/{size}.txt")).collect();
    targets.extend(["/", "/none", "/a%00", "/../x"].map(ToOwned::to_owned));
    for target in &targets {
        for lines in ["", "Connection: keep-alive\r\n", "Range: bytes=0-0\r\n"] {
            let request = request(target, lines);
            let mut client = daemon.client();
            for _ in 0..3 {
                client.send(&request);
                let direct = client.response();
                let (mut other, hypers) = by_hyper(&daemon, &request);
                assert_eq!(head(&direct), head(&hypers), "{request}");
                assert!(direct.body == hypers.body, "{request}");
                if direct.closes() {
                    break;
                }
                assert!(other.is_open() && client.is_open(), "{request}");
            }
        }
    }
}

#[test]
fn simple_requests_and_others_follow_each_other_on_one_connection() {
    let daemon = serve_trial("apps = slow echo");
    let post = |text: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{text}", text.len())
    };
    let (get, slow) = (request("/echo", ""), request("/slow?seconds=0.1", ""));
    let mut client = daemon.client();
    for pause in [Duration::ZERO, PAUSE, Duration::from_millis(350)] {
        client.send([&*get, &slow, &get, &post("one"), &get, &slow, &post("two"), &get].concat());
        for text in ["", "slow but whole\n", "", "one", "", "slow but whole\n", "two", ""] {
            assert_eq!(client.response().text(), text);
        }
        // What comes while an answer is made waits for its turn.
        client.send(&slow);
        std::thread::sleep(PAUSE);
        client.send(post("three"));
        assert_eq!(client.response().text(), "slow but whole\n");
        assert_eq!(client.response().text(), "three");
        std::thread::sleep(pause);
    }
    assert_eq!(daemon.access_lines(30).len(), 30);
}

#[test]
fn a_thousand_requests_in_one_write_are_answered_in_order() {
    let site = Site::new(&[("a", "first"), ("b", "second")]);
    let daemon = site.serve("");
    let mut client = daemon.client();
    let both = [request("/a", ""), request("/b", "")].concat();
    let mut writer = Client::over(client.stream.try_clone().unwrap());
    let sender = std::thread::spawn(move || writer.send(both.repeat(500)));
    for _ in 0..500 {
        assert_eq!(client.response().text(), "first");
        assert_eq!(client.response().text(), "second");
    }
    sender.join().unwrap();
    assert!(client.is_open());
    assert_eq!(daemon.access_lines(1000).len(), 1000);
}

#[test]
fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    const LENGTH: usize = 65_536;
    let site = Site::new(&[("a", &"x".repeat(LENGTH))]);
    let daemon = site.serve_beside("\nwrite_timeout = 4s", "");
    // Little of it is on its way, and in small segments.
    SockRef::from(&daemon.home.listener).set_send_buffer_size(4096).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    socket.set_tcp_mss(1000).unwrap();
    socket.connect(&daemon.address().into()).unwrap();
    let mut client = Client::over(socket.into());
    let (get, last) = (request("/a", ""), request("/a", "Connection: close\r\n"));
    client.send([get, last].concat());
    let mut total = 0;
    while total < LENGTH {
        std::thread::sleep(Duration::from_millis(400));
        total += client.take(4096).len();
    }
    assert!(total + client.rest().len() > 2 * LENGTH);
}
