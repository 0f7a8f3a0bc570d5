//! `brimctl stop`: servers and the sockets that would start them again.

use std::process::{Command, Stdio};

use brim_config::SectionName;
use brim_launch::Exit;
use brim_launch::program::Source;

use crate::error::Error;
use crate::source::Loaded;

/// All servers, daemons and listeners, whatever the configuration says by now.
const ALL: [&str; 4] =
    ["brim-daemon@*.timer", "brim-daemon@*.service", "brim@*.service", "brim-listen@*.socket"];

pub(crate) fn stop(source: &Source, named: &[SectionName]) -> Result<Exit, Error> {
    let mut units: Vec<String> = Vec::new();
    if named.is_empty() {
        units.extend(ALL.map(str::to_owned));
    }
    let loaded = Loaded::new(source);
    for name in named {
        let sockets = triggered_by(name)?;
        if !loaded.has(name) && !is_active(name)? && sockets.is_empty() {
            return Err(loaded.without(name));
        }
        units.push(name.unit());
        units.extend(sockets);
    }
    // It waits, says what fails, and asks for a password where polkit wants one.
    let status =
        systemctl().arg("stop").arg("--").args(units).status().map_err(Error::NoSystemctl)?;
    Ok(if status.success() { Exit::Success } else { Exit::Refused })
}

/// The sockets that start a server on demand; systemd knows.
fn triggered_by(name: &SectionName) -> Result<Vec<String>, Error> {
    Ok(property(name, "TriggeredBy")?.split_whitespace().map(str::to_owned).collect())
}

fn is_active(name: &SectionName) -> Result<bool, Error> {
    let state = property(name, "ActiveState")?;
    Ok(!matches!(state.trim(), "" | "inactive" | "failed"))
}

fn property(name: &SectionName, property: &str) -> Result<String, Error> {
    let output = systemctl()
        .args(["show", "--value", "--property", property, "--", &name.unit()])
        .stderr(Stdio::null())
        .output()
        .map_err(Error::NoSystemctl)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn systemctl() -> Command {
    Command::new("systemctl")
}
