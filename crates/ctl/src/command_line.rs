//! The command line, which is also the page that a newcomer reads: `brimctl --help`.

use std::ffi::OsString;
use std::path::PathBuf;

use brim_config::SectionName;
use brim_launch::program::Source;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

const AFTER_HELP: &str = "\
SECTION is a section of Brim's configuration that has a server, such as wsgi or
wsgi#NAME (wsgi:NAME is the same). Without one, a command is for all of them.

Servers are units of systemd: the one of [wsgi] is brim@wsgi, the one of
[wsgi#NAME] is brim@wsgi:NAME. To start one, now and at each boot:

    systemctl enable --now brim@wsgi

Examples:
    brimctl run -c ./brim.conf          try a configuration in the foreground
    brimctl check && brimctl reload     after an edit
    brimctl status                      what runs
    brimctl stats wsgi                  its counters
    brimctl routes http://localhost/x   who answers that

See brimctl(1), brim.conf(5), brim(7).";

/// Check, query and control Brim's servers
#[derive(Debug, Parser)]
#[command(name = "brimctl", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// Read the configuration below DIR instead of /
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide_default_value = true)]
    pub root: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What brimctl can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print everything that is wrong with the configuration, each with its file and line
    Check {
        /// One file instead of the machine's.
        #[command(flatten)]
        file: File,
        /// Check only these sections
        #[arg(value_name = "SECTION")]
        sections: Vec<SectionName>,
    },
    /// Print the merged configuration, each key with the file and line it comes from
    Config {
        /// One file instead of the machine's.
        #[command(flatten)]
        file: File,
        /// Print only these sections, which may be those of apps
        #[arg(value_name = "SECTION")]
        sections: Vec<String>,
    },
    /// Print which application answers a request, and why the others do not
    ///
    /// METHOD is GET if it is left out. URL may be a path alone. Of several sections, those are
    /// asked that listen on the URL's port.
    #[command(override_usage = "brimctl routes [OPTIONS] [METHOD] URL [SECTION]...")]
    Routes {
        /// One file instead of the machine's.
        #[command(flatten)]
        file: File,
        /// The request, and the sections to ask
        #[arg(value_name = "URL", required = true)]
        words: Vec<String>,
    },
    /// Serve in the foreground, without systemd, for development
    ///
    /// Opens the listeners of the sections, starts their servers, prints what these print, and
    /// the URLs. Ctrl-C lets requests in progress finish and ends it, a second one ends it at once.
    /// It ends, too, when a server ends. Nothing is restarted. Daemons are run once each, at once.
    Run {
        /// One file instead of the machine's.
        #[command(flatten)]
        file: File,
        /// Serve only these sections
        #[arg(value_name = "SECTION")]
        sections: Vec<SectionName>,
    },
    /// Print what runs, since when, and what it says of itself
    ///
    /// Exits with 0 when all of the sections are served, 3 when one is not.
    Status {
        /// Print only these sections
        #[arg(value_name = "SECTION")]
        sections: Vec<SectionName>,
    },
    /// Print the counters of the servers that run
    Stats {
        /// Print one JSON document, as the app `stats` answers with
        #[arg(long)]
        json: bool,
        /// Print only these sections
        #[arg(value_name = "SECTION")]
        sections: Vec<SectionName>,
    },
    /// Check the configuration, and have running servers take it over
    ///
    /// As `systemctl reload brim@SECTION`, but prints the reasons when that is refused; then
    /// the servers go on with what they had. Changed listeners need `systemctl daemon-reload` and
    /// `systemctl restart` instead.
    Reload {
        /// Reload only these servers
        #[arg(value_name = "SECTION")]
        sections: Vec<SectionName>,
    },
    /// Stop servers and close their listeners; requests in progress are finished first
    Stop {
        /// Stop only these servers
        #[arg(value_name = "SECTION")]
        sections: Vec<SectionName>,
    },
}

/// What packages and brimctl itself call; kept out of the help and of completions.
#[derive(Debug, Parser)]
#[command(name = "brimctl")]
pub enum Inner {
    /// Print a completion script
    Completions {
        /// The shell it is for
        shell: Shell,
    },
    /// Become a server (`run` starts its children by it)
    ExecServer {
        /// The process that started it
        parent: i32,
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<OsString>,
    },
}

impl Inner {
    /// Whether the first argument, after the program's name, is one of these.
    pub fn is_meant(arguments: &[OsString]) -> bool {
        arguments.get(1).is_some_and(|first| Self::has_subcommand(&first.to_string_lossy()))
    }
}

/// One file instead of those of the machine.
#[derive(Args, Debug)]
pub struct File {
    /// Read FILE and FILE.d/*.conf instead of the machine's configuration
    #[arg(short = 'c', long = "config", value_name = "FILE", conflicts_with = "root")]
    file: Option<PathBuf>,
}

impl File {
    /// The file, or else what lies below a root.
    pub fn or_below(self, root: PathBuf) -> Source {
        self.file.map_or(Source::Root(root), Source::File)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const MAN_PAGE: &str = include_str!("../../../packaging/man/brimctl.1");

    #[test]
    fn every_command_and_option_is_in_the_help_and_in_the_man_page() {
        let mut cli = Cli::command();
        cli.build();
        let help = cli.render_long_help().to_string();
        for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            assert!(help.contains(&format!("\n  {name} ")), "{name}\n{help}");
            assert!(MAN_PAGE.contains(&format!(".It Cm {name}")), "{name}");
            let help = command.clone().render_long_help().to_string();
            for argument in command.get_arguments() {
                in_help_and_man_page(argument, &help);
            }
        }
        for argument in cli.get_arguments() {
            in_help_and_man_page(argument, &help);
        }
    }

    fn in_help_and_man_page(argument: &clap::Arg, help: &str) {
        if let Some(long) = argument.get_long() {
            assert!(help.contains(&format!("--{long}")), "--{long}\n{help}");
            assert!(MAN_PAGE.contains(&format!("Fl -{long}")), "--{long}");
        }
        if let Some(short) = argument.get_short() {
            assert!(help.contains(&format!("-{short}")), "-{short}\n{help}");
            assert!(MAN_PAGE.contains(&format!("Fl {short}")), "-{short}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
