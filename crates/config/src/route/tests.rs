use proptest::prelude::*;

use super::*;

fn route(text: &str) -> RoutePattern {
    RoutePattern::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn fault(text: &str) -> RouteFault {
    match RoutePattern::parse(text) {
        Ok(_) => panic!("{text} is accepted"),
        Err(error) => error.fault(),
    }
}

/// Each line: route, path, whether ours matches, whether Mongrel2's does (as its tree with this one
/// route does).
#[test]
fn routes_match_as_in_this_table() {
    let same = |ours: bool| (ours, ours);
    let (yes, no) = (same(true), same(false));
    let only_theirs = (false, true);
    let only_ours = (true, false);
    for (text, path, (ours, _theirs)) in [
        ("/", "/", yes),
        ("/", "/x", yes),
        ("/users", "/users", yes),
        ("/users", "/users/1", yes),
        ("/users", "/other", no),
        // The tree takes a path that ends in the middle of a prefix.
        ("/users", "/us", only_theirs),
        ("/users", "/", only_theirs),
        ("/users/", "/users", only_theirs),
        // Whole segments.
        ("/img", "/imgx", only_theirs),
        ("/img()", "/imgx", yes),
        ("/img/", "/img/x", yes),
        ("/img/", "/img/", yes),
        // From the first parenthesis on it is a pattern, anchored in front only.
        (r"/users/([0-9]+)", "/users/12", yes),
        (r"/users/([0-9]+)", "/users/12/x", yes),
        (r"/users/([0-9]+)", "/users/abc", no),
        (r"/users/([0-9]+)$", "/users/12/x", no),
        (r"/users/([0-9]+)$", "/users/12", yes),
        ("/users()$", "/users", yes),
        ("/users()$", "/users/", no),
        // A pattern route whose prefix is longer than the path never matches.
        (r"/users/(\d*)", "/users", no),
        (r"/pat/(.*)\.jpg$", "/pat/a.jpg", yes),
        (r"/pat/(.*)\.jpg$", "/pat/a.jpg.png", no),
        (r"/pat/(.*).jpg$", "/pat/jpg", no),
        (r"/pat/(.*).jpg$", "/pat/x-jpg", yes),
        // The $ may stand within the parentheses.
        (r"/x/(a$)", "/x/a", only_ours),
        (r"/x/(a$)", "/x/ab", no),
        // Bytes, and case.
        ("/Users", "/users", no),
        ("/ä", "/ä", only_ours),
        ("/x/(.)$", "/x/ä", no),
        ("/x/(..)$", "/x/ä", only_ours),
        // Percent escapes stand for their bytes.
        ("/a%20b", "/a b", only_ours),
        ("/x/(a%20+b)$", "/x/a  b", only_ours),
        ("/%zz", "/%zz", yes),
        ("/x/(%4)$", "/x/%4", yes),
        // Classes.
        (r"/(\a\A\d\D\l\L\u\U\w\W\x\X)$", "/a11abZZaa-fg", yes),
        (r"/(\a)", "/1", no),
        (r"/(\p\s\S)$", "/! x", yes),
        (r"/(\c)", "/\x01", yes),
        (r"/(\Z+)$", "/abc", yes),
        (r"/(\.\*\\\%\-\$)$", r"/.*\%-$", yes),
        // Sets.
        ("/([a-c]+)$", "/abc", yes),
        ("/([^a-c]+)$", "/xyz", yes),
        ("/([^a-c]+)$", "/xya", no),
        ("/([]x]+)$", "/]x", yes),
        ("/([-a]+)$", "/a-", yes),
        ("/([a-]+)$", "/-a", yes),
        (r"/([\d_]+)$", "/1_2", yes),
        (r"/([\]\-]+)$", "/]-", yes),
        ("/([.*]+)$", "/.*", yes),
        // Quantifiers.
        ("/(a?b)$", "/b", yes),
        ("/(a?b)$", "/ab", yes),
        ("/(a?b)$", "/aab", no),
        ("/(a-b)$", "/aab", yes),
        ("/(a-)$", "/", yes),
        ("/(a*a*b)$", "/aaab", yes),
        // Balanced pairs.
        (r"/(\b<>)$", "/<a<b>c>", yes),
        (r"/(\b<>)$", "/<a<b>c", no),
        (r"/(\b<>x)$", "/<>x", yes),
        (r"/(.*\b<>)$", "/<<>", yes),
        (r"/(\b<>)$", "/<><>", no),
        (r"/(\b''x)$", "/'abc'x", yes),
        (r"/(\b''\b''$)", "/'a''b'", only_ours),
        // The frontier.
        (r"/(\a*\f[\d].*)$", "/abc1", yes),
        (r"/(.\f[\d]2)$", "/12", no),
        (r"/(\f[x]x)", "/x", yes),
        (r"/(x\f[\z])", "/x", yes),
    ] {
        assert_eq!(route(text).matches(path.as_bytes()), ours, "{text} {path}");
    }
}

#[test]
fn what_would_not_do_what_it_seems_to_is_refused() {
    for (text, expected) in [
        ("", RouteFault::NoSlash),
        ("users", RouteFault::NoSlash),
        ("(.*)", RouteFault::NoSlash),
        ("/img/*", RouteFault::LiteralSpecial),
        ("/x/[a]", RouteFault::LiteralSpecial),
        (r"/x\.txt", RouteFault::LiteralSpecial),
        ("/x)", RouteFault::LiteralSpecial),
        ("/x?y=1", RouteFault::Query),
        ("//x", RouteFault::DoubleSlash),
        ("/a%2f/x", RouteFault::DoubleSlash),
        ("/a/../x", RouteFault::DotSegment),
        ("/a/.", RouteFault::DotSegment),
        ("/%2e%2E/", RouteFault::DotSegment),
        ("/%ff", RouteFault::NotText),
        ("/%00", RouteFault::NotText),
        ("/(\\", RouteFault::TrailingBackslash),
        (r"/(\n)", RouteFault::UnknownClass),
        (r"/(\B)", RouteFault::UnknownClass),
        (r"/(\1)", RouteFault::UnknownClass),
        ("/([a", RouteFault::OpenSet),
        ("/([]", RouteFault::OpenSet),
        ("/([]a)", RouteFault::OpenSet),
        (r"/([a\", RouteFault::OpenSet),
        ("/([z-a])", RouteFault::ReversedRange),
        (r"/([\d-z])", RouteFault::BadRange),
        (r"/([a-\d])", RouteFault::BadRange),
        ("/([a-c-e])", RouteFault::BadRange),
        ("/([ä])", RouteFault::WideInSet),
        ("/(ä*)", RouteFault::WideRepeat),
        ("/(])", RouteFault::NoSet),
        (r"/(\b", RouteFault::NoPair),
        (r"/(\bx", RouteFault::NoPair),
        (r"/(\fa)", RouteFault::NoFrontierSet),
        (r"/(\f", RouteFault::NoFrontierSet),
        ("/(*)", RouteFault::NothingToRepeat),
        ("/(a**)", RouteFault::NothingToRepeat),
        (r"/(\d+-\d+)", RouteFault::NothingToRepeat),
        (r"/(\b<>*)", RouteFault::NothingToRepeat),
        ("/(ab)*", RouteFault::RepeatedParenthesis),
        ("/(a|b)", RouteFault::Alternative),
        ("/(^a)", RouteFault::Caret),
        ("/(a$b)", RouteFault::EarlyEnd),
        ("/(a", RouteFault::OpenParenthesis),
        ("/(a))", RouteFault::NoParenthesis),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
    let many = |count| format!("/({})", ".".repeat(count));
    assert!(RoutePattern::parse(&many(255)).is_ok());
    assert_eq!(fault(&many(256)), RouteFault::TooLong);
}

#[test]
fn a_fault_is_pointed_at() {
    let said = |text| RoutePattern::parse(text).unwrap_err().to_string();
    assert_eq!(
        said("/x/([a-z"),
        r#""/x/([a-z" is not a route: at "[a-z": the set is not closed by ]"#
    );
    assert_eq!(
        said("x"),
        r#""x" is not a route: a route begins with /, or with @ or < if it is for socket messages"#
    );
    assert!(said(r"/x/(a\").starts_with(r#""/x/(a\" is not a route: at "\": the backslash"#));
}

/// Patterns on which a matcher that tries one way after the other takes exponential time.
#[test]
fn the_steps_grow_with_the_path_and_no_faster() {
    for (text, byte) in [
        ("(.*.*.*.*x$)", 'a'),
        ("(a*a*a*a*a*a*a*a*b)", 'a'),
        ("(a?a?a?a?a?a?a?a?a+a+a+a+a+b)", 'a'),
        (r"(.*\b<>.*\b<>.*\b<>x$)", '<'),
        (r"(.*\b''.*\b''.*x$)", '\''),
        (r"(.-\f[\a].-\f[\A].-x$)", 'a'),
    ] {
        let pattern = Pattern::compile(text.as_bytes()).unwrap();
        let steps = |length: usize| {
            let mut steps = 0;
            assert!(!pattern.run(&vec![byte as u8; length], &mut steps), "{text}");
            steps
        };
        let most = 4 * (pattern.items.len() + 1) + pattern.pairs.len();
        for length in [1_000, 10_000, 100_000] {
            let taken = steps(length);
            assert!(taken <= most * (length + 1), "{text}: {taken} steps for {length} bytes");
        }
        assert!(steps(100_000) <= 11 * steps(10_000), "{text}");
    }
    // Nested as deep as they are long.
    let pattern = Pattern::compile(br"(.*\b<>$)").unwrap();
    let nested = "<".repeat(50_000) + &">".repeat(50_000);
    let mut steps = 0;
    assert!(pattern.run(nested.as_bytes(), &mut steps));
    assert!(steps < 1_500_000, "{steps}");
}

#[test]
fn a_route_covers_what_it_matches_as_well() {
    for (wide, narrow, covers) in [
        ("/", "/x", true),
        ("/", "/x/(.*)", true),
        ("/a", "/a", true),
        ("/a", "/a/b", true),
        ("/a", "/ab", false),
        ("/a", "/a()", false),
        ("/a/", "/a", false),
        ("/a/", "/a/(x)", true),
        ("/a/b", "/a", false),
        ("/(.*)", "/x", false),
        ("/(.*)", "/(.*)", true),
    ] {
        assert_eq!(route(wide).covers(&route(narrow)), covers, "{wide} {narrow}");
    }
}

#[test]
fn hosts_match_as_in_this_table() {
    for (pattern, host, ours) in [
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.com:8080", true),
        ("Example.COM.", "example.com.", true),
        // Mongrel2 compares ends of names, and ends of its own.
        ("example.com", "www.example.com", false),
        ("example.com", "notexample.com", false),
        ("example.com", "le.com", false),
        ("*.example.com", "www.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "notexample.com", false),
        ("*.example.com", "a.b.EXAMPLE.com.:8080", true),
        ("*.Example.COM.", "www.example.com", true),
        ("*.example.com", "www.example.com.evil.org", false),
        ("*.example.com", "www.example.org", false),
        ("*.b.example.com", "a.example.com", false),
        ("*.example.com", "*.example.com", true),
        ("*.0.0.1", "[::1]", false),
        ("127.0.0.1", "127.0.0.1:80", true),
        ("[::1]", "[::1]:80", true),
        ("[::1]", "[0:0::1]", true),
        ("[::1]", "[::2]", false),
        ("example.com", "user@example.com", true),
        ("a_b", "a_b", true),
    ] {
        let host = HostName::parse(host).unwrap();
        assert_eq!(HostPattern::parse(pattern).unwrap().matches(&host), ours, "{pattern} {host}");
    }
    for nobody in ["", ":80", ".", "[::1", "[x]"] {
        assert_eq!(HostName::parse(nobody), None, "{nobody}");
    }
}

#[test]
fn a_host_is_a_name_without_a_port() {
    for (text, fault) in [
        ("example.com:80", BadHost::Port),
        ("[::1]:80", BadHost::Port),
        ("::1", BadHost::Address),
        ("[::1", BadHost::Address),
        ("[x]", BadHost::Address),
        ("*", BadHost::Star),
        ("www.*", BadHost::Star),
        ("*example.com", BadHost::Star),
        ("*.*.com", BadHost::Star),
        ("ä.de", BadHost::Wide),
        ("a..b", BadHost::Character),
        ("*.", BadHost::Star),
        (".com", BadHost::Character),
        ("http://a", BadHost::Character),
        ("a/b", BadHost::Character),
    ] {
        assert_eq!(HostPattern::parse(text), Err(fault), "{text}");
    }
    assert_eq!(HostPattern::parse(&"a".repeat(254)), Err(BadHost::TooLong));
    assert!(HostPattern::parse(&"a".repeat(253)).is_ok());
}

#[test]
fn paths_have_one_form() {
    for (raw, forward, decoded) in [
        ("/", "/", "/"),
        ("/a/b", "/a/b", "/a/b"),
        ("*", "*", "*"),
        ("", "", ""),
        ("/%61", "/%61", "/a"),
        ("/a%20b", "/a%20b", "/a b"),
        ("//a///b", "//a///b", "/a/b"),
        ("/a/./b", "/a/b", "/a/b"),
        ("/a/../b", "/b", "/b"),
        ("/a/%2e%2E/b", "/b", "/b"),
        ("/a/.%2e/b/", "/b/", "/b/"),
        ("/../../x", "/x", "/x"),
        ("/..", "/", "/"),
        ("/a/.", "/a/", "/a/"),
        ("/a/b/..", "/a/", "/a/"),
        ("/a//../b", "/a/b", "/a/b"),
        ("/a%2Fb", "/a%2Fb", "/a/b"),
        ("/a%2F/b", "/a%2F/b", "/a/b"),
        ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
        ("/...", "/...", "/..."),
        ("/%252e%252e/", "/%252e%252e/", "/%2e%2e/"),
        (r"/a\b", r"/a\b", r"/a\b"),
    ] {
        let path = RequestPath::of(raw).unwrap();
        assert_eq!(path.forward(raw), forward, "{raw}");
        assert_eq!(String::from_utf8_lossy(path.decoded(raw)), decoded, "{raw}");
        let kept = path != RequestPath::default();
        assert_eq!(kept, (forward, decoded) != (raw, raw), "{raw}");
    }
    for (raw, fault) in [
        ("/%", BadPath::Escape),
        ("/%4", BadPath::Escape),
        ("/%zz", BadPath::Escape),
        ("/a%00", BadPath::Nul),
        ("/a%2f..%2fb", BadPath::Ambiguous),
        ("/a%2f../b", BadPath::Ambiguous),
        ("/..%2fb", BadPath::Ambiguous),
        ("/a/..;x/b", BadPath::Ambiguous),
        ("/a/.;/b", BadPath::Ambiguous),
        (r"/a\..\b", BadPath::Ambiguous),
        ("/a%5c..%5cb", BadPath::Ambiguous),
    ] {
        assert_eq!(RequestPath::of(raw), Err(fault), "{raw}");
    }
}

#[test]
fn what_is_behind_a_prefix_is_passed_on_as_it_came() {
    for (raw, length, rest) in [
        ("/api/x", 4, "/x"),
        ("/api/x%2Fy", 4, "/x%2Fy"),
        ("/api/x%2Fy", 5, "x%2Fy"),
        ("/%61pi/x", 4, "/x"),
        ("//api//x", 4, "//x"),
        ("//api//x", 5, "x"),
        ("/z/../api/x", 4, "/x"),
        ("/api", 4, ""),
        ("/api", 9, ""),
        ("/", 0, "/"),
    ] {
        assert_eq!(RequestPath::of(raw).unwrap().forward_behind(raw, length), rest, "{raw}");
    }
}

/// The language as Lua's own matcher reads it: one way after the other.
mod reference {
    use super::super::pattern::{Item, Pattern, Repeat};

    pub(super) fn matches(pattern: &Pattern, text: &[u8]) -> bool {
        from(pattern, 0, text, 0)
    }

    fn from(pattern: &Pattern, item: usize, text: &[u8], at: usize) -> bool {
        let single =
            |set: &super::super::pattern::ByteSet| text.get(at).is_some_and(|byte| set.has(*byte));
        match pattern.items.get(item) {
            None => !pattern.anchored || at == text.len(),
            Some(Item::Byte(set, repeat)) => match repeat {
                Repeat::Once => single(set) && from(pattern, item + 1, text, at + 1),
                Repeat::Maybe => {
                    (single(set) && from(pattern, item + 1, text, at + 1))
                        || from(pattern, item + 1, text, at)
                }
                Repeat::Any | Repeat::Some => {
                    let most = text[at..].iter().take_while(|byte| set.has(**byte)).count();
                    let least = usize::from(*repeat == Repeat::Some);
                    (least..=most).rev().any(|count| from(pattern, item + 1, text, at + count))
                }
            },
            Some(Item::Balanced(pair)) => {
                let (open, close) = pattern.pairs[*pair];
                if text.get(at) != Some(&open) {
                    return false;
                }
                let mut depth = 1;
                for (end, byte) in text.iter().enumerate().skip(at + 1) {
                    if *byte == close {
                        depth -= 1;
                        if depth == 0 {
                            return from(pattern, item + 1, text, end + 1);
                        }
                    } else if *byte == open {
                        depth += 1;
                    }
                }
                false
            }
            Some(Item::Frontier(set)) => {
                let before = at.checked_sub(1).map_or(0, |before| text[before]);
                let after = text.get(at).copied().unwrap_or(0);
                !set.has(before) && set.has(after) && from(pattern, item + 1, text, at)
            }
        }
    }
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "b", "<", ">", ".", r"\d", r"\A", "[ab]", "[^a]", "[<-a]", "a*", "b-", ".+", ".*",
        "a?", r"\w+", r"\b<>", r"\bab", r"\baa", r"\f[a]", r"\f[^a]", r"\f[\z]", "(", ")",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn all_ways_at_once_is_one_way_after_the_other(
        pieces in prop::collection::vec(piece(), 0..7), end in any::<bool>(), text in "[ab<>1]{0,12}",
    ) {
        let pieces: String = pieces.into_iter().filter(|piece| !matches!(*piece, "(" | ")")).collect();
        let pattern = format!("({pieces}){}", if end { "$" } else { "" });
        let pattern = Pattern::compile(pattern.as_bytes()).unwrap();
        prop_assert_eq!(pattern.matches(text.as_bytes()), reference::matches(&pattern, text.as_bytes()));
    }

    #[test]
    fn no_route_and_no_path_panics(text in r"/(\(|\)|\[|\]|\\|\*|-|\?|\$|\^|%|2|f|b|a|ä|/|\.){0,14}", path in ".{0,20}") {
        if let Ok(route) = RoutePattern::parse(&text) {
            route.matches(path.as_bytes());
            prop_assert!(route.covers(&route));
        }
        if let Ok(normal) = RequestPath::of(&path) {
            normal.forward_behind(&path, 3);
        }
        let _ = (HostPattern::parse(&path), HostName::parse(&path));
    }

    #[test]
    fn a_path_in_normal_form_stays_and_escapes_nothing(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "a", "b", ";", "\\", "%5c", "%25", "%41", "ä", "%zz", "%00",
        ]), 0..14),
    ) {
        let raw = format!("/{}", pieces.concat());
        let Ok(path) = RequestPath::of(&raw) else { return Ok(()) };
        let decoded = path.decoded(&raw);
        prop_assert!(decoded.starts_with(b"/"));
        prop_assert!(!decoded.windows(2).any(|two| two == b"//"));
        prop_assert!(!decoded.split(|byte| *byte == b'/').any(|part| part == b"." || part == b".."));
        // Once more: what is passed on stays as it is, and means the same.
        let forward = path.forward(&raw).to_owned();
        let again = RequestPath::of(&forward).unwrap();
        prop_assert_eq!(again.forward(&forward), &forward);
        prop_assert_eq!(again.decoded(&forward), decoded);
        // Behind any part of it stands what is left.
        for length in 0..=decoded.len() {
            let rest = path.forward_behind(&raw, length);
            prop_assert!(forward.ends_with(rest));
        }
    }
}
