//! The life of a process that does one thing and listens nowhere: a daemon of a group.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tracing_subscriber::layer::SubscriberExt;

use super::{Signals, panic_hook, pulse};
use crate::bus::Order;
use crate::exit::Exit;
use crate::lifecycle::Lifecycle;
use crate::log::{self, Identity};
use crate::notify;

/// How long the work may go on after a stop was asked for. systemd waits a little longer.
const STOP: Duration = Duration::from_secs(10);

/// Who it is that logs, and what.
#[derive(Clone, Debug)]
pub struct Solo {
    /// The program, as in `brim-daemon`.
    pub program: &'static str,
    /// The section.
    pub section: String,
    /// The least important records that are logged.
    pub log_level: tracing::Level,
}

/// Does the work on this thread: log, readiness, watchdog pings for as long as the thread's loop turns,
/// and the drain as the request to end. Returns when the work does.
pub fn run_solo<W, F>(solo: Solo, work: W) -> Exit
where
    W: FnOnce(Lifecycle) -> F + 'static,
    F: Future<Output = Result<(), String>> + 'static,
{
    let identity = Identity { section: solo.section, program: solo.program };
    let Ok((log, thread)) = log::start(identity) else { return Exit::System };
    let subscriber = tracing_subscriber::registry().with(log::Layer::new(log.clone()));
    let _ = tracing::subscriber::set_global_default(subscriber);
    log::Layer::set_level(solo.log_level);
    std::panic::set_hook(panic_hook());
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let exit = match runtime {
        Ok(runtime) => runtime.block_on(live(work)),
        Err(error) => {
            tracing::error!(%error, "no runtime");
            Exit::System
        }
    };
    log.finish(thread);
    exit
}

async fn live<W, F>(work: W) -> Exit
where
    W: FnOnce(Lifecycle) -> F + 'static,
    F: Future<Output = Result<(), String>> + 'static,
{
    let Ok(mut signals) = Signals::new() else { return Exit::System };
    let lifecycle = Lifecycle::new();
    let _pulse = pulse::AbortOnDrop(pulse::ping_alone());
    let draining = lifecycle.clone();
    // A task of its own, so that a panic in it is seen here; what it does before it first waits, too.
    let mut work = tokio::task::spawn_local(async move { work(draining).await });
    notify::ready("");
    loop {
        let order = tokio::select! {
            ended = &mut work => return exit(ended),
            order = signals.next() => order,
        };
        if let Order::Drain = order {
            break;
        }
    }
    notify::stopping("ending");
    lifecycle.begin_drain(Duration::ZERO);
    match tokio::time::timeout(STOP, work).await {
        Ok(ended) => exit(ended),
        Err(_) => {
            tracing::warn!(timeout = ?STOP, "asked to end, it goes on: cut");
            Exit::Success
        }
    }
}

fn exit(ended: Result<Result<(), String>, tokio::task::JoinError>) -> Exit {
    match ended {
        Ok(Ok(())) => Exit::Success,
        Ok(Err(error)) => {
            tracing::error!("{error}");
            notify::status(&error);
            Exit::Failed
        }
        Err(_) => Exit::Bug,
    }
}
