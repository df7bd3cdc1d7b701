//! Setting a socket's options: one after the other, and the first that is refused is told by name.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::kernel::Refused;
use crate::socket_options::SocketOptions;

/// What must be set before the socket connects.
pub(super) fn set_before_connect(
    socket: &SockRef<'_>,
    to: SocketAddr,
    options: &SocketOptions,
) -> Result<(), Refused> {
    if let Some(bytes) = options.send_buffer_bytes {
        named("send_buffer_bytes", socket.set_send_buffer_size(bytes))?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        named("receive_buffer_bytes", socket.set_recv_buffer_size(bytes))?;
    }
    if let Some(tos) = options.tos {
        let outcome = match to {
            SocketAddr::V4(_) => socket.set_tos_v4(tos.into()),
            SocketAddr::V6(_) => socket.set_tclass_v6(tos.into()),
        };
        named("tos", outcome)?;
    }
    set_on_linux(socket, options)?;
    if let Some(bind) = options.bind {
        named("bind", socket.bind(&bind.into()))?;
    }
    Ok(())
}

/// What may be set at any time, on connecting and on accepted sockets.
pub(super) fn set_any_time(socket: &SockRef<'_>, options: &SocketOptions) -> Result<(), Refused> {
    named("nodelay", socket.set_tcp_nodelay(options.nodelay))?;
    if let Some(keepalive) = options.keepalive {
        let params = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.count);
        named("keepalive", socket.set_tcp_keepalive(&params))?;
    }
    #[cfg(target_os = "linux")]
    {
        if options.quickack {
            named("quickack", socket.set_tcp_quickack(true))?;
        }
        if let Some(timeout) = options.user_timeout {
            named("user_timeout", socket.set_tcp_user_timeout(Some(timeout)))?;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn set_on_linux(socket: &SockRef<'_>, options: &SocketOptions) -> Result<(), Refused> {
    if options.fastopen_connect {
        named("fastopen_connect", set_fastopen_connect(socket))?;
    }
    if let Some(busy_poll) = options.busy_poll {
        named("busy_poll", socket.set_busy_poll(whole_micros(busy_poll)))?;
    }
    if let Some(device) = &options.device {
        named("device", socket.bind_device(Some(device.as_bytes())))?;
    }
    if let Some(mark) = options.mark {
        named("mark", socket.set_mark(mark))?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn set_on_linux(_: &SockRef<'_>, options: &SocketOptions) -> Result<(), Refused> {
    let unknown = || Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT));
    named(
        "fastopen_connect",
        if options.fastopen_connect {
            unknown()
        } else {
            Ok(())
        },
    )?;
    named("busy_poll", options.busy_poll.map_or(Ok(()), |_| unknown()))?;
    named(
        "device",
        options.device.as_ref().map_or(Ok(()), |_| unknown()),
    )?;
    named("mark", options.mark.map_or(Ok(()), |_| unknown()))
}

#[cfg(target_os = "linux")]
fn set_fastopen_connect(socket: &SockRef<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads one int, alive for the call, of the length given.
    let outcome = unsafe {
        let value = std::ptr::from_ref(&on).cast();
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN_CONNECT,
            value,
            len,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Rounded up: a wish of less than a microsecond is not a wish for none.
fn whole_micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u32::MAX)
}

fn named(option: &'static str, outcome: io::Result<()>) -> Result<(), Refused> {
    outcome.map_err(|error| Refused {
        option: Some(option),
        error,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::error::{Class, Source};
    use crate::socket_options::Keepalive;

    const TO: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

    fn set(options: &SocketOptions) -> Result<socket2::Socket, Refused> {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        set_before_connect(&SockRef::from(&socket), TO.into(), options)?;
        set_any_time(&SockRef::from(&socket), options)?;
        Ok(socket)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn each_option_reaches_the_kernel() {
        let options = SocketOptions {
            nodelay: true,
            quickack: true,
            keepalive: Some(Keepalive {
                idle: Duration::from_secs(7),
                interval: Duration::from_secs(3),
                count: 2,
            }),
            user_timeout: Some(Duration::from_millis(1_500)),
            send_buffer_bytes: Some(50_000),
            receive_buffer_bytes: Some(60_000),
            bind: Some(([127, 0, 0, 2], 0).into()),
            tos: Some(0xb8),
            fastopen_connect: true,
            busy_poll: None,
            device: None,
            mark: None,
        };
        let socket = set(&options).unwrap();
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(3)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 2);
        assert_eq!(socket.tcp_user_timeout().unwrap(), options.user_timeout);
        assert_eq!(
            socket.send_buffer_size().unwrap(),
            100_000,
            "Linux doubles it"
        );
        assert_eq!(socket.recv_buffer_size().unwrap(), 120_000);
        assert_eq!(socket.tos_v4().unwrap(), 0xb8);
        let local = socket.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(local.ip().to_string(), "127.0.0.2");
    }

    #[test]
    fn a_refused_option_is_told_by_name() {
        let elsewhere = SocketOptions {
            bind: Some(([192, 0, 2, 1], 0).into()),
            ..SocketOptions::default()
        };
        let error = set(&elsewhere).unwrap_err().into_error();
        assert_eq!(
            error.source,
            Source::Option {
                name: "bind",
                errno: libc::EADDRNOTAVAIL
            }
        );
        assert_eq!(error.class, Class::Persistent);
        assert!(error.to_string().contains("socket option bind"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_that_is_not_there_is_refused() {
        let options = SocketOptions {
            device: Some("no-such-device".into()),
            ..SocketOptions::default()
        };
        let error = set(&options).unwrap_err().into_error();
        assert!(
            matches!(error.source, Source::Option { name: "device", .. }),
            "{error}"
        );
    }

    #[test]
    fn a_wish_below_a_microsecond_is_rounded_up() {
        assert_eq!(whole_micros(Duration::from_nanos(1)), 1);
        assert_eq!(whole_micros(Duration::from_micros(50)), 50);
    }
}
