use super::{Echoed, Expected, Kept, Last, Refused, Row, direct, proxied};

/// Before `Host: x`.
const TABLE: &[(&str, &[u8], Expected)] = &[
    ("3", b"GET /echo HTTP/1.1", Echoed("")),
    ("3.2.1", b"GET /echo?query=/?&=%20 HTTP/1.1", Echoed("")),
    ("9110 9.1, methods are tokens of any case", b"get /echo HTTP/1.1", Echoed("")),
    ("9110 9.1", b"X-!#$%&'*+.^_`|~9 /echo HTTP/1.1", Echoed("")),
    ("9.3", b"GET /echo HTTP/1.0", Last("")),
    // Section 3 lets a server be lenient about white space; we are not.
    ("3", b"GET  /echo HTTP/1.1", Refused(400)),
    ("3", b"GET /echo  HTTP/1.1", Refused(400)),
    ("3", b" GET /echo HTTP/1.1", Refused(400)),
    ("3", b"GET /echo HTTP/1.1 ", Refused(400)),
    ("3", b"GET /echo HTTP/1.1\t", Refused(400)),
    ("3", b"GET\t/echo HTTP/1.1", Refused(400)),
    ("3", b"GET /echo\tHTTP/1.1", Refused(400)),
    ("3", b"GET\x0b/echo HTTP/1.1", Refused(400)),
    ("3", b"GET /echo\x0cHTTP/1.1", Refused(400)),
    ("3", b"GET /ec ho HTTP/1.1", Refused(400)),
    ("3", b"GET /echo HTTP/1.1 HTTP/1.1", Refused(400)),
    ("3", b"GET /echo\x00 HTTP/1.1", Refused(400)),
    ("3", b"GET /echo\x7f HTTP/1.1", Refused(400)),
    ("3", b"GET /echo\xff HTTP/1.1", Refused(400)),
    ("3", b"\xef\xbb\xbfGET /echo HTTP/1.1", Refused(400)),
    ("3", b"GET HTTP/1.1", Refused(400)),
    ("3", b"GET", Refused(400)),
    ("3", b"/echo HTTP/1.1", Refused(400)),
    ("9110 9.1", b"G@T /echo HTTP/1.1", Refused(400)),
    ("9110 9.1", b"GET: /echo HTTP/1.1", Refused(400)),
    ("9110 9.1", b"G\x00T /echo HTTP/1.1", Refused(400)),
    ("9110 9.1", b"G\xc3T /echo HTTP/1.1", Refused(400)),
    // HTTP/0.9 has no version and no headers.
    ("2.3", b"GET /echo", Refused(400)),
    ("2.3", b"GET /echo ", Refused(400)),
    ("2.3, names of protocols have a case", b"GET /echo http/1.1", Refused(400)),
    ("2.3", b"GET /echo Http/1.1", Refused(400)),
    ("2.3", b"GET /echo HTTP/0.9", Refused(400)),
    ("9110 2.5 would have 1.2 read as 1.1", b"GET /echo HTTP/1.2", Refused(400)),
    ("2.3", b"GET /echo HTTP/2", Refused(400)),
    ("2.3", b"GET /echo HTTP/2.0", Refused(400)),
    ("2.3", b"GET /echo HTTP/3.0", Refused(400)),
    ("2.3", b"GET /echo HTTP/1.10", Refused(400)),
    ("2.3", b"GET /echo HTTP/01.1", Refused(400)),
    ("2.3", b"GET /echo HTTP/1,1", Refused(400)),
    ("2.3", b"GET /echo HTTP/11", Refused(400)),
    ("2.3", b"GET /echo HTTP/1.", Refused(400)),
    ("2.3", b"GET /echo HTTP/1.1a", Refused(400)),
    ("2.3", b"GET /echo HTTP /1.1", Refused(400)),
    ("2.3", b"GET /echo ICAP/1.0", Refused(400)),
    ("2.3", b"GET /echo RTSP/1.0", Refused(400)),
    // The target has four forms, and each its methods.
    ("3.2.2", b"GET http://x/echo HTTP/1.1", Echoed("")),
    ("3.2.2, names of schemes know no case", b"GET HTTP://x/echo HTTP/1.1", Echoed("")),
    ("3.2.2, whatever the Host is", b"GET http://other/echo HTTP/1.1", Echoed("")),
    ("3.2.2", b"GET https://other:8443/echo HTTP/1.1", Echoed("")),
    ("3.2.2", b"GET http://[::1]:80/echo HTTP/1.1", Echoed("")),
    ("3.2.2, an empty path is the root", b"GET http://x HTTP/1.1", Kept(404)),
    ("3.2.1, this is a path", b"GET //x/echo HTTP/1.1", Kept(404)),
    ("9110 4.2.1", b"GET http:///echo HTTP/1.1", Refused(400)),
    ("9110 4.2.1", b"GET http://:80/echo HTTP/1.1", Refused(400)),
    ("9110 4.2.4", b"GET http://user@x/echo HTTP/1.1", Refused(400)),
    ("9110 4.2.4", b"GET http://user:secret@x/echo HTTP/1.1", Refused(400)),
    ("3.2.2", b"GET http:/echo HTTP/1.1", Refused(400)),
    ("3.2.2", b"GET http:echo HTTP/1.1", Refused(400)),
    ("3.2.2, not our scheme", b"GET ftp://x/echo HTTP/1.1", Refused(400)),
    ("3.2.2, not our scheme", b"GET file:///echo HTTP/1.1", Refused(400)),
    ("3.2", b"GET echo HTTP/1.1", Refused(400)),
    ("3.2", b"GET ../echo HTTP/1.1", Refused(400)),
    ("3.2", b"GET ?query HTTP/1.1", Refused(400)),
    ("3.2", b"GET #fragment HTTP/1.1", Refused(400)),
    ("3.2", b"GET \\echo HTTP/1.1", Refused(400)),
    ("3.2.3", b"GET x:80 HTTP/1.1", Refused(400)),
    ("3.2.3", b"CONNECT x:80 HTTP/1.1", Refused(501)),
    ("3.2.4", b"GET * HTTP/1.1", Refused(400)),
    ("3.2.4", b"OPTIONS *x HTTP/1.1", Refused(400)),
    ("3.2.4", b"OPTIONS * HTTP/1.1", Kept(404)),
];

fn rows() -> Vec<Row> {
    let table = TABLE.iter().map(|(rule, line, expected)| {
        Row::new(rule, [*line, b"\r\nHost: x\r\n\r\n"].concat(), *expected)
    });
    table.collect()
}

#[test]
fn request_lines_are_three_words_with_a_target_that_fits() {
    direct(&rows());
}

#[test]
fn request_lines_through_the_proxy() {
    proxied(&rows());
}
