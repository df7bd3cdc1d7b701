//! Links that lose segments, go down and come back, and addresses that are taken away (fault list 12, 13).
//!
//! Every request has content of its own, so that a reply which is another's is seen.

use std::time::{Duration, Instant};

use taut::{Breaker, Class, Client, Framing, Phase, RequestId, Sent, Source, Upstream, UpstreamId};

use crate::common::*;
use crate::support::namespaces::{Link, Namespace};
use crate::support::*;

/// Each segment that arrives is lost with this chance.
fn lose(namespace: &Namespace, percent: u32) {
    namespace.filter_input(&format!(
        "meta l4proto tcp numgen random mod 100 < {percent} drop"
    ));
}

/// TCP sends a lost segment again after 10 ms, as on a short link it should, and not after 200.
fn send_again_soon(link: &Link) {
    for end in [&link.near, &link.far] {
        end.sysctl("net.ipv4.tcp_rto_min_us", "10000");
    }
}

/// Requests with their contents: of one line to many segments.
struct Asked {
    ledger: Ledger,
    contents: Vec<(RequestId, Vec<u8>)>,
}

impl Asked {
    fn new() -> Asked {
        Asked {
            ledger: Ledger::default(),
            contents: Vec::new(),
        }
    }

    fn ask(&mut self, client: &mut Client, upstream: UpstreamId, within: Duration) {
        let number = self.contents.len();
        let size = [10, 100, 1_000, 10_000, 40_000][number % 5];
        let mut content = format!("request {number} ").repeat(size / 10).into_bytes();
        content.push(b'\n');
        let deadline = taut::Deadline::after(within);
        let request = self.ledger.request(client, upstream, &content, deadline);
        content.pop();
        self.contents.push((request, content));
    }

    /// Waits for all; each reply is the one to its request. How many came.
    fn all_end(&mut self, client: &mut Client) -> usize {
        self.ledger.until_all(client);
        for (request, content) in &self.contents {
            match self.ledger.ended(*request).unwrap() {
                Ended::Reply(bytes) => assert!(bytes == content, "{request} got another's reply"),
                Ended::Failed(error) => assert!(
                    matches!(error.class, Class::Transient | Class::Local),
                    "{request}: {error}"
                ),
            }
        }
        self.ledger.replies()
    }
}

/// An upstream of four pipelined connections that all stand.
fn four_connections(client: &mut Client) -> UpstreamId {
    let upstream = Upstream::new(server().to_string())
        .connections(4)
        .depth(8)
        .framing(Framing::line());
    let upstream = client.add(upstream).unwrap();
    turn_until(client, "four connections", |client| {
        client.upstream_stats(upstream).unwrap().open == 4
    });
    upstream
}

