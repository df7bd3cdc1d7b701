//! Too much of it: records of one byte, messages of more than 64 KiB, key updates, tickets, empty records and warnings
//! without end. What nobody may send ends the connection as a breach; what anybody may is borne, in bounded memory, and
//! others are served meanwhile.

use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ContentType;
use rustls::version::TLS12;
use taut::{
    Class, Client, ConnectionId, Error, Event, Framing, Limits, Phase, Sent, Source, TlsFault,
};

use crate::common::*;
use crate::counting::live;
use crate::support::*;
use crate::tls::*;

/// Storage that a connection may take hold of for a flood: its buffers, and those kept for reuse.
const HELD_MAX: isize = 512 << 10;

/// Says a flood in a thread of its own, a part at a time, until the client takes no more or so many parts are said.
fn flood(
    mut conversation: Conversation,
    parts: usize,
    mut next: impl FnMut(&mut Conversation) -> Vec<u8> + Send + 'static,
) -> JoinHandle<Conversation> {
    std::thread::spawn(move || {
        for _ in 0..parts {
            let part = next(&mut conversation);
            if !conversation.line(&part) {
                break;
            }
        }
        conversation
    })
}

/// The connection ends by itself; why, with the storage it took hold of on the way in its bounds, and few turns.
#[track_caller]
fn ended_in_bounds(client: &mut Client, connection: ConnectionId) -> Error {
    let calm = Calm::begins();
    let (told, held) = live(|| until_closed(client, connection));
    assert!(held < HELD_MAX, "{held} bytes are held");
    calm.ends(200);
    assert_silent(client);
    told.error.unwrap()
}

const BREACH: (Class, Source) = (Class::Protocol, Source::Tls(TlsFault::Misbehaved));

#[test]
fn a_flood_of_key_updates_ends_the_connection_as_a_breach_and_the_server_is_told_why() {
    let (ours, terms) = ours();
    let mut client = client();
    let (connection, conversation) = secured(&mut client, &terms, &trusting(&ours));
    let flooding = flood(conversation, 10_000, |it| {
        it.tls.refresh_traffic_keys().unwrap();
        it.said()
    });
    let error = ended_in_bounds(&mut client, connection);
    assert_eq!((error.class, error.source), BREACH, "{error}");
    let mut conversation = flooding.join().unwrap();
    assert_sealed(conversation.hear_all());
    // What it heard before the reset took the rest: answers to some, or the alert.
    let answers = records(&conversation.heard);
    assert!(answers.len() < 100, "{} records", answers.len());
}

#[test]
fn key_updates_between_replies_are_no_flood() {
    let (ours, terms) = ours();
    let mut client = client();
    let (connection, mut conversation) = secured(&mut client, &terms, &trusting(&ours));
    for nth in 0..200 {
        conversation.tls.refresh_traffic_keys().unwrap();
        let line = format!("line {nth}\n");
        assert!(conversation.write(line.as_bytes()));
        let frame = next_frame(&mut client, connection);
        assert_eq!(frame, line.trim_end().as_bytes());
        client.send(connection, &frame).unwrap();
        client.send(connection, b"\n").unwrap();
        client.flush();
        assert_eq!(conversation.read_line().unwrap(), frame);
    }
    assert_sealed(&conversation.heard);
}

#[test]
fn empty_records_and_warnings_without_end_are_a_breach() {
    let (ours, terms) = ours();
    for kind in [ContentType::ApplicationData, ContentType::Handshake] {
        let mut client = client();
        let (connection, mut conversation) = secured(&mut client, &terms, &trusting(&ours));
        let mut sealing = conversation.sealing();
        let flooding = flood(conversation, 10_000, move |_| sealing.record(kind, b""));
        let error = ended_in_bounds(&mut client, connection);
        assert_eq!((error.class, error.source), BREACH, "{kind:?}: {error}");
        flooding.join().unwrap();
    }
    // Warnings of a server that is about to answer, in the open (TLS 1.2: unrecognized_name).
    let terms = Terms::speaking(&ours.issue_local(), &[&TLS12]);
    let server = TlsServer::start(&terms, |it, _| {
        it.first_answer();
        while it.line(&[21, 3, 3, 0, 2, 1, 112]) {}
    });
    let mut client = client();
    let tls = trusting(&ours);
    let connection = client.connect_tls(&server.target(), Framing::line(), &tls);
    let error = ended_in_bounds(&mut client, connection.unwrap());
    let breach = (Class::Protocol, Phase::Handshake, Sent::No);
    assert_eq!(kind(&error), breach, "{error}");
}

