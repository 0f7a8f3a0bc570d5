//! Bytes that are looked at eight at a time.

/// Eight times the same byte.
pub(crate) const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether any byte is marked by `marks`, which says it of eight together: by the top bit of one of them.
#[inline]
pub(crate) fn has_any(bytes: &[u8], marks: impl Fn(u64) -> u64) -> bool {
    let is_marked = |word| marks(word) & each(0x80) != 0;
    let in_pair = |pair: &[u8; 16]| {
        let pair = u128::from_ne_bytes(*pair);
        (marks(pair as u64) | marks((pair >> 64) as u64)) & each(0x80) != 0
    };
    // Words overlap rather than leave bytes over.
    if let Some(last) = bytes.last_chunk() {
        return bytes.as_chunks().0.iter().any(in_pair) || in_pair(last);
    }
    if let Some((first, last)) = bytes.first_chunk().zip(bytes.last_chunk()) {
        return is_marked(u64::from_ne_bytes(*first)) || is_marked(u64::from_ne_bytes(*last));
    }
    if let Some((first, last)) = bytes.first_chunk().zip(bytes.last_chunk()) {
        let (first, last) = (u32::from_ne_bytes(*first), u32::from_ne_bytes(*last));
        return is_marked(u64::from(first) << 32 | u64::from(last));
    }
    is_marked(bytes.iter().fold(each(b'0'), |word, byte| word << 8 | u64::from(*byte)))
}

/// Marks `A` to `Z`, if all eight are ASCII.
pub(crate) fn capitals(word: u64) -> u64 {
    word.wrapping_add(each(0x80 - b'A')) & !word.wrapping_add(each(0x7f - b'Z'))
}

/// Appends a name in lower case.
pub(crate) fn append_lower(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    out.extend_from_slice(name);
    // Most are so already.
    if has_any(name, |word| word | capitals(word))
        && let Some(written) = out.get_mut(start..)
    {
        written.make_ascii_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_lower_case_whatever_they_were() {
        for length in 0..70 {
            for at in 0..length {
                for (byte, other) in [(b'A', b'x'), (b'Z', 0xff), (b'@', b'A'), (0xff, b'Z')] {
                    let mut name = vec![other; length];
                    name[at] = byte;
                    let mut out = b"Before".to_vec();
                    append_lower(&mut out, &name);
                    assert_eq!(out, [b"Before", &*name.to_ascii_lowercase()].concat());
                }
            }
        }
    }
}
