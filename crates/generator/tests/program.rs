//! The program itself: nothing but a wrong command line makes it fail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn brim_generator(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_brim-generator")).args(arguments).output().expect("it runs")
}

fn root_with(config: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    let directory = root.path().join("etc/brim");
    fs::create_dir_all(&directory).expect("a directory in it");
    let file = directory.join("brim.conf");
    fs::write(&file, config).expect("a file in it");
    for (path, mode) in [(&root.path().join("etc"), 0o755), (&directory, 0o755), (&file, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    }
    root
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn units_go_to_the_first_directory() {
    let root = root_with("[wsgi]\nport = 8901\n");
    let out = tempfile::tempdir().unwrap();
    let directories = ["normal", "early", "late"].map(|name| out.path().join(name));
    let [normal, early, late] = directories.each_ref();
    let output = brim_generator(&["--root".as_ref(), root.path(), normal, early, late]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    assert!(normal.join("brim@wsgi.service.d/50-brim.conf").is_file());
    assert!(normal.join("brim-listen@wsgi-8901.socket.d/50-brim.conf").is_file());
    assert!(!early.exists() && !late.exists());
}

#[test]
fn a_broken_section_is_told_and_the_others_have_their_units() {
    let root = root_with(
        "[wsgi]\nport = http\n[wsgi#good]\nport = 8902\nprot = 1\n[daemons]\ndaemons = x\n",
    );
    let out = tempfile::tempdir().unwrap();
    let output = brim_generator(&["--root".as_ref(), root.path(), out.path()]);
    assert_eq!(output.status.code(), Some(0));
    let told = stderr(&output);
    assert!(told.contains("/etc/brim/brim.conf:2: [wsgi] port: \"http\""), "{told}");
    assert!(told.contains("/etc/brim/brim.conf:7: [daemons] daemons: there is no"), "{told}");
    assert!(out.path().join("brim-listen@wsgi_good-8902.socket.d/50-brim.conf").is_file());
}

#[test]
fn a_directory_that_cannot_be_written_is_told_and_is_no_failure() {
    let root = root_with("[wsgi]\nport = 8901\n");
    let out = tempfile::NamedTempFile::new().unwrap();
    let output = brim_generator(&["--root".as_ref(), root.path(), out.path()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("cannot write"), "{}", stderr(&output));
}

#[test]
fn a_wrong_command_line_is_64() {
    let output = brim_generator(&[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("0 directories given"));
    assert_eq!(brim_generator(&["--frob".as_ref()]).status.code(), Some(64));
    assert_eq!(brim_generator(&["--help".as_ref()]).status.code(), Some(0));
    assert_eq!(brim_generator(&["--version".as_ref()]).status.code(), Some(0));
}
