use super::{Echoed, Expected, Last, Refused, Row, direct, proxied};

/// Of a GET in HTTP/1.1.
const TABLE: &[(&str, &[u8], Expected)] = &[
    ("3.2", b"Host: x", Echoed("")),
    ("3.2", b"hOST:x", Echoed("")),
    ("9110 7.2", b"Host: x:80", Echoed("")),
    ("3986 3.2.3, a port may be empty", b"Host: x:", Echoed("")),
    ("3.3, the authority may be empty", b"Host:", Echoed("")),
    ("3.3", b"Host: \t", Echoed("")),
    ("9110 7.2", b"Host: EXAMPLE.com.", Echoed("")),
    ("9110 7.2", b"Host: 192.0.2.1:8080", Echoed("")),
    ("9110 7.2", b"Host: [::1]", Echoed("")),
    ("9110 7.2", b"Host: [2001:DB8::192.0.2.1]:8080", Echoed("")),
    ("9110 7.2", b"Host: a_b-c~d.example", Echoed("")),
    ("3986 3.2.2", b"Host: a%20b", Echoed("")),
    ("3986 3.2.2", b"Host: a!$&'()*+;=b", Echoed("")),
    ("3.2", b"X: y", Refused(400)),
    ("3.2", b"Host: x\r\nHost: x", Refused(400)),
    ("3.2", b"Host: x\r\nX: y\r\nhost: y", Refused(400)),
    ("3.2", b"Host:\r\nHost: x", Refused(400)),
    ("3.2", b"Host: a b", Refused(400)),
    ("3.2", b"Host: a\tb", Refused(400)),
    ("3.2, as two would be when they are joined", b"Host: a,b", Refused(400)),
    ("3.2", b"Host: a, b", Refused(400)),
    ("3.2", b"Host: user@x", Refused(400)),
    ("3.2", b"Host: user:secret@x", Refused(400)),
    ("3.2", b"Host: x/path", Refused(400)),
    ("3.2", b"Host: /", Refused(400)),
    ("3.2", b"Host: http://x", Refused(400)),
    ("3.2", b"Host: x?query", Refused(400)),
    ("3.2", b"Host: x#fragment", Refused(400)),
    ("3.2", b"Host: x\\y", Refused(400)),
    ("3.2", b"Host: <x>", Refused(400)),
    ("3.2", b"Host: \"x\"", Refused(400)),
    ("3.2", b"Host: {x}", Refused(400)),
    ("3.2", b"Host: x|y", Refused(400)),
    ("3.2", b"Host: x^y", Refused(400)),
    ("3.2", b"Host: x`y", Refused(400)),
    ("3.2", b"Host: x:80:80", Refused(400)),
    ("3.2", b"Host: x:+80", Refused(400)),
    ("3.2", b"Host: x:eighty", Refused(400)),
    ("3.2", b"Host: x:80 ", Echoed("")),
    ("3.2", b"Host: :80", Refused(400)),
    ("3.2", b"Host: x:65536", Refused(400)),
    ("3.2", b"Host: ::1", Refused(400)),
    ("3.2", b"Host: [::1", Refused(400)),
    ("3.2", b"Host: ::1]", Refused(400)),
    ("3.2", b"Host: [::1]x", Refused(400)),
    ("3.2", b"Host: [::1]:x", Refused(400)),
    ("3.2", b"Host: x[::1]", Refused(400)),
    ("3.2", b"Host: []", Refused(400)),
    ("3.2", b"Host: [x]", Refused(400)),
    ("3.2", b"Host: [192.0.2.1]", Refused(400)),
    ("3.2", b"Host: [fe80::1%25eth0]", Refused(400)),
    ("3.2", b"Host: a%2", Refused(400)),
    ("3.2", b"Host: a%zz", Refused(400)),
    ("3.2", b"Host: \xc3\xa4", Refused(400)),
    ("9110 5.5", b"Host: x\0y", Refused(400)),
];

/// HTTP/1.0 asks for no Host; one that is there is as in HTTP/1.1.
const OLD: &[(&str, &[u8], Expected)] = &[
    ("3.2", b"X: y", Last("")),
    ("3.2", b"Host: x", Last("")),
    ("3.2", b"Host: x\r\nHost: x", Refused(400)),
    ("3.2", b"Host: a b", Refused(400)),
];

fn rows() -> Vec<Row> {
    let get = |version: &str, fields: &[u8]| {
        [b"GET /echo HTTP/", version.as_bytes(), b"\r\n", fields, b"\r\n\r\n"].concat()
    };
    let table =
        TABLE.iter().map(|(rule, fields, expected)| Row::new(rule, get("1.1", fields), *expected));
    let old =
        OLD.iter().map(|(rule, fields, expected)| Row::new(rule, get("1.0", fields), *expected));
    table.chain(old).collect()
}

#[test]
fn there_is_one_host_and_it_is_one() {
    direct(&rows());
}

#[test]
fn hosts_through_the_proxy() {
    proxied(&rows());
}
