//! Which errno may come from which operation, and how the engine is to meet it.
//!
//! The errnos are those of the operation's system calls in section 2 of the Linux man pages (and, for
//! what TCP adds to them, tcp(7) and ip(7)); the classes are those of `docs/errors.md`, written down
//! here again so that the engine's own table is held to something.

use Operation::*;
use Told::{Harmless, Once, Quietly};
use libc::*;

use crate::error::Class;
use crate::sim::failing::{Effect, Operation};

/// What a program is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing, and all goes on as if nothing had failed.
    Harmless,
    /// Nothing on the side where it failed; the other side may lose a connection by it.
    Quietly,
    /// An error of that class, with the errno.
    Once(Class),
}

/// One way in which a call may fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) operation: Operation,
    pub(super) errno: i32,
    pub(super) effect: Effect,
    pub(super) option: Option<&'static str>,
    pub(super) told: Told,
}

const TRANSIENT: Told = Once(Class::Transient);
const PERSISTENT: Told = Once(Class::Persistent);
const RESOURCE: Told = Once(Class::Resource);
const LOCAL: Told = Once(Class::Local);

/// socket(2), connect(2): before anything was sent.
const CONNECT: &[(i32, Told)] = &[
    (EMFILE, RESOURCE),
    (ENFILE, RESOURCE),
    (ENOBUFS, RESOURCE),
    (ENOMEM, RESOURCE),
    (EADDRNOTAVAIL, RESOURCE),
    (EADDRINUSE, RESOURCE),
    (EAGAIN, RESOURCE),
    (EACCES, PERSISTENT),
    (EPERM, PERSISTENT),
    (EAFNOSUPPORT, PERSISTENT),
    (EPROTONOSUPPORT, PERSISTENT),
    // A `blackhole` route.
    (EINVAL, TRANSIENT),
    (ECONNREFUSED, TRANSIENT),
    (ENETUNREACH, TRANSIENT),
    (EHOSTUNREACH, TRANSIENT),
    (ETIMEDOUT, TRANSIENT),
    (EINTR, TRANSIENT),
];

/// epoll_ctl(2), EPOLL_CTL_ADD.
const WATCH: &[(i32, Told)] = &[(ENOSPC, RESOURCE), (ENOMEM, RESOURCE)];

/// setsockopt(2), bind(2) and their like, by the name of the option. They are set in this order.
const OPTIONS: &[(&str, i32, Told)] = &[
    ("nodelay", ENOPROTOOPT, PERSISTENT),
    ("keepalive", EINVAL, PERSISTENT),
    ("mark", EPERM, PERSISTENT),
    ("device", ENODEV, PERSISTENT),
    ("send_buffer_bytes", ENOMEM, RESOURCE),
    ("receive_buffer_bytes", ENOBUFS, RESOURCE),
];

/// bind(2) of a connecting socket.
const BIND: &[(i32, Told)] = &[
    (EADDRNOTAVAIL, PERSISTENT),
    (EACCES, PERSISTENT),
    (EADDRINUSE, RESOURCE),
];

/// SO_ERROR after connect: what ICMP, a RST or the kernel's own patience came to (tcp(7), ip(7)).
const PENDING: &[(i32, Told)] = &[
    (ECONNREFUSED, TRANSIENT),
    (ECONNRESET, TRANSIENT),
    (ETIMEDOUT, TRANSIENT),
    (ENETUNREACH, TRANSIENT),
    (EHOSTUNREACH, TRANSIENT),
    (ENETDOWN, TRANSIENT),
    (EACCES, PERSISTENT),
    (EPERM, PERSISTENT),
    (ENOPROTOOPT, PERSISTENT),
];

/// socket(2), bind(2), listen(2), epoll_ctl(2).
const LISTEN: &[(i32, Told)] = &[
    (EMFILE, RESOURCE),
    (ENFILE, RESOURCE),
    (ENOBUFS, RESOURCE),
    (ENOMEM, RESOURCE),
    (EADDRINUSE, RESOURCE),
    (EADDRNOTAVAIL, RESOURCE),
    (EACCES, PERSISTENT),
    (EAFNOSUPPORT, PERSISTENT),
    (ENOSPC, RESOURCE),
];

/// accept(2). What waits in the backlog goes on waiting.
const ACCEPT: &[i32] = &[EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EINTR];

/// accept(2): errors that were pending on the new socket are passed on; it is gone.
const ACCEPT_LOST: &[i32] = &[
    ECONNABORTED,
    EPROTO,
    ENETDOWN,
    ENETUNREACH,
    EHOSTUNREACH,
    EOPNOTSUPP,
];

