//! HTTP/2: many exchanges at once, each with a clock of its own.
//!
//! hyper holds the connection from the first byte to the last. The shell looks at its streams once
//! in a while, ends those whose client does not move, and the connection when all is silent.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use brim_config::HttpSection;
use brim_service::Transport;
use bytes::Bytes;
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::time::sleep;

mod io;
mod meter;
mod sending;
mod service;
mod streams;

use super::crowd::{Conversation, Room};
use super::{Shell, Spoken};
use crate::worker::{Http2Limits, HttpWorker};
use io::Io;
use meter::Meter;
use service::StreamService;
use streams::{Spawn, Streams};

/// How often the streams are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of a connection without streams may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What HPACK adds to the size of each header, by definition (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;
/// Bytes of a response that wait in a stream for the client to want them.
const STREAM_BUFFER: usize = 16 * 1024;

/// hyper as we use it for HTTP/2.
fn protocol(worker: &HttpWorker, spawn: Spawn) -> http2::Builder<Spawn> {
    let Http2Limits { streams, resets, window, .. } = worker.limits.http2;
    let mut protocol = http2::Builder::new(spawn);
    protocol
        .max_concurrent_streams(streams)
        .max_local_error_reset_streams(resets)
        .initial_connection_window_size(window)
        .initial_stream_window_size((window / 4).max(64 * 1024))
        .max_send_buf_size(STREAM_BUFFER)
        // Admission has the exact limit, and answers so that it is logged.
        .max_header_list_size(header_list(worker));
    protocol
}

fn header_list(worker: &HttpWorker) -> u32 {
    let limits = &worker.limits;
    u32::try_from(list(limits.head, limits.headers)).unwrap_or(u32::MAX)
}

/// The size of a head that is let through to admission, in HPACK's count: more than its limit.
fn list(head: usize, headers: usize) -> usize {
    head + headers * OVERHEAD + 4096
}

/// What an HTTP/2 connection may make us hold beside its buffers: what came and nobody has read, and of
/// each stream its head and what the client does not take.
pub(crate) fn memory(section: &HttpSection) -> u64 {
    let keys = &section.http2;
    let list = list(section.head_limit, section.header_limit);
    let stream = (list + STREAM_BUFFER + sending::PIECE) as u64;
    u64::from(keys.window) + u64::from(keys.max_streams) * stream
}

/// Speaks HTTP/2 to the end of the connection.
pub(super) async fn speak(shell: &Shell, transport: Transport, rest: Bytes) -> Spoken {
    let worker = shell.current.get();
    let _conversation = Conversation::begin(Room::Hyper);
    let lifecycle = worker.context.lifecycle.clone();
    let Http2Limits { resets, control, .. } = worker.limits.http2;
    let meter = Meter::new(control, Instant::now());
    let streams = Rc::new(Streams::new(resets));
    let io = TokioIo::new(Io::new(transport, rest, streams.clone(), meter));
    let service = StreamService::new(shell.current.clone(), shell.peer.clone(), streams.clone());
    let protocol = protocol(&worker, Spawn(streams.clone()));
    drop(worker);
    let mut connection = pin!(protocol.serve_connection(io, service));
    let times = shell.current.get().times;
    let mut look = pin!(sleep(LOOK.min(times.idle).min(times.body).min(times.write)));
    let mut drain = pin!(lifecycle.drain_begins());
    let mut ending: Option<Instant> = None;
    poll_fn(|cx| {
        // DRAIN: GOAWAY tells the client to take its next request elsewhere; what has come until it
        // heard of that is served.
        if ending.is_none() && drain.as_mut().poll(cx).is_ready() {
            connection.as_mut().graceful_shutdown();
            ending = Some(Instant::now());
        }
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Spoken::Ended);
        }
        if streams.is_flood() {
            tracing::debug!(peer = ?shell.peer.address, "too many streams are reset, or frames without use");
            return Poll::Ready(Spoken::Ended);
        }
        while look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let times = shell.current.get().times;
            look.as_mut().reset((now + LOOK.min(times.idle).min(times.body).min(times.write)).into());
            streams.look(now);
            if streams.is_stuck(now, times.write) {
                return Poll::Ready(Spoken::Stuck);
            }
            let Some(silent) = streams.silence(now) else { continue };
            match ending {
                None if silent >= times.idle => {
                    connection.as_mut().graceful_shutdown();
                    ending = Some(now);
                    cx.waker().wake_by_ref();
                }
                Some(since) if now.duration_since(since).min(silent) >= LAST_WORDS => {
                    return Poll::Ready(Spoken::Ended);
                }
                _ => {}
            }
        }
        Poll::Pending
    })
    .await
}
