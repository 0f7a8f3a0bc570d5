use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lines::{LineSink, LineSource, Waker};
use super::record::Record;

/// Records that may wait for the writer; more are dropped and counted.
const RECORDS: usize = 2048;
/// The writer rests this long between two turns, so that it writes in batches, unless there is much to write.
const REST: Duration = Duration::from_millis(50);
/// How soon it looks again when the process ends.
const LAST_REST: Duration = Duration::from_millis(10);
/// How soon a sink that refused is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How often to look whether the file of access lines was moved away.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of access lines that wait for a file that does not take them.
const WAITING: usize = 256 * 1024;
/// How long the writer may still write when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where access lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessOutput {
    /// Appended to this file, which is opened anew when it was moved, and at each reload.
    File(PathBuf),
    /// To standard output.
    Stdout,
    /// Each line is a record in the journal's native protocol.
    Journal,
    /// Nowhere; workers do not even make them.
    Off,
}

/// Who speaks.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The section, as in the configuration.
    pub(crate) section: String,
    /// The program's name.
    pub(crate) program: &'static str,
}

/// What the writer is told, besides records. A queue of its own, without a bound: it must not wait
/// behind records that the journal does not take, for then whoever tells it would wait as well.
enum Control {
    Source(LineSource),
    Access(AccessOutput),
}

/// A handle to the writer, for every thread.
#[derive(Clone)]
pub(crate) struct LogHandle {
    records: SyncSender<Record>,
    controls: Sender<Control>,
    waker: Waker,
    finish: Arc<AtomicBool>,
    dropped_records: Arc<AtomicU64>,
    dropped_lines: Arc<AtomicU64>,
}

impl LogHandle {
    /// Hands a record on, or drops and counts it. Never waits.
    pub(crate) fn record(&self, record: Record) {
        if self.records.try_send(record).is_err() {
            self.dropped_records.fetch_add(1, Ordering::Relaxed);
        }
        self.waker.wake();
    }

    /// A new worker's ring.
    pub(crate) fn line_sink(&self) -> LineSink {
        let (sink, source) = LineSource::pair(self.waker.clone(), self.dropped_lines.clone());
        let _ = self.controls.send(Control::Source(source));
        self.waker.hurry();
        sink
    }

    /// Sends access lines elsewhere from now on, or opens the same file anew.
    pub(crate) fn access_output(&self, output: AccessOutput) {
        let _ = self.controls.send(Control::Access(output));
        self.waker.hurry();
    }

