//! Whatever the bytes are: no panic, an end in bounded time, and values to the letter.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use brim_config::{HttpSection, Problem, Tree, check, has_errors, listeners};

/// Far more than it takes, far less than a quadratic step would.
const PATIENCE: Duration = Duration::from_secs(20);

/// An eighth of the largest file that is read, in bytes: each step is linear, and many take their time.
const LARGE: usize = 1 << 17;

/// The same numbers in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % limit
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Reads one file with this content, and everything in it.
fn read(bytes: &[u8]) -> (Tree, Vec<Problem>) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("to be written");
    let (tree, mut problems) = Tree::load_file(file.path());
    problems.extend(check(&tree));
    let problems = tree.arrange(problems);
    assert!(problems.len() <= 201, "{} problems", problems.len());
    for problem in &problems {
        let text = problem.to_string();
        assert!(text.len() < 2000 && !text.contains('\n'), "{text}");
    }
    listeners(&tree);
    tree.render();
    (tree, problems)
}

fn read_soon(what: &str, bytes: &[u8]) -> Vec<Problem> {
    assert!(bytes.len() <= 1 << 20, "{what} is not read at all");
    let start = Instant::now();
    let (_, problems) = read(bytes);
    println!("{what}: {:?}", start.elapsed());
    assert!(start.elapsed() < PATIENCE, "{what} took {:?}", start.elapsed());
    problems
}

#[test]
fn random_bytes_never_panic() {
    let mut numbers = Numbers(1);
    for _ in 0..500 {
        let bytes: Vec<u8> =
            (0..numbers.below(400)).map(|_| numbers.next().to_le_bytes()[0]).collect();
        read(&bytes);
    }
}

#[test]
fn random_lines_never_panic() {
    let pieces: &[&[u8]] = &[
        b"[",
        b"]",
        b"wsgi",
        b"brim",
        b"#",
        b":",
        b";",
        b"=",
        b" ",
        b"\t",
        b"\n",
        b"\n",
        b"\r\n",
        b"\\",
        b"%(",
        b"port",
        b"listen",
        b"ip",
        b"start",
        b"workers",
        b"0",
        b"99999999999999999999",
        b"\xff",
        b"\0",
        b"\xef\xbb\xbf",
        "é".as_bytes(),
        b"*:80",
        b"[::1]:80",
        b"unix:/",
        b"-1",
        b"s",
        b"K",
        b"\"",
        b"apps",
        b"trusted_proxies",
        b"/",
        b"log_level",
        b"2min",
        b"\x0c",
        "\u{a0}".as_bytes(),
        "\u{2028}".as_bytes(),
    ];
    let mut numbers = Numbers(2);
    for _ in 0..3000 {
        let count = numbers.below(60);
        let bytes: Vec<u8> =
            (0..count).flat_map(|_| numbers.choose(pieces).iter().copied()).collect();
        read(&bytes);
    }
}

#[test]
fn every_value_of_every_key_is_read_without_a_panic() {
    let values = [
        "",
        "0",
        "-1",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551615h",
        "1e309",
        "1T",
        "16777216T",
        "9999999999999999999K",
        "é",
        "s",
        "ms",
        "K",
        "*",
        "::",
        "[::]",
        "0.0.0.0:0",
        "1.2.3.4/33",
        "auto",
        "yes",
        "unix",
        "unix:",
        "unix:/",
        "/",
        "\u{feff}",
        "ffff::1%1",
    ];
    for key in HttpSection::keys() {
        for value in values {
            read(format!("[wsgi]\n{key} = {value}\n").as_bytes());
        }
    }
}

#[test]
fn a_value_is_kept_to_the_letter() {
    let letters: Vec<char> = (' '..='~').chain(['é', 'ß', '漢', '\t']).collect();
    let mut numbers = Numbers(3);
    for _ in 0..300 {
        let count = 1 + numbers.below(40);
        let value: String = (0..count).map(|_| *numbers.choose(&letters)).collect();
        let value = value.trim();
        let (tree, _) = read(format!("[app]\nkey = {value}\nlast = x\n  {value}\n").as_bytes());
        let app = tree.section("app").unwrap();
        assert_eq!(app.entry("key").unwrap().value, value);
        let continued = &app.entry("last").unwrap().value;
        let comment = value.is_empty() || value.starts_with(['#', ';']);
        assert_eq!(*continued, if comment { "x".to_owned() } else { format!("x\n{value}") });
    }
}

#[test]
fn large_files_of_every_shape_are_read_in_bounded_time() {
    let repeat = |text: &str| text.repeat(LARGE / text.len());
    let numbered = |head: &str, make: fn(usize) -> String| {
        let mut text = head.to_owned();
        let mut number = 0;
        while text.len() < LARGE {
            number += 1;
            let _ = text.write_str(&make(number));
        }
        text
    };
    let shapes = [
        ("one long line", format!("[wsgi]\napps = {}", repeat("x"))),
        ("one long key", repeat("x")),
        ("a long header", format!("[{}", repeat("["))),
        ("headers", repeat("[wsgi]\n")),
        ("unknown keys", numbered("[wsgi]\n", |n| format!("k{n} = 1\n"))),
        ("unknown defaults", numbered("[wsgi]\n[brim]\n", |n| format!("k{n} = 1\n"))),
        ("the same key", format!("[wsgi]\n{}", repeat("port = 1\n"))),
        ("sections", numbered("", |n| format!("[wsgi:{n}]\n"))),
        ("sections with ports", numbered("", |n| format!("[wsgi:{n}]\nport={}\n", n % 65535 + 1))),
        ("sections of apps", numbered("", |n| format!("[app{n}]\n"))),
        ("addresses", numbered("[wsgi]\nlisten =", |n| format!(" unix:/{n}"))),
        ("bad addresses", format!("[wsgi]\nlisten ={}", repeat(" x"))),
        ("bad codes", format!("[wsgi]\ncount_status_codes ={}", repeat(" x"))),
        ("proxies", format!("[wsgi]\ntrusted_proxies ={}", repeat(" ::1"))),
        ("continuations", format!("[wsgi]\napps = x\n{}", repeat(" y\n"))),
        ("indented entries", format!("[app]\nlist = x\n{}", repeat("  y = z\n"))),
        ("indents", repeat(" \n")),
        ("backslashes", format!("[app]\nx = {}", repeat("\\"))),
        ("quotes", format!("[app]\nx = {}", repeat("\""))),
        ("equals signs", format!("[app]\n{}", repeat("="))),
        ("line feeds", repeat("\n")),
        ("NULs", repeat("\0\n")),
    ];
    for (what, text) in shapes {
        read_soon(what, text.as_bytes());
    }
}

#[test]
fn ten_megabytes_of_garbage_are_refused_unread() {
    let mut numbers = Numbers(4);
    let bytes: Vec<u8> = (0..10 << 18).flat_map(|_| numbers.next().to_le_bytes()).collect();
    let start = Instant::now();
    let (tree, problems) = read(bytes.get(..10 << 20).unwrap());
    assert!(start.elapsed() < PATIENCE);
    assert!(has_errors(&problems));
    assert_eq!(problems.len(), 1);
    assert_eq!(tree.sections().count(), 0);
}
