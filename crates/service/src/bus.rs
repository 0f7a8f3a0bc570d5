//! The instance on the system bus: its name, its one object, its two interfaces.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

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
        authority::check(bus, &header).await?;
        let _ = self.orders.send(Order::Drain);
        Ok(())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> String {
        self.shared.name.kind.to_string()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn section(&self) -> String {
        self.shared.name.section()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Epoch seconds.
    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self) -> u64 {
        self.shared.start_time
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn workers(&self) -> u32 {
        self.shared.face().workers
    }

    /// One of starting, holding, running, reloading, draining.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self) -> String {
        self.shared.face().state.to_string()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn listeners(&self) -> Vec<String> {
        self.shared.face().listeners.clone()
    }
}

/// `net.brim.Brim1.Stats`.
struct Stats {
    shared: Arc<Shared>,
}

#[interface(name = "net.brim.Brim1.Stats")]
impl Stats {
    /// One total.
    fn get(&self, name: &str) -> Result<u64, BusError> {
        self.shared.snapshot().get(name).ok_or_else(|| {
            BusError::UnknownStat(format!(
                "{} has no total named \"{name}\"",
                self.shared.name.section()
            ))
        })
    }

    /// This instance's part of Brim's stats document.
    fn json(&self) -> String {
        brim_stats::report(self.shared.start_time, self.shared.own_section())
    }

    /// Every total by name.
    #[zbus(property(emits_changed_signal = "false"))]
    fn totals(&self) -> HashMap<String, u64> {
        self.shared.snapshot().totals().into_iter().collect()
    }

    /// Every worker by its name, with its values by theirs.
    #[zbus(property(emits_changed_signal = "false"))]
    fn workers(&self) -> HashMap<String, HashMap<String, u64>> {
        let workers = self.shared.snapshot().workers().into_iter();
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
