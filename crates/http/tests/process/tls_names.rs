//! Which certificate a client gets, and which one it has to show.

use std::process::{Command, Stdio};

use crate::support::{Authority, Daemon, Gateway, Home, curl_tls, eventually, example, serve_tls};

/// The name in the certificate that a client gets who asks for this one; empty for none.
fn subject(daemon: &Daemon, name: &str) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &daemon.address().to_string(), "-servername", name])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("subject=CN = "));
    line.unwrap_or_default().to_owned()
}

fn with_directory(authority: &Authority, names: &[&str], keys: &str) -> Daemon {
    let home = Home::new("").program(example("trial"));
    std::fs::create_dir(home.path("certs")).unwrap();
    for name in names {
        home.write_pair(&format!("certs/{name}"), &authority.issue(&[name]));
    }
    let pair = home.write_pair("site", &authority.issue(&["default.test"]));
    let keys = keys.replace("PAIR", &pair);
    home.configure(&format!("cert_dir = {}\napps = echo\n{keys}", home.path("certs").display()));
    home.shared().start()
}

#[test]
fn the_certificate_is_that_of_the_name() {
    let authority = Authority::new();
    let daemon = with_directory(&authority, &["a.test", "_.b.test", "c.b.test"], "PAIR");
    for (name, wanted) in [
        ("a.test", "a.test"),
        ("A.TEST", "a.test"),
        ("x.b.test", "_.b.test"),
        ("c.b.test", "c.b.test"),
        ("b.test", "default.test"),
        ("x.y.b.test", "default.test"),
        ("other.test", "default.test"),
    ] {
        assert_eq!(subject(&daemon, name), wanted, "{name}");
    }
}

#[test]
fn without_certfile_a_client_that_names_no_known_host_gets_nothing() {
    let authority = Authority::new();
    let daemon = with_directory(&authority, &["a.test"], "");
    assert_eq!(subject(&daemon, "a.test"), "a.test");
    assert_eq!(subject(&daemon, "other.test"), "");
}

#[test]
fn names_come_and_go_with_their_files() {
    let authority = Authority::new();
    let daemon = with_directory(&authority, &["a.test"], "PAIR");
    assert_eq!(subject(&daemon, "b.test"), "default.test");
    daemon.home.write_pair("certs/b.test", &authority.issue(&["b.test"]));
    eventually("b.test", || (subject(&daemon, "b.test") == "b.test").then_some(()));
    std::fs::remove_file(daemon.home.path("certs/a.test.key")).unwrap();
    daemon.logs("a.test.key: No such file");
    assert_eq!(subject(&daemon, "a.test"), "a.test", "half of it is still there");
    std::fs::remove_file(daemon.home.path("certs/a.test.crt")).unwrap();
    eventually("its end", || (subject(&daemon, "a.test") == "default.test").then_some(()));
}

#[test]
fn a_bad_pair_of_many_is_a_warning_and_a_reload_keeps_the_one_before() {
    let authority = Authority::new();
    let daemon = with_directory(&authority, &["a.test", "b.test"], "");
    let old = std::fs::read_to_string(daemon.home.path("certs/b.test.key")).unwrap();
    daemon.home.write("certs/b.test.key", "nonsense");
    daemon.logs("b.test.key: holds no private key");
    let notice = daemon.reload();
    assert!(notice.contains("1 warning"), "{notice}");
    assert_eq!(subject(&daemon, "b.test"), "b.test");
    daemon.home.write("certs/b.test.key", &old);
    assert_eq!(subject(&daemon, "b.test"), "b.test");
}

#[test]
fn a_reload_with_another_certfile_serves_what_is_in_that() {
    let authority = Authority::new();
    let daemon = serve_tls("apps = echo", &authority);
    assert_eq!(subject(&daemon, "example.test"), "example.test");
    let next = daemon.home.write_pair("next", &authority.issue(&["next.test", "example.test"]));
    daemon.home.configure(&format!("{next}apps = echo"));
    assert_eq!(subject(&daemon, "example.test"), "example.test", "before the reload");
    let notice = daemon.reload();
    assert!(!notice.contains("refused"), "{notice}");
    assert_eq!(subject(&daemon, "example.test"), "next.test");
    // The new files are watched in the place of the old ones.
    daemon.home.write_pair("site", &authority.issue(&["old.test"]));
    daemon.home.write_pair("next", &authority.issue(&["newer.test", "example.test"]));
    eventually("the newer one", || {
        let name = subject(&daemon, "example.test");
        assert_ne!(name, "old.test");
        (name == "newer.test").then_some(())
    });
}

