use brim_wire::request::{Envelope, RequestWriter};

use super::*;

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Tnetstring];

type Keys<'a> = &'a [(Key, &'a str)];
type Lines<'a> = &'a [(&'a str, &'a str)];

/// A request with these keys and headers.
fn request(encoding: Encoding, path: &str, lines: (Keys<'_>, Lines<'_>), body: &str) -> Request {
    let sender = Sender::new(b"a-1").unwrap();
    let envelope = Envelope { sender, id: 7, path: path.as_bytes() };
    let mut message = Vec::new();
    let mut writer = RequestWriter::begin(&mut message, encoding, &envelope);
    for (key, value) in lines.0 {
        writer.key(*key, value.as_bytes());
    }
    writer.headers(lines.1.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    writer.finish(body.as_bytes());
    Request::parse(&Bytes::from(message), &mut Arc::from("")).unwrap()
}

#[test]
fn a_request_is_the_same_in_both_encodings() {
    for encoding in ENCODINGS {
        let keys = [(Key::Method, "GET"), (Key::Version, "HTTP/1.1")];
        let headers = [("cookie", "a=1"), ("x", ""), ("cookie", "b=\"2\"")];
        let request = request(encoding, "/x/y", (&keys, &headers), "a,b");
        assert_eq!(request.client.to_string(), "a-1 7");
        assert_eq!((request.path.as_ref(), request.body.as_ref()), (&b"/x/y"[..], &b"a,b"[..]));
        assert_eq!((request.kind(), request.encoding), (Kind::Http, encoding));
        assert_eq!(request.method(), Some(&b"GET"[..]));
        let cookies: Vec<&[u8]> = request.headers.all("cookie").collect();
        assert_eq!(cookies, [&b"a=1"[..], b"b=\"2\""]);
        assert_eq!(request.headers.get("x"), Some(&b""[..]));
        assert_eq!(request.headers.get("y"), None);
        assert!(request.keeps_alive());
    }
}

#[test]
fn headers_are_equal_however_they_were_written() {
    let keys = [(Key::Method, "GET")];
    let [json, tnetstring] =
        ENCODINGS.map(|encoding| request(encoding, "/", (&keys, &[("x", "\"1\"")]), "").headers);
    assert_eq!(json, tnetstring);
    assert_eq!(format!("{json:?}"), r#"{"METHOD": "GET", "x": "\"1\""}"#);
    assert_ne!(json, request(Encoding::Json, "/", (&keys, &[("x", "1")]), "").headers);
}

#[test]
fn a_request_tells_what_it_is_about() {
    let json = (Key::Method, "JSON");
    let websocket = (Key::Method, "WEBSOCKET");
    let table: [(&str, Keys<'_>, &str, Kind); 8] = [
        ("@*", &[json], r#"{"type":"disconnect"}"#, Kind::Disconnect),
        ("@*", &[json, (Key::DownloadCredits, "43")], r#"{"type":"credits"}"#, Kind::Credits(43)),
        ("@chat", &[json], r#"{"type":"disconnect"}"#, Kind::Json),
        ("<chat", &[(Key::Method, "XML")], "<chat/>", Kind::Xml),
        ("/w", &[(Key::Method, "WEBSOCKET_HANDSHAKE")], "key", Kind::Handshake),
        ("/w", &[websocket, (Key::Flags, "0x8A")], "", Kind::WebSocket(Flags::PONG)),
        ("/u", &[(Key::UploadStream, "20480")], "x", Kind::Piece),
        ("/u", &[(Key::Method, "PUT")], "x", Kind::Http),
    ];
    for encoding in ENCODINGS {
        for (path, keys, body, kind) in table {
            assert_eq!(request(encoding, path, (keys, &[]), body).kind(), kind, "{path} {keys:?}");
        }
    }
}

#[test]
fn an_upload_is_whole_only_if_both_of_its_headers_say_the_same() {
    let upload = |headers: Lines<'_>| {
        let request = request(Encoding::Json, "/u", (&[(Key::Method, "PUT")], headers), "");
        match request.upload() {
            Some(Upload::Started(path)) => format!("started {}", String::from_utf8_lossy(path)),
            Some(Upload::Finished(path)) => format!("finished {}", String::from_utf8_lossy(path)),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(upload(&[]), "None");
    assert_eq!(upload(&[(UPLOAD_START, "/t/a")]), "started /t/a");
    assert_eq!(upload(&[(UPLOAD_START, "/t/a"), (UPLOAD_DONE, "/t/a")]), "finished /t/a");
    assert_eq!(upload(&[(UPLOAD_START, "/t/a"), (UPLOAD_DONE, "/t/b")]), "None");
    assert_eq!(upload(&[(UPLOAD_DONE, "/t/b")]), "None");
}

#[test]
fn an_upload_in_pieces_says_where_each_begins() {
    let last = [(Key::UploadStream, "20480"), (Key::UploadStreamDone, "1")];
    for (keys, is_last) in [(&last[..1], false), (&last[..], true)] {
        let piece = request(Encoding::Tnetstring, "/u", (keys, &[]), "x");
        assert_eq!(piece.upload(), Some(Upload::Piece { at: 20480, is_last }));
    }
    let wrong = [(Key::UploadStream, "-1")];
    assert_eq!(request(Encoding::Json, "/u", (&wrong, &[]), "x").upload(), None);
}

#[test]
fn a_client_says_whether_its_connection_stays() {
    for (version, connection, stays) in [
        ("HTTP/1.0", "keep-alive", false),
        ("HTTP/1.1", "Keep-Alive, Close", false),
        ("HTTP/1.1", "keep-alive", true),
        ("HTTP/1.1", "closed", true),
    ] {
        let lines = (&[(Key::Version, version)][..], &[("connection", connection)][..]);
        assert_eq!(request(Encoding::Json, "/", lines, "").keeps_alive(), stays, "{connection}");
    }
}

#[test]
fn a_client_has_a_server_that_replies_can_name() {
    assert!(Client::new("web-1", 3).is_ok());
    assert!(Client::new("web 1", 3).is_err());
}
