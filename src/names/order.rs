//! The order in which the addresses of a name are tried (RFC 8305 §4): families take turns, beginning with the
//! resolver's first. Each address is named once, and there is a bound to them: a resolver may say ten thousand.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Addresses;

/// What is kept of an answer. The bound cuts what would be tried last, so it leaves both families their share.
pub(super) fn in_order(answer: &[SocketAddr], addresses_max: usize) -> Addresses {
    let mut seen = BTreeSet::new();
    let once = answer.iter().filter(|address| seen.insert(**address));
    let begins_v4 = answer.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        once.partition(|address| address.is_ipv4() == begins_v4);
    let turns = first.len().max(second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let taking_turns = (0..turns).flat_map(|_| [first.next(), second.next()]);
    taking_turns.flatten().take(addresses_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u16) -> SocketAddr {
        let [high, low] = last.to_be_bytes();
        SocketAddr::from(([10, 0, high, low], 80))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last], 80))
    }

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_first() {
        let six_first = [v6(1), v6(2), v6(3), v4(1), v4(2)];
        let expected = [v6(1), v4(1), v6(2), v4(2), v6(3)];
        assert_eq!(*in_order(&six_first, 100), expected);
        let four_first = [v4(1), v6(1), v6(2)];
        assert_eq!(*in_order(&four_first, 100), four_first);
    }

    #[test]
    fn an_address_that_is_named_twice_is_kept_once() {
        let answer = [v6(1), v4(1), v6(1), v4(2), v4(1)];
        assert_eq!(*in_order(&answer, 100), [v6(1), v4(1), v4(2)]);
    }

    /// All were tried for each connect, those that fail at once in one pass of the loop.
    #[test]
    fn of_ten_thousand_as_many_are_kept_as_may_be_and_some_of_each_family() {
        let answer: Vec<_> = (0..10_000).map(v6).chain([v4(1)]).collect();
        let kept = in_order(&answer, 128);
        assert_eq!((kept.len(), kept[0], kept[1]), (128, v6(0), v4(1)));
    }
}
