use std::process::ExitCode;

/// Why a program ends; the numbers are those of sysexits.h, and the units know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or drained as asked.
    Success,
    /// What it was to do failed; systemd tries again.
    Failed,
    /// The command line is wrong; systemd does not try again.
    Usage,
    /// A bug of ours; systemd tries again.
    Bug,
    /// The system refused something that it may grant later; systemd tries again.
    System,
    /// Something is forbidden; systemd does not try again.
    Permission,
    /// The configuration is wrong; systemd does not try again.
    Config,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Bug => 70,
            Self::System => 71,
            Self::Permission => 77,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
