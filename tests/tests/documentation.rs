//! What is written about the keys, against what the code does with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use brim_config::{
    DaemonSection, DaemonsSection, GatewaySection, HttpSection, Listener, SectionName, TcpSection,
    Tree, UdpSection, has_errors,
};

const SOURCE: &str = concat!(
    include_str!("../../crates/config/src/http.rs"),
    include_str!("../../crates/config/src/http2.rs"),
    include_str!("../../crates/config/src/server.rs"),
    include_str!("../../crates/config/src/tcp.rs"),
    include_str!("../../crates/config/src/tls.rs"),
    include_str!("../../crates/config/src/udp.rs")
);
const GATEWAY: &str = include_str!("../../crates/config/src/gateway.rs");
const HANDLER: &str = include_str!("../../crates/config/src/handler.rs");
const SCOPE: &str = include_str!("../../crates/http/src/scope.rs");
const EXAMPLE: &str = include_str!("../../packaging/config/brim.conf");
const CHANGELOG: &str = include_str!("../../debian/changelog");
const MANUAL: &str = include_str!("../../packaging/man/brim.conf.5");

/// The keys that the code documents at its fields, as in "/// `backlog`: ...".
fn keys() -> BTreeSet<&'static str> {
    let mut keys: BTreeSet<&str> = SOURCE
        .lines()
        .filter_map(|line| line.trim().strip_prefix("/// `")?.split_once("`: "))
        .map(|(key, _)| key)
        .collect();
    // Documented at `listen`.
    keys.extend(["ip", "port"]);
    assert!(keys.len() > 25, "too few keys found: {keys:?}");
    keys
}

/// The keys of gateways, and those of handlers that are the gateway's.
fn keys_of(source: &'static str) -> BTreeSet<&'static str> {
    let documented = source.lines().filter_map(|line| line.trim().strip_prefix("/// `"));
    documented.filter_map(|line| line.split_once("`: ")).map(|(key, _)| key).collect()
}

/// The keys that every application has.
fn keys_of_all_apps() -> BTreeSet<String> {
    let documented = SCOPE.lines().filter_map(|line| line.trim().strip_prefix("/// `"));
    let keys = documented.filter_map(|line| line.split_once("`: "));
    keys.map(|(key, _)| key.to_owned()).collect()
}

/// The keys that an application's code documents at its `Conf` or the fields of it: "`key`: ..." or "`key` (...".
fn keys_of_apps() -> BTreeSet<String> {
    let mut keys = keys_of_all_apps();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let folders = ["http", "tcp", "udp"].map(|name| crates.join(name).join("src/apps"));
    for path in folders.iter().flat_map(|folder| files_below(folder)) {
        let text = fs::read_to_string(path).expect("its text");
        let Some((before, after)) = text.split_once("struct Conf ") else { continue };
        let doc = before.lines().rev().skip(1);
        let doc: Vec<_> = doc.map_while(|line| line.trim().strip_prefix("///")).collect();
        let (fields, _) = after.split_once("\n}").unwrap_or_default();
        let fields = fields.lines().filter_map(|line| line.trim().strip_prefix("///"));
        let doc: String = doc.into_iter().rev().chain(fields).collect();
        let words = doc.split('`').skip(1).step_by(2).zip(doc.split('`').skip(2).step_by(2));
        keys.extend(
            words
                .filter(|(_, behind)| behind.starts_with(':') || behind.starts_with(" ("))
                .map(|(key, _)| key.to_owned()),
        );
    }
    keys
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let (folders, mut files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| files_below(folder)));
    files
}

#[test]
fn every_key_of_an_application_is_in_the_manual() {
    let keys = keys_of_apps();
    assert!(
        keys.contains("max_echo") && keys.contains("auth_path") && keys.contains("chunk_read"),
        "{keys:?}"
    );
    assert!(keys.contains("route"), "{keys:?}");
    for key in keys {
        assert!(MANUAL.contains(&format!("\n.It Ic {key} ")), "{key} is not in brim.conf(5)");
    }
}

fn read(folder: &Path, text: &str) -> HttpSection {
    let file: PathBuf = folder.join("brim.conf");
    fs::write(&file, text).expect("a file");
    let (tree, problems) = Tree::load_file(&file);
    assert!(!has_errors(&problems), "{}", list(&problems));
    let (mut section, problems) =
        HttpSection::read(&tree, &SectionName::parse("wsgi").expect("a name"));
    assert!(problems.is_empty(), "{}", list(&problems));
    section.server.listeners = section
        .server
        .listeners
        .into_iter()
        .map(|listener| Listener { origin: None, ..listener })
        .collect();
    section
}

fn list(problems: &[brim_config::Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn the_example_without_its_comment_signs_says_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(uncommented.contains("\n[wsgi]\n"), "{uncommented}");
    let written = read(folder.path(), &uncommented);
    assert_eq!(written, read(folder.path(), "[wsgi]\n"));
}

#[test]
fn the_example_as_it_is_installed_configures_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brim.conf");
    fs::write(&file, EXAMPLE).unwrap();
    let (tree, problems) = Tree::load_file(&file);
    assert!(problems.is_empty(), "{}", list(&problems));
    assert_eq!(tree.sections().count(), 0);
}

