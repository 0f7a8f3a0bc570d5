//! The `handler` app and its link, against a gateway that does what the test says.

use std::time::Instant;

use brim_wire::link::{Class, Content, Reason};

use crate::support::{Client, Daemon, Gateway, Heard, Home, Link, Response, eventually, serve};

/// A front end with the handler `chat`, and its link.
pub(super) fn linked(keys: &str) -> (Gateway, Daemon, Link) {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(keys));
    let link = gateway.link();
    (gateway, daemon, link)
}

pub(super) fn asks(daemon: &Daemon) -> Client {
    let mut client = daemon.client();
    client.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n");
    client
}

/// A counter of the handler.
pub(super) fn count(daemon: &Daemon, name: &str) -> u64 {
    daemon.stats()["wsgi"][format!("chat.{name}")].as_u64().unwrap()
}

#[test]
fn a_request_goes_to_the_handler_as_it_came_and_its_answer_comes_back() {
    let (_gateway, daemon, mut link) = linked("");
    assert_eq!((link.name.as_str(), link.credit), ("wsgi/0", 65_536));
    let mut client = daemon.client();
    client.send(
        b"GET /chat/a%20b?x=1&y HTTP/1.1\r\nHost: x.example:80\r\nB: 1\r\nCookie: c=1\r\nA: \xe4\xff\r\nCookie: d=2\r\n\
          X-Forwarded-For: 6.6.6.6\r\nTE: trailers\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nConnection: close\r\n\r\n",
    );
    let asked = link.request();
    assert_eq!((asked.id, asked.class, asked.version, asked.is_https), (1, Class::Http, 11, false));
    assert_eq!((asked.length, asked.end), (Some(0), true));
    assert_eq!((&*asked.client, &*asked.handler, &*asked.pattern), ("127.0.0.1", "chat", "/chat"));
    assert_eq!((&*asked.method, &*asked.target), ("GET", "/chat/a%20b?x=1&y"));
    let headers: Vec<_> =
        asked.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    assert_eq!(
        headers,
        [
            ("host", &b"x.example:80"[..]),
            ("b", b"1"),
            ("cookie", b"c=1"),
            ("cookie", b"d=2"),
            ("a", b"\xe4\xff"),
            ("connection", b"close"),
            ("x-forwarded-for", b"127.0.0.1"),
        ]
    );
    let headers: [(&str, &[u8]); 5] = [
        ("content-type", b"text/plain"),
        ("set-cookie", b"a=1"),
        ("set-cookie", b"b=2"),
        ("x-own", b"\xfc"),
        ("connection", b"keep-alive, x-own"),
    ];
    link.respond_with(1, (299, b"Well done"), (Some(5), false), &headers);
    link.data(1, b"he", false);
    link.data(1, b"llo", true);
    let bytes = client.rest();
    let head = String::from_utf8_lossy(&bytes);
    assert!(head.starts_with("HTTP/1.1 299 Well done\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{head}");
    assert!(
        head.contains("\r\nContent-Length: 5\r\n") && head.ends_with("\r\n\r\nhello"),
        "{head}"
    );
    assert!(bytes.windows(11).any(|window| window == b"\r\nX-Own: \xfc\r"), "{head}");
    assert!(!head.contains("x-own"), "{head}");
    let line = &daemon.access_lines(1)[0];
    let fields: Vec<_> = line.split(' ').collect();
    assert_eq!((fields[8], fields[9], fields[10]), ("299", "5", "-"), "{line}");
}

#[test]
fn requests_of_one_connection_have_its_number_and_those_of_another_do_not() {
    let (_gateway, daemon, mut link) = linked("");
    let mut first = asks(&daemon);
    let one = link.request();
    let mut second = asks(&daemon);
    let other = link.request();
    link.answer(other.id, "b");
    link.answer(one.id, "a");
    assert_eq!((first.response().text(), second.response().text()), ("a", "b"));
    first.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n");
    let again = link.request();
    link.answer(again.id, "c");
    assert_eq!(first.response().text(), "c");
    assert_eq!((one.id, other.id, again.id), (1, 2, 3));
    assert_eq!(one.connection, again.connection);
    assert_ne!(one.connection, other.connection);
}

#[test]
fn a_small_body_leaves_with_its_head() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    for (text, pause) in [("hello", false), ("later", true)] {
        client.send("POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
        if pause {
            assert_eq!(link.in_a_moment(), []);
        }
        client.send(text);
        let heard = link.at_once();
        let [Heard::Request(asked), Heard::Data { id, bytes, end: true }] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!((asked.id, asked.length, asked.end), (*id, Some(5), false));
        assert_eq!(bytes, text.as_bytes());
        link.answer(*id, text);
        assert_eq!(client.response().text(), text);
    }
}

#[test]
fn a_body_of_unknown_length_comes_bare_and_without_trailers() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send("POST /chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: y\r\n\r\n3;a=b\r\nabc\r\n");
    let asked = link.request();
    assert_eq!((asked.length, asked.end), (None, false));
    assert_eq!(asked.header("transfer-encoding"), <[String; 0]>::default());
    assert_eq!(link.next(), Heard::Data { id: 1, bytes: b"abc".into(), end: false });
    client.send("2\r\nde\r\n0\r\nY: z\r\n\r\n");
    assert_eq!(link.body(), b"de");
    link.answer(1, "thanks");
    assert_eq!(client.response().text(), "thanks");
}

