use serde::de::DeserializeOwned;

use crate::reader::Reader;

/// Most upstreams of one section.
const MOST: usize = 256;

/// The list `upstream`, which has to be set; empty where it is not, or something in it is wrong.
pub fn upstreams<T: DeserializeOwned>(r: &mut Reader<'_>) -> Vec<T> {
    // Asked for twice, since only `require` says that nothing is there.
    if r.require::<String>("upstream").is_none() {
        return Vec::new();
    }
    let upstreams = r.list::<T>("upstream").unwrap_or_default();
    if upstreams.len() > MOST {
        r.refuse("upstream", format!("{} upstreams, expected at most {MOST}", upstreams.len()));
    }
    upstreams
}
