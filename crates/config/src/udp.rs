//! `[udp]` and `[udp#NAME]`: a UDP server.

use crate::keys::{count, narrow, size};
use crate::name::{Kind, SectionName};
use crate::problem::Problem;
use crate::reader::Reader;
use crate::server::{ServerSection, keys_of, read_with_app};
use crate::tree::Tree;

const KIB: u64 = 1024;

/// A section of the kind `udp`. It is the section of its one app, too: what the app asks for stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpSection {
    /// The keys that all kinds of servers have. Those that are about connections mean nothing here.
    pub server: ServerSection,
    /// `call`: name of the app, required. Not from `[brim]`.
    pub call: Option<String>,
    /// `max_datagram_size`: size of the largest datagram that is served, 1 to 64K, default 64K. Larger ones
    /// are dropped and counted.
    pub max_datagram_size: usize,
    /// `concurrent_per_worker`: datagrams that an app of one's own serves at the same time on one worker, 1 to
    /// 1000000, default 1024. Meanwhile others wait in the kernel.
    pub concurrent_per_worker: usize,
    /// `receive_buffer`: size of what waits in the kernel for each listener, 4K to 1G, default 2M.
    pub receive_buffer: usize,
}

impl UdpSection {
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
        keys_of(Kind::Udp, Self::take)
    }

    /// Takes every key of the section from a reader, but those of its app.
    pub(crate) fn take(tree: &Tree, name: &SectionName, r: &mut Reader<'_>) -> Self {
        Self {
            server: ServerSection::take(tree, name, r),
            call: r.own("call"),
            max_datagram_size: narrow(size::<1, { 64 * KIB }>(r, "max_datagram_size", 64 * KIB)),
            concurrent_per_worker: narrow(count::<1, 1_000_000>(r, "concurrent_per_worker", 1024)),
            receive_buffer: narrow(size::<{ 4 * KIB }, { 1024 * 1024 * KIB }>(
                r,
                "receive_buffer",
                2 * 1024 * KIB,
            )),
        }
    }
}
