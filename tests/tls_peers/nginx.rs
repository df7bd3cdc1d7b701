//! nginx as an HTTP server with TLS, and as one that ends TLS before a plain server that writes down what it has read.
//!
//! It ends idle connections, is told to read its settings anew (its workers end when they are idle), and its workers
//! are killed.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use taut::{Client, Framing, RequestOptions, Retry, Source, TlsVersion, Upstream, UpstreamId};

use crate::daemon::{Daemon, Directory, local};
use crate::keys::{Farewell, Keys, VERSIONS, close, trusting_another};
use crate::ports::free_port;
use crate::recorder::{Asked, Recorder};
use crate::support::*;

/// No header of a reply has it, and no path of these tests.
const END: &str = "#end\n";

struct Nginx {
    daemon: Daemon,
    keys: Keys,
    http: u16,
    /// Whatever comes here goes to the recorder.
    stream: u16,
    recorder: Recorder,
}

impl Nginx {
    /// `http` and `stream` are said of the one and the other kind of service, beside all else.
    #[track_caller]
    fn start(version: TlsVersion, http: &str, stream: &str) -> Nginx {
        let (keys, recorder) = (Keys::new(), Recorder::answering());
        let directory = Directory::new("nginx");
        let ports = [free_port(), free_port()];
        let protocol = match version {
            TlsVersion::Tls12 => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let tls = format!(
            "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols {protocol};",
            keys.chain(),
            keys.key()
        );
        let (at, plain) = (directory.path().display(), recorder.address());
        let config = format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
             daemon off; worker_processes 2; user root; pid {at}/pid; error_log stderr notice;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n\
             \x20 access_log off; default_type text/plain; {tls} {http}\n\
             \x20 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
             \x20 fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             \x20 server {{ listen 127.0.0.1:{} ssl; location / {{ return 200 \"$request_uri\\n#end\\n\"; }} }}\n\
             }}\n\
             stream {{ {tls} {stream} server {{ listen 127.0.0.1:{} ssl; proxy_pass {plain}; }} }}\n",
            ports[0], ports[1]
        );
        let config = directory.put("conf", &config);
        let daemon = Daemon::start("nginx", directory, &["-e", "stderr", "-c", &config], &ports);
        Nginx {
            daemon,
            keys,
            http: ports[0],
            stream: ports[1],
            recorder,
        }
    }

    fn http(&self) -> Upstream {
        Upstream::new(local(self.http).to_string())
            .framing(Framing::delimiter(END.as_bytes()))
            .tls(self.keys.trusted())
    }

    fn stream(&self) -> Upstream {
        Upstream::new(local(self.stream).to_string())
            .framing(Framing::line())
            .tls(self.keys.trusted())
    }

    /// All processes that serve now; others take their place.
    #[track_caller]
    fn kill_its_workers(&self) {
        eventually("a worker", || !self.daemon.children().is_empty());
        for worker in self.daemon.children() {
            kill(Pid::from_raw(worker as i32), Signal::SIGKILL).unwrap();
        }
    }
}

fn get(number: usize) -> Vec<u8> {
    format!("GET /{number} HTTP/1.1\r\nHost: here\r\n\r\n").into_bytes()
}

/// Whether it is the reply to that one.
fn is_page(reply: &[u8], number: usize) -> bool {
    reply.starts_with(b"HTTP/1.1 200 OK\r\n")
        && reply.ends_with(format!("\r\n\r\n/{number}\n").as_bytes())
}

/// Asks for so many pages, which may be asked for again, so many at a time; each comes, and is the one.
#[track_caller]
fn ask_for_pages(
    client: &mut Client,
    upstream: UpstreamId,
    pages: usize,
    at: &mut dyn FnMut(usize),
) {
    let mut ledger = Ledger::default();
    let mut asked = Vec::new();
    for number in 0..pages {
        at(number);
        while ledger.open() >= 16 {
            client_until(client, |client, event| {
                ledger.book(client, event);
                Some(())
            });
        }
        let options = RequestOptions::new().deadline(far()).idempotent();
        let request = client
            .request_with(upstream, &get(number), options)
            .unwrap();
        ledger.adopt(request);
        asked.push(request);
    }
    ledger.until_all(client);
    for (number, request) in asked.into_iter().enumerate() {
        let reply = ledger.ended(request).unwrap().clone().reply();
        assert!(
            is_page(&reply, number),
            "{number}: {}",
            reply.escape_ascii()
        );
    }
}

fn patient_client() -> Client {
    client_with(|it| {
        it.retry = Retry {
            percent: 100,
            attempts_max: 10,
            ..Retry::default()
        };
        it.reconnect.first_pause_max = ms(20);
        it.reconnect.pause_max = ms(50);
    })
}

#[test]
#[ignore = "needs nginx"]
fn pages_come_in_order_over_four_connections_by_each_version() {
    for version in VERSIONS {
        let nginx = Nginx::start(version, "keepalive_requests 100000;", "");
        let mut client = client();
        let upstream = client.add(nginx.http().connections(4).depth(8)).unwrap();
        ask_for_pages(&mut client, upstream, 2_000, &mut |_| {});
        let stats = client.upstream_stats(upstream).unwrap();
        assert_eq!((stats.open, stats.losses), (4, 0));
    }
}

/// It ends what is idle after 50 ms. The end has come before the next request is made, and the loop has not turned since:
/// only the look before the write can know of it.
#[test]
#[ignore = "needs nginx"]
fn a_request_after_the_end_of_an_idle_connection_is_made_on_another() {
    for version in VERSIONS {
        let nginx = Nginx::start(version, "keepalive_timeout 50ms;", "");
        let mut client = client();
        let upstream = client.add(nginx.http()).unwrap();
        let mut ledger = Ledger::default();
        for round in 0..20 {
            let request = ledger.request(&mut client, upstream, &get(round), far());
            let reply = ledger.until(&mut client, request).reply();
            assert!(is_page(&reply, round));
            let connection = only_connection(&client, upstream);
            let before = client.tcp_info(connection).unwrap().bytes_received;
            // A close_notify is of 24 bytes at least, and the FIN counts as one.
            until_in_kernel(&client, connection, before + 25);
        }
        let stats = client.upstream_stats(upstream).unwrap();
        assert_eq!(stats.losses, 19);
    }
}

/// Every tenth reply is the last of its connection.
#[test]
#[ignore = "needs nginx"]
fn ends_between_replies_cost_no_page() {
    for version in VERSIONS {
        let nginx = Nginx::start(version, "keepalive_requests 10;", "");
        let mut client = patient_client();
        let upstream = client.add(nginx.http().connections(2..=4)).unwrap();
        ask_for_pages(&mut client, upstream, 500, &mut |_| {});
        assert!(client.upstream_stats(upstream).unwrap().losses >= 40);
    }
}

#[test]
#[ignore = "needs nginx"]
fn no_page_is_lost_while_workers_are_replaced_and_killed() {
    let nginx = Nginx::start(TlsVersion::Tls13, "keepalive_requests 100000;", "");
    let mut client = patient_client();
    let upstream = client.add(nginx.http().connections(4)).unwrap();
    ask_for_pages(
        &mut client,
        upstream,
        2_000,
        &mut |number| match number % 400 {
            100 => nginx.daemon.signal(Signal::SIGHUP),
            300 => nginx.kill_its_workers(),
            _ => {}
        },
    );
    assert!(client.upstream_stats(upstream).unwrap().losses > 0);
}

/// What the server behind it has read is the judge.
#[test]
#[ignore = "needs nginx"]
fn requests_end_as_the_server_behind_a_dying_proxy_knows() {
    for version in VERSIONS {
        let nginx = Nginx::start(version, "", "");
        let mut client = client();
        let upstream = client
            .add(nginx.stream().connections(2..=4).depth(4))
            .unwrap();
        let mut asked = Asked::default();
        asked.keep_asking(&mut client, upstream, 2_000, 12, |number| {
            match number % 400 {
                100 => nginx.daemon.signal(Signal::SIGHUP),
                300 => nginx.kill_its_workers(),
                _ => {}
            }
        });
        let stats = client.upstream_stats(upstream).unwrap();
        drop(client);
        let outcomes = nginx.recorder.judge(&asked);
        println!("{version:?}: {outcomes:?}, {} losses", stats.losses);
        assert!(stats.losses > 0);
        assert!(outcomes.replies * 10 >= 2_000 * 9, "{outcomes:?}");
    }
}

/// The end of what is idle is said by the stream module, too.
#[test]
#[ignore = "needs nginx"]
fn an_end_behind_the_proxy_is_an_end_and_no_truncation() {
    for version in VERSIONS {
        let nginx = Nginx::start(version, "", "proxy_timeout 50ms;");
        let mut client = client();
        let tls = nginx.keys.trusted();
        let target = local(nginx.stream).to_string();
        let connection = client.connect_tls(&target, Framing::line(), &tls).unwrap();
        until_connected(&mut client, connection);
        client.send(connection, b"00000001\n").unwrap();
        let told = until_closed(&mut client, connection);
        assert_eq!(told.frames, [b"00000001"]);
        assert_eq!(told.error.unwrap().source, Source::Eof);
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_session_goes_on_on_other_connections_and_begins_anew_with_another_process() {
    for version in VERSIONS {
        let cache = "ssl_session_cache shared:cache:1m;";
        let mut nginx = Nginx::start(version, cache, "");
        let mut client = client();
        let mut resumed = |nginx: &Nginx, tls| {
            let target = local(nginx.http).to_string();
            let framing = Framing::delimiter(END.as_bytes());
            let connection = client.connect_tls(&target, framing, tls).unwrap();
            until_connected(&mut client, connection);
            client.send(connection, &get(1)).unwrap();
            assert!(is_page(&next_frame(&mut client, connection), 1));
            let info = client.tls_info(connection).unwrap();
            assert!(
                info.is_verified && info.version == Some(version),
                "{info:?}"
            );
            close(&mut client, connection, Farewell::Left);
            info.is_resumed
        };
        let tls = nginx.keys.trusted();
        assert_eq!([(); 3].map(|()| resumed(&nginx, &tls)), [false, true, true]);
        nginx.daemon.kill();
        nginx.daemon.start_again();
        nginx.daemon.until_listening();
        assert_eq!([(); 2].map(|()| resumed(&nginx, &tls)), [false, true]);
    }
}

#[test]
#[ignore = "needs nginx"]
fn an_upstream_that_is_not_trusted_is_asked_nothing() {
    let nginx = Nginx::start(TlsVersion::Tls13, "", "");
    let mut client = client();
    let upstream = nginx.stream().tls(trusting_another());
    let upstream = client.add(upstream).unwrap();
    let mut asked = Asked::default();
    for _ in 0..10 {
        asked.ask(&mut client, upstream, far());
    }
    asked.ledger.until_all(&mut client);
    drop(client);
    let outcomes = nginx.recorder.judge(&asked);
    assert_eq!(outcomes.not_sent, 10, "{outcomes:?}");
}
