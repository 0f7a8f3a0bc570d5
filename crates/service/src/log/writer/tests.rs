use std::io::Read;

use super::*;

fn file(path: &Path) -> Access {
    let mut access = Access::Off;
    access.change(AccessOutput::File(path.to_owned()), &mut Journal::Stderr);
    access
}

fn waiting(access: &Access) -> &[u8] {
    match access {
        Access::File { waiting, .. } | Access::Stdout { waiting } => waiting,
        Access::Journal | Access::Off => &[],
    }
}

#[test]
fn a_full_disk_keeps_the_lines_until_there_is_room_elsewhere() {
    let dropped = AtomicU64::new(0);
    let mut access = file(Path::new("/dev/full"));
    access.take(b"one\n", &mut Journal::Stderr);
    access.flush(&dropped);
    assert!(access.is_stuck());
    access.take(b"two\n", &mut Journal::Stderr);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    access.change(AccessOutput::File(path.clone()), &mut Journal::Stderr);
    access.flush(&dropped);
    assert!(!access.is_stuck());
    assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    assert_eq!(dropped.into_inner(), 0);
}

#[test]
fn what_waits_for_a_file_is_bounded() {
    let mut access = file(Path::new("/dev/full"));
    let line = [b'x'; 1024];
    let mut lines = 0;
    while access.has_room(&Journal::Stderr) {
        access.take(&line, &mut Journal::Stderr);
        access.flush(&AtomicU64::new(0));
        lines += 1;
    }
    assert_eq!(lines, WAITING / line.len());
}

#[test]
fn a_file_that_cannot_be_opened_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/access.log");
    let mut access = file(&path);
    access.take(b"line\n", &mut Journal::Stderr);
    access.flush(&AtomicU64::new(0));
    assert_eq!(waiting(&access), b"line\n");
    std::fs::create_dir(folder.path().join("later")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while access.is_stuck() && Instant::now() < deadline {
        access.flush(&AtomicU64::new(0));
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"line\n");
}

#[test]
fn lines_are_appended_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    std::fs::write(&path, "old\n").unwrap();
    let mut access = file(&path);
    access.take(b"new\n", &mut Journal::Stderr);
    access.flush(&AtomicU64::new(0));
    assert_eq!(std::fs::read(&path).unwrap(), b"old\nnew\n");
}

/// A writer whose journal is a socket that nobody reads.
fn with_a_silent_journal() -> (LogHandle, JoinHandle<()>, UnixDatagram) {
    let (ours, silent) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let identity = Identity { section: "wsgi".to_owned(), program: "brim-test" };
    let journal = Journal::Socket { socket: ours, waiting: None };
    let (log, thread) = start_with(identity, journal).unwrap();
    (log, thread, silent)
}

#[test]
fn a_silent_journal_costs_records_and_nobody_waits() {
    let (log, thread, silent) = with_a_silent_journal();
    let record = |number: usize| Record {
        level: tracing::Level::ERROR,
        message: format!("number {number}"),
        fields: Vec::new(),
    };
    let many = RECORDS + 1000;
    (0..many).for_each(|number| log.record(record(number)));
    let (dropped, _) = log.dropped();
    assert!(dropped > 0);
    // Neither the start of a worker nor a reload waits for the journal.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut sink = log.line_sink();
    log.access_output(AccessOutput::File(path.clone()));
    sink.push(b"a line\n");
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::fs::read(&path).unwrap_or_default() != b"a line\n" {
        assert!(Instant::now() < deadline, "the access line is not written");
        std::thread::sleep(Duration::from_millis(1));
    }
    // What was not dropped arrives when the journal reads again, in order.
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut buffer = [0; 1024];
    let mut last = None;
    for _ in 0..many - usize::try_from(dropped).unwrap() {
        let length = silent.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let number = text.lines().find_map(|line| line.strip_prefix("MESSAGE=number "));
        let number = number.and_then(|number| number.parse::<usize>().ok());
        assert!(number.is_some() && number > last, "{last:?}, then {text}");
        last = number;
    }
    log.finish(thread);
}

#[test]
fn the_last_lines_are_written_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let identity = Identity { section: "wsgi".to_owned(), program: "brim-test" };
    let (log, thread) = start_with(identity, Journal::Stderr).unwrap();
    log.access_output(AccessOutput::File(path.clone()));
    let mut sink = log.line_sink();
    (0..1000).for_each(|number| sink.push(format!("line {number}\n").as_bytes()));
    log.finish(thread);
    let mut text = String::new();
    File::open(path).unwrap().read_to_string(&mut text).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[999]), (1000, "line 999"));
    assert_eq!(log.dropped(), (0, 0));
}
