//! `--routes`, and what `--check` says of hosts and routes.

use crate::support::{finished, trial_finished};

/// What the program says of this configuration, its file's name left out.
fn said(arguments: &[&str], text: &str) -> (Option<i32>, String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("[wsgi]\nport = 1\n{text}")).unwrap();
    let path = file.path().to_str().unwrap();
    let ended = trial_finished(&[arguments, &["--config", path, "wsgi"]].concat());
    let short = |text: &str| text.replace(path, "FILE");
    (ended.code, short(&ended.stdout), short(&ended.stderr))
}

const SITE: &str = "apps = secret echo img any stats\n\
    [secret]\ncall = where\nroute = /secret\nhost = example.com *.example.com\n\
    [img]\ncall = files\nroute = /img/(.*\\.png$) /pictures\nroot = /usr\nmissing = pass\n\
    [any]\ncall = where\nhost = example.com\n";

#[test]
fn routes_tells_who_gets_a_socket_message() {
    const CHAT: &str = "apps = echo chat feed\n\
        [chat]\ncall = handler\nroute = /chat @chat @\nsend_spec = ipc:///a\nrecv_spec = ipc:///b\n\
        [feed]\ncall = handler\nroute = @chat/feed <feed\nsend_spec = ipc:///c\nrecv_spec = ipc:///d\n[gateway]\n";
    for (url, expected) in [
        (
            "@chat/feed/x",
            "[wsgi] JSON @chat/feed/x\n\
             \x20 echo  passes it on  socket messages are for handlers\n\
             \x20 chat  passes it on  is for route /chat @chat @\n\
             \x20 feed  answers       by route @chat/feed\n",
        ),
        (
            "<other",
            "[wsgi] XML <other\n\
             \x20 echo   passes it on  socket messages are for handlers\n\
             \x20 chat   passes it on  is for route /chat @chat @\n\
             \x20 feed   passes it on  is for route @chat/feed <feed\n\
             \x20 (end)  answers       404 Not Found\n",
        ),
    ] {
        let (code, stdout, stderr) = said(&["--routes", "GET", url], CHAT);
        assert_eq!((code, stdout.as_str()), (Some(0), expected), "{stderr}");
    }
}

#[test]
fn what_takes_all_requests_hides_no_messages() {
    let text = "apps = all chat\n[all]\ncall = proxy\nupstream = 127.0.0.1:1\n\
        [chat]\ncall = handler\nroute = /chat @chat\nsend_spec = ipc:///a\nrecv_spec = ipc:///b\n[gateway]\n";
    let (code, stdout, stderr) = said(&["--check"], text);
    let said = format!("{stdout}{stderr}");
    assert!(code == Some(0) && said.contains("no request gets here by /chat: [all]"), "{said}");
    assert!(!said.contains("by @chat"), "{said}");
}

#[test]
fn routes_tells_who_answers_and_why_the_others_do_not() {
    for (method, url, expected) in [
        (
            "GET",
            "http://example.com/secret/x",
            "[wsgi] GET /secret/x, host example.com\n  secret  answers  by route /secret\n",
        ),
        (
            "GET",
            "//a/..//%73ecret",
            "[wsgi] GET /secret\n\
             \x20 secret  passes it on  is for host example.com *.example.com\n\
             \x20 echo    passes it on  its path is /echo\n\
             \x20 img     passes it on  is for route /pictures /img/(.*\\.png$)\n\
             \x20 any     passes it on  is for host example.com\n\
             \x20 stats   passes it on  its path is /stats\n\
             \x20 (end)   answers       404 Not Found\n",
        ),
        (
            "PUT",
            "http://other.org:8901/img/a.png?query",
            "[wsgi] PUT /img/a.png, host other.org\n\
             \x20 secret  passes it on  is for host example.com *.example.com\n\
             \x20 echo    passes it on  its path is /echo\n\
             \x20 img     may answer    by route /img/(.*\\.png$)\n\
             \x20 any     passes it on  is for host example.com\n\
             \x20 stats   passes it on  its path is /stats\n\
             \x20 (end)   answers       404 Not Found\n",
        ),
        (
            "GET",
            "example.com/secrets",
            "[wsgi] GET /secrets, host example.com\n\
             \x20 secret  passes it on  is for route /secret\n\
             \x20 echo    passes it on  its path is /echo\n\
             \x20 img     passes it on  is for route /pictures /img/(.*\\.png$)\n\
             \x20 any     answers\n",
        ),
        (
            "GET",
            "/a%2f..",
            "[wsgi] GET /a%2f..\n    400 Bad Request  the path has . or .. as a segment in an ambiguous spelling\n",
        ),
        (
            "TRACE",
            "/",
            "[wsgi] TRACE /\n    501 Not Implemented  TRACE and CONNECT are not served\n",
        ),
    ] {
        let (code, out, err) = said(&["--routes", method, url], SITE);
        assert_eq!((code, out.as_str()), (Some(0), expected), "{method} {url}: {err}");
    }
    let (code, out, _) = said(&["--routes", "OPTIONS", "*"], SITE);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("[wsgi] OPTIONS *\n"), "{out}");
}

