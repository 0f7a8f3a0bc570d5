//! Requests and answers of HTTP.

use std::time::Instant;

use brim_wire::link::Reason;
use brim_wire::reply::Control;

use crate::support::{Answer, Ask, Front, Gateway, Got, Puppet, start};
use crate::trials;

trials! {
    a_request_is_written_as_handlers_expect_it
    a_request_in_tnetstrings_is_exact
    a_certificate_of_the_client_is_a_key_of_ours
    an_answer_may_come_in_any_pieces
    chunks_of_a_handler_are_taken_apart
    an_answer_without_a_length_lasts_until_the_kill
    answers_to_head_and_those_without_a_body_have_none
    interim_answers_are_dropped
    one_reply_reaches_128_clients
    one_reply_is_for_each_what_it_would_be_alone
    a_long_poll_is_answered_when_something_happens
    a_body_comes_within_the_request
    a_client_that_leaves_is_told_to_the_handler_that_has_it
    a_slow_client_slows_nobody_and_gets_everything
    a_late_answer_reaches_nobody
    the_worker_with_the_least_to_do_gets_the_next
    files_are_sent_from_below_their_folder_only
}

fn a_request_is_written_as_handlers_expect_it() {
    let (_gateway, mut front, mut puppet) = start("");
    let headers =
        [("host", "example.com"), ("x-dup", "1"), ("x-dup", "2"), ("x-mongrel2-upload-done", "/f")];
    let exchange =
        front.ask(&Ask { target: "/a?b=c", headers: &headers, version: 20, ..Ask::default() });
    let seen = puppet.hear();
    let expected = concat!(
        r#"{"PATH":"/a","host":"example.com","x-dup":["1","2"],"METHOD":"GET","VERSION":"HTTP/1.1","#,
        r#""URI":"/a?b=c","QUERY":"b=c","PATTERN":"/","URL_SCHEME":"http","REMOTE_ADDR":"192.0.2.7"}"#
    );
    assert_eq!(seen.text(), format!("u-1 {} /a {}:{expected},0:,", seen.id, expected.len()));
    puppet.reply(
        &[seen.id],
        b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: \xe9\r\n\r\nhi",
    );
    let answer = front.answer(exchange);
    assert_eq!((answer.status, answer.length, answer.close), (201, Some(2), false));
    assert_eq!(answer.body, b"hi");
    let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-a", "x-a"]);
}

fn a_request_in_tnetstrings_is_exact() {
    let (_gateway, mut front, mut puppet) = start("protocol = tnetstring");
    let exchange = front.ask(&Ask { headers: &[("a", "\t\u{e9}\"")], ..Ask::default() });
    let seen = puppet.hear();
    assert_eq!(seen.get("a"), "\t\u{e9}\"");
    assert_eq!(
        seen.names(),
        ["REMOTE_ADDR", "METHOD", "URL_SCHEME", "PATTERN", "URI", "VERSION", "PATH", "a"]
    );
    puppet.answer(seen.id, "");
    assert_eq!(front.answer(exchange).status, 200);
}

fn a_certificate_of_the_client_is_a_key_of_ours() {
    for protocol in ["json", "tnetstring"] {
        let (_gateway, mut front, mut puppet) = start(&format!("protocol = {protocol}"));
        let headers = [("peer_cert_sha1", "a client's"), (":peer-cert-sha1", "0123ABCD")];
        let exchange = front.ask(&Ask { is_https: true, headers: &headers, ..Ask::default() });
        let seen = puppet.hear();
        assert_eq!(seen.get("PEER_CERT_SHA1"), "0123ABCD");
        assert_eq!(seen.get("peer_cert_sha1"), "a client's");
        let names = seen.names();
        assert!(!names.iter().any(|name| name.starts_with(':')), "{names:?}");
        puppet.answer(seen.id, "");
        assert_eq!(front.answer(exchange).status, 200);
        // Without TLS nobody has one.
        front.ask(&Ask { headers: &headers, ..Ask::default() });
        let names = puppet.hear().names();
        let is_key = |name: &String| name == "PEER_CERT_SHA1" || name.starts_with(':');
        assert!(!names.iter().any(is_key), "{names:?}");
    }
}

