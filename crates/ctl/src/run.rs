//! `brimctl run`: servers in the foreground, without systemd.
//!
//! 1. The sections are checked as by `brimctl check`.
//! 2. `listen`: their listeners are opened.
//! 3. `urls`: what is served, and how to try it, is printed.
//! 4. [`server`]: each server is started, and gets its sockets as from systemd.
//!    The `daemons` of a group are started instead, each once.
//! 5. `lines`: what they print is printed, each line behind the name of its section.
//! 6. `watch`: until a signal comes or one of them ends; then all end.

mod daemons;
mod lines;
mod listen;
pub(crate) mod server;
mod urls;
mod watch;

use brim_config::{Kind, SectionName, ServerSection, Tree};
use brim_launch::Exit;
use brim_launch::program::{Program, Source};

use crate::error::Error;
use crate::output;
use crate::source::{Loaded, programs};

use lines::Lines;
use listen::Listening;
use watch::Watch;

/// Returns the exit code of the server that ended first, or 0 when that was wanted.
pub(crate) fn run(source: &Source, named: &[SectionName]) -> Result<u8, Error> {
    let loaded = Loaded::new(source);
    let findings = loaded.check(named)?;
    if findings.failed() {
        output::findings(findings, &loaded.tree);
        return Ok(Exit::Config.code());
    }
    let names = loaded.meant(named)?;
    if names.is_empty() {
        return Err(loaded.nothing_to_serve());
    }
    let mut prepared = Vec::new();
    for name in &names {
        prepared.push(prepare(&loaded, name)?);
    }
    // Before there is anybody whose end could be missed.
    let mut watch = Watch::new()?;
    let lines = Lines::new(&labels(&loaded.tree, &names));
    for (program, listening) in &prepared {
        let urls = urls::of(&loaded.tree, &program.name, listening);
        output::print(&lines.prefixed(&program.name.section(), &urls))?;
    }
    for (program, listening) in prepared {
        if program.name.kind == Kind::Daemons {
            let daemons = daemons::of(&loaded.tree, &program.name);
            let (started, socket) = daemons::start_all(&program, source, &daemons, &lines)?;
            watch.keep(socket);
            started.into_iter().for_each(|daemon| watch.add(daemon));
        } else {
            watch.add(server::serve(&program, source, listening, &lines)?);
        }
    }
    let code = watch.until_the_end();
    lines.finish();
    Ok(code)
}

/// The sections, and the daemons of those that are groups.
fn labels(tree: &Tree, names: &[SectionName]) -> Vec<String> {
    let groups = names.iter().filter(|name| name.kind == Kind::Daemons);
    let daemons = groups.flat_map(|name| daemons::of(tree, name)).map(|daemon| daemon.name);
    names.iter().map(SectionName::section).chain(daemons).collect()
}

/// The program of a section, and its open listeners.
fn prepare(loaded: &Loaded<'_>, name: &SectionName) -> Result<(Program, Vec<Listening>), Error> {
    let program = programs()?.of(&loaded.tree, name);
    let section = ServerSection::read(&loaded.tree, name);
    let open = |listener| Listening::open(name, listener, section.backlog);
    let listening: Result<Vec<_>, _> = section.listeners.iter().map(open).collect();
    Ok((program, listening?))
}
