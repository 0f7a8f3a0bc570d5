use std::process::ExitCode;

/// Why a program ends; the numbers from 64 on are those of sysexits.h, and the units know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// A server refused, or failed.
    Refused,
    /// A server that was asked after does not run (the number is LSB's).
    NotRunning,
    /// The command line is wrong.
    Usage,
    /// A bug of ours.
    Bug,
    /// The system refused something.
    System,
    /// Something is forbidden.
    Permission,
    /// The configuration is wrong.
    Config,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Refused => 1,
            Self::NotRunning => 3,
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