#[test]
fn an_empty_directory_is_an_error() {
    let home = Home::new("");
    std::fs::create_dir(home.path("certs")).unwrap();
    home.configure(&format!("cert_dir = {}", home.path("certs").display()));
    let output = home.command().arg("--check").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("[wsgi] cert_dir: holds no certificate"), "{text}");
}

fn with_clients(keys: &str) -> (Daemon, Authority) {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap().keep();
    let file = folder.join("clients.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let keys =
        format!("client_ca = {}\napps = tell\naccess_log_format = json\n{keys}", file.display());
    (serve_tls(&keys, &authority), authority)
}

#[test]
fn a_required_certificate_is_checked_and_its_fingerprint_logged() {
    let (daemon, authority) = with_clients("");
    for tls in ["1.2", "1.3"] {
        let (done, text) = curl_tls(&daemon, "/tell", &["--tls-max", tls]);
        assert!(!done, "{text}");
    }
    let alice = authority.client("alice");
    let certificate = daemon.home.write("alice.crt", &alice.certificate);
    let key = daemon.home.write("alice.key", &alice.key);
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let (done, text) = curl_tls(&daemon, "/tell", &["--cert", certificate, "--key", key]);
    assert!(done, "{text}");
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", certificate])
        .output()
        .unwrap();
    let fingerprint = String::from_utf8_lossy(&output.stdout).into_owned();
    let fingerprint =
        fingerprint.rsplit('=').next().unwrap().trim().replace(':', "").to_lowercase();
    let line = daemon.access_lines(1).remove(0);
    assert!(line.contains(&format!("\"client_certificate\":\"{fingerprint}\"")), "{line}");
    let stranger = Authority::new().client("mallory");
    daemon.home.write("alice.crt", &stranger.certificate);
    daemon.home.write("alice.key", &stranger.key);
    let (done, text) = curl_tls(&daemon, "/tell", &["--cert", certificate, "--key", key]);
    assert!(!done, "{text}");
}

#[test]
fn a_handler_gets_the_fingerprint_that_it_knows_from_mongrel2() {
    let authority = Authority::new();
    let gateway = Gateway::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let keys =
        format!("client_ca = {}\nclient_cert = optional\n{}", file.display(), gateway.behind(""));
    let daemon = serve_tls(&keys, &authority);
    let mut link = gateway.link();
    let alice = authority.client("alice");
    let certificate = daemon.home.write("alice.crt", &alice.certificate);
    let key = daemon.home.write("alice.key", &alice.key);
    let openssl = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha1", "-in"])
        .arg(&certificate)
        .output()
        .unwrap();
    let fingerprint = String::from_utf8_lossy(&openssl.stdout).into_owned();
    let fingerprint = fingerprint.rsplit('=').next().unwrap().trim().replace(':', "");
    assert_eq!(fingerprint.len(), 40);
    let forged = "PEER_CERT_SHA1: forged";
    for (shown, expected) in [(true, vec![fingerprint.into_bytes()]), (false, vec![])] {
        let mut arguments = vec!["-H", forged];
        if shown {
            arguments.extend(["--cert", certificate.to_str().unwrap()]);
            arguments.extend(["--key", key.to_str().unwrap()]);
        }
        let asked = std::thread::scope(|scope| {
            let answers = scope.spawn(|| {
                let asked = link.request();
                link.answer(asked.id, "fine");
                asked
            });
            let (done, text) = curl_tls(&daemon, "/chat", &arguments);
            assert!(done && text.contains("fine"), "{text}");
            answers.join().unwrap()
        });
        let of = |name: &str| {
            let same = asked.headers.iter().filter(|(other, _)| other == name);
            same.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        assert!(asked.is_https && of("PEER_CERT_SHA1").is_empty());
        assert_eq!(of(":peer-cert-sha1"), expected);
        assert_eq!(of("peer_cert_sha1"), [b"forged"]);
    }
}

#[test]
fn an_optional_certificate_may_be_missing_but_not_bad() {
    let (daemon, _) = with_clients("client_cert = optional");
    let (done, text) = curl_tls(&daemon, "/tell", &[]);
    assert!(done, "{text}");
    let stranger = Authority::new().client("mallory");
    let certificate = daemon.home.write("m.crt", &stranger.certificate);
    let key = daemon.home.write("m.key", &stranger.key);
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let (done, text) = curl_tls(&daemon, "/tell", &["--cert", certificate, "--key", key]);
    assert!(!done, "{text}");
}
