//! The instance on the system bus: its name, its one object, its two interfaces.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use brim_config::{daemon_bus_label, daemon_of_bus_label};
use futures_util::StreamExt;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc::UnboundedSender, oneshot};
use zbus::fdo::RequestNameFlags;
use zbus::message::Header;
use zbus::{Connection, MessageStream, connection, interface};

mod authority;

use crate::gather::Requests;
use crate::shared::{Shared, State};

/// The one object of an instance.
pub(crate) const PATH: &str = "/net/brim/Brim1";
/// The interface of its figures.
pub(crate) const STATS: &str = "net.brim.Brim1.Stats";

/// What all names on the bus begin with.
pub(crate) const PREFIX: &str = "net.brim.Brim1.";

/// How soon a lost bus is looked for again.
const RECONNECT: Duration = Duration::from_secs(2);

/// What somebody on the bus (or a signal) wants of the instance.
pub(crate) enum Order {
    /// Read the configuration anew; the answer says what came of it.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Drain and end.
    Drain,
}

/// What a caller is told when it does not work.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "net.brim.Brim1.Error")]
pub(crate) enum BusError {
    /// The bus itself.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The new configuration was refused and the old one goes on; every problem on a line.
    ReloadFailed(String),
    /// There is no stat of that name, or it has no total.
    UnknownStat(String),
    /// The caller may not do that.
    AccessDenied(String),
    /// The name is a daemon's.
    NotAServer(String),
}

/// `net.brim.Brim1.Instance`.
struct Instance {
    shared: Arc<Shared>,
    orders: UnboundedSender<Order>,
}

