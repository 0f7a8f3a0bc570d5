//! `brimctl run`.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc::channel;

use rustix::process::{Pid, Signal, test_kill_process};

use crate::bench::{PATIENCE, Place, Running, answer, said, until};

/// Reads standard output until a line that holds something, and gives back all lines.
fn lines_until(running: &mut Running, what: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut stdout = BufReader::new(running.0.stdout.as_mut().unwrap());
    loop {
        let mut line = String::new();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "no {what:?} in {lines:#?}");
        lines.push(line.trim_end().to_owned());
        if line.contains(what) {
            return lines;
        }
    }
}

/// Reads until every one of these lines has come, in whatever order.
fn lines_come<const N: usize>(stream: impl Read + Send + 'static, expected: [&str; N]) {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(stream).lines().try_for_each(|line| sender.send(line.unwrap()))
    });
    let (mut missing, mut seen) = (Vec::from(expected), Vec::new());
    while !missing.is_empty() {
        let line = lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("no {missing:#?} in {seen:#?}"));
        missing.retain(|expected| *expected != line);
        seen.push(line);
    }
}

/// A request of which only the head has been sent, so that it is in progress.
fn begun(place: &Place, socket: &str) -> UnixStream {
    let mut stream = UnixStream::connect(place.file(socket)).unwrap();
    let head =
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // The server is at it when it asks for the rest.
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");
    stream
}

/// The processes that a process started.
fn children(running: &Running) -> Vec<i32> {
    let pid = running.0.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn is_gone(pid: i32) -> bool {
    let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('Z'));
    zombie || test_kill_process(Pid::from_raw(pid).unwrap()).is_err()
}

#[test]
fn all_sections_are_served_and_the_printed_commands_work() {
    let place = Place::new(
        "[wsgi]\nlisten = 127.0.0.1:0 unix:@/x.sock\napps = echo\n\
         [wsgi#longer]\nlisten = 127.0.0.1:0\napps = figures\n[figures]\ncall = stats\npath = /s\n",
    );
    let mut run = Running::start(&mut place.brimctl_file(&["run"]));
    let lines = lines_until(&mut run, "/s");
    assert!(lines[0].starts_with("wsgi        | http://127.0.0.1:"), "{lines:#?}");
    assert!(!lines[0].ends_with(":0/"), "the port is the one that was found");
    let curls: Vec<_> = lines.iter().filter_map(|line| line.split_once("|     curl ")).collect();
    assert_eq!(curls.len(), 3, "{lines:#?}");
    for (_, arguments) in curls {
        let mut curl = Command::new("sh");
        let said = said(curl.arg("-c").arg(format!("curl --silent --fail {arguments}")));
        let expected = if arguments.contains("echo") { "hello" } else { "start_time" };
        assert!(said.out.contains(expected), "{arguments}: {said:?}");
    }
    run.signal(Signal::TERM);
    let said = run.ended();
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("wsgi#longer | "), "access lines have their section: {}", said.out);
    assert!(!place.file("x.sock").exists(), "the socket goes with us");
}

#[test]
fn only_the_named_section_is_served() {
    let place = Place::new(
        "[wsgi]\nlisten = unix:@/a.sock\n[wsgi#x]\nlisten = unix:@/x.sock\napps = echo\n",
    );
    let mut run = Running::start(&mut place.brimctl_file(&["run", "wsgi:x"]));
    lines_until(&mut run, "curl");
    assert!(place.get("x.sock", "/echo").starts_with("HTTP/1.1 200"));
    assert!(!place.file("a.sock").exists());
}