    /// Records and access lines dropped so far.
    pub(crate) fn dropped(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.dropped_records), load(&self.dropped_lines))
    }

    /// Lets the writer write what is there and end; waits for that, but not for ever.
    pub(crate) fn finish(&self, thread: JoinHandle<()>) {
        self.finish.store(true, Ordering::Release);
        self.waker.hurry();
        let deadline = Instant::now() + LAST_WORDS;
        while !thread.is_finished() && Instant::now() < deadline {
            self.waker.thread.unpark();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Starts the writer.
pub(crate) fn start(identity: Identity) -> io::Result<(LogHandle, JoinHandle<()>)> {
    start_with(identity, Journal::open())
}

fn start_with(identity: Identity, journal: Journal) -> io::Result<(LogHandle, JoinHandle<()>)> {
    let (records, received) = sync_channel(RECORDS);
    let (controls, told) = channel();
    let (pending, hurry, finish) = <(Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let dropped_lines = Arc::new(AtomicU64::new(0));
    let writer = Writer {
        journal,
        access: Access::Off,
        received,
        told,
        sources: Vec::new(),
        pending: pending.clone(),
        hurry: hurry.clone(),
        finish: finish.clone(),
        dropped_lines: dropped_lines.clone(),
        identity,
    };
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(|| writer.run())?;
    let waker = Waker { thread: thread.thread().clone(), pending, hurry };
    let dropped_records = Arc::default();
    Ok((LogHandle { records, controls, waker, finish, dropped_records, dropped_lines }, thread))
}

/// The writer thread's state.
struct Writer {
    journal: Journal,
    access: Access,
    received: Receiver<Record>,
    told: Receiver<Control>,
    sources: Vec<LineSource>,
    pending: Arc<AtomicBool>,
    hurry: Arc<AtomicBool>,
    finish: Arc<AtomicBool>,
    dropped_lines: Arc<AtomicU64>,
    identity: Identity,
}

impl Writer {
    fn run(mut self) {
        let mut idle = false;
        loop {
            let finishing = self.finish.load(Ordering::Acquire);
            self.hurry.store(false, Ordering::Release);
            self.pending.store(false, Ordering::Release);
            let worked = self.turn();
            let stuck = self.journal.is_stuck() || self.access.is_stuck();
            if finishing && !stuck {
                return;
            }
            if stuck {
                std::thread::sleep(if finishing { LAST_REST } else { RETRY });
            } else if worked {
                // Nobody has to wake it for what comes now.
                self.pending.store(true, Ordering::Release);
                self.rest();
            } else if !idle {
                // Somebody may not have seen yet that it is to be woken again.
                self.rest();
            } else {
                std::thread::park();
            }
            idle = !worked;
        }
    }

    /// Waits for more to write in one go.
    fn rest(&self) {
        let end = Instant::now() + REST;
        while !self.hurry.load(Ordering::Acquire) && !self.finish.load(Ordering::Acquire) {
            match end.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return,
                left => std::thread::park_timeout(left),
            }
        }
    }

    /// Writes what waits, as far as it is taken; whether there was anything.
    fn turn(&mut self) -> bool {
        let mut worked = false;
        while let Ok(control) = self.told.try_recv() {
            match control {
                Control::Source(source) => self.sources.push(source),
                Control::Access(output) => self.access.change(output, &mut self.journal),
            }
        }
        while !self.journal.is_stuck() || self.journal.retry() {
            match self.received.try_recv() {
                Ok(record) => {
                    worked = true;
                    self.journal.write(&record, &self.identity);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.access.flush(&self.dropped_lines);
        for source in &mut self.sources {
            while self.access.has_room(&self.journal)
                && let Some(line) = source.pop()
            {
                worked = true;
                self.access.take(line, &mut self.journal);
            }
        }
        self.access.flush(&self.dropped_lines);
        self.sources.retain(|source| !source.is_finished());
        worked
    }
}

/// Where records go.
enum Journal {
    /// A journal, and a datagram that it did not take yet.
    Socket { socket: UnixDatagram, waiting: Option<Vec<u8>> },
    /// Standard error: no journal listens to us.
    Stderr,
}

impl Journal {
    /// systemd says by `JOURNAL_STREAM` that our output is the journal's; then so are our records.
    fn open() -> Self {
        let connect = || {
            std::env::var_os("JOURNAL_STREAM")?;
            let socket = UnixDatagram::unbound().ok()?;
            socket.connect(JOURNAL).ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        };
        connect().map_or(Self::Stderr, |socket| Self::Socket { socket, waiting: None })
    }

    fn write(&mut self, record: &Record, identity: &Identity) {
        match self {
            Self::Socket { .. } => {
                self.send(record.to_journal(&identity.section, identity.program));
            }
            Self::Stderr => {
                let _ = io::stderr().write_all(record.to_line().as_bytes());
            }
        }
    }

    /// Sends a datagram, or keeps it while the journal does not read.
    fn send(&mut self, datagram: Vec<u8>) {
        if let Self::Socket { socket, waiting } = self {
            match socket.send(&datagram) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    *waiting = Some(datagram);
                }
                // A journal that was restarted has a new socket behind the same name.
                Err(error)
                    if error.raw_os_error() != Some(rustix::io::Errno::MSGSIZE.raw_os_error()) =>
                {
                    let again = socket.connect(JOURNAL).and_then(|()| socket.send(&datagram));
                    if again.is_err() {
                        *waiting = Some(datagram);
                    }
                }
                _ => {}
            }
        }
    }

    /// Tries the waiting datagram again; true when nothing waits any more.
    fn retry(&mut self) -> bool {
        if let Self::Socket { waiting, .. } = self
            && let Some(datagram) = waiting.take()
        {
            self.send(datagram);
        }
        !self.is_stuck()
    }

    fn is_stuck(&self) -> bool {
        matches!(self, Self::Socket { waiting: Some(_), .. })
    }
}

/// Where access lines go, with what waits for it.
enum Access {
    File {
        path: PathBuf,
        file: Option<File>,
        waiting: Vec<u8>,
        refused: Option<Instant>,
        looked: Instant,
    },
    Stdout {
        waiting: Vec<u8>,
    },
    Journal,
    Off,
}

impl Access {
    fn change(&mut self, output: AccessOutput, journal: &mut Journal) {
        let kept = match self {
            Self::File { waiting, .. } | Self::Stdout { waiting } => std::mem::take(waiting),
            Self::Journal | Self::Off => Vec::new(),
        };
        *self = match output {
            AccessOutput::File(path) => {
                let file = open(&path, journal);
                Self::File { path, file, waiting: kept, refused: None, looked: Instant::now() }
            }
            AccessOutput::Stdout => Self::Stdout { waiting: kept },
            AccessOutput::Journal => Self::Journal,
            AccessOutput::Off => Self::Off,
        };
    }

    fn has_room(&self, journal: &Journal) -> bool {
        match self {
            Self::File { waiting, .. } | Self::Stdout { waiting } => waiting.len() < WAITING,
            Self::Journal => !journal.is_stuck(),
            Self::Off => true,
        }
    }

    fn take(&mut self, line: &[u8], journal: &mut Journal) {
        match self {
            Self::File { waiting, .. } | Self::Stdout { waiting } => {
                waiting.extend_from_slice(line);
            }
            Self::Journal => journal.send(line.to_owned()),
            Self::Off => {}
        }
    }

    /// Writes what waits. A file that refuses (a full disk) is tried again a little later: what is
    /// waiting stays whole lines, and what comes meanwhile fills the rings and is counted there.
    fn flush(&mut self, dropped: &AtomicU64) {
        match self {
            Self::File { path, file, waiting, refused, looked } => {
                let resting = refused.is_some_and(|since| since.elapsed() < RETRY);
                if waiting.is_empty() || resting {
                    return;
                }
                if looked.elapsed() >= LOOK {
                    *looked = Instant::now();
                    // Where none can be opened, the one that was moved away is better than none.
                    if file.as_ref().is_some_and(|file| is_elsewhere(file, path))
                        && let Ok(new) = append(path)
                    {
                        *file = Some(new);
                    }
                }
                if file.is_none() {
                    *file = append(path).ok();
                }
                let written = match file {
                    Some(file) => write_some(file, waiting),
                    None => Err(io::ErrorKind::NotFound.into()),
                };
                *refused = written.is_err().then(Instant::now);
            }
            Self::Stdout { waiting } => {
                if write_some(&mut io::stdout(), waiting).is_err() {
                    let lines = waiting.iter().filter(|byte| **byte == b'\n').count();
                    dropped.fetch_add(lines as u64, Ordering::Relaxed);
                    waiting.clear();
                }
            }
            Self::Journal | Self::Off => {}
        }
    }

    fn is_stuck(&self) -> bool {
        matches!(self, Self::File { waiting, .. } if !waiting.is_empty())
    }
}

/// Writes from the front of `waiting` and takes off what was written.
fn write_some(file: &mut impl Write, waiting: &mut Vec<u8>) -> io::Result<()> {
    while !waiting.is_empty() {
        match file.write(waiting) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => drop(waiting.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the file was moved or removed, as when logs are rotated.
fn is_elsewhere(file: &File, path: &Path) -> bool {
    let Ok(ours) = file.metadata() else { return false };
    match std::fs::metadata(path) {
        Ok(there) => (ours.dev(), ours.ino()) != (there.dev(), there.ino()),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn open(path: &Path, journal: &mut Journal) -> Option<File> {
    append(path)
        .inspect_err(|error| {
            let record = Record {
                level: tracing::Level::ERROR,
                message: format!("cannot open the access log {}: {error}", path.display()),
                fields: Vec::new(),
            };
            let identity = Identity { section: String::new(), program: "brim" };
            journal.write(&record, &identity);
        })
        .ok()
}

#[cfg(test)]
mod tests;
