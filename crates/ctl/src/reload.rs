//! `brimctl reload`: the check first, so that a bad configuration touches nothing, then
//! `Reload()` of each server.

use brim_config::SectionName;
use brim_launch::Exit;
use brim_launch::bus::ReloadError;
use brim_launch::program::Source;

use crate::bus::Bus;
use crate::error::Error;
use crate::output;
use crate::source::Loaded;

pub(crate) fn reload(source: &Source, named: &[SectionName]) -> Result<Exit, Error> {
    let loaded = Loaded::new(source);
    let running = Bus::connect()?.running()?;
    let wanted = if named.is_empty() { running.clone() } else { named.to_vec() };
    let mut exit = Exit::Success;
    // What is served although its section is gone does not keep the others from being reloaded.
    let (wanted, gone): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|name| !named.is_empty() || loaded.has(name));
    for name in gone {
        output::complain(&format!(
            "[{name}] is served, but is not in the configuration any more; to end it: brimctl stop {name}"
        ));
        exit = Exit::Refused;
    }
    if wanted.is_empty() && exit == Exit::Success {
        output::complain("no server runs, so there is nothing to reload");
        return Ok(Exit::Success);
    }
    let findings = loaded.check(&wanted)?;
    let failed = findings.failed();
    output::findings(findings, &loaded.tree);
    if failed {
        output::complain("nothing was reloaded, what runs goes on as it was");
        return Ok(Exit::Config);
    }
    for name in wanted {
        exit = worse(exit, reload_one(&name)?);
    }
    Ok(exit)
}

fn reload_one(name: &SectionName) -> Result<Exit, Error> {
    let (said, exit) = match brim_launch::bus::reload(name) {
        Ok(()) => {
            output::print(&format!("[{name}]: reloaded\n"))?;
            return Ok(Exit::Success);
        }
        Err(ReloadError::NobodyThere(_)) => {
            let unit = name.unit();
            (format!("is not on the bus; see: systemctl status {unit}"), Exit::NotRunning)
        }
        Err(ReloadError::Refused(problems)) => {
            (format!("refused, the old configuration goes on\n{problems}"), Exit::Refused)
        }
        Err(error @ ReloadError::Denied(_)) => (error.to_string(), Exit::Permission),
        Err(error) => (error.to_string(), Exit::System),
    };
    output::complain(&format!("[{name}]: {said}"));
    Ok(exit)
}

fn worse(one: Exit, other: Exit) -> Exit {
    if other.code() > one.code() { other } else { one }
}
