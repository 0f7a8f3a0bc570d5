//! The library as its users see it: sections, readers, defaults, and the documentation of the keys.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brim_config::{
    AccessLog, Address, HttpSection, LogLevel, Problem, Reader, SectionName, Severity, Size, Span,
    Start, Tree, Workers, check, has_errors, listeners,
};
use serde::Deserialize;

/// Reads one file with this text.
fn read(text: &str) -> (Tree, Vec<Problem>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("brim.conf");
    fs::write(&file, text).expect("a file in it");
    Tree::load_file(&file)
}

fn tree(text: &str) -> Tree {
    let (tree, problems) = read(text);
    assert!(problems.is_empty(), "{}", shown(&problems));
    tree
}

/// The problems without the names of temporary files.
fn shown(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| {
            let text = problem.to_string();
            let at = text.find("brim.conf:").or(text.find("brim.conf.d")).unwrap_or(0);
            format!("{}\n", text.get(at..).unwrap_or_default())
        })
        .collect()
}

fn wsgi(tree: &Tree, name: &str) -> (HttpSection, Vec<Problem>) {
    HttpSection::read(tree, &SectionName::parse(name).expect("a section name"))
}

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn a_section_that_says_nothing_has_the_documented_defaults() {
    let (http, problems) = wsgi(&Tree::default(), "wsgi");
    assert!(problems.is_empty());
    let server = &http.server;
    assert_eq!(server.listeners.len(), 1);
    assert_eq!(server.listeners[0].address.to_string(), "0.0.0.0:80");
    assert_eq!((server.backlog, server.concurrent_per_worker), (4096, 16384));
    assert_eq!(
        (server.workers, server.start, server.program.as_deref()),
        (Workers::Auto, Start::Always, None)
    );
    assert_eq!((http.head_timeout, http.idle_timeout), (secs(20), secs(60)));
    assert_eq!((http.body_timeout, http.body_min_rate), (secs(30), 512));
    assert_eq!((http.write_timeout, http.client_timeout), (secs(60), None));
    assert_eq!((http.head_limit, http.header_limit, http.uri_limit), (32768, 100, 8192));
    assert_eq!(http.body_limit, 16 << 20);
    assert_eq!((http.linger_timeout, http.linger_time), (secs(2), secs(30)));
    assert_eq!((server.drain_timeout, server.drain_idle), (secs(30), secs(1)));
    assert_eq!((http.access_log, server.log_level), (AccessLog::File, LogLevel::Info));
    assert_eq!(http.count_status_codes, [404, 408, 413, 417, 499, 501]);
    assert!(!http.log_headers && !http.log_auth_tokens && http.apps.is_empty());
    assert!(!server.trusted_proxies.unix && server.trusted_proxies.networks.is_empty());
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_example_file_names_every_key_with_its_default() {
    let text = fs::read_to_string(repository("packaging/config/brim.conf")).unwrap();
    let set: String = text.lines().map(|line| format!("{}\n", uncommented(line))).collect();
    let (example, problems) = read(&set);
    assert!(problems.is_empty(), "{}", shown(&problems));
    for key in HttpSection::keys() {
        let named = example.section("wsgi").unwrap().entry(key).is_some();
        assert!(named || key == "listen", "{key} is not in the example");
    }
    let (mut found, problems) = wsgi(&example, "wsgi");
    assert!(problems.is_empty(), "{}", shown(&problems));
    let (expected, _) = wsgi(&Tree::default(), "wsgi");
    for listener in &mut found.server.listeners {
        listener.origin = None;
    }
    assert_eq!(found, expected);
}

/// `#key = value` and `#[section]` as they are without the `#`; prose stays a comment.
fn uncommented(line: &str) -> &str {
    let Some(bare) = line.strip_prefix('#') else { return line };
    let key = bare.split(" =").next().unwrap_or_default();
    let entry =
        bare.contains(" =") && key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if entry || bare.starts_with('[') { bare } else { line }
}

#[test]
fn the_manual_page_names_every_key() {
    let page = fs::read_to_string(repository("packaging/man/brim.conf.5")).unwrap();
    let page = page.replace("\\-", "-").replace("\\_", "_");
    for key in HttpSection::keys() {
        assert!(page.contains(key), "{key} is not in brim.conf(5)");
    }
}

#[test]
fn a_key_is_looked_up_in_the_section_and_then_in_brim() {
    let tree = tree(
        "[brim]\nworkers = 3\nport = 8000\nclient_timeout = 9\n[wsgi]\nport = 8001\n[wsgi#x]\nworkers =\n",
    );
    let (main, _) = wsgi(&tree, "wsgi");
    let (named, _) = wsgi(&tree, "wsgi:x");
    assert_eq!((main.server.workers, named.server.workers), (Workers::Count(3), Workers::Count(3)));
    assert_eq!(main.server.listeners[0].address.to_string(), "0.0.0.0:8001");
    assert_eq!(named.server.listeners[0].address.to_string(), "0.0.0.0:8000");
    assert_eq!(
        (main.idle_timeout, main.body_timeout, main.head_timeout),
        (secs(9), secs(9), secs(20))
    );
}

#[test]
fn a_bad_section_has_defaults_where_it_is_bad_and_all_problems() {
    let tree = tree("[wsgi]\nport = 8001\nworkers = many\nprot = 1\nhead_timeout = 5\n");
    let (http, problems) = wsgi(&tree, "wsgi");
    assert_eq!((http.server.workers, http.head_timeout), (Workers::Auto, secs(5)));
    assert!(has_errors(&problems));
    assert_eq!(
        shown(&problems),
        "brim.conf:3: [wsgi] workers: \"many\" is not `auto` or a whole number from 1 to 256\n\
         brim.conf:4: [wsgi] prot: unknown key, did you mean `port`?\n"
    );
}

#[test]
fn problems_know_whom_they_concern() {
    let (tree, problems) = read("[wsgi]\nport 1\n[wsgi#x]\nport 2\n[brim]\nport 3\n[oops\n");
    assert_eq!(tree.instances().count(), 2);
    let concerns = |name: &str| problems.iter().map(|p| p.concerns(name)).collect::<Vec<_>>();
    assert_eq!(concerns("wsgi"), [true, false, true, true]);
    assert_eq!(concerns("wsgi#x"), [false, true, true, true]);
}

#[test]
fn listeners_are_known_whatever_else_is_wrong() {
    let tree =
        tree("[wsgi]\nlisten = *:1 oops\nfoo = 1\n[wsgi#x]\nport = 99999\n[tcp]\nport = 5\n");
    let all = listeners(&tree);
    let addresses: Vec<Vec<String>> = all
        .iter()
        .map(|(_, of)| of.iter().map(|listener| listener.address.to_string()).collect())
        .collect();
    let one = |address: &str| vec![address.to_owned()];
    assert_eq!(addresses, [one("0.0.0.0:1"), vec![], one("0.0.0.0:5")]);
}

#[test]
fn any_port_is_for_a_single_file_alone() {
    let text = "[wsgi]\nport = 0\n";
    assert!(check(&tree(text)).is_empty());
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("etc/brim");
    let file = directory.join("brim.conf");
    fs::create_dir_all(&directory).unwrap();
    fs::write(&file, text).unwrap();
    for (path, mode) in [(&root.path().join("etc"), 0o755), (&directory, 0o755), (&file, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let (mut tree, _) = Tree::load(root.path());
    assert!(has_errors(&check(&tree)));
    tree.accept_any_port();
    assert!(!has_errors(&check(&tree)));
}

#[test]
fn trusted_proxies_are_networks_addresses_and_the_word_unix() {
    let tree = tree("[wsgi]\ntrusted_proxies = 10.0.0.0/8 ::1 unix\n");
    let trusted = wsgi(&tree, "wsgi").0.server.trusted_proxies;
    for peer in ["10.1.2.3", "::1", "::ffff:10.1.2.3"] {
        assert!(trusted.trusts(Some(peer.parse().unwrap())), "{peer}");
    }
    assert!(trusted.trusts(None));
    assert!(!trusted.trusts(Some("11.0.0.1".parse().unwrap())));
}

#[test]
fn a_file_that_is_asked_for_must_exist() {
    let (tree, problems) = Tree::load_file(Path::new("/nonexistent/brim.conf"));
    assert_eq!(tree.sections().count(), 0);
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["/nonexistent/brim.conf: cannot be read: No such file or directory (os error 2)"]
    );
}

#[test]
fn a_file_that_is_asked_for_has_drop_ins_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("my.conf");
    fs::write(&file, "[wsgi]\nport = 1\n").unwrap();
    fs::create_dir(directory.path().join("my.conf.d")).unwrap();
    fs::write(directory.path().join("my.conf.d/10-a.conf"), "[wsgi]\nport = 2\n").unwrap();
    let (tree, problems) = Tree::load_file(&file);
    assert!(problems.is_empty());
    assert_eq!(tree.section("wsgi").unwrap().entry("port").unwrap().value, "2");
    assert_eq!(tree.files().len(), 2);
    assert_eq!(tree.searched().len(), 2);
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Greeting {
    Hello,
    Bye,
}

#[test]
fn an_app_reads_its_section_and_refuses_what_it_does_not_like() {
    let tree = tree(
        "[brim]\nlimit = 9\n[hello]\npath = /hello\ngreeting = bye\nfor = 2min\nlimit = 64K\n\
         names = a b\n    c\nbad = x\npaht = /x\n",
    );
    let mut reader = Reader::new(&tree, "hello");
    assert_eq!(reader.require::<String>("path").as_deref(), Some("/hello"));
    assert_eq!(reader.get("greeting"), Some(Greeting::Bye));
    assert_eq!(reader.get_or("for", Span(secs(1))).0, secs(120));
    assert_eq!(reader.get_or("limit", Size(1)).0, 65536);
    assert!(reader.get_or("other", true));
    assert_eq!(reader.list::<String>("names").unwrap(), ["a", "b", "c"]);
    assert!(!reader.failed());
    assert_eq!(reader.get::<u8>("bad"), None);
    assert_eq!(reader.require::<String>("missing"), None);
    reader.refuse("names", "at most two names");
    reader.refuse("absent", "is a pity");
    assert!(reader.failed());
    assert_eq!(reader.origin("names").unwrap().line, 8);
    assert_eq!(
        shown(&reader.finish()),
        "brim.conf:10: [hello] bad: \"x\" is not a whole number from 0 to 255\n\
         brim.conf:3: [hello] missing: must be set\n\
         brim.conf:8: [hello] names: at most two names\n\
         brim.conf:3: [hello] absent: is a pity\n\
         brim.conf:11: [hello] paht: unknown key, did you mean `path`?\n"
    );
}

#[test]
fn a_section_that_does_not_exist_reads_as_empty() {
    let tree = tree("[brim]\npath = /x\n");
    let mut reader = Reader::new(&tree, "echo");
    assert_eq!(reader.name(), "echo");
    assert_eq!(reader.get::<String>("path"), None);
    assert_eq!(reader.require::<String>("path"), None);
    let problems = reader.finish();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Error);
    assert_eq!(problems[0].to_string(), "[echo] path: must be set");
}

#[test]
fn a_list_of_addresses_reads_as_addresses() {
    let tree = tree("[x]\npeers = *:1 [::1]:2\n");
    let peers = Reader::new(&tree, "x").list::<Address>("peers").unwrap();
    assert_eq!(peers.len(), 2);
}

#[test]
fn a_value_has_lines_and_may_be_warned_of() {
    let tree = tree("[app]\nset = A: 1\n  B: 2 3\n\n  C: 4\nempty =\n");
    let mut reader = Reader::new(&tree, "app");
    assert_eq!(reader.lines("set"), ["A: 1", "B: 2 3", "C: 4"]);
    assert!(reader.lines("empty").is_empty() && reader.lines("unset").is_empty());
    reader.warn("set", "is odd");
    assert!(!reader.failed());
    assert_eq!(shown(&reader.finish()), "brim.conf:2: warning: [app] set: is odd\n");
}

#[test]
fn h2c_without_a_unix_socket_is_a_warning() {
    let problems = |listen: &str, h2c: &str| {
        let tree = tree(&format!("[wsgi]\nlisten = {listen}\nh2c = {h2c}\n"));
        shown(&wsgi(&tree, "wsgi").1)
    };
    let warning =
        "brim.conf:3: warning: [wsgi] h2c: has no effect: the section listens on no Unix socket\n";
    assert_eq!(problems("127.0.0.1:80", "yes"), warning);
    assert_eq!(problems("127.0.0.1:80", "no"), "");
    assert_eq!(problems("127.0.0.1:80 unix:/run/x.sock", "yes"), "");
}