#[interface(name = "net.brim.Brim1.Instance")]
impl Instance {
    /// Reads the configuration anew; returns when it is in force.
    async fn reload(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(), BusError> {
        self.not_a_daemon(&header)?;
        authority::check(bus, &header).await?;
        let (reply, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Reload(reply));
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problems)) => Err(BusError::ReloadFailed(problems)),
            Err(_) => Err(BusError::ReloadFailed("the instance is ending".to_owned())),
        }
    }

    /// Finishes what is open and ends; systemd starts a successor.
    async fn drain(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(), BusError> {
        self.not_a_daemon(&header)?;
        authority::check(bus, &header).await?;
        let _ = self.orders.send(Order::Drain);
        Ok(())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self, #[zbus(header)] header: Option<Header<'_>>) -> String {
        match self.shared.daemon_meant(header.as_ref()) {
            Some(_) => "daemon".to_owned(),
            None => self.shared.name.kind.to_string(),
        }
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn section(&self, #[zbus(header)] header: Option<Header<'_>>) -> String {
        let daemon = self.shared.daemon_meant(header.as_ref());
        daemon.unwrap_or_else(|| self.shared.name.section())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Epoch seconds.
    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self, #[zbus(header)] header: Option<Header<'_>>) -> u64 {
        self.shared.start_time_of(self.shared.daemon_meant(header.as_ref()).as_deref())
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn workers(&self, #[zbus(header)] header: Option<Header<'_>>) -> u32 {
        match self.shared.daemon_meant(header.as_ref()) {
            Some(_) => 1,
            None => self.shared.face().workers,
        }
    }

    /// One of starting, holding, running, reloading, draining; of a daemon its unit's ActiveState.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self, #[zbus(header)] header: Option<Header<'_>>) -> String {
        match self.shared.daemon_meant(header.as_ref()) {
            Some(daemon) => self.shared.face().daemons.get(&daemon).cloned().unwrap_or_default(),
            None => self.shared.face().state.to_string(),
        }
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn listeners(&self, #[zbus(header)] header: Option<Header<'_>>) -> Vec<String> {
        match self.shared.daemon_meant(header.as_ref()) {
            Some(_) => Vec::new(),
            None => self.shared.face().listeners.clone(),
        }
    }
}

impl Instance {
    /// A daemon's name on the bus has its figures; what is to be done with it is for systemd to do.
    fn not_a_daemon(&self, header: &Header<'_>) -> Result<(), BusError> {
        match self.shared.daemon_meant(Some(header)) {
            Some(daemon) => Err(BusError::NotAServer(format!(
                "{daemon} is a daemon; use systemctl with {}",
                brim_config::daemon_unit(&daemon)
            ))),
            None => Ok(()),
        }
    }
}

impl Shared {
    /// The daemon that a call is about, by the name on the bus that it was sent to.
    fn daemon_meant(&self, header: Option<&Header<'_>>) -> Option<String> {
        let destination = header?.destination()?;
        let daemon = daemon_of_bus_label(destination.as_str().strip_prefix(PREFIX)?)?;
        self.face().daemons.contains_key(&daemon).then_some(daemon)
    }

    fn start_time_of(&self, daemon: Option<&str>) -> u64 {
        match daemon {
            Some(_) => self.snapshot(daemon).get("start_time").unwrap_or_default(),
            None => self.start_time,
        }
    }
}

/// `net.brim.Brim1.Stats`.
struct Stats {
    shared: Arc<Shared>,
}

#[interface(name = "net.brim.Brim1.Stats")]
impl Stats {
    /// One total.
    fn get(&self, #[zbus(header)] header: Header<'_>, name: &str) -> Result<u64, BusError> {
        let daemon = self.shared.daemon_meant(Some(&header));
        self.shared.snapshot(daemon.as_deref()).get(name).ok_or_else(|| {
            let section = daemon.unwrap_or_else(|| self.shared.name.section());
            BusError::UnknownStat(format!("{section} has no total named \"{name}\""))
        })
    }

    /// This instance's part of Brim's stats document.
    fn json(&self, #[zbus(header)] header: Header<'_>) -> String {
        let daemon = self.shared.daemon_meant(Some(&header));
        let start_time = self.shared.start_time_of(daemon.as_deref());
        let sections = match daemon {
            Some(daemon) => [(daemon.clone(), self.shared.daemon_section(&daemon))].into(),
            None => self.shared.own_section(),
        };
        brim_stats::report(start_time, sections)
    }

    /// Every total by name.
    #[zbus(property(emits_changed_signal = "false"))]
    fn totals(&self, #[zbus(header)] header: Option<Header<'_>>) -> HashMap<String, u64> {
        let daemon = self.shared.daemon_meant(header.as_ref());
        self.shared.snapshot(daemon.as_deref()).totals().into_iter().collect()
    }

    /// Every worker by its name, with its values by theirs.
    #[zbus(property(emits_changed_signal = "false"))]
    fn workers(
        &self,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> HashMap<String, HashMap<String, u64>> {
        let daemon = self.shared.daemon_meant(header.as_ref());
        let workers = self.shared.snapshot(daemon.as_deref()).workers().into_iter();
        workers.map(|(worker, values)| (worker, values.into_iter().collect())).collect()
    }
}

/// Starts the bus thread. The receiver hears once, when the name is ours or why it is not.
pub(crate) fn start(
    shared: Arc<Shared>,
    orders: UnboundedSender<Order>,
    requests: Requests,
) -> io::Result<oneshot::Receiver<Result<(), zbus::Error>>> {
    let (first, heard) = oneshot::channel();
    std::thread::Builder::new().name("bus".to_owned()).spawn(move || {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(stay_connected(&shared, &orders, requests, first)),
            Err(error) => tracing::warn!(%error, "no bus"),
        }
    })?;
    Ok(heard)
}

/// zbus does not reconnect by itself.
async fn stay_connected(
    shared: &Arc<Shared>,
    orders: &UnboundedSender<Order>,
    mut requests: Requests,
    first: oneshot::Sender<Result<(), zbus::Error>>,
) {
    let mut first = Some(first);
    let own = shared.name.bus_name();
    loop {
        // A bus that hangs must not keep those waiting who ask for stats.
        let connected = tokio::select! {
            connected = connect(shared, orders) => connected,
            () = requests.answer(None, &own) => return,
        };
        match connected {
            Ok(bus) => {
                match first.take() {
                    Some(first) => drop(first.send(Ok(()))),
                    None => tracing::info!("back on the bus"),
                }
                tokio::select! {
                    () = until_lost(&bus) => tracing::warn!("the bus is gone"),
                    () = own_names(&bus, shared) => {}
                    () = requests.answer(Some(&bus), &own) => return,
                }
            }
            Err(error) => {
                if let Some(first) = first.take() {
                    let _ = first.send(Err(error));
                }
                tokio::select! {
                    () = tokio::time::sleep(RECONNECT) => {}
                    () = requests.answer(None, &own) => return,
                }
            }
        }
    }
}

async fn connect(
    shared: &Arc<Shared>,
    orders: &UnboundedSender<Order>,
) -> zbus::Result<Connection> {
    let instance = Instance { shared: shared.clone(), orders: orders.clone() };
    let bus = connection::Builder::system()?
        .serve_at(PATH, instance)?
        .serve_at(PATH, Stats { shared: shared.clone() })?
        .build()
        .await?;
    // Not queued: a second process of the same section is to hear that it is the second.
    bus.request_name_with_flags(shared.name.bus_name(), RequestNameFlags::DoNotQueue.into())
        .await?;
    Ok(bus)
}

/// Owns a name for each daemon, whichever there are at the time.
async fn own_names(bus: &Connection, shared: &Shared) {
    let mut owned: BTreeSet<String> = BTreeSet::new();
    loop {
        let daemons: BTreeSet<String> = shared.face().daemons.keys().cloned().collect();
        for gone in owned.difference(&daemons) {
            let _ = bus.release_name(daemon_name(gone)).await;
        }
        for new in daemons.difference(&owned) {
            let flags = RequestNameFlags::DoNotQueue.into();
            if let Err(error) = bus.request_name_with_flags(daemon_name(new), flags).await {
                tracing::warn!(daemon = new, %error, "no name on the bus for a daemon's figures");
            }
        }
        owned = daemons;
        shared.daemons_change.notified().await;
    }
}

fn daemon_name(daemon: &str) -> String {
    format!("{PREFIX}{}", daemon_bus_label(daemon))
}

async fn until_lost(bus: &Connection) {
    let mut messages = MessageStream::from(bus);
    while let Some(Ok(_)) = messages.next().await {}
}

/// The XML of both interfaces, as it is installed.
pub fn interface_xml() -> String {
    use zbus::object_server::Interface;

    let shared = Arc::new(Shared::new(brim_config::SectionName {
        kind: brim_config::Kind::Wsgi,
        name: None,
    }));
    shared.face().state = State::Starting;
    let (orders, _) = tokio::sync::mpsc::unbounded_channel();
    let mut xml = String::from(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n",
    );
    Instance { shared: shared.clone(), orders }.introspect_to_writer(&mut xml, 2);
    Stats { shared }.introspect_to_writer(&mut xml, 2);
    xml.push_str("</node>\n");
    xml
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_installed_interfaces_are_those_of_the_code() {
        let installed = include_str!("../../../packaging/dbus/interfaces/net.brim.Brim1.xml");
        assert_eq!(
            installed,
            super::interface_xml(),
            "brim-http --interface >packaging/dbus/interfaces/net.brim.Brim1.xml"
        );
    }
}
