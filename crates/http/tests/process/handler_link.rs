//! What becomes of exchanges when links and gateways do not last.

use std::time::{Duration, Instant};

use brim_wire::link::{Content, Frame, FrameDecoder, GoAwayReason, Hello, Limits, Reason, Side};

use crate::support::{Client, Daemon, Gateway, Heard, Home, Link, PATIENCE, serve};

fn asks(daemon: &Daemon) -> Client {
    let mut client = daemon.client();
    client.send("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n");
    client
}

fn answered(daemon: &Daemon, link: &mut Link) {
    let mut client = asks(daemon);
    let id = link.request().id;
    link.answer(id, "well");
    assert_eq!(client.response().text(), "well");
}

fn count(daemon: &Daemon, name: &str) -> u64 {
    daemon.stats()["wsgi"][format!("chat.{name}")].as_u64().unwrap()
}

#[test]
fn a_lost_link_fails_what_was_sent_and_the_next_is_served() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    let (mut waiting, mut half) = (asks(&daemon), asks(&daemon));
    let (_, second) = (link.request().id, link.request().id);
    link.respond(second, 200, None);
    half.head();
    drop(link);
    let begun = Instant::now();
    assert_eq!(waiting.response().status, 502);
    half.is_closed();
    assert!(begun.elapsed() < PATIENCE / 2);
    let mut next = gateway.link();
    answered(&daemon, &mut next);
    println!("served again after {:?}", begun.elapsed());
    assert_eq!((count(&daemon, "link_lost"), count(&daemon, "cut_off")), (1, 1));
    daemon.logs("the link is lost");
}

#[test]
fn without_a_gateway_the_answer_is_503_after_a_moment() {
    let gateway = Gateway::new();
    let path = gateway.path();
    let keys = gateway.behind("gateway_wait = 300ms");
    drop(gateway);
    let daemon = serve(&keys);
    let begun = Instant::now();
    let response = asks(&daemon).response();
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < PATIENCE);
    assert_eq!(count(&daemon, "no_gateway"), 1);
    daemon.logs("no link, trying again");
    assert!(!path.exists());
}

#[test]
fn a_request_waits_for_a_gateway_that_comes_in_time() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind("gateway_wait = 15s"));
    let mut client = asks(&daemon);
    // Connected, as by systemd, and not greeted yet.
    std::thread::sleep(Duration::from_millis(200));
    let mut link = gateway.link();
    let id = link.request().id;
    link.answer(id, "late");
    assert_eq!(client.response().text(), "late");
}

#[test]
fn what_the_gateway_has_not_taken_goes_over_the_next_link() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    let mut taken = asks(&daemon);
    assert_eq!(link.request().id, 1);
    let mut untaken = daemon.client();
    untaken.send("POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(link.request().id, 2);
    assert_eq!(link.body(), b"hello");
    link.go_away(1);
    let mut next = gateway.link();
    let asked = next.request();
    assert_eq!((asked.id, &*asked.method), (1, "POST"));
    assert_eq!(next.body(), b"hello");
    next.answer(1, "second");
    assert_eq!(untaken.response().text(), "second");
    // What was taken goes on to its end, and then the front end closes.
    assert_eq!(link.in_a_moment(), []);
    link.answer(1, "first");
    assert_eq!(taken.response().text(), "first");
    assert_eq!(link.try_next(), None);
    assert_eq!(count(&daemon, "retries"), 1);
    assert!(!daemon.log().contains("the link is lost"), "{}", daemon.log());
}

#[test]
fn what_a_gateway_says_before_it_closes_counts() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    for _ in 0..20 {
        let mut first = asks(&daemon);
        let id = link.request().id;
        let mut others: Vec<_> = (0..10).map(|_| asks(&daemon)).collect();
        link.answer(id, "first");
        link.go_away(id);
        others.extend((0..10).map(|_| asks(&daemon)));
        drop(link);
        link = gateway.link();
        for _ in 0..20 {
            let id = link.request().id;
            link.answer(id, "next");
        }
        assert_eq!(first.response().text(), "first");
        others.iter_mut().for_each(|other| assert_eq!(other.response().text(), "next"));
    }
}

