//! How a session is ended, by either side: our close_notify before our FIN, the peer's words behind it still heard, and
//! one half before the other.

use std::time::Duration;

use taut::{Class, Client, ConnectionId, Event, Phase, Sent, Source};

use crate::common::*;
use crate::support::*;
use crate::tls::*;

fn standing_with(change: impl FnOnce(&mut taut::Config)) -> (Client, ConnectionId, Conversation) {
    let (ours, terms) = ours();
    let mut client = client_with(change);
    let (connection, conversation) = secured(&mut client, &terms, &trusting(&ours));
    (client, connection, conversation)
}

#[test]
fn what_was_queued_leaves_before_our_close_notify_and_that_before_our_fin() {
    let (mut client, connection, mut conversation) = standing_with(|_| {});
    let payload = marked(900_000);
    client.send(connection, &payload).unwrap();
    client.close(connection).unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        loop {
            let part = conversation.read();
            if part.is_empty() {
                break;
            }
            all.extend(part);
        }
        assert_eq!(conversation.ended(), Ending::Orderly);
        conversation.close_notify();
        conversation.fin();
        (all, conversation)
    });
    let told = until_closed(&mut client, connection);
    assert_eq!((told.error, told.written), (None, payload.len() as u64));
    let (all, conversation) = reading.join().unwrap();
    assert!(all == payload, "{} bytes have come", all.len());
    assert_sealed(&conversation.heard);
    assert_silent(&mut client);
}

#[test]
fn after_our_farewell_what_the_peer_still_says_is_told() {
    let (mut client, connection, mut conversation) = standing_with(|_| {});
    client.send(connection, b"last question\n").unwrap();
    client.close(connection).unwrap();
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(conversation.read_line().unwrap(), b"last question");
    assert_eq!(conversation.ended(), Ending::Orderly);
    conversation.write(b"LAST ANSWER\n");
    assert_eq!(next_frame(&mut client, connection), b"LAST ANSWER");
    conversation.write(b"AND ONE MORE\n");
    conversation.close_notify();
    // Its words alone may be older than what it has read of ours: the end of the line is awaited behind them.
    conversation.fin();
    let told = until_closed(&mut client, connection);
    assert_eq!(told.frames, [b"AND ONE MORE"]);
    assert_eq!((told.error, told.written), (None, 14));
    assert_silent(&mut client);
}

/// A peer that does not answer our farewell is let go after a while.
#[test]
fn a_peer_that_does_not_answer_our_farewell_is_let_go_after_a_while() {
    let (mut client, connection, mut conversation) =
        standing_with(|it| it.timeouts.linger = ms(200));
    let calm = Calm::begins();
    client.close(connection).unwrap();
    let told = until_closed(&mut client, connection);
    let error = told.error.unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Drain, Source::Timeout(ms(200)))
    );
    assert_in_time(&calm, ms(200));
    calm.ends(2);
    assert_eq!(conversation.ended(), Ending::Orderly);
}

/// A peer that reads its end, and ends the line without a word: what it had to say may be missing.
#[test]
fn a_peer_that_answers_our_farewell_by_a_fin_alone_is_told_as_truncated() {
    let (mut client, connection, mut conversation) = standing_with(|_| {});
    client.close(connection).unwrap();
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(conversation.ended(), Ending::Orderly);
    conversation.fin();
    let told = until_closed(&mut client, connection);
    let error = told.error.unwrap();
    assert_eq!(error.source, Source::Truncated { received: 0 }, "{error}");
    assert_eq!(error.phase, Phase::Drain);
    assert_silent(&mut client);
}

#[test]
fn the_peers_farewell_is_answered_by_ours() {
    for has_fin in [false, true] {
        let (mut client, connection, mut conversation) = standing_with(|_| {});
        conversation.write(b"BYE\n");
        conversation.close_notify();
        if has_fin {
            conversation.fin();
        }
        let told = until_closed(&mut client, connection);
        assert_eq!(told.frames, [b"BYE"]);
        let error = told.error.unwrap();
        assert_eq!(kind(&error), (Class::Transient, Phase::Idle, Sent::No));
        assert_eq!(error.source, Source::Eof);
        assert_eq!(conversation.ended(), Ending::Orderly, "{has_fin}");
        assert_silent(&mut client);
    }
}

#[test]
fn a_farewell_within_a_frame_is_an_end_within_it() {
    let (mut client, connection, mut conversation) = standing_with(|_| {});
    conversation.write(b"WHOLE\nHALF A LI");
    conversation.close_notify();
    let told = until_closed(&mut client, connection);
    assert_eq!(told.frames, [b"WHOLE"]);
    let source = told.error.unwrap().source;
    assert_eq!(source, Source::Truncated { received: 9 });
}

