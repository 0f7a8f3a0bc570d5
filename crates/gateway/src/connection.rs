//! A connection of a front end or a handler: a task reads, and writes when it was held up.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use brim_config::Role;
use brim_service::{Connection, Current, Stream, Wake};

use crate::core::{Gone, Key};
use crate::worker::{GatewayWorker, Shell};

/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;
/// Pieces that are read before others have their turn.
const AT_ONCE: usize = 4;

/// A socket, and what its task has to know.
#[derive(Debug)]
pub(crate) struct Wired {
    pub(crate) stream: Stream,
    /// It takes nothing more for now.
    is_blocked: Cell<bool>,
    has_ended: Cell<bool>,
    /// The task, while it waits.
    task: Wake,
}

thread_local! {
    /// What was just read, of whichever connection.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

impl Wired {
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.get()
    }

    /// The task is to write when it can.
    pub(crate) fn block(&self) {
        self.is_blocked.set(true);
        self.task.wake();
    }

    /// The task is to close it.
    pub(crate) fn end(&self) {
        self.has_ended.set(true);
        self.task.wake();
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(current: Current<GatewayWorker>, connection: Connection) {
    let shell = current.get().shell.clone();
    let Connection { stream, local, open, .. } = connection;
    let Some(role) = shell.role_of(&local) else { return };
    if role == Role::Link && !may_link(&stream) {
        if let Some(held_back) = shell.warnings.pass(Instant::now()) {
            let uid = stream.peer_uid();
            tracing::warn!(uid, held_back, "only user brim and root may connect to the link");
        }
        return;
    }
    let wired = Rc::new(Wired {
        stream,
        is_blocked: Cell::new(false),
        has_ended: Cell::new(false),
        task: Wake::default(),
    });
    if let Some(key) = shell.open(role, &wired) {
        run(&shell, key, &wired).await;
        shell.close(key);
    }
    drop(open);
}

/// Front ends are root's or run as the same user as we do.
fn may_link(stream: &Stream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_uid().is_some_and(|uid| uid == 0 || uid == own)
}

async fn run(shell: &Shell, key: Key, wired: &Wired) {
    let mut pending = Vec::new();
    while poll_fn(|cx| poll(shell, key, wired, &mut pending, cx)).await {
        // Others have their turn.
        tokio::task::yield_now().await;
    }
}

/// Reads, and writes when that was held up; whether there is more.
fn poll(
    shell: &Shell,
    key: Key,
    wired: &Wired,
    pending: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    while !wired.has_ended.get() {
        if wired.is_blocked.get()
            && let Poll::Ready(writable) = wired.stream.poll_writable(cx)
        {
            if writable.is_err() {
                return Poll::Ready(false);
            }
            wired.is_blocked.set(false);
            shell.write(key);
            shell.changed();
            continue;
        }
        let Poll::Ready(readable) = wired.stream.poll_readable(cx) else {
            wired.task.keep(cx);
            return Poll::Pending;
        };
        if readable.is_err() {
            return Poll::Ready(false);
        }
        match read(shell, key, wired, pending) {
            After::Nothing => {}
            After::More => return Poll::Ready(true),
            After::End => return Poll::Ready(false),
        }
    }
    Poll::Ready(false)
}

/// What there is to be read after something was.
enum After {
    Nothing,
    More,
    End,
}

/// Reads what is there, but not too much of it at once.
fn read(shell: &Shell, key: Key, wired: &Wired, pending: &mut Vec<u8>) -> After {
    BUFFER.with_borrow_mut(|buffer| {
        for _ in 0..AT_ONCE {
            let count = match wired.stream.try_read_rest(buffer) {
                Ok(0) => return After::End,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return After::Nothing;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return After::End,
            };
            let fresh = buffer.get(..count).unwrap_or_default();
            let was_fresh = shell.core.borrow().has_fresh();
            let result = take(shell, key, pending, fresh);
            shell.changed();
            shell.look_for_fresh(was_fresh);
            if result.is_err() {
                return After::End;
            }
            if count < PIECE {
                return After::Nothing;
            }
        }
        After::More
    })
}

/// Hands bytes over; those that are not whole yet are kept.
fn take(shell: &Shell, key: Key, pending: &mut Vec<u8>, fresh: &[u8]) -> Result<(), Gone> {
    let mut core = shell.core.borrow_mut();
    let now = Instant::now();
    if pending.is_empty() {
        let mut input = fresh;
        core.received(key, &mut input, now)?;
        if !input.is_empty() {
            pending.extend_from_slice(input);
            core.kept(key, pending.len());
        }
        return Ok(());
    }
    pending.extend_from_slice(fresh);
    // What of it is whole now is counted by whom it is for.
    core.kept(key, 0);
    let mut input = pending.as_slice();
    core.received(key, &mut input, now)?;
    let used = pending.len() - input.len();
    pending.drain(..used);
    if pending.is_empty() {
        pending.shrink_to(0);
    } else if used > 0 {
        // The room of a long message is not counted for what comes after it.
        pending.shrink_to(PIECE);
    }
    core.kept(key, pending.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::SystemTime;

    use brim_config::{GatewaySection, Kind, SectionName, Tree};
    use brim_service::LocalStream;
    use brim_stats::Registry;
    use brim_wire::link::{Content, Frame, HIGHEST, Hello, LOWEST};

    use super::*;
    use crate::core::{Core, counters};

    fn shell() -> Shell {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("brim.conf");
        std::fs::write(&file, "[gateway]\n").expect("a file");
        let name = SectionName { kind: Kind::Gateway, name: None };
        let (section, problems) = GatewaySection::read(&Tree::load_file(&file).0, &name);
        assert!(problems.is_empty(), "{problems:?}");
        let stats = Registry::new(counters::layout(std::iter::empty()), 1).worker(0);
        Shell::new(Core::new(section, &stats, Instant::now(), SystemTime::now()))
    }

    /// What a front end says that has much to say: a hello, and answers that nobody has asked for.
    fn much() -> Vec<u8> {
        let hello = Hello {
            lowest: LOWEST,
            highest: HIGHEST,
            credit: 65_536,
            payload: 65_536,
            exchanges: 0,
            name: b"test",
        };
        let mut bytes = Vec::new();
        let pong = Content::Ping { context: 1, is_answer: true };
        for content in std::iter::once(Content::Hello(hello)).chain(vec![pong; 50_000]) {
            Frame { exchange: 0, content }.append(&mut bytes).expect("a frame");
        }
        bytes
    }

    #[tokio::test]
    async fn others_have_their_turn_while_one_sends_much() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        // More than is read in one turn; the kernel may give less than this.
        rustix::net::sockopt::set_socket_send_buffer_size(&theirs, 1 << 20).expect("room");
        ours.set_nonblocking(true).expect("a socket that does not block");
        theirs.set_nonblocking(true).expect("a socket that does not block");
        let sent = (&theirs).write(&much()).expect("bytes taken");
        assert!(sent > AT_ONCE * PIECE, "only {sent} bytes fit into a socket");

        let shell = shell();
        let stream = Stream::Unix(LocalStream::from_fd(ours.into()).expect("a stream"));
        let wired = Rc::new(Wired {
            stream,
            is_blocked: Cell::new(false),
            has_ended: Cell::new(false),
            task: Wake::default(),
        });
        let key = shell.open(Role::Link, &wired).expect("a link");
        wired.stream.readable().await.expect("something to read");
        let mut served = pin!(run(&shell, key, &wired));
        let turn = poll_fn(|cx| Poll::Ready(served.as_mut().poll(cx).is_pending()));
        assert!(turn.await, "the connection has ended");
        let Stream::Unix(stream) = &wired.stream else { panic!("another kind of stream") };
        let left = rustix::io::ioctl_fionread(stream).expect("what is left");
        assert_eq!(usize::try_from(left).expect("few"), sent - AT_ONCE * PIECE);
    }
}