fn an_answer_may_come_in_any_pieces() {
    let (_gateway, mut front, mut puppet) = start("");
    let whole =
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: text/plain\r\n\r\nHello, world";
    for size in [1, 2, 3, 7, 64, 65, 66, 67, 70, 1000] {
        let exchange = front.get("/pieces");
        let id = puppet.hear().id;
        whole.chunks(size).for_each(|piece| puppet.reply(&[id], piece));
        let answer = front.answer(exchange);
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"Hello, world"[..]), "{size}");
    }
    let exchange = front.get("/lines");
    let id = puppet.hear().id;
    puppet.reply(
        &[id],
        "HTTP/1.1 200 Fine\nConnection: X, Close\nKeep-Alive: 1\nContent-Length: 0\n\n",
    );
    let answer = front.answer(exchange);
    assert_eq!((answer.headers.len(), answer.close), (0, true));
}

fn chunks_of_a_handler_are_taken_apart() {
    let (_gateway, mut front, mut puppet) = start("");
    let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nHello\r\n07;x=y\r\n, world\r\n0\r\nTrailer: x\r\n\r\n";
    for size in [1, 5, 50, 51, 53, 1000] {
        let exchange = front.get("/chunks");
        let id = puppet.hear().id;
        whole.as_bytes().chunks(size).for_each(|piece| puppet.reply(&[id], piece));
        let answer = front.answer(exchange);
        assert_eq!((answer.length, answer.body.as_slice()), (None, &b"Hello, world"[..]), "{size}");
        assert!(answer.headers.is_empty());
    }
}

fn an_answer_without_a_length_lasts_until_the_kill() {
    let (_gateway, mut front, mut puppet) = start("");
    let exchange = front.get("/stream");
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 200 OK\r\n\r\none ");
    assert!(matches!(front.next(exchange), Got::Head { length: None, end: false, .. }));
    assert_eq!(front.next(exchange), Got::Data { bytes: b"one ".into(), end: false, close: false });
    puppet.reply(&[id], "two");
    puppet.reply(&[id], "");
    let answer = front.answer(exchange);
    assert_eq!((answer.body.as_slice(), answer.cancel), (&b"two"[..], None));
    // A kill is the handler's own end: it hears of no leave.
    assert!(puppet.hears_nothing());
    // Killed without a word, and by force.
    let exchange = front.get("/kill");
    let id = puppet.hear().id;
    puppet.reply(&[id], "");
    assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerCancelled, 0)));
    let exchange = front.get("/cancel");
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 200 OK\r\n\r\nx");
    puppet.control(&[id], Control { cancel: true, ..Control::default() });
    let answer = front.answer(exchange);
    assert_eq!(answer.cancel, Some((Reason::HandlerCancelled, 0)));
    assert!(puppet.hears_nothing());
}

fn answers_to_head_and_those_without_a_body_have_none() {
    let (_gateway, mut front, mut puppet) = start("");
    let exchange = front.ask(&Ask { method: "HEAD", ..Ask::default() });
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello");
    let answer = front.answer(exchange);
    assert_eq!((answer.length, answer.body.len(), answer.cancel), (Some(5), 0, None));
    for (status, length) in [(204, Some(0)), (304, None)] {
        let exchange = front.get("/");
        let id = puppet.hear().id;
        puppet.reply(&[id], format!("HTTP/1.1 {status} x\r\n\r\n"));
        let answer = front.answer(exchange);
        assert_eq!((answer.status, answer.length, answer.cancel), (status, length, None));
    }
}

fn interim_answers_are_dropped() {
    let (_gateway, mut front, mut puppet) = start("");
    let exchange = front.get("/");
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n");
    puppet.answer(id, "done");
    let answer = front.answer(exchange);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"done"[..]));
}

