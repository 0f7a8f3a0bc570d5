//! Reload: the new state is built whole beside the old one, and takes its place or is dropped.

use std::sync::Arc;
use std::time::Duration;

use brim_config::Problem;
use tokio::sync::oneshot;

use super::{Running, errors};
use crate::log;
use crate::notify;
use crate::program::Program;
use crate::shared::State;
use crate::worker::Command;

/// How long a worker may take to build its new state.
const BUILD: Duration = Duration::from_secs(10);

/// Why the old configuration goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error("{}", errors(.0))]
    Config(Vec<Problem>),
    #[error("worker {index}: {reason}")]
    Worker { index: usize, reason: String },
}

impl<P: Program> Running<P> {
    /// Reads the configuration anew and puts it in force, or says why not. READY=1 either way.
    pub(super) async fn reload(&mut self) -> Result<(), ReloadError> {
        notify::reloading();
        self.daemon.shared.face().state = State::Reloading;
        let result = self.exchange().await;
        self.daemon.shared.face().state = State::Running;
        self.tell_mismatch();
        match &result {
            Ok(()) => {
                tracing::info!("reloaded");
                notify::ready(&self.status());
            }
            Err(error) => {
                tracing::error!("reload refused, the old configuration goes on");
                notify::ready(&format!(
                    "reload refused, the old configuration goes on: {error}; {}",
                    self.status()
                ));
            }
        }
        result
    }

    async fn exchange(&mut self) -> Result<(), ReloadError> {
        let plan = Arc::new(self.daemon.read().await.map_err(ReloadError::Config)?);
        let settings = P::settings(&plan).clone();
        let registry = self.daemon.shared.registry().with_layout(settings.layout.clone());
        let mut built = Vec::new();
        for (index, worker) in self.workers.iter().enumerate() {
            let (done, is_done) = oneshot::channel();
            let stats = registry.worker(index);
            let _ = worker.commands.send(Command::Prepare { plan: plan.clone(), stats, done });
            built.push(is_done);
        }
        for (index, is_done) in built.into_iter().enumerate() {
            let failed = |reason: &str| ReloadError::Worker { index, reason: reason.to_owned() };
            tokio::time::timeout(BUILD, is_done)
                .await
                .map_err(|_| failed("its loop does not turn"))?
                .map_err(|_| failed("it has ended"))?
                .map_err(|reason| failed(&reason))?;
        }
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Commit);
        }
        self.daemon.shared.set_registry(registry);
        self.daemon.shared.set_daemons(&settings.daemons);
        self.census.set_limits(settings.concurrent_per_worker, settings.company);
        let (limit, trusted) = (settings.connections_per_client, settings.trusted_proxies.clone());
        self.census.clients.set_limit(limit, trusted);
        self.daemon.log.access_output(settings.access.clone());
        log::Layer::set_level(settings.log_level);
        if settings.workers != self.workers.len() {
            tracing::warn!(
                configured = settings.workers,
                running = self.workers.len(),
                "another number of workers takes effect at the next restart"
            );
        }
        self.plan = plan;
        Ok(())
    }
}
