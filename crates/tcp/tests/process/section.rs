//! What is wrong with a section is said with file, line and key.

use crate::support::home;

fn problems(keys: &str) -> String {
    let home = home(keys);
    let config = home.config().display().to_string();
    home.check().replace(&config, "brim.conf")
}

#[test]
fn a_section_needs_an_app_that_is_known() {
    let all = "expected one of brim.tcp_echo.TCPEcho, echo, exec, forward\n";
    assert_eq!(problems("greeting = x"), format!("brim.conf:1: [tcp] call: must be set, {all}"));
    assert_eq!(
        problems("call = eco\ngreeting = x"),
        format!("brim.conf:3: [tcp] call: no app \"eco\", {all}")
    );
}

#[test]
fn keys_that_neither_the_server_nor_the_app_knows_are_errors() {
    assert_eq!(
        problems("call = echo\nchunk_red = 5\nhead_timeout = 3"),
        "brim.conf:4: [tcp] chunk_red: unknown key, did you mean `chunk_read`?\n\
         brim.conf:5: [tcp] head_timeout: unknown key, did you mean `drain_timeout`?\n"
    );
}

#[test]
fn bad_values_say_what_is_accepted() {
    let size = "is not a size from 1 to 16M (4096, 64K, 20M, 1G)";
    assert_eq!(
        problems("call = echo\nchunk_read = 0"),
        format!("brim.conf:4: [tcp] chunk_read: \"0\" {size}\n")
    );
    assert_eq!(problems("call = forward"), "brim.conf:1: [tcp] upstream: must be set\n");
    assert_eq!(
        problems("call = forward\nupstream = localhost nowhere:x 127.0.0.1:80"),
        "brim.conf:4: [tcp] upstream: \"localhost\" is not host:port, 192.0.2.1:port, [::1]:port or unix:/path\n\
         brim.conf:4: [tcp] upstream: \"nowhere:x\" is not host:port, 192.0.2.1:port, [::1]:port or unix:/path\n"
    );
    assert_eq!(
        problems("call = forward\nupstream = a:1\nsend_proxy_protocol = v3\nbalance = best"),
        "brim.conf:5: [tcp] send_proxy_protocol: \"v3\" is not one of no, v1, v2\n\
         brim.conf:6: [tcp] balance: \"best\" is not one of least-connections, round-robin\n"
    );
}

#[test]
fn programs_that_cannot_be_run_are_found_at_once() {
    assert_eq!(problems("call = exec"), "brim.conf:1: [tcp] exec: must be set\n");
    assert_eq!(
        problems("call = exec\nexec = /nonexistent/x y"),
        "brim.conf:4: [tcp] exec: /nonexistent/x: No such file or directory (os error 2)\n"
    );
    assert_eq!(
        problems("call = exec\nexec = /etc/passwd"),
        "brim.conf:4: [tcp] exec: /etc/passwd: is not an executable file\n"
    );
    assert_eq!(
        problems("call = exec\nexec = cat"),
        "brim.conf:4: [tcp] exec: cat: is not an absolute path (such as /usr/bin/env)\n"
    );
    assert_eq!(
        problems("call = exec\nexec = /bin/cat\ndirectory = /nonexistent\nenvironment = A=b 1=x"),
        "brim.conf:5: [tcp] directory: /nonexistent is not a directory\n\
         brim.conf:6: [tcp] environment: \"1=x\" is not NAME=value\n"
    );
}