/// recv(2), tcp(7).
const READ: &[(i32, Told)] = &[
    (EINTR, Harmless),
    (ENOMEM, RESOURCE),
    (ENOBUFS, RESOURCE),
    (EBADF, LOCAL),
    (ECONNRESET, TRANSIENT),
    (ETIMEDOUT, TRANSIENT),
    (EHOSTUNREACH, TRANSIENT),
    (ENETUNREACH, TRANSIENT),
    (EPIPE, TRANSIENT),
];

/// recv(2) with MSG_PEEK. EINTR is tried again below the seam.
const PEEK: &[(i32, Told)] = &[
    (ENOMEM, RESOURCE),
    (EBADF, LOCAL),
    (ECONNRESET, TRANSIENT),
    (ETIMEDOUT, TRANSIENT),
    (EHOSTUNREACH, TRANSIENT),
];

/// send(2), tcp(7).
const WRITE: &[(i32, Told)] = &[
    (EINTR, Harmless),
    (ENOMEM, RESOURCE),
    (ENOBUFS, RESOURCE),
    (EACCES, PERSISTENT),
    (EPERM, PERSISTENT),
    (EBADF, LOCAL),
    (ECONNRESET, TRANSIENT),
    (EPIPE, TRANSIENT),
    (ETIMEDOUT, TRANSIENT),
    (EHOSTUNREACH, TRANSIENT),
];

/// shutdown(2).
const SHUTDOWN: &[(i32, Told)] = &[(ENOTCONN, TRANSIENT), (EBADF, LOCAL), (EINVAL, LOCAL)];

/// getsockopt(2), getpeername(2), getsockname(2).
const ASK: &[(i32, Told)] = &[(ENOBUFS, RESOURCE), (EINVAL, LOCAL)];

/// epoll_wait(2), ppoll(2), poll(2).
const WAIT: &[(i32, Told)] = &[(ENOMEM, RESOURCE), (EBADF, LOCAL), (EINVAL, LOCAL)];

impl Row {
    /// Whether it is over as soon as it is tried again, so that trying at once is no spinning.
    pub(super) fn is_brief(&self) -> bool {
        let is_interrupted = self.errno == EINTR || self.effect == Effect::Owed;
        // Whoever turns a loop whose wait fails is told so each time.
        is_interrupted || self.operation == Wait
    }
}

/// Every row.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |operation, effect, entries: &[(i32, Told)]| {
        rows.extend(entries.iter().map(|&(errno, told)| Row {
            operation,
            errno,
            effect,
            option: None,
            told,
        }));
    };
    let quietly = |errnos: &[i32]| errnos.iter().map(|&e| (e, Quietly)).collect::<Vec<_>>();
    add(Connect, Effect::Nothing, CONNECT);
    add(Connect, Effect::Lost, WATCH);
    add(TakeError, Effect::Pending, PENDING);
    add(TakeError, Effect::Nothing, ASK);
    add(PeerAddr, Effect::Nothing, ASK);
    add(PeerAddr, Effect::Owed, &[(ENOTCONN, Harmless)]);
    add(LocalAddr, Effect::Nothing, &[(ENOBUFS, Harmless)]);
    add(Listen, Effect::Nothing, LISTEN);
    add(ListenerAddr, Effect::Nothing, ASK);
    add(Accept, Effect::Nothing, &quietly(ACCEPT));
    add(Accept, Effect::Lost, &quietly(ACCEPT_LOST));
    add(Shed, Effect::Nothing, &quietly(&[EMFILE, ENFILE, ENOMEM]));
    add(Register, Effect::Nothing, WATCH);
    add(Read, Effect::Nothing, READ);
    add(Read, Effect::Owed, &[(EAGAIN, Harmless)]);
    add(Peek, Effect::Nothing, PEEK);
    add(Write, Effect::Nothing, WRITE);
    add(Write, Effect::Owed, &[(EAGAIN, Harmless)]);
    add(Shutdown, Effect::Nothing, SHUTDOWN);
    add(Info, Effect::Nothing, ASK);
    add(Wait, Effect::Nothing, WAIT);
    add(Wait, Effect::Lost, &[(ENOMEM, RESOURCE)]);
    let resolve = [EAGAIN, ENOENT, ENOMEM, EIO];
    let classes = [TRANSIENT, PERSISTENT, RESOURCE, TRANSIENT];
    let resolve: Vec<_> = resolve.into_iter().zip(classes).collect();
    add(Resolve, Effect::Nothing, &resolve);
    for operation in [Connect, Register] {
        let bind = BIND.iter().map(|&(errno, told)| ("bind", errno, told));
        let bind = bind.filter(|_| operation == Connect);
        rows.extend(
            OPTIONS
                .iter()
                .copied()
                .chain(bind)
                .map(|(name, errno, told)| Row {
                    operation,
                    errno,
                    effect: Effect::Nothing,
                    option: Some(name),
                    told,
                }),
        );
    }
    rows
}
