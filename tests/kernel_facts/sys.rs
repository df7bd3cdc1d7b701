//! The system calls that std, mio and socket2 do not offer as they are needed here.
//!
//! All `unsafe` of these tests lives in this file, one call a function. Each returns what the
//! kernel said, untouched: no retry, no latch, no interpretation.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::ptr;
use std::time::Duration;

/// `tcpi_state` of a connection that can send and receive.
pub(crate) const ESTABLISHED: u8 = 1;
/// `tcpi_state` while our SYN is unanswered.
pub(crate) const SYN_SENT: u8 = 2;
/// `tcpi_state` after our FIN was acknowledged and before the peer's has come.
pub(crate) const FIN_WAIT2: u8 = 5;
/// `tcpi_state` after a reset, a timeout, or the end of everything.
pub(crate) const CLOSE: u8 = 7;
/// `tcpi_state` after the peer's FIN and before ours.
pub(crate) const CLOSE_WAIT: u8 = 8;
/// `tcpi_state` after the peer's FIN and ours, ours being unacknowledged.
pub(crate) const LAST_ACK: u8 = 9;
/// `tcpi_state` when both FINs crossed, ours being unacknowledged.
pub(crate) const CLOSING: u8 = 11;

/// `struct tcp_info` of `linux/tcp.h` as far as the engine reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    pub(crate) state: u8,
    pub(crate) ca_state: u8,
    pub(crate) retransmits: u8,
    pub(crate) probes: u8,
    pub(crate) backoff: u8,
    pub(crate) options: u8,
    pub(crate) wscale: u8,
    pub(crate) delivery_flags: u8,
    pub(crate) rto: u32,
    pub(crate) ato: u32,
    pub(crate) snd_mss: u32,
    pub(crate) rcv_mss: u32,
    pub(crate) unacked: u32,
    pub(crate) sacked: u32,
    pub(crate) lost: u32,
    pub(crate) retrans: u32,
    pub(crate) fackets: u32,
    pub(crate) last_data_sent: u32,
    pub(crate) last_ack_sent: u32,
    pub(crate) last_data_recv: u32,
    pub(crate) last_ack_recv: u32,
    pub(crate) pmtu: u32,
    pub(crate) rcv_ssthresh: u32,
    pub(crate) rtt: u32,
    pub(crate) rttvar: u32,
    pub(crate) snd_ssthresh: u32,
    pub(crate) snd_cwnd: u32,
    pub(crate) advmss: u32,
    pub(crate) reordering: u32,
    pub(crate) rcv_rtt: u32,
    pub(crate) rcv_space: u32,
    pub(crate) total_retrans: u32,
    pub(crate) pacing_rate: u64,
    pub(crate) max_pacing_rate: u64,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_received: u64,
    pub(crate) segs_out: u32,
    pub(crate) segs_in: u32,
    pub(crate) notsent_bytes: u32,
    pub(crate) min_rtt: u32,
    pub(crate) data_segs_in: u32,
    pub(crate) data_segs_out: u32,
    pub(crate) delivery_rate: u64,
    pub(crate) busy_time: u64,
    pub(crate) rwnd_limited: u64,
    pub(crate) sndbuf_limited: u64,
    pub(crate) delivered: u32,
    pub(crate) delivered_ce: u32,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_retrans: u64,
    pub(crate) dsack_dups: u32,
    pub(crate) reord_seen: u32,
    pub(crate) rcv_ooopack: u32,
    pub(crate) snd_wnd: u32,
}

/// The connection's `TCP_INFO`. The kernel takes the socket's lock for it, so everything that led
/// to the numbers (wake-ups included) is over when this returns.
pub(crate) fn tcp_info(socket: &impl AsRawFd) -> TcpInfo {
    let mut bytes = [0; size_of::<TcpInfo>()];
    let length = tcp_info_bytes(socket, &mut bytes).expect("TCP_INFO of an open socket");
    assert!(length <= size_of::<TcpInfo>());
    // SAFETY: TcpInfo is repr(C), made of integers only, so any bytes of its size are a value.
    unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) }
}

/// `getsockopt(TCP_INFO)` into any room; returns the length the kernel says it wrote.
pub(crate) fn tcp_info_bytes(socket: &impl AsRawFd, room: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(room.len()).unwrap();
    // SAFETY: the pointer is good for writing `length` bytes, and the kernel writes no more.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            room.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    said(result)?;
    Ok(usize::try_from(length).unwrap())
}

