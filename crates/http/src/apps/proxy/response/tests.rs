use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1000;
const PLAIN: Asked<'static> = Asked { head: false, upgrade: None };

/// The head at the front of these bytes, and what is left behind it.
fn front(bytes: &[u8], asked: Asked<'_>) -> Result<Option<(Head, Vec<u8>)>, &'static str> {
    let mut input = BytesMut::from(bytes);
    let head = take(&mut input, &mut Progress::default(), LIMIT, asked)?;
    Ok(head.map(|head| (head, input.to_vec())))
}

fn body(bytes: &str, asked: Asked<'_>) -> Result<Decoder, &'static str> {
    Ok(front(bytes.as_bytes(), asked)?.expect("a whole head").0.body)
}

fn keeps(bytes: &str) -> bool {
    front(bytes.as_bytes(), PLAIN).unwrap().unwrap().0.keeps
}

#[test]
fn a_head_says_where_its_body_ends() {
    let head = Asked { head: true, ..PLAIN };
    for (fields, decoder) in [
        ("200 OK\r\nContent-Length: 12", Decoder::Length(12)),
        ("200 OK\r\nContent-Length: 012", Decoder::Length(12)),
        ("200 OK\r\nContent-Length: 2\r\nContent-Length: 2", Decoder::Length(2)),
        ("200 OK\r\nTransfer-Encoding: Chunked", Decoder::chunked()),
        ("200 OK\r\nX: y", Decoder::Close),
        ("204 No Content\r\nContent-Length: 5", Decoder::Length(0)),
        ("304 Not Modified\r\nContent-Length: 5", Decoder::Length(0)),
    ] {
        let bytes = format!("HTTP/1.1 {fields}\r\n\r\n");
        assert_eq!(body(&bytes, PLAIN), Ok(decoder), "{fields}");
        assert_eq!(body(&bytes, head), Ok(Decoder::Length(0)), "{fields}");
    }
}

#[test]
fn a_head_whose_body_would_end_somewhere_else_for_others_is_refused() {
    for fields in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
        "Content-Length: 1, 1",
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: 0x1",
        "Content-Length: 1 1",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:",
        "Content-Length : 1",
        "Content-Length: 1\r\n folded",
        "X: a\rb",
        "X: a\0b",
        ": x",
        "no colon",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        assert!(front(bytes.as_bytes(), PLAIN).is_err(), "{fields}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(front(old.as_bytes(), PLAIN).is_err());
    for line in
        ["HTTP/2.0 200 OK", "HTTP/1.1 abc", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "garbage", ""]
    {
        assert!(front(format!("{line}\r\n\r\n").as_bytes(), PLAIN).is_err(), "{line}");
    }
}

#[test]
fn a_connection_is_kept_where_both_its_head_and_its_body_allow_it() {
    assert!(keeps("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x, Close\r\n\r\n"));
    assert!(!keeps(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n"
    ));
    assert!(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n"));
    assert!(keeps("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 200 OK\r\n\r\n"));
}

#[test]
fn what_is_about_the_connection_does_not_go_on() {
    let bytes = "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: X-Hop, Content-Length\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\n\
                 TE: x\r\nProxy-Thing: 1\r\nSet-Cookie: a\r\nContent-Length: 1\r\nSet-Cookie: b\r\n\r\nx";
    let (head, rest) = front(bytes.as_bytes(), PLAIN).unwrap().unwrap();
    assert_eq!(head.parts.headers.keys_len(), 2);
    assert_eq!(head.parts.headers["content-length"], "1");
    assert_eq!(head.parts.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(rest, b"x");
}

#[test]
fn informational_heads_are_passed_over_and_count() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let end = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    let fit = (LIMIT - end.len()) / hint.len();
    let all = format!("{}{end}", hint.repeat(fit));
    assert_eq!(front(all.as_bytes(), PLAIN).unwrap().unwrap().0.parts.status, 404);
    assert!(front(format!("{hint}{all}").as_bytes(), PLAIN).is_err());
    assert!(front(hint.as_bytes(), PLAIN).unwrap().is_none());
}

#[test]
fn a_connection_is_switched_only_to_what_was_asked_for() {
    let wanted = HeaderValue::from_static("WebSocket");
    let asked = Asked { upgrade: Some(&wanted), ..PLAIN };
    let bytes = "HTTP/1.1 101 Switching\r\nConnection: x, upgrade\r\nX: y\r\nUpgrade: websocket\r\n\r\nearly";
    let (head, rest) = front(bytes.as_bytes(), asked).unwrap().unwrap();
    assert_eq!(
        (head.parts.status.as_u16(), rest.as_slice(), head.keeps),
        (101, &b"early"[..], false)
    );
    assert_eq!(head.parts.headers["connection"], "Upgrade");
    assert_eq!(head.parts.headers["upgrade"], "websocket");
    assert!(front(bytes.as_bytes(), PLAIN).is_err());
    let other = HeaderValue::from_static("other");
    assert!(front(bytes.as_bytes(), Asked { upgrade: Some(&other), ..PLAIN }).is_err());
    assert!(front(b"HTTP/1.1 101 Switching\r\n\r\n", asked).is_err());
}

#[test]
fn a_head_has_a_limit_in_bytes_and_in_lines() {
    let sized = |size: usize| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(size - 24));
    assert!(front(sized(LIMIT).as_bytes(), PLAIN).is_ok_and(|head| head.is_some()));
    assert!(front(sized(LIMIT + 1).as_bytes(), PLAIN).is_err());
    assert!(front(&sized(LIMIT + 1).as_bytes()[..LIMIT], PLAIN).is_err());
    let lined = |lines: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:b\r\n".repeat(lines));
    assert!(front(lined(LINES).as_bytes(), PLAIN).is_ok_and(|head| head.is_some()));
    assert!(front(lined(LINES + 1).as_bytes(), PLAIN).is_err());
}

#[test]
fn names_are_known_again_wherever_they_stand() {
    let mut progress = Progress::default();
    let mut names = |fields: &str| {
        let mut input = BytesMut::from(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes());
        progress.restart();
        let head = take(&mut input, &mut progress, LIMIT, PLAIN).unwrap().unwrap();
        let names = head.parts.headers.iter().map(|(name, value)| {
            assert_eq!(name.as_str(), value.to_str().unwrap());
            name.to_string()
        });
        names.collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(names("X-A: x-a\r\nServer: server\r\n"), ["x-a", "server"]);
        assert_eq!(names("x-b: x-b\r\nSERVER: server\r\nX-a: x-a\r\n"), ["x-b", "server", "x-a"]);
        assert_eq!(names("Server: server\r\nX-A: x-a\r\n"), ["server", "x-a"]);
    }
    for at in 0..2 * Names::MOST {
        let name = format!("x-{at}");
        assert_eq!(names(&format!("{name}: {name}\r\n")), [name]);
    }
    let long = "x".repeat(Names::LONGEST + 1);
    assert_eq!(names(&format!("{long}: {long}\r\n")), [long]);
    assert_eq!(progress.names.0.len(), Names::MOST);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A head means the same in one piece and in many, and ends where it ends.
    #[test]
    fn a_head_is_the_same_in_all_pieces(
        lines in "(HTTP/1\\.[01] [0-9]{3} ?[a-z]{0,3}\r?\n)(([a-zA-Z-]{0,8}|Content-Length|Connection|Transfer-Encoding): ?[ -~]{0,9}\r?\n){0,5}\r?\n[a-z\r\n]{0,9}",
        cut in 1_usize..120,
    ) {
        let bytes = lines.as_bytes();
        let shown = |front: Option<(Head, Vec<u8>)>| front.map(|(head, rest)| (head.parts.status, head.parts.headers, head.body, head.keeps, rest));
        let at_once = front(bytes, PLAIN).map(shown);
        let mut in_pieces = Ok(None);
        let (mut input, mut progress) = (BytesMut::new(), Progress::default());
        for piece in bytes.chunks(cut) {
            input.extend_from_slice(piece);
            if matches!(in_pieces, Ok(None)) {
                in_pieces = take(&mut input, &mut progress, LIMIT, PLAIN);
            }
        }
        let in_pieces = in_pieces.map(|head| shown(head.map(|head| (head, input.to_vec()))));
        prop_assert_eq!(in_pieces, at_once);
    }
}