#[test]
fn what_was_not_written_goes_over_the_next_link_and_nothing_twice() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    // A gateway that reads nothing: the kernel takes some, and the rest waits.
    let mut clients: Vec<_> = (0..40)
        .map(|number| {
            let mut client = daemon.client();
            client.send("POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 16000\r\n\r\n");
            client.send(format!("{number:016000}"));
            client
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let mut seen = Vec::new();
    while seen.len() < 3 {
        if let Heard::Data { bytes, .. } = link.next() {
            seen.push(String::from_utf8(bytes).unwrap().parse::<usize>().unwrap());
        }
    }
    drop(link);
    let mut next = gateway.link();
    let mut again = Vec::new();
    while let Some(heard) = next.soon() {
        match heard {
            Heard::Request(_) => {}
            Heard::Data { id, bytes, end: true } => {
                let number: usize = String::from_utf8(bytes).unwrap().parse().unwrap();
                next.answer(id, &number.to_string());
                again.push(number);
            }
            other => panic!("{other:?}"),
        }
    }
    let mut lost = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        let response = client.response();
        match response.status {
            200 => assert_eq!(response.text(), number.to_string()),
            status => {
                assert_eq!(status, 502);
                lost += 1;
                assert!(!again.contains(&number));
            }
        }
    }
    println!("{lost} of 40 were lost, {} went over the next link", again.len());
    assert!(lost >= 3 && !again.is_empty() && lost + again.len() == 40);
    assert!(seen.iter().all(|number| !again.contains(number)));
}

#[test]
fn a_gateway_that_does_not_answer_a_ping_loses_the_link() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    let mut client = asks(&daemon);
    link.request();
    client.stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let begun = Instant::now();
    assert_eq!(client.response().status, 502);
    println!("noticed after {:?}", begun.elapsed());
    assert!(begun.elapsed() >= Duration::from_secs(15));
    daemon.logs("the gateway does not answer a ping");
    answered(&daemon, &mut gateway.link());
}

#[test]
fn what_no_handler_has_seen_is_tried_again_and_not_for_ever() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    let mut client = asks(&daemon);
    for id in 1..=4 {
        assert_eq!(link.request().id, id);
        link.cancel(id, Reason::GatewayStops, 0);
    }
    let response = client.response();
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!((count(&daemon, "retries"), count(&daemon, "gateway_failed")), (3, 1));
    // A body of which something was read is not there any more.
    let mut client = daemon.client();
    client.send("POST /chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    let id = link.request().id;
    link.next();
    link.cancel(id, Reason::GatewayStops, 0);
    assert_eq!(client.response().status, 503);
}

#[test]
fn a_gateway_that_breaks_a_rule_loses_the_link() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let never_begun = crate::support::frame(9, Content::Touch);
    let twice = {
        let mut out = Vec::new();
        let head = brim_wire::link::ResponseHead { status: 200, length: None, reason: b"" };
        for _ in 0..2 {
            let none = std::iter::empty();
            brim_wire::link::append_response(&mut out, 1, &head, none, (false, false)).unwrap();
        }
        out
    };
    let early = crate::support::frame(1, Content::Data { bytes: b"x", end: false, close: false });
    let mut upgrade = Vec::new();
    let head = brim_wire::link::ResponseHead { status: 101, length: None, reason: b"" };
    brim_wire::link::append_upgrade(&mut upgrade, 1, &head, std::iter::empty()).unwrap();
    let much = crate::support::frame(1, Content::Credit(u32::MAX));
    let mut long = crate::support::frame(1, Content::Data { bytes: b"", end: false, close: false });
    long[4..8].copy_from_slice(&(128 * 1024 + 1_u32).to_be_bytes());
    for bytes in
        [never_begun, twice, early, upgrade, much, long, b"HTTP/1.1 200 OK\r\n\r\n".to_vec()]
    {
        let mut link = gateway.link();
        let mut client = asks(&daemon);
        link.request();
        link.write(&bytes);
        match link.after_credit() {
            Heard::GoAway { reason, text } => {
                assert_eq!(reason, GoAwayReason::Broke);
                println!("{text}");
            }
            other => panic!("{bytes:?}: {other:?}"),
        }
        assert_eq!(link.try_next(), None);
        assert!(client.try_send(""));
        let bytes = client.rest_or_response();
        assert!(bytes.is_none_or(|status| status == 502 || status == 200));
    }
    let mut link = gateway.link();
    answered(&daemon, &mut link);
}

impl Client {
    /// The status of what came, if something did.
    fn rest_or_response(&mut self) -> Option<u16> {
        let rest = self.read_some();
        String::from_utf8_lossy(&rest).get(9..12).and_then(|status| status.parse().ok())
    }

    fn read_some(&mut self) -> Vec<u8> {
        use std::io::Read;
        let mut buffer = [0; 512];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        buffer[..count].to_vec()
    }
}