#[test]
fn a_client_that_expects_is_told_to_go_on() {
    let (_gateway, daemon, mut link) = linked("body_limit = 100K");
    let mut client = daemon.client();
    client.send(
        "POST /chat HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50000\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send(vec![b'x'; 50_000]);
    link.request();
    assert_eq!(link.body().len(), 50_000);
    link.answer(1, "yes");
    assert_eq!(client.response().text(), "yes");
    client.send(
        "POST /chat HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 102401\r\n\r\n",
    );
    assert_eq!(client.response().status, 413);
}

#[test]
fn a_handler_may_answer_before_it_has_all() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    client.send("POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin");
    link.request();
    assert_eq!(link.next(), Heard::Data { id: 1, bytes: b"begin".into(), end: false });
    link.respond(1, 403, Some(0));
    let response = client.response();
    assert_eq!((response.status, response.closes()), (403, true));
    assert_eq!(link.in_a_moment(), []);
}

#[test]
fn a_client_that_leaves_cancels() {
    let (_gateway, daemon, mut link) = linked("");
    let client = asks(&daemon);
    link.request();
    client.reset();
    assert_eq!(link.cancelled(), (1, Reason::ClientLeft));
    // While it takes a response, and while it sends a body.
    let mut client = asks(&daemon);
    link.request();
    link.respond(2, 200, None);
    client.head();
    client.reset();
    assert_eq!(link.cancelled(), (2, Reason::ClientLeft));
    let mut client = daemon.client();
    client.send("POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin");
    link.request();
    link.next();
    client.reset();
    assert_eq!(link.cancelled(), (3, Reason::ClientLeft));
    // What comes for it then is overlooked.
    link.data(2, b"late", true);
    link.respond(3, 200, Some(0));
    asks(&daemon);
    assert_eq!(link.request().id, 4);
}

