//! Busy connections go to the worker that serves them best.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::http2::serve_unix_by;
use crate::support::{
    Authority, Client, Daemon, Gateway, Heard, Home, Link, PATIENCE, example, serve, serve_tls,
    serve_trial, tls_client,
};

/// Connections of a scene: half of them are the second worker's.
const MANY: usize = 8;
/// How long it may take until they have moved. It takes a twentieth of a second where nothing else runs.
const LONG: Duration = Duration::from_secs(30);

trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Asks `tell` with a number and demands the answer to that; whom it takes the client for.
fn ask(connection: &mut dyn Connection, number: usize) -> String {
    let request = format!("GET /tell HTTP/1.1\r\nHost: x\r\nX-Txn: n{number}\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") || answer.ends_with(b"\r\n") {
        let mut piece = [0; 1024];
        let count = connection.read(&mut piece).unwrap();
        assert!(count > 0, "the connection ended");
        answer.extend_from_slice(&piece[..count]);
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (txn, client) = body.trim_end().split_once(' ').unwrap();
    assert_eq!(txn, format!("n{number}"));
    client.to_owned()
}

/// How often a worker has gone to sleep.
fn sleeps(daemon: &Daemon, worker: &str) -> u64 {
    for task in std::fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap() {
        let path = task.unwrap().path();
        if std::fs::read_to_string(path.join("comm")).unwrap().trim() == worker {
            let status = std::fs::read_to_string(path.join("status")).unwrap();
            let count =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            return count.unwrap().trim().parse().unwrap();
        }
    }
    panic!("no {worker}");
}

/// Each connection in turn, a moment between two of them, until all are with one worker; whom `tell` took them for.
fn come_together(daemon: &Daemon, connections: &mut [Box<dyn Connection>]) -> Vec<String> {
    let half = u64::try_from(connections.len() / 2).unwrap();
    let (start, mut number) = (Instant::now(), 0);
    let mut told = Vec::new();
    let mut round = |told: &mut Vec<String>| {
        for connection in &mut *connections {
            told.push(ask(connection.as_mut(), number));
            number += 1;
            std::thread::sleep(Duration::from_millis(3));
        }
    };
    while daemon.saved("moved_connection_count") < half {
        assert!(start.elapsed() < LONG, "they do not come together");
        round(&mut told);
    }
    let (before, asked) = (sleeps(daemon, "worker 1"), told.len());
    (0..20).for_each(|_| round(&mut told));
    let (sleeps, asked) = (sleeps(daemon, "worker 1") - before, told.len() - asked);
    println!("the other worker woke up {sleeps} times for {asked} requests");
    assert!(sleeps < asked as u64 / 4, "{sleeps} for {asked}");
    daemon.saves("request_count", told.len() as u64);
    let moved = daemon.saved("moved_connection_count");
    // A worker that the machine holds up looks busy and gives some of them away.
    assert!((half..=half + 2).contains(&moved), "{moved} moves: they go to and fro");
    told
}

fn many(connect: impl Fn() -> Box<dyn Connection>) -> Vec<Box<dyn Connection>> {
    (0..MANY).map(|_| connect()).collect()
}

#[test]
fn little_work_is_done_by_one_worker() {
    let daemon = serve_trial("apps = tell\nworkers = 2");
    let mut connections = many(|| Box::new(daemon.client().stream));
    let told = come_together(&daemon, &mut connections);
    assert!(told.iter().all(|client| client == "127.0.0.1"));
    daemon.saves("connection_count", MANY as u64);
}

#[test]
fn new_connections_are_shared_out_all_the_same() {
    let daemon = serve_trial("apps = tell stats\nworkers = 2");
    let mut connections = many(|| Box::new(daemon.client().stream));
    come_together(&daemon, &mut connections);
    let others: Vec<_> = (0..20).map(|_| daemon.client()).collect();
    daemon.saves("connection_count", (MANY + others.len()) as u64);
    let stats = daemon.stats();
    let count = |worker: &str| stats["wsgi"][worker]["connection_count"].as_u64().unwrap();
    assert!(count("0").abs_diff(count("1")) <= 1, "{stats}");
}

#[test]
fn no_more_come_together_than_an_app_takes() {
    let gateway = Gateway::new();
    let keys = gateway.behind("").replacen('\n', "\nworkers = 2\n", 1);
    let daemon = serve(&format!("{keys}max_exchanges = {}\n", MANY - 1));
    let cancels = Arc::default();
    let _links = [(); 2].map(|()| serve_link(&gateway, &cancels));
    let mut clients: Vec<_> = (0..MANY).map(|_| daemon.client()).collect();
    let mut rounds = |count| {
        for _ in 0..count {
            for client in &mut clients {
                client.get("/chat/x");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    };
    rounds(20);
    let before = sleeps(&daemon, "worker 1");
    rounds(20);
    let woken = sleeps(&daemon, "worker 1") - before;
    assert!(woken >= 20, "the other worker woke up {woken} times only");
}

#[test]
fn so_it_is_by_a_unix_socket() {
    let (daemon, path) = serve_unix_by(2, "apps = tell");
    let mut connections = many(|| Box::new(UnixStream::connect(&path).unwrap()));
    come_together(&daemon, &mut connections);
}

#[test]
fn who_the_client_is_goes_with_the_connection() {
    let daemon = serve_trial("apps = tell\nworkers = 2\nproxy_protocol = yes");
    let mut connections = many(|| {
        let mut client = daemon.client();
        client.send("PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n");
        Box::new(client.stream)
    });
    let told = come_together(&daemon, &mut connections);
    assert!(told.iter().all(|client| client == "192.0.2.7"));
}

#[test]
fn tls_goes_with_the_connection() {
    let authority = Authority::new();
    let home = Home::new("").program(example("trial"));
    let file = home.write("clients.pem", &authority.pem);
    let keys = format!(
        "apps = tell\nworkers = 2\naccess_log_format = json\nclient_ca = {}",
        file.display()
    );
    let daemon = serve_tls(&keys, &authority);
    let own = authority.client("somebody");
    let mut connections = many(|| Box::new(tls_client(&daemon, &authority, Some(&own))));
    let told = come_together(&daemon, &mut connections);
    let lines = daemon.access_lines(told.len());
    let who = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["client_certificate"].as_str().map(str::to_owned)
    };
    let first = who(&lines[0]);
    assert!(first.is_some());
    assert!(lines.iter().all(|line| who(line) == first));
}

#[test]
fn a_worker_with_too_much_to_do_is_relieved() {
    is_relieved("/stats");
}

#[test]
fn so_it_is_when_each_answer_takes_it_long() {
    is_relieved("/block?seconds=0.12");
}

/// Many clients of one worker ask for this, again and again, until the other one has some of them.
fn is_relieved(target: &'static str) {
    let daemon = serve_trial("apps = stats tell block\nworkers = 2");
    // They are shared out in turn, and every other one is gone before it says anything.
    let connections: Vec<_> = (0..2 * MANY).map(|_| daemon.client()).collect();
    daemon.saves("connection_count", 2 * MANY as u64);
    let mut connections: Vec<_> = connections.into_iter().step_by(2).collect();
    for connection in &mut connections {
        assert_eq!(connection.get("/tell").status, 200);
    }
    let count =
        |worker: &str, name: &str| daemon.stats()["wsgi"][worker][name].as_u64().unwrap_or(0);
    let requests = ["0", "1"].map(|worker| count(worker, "request_count"));
    let idle = if requests[0] < requests[1] { "0" } else { "1" };
    // The two that asked for these counts may be anywhere.
    assert!(requests.iter().any(|count| *count <= 2), "all are with one worker: {requests:?}");
    let over = Arc::new(AtomicBool::new(false));
    let busy = |mut client: Client| {
        let over = over.clone();
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(client.get(target).status, 200);
            }
        })
    };
    let busy: Vec<_> = connections.into_iter().map(busy).collect();
    let start = Instant::now();
    while count(idle, "moved_connection_count") == 0 {
        assert!(start.elapsed() < LONG, "the other one stays idle: {}", daemon.stats());
        std::thread::sleep(Duration::from_millis(20));
    }
    over.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|client| client.join().unwrap());
}

