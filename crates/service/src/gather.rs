//! The stats of all running instances, for whoever wants to show them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brim_config::daemon_of_bus_label;
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;
use zbus::Connection;
use zbus::fdo::DBusProxy;

use crate::shared::Shared;

/// How long the answers of the other instances are good for.
const FRESH: Duration = Duration::from_secs(1);
/// How long the bus may take to name the other instances, and each of them to answer.
const DEADLINE: Duration = Duration::from_millis(500);

/// Sections by name, as in Brim's stats document.
pub type Sections = BTreeMap<String, Map<String, Value>>;

/// Asks for the stats of all instances. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gather {
    shared: Arc<Shared>,
    requests: UnboundedSender<oneshot::Sender<Arc<Sections>>>,
}

impl Gather {
    pub(crate) fn new(shared: Arc<Shared>) -> (Self, Requests) {
        let (requests, received) = unbounded_channel();
        let requests_end = Requests { received, cache: None };
        (Self { shared, requests }, requests_end)
    }

    /// When this instance's process started, in epoch seconds.
    pub fn start_time(&self) -> u64 {
        self.shared.start_time
    }

    /// Every instance's section: this one's as of now, the others' at most a second old, and an
    /// empty one for each configured instance that does not run. Without a bus only this one's.
    pub async fn sections(&self) -> Sections {
        let mut sections: Sections =
            self.shared.face().configured.iter().map(|name| (name.clone(), Map::new())).collect();
        let (reply, answer) = oneshot::channel();
        if self.requests.send(reply).is_ok()
            && let Ok(others) = answer.await
        {
            sections.extend(others.iter().map(|(name, section)| (name.clone(), section.clone())));
        }
        sections.extend(self.shared.own_section());
        sections
    }
}

/// The bus thread's end: one gather at a time, whoever asks.
pub(crate) struct Requests {
    received: UnboundedReceiver<oneshot::Sender<Arc<Sections>>>,
    cache: Option<(Instant, Arc<Sections>)>,
}

impl Requests {
    /// Answers for as long as this connection to the bus lives; without one, with nothing.
    pub(crate) async fn answer(&mut self, bus: Option<&Connection>, own: &str) {
        while let Some(reply) = self.received.recv().await {
            let fresh = self.cache.as_ref().filter(|(since, _)| since.elapsed() < FRESH);
            let sections = match (fresh, bus) {
                (Some((_, sections)), _) => sections.clone(),
                (None, None) => Arc::default(),
                (None, Some(bus)) => {
                    let sections = Arc::new(others(bus, own).await);
                    self.cache = Some((Instant::now(), sections.clone()));
                    sections
                }
            };
            let _ = reply.send(sections);
        }
    }
}

/// The sections of all other instances that answer.
async fn others(bus: &Connection, own: &str) -> Sections {
    let names = timeout(DEADLINE, async { DBusProxy::new(bus).await?.list_names().await });
    let Ok(Ok(names)) = names.await else { return Sections::new() };
    let instances =
        names.iter().map(|name| name.as_str()).filter(|name| *name != own).filter(|name| {
            // Daemons stand in the section of their group.
            let label = name.strip_prefix(crate::bus::PREFIX);
            label.is_some_and(|label| daemon_of_bus_label(label).is_none())
        });
    let answers = instances.map(|name| async move {
        let (path, stats) = (crate::bus::PATH, crate::bus::STATS);
        let call = bus.call_method(Some(name), path, Some(stats), "Json", &());
        // Each for itself: one that hangs shall hide no other.
        let reply = timeout(DEADLINE, call).await.ok()?.ok()?;
        let json: String = reply.body().deserialize().ok()?;
        serde_json::from_str::<Map<String, Value>>(&json).ok()
    });
    join_all(answers)
        .await
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|(name, section)| match section {
            Value::Object(section) => Some((name, section)),
            _ => None,
        })
        .collect()
}