fn requests_survive_a_loss_of(percent: u32, requests: usize) {
    let link = Link::new("loss");
    send_again_soon(&link);
    let _serving = Serving::echo(&link);
    let _inside = link.near.enter();
    let mut client = client_with(|it| it.timeouts.wait = Duration::from_secs(60));
    let upstream = four_connections(&mut client);
    lose(&link.near, percent);
    lose(&link.far, percent);
    let (mut asked, calm) = (Asked::new(), Calm::begins());
    for _ in 0..requests {
        asked.ask(&mut client, upstream, Duration::from_secs(8));
    }
    let replies = asked.all_end(&mut client);
    let again = [&link.near, &link.far].map(|end| counter(end, "Tcp", "RetransSegs"));
    println!(
        "{percent} % lost each way, {again:?} segments sent again: {replies} of {requests} answered in {:?}",
        calm.lasts()
    );
    assert!(again.iter().all(|count| *count > 0), "nothing was lost");
    // What a lossy link lets through slowly comes in many pieces.
    calm.ends(requests * 40);
    assert!(replies >= requests / 4, "TCP makes up for such a loss");

    for end in [&link.near, &link.far] {
        end.clear_filters();
    }
    for _ in 0..50 {
        asked.ask(&mut client, upstream, Duration::from_secs(60));
    }
    assert_eq!(asked.all_end(&mut client), replies + 50, "healed");
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn at_a_loss_of_5_percent_each_request_ends_once_with_its_own_reply() {
    requests_survive_a_loss_of(5, 400);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn at_a_loss_of_30_percent_each_request_ends_once_with_its_own_reply() {
    requests_survive_a_loss_of(30, 100);
}

/// Requests arrive and are acted on, replies are lost: nothing proves that, so each is maybe sent; what waited was not.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn when_only_replies_are_lost_what_was_written_is_maybe_sent() {
    let link = Link::new("one-way");
    let _serving = Serving::echo(&link);
    let _inside = link.near.enter();
    let mut client = client_with(|it| {
        it.timeouts.first_byte = ms(300);
        it.timeouts.connect = ms(300);
        // What is asked here is what each request tells, not that others are spared it.
        it.breaker = Breaker::off();
    });
    let upstream = four_connections(&mut client);
    black_hole(&link.near);
    let (mut ledger, calm) = (Ledger::default(), Calm::begins());
    let all: Vec<_> = (0..40)
        .map(|_| ledger.request(&mut client, upstream, b"one way\n", far()))
        .collect();
    ledger.until_all(&mut client);
    calm.ends(all.len());
    for (number, request) in all.into_iter().enumerate() {
        let error = ledger.ended(request).unwrap().clone().error();
        // Four times eight are on their way. The others wait, for a connection that cannot be made or for their time.
        let (phase, sent, timeouts) = match number {
            ..32 => (Phase::Read, Sent::Maybe, &[ms(300)][..]),
            _ => (Phase::Connect, Sent::No, &[ms(300), ms(1_000)][..]),
        };
        assert!(
            timeouts
                .iter()
                .any(|it| error.source == Source::Timeout(*it)),
            "number {number}: {error}"
        );
        assert_eq!(
            (error.class, error.phase, error.sent),
            (Class::Transient, phase, sent),
            "number {number}"
        );
    }
    assert_nothing_is_left(client, &link.near);
}

fn turn_and_book(client: &mut Client, asked: &mut Asked) {
    turn(client, ms(50));
    while let Some(event) = client.next_event() {
        asked.ledger.book(client, event);
    }
}

/// A link that is down for a while, with requests in flight and made meanwhile: TCP makes up for it.
fn a_link_down_for(down: Duration) {
    let link = Link::new("link-down");
    send_again_soon(&link);
    // The bundled server gives silent peers up after 20 s; this one has all the time there is.
    let peer = link.far.within(|| Peer::at(server()));
    let server = std::thread::spawn(move || {
        for _ in 0..4 {
            let stream = peer.accept();
            stream.set_read_timeout(None).unwrap();
            stream.set_write_timeout(None).unwrap();
            std::thread::spawn(move || echo(stream));
        }
    });
    let _inside = link.near.enter();
    let mut client = client_with(|it| {
        // More patience than the link is down.
        let patience = 2 * down + Duration::from_secs(10);
        it.timeouts.first_byte = patience;
        it.timeouts.read_stall = patience;
        it.timeouts.wait = patience;
        user_timeout(it, patience);
    });
    let upstream = four_connections(&mut client);
    server.join().unwrap();
    let (mut asked, calm) = (Asked::new(), Calm::begins());
    let deadline = 2 * down + Duration::from_secs(20);
    for _ in 0..20 {
        asked.ask(&mut client, upstream, deadline);
    }
    link.near.ip("link set link0 down");
    let back_at = Instant::now() + down;
    for _ in 0..20 {
        asked.ask(&mut client, upstream, deadline);
    }
    while Instant::now() < back_at {
        turn_and_book(&mut client, &mut asked);
    }
    assert!(
        asked.ledger.open() >= 20,
        "what was asked while it was down"
    );
    link.near.ip("link set link0 up");
    // TCP's next try may be as far away as the link was down.
    let patience = Instant::now() + 2 * down + PATIENCE;
    while asked.ledger.open() > 0 {
        assert!(
            Instant::now() < patience,
            "{} requests hang",
            asked.ledger.open()
        );
        turn_and_book(&mut client, &mut asked);
    }
    println!(
        "down {down:?}, all answered {:?} after it was up",
        back_at.elapsed()
    );
    calm.ends(40 * 20);
    assert_eq!(asked.all_end(&mut client), 40);
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(
        (stats.connects, stats.losses),
        (4, 0),
        "no connection was given up"
    );
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_link_down_for_a_second_loses_nothing() {
    a_link_down_for(Duration::from_secs(1));
}

#[test]
#[ignore = "needs root: makes network namespaces; and takes a minute"]
fn long_a_link_down_for_half_a_minute_loses_nothing() {
    a_link_down_for(Duration::from_secs(30));
}

/// Down for longer than the client is patient: all ends by name, and all is well once the link is back.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_link_down_for_longer_than_the_timeouts_ends_each_request_and_heals() {
    let link = Link::new("link-down");
    let _serving = Serving::echo(&link);
    let _inside = link.near.enter();
    let mut client = client_with(|it| {
        it.timeouts.first_byte = ms(300);
        it.reconnect.pause_max = ms(100);
        it.breaker = Breaker::off();
    });
    let upstream = four_connections(&mut client);
    link.near.ip("link set link0 down");
    let (mut ledger, calm) = (Ledger::default(), Calm::begins());
    let all: Vec<_> = (0..40)
        .map(|_| ledger.request(&mut client, upstream, b"down\n", far()))
        .collect();
    ledger.until_all(&mut client);
    println!("all 40 ended after {:?}", calm.lasts());
    calm.ends(all.len());
    for (number, request) in all.into_iter().enumerate() {
        let error = ledger.ended(request).unwrap().clone().error();
        assert_eq!(error.class, Class::Transient, "{error}");
        let sent = if number < 32 { Sent::Maybe } else { Sent::No };
        assert_eq!(error.sent, sent, "number {number}: {error}");
    }
    link.near.ip("link set link0 up");
    let request = ledger.request(&mut client, upstream, b"up\n", far());
    assert_eq!(ledger.until(&mut client, request).reply(), b"up");
    ledger.until_all(&mut client);
    assert_nothing_is_left(client, &link.near);
}

/// The client's own address is taken away: what stood is found by TCP_USER_TIMEOUT, and with the address all is well.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_address_that_is_taken_away_ends_what_stood_on_it_and_heals() {
    let link = Link::new("address");
    let _serving = Serving::echo(&link);
    let _inside = link.near.enter();
    let timeout = ms(600);
    let mut client = client_with(|it| {
        user_timeout(it, timeout);
        it.reconnect.pause_max = ms(100);
    });
    let upstream = four_connections(&mut client);
    link.near.ip("address delete 10.77.0.1/24 dev link0");
    let (mut ledger, calm) = (Ledger::default(), Calm::begins());
    let stood = ledger.request(&mut client, upstream, b"stood\n", far());
    let error = ledger.until(&mut client, stood).error();
    println!("{error} after {:?}", calm.lasts());
    assert_eq!(
        (error.class, error.phase, error.sent),
        (Class::Transient, Phase::Read, Sent::Maybe)
    );
    assert_in_the_kernels_time(&calm, timeout);
    calm.ends(1);

    link.near.ip("address add 10.77.0.1/24 dev link0");
    let again = ledger.request(&mut client, upstream, b"again\n", far());
    assert_eq!(ledger.until(&mut client, again).reply(), b"again");
    ledger.until_all(&mut client);
    assert_nothing_is_left(client, &link.near);
}
