use proptest::prelude::*;

use super::*;

/// What is told of a request with these headers; a trusted peer unless it says otherwise.
fn told(peer: Option<&str>, trusted: bool, lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let host = HeaderValue::from_static("example.com:8080");
    let origin = Origin { peer, trusted, scheme: "http", host: Some(&host), headers: &headers };
    let mut text = Vec::new();
    let mut to = Lines::begin(&mut text, &http::Method::GET, "/");
    origin.x_forwarded(&mut to);
    origin.forwarded(&mut to);
    let text = String::from_utf8(text).unwrap();
    let lines = text.strip_suffix("\r\n").unwrap().split("\r\n").skip(1);
    let lines = lines.map(|line| line.split_once(": ").unwrap());
    lines.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn value<'a>(told: &'a HeaderMap, name: &str) -> Option<&'a str> {
    assert!(told.get_all(name).iter().count() <= 1);
    told.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn what_a_stranger_says_is_not_passed_on() {
    let lines = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=6.6.6.6"),
        ("x-cluster-client-ip", "6.6.6.6"),
    ];
    let told = told(Some("9.9.9.9"), false, &lines);
    assert_eq!(value(&told, "x-forwarded-for"), Some("9.9.9.9"));
    assert_eq!(value(&told, "x-forwarded-proto"), Some("http"));
    assert_eq!(value(&told, "x-forwarded-host"), Some("example.com:8080"));
    assert_eq!(value(&told, "forwarded"), Some("for=9.9.9.9;host=\"example.com:8080\";proto=http"));
}

#[test]
fn a_trusted_peer_is_added_to_what_it_says() {
    let lines = [
        ("x-forwarded-for", "1.1.1.1, 2.2.2.2:80"),
        ("x-forwarded-for", "[::3]"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("forwarded", "for=\"_a,b\";proto=https, for=2.2.2.2"),
    ];
    let told = told(Some("::1"), true, &lines);
    assert_eq!(value(&told, "x-forwarded-for"), Some("1.1.1.1, 2.2.2.2:80, [::3], ::1"));
    assert_eq!(value(&told, "x-forwarded-proto"), Some("https"));
    assert_eq!(value(&told, "x-forwarded-host"), Some("shop.example"));
    let ours = "for=\"[::1]\";host=\"example.com:8080\";proto=http";
    let all = format!("for=\"_a,b\";proto=https, for=2.2.2.2, {ours}");
    assert_eq!(value(&told, "forwarded"), Some(all.as_str()));
}

#[test]
fn what_stands_left_of_rubbish_is_not_believed() {
    for rubbish in ["x", "", "1.2.3", "1.1.1.1;", "\u{e4}"] {
        let line = format!("6.6.6.6, {rubbish}, 2.2.2.2");
        let told = told(Some("10.0.0.1"), true, &[("x-forwarded-for", &line)]);
        assert_eq!(
            value(&told, "x-forwarded-for"),
            Some("2.2.2.2, 10.0.0.1").filter(|_| rubbish != "\u{e4}").or(Some("10.0.0.1"))
        );
    }
    for rubbish in ["for", "for=\"x", "=x", "for=a b", "", "for=\"\\\""] {
        let told = told(Some("10.0.0.1"), true, &[("forwarded", rubbish)]);
        assert!(value(&told, "forwarded").unwrap().starts_with("for=10.0.0.1;"), "{rubbish}");
    }
    let told = told(
        Some("10.0.0.1"),
        true,
        &[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b")],
    );
    assert_eq!(value(&told, "x-forwarded-proto"), Some("http"));
    assert_eq!(value(&told, "x-forwarded-host"), Some("example.com:8080"));
}

#[test]
fn a_peer_on_a_unix_socket_has_no_address() {
    let stranger = told(None, false, &[("x-forwarded-for", "6.6.6.6")]);
    assert_eq!(value(&stranger, "x-forwarded-for"), None);
    assert!(value(&stranger, "forwarded").unwrap().starts_with("for=unknown;"));
    let trusted = told(None, true, &[("x-forwarded-for", "1.1.1.1")]);
    assert_eq!(value(&trusted, "x-forwarded-for"), Some("1.1.1.1"));
    let cluster =
        told(None, true, &[("x-cluster-client-ip", "1.1.1.1"), ("x-forwarded-for", "6.6.6.6")]);
    assert_eq!(value(&cluster, "x-forwarded-for"), Some("1.1.1.1"));
}

#[test]
fn no_more_proxies_in_a_row_than_so_many() {
    let line = vec!["1.1.1.1"; HOPS + 1].join(",");
    let told = told(Some("2.2.2.2"), true, &[("x-forwarded-for", &line)]);
    assert_eq!(value(&told, "x-forwarded-for").unwrap().split(',').count(), HOPS + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever a peer sends: what leaves us reads as the grammar wants it, and ends with the peer.
    #[test]
    fn what_is_told_is_well_formed(
        trusted: bool,
        chain in "[0-9a-f:., \\[\\]x\t\u{80}-\u{ff}]{0,60}",
        forwarded in "[a-z=;,\" \\\\\\[\\]:0-9.\t]{0,80}",
        proto in "[a-zA-Z ,]{0,6}",
        host in "[a-z.:/@ ]{0,12}",
    ) {
        let lines = [
            ("x-forwarded-for", chain.as_str()),
            ("forwarded", &forwarded),
            ("x-forwarded-proto", &proto),
            ("x-forwarded-host", &host),
        ];
        let told = told(Some("7.7.7.7"), trusted, &lines);
        let parts: Vec<_> = value(&told, "x-forwarded-for").unwrap().split(", ").collect();
        prop_assert!(parts.iter().all(|part| is_address(part)), "{:?}", parts);
        prop_assert_eq!(parts.last().copied(), Some("7.7.7.7"));
        prop_assert!(trusted || parts.len() == 1);
        let all = value(&told, "forwarded").unwrap();
        let parts = split_quoted(all, b',');
        prop_assert!(parts.iter().all(|part| part.is_some_and(|part| is_element(part.trim()))), "{}", all);
        prop_assert!(all.ends_with("for=7.7.7.7;host=\"example.com:8080\";proto=http"));
        prop_assert!(is_scheme(value(&told, "x-forwarded-proto").unwrap().as_bytes()));
        prop_assert!(is_host(value(&told, "x-forwarded-host").unwrap().as_bytes()));
    }
}