/// Tickets are no breach, however many: they are read, a bounded amount a turn, and others are served in every one.
#[test]
fn a_flood_of_tickets_is_read_in_bounded_memory_and_others_are_served_meanwhile() {
    const TICKETS: usize = 2_000;
    let (ours, terms) = ours();
    let (mut client, tls) = (client(), trusting(&ours));
    let (flooded, mut conversation) = secured(&mut client, &terms, &tls);
    let (other, mut quiet) = secured(&mut client, &terms, &tls);
    let mut sealing = conversation.sealing();
    let flooding = std::thread::spawn(move || {
        for _ in 0..TICKETS {
            let ticket = sealing.ticket(4_000);
            assert!(conversation.line(&ticket));
        }
        let last = sealing.data(b"ALL SAID\n");
        assert!(conversation.line(&last));
        (conversation, sealing)
    });
    let calm = Calm::begins();
    let (rounds, held) = live(|| {
        let mut rounds = 0;
        loop {
            quiet.write(b"ME TOO\n");
            let mut is_over = false;
            client_until(&mut client, |client, event| match event {
                Event::Frame { connection, frame } if connection == other => {
                    assert_eq!(client.bytes(&frame), b"ME TOO");
                    Some(())
                }
                Event::Frame { connection, frame } if connection == flooded => {
                    assert_eq!(client.bytes(&frame), b"ALL SAID");
                    is_over = true;
                    None
                }
                other => panic!("{other:?}"),
            });
            rounds += 1;
            if is_over {
                return rounds;
            }
        }
    });
    println!("{rounds} rounds, {held} bytes held");
    assert!(held < HELD_MAX, "{held} bytes are held");
    // A turn for each thing that came: a ticket, or another's line.
    calm.ends(TICKETS + rounds);
    // The session is as good as before.
    let (mut conversation, mut sealing) = flooding.join().unwrap();
    client.send(flooded, b"still there?\n").unwrap();
    client.flush();
    assert_eq!(conversation.read_line().unwrap(), b"still there?");
    let answer = sealing.data(b"YES\n");
    conversation.line(&answer);
    assert_eq!(next_frame(&mut client, flooded), b"YES");
}

#[test]
fn records_of_one_byte_are_one_line() {
    let (ours, terms) = ours();
    let mut client = client();
    let (connection, mut conversation) = secured(&mut client, &terms, &trusting(&ours));
    let line = [&marked(3_000)[..], b"\n"].concat();
    let mut sealing = conversation.sealing();
    let bytes: Vec<u8> = line.iter().flat_map(|it| sealing.data(&[*it])).collect();
    let writing = std::thread::spawn(move || {
        conversation.line(&bytes);
        conversation
    });
    let calm = Calm::begins();
    assert_eq!(next_frame(&mut client, connection), line[..line.len() - 1]);
    calm.ends(line.len());
    drop(writing.join().unwrap());
}

/// Of 80 KB in one message, by each version: it is not taken, nor waited for to its end.
#[test]
fn a_message_of_more_than_64_kib_is_refused_by_its_size() {
    let ours = Authority::new("ours");
    let mut identity = ours.issue_local();
    for _ in 0..2 {
        let more = ours.issue_as(&["more.test"], longer(40_000));
        identity.chain.extend(more.chain);
    }
    for version in rustls::ALL_VERSIONS {
        let server = TlsServer::answering(&Terms::speaking(&identity, &[version]));
        let mut client = client();
        let tls = trusting(&ours);
        let connection = client.connect_tls(&server.target(), Framing::line(), &tls);
        let connection = connection.unwrap();
        client.send(connection, &[MARKER, b"\n"].concat()).unwrap();
        let error = ended_in_bounds(&mut client, connection);
        assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{version:?}: {error}");
        assert_eq!(error.source, Source::Tls(TlsFault::TooLarge), "{version:?}");
        assert_nothing_is_left(client, server.address());
        assert_nothing_of_the_program(&server.heard()[0]);
    }
}

