//! Header maps that nobody needs any more. The next head on this thread has use for their room: without them, four
//! pieces of memory would be had and given back for every request.

use std::cell::RefCell;

use http::HeaderMap;

/// Most maps that are kept, and the most fields for which one of them may have room.
const MOST: usize = 64;
const FIELDS: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map.
pub(crate) fn take() -> HeaderMap {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps the room of a map.
pub(crate) fn keep(mut headers: HeaderMap) {
    if (1..=FIELDS).contains(&headers.capacity()) {
        headers.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MOST {
                spare.push(headers);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn map(fields: usize) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(fields);
        map.insert(header::HOST, HeaderValue::from_static("x"));
        map.append(header::HOST, HeaderValue::from_static("y"));
        map
    }

    #[test]
    fn nothing_but_the_room_is_kept() {
        let kept = map(8);
        let room = kept.capacity();
        keep(kept);
        let mut taken = take();
        assert_eq!((taken.len(), taken.capacity()), (0, room));
        assert!(!taken.contains_key(header::HOST));
        taken.append(header::HOST, HeaderValue::from_static("z"));
        assert_eq!(taken.get_all(header::HOST).iter().collect::<Vec<_>>(), ["z"]);
    }

    #[test]
    fn there_is_a_limit_to_what_is_kept() {
        keep(HeaderMap::new());
        keep(map(FIELDS + 1));
        assert_eq!(take().capacity(), 0);
        (0..=MOST).for_each(|_| keep(map(8)));
        assert_eq!((0..=MOST).filter(|_| take().capacity() > 0).count(), MOST);
    }
}
