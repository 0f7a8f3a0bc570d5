//! Who may reload and drain: root, our own uid (`ExecReload=` may run as it), and whom polkit lets.

use std::collections::HashMap;

use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus::zvariant::Value;

use super::BusError;

/// The polkit action; its file names our user as owner, else polkit would not answer us.
const ACTION: &str = "net.brim.brim1.manage";

/// Refuses callers that may not change anything.
pub(crate) async fn check(bus: &Connection, header: &Header<'_>) -> Result<(), BusError> {
    let denied = || BusError::AccessDenied("only root may do that, or whom polkit lets".to_owned());
    let sender = header.sender().ok_or_else(denied)?;
    let uid = DBusProxy::new(bus)
        .await?
        .get_connection_unix_user(sender.clone().into())
        .await
        .map_err(|_| denied())?;
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let interactive = header.primary().flags().contains(Flags::AllowInteractiveAuth);
    match polkit_allows(bus, sender.as_str(), interactive).await {
        Ok(true) => Ok(()),
        // No polkit: then it is root only.
        Ok(false) | Err(_) => Err(denied()),
    }
}

async fn polkit_allows(bus: &Connection, sender: &str, interactive: bool) -> zbus::Result<bool> {
    let subject = ("system-bus-name", HashMap::from([("name", Value::from(sender))]));
    let details: HashMap<&str, &str> = HashMap::new();
    let reply = bus
        .call_method(
            Some("org.freedesktop.PolicyKit1"),
            "/org/freedesktop/PolicyKit1/Authority",
            Some("org.freedesktop.PolicyKit1.Authority"),
            "CheckAuthorization",
            &(subject, ACTION, details, u32::from(interactive), ""),
        )
        .await?;
    let body = reply.body();
    let (allowed, _, _): (bool, bool, HashMap<String, String>) = body.deserialize()?;
    Ok(allowed)
}
