//! What is wrong with a section is said with file, line and key.

use crate::support::home;

fn problems(keys: &str) -> String {
    let home = home(keys);
    let config = home.config().display().to_string();
    home.check().replace(&config, "brim.conf")
}

#[test]
fn a_section_needs_an_app_that_is_known() {
    let all = "expected one of brim.udp_echo.UDPEcho, echo, forward\n";
    assert_eq!(problems("greeting = x"), format!("brim.conf:1: [udp] call: must be set, {all}"));
    assert_eq!(
        problems("call = brim.udp_echo.UDP"),
        format!("brim.conf:3: [udp] call: no app \"brim.udp_echo.UDP\", {all}")
    );
}

#[test]
fn keys_of_connections_mean_nothing_here() {
    assert_eq!(
        problems("call = echo\nkeepalive = no\nbacklog = 5"),
        "brim.conf:4: [udp] keepalive: unknown key\n\
         brim.conf:5: warning: [udp] backlog: has no effect any more: datagrams have no backlog; receive_buffer is what waits\n"
    );
}

#[test]
fn bad_values_say_what_is_accepted() {
    let size = "is not a size from 1 to 64K (4096, 64K, 20M, 1G)";
    assert_eq!(
        problems("call = echo\nmax_datagram_size = 65537"),
        format!("brim.conf:4: [udp] max_datagram_size: \"65537\" {size}\n")
    );
    assert_eq!(
        problems("call = forward\nupstream = unix:/run/x"),
        "brim.conf:4: [udp] upstream: unix:/path cannot be an upstream of datagrams, expected host:port\n"
    );
    assert_eq!(problems("call = forward"), "brim.conf:1: [udp] upstream: must be set\n");
}
