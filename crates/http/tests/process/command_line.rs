//! What the program says without serving.

use std::path::Path;

use crate::support::{Home, finished};

#[test]
fn check_prints_every_problem_with_its_line_and_exits_with_78() {
    let home =
        Home::new("apps = echo nonsense\nhead_limit = many\nfoo = 1\n[echo]\ncall = echo\nbar = 1");
    let config = home.config();
    let ended = finished(&["--check", "--config", config.to_str().unwrap(), "wsgi"]);
    assert_eq!(ended.code, Some(78));
    for text in
        [":3: [wsgi] apps: ", ":4: [wsgi] head_limit: ", ":5: [wsgi] foo: ", ":8: [echo] bar: "]
    {
        let line = format!("{}{text}", config.display());
        assert!(ended.stdout.contains(&line), "{line} is not in\n{}", ended.stdout);
    }
    assert_eq!(ended.stdout.lines().count(), 4, "{}", ended.stdout);
}

#[test]
fn check_is_silent_about_what_is_well_and_about_other_sections() {
    let home = Home::new("apps = echo\n[wsgi#other]\nport = none");
    let config = home.config();
    let ended = finished(&["--check", "--config", config.to_str().unwrap(), "wsgi"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""));
    let ended = finished(&["--check", "--config", config.to_str().unwrap(), "wsgi:other"]);
    assert_eq!(ended.code, Some(78));
}

#[test]
fn check_says_which_sections_there_are_and_where_it_looked() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc/brim/brim.conf.d")).unwrap();
    let drop_in = root.path().join("etc/brim/brim.conf.d/10-x.conf");
    std::fs::write(drop_in, "[wsgi]\nport = 1\n[wsgi#x]\nport = 2\n").unwrap();
    let ended = finished(&["--root", root.path().to_str().unwrap(), "--check", "wsgi:nonsense"]);
    assert_eq!(ended.code, Some(78));
    let said = &ended.stdout;
    assert!(said.contains("no such section, there are [wsgi] [wsgi#x]"), "{said}");
    assert!(said.contains("/etc/brim"), "{said}");
}

#[test]
fn a_warning_is_printed_and_no_error() {
    let home = Home::new("apps = echo\nuser = nobody");
    let ended = finished(&["--check", "--config", home.config().to_str().unwrap(), "wsgi"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains(":4: warning: [wsgi] user: "), "{}", ended.stdout);
}

#[test]
fn help_and_version_are_printed() {
    for option in ["--help", "-h"] {
        let ended = finished(&[option]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.starts_with("Usage: brim-http "), "{}", ended.stdout);
    }
    for option in ["--version", "-V"] {
        let ended = finished(&[option]);
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.stdout, format!("brim-http {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_wrong_command_line_is_64_with_the_usage_on_standard_error() {
    for arguments in [
        &[][..],
        &["tcp"],
        &["nonsense"],
        &["wsgi", "wsgi:x"],
        &["--fast", "wsgi"],
        &["--config"],
        &["wsgi:"],
        &["wsgi:-x"],
        &["wsgi:a/b"],
    ] {
        let ended = finished(arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}");
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.starts_with("brim-http: "), "{}", ended.stderr);
        assert!(ended.stderr.contains("Usage: brim-http "), "{}", ended.stderr);
    }
}

#[test]
fn the_interfaces_are_as_installed() {
    let ended = finished(&["--interface"]);
    assert_eq!(ended.code, Some(0));
    let installed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging/dbus/interfaces/net.brim.Brim1.xml");
    if std::env::var_os("BRIM_BLESS").is_some() {
        std::fs::write(&installed, &ended.stdout).unwrap();
    }
    let text = std::fs::read_to_string(&installed).unwrap_or_default();
    assert_eq!(text, ended.stdout, "BRIM_BLESS=1 writes {}", installed.display());
}

#[test]
fn the_interfaces_are_well_formed_xml() {
    let script = "import sys, xml.etree.ElementTree as tree\n\
        for interface in tree.fromstring(sys.stdin.read()):\n\
        \x20   print(interface.get('name'), *[part.get('name') for part in interface])\n";
    let mut python = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let xml = finished(&["--interface"]).stdout;
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), xml.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{xml}");
    let names = String::from_utf8(output.stdout).unwrap();
    let words = |interface: &str| {
        let line = names.lines().find(|line| line.starts_with(interface));
        let mut words: Vec<_> = line.unwrap_or_default().split(' ').skip(1).collect();
        words.sort_unstable();
        words.join(" ")
    };
    assert_eq!(
        words("net.brim.Brim1.Instance "),
        "Drain Kind Listeners Reload Section StartTime State Version Workers"
    );
    assert_eq!(words("net.brim.Brim1.Stats "), "Get Json Totals Workers");
}
