//! `call = exec`: a program for each connection.

use std::path::Path;

use crate::support::{Client, eventually, serve};

/// A section that runs a shell script, which it has as its argument.
fn script(text: &str, keys: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    std::fs::write(&path, text).unwrap();
    let keys = format!("call = exec\nexec = /bin/sh {}\n{keys}", path.display());
    (folder, keys)
}

fn runs(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[test]
fn a_program_has_the_connection_as_its_input_and_output() {
    let server = serve("call = exec\nexec = /bin/cat");
    let mut client = Client::of(&server);
    client.send("hello");
    client.expect("hello");
    client.finish();
    client.is_closed();
    server.saves("program_count", 1);
    server.saves("byte_in_count", 5);
    server.saves("byte_out_count", 5);
    assert_eq!(server.saved("program_failed_count"), 0);
}

#[test]
fn the_end_of_the_program_is_the_end_of_the_connection_and_all_that_it_said_arrives() {
    let (_folder, keys) = script("seq 1 100000", "");
    let server = serve(&keys);
    let mut client = Client::of(&server);
    // Nobody reads this.
    client.send("unread ".repeat(2000));
    let said = client.rest();
    assert_eq!(said.lines().count(), 100_000);
    assert!(said.ends_with("\n100000\n"));
    server.saves("failed_count", 0);
}

#[test]
fn it_hears_who_the_client_is_and_nothing_that_systemd_says_to_the_server() {
    let (_folder, keys) =
        script("env; pwd; cat", "environment = 'GREETING=hello you' OTHER=\ndirectory = /tmp");
    let server = serve(&keys);
    let mut client = Client::of(&server);
    let local = client.0.local_addr().unwrap();
    client.finish();
    let said = client.rest();
    let has = |line: &str| said.lines().any(|found| found == line);
    assert!(has("REMOTE_ADDR=127.0.0.1"), "{said}");
    assert!(has(&format!("REMOTE_PORT={}", local.port())), "{said}");
    assert!(has("GREETING=hello you") && has("OTHER=") && has("/tmp"), "{said}");
    for ours in ["NOTIFY_SOCKET", "LISTEN_", "RUNTIME_DIRECTORY"] {
        assert!(!said.contains(ours), "{said}");
    }
}

#[test]
fn what_it_complains_of_is_in_the_log_and_not_sent() {
    let (_folder, keys) = script("echo complaint >&2; echo answer; exit 3", "");
    let server = serve(&keys);
    assert_eq!(Client::of(&server).rest(), "answer\n");
    server.logs("complaint");
    server.saves("program_failed_count", 1);
}

#[test]
fn a_program_is_ended_with_its_connection_and_so_are_its_children() {
    // It would not notice by itself.
    let (_folder, keys) = script("sleep 1000 & echo $$ $!; wait", "");
    let server = serve(&keys);
    let mut client = Client::of(&server);
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        std::io::Read::read_exact(&mut client.0, &mut byte).unwrap();
        line.extend(byte);
    }
    let line = String::from_utf8(line).unwrap();
    let pids: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| runs(pid)), "{line}");
    client.reset();
    eventually("their end", || (!pids.iter().any(|pid| runs(pid))).then_some(()));
    eventually("no child", || {
        let children = format!("/proc/{}/task/{}/children", server.id(), server.id());
        let others = std::fs::read_to_string(children).unwrap_or_default();
        others.trim().is_empty().then_some(())
    });
}

#[test]
fn one_that_ignores_the_request_to_end_is_killed() {
    let (_folder, keys) =
        script("trap '' TERM; echo $$; while :; do sleep 0.1; done", "client_timeout = 2s");
    let server = serve(&keys);
    let mut client = Client::of(&server);
    let pid = client.rest();
    assert!(Path::new("/proc").join(pid.trim()).exists());
    eventually("its end", || (!runs(pid.trim())).then_some(()));
    server.saves("timeout_count", 1);
    server.saves("program_failed_count", 1);
}

#[test]
fn one_more_than_max_programs_is_sent_away_until_another_one_ends() {
    let server = serve("call = exec\nexec = /bin/cat\nmax_programs = 2");
    let mut clients: Vec<_> = (0..2).map(|_| Client::of(&server)).collect();
    for client in &mut clients {
        client.send("x");
        client.expect("x");
    }
    Client::of(&server).is_closed();
    server.saves("program_refused_count", 1);
    server.logs("max_programs run");
    drop(clients.pop());
    eventually("room", || {
        let mut client = Client::of(&server);
        let echo = std::io::Write::write_all(&mut client.0, b"y")
            .and_then(|()| std::io::Read::read_exact(&mut client.0, &mut [0]));
        echo.ok()
    });
}

#[test]
fn a_program_that_does_not_start_costs_only_its_client() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vanishes");
    std::fs::copy("/bin/cat", &path).unwrap();
    let server = serve(&format!("call = exec\nexec = {}", path.display()));
    std::fs::remove_file(&path).unwrap();
    Client::reset_by(&server);
    server.logs("the program does not start");
    server.saves("program_failed_count", 1);
    std::fs::copy("/bin/cat", &path).unwrap();
    // Another test may begin a process while this one writes the file: for a moment it is busy then.
    eventually("the program", || {
        let mut client = Client::of(&server);
        let echo = std::io::Write::write_all(&mut client.0, b"x")
            .and_then(|()| std::io::Read::read_exact(&mut client.0, &mut [0]));
        echo.ok()
    });
}
