//! Which file a path means, and which it never does.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use super::files::{Site, ask, curl};
use crate::support::{eventually, get};

#[test]
fn nothing_outside_the_root_is_sent() {
    let site = Site::new(&[("in/a", "a"), (".hidden", "h"), (".git/config", "h")]);
    fs::write(site.outside("secret"), "secret").unwrap();
    fs::create_dir(site.outside("www2")).unwrap();
    fs::write(site.outside("www2/secret"), "secret").unwrap();
    symlink(site.outside("secret"), site.path("absolute")).unwrap();
    symlink("../secret", site.path("relative")).unwrap();
    symlink("..", site.path("parent")).unwrap();
    symlink("/proc/self/root", site.path("magic")).unwrap();
    symlink("loop", site.path("loop")).unwrap();
    let daemon = site.serve("");
    for target in [
        "/../secret",
        "/in/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/.%2e/secret",
        "/../www2/secret",
        "/..\\secret",
        "/in/..%5c..%5csecret",
        "//../secret",
        "/./../secret",
        "/absolute",
        "/relative",
        "/parent/secret",
        "/magic/etc/passwd",
        "/magic/",
        "/loop",
        "/in/a%00.html",
        "/in/a/",
        "/in/a/b",
        "/.hidden",
        "/.git/config",
        "/%c0%ae%c0%ae/secret",
        "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/www2/secret",
    ] {
        let mut client = daemon.client();
        let response = ask(&mut client, target, &[]);
        assert!(matches!(response.status, 400 | 404), "{target}: {}", response.head);
    }
    let long = format!("/{}", "x".repeat(5000));
    assert_eq!(get(&daemon, &long).status, 404);
    assert_eq!(get(&daemon, "/in/a").text(), "a");
    assert_eq!(get(&daemon, "//in///a").text(), "a");
}

#[test]
fn links_that_stay_inside_are_followed_and_dots_only_where_wanted() {
    let site = Site::new(&[("v1/a", "a"), (".well-known/x", "x"), (".h", "h")]);
    symlink("v1", site.path("now")).unwrap();
    symlink("../v1/a", site.path("v1/b")).unwrap();
    let daemon = site.serve("hidden = yes");
    for (target, text) in [("/now/a", "a"), ("/v1/b", "a"), ("/.h", "h"), ("/.well-known/x", "x")] {
        assert_eq!(get(&daemon, target).text(), text, "{target}");
    }
    assert_eq!(get(&site.serve(""), "/.well-known/x").text(), "x");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let site = Site::new(&[("a", "a")]);
    let made = Command::new("mkfifo").arg(site.path("pipe")).status().unwrap();
    assert!(made.success());
    let _socket = UnixListener::bind(site.path("socket")).unwrap();
    symlink("/dev/zero", site.path("device")).unwrap();
    let daemon = site.serve("");
    let start = Instant::now();
    for target in ["/pipe", "/socket", "/device"] {
        assert_eq!(get(&daemon, target).status, 404, "{target}");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_directory_gets_its_slash_on_this_host() {
    let site = Site::new(&[
        ("sub dir/index.html", "index"),
        ("a:b/x", ""),
        ("evil.com/x", ""),
        ("\\\\e/x", ""),
    ]);
    let daemon = site.serve("");
    for (target, location) in [
        ("/sub%20dir", "sub%20dir/"),
        ("/sub%20dir?a=b&c=%20", "sub%20dir/?a=b&c=%20"),
        ("/a:b", "./a:b/"),
        ("//evil.com", "evil.com/"),
        ("/%5C%5Ce", "%5C%5Ce/"),
        ("/\\\\e", "%5C%5Ce/"),
    ] {
        let mut client = daemon.client();
        let response = ask(&mut client, target, &[]);
        assert_eq!(
            (response.status, response.header("location")),
            (301, Some(location)),
            "{target}"
        );
    }
    for target in ["//evil.com/..", "//evil.com/%2e%2e"] {
        assert_eq!(get(&daemon, target).header("location"), None, "{target}");
    }
    assert_eq!(curl(&daemon, "/sub%20dir?x", &["--location"]), b"index");
}

#[test]
fn index_fallback_and_the_next_app() {
    let site = Site::new(&[
        ("index.htm", "root"),
        ("sub/home", "sub"),
        ("app.html", "app"),
        ("empty/x", "x"),
    ]);
    let daemon = site.serve("index = index.htm home");
    assert_eq!(get(&daemon, "/").text(), "root");
    assert_eq!(get(&daemon, "/sub/").text(), "sub");
    assert_eq!(get(&daemon, "/empty/").status, 404);
    let daemon = site.serve("fallback = /app.html");
    for target in ["/some/where", "/empty/", "/../x"] {
        let response = get(&daemon, target);
        assert_eq!((response.status, response.text()), (200, "app"), "{target}");
        assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    }
    let daemon = site.serve_beside("echo", "missing = pass");
    assert_eq!(get(&daemon, "/sub/home").text(), "sub");
    assert_eq!(get(&daemon, "/echo").status, 200);
    assert_eq!(crate::support::post(&daemon, "/echo", b"hi").text(), "hi");
    assert_eq!(get(&daemon, "/nowhere").status, 404);
}

#[test]
fn a_path_prefix_ends_at_a_slash() {
    let site = Site::new(&[("a", "a"), ("index.html", "i")]);
    let daemon = site.serve_beside("echo", "path = /static/");
    assert_eq!(get(&daemon, "/static/a").text(), "a");
    assert_eq!(get(&daemon, "/static/").text(), "i");
    assert_eq!(get(&daemon, "/static").header("location"), Some("static/"));
    assert_eq!(get(&daemon, "/staticx").status, 404);
    assert_eq!(get(&daemon, "/echo").status, 200);
}

#[test]
fn a_route_is_taken_off_the_path() {
    let site = Site::new(&[("a", "a"), ("index.html", "i")]);
    for route in ["/static", "/static/"] {
        let daemon = site.serve_beside("echo", &format!("route = {route}"));
        assert_eq!(get(&daemon, "/static/a").text(), "a", "{route}");
        assert_eq!(get(&daemon, "/static/").text(), "i", "{route}");
        assert_eq!(get(&daemon, "/echo").status, 200, "{route}");
    }
    let daemon = site.serve("route = /static");
    assert_eq!(get(&daemon, "/static").header("location"), Some("static/"));
}

#[test]
fn a_directory_that_takes_the_place_of_the_root_is_served() {
    let site = Site::new(&[("a", "old")]);
    fs::create_dir(site.outside("next")).unwrap();
    fs::write(site.outside("next/a"), "new").unwrap();
    let daemon = site.serve("");
    assert_eq!(get(&daemon, "/a").text(), "old");
    fs::rename(site.path(""), site.outside("before")).unwrap();
    assert_eq!(get(&daemon, "/a").text(), "old");
    fs::rename(site.outside("next"), site.path("")).unwrap();
    eventually("the new text", || (get(&daemon, "/a").text() == "new").then_some(()));
}
