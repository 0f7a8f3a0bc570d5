//! How many instructions the hot paths take, by callgrind.
//!
//!     cargo run --release -p brim-wire --example instructions
//!
//! Each path runs in a process of its own under valgrind, once and 1,001 times; the difference is what
//! a thousand cost. Valgrind and a build with full optimisation are needed, nothing is asserted.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::{Command, ExitCode};

use brim_wire::link::{self, Class, Content, Hello, RequestHead, Side};
use brim_wire::request::{Encoding, Envelope, Key, RequestWriter};
use brim_wire::zmtp::{Frame, FrameDecoder, FrameLimits, OpenFrame, append_message};
use brim_wire::{Sender, reply, request};

/// What a browser sends.
const HEADERS: [(&[u8], &[u8]); 10] = [
    (b"host", b"www.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
    (b"upgrade-insecure-requests", b"1"),
    (b"sec-fetch-mode", b"navigate"),
    (b"x-forwarded-for", b"127.0.0.1"),
];
const UUID: &[u8] = b"34f9ceee-cd52-4b7f-b197-88bf2f0ec378";
const REPLY: &[u8] = b"34f9ceee-cd52-4b7f-b197-88bf2f0ec378 3:123, HTTP/1.1 200 OK\r\n\
    Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
const LIMITS: FrameLimits =
    FrameLimits { frame: 1 << 20, parts: 10, message: 1 << 20, command: 1000 };
const ROUNDS: u64 = 1000;

type Run = fn(u64);

const PATHS: [(&str, Run); 7] = [
    ("a request of ten headers, JSON, in a ZMTP frame", |rounds| encode(rounds, Encoding::Json)),
    ("the same, tnetstring", |rounds| encode(rounds, Encoding::Tnetstring)),
    ("a JSON request parsed", |rounds| parse_request(rounds, Encoding::Json)),
    ("a tnetstring request parsed", |rounds| parse_request(rounds, Encoding::Tnetstring)),
    ("a reply parsed, with its ZMTP frame", parse_reply),
    ("a request's head written to the link", link_out),
    ("a request's head read from the link", link_in),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [path, rounds] = arguments.as_slice() {
        let path = path.parse().ok().and_then(|index: usize| PATHS.get(index));
        let (Some((_, run)), Ok(rounds)) = (path, rounds.parse()) else {
            return ExitCode::FAILURE;
        };
        run(rounds);
        return ExitCode::SUCCESS;
    }
    for (index, (name, _)) in PATHS.iter().enumerate() {
        match instructions(index, ROUNDS + 1).zip(instructions(index, 1)) {
            Some((many, one)) => println!("{:>6}  {name}", (many - one) / ROUNDS),
            None => {
                eprintln!("valgrind has counted nothing; is it installed?");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// What callgrind counts for a process that runs this path so often.
fn instructions(path: usize, rounds: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args([path.to_string(), rounds.to_string()])
        .output()
        .ok()?;
    let report = String::from_utf8(output.stderr).ok()?;
    let (_, count) = report.split_once("Collected : ")?;
    count.split_whitespace().next()?.parse().ok()
}

fn envelope<'a>() -> Envelope<'a> {
    Envelope { sender: Sender::new(UUID).expect("an id"), id: 123, path: b"/chat" }
}

fn append_request(out: &mut Vec<u8>, encoding: Encoding) {
    let mut request = RequestWriter::begin(out, encoding, &envelope());
    request.key(Key::Path, b"/chat");
    request.headers(black_box(&HEADERS).iter().copied());
    request.key(Key::Method, b"GET");
    request.key(Key::Version, b"HTTP/1.1");
    request.key(Key::Uri, b"/chat?x=1");
    request.key(Key::Query, b"x=1");
    request.key(Key::Pattern, b"/chat");
    request.key(Key::UrlScheme, b"http");
    request.key(Key::RemoteAddr, b"127.0.0.1");
    request.finish(b"");
}

fn encode(rounds: u64, encoding: Encoding) {
    let mut out = Vec::with_capacity(4096);
    for _ in 0..rounds {
        out.clear();
        let open = OpenFrame::begin(&mut out);
        append_request(&mut out, encoding);
        open.close(&mut out);
        black_box(&out);
    }
}

fn parse_request(rounds: u64, encoding: Encoding) {
    let mut message = Vec::new();
    append_request(&mut message, encoding);
    for _ in 0..rounds {
        let request = request::parse(black_box(&message), 100).expect("a request");
        black_box(request.headers.get("METHOD"));
    }
}

fn parse_reply(rounds: u64) {
    let mut stream = Vec::new();
    append_message(&mut stream, &[REPLY]);
    let mut decoder = FrameDecoder::new(LIMITS);
    for _ in 0..rounds {
        let mut input = black_box(stream.as_slice());
        let frame = decoder.decode(&mut input).expect("no error").expect("a frame");
        let Frame::Message { body, .. } = frame else { return };
        let reply = reply::parse(body, reply::TARGETS).expect("a reply");
        black_box((reply.targets.iter().next(), reply.body));
    }
}

fn head<'a>() -> RequestHead<'a> {
    RequestHead {
        class: Class::Http,
        version: 11,
        is_https: false,
        connection: 7,
        length: Some(0),
        client: b"127.0.0.1",
        handler: b"chat",
        pattern: b"/chat",
        method: b"GET",
        target: b"/chat?x=1",
    }
}

fn link_out(rounds: u64) {
    let mut out = Vec::with_capacity(4096);
    for exchange in 1..=rounds {
        out.clear();
        let headers = black_box(&HEADERS).iter().copied();
        link::append_request(&mut out, exchange, &head(), headers, true).expect("a head");
        black_box(&out);
    }
}

fn link_in(rounds: u64) {
    let limits = link::Limits { payload: 65536, headers: 100 };
    let mut decoder = link::FrameDecoder::new(Side::FrontEnd, limits);
    let mut out = Vec::with_capacity(4096);
    let hello =
        Hello { lowest: 1, highest: 1, credit: 1, payload: 1, exchanges: 0, name: b"bench" };
    let hello = link::Frame { exchange: 0, content: Content::Hello(hello) };
    hello.append(&mut out).expect("a hello");
    decoder.decode(&mut out.as_slice()).expect("no error");
    out.clear();
    link::append_request(&mut out, 1, &head(), HEADERS.iter().copied(), true).expect("a head");
    for exchange in 1..=rounds {
        out[8..16].copy_from_slice(&exchange.to_be_bytes());
        let mut input = black_box(out.as_slice());
        let frame = decoder.decode(&mut input).expect("no error").expect("a frame");
        let Content::Request { headers, .. } = frame.content else { return };
        headers.iter().for_each(|header| {
            black_box(header);
        });
    }
}
