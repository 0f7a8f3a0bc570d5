//! The basic_auth app.

use std::fmt::Write as _;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::support::{Daemon, Home, curl, eventually, example, finished, get};

/// A hash of this password, at the least cost.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

/// A daemon with this file of users, and these further keys.
fn serve(users: &str, keys: &str) -> Daemon {
    let home = Home::new("").program(example("trial")).shared();
    let path = home.path("users");
    std::fs::write(&path, users).unwrap();
    home.configure(&section(&home, keys));
    home.start()
}

fn section(home: &Home, keys: &str) -> String {
    let path = home.path("users");
    format!(
        "apps = auth tell echo stats\nlog_headers = yes\n[auth]\ncall = basic_auth\nauth_path = {}\n{keys}",
        path.display()
    )
}

/// The status that curl gets as this user.
fn status(daemon: &Daemon, credentials: &str) -> String {
    let url = format!("http://{}/tell", daemon.address());
    curl(&["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", credentials, &url])
}

#[test]
fn who_is_in_the_file_gets_through_and_later_apps_see_no_password() {
    let daemon = serve(&format!("al {}\n# a comment\nkarl:{}\n", hash("secret"), hash("a:b")), "");
    assert_eq!(status(&daemon, "al:secret"), "200");
    assert_eq!(status(&daemon, "karl:a:b"), "200");
    assert_eq!(status(&daemon, "al:Secret"), "401");
    assert_eq!(status(&daemon, "nobody:secret"), "401");
    let lines = daemon.access_lines(4);
    assert!(!lines.concat().contains("Authorization:Basic"), "{lines:?}");
    let fields: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    // What is claimed is known even where it is not proved. (`tell` claims for itself.)
    assert_eq!((fields[2][3], fields[2][16]), ("al", "-"));
    assert_eq!((fields[3][3], fields[3][16]), ("nobody", "-"));
    let counts = daemon.stats_as("al:secret");
    assert_eq!((&counts["auth.accepted"], &counts["auth.rejected"]), (&3.into(), &2.into()));
}

#[test]
fn without_credentials_the_challenge_names_the_realm_and_the_charset() {
    let daemon = serve(&format!("al {}\n", hash("x")), "realm = the office");
    let response = get(&daemon, "/tell");
    assert_eq!((response.status, response.text()), (401, "401 Unauthorized\n"));
    let challenge = "Basic realm=\"the office\", charset=\"UTF-8\"";
    assert_eq!(response.header("www-authenticate"), Some(challenge));
    for header in [
        "Basic",
        "Basic !!",
        "Bearer abc",
        "Basic dXNlcg==",
        "Basic YWw6eA==\r\nAuthorization: Basic YWw6eA==",
    ] {
        let mut client = daemon.client();
        client.send(format!("GET /tell HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n"));
        assert_eq!(client.response().status, 401, "{header}");
    }
    assert_eq!(get(&daemon, "/favicon.ico").status, 401, "nothing is exempt");
}

#[test]
fn names_and_passwords_may_be_of_any_script() {
    let daemon = serve(&format!("j\u{fc}rgen {}\n", hash("gr\u{fc}\u{df}e \u{1f511}")), "");
    assert_eq!(status(&daemon, "j\u{fc}rgen:gr\u{fc}\u{df}e \u{1f511}"), "200");
    assert_eq!(status(&daemon, "j\u{fc}rgen:gr\u{fc}sse"), "401");
    let line = &daemon.access_lines(2)[1];
    assert!(line.contains("j%C3%BCrgen"), "{line}");
}

#[test]
fn a_changed_file_counts_within_a_moment_and_a_broken_one_does_not() {
    let daemon = serve(&format!("al {}\n", hash("old")), "cache_time = 1h");
    let path = daemon.home.path("users");
    assert_eq!(status(&daemon, "al:old"), "200");
    std::fs::write(&path, format!("al {}\nbad line\n", hash("new"))).unwrap();
    eventually("the new password", || (status(&daemon, "al:new") == "200").then_some(()));
    assert_eq!(status(&daemon, "al:old"), "401", "what was cached is forgotten");
    daemon.logs(&format!("{}:2: the hash of \"bad\" is none of bcrypt", path.display()));
    std::fs::write(&path, "garbage\n").unwrap();
    daemon.logs("holds no user with a bcrypt hash");
    assert_eq!(status(&daemon, "al:new"), "200");
    std::fs::remove_file(&path).unwrap();
    daemon.logs("cannot be read: No such file or directory (os error 2); the users that were read before still count");
    assert_eq!(status(&daemon, "al:new"), "200");
    std::fs::write(&path, "").unwrap();
    eventually("that nobody is left", || (status(&daemon, "al:new") == "401").then_some(()));
}

