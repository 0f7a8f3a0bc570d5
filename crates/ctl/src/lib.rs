//! `brimctl`: what people type to look at Brim's configuration and at the servers that run.
//!
//! [`command_line`] says what there is; each command is the module of its name. Below them:
//!
//! - `source`: the configuration, the sections that are meant, their programs;
//! - `bus`: the servers that run, by their names on the system bus; `systemd`: their units there;
//! - `output`: what is printed, and what became of whoever reads it.

#![forbid(unsafe_code)]

mod bus;
mod check;
pub mod command_line;
mod completions;
mod config;
mod error;
mod output;
mod reload;
mod routes;
mod run;
mod source;
mod stats;
mod status;
mod stop;
mod systemd;

use std::ffi::OsString;
use std::process::ExitCode;

use brim_launch::Exit;
use clap::Parser as _;

use command_line::{Cli, Command, Inner};
use error::Error;
use routes::Question;

/// The whole program: reads the command line, does what it says, returns why it ends.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let done = if Inner::is_meant(&arguments) {
        Inner::try_parse_from(arguments).map(obey_inner)
    } else {
        Cli::try_parse_from(arguments).map(obey)
    };
    match done {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            for problem in error.problems() {
                output::complain(&problem.to_string());
            }
            output::complain(&format!("brimctl: {error}"));
            error.exit().into()
        }
        Err(usage) => explain(&usage).into(),
    }
}

fn obey(cli: Cli) -> Result<ExitCode, Error> {
    let root = cli.root;
    let exit = match cli.command {
        Command::Check { file, sections } => check::check(&file.or_below(root), &sections),
        Command::Config { file, sections } => config::config(&file.or_below(root), &sections),
        Command::Routes { file, words } => {
            routes::routes(&file.or_below(root), &Question::of(words)?)
        }
        Command::Run { file, sections } => {
            return run::run(&file.or_below(root), &sections).map(ExitCode::from);
        }
        Command::Status { sections } => status::status(&source::below(root), &sections),
        Command::Stats { json, sections } => stats::stats(json, &sections),
        Command::Reload { sections } => reload::reload(&source::below(root), &sections),
        Command::Stop { sections } => stop::stop(&source::below(root), &sections),
    };
    exit.map(ExitCode::from)
}

fn obey_inner(inner: Inner) -> Result<ExitCode, Error> {
    let exit = match inner {
        Inner::Completions { shell } => completions::completions(shell),
        Inner::ExecServer { parent, program } => run::server::exec(parent, &program),
    };
    exit.map(ExitCode::from)
}

/// Prints help, the version, or what is wrong with the command line.
fn explain(usage: &clap::Error) -> Exit {
    let printed = usage.print();
    match (usage.use_stderr(), printed) {
        (true, _) => Exit::Usage,
        (false, Ok(())) => Exit::Success,
        (false, Err(_)) => Exit::System,
    }
}