#[test]
fn every_key_is_in_the_example_and_in_the_manual() {
    for key in keys() {
        assert!(EXAMPLE.contains(&format!("\n#{key} =")), "{key} is not in the example");
        assert!(MANUAL.contains(&format!("\n.It Ic {key} ")), "{key} is not in brim.conf(5)");
    }
}

/// The keys of groups of daemons and of the daemons, with that of the one that is built in.
fn keys_of_daemons() -> BTreeSet<&'static str> {
    let keys = DaemonsSection::keys().into_iter().chain(DaemonSection::keys());
    keys.chain(["interval"]).collect()
}

#[test]
fn every_key_of_daemons_is_in_the_example_and_in_the_manual() {
    for key in keys_of_daemons() {
        assert!(EXAMPLE.contains(&format!("\n#{key} =")), "{key} is not in the example");
        assert!(MANUAL.contains(&format!("\n.It Ic {key} ")), "{key} is not in brim.conf(5)");
    }
}

#[test]
fn every_key_of_gateways_and_handlers_is_in_the_manual() {
    let (gateway, handler) = (keys_of(GATEWAY), keys_of(HANDLER));
    assert!(gateway.len() > 8 && handler.len() > 20, "{gateway:?} {handler:?}");
    for key in &gateway {
        assert!(EXAMPLE.contains(&format!("\n#{key} =")), "{key} is not in the example");
    }
    for key in gateway.iter().chain(&handler) {
        assert!(MANUAL.contains(&format!("\n.It Ic {key} ")), "{key} is not in brim.conf(5)");
    }
}

#[test]
fn the_example_of_a_gateway_says_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brim.conf");
    let name = SectionName::parse("gateway").expect("a name");
    let read = |text: &str| {
        fs::write(&file, text).expect("a file");
        let (section, problems) = GatewaySection::read(&Tree::load_file(&file).0, &name);
        assert!(problems.is_empty(), "{}", list(&problems));
        GatewaySection { handlers: Vec::new(), ..section }
    };
    let (_, example) = EXAMPLE.split_once("#[gateway]\n").expect("a gateway in the example");
    let (example, _) = example.split_once("\n\n").expect("its end");
    let lines = example.lines().filter_map(|line| line.strip_prefix('#'));
    let lines: Vec<_> = lines.filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(lines.len(), keys_of(GATEWAY).len());
    assert_eq!(read(&format!("[gateway]\n{}\n", lines.join("\n"))), read("[gateway]\n"));
}

/// What the example says of a section, with its comment signs taken off.
fn of_example(section: &str) -> String {
    let begin = format!("#[{section}]\n");
    let (_, example) = EXAMPLE.split_once(&begin).expect("a section in the example");
    let (example, _) = example.split_once("\n\n").expect("its end");
    let lines = example.lines().filter_map(|line| line.strip_prefix('#'));
    let lines: Vec<_> = lines.filter(|line| !line.starts_with(' ')).collect();
    format!("[{section}]\n{}\n", lines.join("\n"))
}

#[test]
fn the_examples_of_tcp_and_udp_servers_say_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brim.conf");
    let tree = |text: &str| {
        fs::write(&file, text).expect("a file");
        Tree::load_file(&file).0
    };
    let name = |kind: &str| SectionName::parse(kind).expect("a name");
    let tcp = |text: &str| {
        let ((mut section, ()), problems) = TcpSection::read(&tree(text), &name("tcp"), |_, _| ());
        assert!(problems.is_empty(), "{}", list(&problems));
        section.server.listeners.clear();
        section
    };
    let udp = |text: &str| {
        let ((mut section, ()), problems) = UdpSection::read(&tree(text), &name("udp"), |_, _| ());
        assert!(problems.is_empty(), "{}", list(&problems));
        section.server.listeners.clear();
        section
    };
    assert_eq!(tcp(&of_example("tcp")), tcp("[tcp]\n"));
    assert_eq!(udp(&of_example("udp")), udp("[udp]\n"));
}

#[test]
fn the_manual_and_the_example_have_no_other_keys() {
    let of_apps = keys_of_apps();
    let of_gateways = &keys_of(GATEWAY) | &keys_of(HANDLER);
    let known = |key: &str| {
        keys_of_daemons().contains(key)
            || key == "call"
            || keys().contains(key)
            || of_apps.contains(key)
            || of_gateways.contains(key)
    };
    for line in MANUAL.lines().filter_map(|line| line.strip_prefix(".It Ic ")) {
        let key = line.split(' ').next().unwrap();
        assert!(known(key), "brim.conf(5) has {key:?}");
    }
    for line in EXAMPLE.lines().filter_map(|line| line.strip_prefix('#')) {
        if let Some((key, _)) = line.split_once(" =").filter(|_| !line.starts_with(' ')) {
            assert!(known(key), "brim.conf has {key:?}");
        }
    }
}

#[test]
fn the_package_has_the_version_of_the_programs() {
    let first = CHANGELOG.lines().next().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(first.starts_with(&format!("brim ({version}) ")), "debian/changelog begins: {first}");
}
