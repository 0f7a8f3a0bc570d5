use std::net::{IpAddr, SocketAddr};

use super::Peer;
use crate::batch::{Batch, Came};

/// Most datagrams that the kernel makes of one (UDP_MAX_SEGMENTS).
const SEGMENTS: usize = 64;
/// Most bytes of all of them together, a little below what an IP packet can have.
const TOGETHER: usize = 60_000;
/// The largest one, so that it fits into an Ethernet frame: the kernel does not take apart what does not.
const SEGMENT: usize = 1400;

/// Datagrams to one place.
#[derive(Clone, Debug)]
pub(super) struct Run<'a> {
    pub(super) to: SocketAddr,
    pub(super) asked: Option<IpAddr>,
    /// The size of each but the last, which is no larger; `None` for one alone.
    pub(super) segment: Option<u16>,
    pub(super) parts: Vec<&'a [u8]>,
}

impl<'a> Run<'a> {
    /// The only part of one alone.
    pub(super) fn only(&self) -> &'a [u8] {
        self.parts.first().copied().unwrap_or_default()
    }

    /// Takes one more along, if the kernel can tell them apart.
    fn join(&mut self, bytes: &'a [u8]) -> bool {
        let size = self.only().len();
        let together = self.parts.len() * size;
        let fits = (1..=SEGMENT).contains(&size)
            && self.parts.last().is_some_and(|last| last.len() == size)
            && (1..=size).contains(&bytes.len())
            && self.parts.len() < SEGMENTS
            && together + bytes.len() <= TOGETHER;
        if fits {
            self.segment = u16::try_from(size).ok();
            self.parts.push(bytes);
        }
        fits
    }
}

/// What came, as it goes back: that of one peer together and in its order, in as few pieces as can be.
pub(super) fn runs(batch: &Batch) -> Vec<Run<'_>> {
    let mut came: Vec<(SocketAddr, &Came)> = batch
        .came
        .iter()
        .filter_map(|came| match came.from.peer {
            Peer::Ip(peer) => Some((peer, came)),
            Peer::Unix(_) | Peer::Unnamed => None,
        })
        .collect();
    // Stable: the order of one peer's is kept.
    came.sort_by_key(|(peer, _)| *peer);
    let mut runs: Vec<Run<'_>> = Vec::with_capacity(came.len());
    for (to, came) in came {
        let (asked, bytes) = (came.from.asked, batch.bytes(came));
        let last = runs.last_mut().filter(|run| run.to == to && run.asked == asked);
        if !last.is_some_and(|run| run.join(bytes)) {
            runs.push(Run { to, asked, segment: None, parts: vec![bytes] });
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::super::From;
    use super::*;

    fn batch(datagrams: &[(u16, &str)]) -> Batch {
        let mut batch = Batch::new(2000);
        for (index, (port, text)) in datagrams.iter().enumerate() {
            batch.buffers[index][..text.len()].copy_from_slice(text.as_bytes());
            let peer = Peer::Ip(([127, 0, 0, 1], *port).into());
            let from = From { peer, asked: None };
            batch.came.push(Came { buffer: index, length: text.len(), from });
        }
        batch
    }

    fn shown(datagrams: &[(u16, &str)]) -> Vec<String> {
        let batch = batch(datagrams);
        let show = |run: Run<'_>| {
            let parts: Vec<_> =
                run.parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
            format!("{} {:?} {}", run.to.port(), run.segment, parts.join("|"))
        };
        runs(&batch).into_iter().map(show).collect()
    }

    #[test]
    fn those_of_one_peer_go_together_and_a_shorter_one_ends_it() {
        assert_eq!(
            shown(&[(2, "aa"), (1, "xxx"), (2, "bb"), (1, "yyy"), (2, "c"), (2, "dd"), (2, "eee")]),
            ["1 Some(3) xxx|yyy", "2 Some(2) aa|bb|c", "2 None dd", "2 None eee"]
        );
    }

    #[test]
    fn empty_and_large_ones_go_alone() {
        let large = "x".repeat(SEGMENT + 1);
        assert_eq!(
            shown(&[(1, ""), (1, ""), (1, "a"), (1, "")]),
            ["1 None ", "1 None ", "1 None a", "1 None "]
        );
        assert_eq!(shown(&[(1, &large), (1, &large)]).len(), 2);
        let largest = "x".repeat(SEGMENT);
        let many: Vec<_> = (0..60).map(|_| (1, largest.as_str())).collect();
        let pieces = runs(&batch(&many)).iter().map(|run| run.parts.len()).collect::<Vec<_>>();
        assert_eq!(pieces, [42, 18]);
    }
}