/// Answers each request with the worker and the number of the connection, and watches those that ask for `/chat/w`.
/// The cancels are kept.
fn answer(mut link: Link, cancels: Arc<Mutex<Vec<u64>>>) {
    let mut watched = Vec::new();
    while let Some(heard) = link.try_next() {
        match heard {
            Heard::Request(asked) => {
                if asked.target == "/chat/w" && !watched.contains(&asked.connection) {
                    watched.push(asked.connection);
                    link.watch(asked.id);
                }
                let text = format!("{} {}", link.name, asked.connection);
                link.answer(asked.id, &text);
            }
            Heard::Cancel { id, .. } => cancels.lock().unwrap().push(id),
            _ => {}
        }
    }
}

fn serve_link(gateway: &Gateway, cancels: &Arc<Mutex<Vec<u64>>>) -> std::thread::JoinHandle<()> {
    let (link, cancels) = (gateway.link(), Arc::clone(cancels));
    std::thread::spawn(move || answer(link, cancels))
}

#[test]
fn what_is_watched_stays() {
    let gateway = Gateway::new();
    let daemon = serve(&gateway.behind("").replacen('\n', "\nworkers = 2\n", 1));
    let cancels = Arc::default();
    let links = [(); 2].map(|()| serve_link(&gateway, &cancels));
    // The first MANY are watched, the others are not.
    let mut clients: Vec<_> = (0..2 * MANY)
        .map(|number| (daemon.client(), ["/chat/w", "/chat/x"][number / MANY]))
        .collect();
    let mut places = || -> Vec<String> {
        let place = |(client, target): &mut (Client, &str)| {
            std::thread::sleep(Duration::from_millis(2));
            client.get(target).text().to_owned()
        };
        clients.iter_mut().map(place).collect()
    };
    let (start, first) = (Instant::now(), places());
    let mut last = places();
    while daemon.saved("moved_connection_count") < MANY as u64 / 2 {
        assert!(start.elapsed() < LONG, "nothing moves: {last:?}");
        last = places();
    }
    (0..20).for_each(|_| last = places());
    assert_eq!(first[..MANY], last[..MANY]);
    let moved = first.iter().zip(&last).filter(|(first, last)| first != last).count();
    assert!((MANY / 2 - 1..=MANY / 2 + 1).contains(&moved), "{first:?} {last:?}");
    assert!(cancels.lock().unwrap().is_empty());
    drop(clients);
    let start = Instant::now();
    while cancels.lock().unwrap().len() < MANY {
        assert!(start.elapsed() < PATIENCE, "they are gone, and nobody hears of it");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(daemon);
    links.into_iter().for_each(|link| link.join().unwrap());
}
