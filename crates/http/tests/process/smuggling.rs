//! Requests that two parsers could read in two ways, and requests that are none.
//!
//! Each topic is a truth table: the section of the RFC, the bytes, the answer. Behind every request
//! comes another one, so that whoever finds the wrong end of the first one is found out.

pub(crate) mod answers;
mod chunks;
mod codings;
mod hosts;
mod http2;
mod lengths;
mod lines;
mod request_lines;
mod trailers;
mod upstream;

use std::io::Write;
use std::net::{Shutdown, SocketAddr};

use answers::Answer;
use fastrand::Rng;
use upstream::{Seen, Upstream};

use crate::support::{Client, Daemon, serve};

/// What is sent behind each request.
const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nHost: behind\r\n\r\n";

/// What is to be said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// An error that says that the connection ends, and its end: what is behind is not heard.
    Refused(u16),
    /// The body comes back, and what is behind is answered too.
    Echoed(&'static str),
    /// The body comes back, and the connection ends: what is behind is not heard.
    Last(&'static str),
    /// This answer without an echo, and what is behind is answered too.
    Kept(u16),
    /// The body comes back, and what then follows is refused by 400.
    Broken(&'static str),
    /// The body is not whole: one answer, whatever it is, and the end.
    Cut,
}

use Expected::{Broken, Cut, Echoed, Kept, Last, Refused};

/// A line of a table.
struct Row {
    /// Where it is written; without a number in front it is RFC 9112.
    rule: &'static str,
    request: Vec<u8>,
    expected: Expected,
}

impl Row {
    fn new(rule: &'static str, request: impl AsRef<[u8]>, expected: Expected) -> Self {
        Self { rule, request: request.as_ref().to_vec(), expected }
    }

    /// What is wrong with the answers that came, if anything is.
    fn judge(&self, answers: Option<&[Answer]>) -> Option<String> {
        let is = |answer: &Answer, status, body: &str| {
            answer.status == status && answer.body == body.as_bytes()
        };
        let fits = match (self.expected, answers) {
            (Refused(status), Some([answer])) => answer.status == status && answer.closes,
            (Echoed(body), Some([first, behind])) => {
                is(first, 200, body) && !first.closes && behind.status == 404
            }
            (Last(body), Some([answer])) => is(answer, 200, body) && answer.closes,
            (Kept(status), Some([first, behind])) => {
                first.status == status && !first.closes && behind.status == 404
            }
            (Broken(body), Some([first, refused])) => {
                is(first, 200, body) && refused.status == 400 && refused.closes
            }
            (Cut, Some([_])) => true,
            _ => false,
        };
        let request = String::from_utf8_lossy(&self.request);
        let request = request.get(..300).unwrap_or(&request);
        (!fits).then(|| {
            format!("{}: {request:?}\n  wanted {:?}, got {answers:?}", self.rule, self.expected)
        })
    }
}

/// What arrived at an upstream.
impl Row {
    /// What is wrong with it, if anything is.
    fn judge_forwarded(&self, seen: &Seen) -> Option<String> {
        let bodies: &[&str] = match self.expected {
            Refused(_) | Cut => &[],
            Echoed(body) => &[body, ""],
            Last(body) | Broken(body) => &[body],
            Kept(_) => &["", ""],
        };
        let came = seen.whole.iter().map(|request| request.body.as_slice());
        let fits = seen.strange.is_empty() && came.eq(bodies.iter().map(|body| body.as_bytes()));
        let request = String::from_utf8_lossy(&self.request);
        let request = request.get(..300).unwrap_or(&request);
        (!fits).then(|| format!("{}: {request:?}\n  forwarded {seen:?}", self.rule))
    }
}

/// Sends a request and the one behind it, at once or in small pieces, and reads to the end.
fn ask(address: SocketAddr, request: &[u8], pieces: Option<&mut Rng>) -> Vec<u8> {
    let mut client = Client::connect(address);
    let mut rest = &[request, BEHIND].concat()[..];
    let mut random = pieces;
    while !rest.is_empty() {
        let length = random.as_mut().map_or(rest.len(), |random| random.usize(1..20));
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        // Nobody may listen any more.
        if client.stream.write_all(piece).is_err() {
            break;
        }
        rest = behind;
    }
    let _ = client.stream.shutdown(Shutdown::Write);
    client.rest()
}

/// Every row, in one piece and in many; all that is wrong is told in one run.
fn hold(daemon: &Daemon, rows: &[Row], upstream: Option<&Upstream>) {
    let mut wrong = Vec::new();
    let mut heard = 0;
    let mut random = Rng::with_seed(9112);
    for row in rows {
        for pieces in [None, Some(&mut random)] {
            let answers = answers::read(&ask(daemon.address(), &row.request, pieces));
            heard += answers.as_ref().map_or(0, Vec::len);
            wrong.extend(row.judge(answers.as_deref()));
            wrong.extend(upstream.and_then(|upstream| row.judge_forwarded(&upstream.take())));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let lines = daemon.access_lines(heard);
    assert_eq!(lines.len(), heard, "every answer is logged, and nothing else");
    assert!(!daemon.log().contains("bug"), "{}", daemon.log());
}

fn direct(rows: &[Row]) {
    hold(&serve("apps = echo"), rows, None);
}

/// The same answers through the proxy; and what goes on from there can be read in one way only.
fn proxied(rows: &[Row]) {
    let upstream = Upstream::start();
    hold(&proxy(&upstream), rows, Some(&upstream));
}

fn proxy(upstream: &Upstream) -> Daemon {
    serve(&format!("apps = there\n[there]\ncall = proxy\nupstream = {}", upstream.address))
}

#[test]
fn the_host_of_an_absolute_target_goes_on_whatever_the_header_says() {
    let upstream = Upstream::start();
    let daemon = proxy(&upstream);
    for (target, host) in [
        ("http://target:8080/echo", "target:8080"),
        ("HTTP://Target/echo?query", "Target"),
        ("https://[::1]/echo", "[::1]"),
        ("/echo", "header"),
        ("//path/echo", "header"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: header\r\n\r\n");
        ask(daemon.address(), request.as_bytes(), None);
        let Seen { whole, strange } = upstream.take();
        assert!(strange.is_empty(), "{strange:?}");
        assert_eq!(whole.first().unwrap().values("host").collect::<Vec<_>>(), [host], "{target}");
    }
}

#[test]
fn what_looks_like_framing_behind_a_gateway_stays_here() {
    let upstream = Upstream::start();
    let daemon = proxy(&upstream);
    let request = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent_Length: 50\r\n\
        Transfer_Encoding: chunked\r\nTE: trailers\r\nTrailer: X\r\nKeep-Alive: 5\r\n\
        Proxy-Connection: keep-alive\r\nConnection: X-Listed, keep-alive\r\nX-Listed: y\r\n\
        Upgrade: h2c\r\nX-Own: z\r\n\r\nhello";
    ask(daemon.address(), request.as_bytes(), None);
    let Seen { whole, strange } = upstream.take();
    assert!(strange.is_empty(), "{strange:?}");
    let request = whole.first().unwrap();
    assert_eq!(request.body, b"hello");
    assert_eq!(request.values("x-listed").next(), None);
    assert_eq!(request.values("x-own").next(), Some("z"));
}
