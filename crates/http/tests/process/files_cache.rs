//! What a worker keeps of files, and how much of it: told by what is on the disk meanwhile.

use std::fs;

use super::files::Site;
use crate::support::{Daemon, get};

/// A site with files of this size, of which a daemon with these keys has answered each in turn; then
/// all are replaced.
fn replaced(names: &[&str], size: usize, keys: &str) -> (Site, Daemon) {
    let site = Site::new(&[]);
    names.iter().for_each(|name| site.write(name, "o".repeat(size)));
    let daemon = site.serve(&format!("cache_time = 1h\n{keys}"));
    for name in names {
        assert_eq!(get(&daemon, &format!("/{name}")).body, "o".repeat(size).as_bytes());
    }
    for name in names {
        site.write("new", "n".repeat(size));
        fs::rename(site.path("new"), site.path(name)).unwrap();
    }
    (site, daemon)
}

/// Whether what was there before is still answered.
fn is_kept(daemon: &Daemon, name: &str) -> bool {
    get(daemon, &format!("/{name}")).text().starts_with('o')
}

#[test]
fn no_more_files_are_kept_than_there_may_be() {
    for large in ["64K", "10"] {
        let keys = format!("cache_files = 2\ncache_file_limit = {large}");
        let (_site, daemon) = replaced(&["a", "b"], 100, &keys);
        assert!(is_kept(&daemon, "a") && is_kept(&daemon, "b"), "{large}");
        let (_site, daemon) = replaced(&["a", "b", "c"], 100, &keys);
        let kept = ["b", "c", "a"].map(|name| is_kept(&daemon, name));
        assert_eq!(kept, [true, true, false], "{large}");
    }
    let (_site, daemon) = replaced(&["a"], 100, "cache_files = 0");
    assert!(!is_kept(&daemon, "a"));
}

#[test]
fn no_more_bytes_are_kept_than_there_may_be() {
    // Besides its bytes, each file counts with 1 KiB.
    let keys = "cache_size = 40000";
    let (_site, daemon) = replaced(&["a", "b"], 14_000, keys);
    assert!(is_kept(&daemon, "a") && is_kept(&daemon, "b"));
    let (_site, daemon) = replaced(&["a", "b", "c"], 14_000, keys);
    assert_eq!(["b", "c", "a"].map(|name| is_kept(&daemon, name)), [true, true, false]);
    // One that does not fit alone is kept open, and puts nobody out.
    let (site, daemon) = replaced(&["a", "b"], 14_000, keys);
    site.write("large", "o".repeat(40_001));
    assert!(is_kept(&daemon, "large"));
    site.write("large", "n".repeat(40_001));
    assert!(!is_kept(&daemon, "large"));
    assert!(is_kept(&daemon, "a") && is_kept(&daemon, "b"));
}

#[test]
fn a_file_with_one_byte_over_the_limit_is_kept_open_and_not_in_memory() {
    let site = Site::new(&[]);
    let daemon = site.serve("cache_time = 1h\ncache_file_limit = 1000");
    for (size, in_memory) in [(1000, true), (1001, false)] {
        site.write("a", "o".repeat(size));
        assert!(is_kept(&daemon, "a"));
        // The same file, with other bytes: it is open, so only memory can tell the old ones.
        site.write("a", "n".repeat(size));
        assert_eq!(is_kept(&daemon, "a"), in_memory, "{size}");
        // Another one in its place.
        site.write("new", "x".repeat(size));
        fs::rename(site.path("new"), site.path("a")).unwrap();
        let old = if in_memory { "o" } else { "n" };
        assert!(get(&daemon, "/a").text().starts_with(old), "{size}");
        fs::remove_file(site.path("a")).unwrap();
        daemon.reload();
    }
}