/// A FIN without a word, where nothing was begun, between two frames and within one.
#[test]
fn an_end_without_a_word_is_truncated_wherever_it_comes() {
    for (words, frames, received) in [(&b""[..], 0, 0), (b"WHOLE\n", 1, 0), (b"WHOLE\nHALF", 1, 4)]
    {
        let (mut client, connection, mut conversation) = standing_with(|_| {});
        if !words.is_empty() {
            conversation.write(words);
        }
        conversation.fin();
        let told = until_closed(&mut client, connection);
        let error = told.error.unwrap();
        assert_eq!(told.frames.len(), frames);
        assert_eq!(error.source, Source::Truncated { received }, "{error}");
        assert_eq!(error.class, Class::Protocol);
        assert_silent(&mut client);
    }
}

/// Behind the peer's farewell nothing is taken, whoever wrote it there.
#[test]
fn what_follows_the_peers_farewell_on_the_line_is_dropped() {
    let (mut client, connection, mut conversation) = standing_with(|_| {});
    let mut sealing = conversation.sealing();
    let mut line = sealing.data(b"BYE\n");
    line.extend(sealing.close_notify());
    line.extend(sealing.data(b"AND THIS\n"));
    line.extend(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    conversation.line(&line);
    let told = until_closed(&mut client, connection);
    assert_eq!(told.frames, [b"BYE"]);
    assert_eq!(told.error.unwrap().source, Source::Eof);
    assert_silent(&mut client);
}

#[test]
fn where_it_is_allowed_a_peer_that_has_said_farewell_is_still_sent_to() {
    let (mut client, connection, mut conversation) = standing_with(|it| it.half_close = true);
    conversation.write(b"NOW YOU\n");
    conversation.close_notify();
    assert_eq!(next_frame(&mut client, connection), b"NOW YOU");
    client_until(&mut client, |_, event| match event {
        Event::HalfClosed { connection: it } if it == connection => Some(()),
        other => panic!("{other:?}"),
    });
    for _ in 0..3 {
        client.send(connection, b"and more\n").unwrap();
        client.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(conversation.read_line().unwrap(), b"and more");
    }
    client.close(connection).unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!((told.error, told.written), (None, 27));
    assert_eq!(conversation.ended(), Ending::Orderly);
    assert_silent(&mut client);
}

#[test]
fn an_abort_is_a_reset_and_a_client_that_is_dropped_or_drained_says_farewell() {
    let (mut client, connection, mut conversation) = standing_with(|_| {});
    client.abort(connection).unwrap();
    until_closed(&mut client, connection);
    let ending = conversation.ended();
    assert!(matches!(ending, Ending::Reset { .. }), "{ending:?}");

    let (client, _, mut conversation) = standing_with(|_| {});
    drop(client);
    assert_eq!(conversation.ended(), Ending::Orderly);

    let (mut client, connection, mut conversation) = standing_with(|_| {});
    client.drain(far());
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(conversation.ended(), Ending::Orderly);
    conversation.close_notify();
    client_until(&mut client, |_, event| match event {
        Event::Draining { .. } => None,
        Event::Closed { connection: it, .. } if it == connection => None,
        Event::Drained { forced } => {
            assert_eq!(forced, 0);
            Some(())
        }
        other => panic!("{other:?}"),
    });
}

/// A connection that was idle for too long, and one that was let go by `leave`.
#[test]
fn a_connection_that_rests_too_long_or_is_left_says_farewell() {
    let (mut client, connection, mut conversation) = standing_with(|it| it.timeouts.idle = ms(50));
    let told = until_closed(&mut client, connection);
    assert_eq!(told.error.unwrap().phase, Phase::Idle);
    let ending = conversation.ended();
    println!("after its rest: {ending:?}");
    assert_ne!(ending, Ending::Truncated);

    let (mut client, connection, mut conversation) = standing_with(|_| {});
    client.leave(connection).unwrap();
    until_closed(&mut client, connection);
    assert_eq!(conversation.ended(), Ending::Orderly);
}

/// A session that breaks tells the peer why.
#[test]
fn the_server_is_told_by_an_alert_why_a_session_was_given_up() {
    let (mut client, connection, mut conversation) = standing_with(|_| {});
    let mut line = conversation.sealing().data(b"WHATEVER\n");
    *line.last_mut().unwrap() ^= 1;
    conversation.line(&line);
    until_closed(&mut client, connection);
    let bad_record_mac = rustls::AlertDescription::BadRecordMac;
    let broken = Ending::Broken(rustls::Error::AlertReceived(bad_record_mac));
    assert_eq!(conversation.ended(), broken);
}
