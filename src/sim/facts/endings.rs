//! Which call is told of an end, and as what: resets, closes and refused connects.

use std::net::SocketAddr;

use super::{Pair, holds, real, simulated};
use crate::kernel::Kernel;
use crate::socket_options::SocketOptions;

holds!(
    the_first_call_after_a_reset_is_told_of_it_and_the_next_are_not,
    |pair| {
        pair.far_closes(true);
        pair.edges();
        pair.edges();
        for call in [0, 1, 2, 3, 0, 1] {
            pair.look(call);
        }
    }
);

holds!(a_write_is_told_of_a_reset_first, |pair| {
    pair.far_closes(true);
    for call in [1, 1, 0, 2, 3] {
        pair.look(call);
    }
});

holds!(a_peek_is_told_of_a_reset_first, |pair| {
    pair.far_closes(true);
    for call in [2, 2, 0, 3, 1] {
        pair.look(call);
    }
});

holds!(the_pending_error_is_asked_for_first, |pair| {
    pair.far_closes(true);
    for call in [3, 3, 2, 0, 1] {
        pair.look(call);
    }
});

holds!(what_came_before_a_reset_stays_readable, |pair| {
    pair.far_writes(b"parting words");
    pair.far_closes(true);
    pair.edges();
    pair.peek();
    pair.read(4);
    pair.read(64);
    pair.edges();
    for call in [0, 0, 1] {
        pair.look(call);
    }
});

holds!(
    a_write_after_a_reset_leaves_what_came_before_it_readable,
    |pair| {
        pair.far_writes(b"parting words");
        pair.far_closes(true);
        for call in [1, 1, 2, 0, 0] {
            pair.look(call);
        }
    }
);

holds!(
    after_a_close_the_first_write_succeeds_and_provokes_a_reset,
    |pair| {
        pair.far_closes(false);
        pair.edges();
        pair.write();
        pair.edges();
        for call in [2, 0, 1, 1, 3] {
            pair.look(call);
        }
    }
);

holds!(a_close_with_unread_input_is_a_reset, |pair| {
    pair.write();
    pair.far_closes(false);
    pair.edges();
    for call in [0, 0] {
        pair.look(call);
    }
});

holds!(a_reset_after_a_fin_is_a_broken_pipe, |pair| {
    pair.far_shuts();
    pair.edges();
    pair.far_closes(true);
    pair.edges();
    for call in [2, 0, 3, 3, 1] {
        pair.look(call);
    }
});

holds!(
    a_refused_connect_is_told_once_and_then_looks_like_waiting,
    |pair| {
        let any = SocketAddr::new(pair.at.ip(), 0);
        let nobody = pair.far.listen(any, 9).unwrap();
        let at = pair.far.listener_addr(&nobody).unwrap();
        pair.far.close_listener(nobody);
        let end = pair.near.connect(at, &SocketOptions::default(), 7);
        let old = pair.near_end.replace(end.ok().unwrap());
        pair.edges();
        for call in [3, 3, 0, 1] {
            pair.look(call);
        }
        drop(old);
    }
);

holds!(
    a_connection_that_nobody_accepted_is_reset_with_its_listener,
    |pair| {
        let any = SocketAddr::new(pair.at.ip(), 0);
        let closing = pair.far.listen(any, 9).unwrap();
        let at = pair.far.listener_addr(&closing).unwrap();
        let end = pair.near.connect(at, &SocketOptions::default(), 7);
        let old = pair.near_end.replace(end.ok().unwrap());
        pair.edges();
        pair.far.close_listener(closing);
        pair.edges();
        for call in [3, 0] {
            pair.look(call);
        }
        drop(old);
    }
);
