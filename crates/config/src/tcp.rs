//! `[tcp]` and `[tcp#NAME]`: a TCP server.

use std::time::Duration;

use crate::daemon::Sandbox;
use crate::keys::span;
use crate::name::{Kind, SectionName};
use crate::problem::Problem;
use crate::reader::Reader;
use crate::server::{ServerSection, keys_of, read_with_app};
use crate::tls::TlsKeys;
use crate::tree::Tree;

/// A section of the kind `tcp`. It is the section of its one app, too: what the app asks for stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSection {
    /// The keys that all kinds of servers have.
    pub server: ServerSection,
    /// `call`: name of the app, required. Not from `[brim]`.
    pub call: Option<String>,
    /// `client_timeout`: time of silence in both directions, after which a connection is closed; 0 is for
    /// ever; default 60s.
    pub client_timeout: Duration,
    /// `sandbox`: `strict`, `normal` or `off`, what the programs of the app `exec` may do; default `strict`.
    pub sandbox: Sandbox,
    /// TLS; the keys stand at the fields of [`TlsKeys`].
    pub tls: TlsKeys,
}

impl TcpSection {
    /// Reads a section with what its app asks for, and with it the defaults in `[brim]`. There is always
    /// a value, with defaults where something is bad.
    pub fn read<T>(
        tree: &Tree,
        name: &SectionName,
        app: impl FnOnce(&Self, &mut Reader<'_>) -> T,
    ) -> ((Self, T), Vec<Problem>) {
        read_with_app(tree, name, Self::take, app)
    }

    /// Every key of such a section, but those of apps.
    pub fn keys() -> Vec<&'static str> {
        keys_of(Kind::Tcp, Self::take)
    }

    /// Takes every key of the section from a reader, but those of its app.
    pub(crate) fn take(tree: &Tree, name: &SectionName, r: &mut Reader<'_>) -> Self {
        Self {
            server: ServerSection::take(tree, name, r),
            call: r.own("call"),
            client_timeout: span(r, "client_timeout", 60),
            sandbox: r.own("sandbox").unwrap_or(Sandbox::Strict),
            tls: TlsKeys::take(r),
        }
    }
}
