//! Payloads that are kept apart, to be made again: of idempotent requests in flight, and of all that go from a lost
//! connection to the next.
//!
//! The storage of one that has ended is the next one's, so keeping allocates nothing in the steady state. What must
//! always hold: no more bytes are kept than there may be, and of storage at rest no more than that either.

/// Names a payload that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptKey(u32);

#[derive(Debug)]
pub(super) struct Kept {
    payloads: Vec<Vec<u8>>,
    /// The places that hold none, last in, first out.
    free: Vec<u32>,
    bytes: usize,
    bytes_max: usize,
    /// Of all storage, in use or not.
    capacity: usize,
}

impl Kept {
    pub(super) fn new(bytes_max: usize) -> Kept {
        Kept {
            payloads: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            bytes_max,
            capacity: 0,
        }
    }

    /// Keeps a copy, if there is room for it.
    pub(super) fn put(&mut self, payload: &[u8]) -> Option<KeptKey> {
        if payload.len() > self.bytes_max - self.bytes {
            return None;
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.payloads.push(Vec::new());
            self.payloads.len() as u32 - 1
        });
        let storage = &mut self.payloads[place as usize];
        self.capacity -= storage.capacity();
        storage.extend_from_slice(payload);
        self.capacity += storage.capacity();
        self.bytes += payload.len();
        Some(KeptKey(place))
    }

    pub(super) fn get(&self, key: KeptKey) -> &[u8] {
        &self.payloads[key.0 as usize]
    }

    /// It is needed no more. Nothing happens where nothing is kept.
    pub(super) fn drop(&mut self, key: Option<KeptKey>) {
        let Some(KeptKey(place)) = key else { return };
        debug_assert!(!self.free.contains(&place), "dropped twice");
        let storage = &mut self.payloads[place as usize];
        self.bytes -= storage.len();
        storage.clear();
        if self.capacity > self.bytes_max {
            self.capacity -= storage.capacity();
            *storage = Vec::new();
        }
        self.free.push(place);
    }

    /// Payloads that are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.payloads.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_is_given_back_as_it_was_and_the_bound_holds_at_the_byte() {
        let mut kept = Kept::new(10);
        let one = kept.put(b"one").unwrap();
        let seven = kept.put(b"sevenup").unwrap();
        assert_eq!(kept.put(b"x"), None);
        assert_eq!(
            (kept.get(one), kept.get(seven)),
            (&b"one"[..], &b"sevenup"[..])
        );
        kept.drop(Some(one));
        assert_eq!(kept.put(b"four"), None);
        let two = kept.put(b"two").unwrap();
        assert_eq!(
            (kept.get(two), kept.get(seven)),
            (&b"two"[..], &b"sevenup"[..])
        );
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn storage_at_rest_is_bounded_as_what_is_kept() {
        let mut kept = Kept::new(1_000);
        for round in 0..1_000 {
            // Many small ones in one round, a large one in the next: each leaves its storage behind.
            let (count, bytes) = [(100, 10), (1, 1_000)][round % 2];
            let keys: Vec<_> = (0..count).map(|_| kept.put(&vec![7; bytes])).collect();
            assert!(keys.iter().all(Option::is_some));
            keys.into_iter().for_each(|key| kept.drop(key));
            let capacity: usize = kept.payloads.iter().map(Vec::capacity).sum();
            assert_eq!(capacity, kept.capacity);
            assert!(capacity <= 2_000, "{capacity} bytes of storage");
        }
        assert_eq!((kept.len(), kept.bytes), (0, 0));
    }
}
