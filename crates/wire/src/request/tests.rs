use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Found, MessageError, Sender};

const LIMIT: usize = 200;

fn envelope<'a>(id: u32, path: &'a str) -> Envelope<'a> {
    let sender = Sender::new(b"u-1").expect("a sender");
    Envelope { sender, id, path: path.as_bytes() }
}

type Header<'a> = (&'a [u8], &'a [u8]);

/// A request whose keys are METHOD and PATH, after the headers.
fn written(encoding: Encoding, headers: &[Header<'_>], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut request = RequestWriter::begin(&mut out, encoding, &envelope(85, "/h"));
    request.key(Key::Path, b"/h");
    request.headers(headers.iter().copied());
    request.key(Key::Method, b"GET");
    request.finish(body);
    out
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn refusal(message: &[u8]) -> String {
    parse(message, LIMIT).expect_err("a refusal").to_string()
}

#[test]
fn requests_are_written_as_mongrel2_writes_them() {
    let json = written(Encoding::Json, &[(b"host", b"x"), (b"content-length", b"5")], b"abc\x0d\0");
    let expected = concat!(
        r#"u-1 85 /h 60:{"PATH":"/h","host":"x","content-length":"5","METHOD":"GET"},"#,
        "5:abc\\r\\x00,"
    );
    assert_eq!(json.escape_ascii().to_string().replace("\\\"", "\""), expected);

    let tnetstring = written(Encoding::Tnetstring, &[(b"host", b"x")], b"abc");
    assert_eq!(text(&tnetstring), "u-1 85 /h 38:4:PATH,2:/h,4:host,1:x,6:METHOD,3:GET,}3:abc,");
}

#[test]
fn headers_that_repeat_are_lists_in_the_order_of_arrival() {
    let headers: [Header<'_>; 5] =
        [(b"x-dup", b"1"), (b"cookie", b"a=1"), (b"X-Dup", b"2"), (b"b", b""), (b"cookie", b"b=2")];
    let json = written(Encoding::Json, &headers, b"");
    let block = r#"{"PATH":"/h","x-dup":["1","2"],"cookie":["a=1","b=2"],"b":"","METHOD":"GET"}"#;
    assert_eq!(json, format!("u-1 85 /h {}:{block},0:,", block.len()).as_bytes());

    let tnetstring = written(Encoding::Tnetstring, &headers, b"");
    let block = "4:PATH,2:/h,5:x-dup,8:1:1,1:2,]6:cookie,12:3:a=1,3:b=2,]1:b,0:,6:METHOD,3:GET,";
    assert_eq!(tnetstring, format!("u-1 85 /h {}:{block}}}0:,", block.len()).as_bytes());

    for message in [json, tnetstring] {
        let request = parse(&message, LIMIT).expect("a request");
        assert_eq!(request.headers.all("x-dup"), [&b"1"[..], b"2"]);
        assert_eq!(request.headers.get("cookie"), Some(&b"a=1"[..]));
        assert_eq!(request.headers.all("b"), [&b""[..]]);
        assert_eq!(request.headers.all("c"), [&b""[..]; 0]);
        assert_eq!(
            (request.id, request.path, request.method()),
            (85, &b"/h"[..], Some(&b"GET"[..]))
        );
    }
}

#[test]
fn a_client_cannot_send_a_key_of_the_server() {
    for encoding in [Encoding::Json, Encoding::Tnetstring] {
        let message = written(encoding, &[(b"METHOD", b"evil")], b"");
        let request = parse(&message, LIMIT).expect("a request");
        assert_eq!(request.headers.all("METHOD"), [&b"GET"[..]]);
        assert_eq!(request.headers.get("method"), Some(&b"evil"[..]));
    }
}

#[test]
fn json_escapes_what_must_be_and_keeps_text_as_it_is() {
    let table: [(&[u8], &str); 8] = [
        (b"plain, with 16 bytes and more of them", "plain, with 16 bytes and more of them"),
        (b"sixteen bytes and then a \"quote\"", r#"sixteen bytes and then a \"quote\""#),
        (b"a\\b\"c", r#"a\\b\"c"#),
        (b"tab\there", r"tab\there"),
        (b"\0\x01\x1f\x7f", "\\u0000\\u0001\\u001f\x7f"),
        ("café €".as_bytes(), "café €"),
        (b"caf\xe9", r"caf\u00e9"),
        (b"\xff\xc3\xa9\x80", r"\u00ff\u00c3\u00a9\u0080"),
    ];
    for (value, expected) in table {
        let message = written(Encoding::Json, &[(b"v", value)], b"");
        let start = message.iter().position(|byte| *byte == b'{').expect("an object");
        let object = &message[start..message.len() - 4];
        let object = std::str::from_utf8(object).expect("UTF-8");
        assert!(object.contains(&format!("\"v\":\"{expected}\",")), "{object}");
        let strict: serde_json::Value = serde_json::from_str(object).expect("JSON");
        let latin1: String = value.iter().map(|byte| char::from(*byte)).collect();
        let meant = std::str::from_utf8(value).map_or(latin1, str::to_owned);
        assert_eq!(strict["v"], serde_json::Value::String(meant));

        let message = written(Encoding::Tnetstring, &[(b"v", value)], b"");
        assert_eq!(parse(&message, LIMIT).expect("a request").headers.get("v"), Some(value));
    }
}

#[test]
fn names_are_in_lower_case_whatever_they_were() {
    for length in 1..70 {
        for at in 0..length {
            for byte in [b'A', b'Z', b'@', b'['] {
                let mut name = vec![b'x'; length];
                name[at] = byte;
                let mut out = Vec::new();
                json::append_name(&mut out, &name);
                assert_eq!(out, name.to_ascii_lowercase());
            }
        }
    }
    let mut out = Vec::new();
    json::append_name(&mut out, b"A\"\xe9");
    assert_eq!(out, b"a\\\"\\u00e9");
}

#[test]
fn a_byte_to_escape_is_seen_at_every_place_of_values_of_every_length() {
    for length in 1..70 {
        for at in 0..length {
            for (byte, escaped) in [(b'"', "\\\""), (b'\n', "\\n"), (0xff, "\\u00ff")] {
                let mut value = vec![b'x'; length];
                value[at] = byte;
                let mut out = Vec::new();
                json::append_string(&mut out, &value);
                let (before, after) = ("x".repeat(at), "x".repeat(length - at - 1));
                assert_eq!(out, format!("\"{before}{escaped}{after}\"").as_bytes());
            }
        }
    }
}

#[test]
fn a_space_in_a_path_does_not_end_it() {
    let mut out = Vec::new();
    let request = RequestWriter::begin(&mut out, Encoding::Json, &envelope(1, "/a b  c"));
    request.finish(b"");
    assert_eq!(text(&out), "u-1 1 /a%20b%20%20c 2:{},0:,");
    out.clear();
    let request = RequestWriter::begin(&mut out, Encoding::Tnetstring, &envelope(1, ""));
    request.finish_head(3);
    out.extend_from_slice(b"abc");
    out.push(BODY_END);
    assert_eq!(text(&out), "u-1 1  0:}3:abc,");
    assert_eq!(parse(&out, LIMIT).map(|request| request.body.to_vec()), Ok(b"abc".to_vec()));
}

#[test]
fn notices_are_those_of_mongrel2_byte_for_byte() {
    let sender = Sender::new(b"u-1").expect("a sender");
    let written = |encoding, credits| {
        let mut out = Vec::new();
        match credits {
            None => append_disconnect(&mut out, encoding, sender, 7),
            Some(bytes) => append_credits(&mut out, encoding, sender, 7, bytes),
        }
        String::from_utf8(out).expect("text")
    };
    let table = [
        (Encoding::Json, None, r#"17:{"METHOD":"JSON"},21:{"type":"disconnect"},"#),
        (Encoding::Tnetstring, None, r#"16:6:METHOD,4:JSON,}21:{"type":"disconnect"},"#),
        (
            Encoding::Json,
            Some(43),
            r#"41:{"METHOD":"JSON","DOWNLOAD_CREDITS":"43"},18:{"type":"credits"},"#,
        ),
        (
            Encoding::Tnetstring,
            Some(5),
            r#"40:16:DOWNLOAD_CREDITS,1:5,6:METHOD,4:JSON,}18:{"type":"credits"},"#,
        ),
    ];
    for (encoding, credits, expected) in table {
        let message = written(encoding, credits);
        assert_eq!(message, format!("u-1 7 @* {expected}"));
        let request = parse(message.as_bytes(), LIMIT).expect("a notice");
        let notice = credits.map_or(Notice::Disconnect, Notice::Credits);
        assert_eq!((request.id, request.notice()), (7, Some(notice)));
    }
    // What a client sends is none, whatever it says.
    let forged = br#"u-1 7 @chat 17:{"METHOD":"JSON"},21:{"type":"disconnect"},"#;
    assert_eq!(parse(forged, LIMIT).expect("a request").notice(), None);
}

#[test]
fn the_keys_of_sockets_and_uploads_are_read_as_numbers_and_flags() {
    let mut out = Vec::new();
    let mut request = RequestWriter::begin(&mut out, Encoding::Json, &envelope(1, "/u"));
    request.number(Key::UploadStream, 25_480);
    request.key(Key::UploadStreamDone, b"1");
    request.key(Key::Flags, &crate::websocket::Flags::TEXT.text());
    request.finish(b"");
    let expected =
        r#"u-1 1 /u 65:{"UPLOAD_STREAM":"25480","UPLOAD_STREAM_DONE":"1","FLAGS":"0x81"},0:,"#;
    assert_eq!(String::from_utf8_lossy(&out), expected);
    let request = parse(&out, LIMIT).expect("a request");
    assert_eq!(request.number(Key::UploadStream), Some(25_480));
    assert_eq!(request.number(Key::Flags), None);
    assert_eq!(request.flags(), Some(crate::websocket::Flags::TEXT));
    assert_eq!((request.method(), request.notice()), (None, None));
}

#[test]
fn what_mongrel2_itself_leaves_unescaped_is_read_all_the_same() {
    let message = b"u-1 1 / 13:{\"a\":\"x\ty\xe9z\"},0:,";
    let request = parse(message, LIMIT).expect("a request");
    assert_eq!(request.headers.get("a"), Some(&b"x\ty\xe9z"[..]));
    let request = parse(br#"u-1 1 / 31:{ "\u0061" : [ "\u00e9", "" ] },0:,"#, LIMIT);
    assert_eq!(request.expect("a request").headers.all("a"), ["é".as_bytes(), b""]);
}

#[test]
fn what_is_no_request_says_where_and_what_was_expected() {
    let json = "a JSON object of strings and lists of strings";
    let refusals: [(&[u8], String); 12] = [
        (b"", "byte 0: found the end, expected a sender's id of letters, digits and '-'".into()),
        (b"u-1 x / ", "byte 4: found 'x', expected an id below 4294967296".into()),
        (b"u-1 01 / ", "byte 4: found 2 bytes, expected an id below 4294967296".into()),
        (b"u-1 1 /", "byte 7: found the end, expected ' ' after the path".into()),
        (
            b"u-1 1 / 4:true!0:,",
            "byte 8: found 7 bytes, expected a netstring of JSON or a dictionary".into(),
        ),
        (b"u-1 1 / 7:{\"a\":1},0:,", format!("byte 15: found '1', expected {json}")),
        (b"u-1 1 / 2:[],0:,", format!("byte 10: found '[', expected {json}")),
        (b"u-1 1 / 8:{\"a\":{}},0:,", format!("byte 14: found ':', expected {json}")),
        (b"u-1 1 / 1:{,0:,", format!("byte 10: found '{{', expected {json}")),
        (
            b"u-1 1 / 8:1:a,1:1#}0:,",
            "byte 8: found 11 bytes, expected strings in the headers".into(),
        ),
        (
            b"u-1 1 / 2:{},0:",
            "byte 15: found the end, expected ',' after the bytes of a netstring".into(),
        ),
        (
            b"u-1 1 / 2:{},0:,\n",
            "byte 16: found the byte 0x0a, expected nothing after the body".into(),
        ),
    ];
    for (message, reason) in refusals {
        assert_eq!(refusal(message), reason, "{}", text(message));
    }
    assert_eq!(Found::End.to_string(), "the end");
}

#[test]
fn one_header_more_than_allowed_is_refused_in_both_encodings() {
    for encoding in [Encoding::Json, Encoding::Tnetstring] {
        let names: Vec<String> = (0..10).map(|index| format!("n{index}")).collect();
        let mut headers: Vec<Header<'_>> =
            names.iter().map(|name| (name.as_bytes(), &b"v"[..])).collect();
        let message = written(encoding, &headers, b"");
        assert!(parse(&message, 12).is_ok());
        let refusal = MessageError::TooMany { at: 10, what: "headers", limit: 11 };
        assert_eq!(parse(&message, 11), Err(refusal));
        // As many values of one name.
        headers.fill((b"n", b"v"));
        let message = written(encoding, &headers, b"");
        assert!(parse(&message, 12).is_ok());
        assert_eq!(parse(&message, 11), Err(refusal));
    }
}

fn headers() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let name = prop_oneof![
        prop::sample::select(vec!["host", "cookie", "x-dup", "accept", "referer"])
            .prop_map(|name| name.as_bytes().to_vec()),
        "[a-z0-9!#$%&'*+.^_`|~-]{1,20}".prop_map(String::into_bytes),
    ];
    vec((name, vec(any::<u8>(), 0..40)), 0..20)
}

fn grouped(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut groups: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
    for (name, value) in headers {
        match groups.iter_mut().find(|(other, _)| other == name) {
            Some((_, values)) => values.push(value.clone()),
            None => groups.push((name.clone(), vec![value.clone()])),
        }
    }
    groups
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn requests_go_round(headers in headers(), body in vec(any::<u8>(), 0..300)) {
        let pairs: Vec<Header<'_>> =
            headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        for encoding in [Encoding::Json, Encoding::Tnetstring] {
            let message = written(encoding, &pairs, &body);
            let request = parse(&message, LIMIT).expect("a request");
            prop_assert_eq!((request.encoding, request.body), (encoding, body.as_slice()));
            let read: Vec<(Vec<u8>, Vec<Vec<u8>>)> = request.headers.iter()
                .filter(|(name, _)| !name.iter().any(u8::is_ascii_uppercase))
                .map(|(name, values)| {
                    (name.to_vec(), values.iter().map(|value| value.to_vec()).collect())
                })
                .collect();
            let mut expected = grouped(&headers);
            if encoding == Encoding::Json {
                for value in expected.iter_mut().flat_map(|(_, values)| values) {
                    if std::str::from_utf8(value).is_err() {
                        let latin1: String = value.iter().map(|byte| char::from(*byte)).collect();
                        *value = latin1.into_bytes();
                    }
                }
            }
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        start in prop::sample::select(vec!["", "u 1 / ", "u 1 / 9:{\"a\":", "u 1 / 9:1:a,"]),
        bytes in vec(any::<u8>(), 0..60),
        headers in headers(),
    ) {
        let _ = parse(&[start.as_bytes(), &bytes].concat(), LIMIT);
        let pairs: Vec<Header<'_>> =
            headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        for encoding in [Encoding::Json, Encoding::Tnetstring] {
            let mut message = written(encoding, &pairs, b"body");
            for (index, byte) in bytes.iter().enumerate().take(3) {
                let place = (usize::from(*byte) + index * 31) % message.len();
                message[place] = bytes[bytes.len() - 1 - index];
            }
            let _ = parse(&message, LIMIT);
        }
    }
}