#[test]
fn a_gateway_of_another_kind_is_not_spoken_to() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind("gateway_wait = 300ms"));
    let versions =
        Hello { lowest: 3, highest: 4, credit: 1, payload: 65_536, exchanges: 1, name: b"" };
    let small = Hello { lowest: 1, highest: 1, credit: 1, payload: 1023, exchanges: 1, name: b"" };
    for hello in [versions, small] {
        let mut stream = gateway.accepted();
        let hello = crate::support::frame(0, Content::Hello(hello));
        std::io::Write::write_all(&mut stream, &hello).unwrap();
        let limits = Limits { payload: 1 << 20, headers: 100 };
        let mut decoder = FrameDecoder::new(Side::FrontEnd, limits);
        let mut read = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut read);
        let mut input = read.as_slice();
        let first = decoder.decode(&mut input).unwrap();
        assert!(matches!(first, Some(Frame { content: Content::Hello(_), .. })));
    }
    daemon.logs("no link, trying again");
    let mut link = gateway.link();
    answered(&daemon, &mut link);
}

#[test]
fn a_ping_is_answered() {
    let gateway = Gateway::new();
    let _daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    link.send(0, Content::Ping { context: 77, is_answer: false });
    assert_eq!(link.next(), Heard::Pong(77));
}

#[test]
fn one_more_exchange_than_the_gateway_takes_is_503() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link_with(65_536, 65_536, 2);
    let mut clients = [asks(&daemon), asks(&daemon)];
    link.request();
    link.request();
    let response = asks(&daemon).response();
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!(count(&daemon, "overload"), 1);
    link.answer(1, "one");
    assert_eq!(clients[0].response().text(), "one");
    answered(&daemon, &mut link);
}

#[test]
fn a_head_longer_than_the_gateway_takes_is_431() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link_with(65_536, 4096, 100);
    let mut client = daemon.client();
    client.send(format!("GET /chat HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "x".repeat(4096)));
    assert_eq!(client.response().status, 431);
    answered(&daemon, &mut link);
}

#[test]
fn a_response_that_is_not_as_long_as_it_says_is_cut_off() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind(""));
    let mut link = gateway.link();
    for (length, text) in [(5, "four"), (5, "sixsix")] {
        // After its head was sent.
        let mut client = asks(&daemon);
        let id = link.request().id;
        link.respond(id, 200, Some(length));
        client.head();
        link.data(id, text.as_bytes(), true);
        assert!(client.rest().len() < 5);
        // Before.
        let mut client = asks(&daemon);
        let id = link.request().id;
        let mut out = Vec::new();
        let head = brim_wire::link::ResponseHead { status: 200, length: Some(length), reason: b"" };
        brim_wire::link::append_response(&mut out, id, &head, std::iter::empty(), (false, false))
            .unwrap();
        let data = Content::Data { bytes: text.as_bytes(), end: true, close: false };
        out.extend(crate::support::frame(id, data));
        link.write(&out);
        assert_eq!(client.response().status, 502);
    }
    assert_eq!((count(&daemon, "malformed"), count(&daemon, "cut_off")), (2, 2));
}

#[test]
fn a_reload_keeps_the_link_and_a_section_that_is_gone_closes_it() {
    let gateway = Gateway::new();
    let home = Home::new(&gateway.behind("")).shared();
    let daemon = home.start();
    let mut link = gateway.link();
    let mut client = asks(&daemon);
    let id = link.request().id;
    home.configure(&gateway.behind("tunnel_timeout = 10s"));
    daemon.reload();
    answered(&daemon, &mut link);
    assert!(!gateway.is_called());
    home.configure("apps = echo");
    daemon.reload();
    link.answer(id, "old");
    assert_eq!(client.response().text(), "old");
    // As long as a connection is there that the old section has served, so is that.
    drop(client);
    assert!(matches!(link.next(), Heard::GoAway { reason: GoAwayReason::Stops, .. }));
    assert_eq!(link.try_next(), None);
}

#[test]
fn each_worker_has_a_link_and_two_handlers_share_it() {
    let gateway = Gateway::new();
    let specs = "send_spec = ipc:///run/brim/a.sock\nrecv_spec = ipc:///run/brim/b.sock";
    let other = format!("[other]\ncall = handler\nroute = /other\n{specs}\n");
    let keys = format!("workers = 2\napps = chat other\n{}{other}", gateway.sections(""));
    let daemon = serve(&keys);
    let mut links = [gateway.link(), gateway.link()];
    let mut names = links.each_ref().map(|link| link.name.clone());
    names.sort();
    assert_eq!(names, ["wsgi/0", "wsgi/1"]);
    assert!(!gateway.is_called());
    let mut client = daemon.client();
    for target in ["/chat", "/other"] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let link = links.iter_mut().find_map(|link| {
            let heard = link.in_a_moment();
            heard.into_iter().next().map(|heard| (heard, link))
        });
        let Some((Heard::Request(asked), link)) = link else { panic!("no request") };
        assert_eq!(format!("/{}", asked.handler), target);
        link.answer(asked.id, target);
        assert_eq!(client.response().text(), target);
    }
}