#[test]
fn an_interrupt_lets_requests_in_progress_finish() {
    let place = Place::new("[wsgi]\nlisten = unix:@/x.sock\napps = echo\n");
    let mut run = Running::start(&mut place.brimctl_file(&["run"]));
    lines_until(&mut run, "curl");
    let mut request = begun(&place, "x.sock");
    run.signal(Signal::INT);
    let mut err = BufReader::new(run.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("finishing open requests") {
        line.clear();
        assert_ne!(err.read_line(&mut line).unwrap(), 0);
    }
    request.write_all(b"hello").unwrap();
    let answer = answer(request);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    assert_eq!(run.ended().code, 0);
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let place = Place::new("[wsgi]\nlisten = unix:@/x.sock\napps = echo\n");
    let mut run = Running::start(&mut place.brimctl_file(&["run"]));
    lines_until(&mut run, "curl");
    let _request = begun(&place, "x.sock");
    run.signal(Signal::INT);
    let mut err = BufReader::new(run.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("finishing open requests") {
        line.clear();
        assert_ne!(err.read_line(&mut line).unwrap(), 0);
    }
    run.signal(Signal::INT);
    assert_eq!(run.ended().code, 137);
}

#[test]
fn the_end_of_one_server_ends_the_others_and_tells_its_code() {
    let place = Place::new(
        "[wsgi]\nlisten = unix:@/a.sock\n[wsgi#short]\nlisten = unix:@/b.sock\nprogram = @/program\n",
    );
    place.script("program", "[ \"$1\" = --check ] && exit; sleep 0.2; echo over; exit 7");
    let said = said(&mut place.brimctl_file(&["run"]));
    assert_eq!(said.code, 7, "{}", said.err);
    assert!(said.out.contains("wsgi#short | over\n"), "{}", said.out);
    assert!(said.err.contains("[wsgi#short] ended with exit status: 7\n"), "{}", said.err);
    assert!(!place.file("a.sock").exists());
}

#[test]
fn a_killed_server_is_not_restarted() {
    let place = Place::new("[wsgi]\nlisten = unix:@/x.sock\napps = echo\n");
    let mut run = Running::start(&mut place.brimctl_file(&["run"]));
    lines_until(&mut run, "curl");
    assert!(place.get("x.sock", "/echo").starts_with("HTTP/1.1 200"));
    let server = Pid::from_raw(children(&run)[0]).unwrap();
    rustix::process::kill_process(server, Signal::KILL).unwrap();
    assert_eq!(run.ended().code, 137);
}

#[test]
fn no_server_outlives_a_killed_brimctl() {
    let place = Place::new("[wsgi]\nlisten = unix:@/x.sock\napps = echo\n");
    let mut run = Running::start(&mut place.brimctl_file(&["run"]));
    lines_until(&mut run, "curl");
    assert!(place.get("x.sock", "/echo").starts_with("HTTP/1.1 200"));
    let server = children(&run)[0];
    run.signal(Signal::KILL);
    assert_eq!(run.ended().code, 137);
    until("the server ends", || is_gone(server));
    // What it left in the file system is in nobody's way.
    let mut again = Running::start(&mut place.brimctl_file(&["run"]));
    lines_until(&mut again, "curl");
    assert!(place.get("x.sock", "/echo").starts_with("HTTP/1.1 200"));
}

#[test]
fn sockets_are_handed_on_as_systemd_does_and_nothing_else_of_its() {
    let place = Place::new("[wsgi]\nlisten = unix:@/a.sock unix:@/b.sock\nprogram = @/program\n");
    place.script(
        "program",
        "[ \"$1\" = --check ] && exit\n\
         echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] && echo mine\n\
         readlink /proc/$$/fd/3 /proc/$$/fd/4; ls -l /proc/$$/fd | grep -c socket:\n\
         echo \"foreign:$NOTIFY_SOCKET$JOURNAL_STREAM$WATCHDOG_USEC$LOGS_DIRECTORY\"; echo \"$@\"",
    );
    let mut command = place.brimctl_file(&["run"]);
    for variable in ["NOTIFY_SOCKET", "JOURNAL_STREAM", "WATCHDOG_USEC", "LOGS_DIRECTORY"] {
        command.env(variable, "1");
    }
    let said = said(&mut command);
    let lines: Vec<_> =
        said.out.lines().skip(4).map(|line| line.strip_prefix("wsgi | ").unwrap()).collect();
    assert_eq!(lines[..2], ["2 listen:listen", "mine"], "{lines:#?}");
    assert!(lines[2].starts_with("socket:") && lines[3].starts_with("socket:"), "{lines:#?}");
    assert_eq!(lines[4..6], ["2", "foreign:"], "no other socket: {lines:#?}");
    assert_eq!(lines[6], format!("--config {} wsgi", place.conf().display()));
    assert_eq!(said.code, 0);
}

#[test]
fn a_bad_configuration_starts_nothing() {
    let place =
        Place::new("[wsgi]\nlisten = unix:@/a.sock\nportt = 1\n[wsgi#x]\nlisten = unix:@/x.sock\n");
    let said = said(&mut place.brimctl_file(&["run"]));
    assert_eq!((said.code, said.out.as_str()), (78, ""));
    assert!(said.err.contains(":3: [wsgi] portt: unknown key"), "{}", said.err);
    assert!(!place.file("x.sock").exists());
}

#[test]
fn nothing_to_serve_is_said() {
    let said = said(&mut Place::new("").brimctl_file(&["run"]));
    assert_eq!(said.code, 78);
    assert!(
        said.err.starts_with("brimctl: no section has a server, as [wsgi] would"),
        "{}",
        said.err
    );
}

#[test]
fn an_address_that_is_taken_names_its_line() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let place = Place::new(&format!("[wsgi]\n\nlisten = {address}\n"));
    let said = said(&mut place.brimctl_file(&["run"]));
    assert_eq!((said.code, said.out.as_str()), (71, ""));
    let expected =
        format!("brimctl: {}:3: [wsgi]: cannot listen on {address}: ", place.conf().display());
    assert!(said.err.starts_with(&expected), "{}", said.err);
}

#[test]
fn daemons_are_run_once_and_what_they_report_is_printed() {
    let place = Place::new(
        "[wsgi]\nlisten = unix:@/x.sock\napps = echo\n[daemons]\ndaemons = late job sample\n\
         [sample]\ncall = sample\ninterval = 1h\n\
         [job]\nexec = @/job \"two words\" $HOME\nenvironment = GREETING=hello\ndirectory = @/etc\nschedule = daily\n\
         [late]\nexec = /bin/sh -c 'exit 3'\nafter = job sample\n",
    );
    place.script("job", "echo \"$GREETING $1 $2 $PWD\"; echo LISTEN $LISTEN_FDS");
    let mut run = Running::start(&mut place.brimctl_file(&["run"]));
    // Those of several daemons come in no order.
    let greeting = format!("job     | hello two words $HOME {}/etc", place.path().display());
    let expected = [greeting.as_str(), "job     | LISTEN", "daemons | reported iterations=1"];
    lines_come(run.0.stdout.take().unwrap(), expected);
    let late = "[late] ended with exit status: 3";
    lines_come(run.0.stderr.take().unwrap(), ["sample  | sample sample daemon log line 1", late]);
    // The end of one is not everybody's.
    assert!(place.get("x.sock", "/echo").starts_with("HTTP/1.1 200"));
    run.signal(Signal::TERM);
    let said = run.ended();
    assert_eq!(said.code, 3, "that of the first that did not end well");
}

#[test]
fn a_group_without_daemons_has_nothing_to_run() {
    let said = said(&mut Place::new("[daemons]\n").brimctl_file(&["run"]));
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
}