#[test]
fn a_file_that_is_missing_or_odd_is_told_with_its_line() {
    let home = Home::new("").shared();
    home.configure(&section(&home, "").replace("tell ", ""));
    let check = || {
        let config = home.config();
        let ended = finished(&["--check", "--config", config.to_str().unwrap(), "wsgi"]);
        (ended.code, ended.stdout + &ended.stderr)
    };
    let at = format!("{}:7: ", home.config().display());
    let users = home.path("users");
    let (code, said) = check();
    assert_eq!(code, Some(78));
    let missing =
        format!("{at}[auth] auth_path: {}: cannot be read: No such file", users.display());
    assert!(said.contains(&missing), "{said}");
    std::fs::write(&users, format!("al {}\nkarl $1$x\n", hash("x"))).unwrap();
    let (code, said) = check();
    let odd = format!("{at}warning: [auth] auth_path: {}:2: the hash of \"karl\"", users.display());
    assert!(said.contains(&odd), "{said}");
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_flood_of_wrong_passwords_keeps_nobody_else_waiting() {
    let mut users = format!("al {}\n", hash("secret"));
    writeln!(users, "slow {}", bcrypt::hash("x", 11).unwrap()).unwrap();
    let keys = "verifiers = 1\n[brim]\ntrusted_proxies = 127.0.0.0/8";
    let daemon = serve(&users, keys);
    assert_eq!(status(&daemon, "al:secret"), "200");
    let address = daemon.address();
    let (done, flood) = channel();
    // Until nobody hears them any more: all the while there is one more than the four that may wait.
    for flooder in 0..5 {
        let done = done.clone();
        std::thread::spawn(move || {
            let url = format!("http://{address}/tell");
            let format = "%{http_code} %header{retry-after}";
            for number in 0.. {
                let user = format!("slow:{flooder}.{number}");
                let answer = curl(&["-s", "-o", "/dev/null", "-w", format, "-u", &user, &url]);
                if done.send(answer).is_err() {
                    return;
                }
            }
        });
    }
    let refused = || flood.iter().take(100).any(|answer| answer == "503 2");
    assert!(refused(), "nobody is sent away");
    // Who is known already does not wait, and would be refused else.
    let start = Instant::now();
    assert_eq!(status(&daemon, "al:secret"), "200");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // A new one, elsewhere, has its turn.
    let url = format!("http://{address}/tell");
    let elsewhere = [
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "X-Forwarded-For: 192.0.2.9",
        "-u",
        "al:wrong",
        &url,
    ];
    assert_eq!(curl(&elsewhere), "401");
    let so_far: Vec<_> = flood.try_iter().collect();
    let expected = |answer: &str| ["503 2", "401"].contains(&answer.trim());
    assert!(so_far.iter().all(|answer| expected(answer)), "{so_far:?}");
    assert!(refused(), "the flood has ended too early");
    let verified = flood.iter().filter(|answer| answer.trim() == "401").take(4).count();
    assert_eq!(verified, 4, "who waits is verified");
}

#[test]
fn an_unknown_name_takes_as_long_as_a_known_one() {
    let daemon = serve(&format!("al {}\n", bcrypt::hash("x", 9).unwrap()), "cache_time = 0");
    let time = |user: &str, round: usize| {
        let start = Instant::now();
        assert_eq!(status(&daemon, &format!("{user}:{round}")), "401");
        start.elapsed()
    };
    // In turns: what else goes on at the machine holds up both alike.
    let rounds: Vec<_> = (0..8).map(|round| (time("al", round), time("nobody", round))).collect();
    let known = rounds.iter().map(|round| round.0).min().unwrap();
    let unknown = rounds.iter().map(|round| round.1).min().unwrap();
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.4..2.5).contains(&ratio), "known {known:?}, unknown {unknown:?}");
}
