//! Sockets of systemd's, and those that the program opens itself.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use crate::support::{Client, Daemon, Home, example, get};

/// A home whose configuration names these addresses.
fn home(listen: &str) -> Rc<Home> {
    let home = Home::new("").program(example("trial"));
    home.write_config(&format!(
        "[wsgi]\nlisten = {listen}\napps = echo tell\ntrusted_proxies = unix\nworkers = 1\n"
    ));
    home.shared()
}

/// The addresses that the daemon says it serves.
fn serving(daemon: &Daemon) -> Vec<String> {
    let line = daemon.ready.lines().find_map(|line| line.strip_prefix("STATUS=serving "));
    let line = line.unwrap_or_else(|| panic!("not serving: {}", daemon.ready));
    line.split(", ").next().unwrap().split(' ').map(str::to_owned).collect()
}

fn ask_over_unix(path: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const TELL: &str = "GET /tell HTTP/1.1\r\nHost: x\r\nX-Txn: t\r\nConnection: close\r\n";

#[test]
fn without_systemd_it_opens_what_its_section_says() {
    let home = home("127.0.0.1:0 [::1]:0 unix:SOCKET");
    let path = home.path("x.sock");
    let text = std::fs::read_to_string(home.config()).unwrap();
    home.write_config(&text.replace("SOCKET", path.to_str().unwrap()));
    let daemon = home.start_with(Vec::new());
    let addresses = serving(&daemon);
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    for address in &addresses[..2] {
        let mut client = Client::connect(address.parse().unwrap());
        assert_eq!(client.get("/echo").status, 200);
        let told = client.get("/tell").text().to_owned();
        let ip = address.rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
        assert!(told.ends_with(&format!(" {ip}\n")), "{told}");
    }
    let answer = ask_over_unix(&path, &format!("{TELL}\r\n"));
    assert!(answer.ends_with("\r\n\r\nt nobody\n"), "{answer}");
    // The socket that a killed process left behind is no hindrance.
    daemon.kill();
    assert!(path.exists());
    let _daemon = home.start_with(Vec::new());
    assert!(ask_over_unix(&path, &format!("{TELL}\r\n")).ends_with("t nobody\n"));
}

#[test]
fn a_trusted_peer_on_a_unix_socket_says_who_the_client_is() {
    let home = home("unix:SOCKET");
    let path = home.path("x.sock");
    let text = std::fs::read_to_string(home.config()).unwrap();
    home.write_config(&text.replace("SOCKET", path.to_str().unwrap()));
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = home.start_with(vec![listener.into()]);
    assert_eq!(serving(&daemon), [format!("unix:{}", path.display())]);
    let answer = ask_over_unix(&path, &format!("{TELL}X-Forwarded-For: 1.2.3.4\r\n\r\n"));
    assert!(answer.ends_with("t 1.2.3.4\n"), "{answer}");
    ask_over_unix(&path, &format!("{TELL}\r\n"));
    let lines = daemon.access_lines(2);
    assert!(lines[0].starts_with("1.2.3.4 - "), "{}", lines[0]);
    assert!(lines[1].starts_with("- - "), "{}", lines[1]);
}

#[test]
fn inherited_sockets_are_matched_by_address_and_not_by_order() {
    let sockets: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
    let listen: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let home = home(&listen.join(" "));
    let daemon = home.start_with(sockets.into_iter().rev().map(Into::into).collect());
    assert_eq!(serving(&daemon).len(), 3);
    assert!(!daemon.log().contains("configured"), "{}", daemon.log());
    for address in addresses {
        assert_eq!(Client::connect(address).get("/echo").status, 200);
    }
}

#[test]
fn a_listener_too_many_and_one_too_few_are_named_and_the_rest_is_served() {
    let home = Home::new("apps = echo");
    home.write_config("[wsgi]\nlisten = 127.0.0.1:1 127.0.0.1:2\napps = echo\n");
    let daemon = home.shared().start();
    let address = daemon.address();
    let sentence = format!(
        "configured but not open: 127.0.0.1:1 127.0.0.1:2, open but not configured: {address}; \
         run: systemctl daemon-reload && systemctl restart brim@wsgi; serving {address}"
    );
    assert!(daemon.ready.contains(&sentence), "{}", daemon.ready);
    assert_eq!(get(&daemon, "/echo").status, 200);
}

#[test]
fn a_socket_that_is_no_listener_is_named_and_the_others_are_served() {
    let home = Home::new("apps = echo").shared();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let daemon = home.start_with(vec![udp.into(), home.listener.try_clone().unwrap().into()]);
    daemon.logs(&format!("error: open but not configured: {address}"));
    assert_eq!(get(&daemon, "/echo").status, 200);
}