/// It claims 16 MiB and says nothing more: nothing is set aside for it, and nobody waits.
#[test]
fn a_message_that_claims_16_mib_is_refused_at_its_header() {
    let (ours, terms) = ours();
    let server = TlsServer::start(&terms, |it, _| {
        it.first_answer();
        it.line(&[22, 3, 3, 0, 5, 2, 0xff, 0xff, 0xff, 3]);
        it.hear_all();
    });
    let mut client = client();
    let tls = trusting(&ours);
    let connection = client.connect_tls(&server.target(), Framing::line(), &tls);
    let error = ended_in_bounds(&mut client, connection.unwrap());
    assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{error}");
    assert_eq!(error.source, Source::Tls(TlsFault::TooLarge));
    assert_nothing_is_left(client, server.address());
}

/// A program that does not pull holds the peer back, as without TLS.
#[test]
fn lines_that_nobody_pulls_are_held_back_with_the_peer() {
    let (ours, terms) = ours();
    let mut client = client();
    let (connection, conversation) = secured(&mut client, &terms, &trusting(&ours));
    let line = [&marked(999)[..], b"\n"].concat();
    let lines = 40_000;
    let flooding = flood(conversation, lines, move |it| {
        use std::io::Write;
        it.tls.writer().write_all(&line).unwrap();
        it.said()
    });
    until_in_kernel(&client, connection, 64 << 10);
    let ((), held) = live(|| {
        for _ in 0..300 {
            turn(&mut client, ms(1));
        }
    });
    let bound = Limits::default().unpulled_bytes_max as isize + HELD_MAX;
    assert!(held < bound, "{held} bytes are held for nobody");
    assert!(!flooding.is_finished(), "the peer was not held back");
    let mut frames = 0;
    while frames < lines {
        assert_eq!(next_frame(&mut client, connection).len(), 999);
        frames += 1;
    }
    drop(flooding.join().unwrap());
}

/// A peer that takes nothing: what is queued is bounded, and its stall ends the connection.
#[test]
fn a_peer_that_reads_nothing_after_the_handshake_meets_the_bound_and_then_the_stall() {
    let (ours, terms) = ours();
    let mut client = client_with(|it| it.timeouts.write_stall = ms(300));
    let (connection, conversation) = secured(&mut client, &terms, &trusting(&ours));
    let payload = marked(64 << 10);
    let (taken, held) = live(|| {
        let mut taken = 0;
        for _ in 0..2_000 {
            match client.send(connection, &payload) {
                Ok(()) => taken += payload.len(),
                Err(error) => {
                    assert!(error.is_full(), "{error}");
                    turn(&mut client, Duration::ZERO);
                    if client.queued(connection).unwrap() + payload.len()
                        > Limits::default().send_queue_bytes_max
                    {
                        return taken;
                    }
                }
            }
        }
        panic!("{taken} bytes are taken");
    });
    let bound = 2 * Limits::default().send_queue_bytes_max as isize + HELD_MAX;
    assert!(held < bound, "{held} bytes are held of {taken}");
    let calm = Calm::begins();
    let (error, written) = client_until(&mut client, |_, event| match event {
        Event::Writable { .. } => None,
        Event::Closed { error, written, .. } => Some((error.unwrap(), written)),
        other => panic!("{other:?}"),
    });
    assert_eq!(error.source, Source::Timeout(ms(300)), "{error}");
    assert_eq!((error.phase, error.sent), (Phase::Write, Sent::Maybe));
    calm.ends(4);
    assert!(written <= taken as u64);
    drop(conversation);
}