#[test]
fn a_client_that_breaks_a_rule_or_is_slow_cancels() {
    let (_gateway, daemon, mut link) = linked("body_limit = 20K\nbody_timeout = 3s");
    let head = "POST /chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (id, body, status, reason) in [
        (1, "zz\r\n".to_owned(), 400, Reason::ClientBroke),
        (2, format!("5001\r\n{}\r\n", "x".repeat(0x5001)), 413, Reason::ClientBroke),
        (3, "5\r\nab".to_owned(), 408, Reason::ClientIdle),
    ] {
        let mut client = daemon.client();
        client.send(head);
        assert_eq!(link.request().id, id);
        client.send(body);
        assert_eq!(client.response().status, status);
        let cancelled = loop {
            match link.next() {
                Heard::Cancel { id, reason } => break (id, reason),
                Heard::Data { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(cancelled, (id, reason));
    }
}

#[test]
fn what_the_gateway_cancels_has_a_status_and_a_counter() {
    let (_gateway, daemon, mut link) = linked("");
    for (reason, status, seconds, counter) in [
        (Reason::NoHandler, 503, Some("7"), "no_handler"),
        (Reason::HandlerTimeout, 504, None, "timeouts"),
        (Reason::HandlerBroke, 502, None, "malformed"),
        (Reason::HandlerLeft, 502, None, "left"),
        (Reason::Overload, 503, Some("1"), "overload"),
        (Reason::UnknownHandler, 502, None, "unknown"),
        (Reason::TooLarge, 413, None, "too_large"),
        (Reason::GatewayFailed, 500, None, "gateway_failed"),
    ] {
        let mut client = asks(&daemon);
        let id = link.request().id;
        let retry_after = if reason == Reason::NoHandler { 7 } else { 0 };
        link.cancel(id, reason, retry_after);
        let response = client.response();
        assert_eq!(
            (response.status, response.header("retry-after")),
            (status, seconds),
            "{reason:?}"
        );
        assert_eq!(count(&daemon, counter), 1, "{counter}");
    }
    let mut client = asks(&daemon);
    let id = link.request().id;
    link.cancel(id, Reason::HandlerCancelled, 0);
    client.is_closed();
    assert_eq!(count(&daemon, "cancelled"), 1);
    assert_eq!(count(&daemon, "requests"), 9);
    // After the head there is no other way than to close.
    for reason in [Reason::HandlerLeft, Reason::HandlerCancelled] {
        let mut client = asks(&daemon);
        let id = link.request().id;
        link.respond(id, 200, Some(10));
        link.data(id, b"part", false);
        client.head();
        assert_eq!(client.take(4), b"part");
        link.cancel(id, reason, 0);
        client.is_closed();
    }
    assert_eq!(count(&daemon, "cut_off"), 2);
}

#[test]
fn a_response_without_a_body_has_none() {
    let (_gateway, daemon, mut link) = linked("");
    let mut client = daemon.client();
    for (status, length, shown) in
        [(200, Some(12), Some("12")), (200, None, None), (404, Some(0), Some("0"))]
    {
        client.send("HEAD /chat HTTP/1.1\r\nHost: x\r\n\r\n");
        let asked = link.request();
        assert_eq!(asked.method, "HEAD");
        link.respond_with(asked.id, (status, b""), (length, true), &[]);
        let response = client.response_to_head();
        assert_eq!((response.status, response.header("content-length")), (status, shown));
    }
    for (status, length) in [(204, None), (304, None), (204, Some(0)), (304, Some(1234))] {
        client.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n");
        let id = link.request().id;
        link.respond_with(id, (status, b""), (length, true), &[]);
        let response = client.response_to_head();
        assert_eq!((response.status, response.header("content-length")), (status, None));
    }
    assert_eq!(client.get_answered(&mut link, "next").text(), "next");
}

impl Client {
    pub(super) fn get_answered(&mut self, link: &mut Link, text: &str) -> Response {
        self.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n");
        let id = link.request().id;
        link.answer(id, text);
        self.response()
    }
}

#[test]
fn a_body_of_unknown_length_is_framed_for_the_client() {
    let (_gateway, daemon, mut link) = linked("");
    for (version, number) in [("1.1", 11), ("1.0", 10)] {
        let mut client = daemon.client();
        client.send(format!("GET /chat HTTP/{version}\r\nHost: x\r\n\r\n"));
        let asked = link.request();
        assert_eq!(asked.version, number);
        link.respond(asked.id, 200, None);
        let head = client.head().to_ascii_lowercase();
        assert_eq!(head.contains("\r\ntransfer-encoding: chunked\r\n"), number == 11, "{head}");
        link.data(asked.id, b"one ", false);
        link.data(asked.id, b"two", true);
        let body = if number == 11 { client.chunked() } else { client.rest() };
        assert_eq!(body, b"one two");
    }
}

#[test]
fn an_end_that_closes_ends_the_connection() {
    let (_gateway, daemon, mut link) = linked("");
    // Whole when it comes: the head says so.
    let mut client = asks(&daemon);
    let id = link.request().id;
    let mut whole = Vec::new();
    let head = brim_wire::link::ResponseHead { status: 200, length: Some(2), reason: b"OK" };
    brim_wire::link::append_response(&mut whole, id, &head, std::iter::empty(), (false, false))
        .unwrap();
    whole.extend(crate::support::frame(id, Content::Data { bytes: b"ok", end: true, close: true }));
    link.write(&whole);
    let response = client.response();
    assert_eq!((response.text(), response.closes()), ("ok", true));
    client.is_closed();
    // After a head that did not.
    let mut client = asks(&daemon);
    let id = link.request().id;
    link.respond(id, 200, None);
    assert!(!client.head().to_ascii_lowercase().contains("connection"));
    link.send(id, Content::Data { bytes: b"ok", end: true, close: true });
    assert_eq!(client.chunked(), b"ok");
    client.is_closed();
    // The same where the client knows from the length that it has all.
    let mut client = asks(&daemon);
    let id = link.request().id;
    link.respond(id, 200, Some(2));
    client.head();
    link.send(id, Content::Data { bytes: b"ok", end: true, close: true });
    assert_eq!(client.take(2), b"ok");
    client.is_closed();
    // Without it, the connection stays.
    let mut client = asks(&daemon);
    let id = link.request().id;
    link.respond(id, 200, None);
    link.data(id, b"ok", true);
    assert_eq!(client.response().text(), "ok");
    assert_eq!(client.get_answered(&mut link, "again").text(), "again");
}

#[test]
fn http2_streams_are_exchanges_too() {
    let gateway = Gateway::new();
    let home = Home::new("").shared();
    let socket = home.path("h2c.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let keys = gateway.behind("");
    home.write_config(&format!(
        "[wsgi]\nlisten = unix:{}\nh2c = yes\nworkers = 1\n{keys}",
        socket.display()
    ));
    let _daemon = home.start_with(vec![listener.into()]);
    let mut link = gateway.link();
    let mut frames = crate::support::Frames::connect(&socket, &[]);
    assert!(frames.request(1, "GET", "/chat", true) && frames.request(3, "GET", "/chat", true));
    let (first, second) = (link.request(), link.request());
    assert_eq!((first.version, &*first.client), (20, ""));
    assert_eq!(first.connection, second.connection);
    assert_eq!(first.header("host"), ["example.test"]);
    link.answer(second.id, "two");
    assert_eq!(frames.body(3).unwrap(), b"two");
    link.cancel(first.id, Reason::HandlerCancelled, 0);
    assert!(
        frames.next_of(crate::support::kind::RST_STREAM).is_some_and(|frame| frame.stream == 1)
    );
}

#[test]
fn many_requests_at_once_leave_in_few_writes() {
    let (_gateway, daemon, mut link) = linked("");
    let mut clients: Vec<_> = (0..50).map(|_| daemon.client()).collect();
    let begun = Instant::now();
    let mut reads = 0;
    for _ in 0..20 {
        clients.iter_mut().for_each(|client| client.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n"));
        let mut asked = 0;
        while asked < clients.len() {
            let heard = link.at_once();
            reads += 1;
            asked += heard.len();
            let mut out = Vec::new();
            for heard in heard {
                let Heard::Request(one) = heard else { panic!("{heard:?}") };
                let head =
                    brim_wire::link::ResponseHead { status: 200, length: Some(0), reason: b"" };
                brim_wire::link::append_response(
                    &mut out,
                    one.id,
                    &head,
                    std::iter::empty(),
                    (true, false),
                )
                .unwrap();
            }
            link.write(&out);
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    }
    println!("1000 requests in {reads} reads and {:?}", begun.elapsed());
    assert!(reads < 1000);
    eventually("the count", || (count(&daemon, "requests") == 1000).then_some(()));
}

#[test]
fn each_handler_has_the_gateway_that_it_names() {
    let (first, second) = (Gateway::new(), Gateway::new());
    let daemon = serve(&format!(
        "workers = 1\napps = chat other\n{}[other]\ncall = handler\ngateway = second\nroute = /other\n\
         send_spec = ipc:///run/brim/a.sock\nrecv_spec = ipc:///run/brim/b.sock\n\
         [gateway#second]\nlink = {}\n",
        first.sections("gateway_wait = 100ms"),
        second.path().display()
    ));
    let mut links = [first.link(), second.link()];
    let ask = |target: &str| {
        let mut client = daemon.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client
    };
    for (target, link) in ["/chat", "/other"].into_iter().zip(&mut links) {
        let mut client = ask(target);
        let asked = link.request();
        assert_eq!(format!("/{}", asked.handler), target);
        link.answer(asked.id, target);
        assert_eq!(client.response().text(), target);
    }
    // One of the gateways goes; the other one's handlers are as ever.
    let [gone, mut stays] = links;
    drop((gone, first));
    eventually("503", || (ask("/chat").response().status == 503).then_some(()));
    let mut client = ask("/other");
    let asked = stays.request();
    stays.answer(asked.id, "well");
    assert_eq!(client.response().text(), "well");
}