fn one_reply_reaches_128_clients() {
    let (gateway, mut front, mut puppet) = start("");
    let exchanges: Vec<_> = (0..128).map(|_| front.get("/all")).collect();
    let ids: Vec<_> = exchanges.iter().map(|_| puppet.hear().id).collect();
    puppet.reply(&ids, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnews");
    for exchange in exchanges {
        assert_eq!(front.answer(exchange).body, b"news");
    }
    // One more is too many: that message is lost, and nothing else.
    let exchange = front.get("/one");
    let id = puppet.hear().id;
    puppet.reply(&[id; 129], "HTTP/1.1 200 OK\r\n\r\n");
    gateway.logs("more than 128 ids");
    puppet.answer(id, "fine");
    assert_eq!(front.answer(exchange).body, b"fine");
}

fn one_reply_is_for_each_what_it_would_be_alone() {
    let (gateway, mut front, mut puppet) = start("");
    let mut other = Front::connect(&gateway);
    let all = ["GET", "HEAD", "GET", "GET"];
    let mut exchanges = all.map(|method| front.ask(&Ask { method, ..Ask::default() }));
    let ids = all.map(|_| puppet.hear().id);
    // One has got a part already, and one is at another front end.
    puppet.reply(&ids[2..3], "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n");
    exchanges[3] = other.get("/");
    let ids = [ids[1], ids[0], ids[2], puppet.hear().id];
    puppet.reply(
        &ids,
        "HTTP/1.1 203 Some\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nConnection: close\r\n\r\n\
         4\r\nnews\r\n0\r\n\r\n",
    );
    let whole = front.answer(exchanges[0]);
    assert_eq!((whole.status, whole.body.as_slice(), whole.close), (203, &b"news"[..], true));
    assert_eq!(whole.headers, [("x-a".to_owned(), "1".to_owned())]);
    let head = front.answer(exchanges[1]);
    assert_eq!((head.status, head.body.as_slice(), head.close), (203, &b""[..], true));
    let begun = front.answer(exchanges[2]);
    assert_eq!((begun.status, begun.close), (200, false));
    assert!(begun.body.starts_with(b"HTTP/1.1 203 Some"));
    assert_eq!(other.answer(exchanges[3]), whole);
}

fn a_long_poll_is_answered_when_something_happens() {
    let (_gateway, mut front, mut puppet) = start("handler_timeout = 0");
    let waiting = front.get("/wait");
    let id = puppet.hear().id;
    for number in 0..50 {
        let exchange = front.get("/other");
        let other = puppet.hear().id;
        puppet.answer(other, &number.to_string());
        assert_eq!(front.answer(exchange).body, number.to_string().as_bytes());
    }
    puppet.control(&[id], Control { keep_alive: true, ..Control::default() });
    assert_eq!(front.next(waiting), Got::Touch);
    puppet.answer(id, "at last");
    assert_eq!(front.answer(waiting).body, b"at last");
}

fn a_body_comes_within_the_request() {
    let (_gateway, mut front, mut puppet) = start("max_inline = 200K");
    for (length, size) in [(Some(5), 5), (None, 5), (Some(200 * 1024), 200 * 1024)] {
        let exchange = front.ask(&Ask { method: "POST", body: Some(length), ..Ask::default() });
        let body: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        front.send_body(exchange, &body);
        let seen = puppet.hear();
        assert_eq!((seen.get("METHOD").as_str(), seen.body.as_slice()), ("POST", body.as_slice()));
        puppet.answer(seen.id, "got it");
        assert_eq!(front.answer(exchange).body, b"got it");
    }
}

fn a_client_that_leaves_is_told_to_the_handler_that_has_it() {
    let gateway = Gateway::start("handler_wait = 10s");
    let first = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let exchange = front.get("/");
    let id = first.hear().id;
    let second = gateway.puppet(&[]);
    front.leave(exchange);
    first.hear_leave(id);
    assert!(second.hears_nothing());
    // A link that is lost is the same for all that was open on it.
    drop(second);
    let _ = [front.get("/"), front.get("/")];
    let ids = [first.hear().id, first.hear().id];
    drop(front);
    let left = [first.hear(), first.hear()];
    assert!(left.iter().all(|seen| seen.path == "@*" && ids.contains(&seen.id)), "{left:?}");
}

fn a_slow_client_slows_nobody_and_gets_everything() {
    let (gateway, mut front, mut puppet) = start("");
    front.grants = false;
    let slow = front.get("/slow");
    let id = puppet.hear().id;
    let body = "x".repeat(5 << 20);
    puppet.reply(&[id], format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
    puppet.reply(&[id], &body);
    puppet.reply(&[id], "");
    let quick = front.get("/quick");
    let other = puppet.hear().id;
    puppet.answer(other, "quick");
    assert_eq!(front.answer(quick).body, b"quick");
    front.grants = true;
    front.send(slow, brim_wire::link::Content::Credit(65_536));
    let start = Instant::now();
    assert_eq!(front.answer(slow).body.len(), body.len());
    println!("5 MiB in {:?}, {} KiB of memory", start.elapsed(), gateway.memory());
    // What waits for a client has a bound.
    let (gateway, mut front, mut puppet) = self::start("max_waiting = 1M");
    front.grants = false;
    let exchange = front.get("/");
    let id = puppet.hear().id;
    puppet.reply(&[id], format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1 << 20)));
    puppet.reply(&[id], "x".repeat(70_000));
    assert_eq!(front.answer(exchange).cancel, Some((Reason::Overload, 5)));
    puppet.hear_leave(id);
    gateway.logs("too slow");
}