#[test]
fn routes_needs_a_request_and_a_good_section() {
    let (code, out, err) = said(&["--routes", "GE T", "/"], SITE);
    assert_eq!((code, out.as_str()), (Some(64), ""), "{err}");
    assert!(err.contains("\"GE T\" is no method"), "{err}");
    let (code, _, err) = said(&["--routes", "GET", "http://[x/"], SITE);
    assert_eq!(code, Some(64));
    assert!(err.contains("is no URL"), "{err}");
    let (code, out, err) = said(&["--routes", "GET", "/"], "apps = nope\n");
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.starts_with("FILE:3: [wsgi] apps: no section [nope]"), "{err}");
    assert_eq!(finished(&["--routes", "GET"]).code, Some(64));
}

#[test]
fn wrong_hosts_and_routes_are_named_with_their_lines() {
    let (code, out, _) = said(
        &["--check"],
        "apps = a b\n[a]\ncall = echo\nroute = /x/([a-z /ok (.*)\nhost = example.com:80 *.x.org\n\
         [b]\ncall = echo\nroute =\nhost = *\nbody_limit = much\nbody_timeout = 0\nrout = /\n",
    );
    assert_eq!(code, Some(78));
    let lines: Vec<_> = out.lines().collect();
    let expected = [
        r#"FILE:6: [a] route: "/x/([a-z" is not a route: at "[a-z": the set is not closed by ]"#,
        r#"FILE:6: [a] route: "(.*)" is not a route: a route begins with /, or with @ or < if it is for socket messages"#,
        r#"FILE:7: [a] host: "example.com:80" is not a host: the port does not count here, leave it out"#,
        r#"FILE:11: [b] host: "*" is not a host: a star stands only in front, as in *.example.com"#,
        r#"FILE:12: [b] body_limit: "much" is not a size in bytes (4096, 64K, 20M, 1G)"#,
        r#"FILE:13: [b] body_timeout: "0" is not a time above 0 (30, 30s, 500ms, 2min, 1h; at most 365 days)"#,
        "FILE:14: [b] rout: unknown key, did you mean `route`?",
    ];
    for line in expected {
        assert!(lines.contains(&line), "{line}\n{out}");
    }
    assert_eq!(lines.len(), expected.len(), "{out}");
}

#[test]
fn an_app_that_is_hidden_by_an_earlier_one_is_warned_of() {
    for (text, warnings) in [
        (
            "apps = a b\n[a]\ncall = where\nroute = /x\n[b]\ncall = where\nroute = /x/y /x/(z)\n",
            vec![
                "FILE:9: warning: [b] route: no request gets here: [a] (FILE:6), which stands before it in `apps`, answers them all",
            ],
        ),
        (
            "apps = a b\n[a]\ncall = where\nroute = /x\n[b]\ncall = where\nroute = /x/y /z\n",
            vec![
                "FILE:9: warning: [b] route: no request gets here by /x/y: [a] (FILE:6), which stands before it in `apps`, answers them all",
            ],
        ),
        (
            "apps = a echo\n[a]\ncall = where\n",
            vec![
                "FILE:3: warning: [wsgi] apps: echo: no request gets here: [a] (FILE:4), which stands before it in `apps`, answers them all",
            ],
        ),
        (
            "apps = a b\n[a]\ncall = echo\n[b]\ncall = echo\nhost = x\n",
            vec![
                "FILE:6: warning: [b] call: no request gets here: [a] (FILE:4), which stands before it in `apps`, answers them all",
            ],
        ),
        (
            "apps = a b\n[a]\ncall = where\nhost = *.x.org\n[b]\ncall = where\nhost = a.x.org\n",
            vec![
                "FILE:7: warning: [b] call: no request gets here: [a] (FILE:4), which stands before it in `apps`, answers them all",
            ],
        ),
        (
            "apps = a\n[a]\ncall = echo\nroute = /other\n",
            vec![
                "FILE:6: warning: [a] route: the app answers one path, and none of its routes matches that",
            ],
        ),
        // Nothing is hidden.
        ("apps = a b\n[a]\ncall = where\nroute = /x/y\n[b]\ncall = where\nroute = /x\n", vec![]),
        ("apps = a b\n[a]\ncall = where\nhost = x\n[b]\ncall = where\n", vec![]),
        ("apps = a b\n[a]\ncall = headers\nset = X: y\n[b]\ncall = where\n", vec![]),
        ("apps = a b\n[a]\ncall = echo\npath = /a\n[b]\ncall = echo\n", vec![]),
    ] {
        let (code, out, _) = said(&["--check"], text);
        assert_eq!(code, Some(0), "{text}{out}");
        assert_eq!(out.lines().collect::<Vec<_>>(), warnings, "{text}");
    }
}