/// The engine's look before a write: `recv(fd, buf, 1, MSG_PEEK|MSG_DONTWAIT)`.
pub(crate) fn peek(socket: &impl AsRawFd) -> io::Result<usize> {
    receive(socket, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT)
}

/// `recv(fd, room, MSG_DONTWAIT)`, past mio.
pub(crate) fn recv(socket: &impl AsRawFd, room: &mut [u8]) -> io::Result<usize> {
    receive(socket, room, libc::MSG_DONTWAIT)
}

fn receive(socket: &impl AsRawFd, room: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the pointer is good for writing `room.len()` bytes.
    let result = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            room.as_mut_ptr().cast(),
            room.len(),
            flags,
        )
    };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// `send(fd, bytes, MSG_DONTWAIT|MSG_NOSIGNAL)`, past mio.
pub(crate) fn send(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer is good for reading `bytes.len()` bytes.
    let result = unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
        )
    };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// `poll(2)` of one fd: the events it says, 0 when `timeout` passed without any.
pub(crate) fn poll(fd: &impl AsRawFd, events: i16, timeout: Duration) -> i16 {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap();
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one entry, as the count says.
    said(unsafe { libc::poll(&raw mut entry, 1, timeout_ms) }).expect("poll(2)");
    entry.revents
}

/// `SIOCOUTQ`: written and not yet acknowledged, in bytes, our FIN counting as one.
pub(crate) fn outq(socket: &impl AsRawFd) -> i32 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int.
    said(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) }).unwrap();
    bytes
}

/// `dup3(new, old)`: closes the old socket and gives its number to the new one, in one step (other
/// tests open fds at the same time).
pub(crate) fn take_over_number(
    old: mio::net::TcpStream,
    new: std::net::TcpStream,
) -> mio::net::TcpStream {
    let number = old.into_raw_fd();
    // SAFETY: `number` was owned by `old`, which has given it up; nobody else knows it.
    said(unsafe { libc::dup3(new.as_raw_fd(), number, libc::O_CLOEXEC) }).unwrap();
    // SAFETY: `number` is open, it is a TCP socket, and nobody else owns it.
    mio::net::TcpStream::from_std(unsafe { std::net::TcpStream::from_raw_fd(number) })
}

/// Sets errno to EBADF by closing an fd that cannot exist.
pub(crate) fn leave_errno_at_ebadf() {
    // SAFETY: −1 is never an open fd; the call does nothing but fail.
    assert_eq!(unsafe { libc::close(-1) }, -1);
}

/// An fd that is not open, for a look at a local fault.
pub(crate) struct NoSocket;

impl AsRawFd for NoSocket {
    fn as_raw_fd(&self) -> RawFd {
        -1
    }
}

/// Runs `action` with SIGPIPE blocked in this thread, and says whether it raised one.
pub(crate) fn raises_sigpipe(action: impl FnOnce()) -> bool {
    let no_wait = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut set = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are written by the calls before they are read; the mask is this thread's
    // own. A blocked signal stays pending even where it is ignored, as std's runtime does.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
    }
    action();
    // SAFETY: as above; taking the pending signal leaves nothing to be raised on unblocking.
    unsafe {
        let taken = libc::sigtimedwait(set.as_ptr(), ptr::null_mut(), &raw const no_wait);
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        taken == libc::SIGPIPE
    }
}

/// A thread that can be sent SIGUSR1, which does nothing but interrupt a wait.
#[derive(Clone, Copy)]
pub(crate) struct Interruptible(libc::pthread_t);

impl Interruptible {
    /// The calling thread. SA_RESTART is set, to show that it does not help.
    pub(crate) fn this_thread() -> Interruptible {
        extern "C" fn nothing(_signal: libc::c_int) {}
        let handler: extern "C" fn(libc::c_int) = nothing;
        // SAFETY: zero is a valid sigaction (no flags, empty mask) up to the handler set here, and
        // that does nothing, so it may run anywhere.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            said(libc::sigaction(
                libc::SIGUSR1,
                &raw const action,
                ptr::null_mut(),
            ))
            .unwrap();
            Interruptible(libc::pthread_self())
        }
    }

    /// Sends the signal. The caller sees to it that the thread still runs.
    pub(crate) fn interrupt(self) {
        // SAFETY: the thread is alive (callers hold it in a scope).
        assert_eq!(unsafe { libc::pthread_kill(self.0, libc::SIGUSR1) }, 0);
    }
}

fn said(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