fn a_late_answer_reaches_nobody() {
    let (_gateway, mut front, mut puppet) = start("");
    let exchange = front.get("/1");
    let first = puppet.hear().id;
    puppet.answer(first, "one");
    assert_eq!(front.answer(exchange).body, b"one");
    let exchange = front.get("/2");
    let second = puppet.hear().id;
    assert_ne!(first, second);
    puppet.answer(first, "late");
    puppet.say(format!("other 1:{second}, HTTP/1.1 500 no\r\n\r\n").as_bytes());
    puppet.say(
        format!("other {}:{second}, HTTP/1.1 500 no\r\n\r\n", second.to_string().len()).as_bytes(),
    );
    // The handler hears that nobody is there, but not when it closes what is closed.
    puppet.hear_leave(first);
    puppet.reply(&[first], "");
    puppet.answer(second, "two");
    assert_eq!(front.answer(exchange).body, b"two");
    assert!(puppet.hears_nothing());
}

fn the_worker_with_the_least_to_do_gets_the_next() {
    let gateway = Gateway::start("handler_wait = 10s");
    let mut front = Front::connect(&gateway);
    let busy = gateway.puppet(&[]);
    let held: Vec<_> = (0..10).map(|_| front.get("/held")).collect();
    held.iter().for_each(|_| drop(busy.hear()));
    let _idle = gateway.puppet(&["echo", "idle"]);
    let mut answers: Vec<Answer> = Vec::new();
    // Until the second one is there, the first one gets more to hold.
    crate::support::eventually("the second worker", || {
        let exchange = front.get("/held");
        match front.next_within(exchange, std::time::Duration::from_millis(50)) {
            Some(got) => matches!(got, Got::Head { .. }).then_some(()),
            None => None,
        }
    });
    for _ in 0..20 {
        answers.push(front.fetch("/next"));
    }
    assert!(answers.iter().all(|answer| answer.body == b"/next idle"), "{answers:?}");
}

fn files_are_sent_from_below_their_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let body: Vec<u8> = (0..300_000_u32).map(|at| u8::try_from(at % 253).unwrap()).collect();
    std::fs::write(root.join("file"), &body).unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
    let (gateway, mut front, mut puppet) = start(&format!("sendfile_root = {}", root.display()));
    let send = |puppet: &mut Puppet, id: u32, path: &str| {
        let inner = format!("8:sendfile,{}:{path},", path.len());
        puppet.reply_to(&format!("X {id}"), format!("{}:{inner}]", inner.len()).as_bytes());
    };
    for path in ["file".to_owned(), root.join("file").display().to_string()] {
        let exchange = front.get("/");
        let id = puppet.hear().id;
        puppet.reply(&[id], format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        send(&mut puppet, id, &path);
        assert_eq!(front.answer(exchange).body, body, "{path}");
    }
    for path in ["../secret", "link", "/etc/passwd", "nothing", "."] {
        let exchange = front.get("/");
        let id = puppet.hear().id;
        puppet.reply(&[id], "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
        send(&mut puppet, id, path);
        assert_eq!(front.answer(exchange).cancel, Some((Reason::GatewayFailed, 0)), "{path}");
        puppet.hear_leave(id);
    }
    gateway.logs("a file of an exchange");
}
