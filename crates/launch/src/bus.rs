//! `Reload()` of a running instance.

use std::time::Duration;

use brim_config::SectionName;
use zbus::blocking::connection::Builder;

/// The one object of an instance.
pub const PATH: &str = "/net/brim/Brim1";
/// The interface of its life.
pub const INSTANCE: &str = "net.brim.Brim1.Instance";

/// How long a reload may take: a bit less than `TimeoutStartSec=` of `brim@.service`, after which
/// systemd kills whoever waits.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(25);

/// Why a reload did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is no bus.
    #[error("the system bus cannot be reached: {0}")]
    NoBus(#[source] zbus::Error),
    /// Nobody has the instance's name.
    #[error("nobody has the name {0} on the system bus")]
    NobodyThere(String),
    /// The instance refuses the new configuration, and goes on with the old one. Every problem on a
    /// line of its own.
    #[error("{0}")]
    Refused(String),
    /// We may not do that.
    #[error("{0}; run as root")]
    Denied(String),
    /// The instance did not answer in time.
    #[error("no answer within {} seconds", RELOAD_TIMEOUT.as_secs())]
    Timeout,
    /// Something else.
    #[error("{0}")]
    Bus(#[source] zbus::Error),
}

/// Has a running instance take over its changed configuration. Returns when that is in force.
pub fn reload(name: &SectionName) -> Result<(), ReloadError> {
    let bus = Builder::system()
        .and_then(|builder| builder.method_timeout(RELOAD_TIMEOUT).build())
        .map_err(ReloadError::NoBus)?;
    let bus_name = name.bus_name();
    match bus.call_method(Some(bus_name.as_str()), PATH, Some(INSTANCE), "Reload", &()) {
        Ok(_) => Ok(()),
        Err(error) => Err(understood(error, bus_name)),
    }
}

fn understood(error: zbus::Error, bus_name: String) -> ReloadError {
    match error {
        zbus::Error::MethodError(name, text, message) => {
            let said = text.clone().unwrap_or_else(|| name.to_string());
            match name.as_str() {
                "net.brim.Brim1.Error.ReloadFailed" => ReloadError::Refused(said),
                "net.brim.Brim1.Error.AccessDenied" | "org.freedesktop.DBus.Error.AccessDenied" => {
                    ReloadError::Denied(said)
                }
                "org.freedesktop.DBus.Error.ServiceUnknown"
                | "org.freedesktop.DBus.Error.NameHasNoOwner" => ReloadError::NobodyThere(bus_name),
                "org.freedesktop.DBus.Error.NoReply" => ReloadError::Timeout,
                _ => ReloadError::Bus(zbus::Error::MethodError(name, text, message)),
            }
        }
        zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            ReloadError::Timeout
        }
        error => ReloadError::Bus(error),
    }
}
