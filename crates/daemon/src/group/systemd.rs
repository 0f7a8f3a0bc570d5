//! systemd on the bus, as far as a group asks it.

use std::collections::HashMap;

use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{Connection, connection};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: (&str, &str) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
pub(super) const SERVICE: &str = "org.freedesktop.systemd1.Service";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Properties by name.
pub(super) type Changed = HashMap<String, OwnedValue>;

/// One element of what ListUnitsByPatterns returns (org.freedesktop.systemd1(5)).
type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// A connection to it.
#[derive(Clone, Debug)]
pub(super) struct Systemd(pub(super) Connection);

impl Systemd {
    pub(super) async fn connect() -> zbus::Result<Self> {
        let builder = connection::Builder::system()?;
        Ok(Self(builder.method_timeout(std::time::Duration::from_secs(10)).build().await?))
    }

    /// From here on it tells of changes.
    pub(super) async fn subscribe(&self) -> zbus::Result<()> {
        self.manager("Subscribe", &()).await.map(drop)
    }

    pub(super) async fn properties(&self, path: &str, interface: &str) -> zbus::Result<Changed> {
        let reply = self
            .0
            .call_method(Some(SYSTEMD), path, Some(PROPERTIES), "GetAll", &(interface))
            .await?;
        reply.body().deserialize()
    }

    /// The daemons that run, whatever the configuration says.
    pub(super) async fn running(&self) -> zbus::Result<Vec<String>> {
        let states = ["active", "activating", "reloading"];
        let body = (&states[..], &["brim-daemon@*.service"][..]);
        let units: Vec<Listed> =
            self.manager("ListUnitsByPatterns", &body).await?.body().deserialize()?;
        Ok(units.into_iter().filter_map(|unit| daemon_of_unit(&unit.0)).collect())
    }

    /// The daemon that a process belongs to; `None` for all others, and for one that is gone.
    pub(super) async fn daemon_of(&self, pid: u32) -> zbus::Result<Option<String>> {
        match self.manager("GetUnitByPID", &(pid)).await {
            Ok(reply) => {
                let path: OwnedObjectPath = reply.body().deserialize()?;
                Ok(unit_of_object(path.as_str()).and_then(|unit| daemon_of_unit(&unit)))
            }
            Err(zbus::Error::MethodError(..)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn manager<B>(&self, method: &str, body: &B) -> zbus::Result<zbus::Message>
    where
        B: zbus::export::serde::Serialize + zbus::zvariant::DynamicType,
    {
        let (path, interface) = MANAGER;
        self.0.call_method(Some(SYSTEMD), path, Some(interface), method, body).await
    }
}

fn daemon_of_unit(unit: &str) -> Option<String> {
    unit.strip_prefix("brim-daemon@")?.strip_suffix(".service").map(str::to_owned)
}

/// The reverse of [`brim_config::unit_object`].
fn unit_of_object(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix("/org/freedesktop/systemd1/unit/")?.split('_');
    let mut unit = parts.next()?.to_owned();
    for part in parts {
        let byte = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        unit.push(char::from(byte));
        unit.push_str(part.get(2..)?);
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_tells_the_daemon_of_its_unit() {
        let path = brim_config::unit_object(&brim_config::daemon_unit("my-job.v_2"));
        let daemon = |path: &str| unit_of_object(path).and_then(|unit| daemon_of_unit(&unit));
        assert_eq!(daemon(&path).as_deref(), Some("my-job.v_2"));
        for other in [
            "",
            "/org/freedesktop/systemd1/unit/ssh_2eservice",
            "/x",
            "/org/freedesktop/systemd1/unit/_",
        ] {
            assert_eq!(daemon(other), None, "{other}");
        }
    }
}
