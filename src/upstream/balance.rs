//! Least in flight: which open connection takes the next request, in constant time.
//!
//! Members are kept in lists by the number of their requests in flight, and a bitmap says which lists have any. Among
//! equals the one that was freed last is taken: its buffers are warm. A member at its depth is in no list.

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Balance {
    /// First member with so many requests in flight.
    heads: Vec<u32>,
    /// A bit for each list that is not empty.
    occupied: Vec<u64>,
    links: Vec<Link>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    /// The list it is in, or NONE.
    list: u32,
    previous: u32,
    next: u32,
}

impl Balance {
    pub(super) fn new(members: usize, depth: usize) -> Balance {
        Balance {
            heads: vec![NONE; depth],
            occupied: vec![0; depth.div_ceil(64)],
            links: vec![
                Link {
                    list: NONE,
                    previous: NONE,
                    next: NONE
                };
                members
            ],
        }
    }

    /// The member with the fewest requests in flight that can take one more.
    pub(super) fn least(&self) -> Option<u32> {
        let word = self.occupied.iter().position(|&bits| bits != 0)?;
        let list = word * 64 + self.occupied[word].trailing_zeros() as usize;
        Some(self.heads[list])
    }

    /// The member has so many in flight now; at its depth or beyond it is no longer offered.
    pub(super) fn place(&mut self, member: u32, in_flight: usize) {
        if self.links[member as usize].list as usize == in_flight {
            return;
        }
        self.remove(member);
        if in_flight < self.heads.len() {
            self.insert(member, in_flight as u32);
        }
    }

    /// The member is no longer offered.
    pub(super) fn remove(&mut self, member: u32) {
        let Link {
            list,
            previous,
            next,
        } = self.links[member as usize];
        if list == NONE {
            return;
        }
        match previous {
            NONE => self.heads[list as usize] = next,
            _ => self.links[previous as usize].next = next,
        }
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        if self.heads[list as usize] == NONE {
            self.occupied[list as usize / 64] &= !(1 << (list % 64));
        }
        self.links[member as usize].list = NONE;
    }

    /// The list that a member is in.
    #[cfg(test)]
    pub(super) fn list_of(&self, member: u32) -> Option<usize> {
        let list = self.links[member as usize].list;
        (list != NONE).then_some(list as usize)
    }

    fn insert(&mut self, member: u32, list: u32) {
        let next = self.heads[list as usize];
        self.links[member as usize] = Link {
            list,
            previous: NONE,
            next,
        };
        if next != NONE {
            self.links[next as usize].previous = member;
        }
        self.heads[list as usize] = member;
        self.occupied[list as usize / 64] |= 1 << (list % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_least_loaded_member_below_its_depth_is_offered(
            moves in prop::collection::vec((0u32..8, prop::option::of(0usize..80)), 1..200),
        ) {
            let depth = 70;
            let mut balance = Balance::new(8, depth);
            let mut model = [None::<usize>; 8];
            for (member, in_flight) in moves {
                match in_flight {
                    Some(n) => balance.place(member, n),
                    None => balance.remove(member),
                }
                model[member as usize] = in_flight.filter(|&n| n < depth);
                let least = model.iter().flatten().min().copied();
                prop_assert_eq!(balance.least().map(|m| model[m as usize].unwrap_or(usize::MAX)), least);
            }
        }
    }
}
