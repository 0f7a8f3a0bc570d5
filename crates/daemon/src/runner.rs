//! `--run`: one daemon with `call`, in a process of its own.

use brim_config::{
    Cause, DaemonSection, DaemonsSection, LogLevel, Problem, Reader, Severity, Tree, Work,
    has_errors,
};
use brim_service::{Exit, Lifecycle, Solo, run_solo};

use crate::command_line::Target;
use crate::daemon::DaemonContext;
use crate::registry::{Configured, Registry};
use crate::report::{Reports, Way};

pub(crate) fn run(registry: &Registry, target: &Target) -> Exit {
    let (tree, mut problems) = target.load();
    problems.retain(|problem| problem.concerns(&target.daemon));
    let (daemon, of_section) = read(registry, &tree, &target.daemon);
    problems.extend(of_section);
    let problems = tree.arrange(problems);
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.iter().for_each(|line| eprintln!("{line}"));
    let Some(daemon) = daemon.filter(|_| !has_errors(&problems)) else {
        brim_service::status(&format!("configuration error: {}", lines.join("; ")));
        return Exit::Config;
    };
    let log_level = DaemonsSection::of_daemon(&tree, &target.daemon)
        .map_or(LogLevel::Info, |group| group.server.log_level);
    let solo = Solo {
        program: "brim-daemon",
        section: target.daemon.clone(),
        log_level: brim_service::level(log_level),
    };
    run_solo(solo, move |lifecycle| work(daemon, lifecycle))
}

/// Reads the section; a daemon comes back only where `call` is known.
fn read(
    registry: &Registry,
    tree: &Tree,
    name: &str,
) -> (Option<Box<dyn Configured>>, Vec<Problem>) {
    if DaemonsSection::of_daemon(tree, name).is_none() {
        let why = "no group lists a daemon of this name; `daemons` of [daemons] does".to_owned();
        let problem = Problem {
            origin: tree.section(name).map(|section| section.origin.clone()),
            section: Some(name.to_owned()),
            key: None,
            severity: Severity::Error,
            cause: Cause::Refused(why),
        };
        return (None, vec![problem]);
    }
    let mut reader = Reader::new(tree, name);
    let section = DaemonSection::take(tree, &mut reader);
    let daemon = match section.work {
        Some(Work::Call(call)) => registry.configure(name, &call, &mut reader),
        Some(Work::Exec(_)) => {
            let why = "systemd itself runs this program, when it has read its units anew: systemctl \
                       daemon-reload, and start brim-daemon@ again";
            reader.refuse("exec", why);
            None
        }
        None => None,
    };
    let known = daemon.is_some();
    let problems = reader.finish().into_iter();
    let problems =
        problems.filter(|problem| known || !matches!(problem.cause, Cause::UnknownKey { .. }));
    (daemon, problems.collect())
}

async fn work(daemon: Box<dyn Configured>, lifecycle: Lifecycle) -> Result<(), String> {
    let reports = Reports::default();
    let way = Way::from_environment();
    let context = DaemonContext::new(reports.clone());
    let done = tokio::select! {
        done = daemon.run(&context) => done.map_err(|failure| failure.0),
        () = lifecycle.drain_begins() => Ok(()),
        () = send(&reports, way.as_ref()) => Ok(()),
    };
    if let Some(way) = &way {
        reports.send(way);
    }
    done
}

/// Sends figures for ever, if there is somebody to take them.
async fn send(reports: &Reports, way: Option<&Way>) {
    match way {
        Some(way) => reports.keep_sending(way).await,
        None => std::future::pending().await,
    }
}
