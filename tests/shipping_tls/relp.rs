//! RELP over TLS: answers are what counts, and the session ends as librelp's servers end it, without a close_notify.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taut::ship::{Ack, ShipConfig, Wire};

use crate::shipping::{Fate, number_in};
use crate::support::eventually;
use crate::tls::{Authority, Conversation, Terms, TlsServer};
use crate::{ship, to};

type Times = Arc<Mutex<HashMap<u64, u32>>>;

/// Answers frames until the client closes, or so many lines were answered.
fn speak(conversation: &mut Conversation, times: &Times, lines_max: usize, says_farewell: bool) {
    if !conversation.handshake() {
        return;
    }
    let (mut heard, mut lines) = (Vec::new(), 0);
    loop {
        while let Some((txnr, command, data, bytes)) = frame(&heard) {
            let said = match command.as_str() {
                "open" => {
                    let offers = "200 OK\nrelp_version=0\ncommands=syslog";
                    format!("{txnr} rsp {} {offers}\n", offers.len())
                }
                "syslog" => {
                    let number = number_in(data).expect("a line that was sent");
                    *times.lock().unwrap().entry(number).or_default() += 1;
                    lines += 1;
                    format!("{txnr} rsp 6 200 OK\n")
                }
                _ => format!("{txnr} rsp 0\n0 serverclose 0\n"),
            };
            let is_over = command == "close" || lines == lines_max;
            if !(lines == lines_max && command == "syslog") {
                conversation.write(said.as_bytes());
            }
            if is_over {
                if says_farewell {
                    conversation.close_notify();
                }
                return;
            }
            heard.drain(..bytes);
        }
        let more = conversation.read();
        if more.is_empty() {
            return;
        }
        heard.extend(more);
    }
}

/// The first whole frame: its number, command, data and bytes.
fn frame(heard: &[u8]) -> Option<(u32, String, &[u8], usize)> {
    let mut parts = heard.splitn(4, |byte| *byte == b' ');
    let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
    let (txnr, command) = (text(parts.next()?), text(parts.next()?));
    let rest = parts.next()?;
    let head = txnr.len() + command.len() + 2;
    let digits = rest.iter().take_while(|it| it.is_ascii_digit()).count();
    let length: usize = text(&rest[..digits]).parse().ok()?;
    let from = head + digits + usize::from(length > 0);
    let end = from + length;
    heard.get(end).filter(|it| **it == b'\n')?;
    Some((txnr.parse().ok()?, command, &heard[from..end], end + 1))
}

fn relp_to(target: &str, authority: &Authority) -> ShipConfig {
    ShipConfig {
        wire: Wire::Relp,
        ..to(target, authority, Ack::Relp)
    }
}

#[test]
fn lines_are_answered_and_the_end_of_the_session_is_no_loss() {
    let authority = Authority::new("sinks");
    for says_farewell in [true, false] {
        let times = Times::default();
        let keeping = times.clone();
        let terms = Terms::new(&authority.issue_local());
        let server = TlsServer::start(&terms, move |conversation, _| {
            speak(conversation, &keeping, usize::MAX, says_farewell);
        });
        let read = |number| times.lock().unwrap().get(&number).copied().unwrap_or(0);
        let (outcome, shipped) = ship(relp_to(&server.target(), &authority), 1_000, read);
        assert_eq!(shipped.fates.count(Fate::Delivered), 1_000);
        assert_eq!((outcome.lost, outcome.doubled), (0, 0));
        assert_eq!(shipped.lost, [], "{says_farewell}");
    }
}

/// Each connection ends behind 100 lines, the last of which it has taken and not answered.
#[test]
fn what_was_not_answered_is_sent_again_however_the_session_ends() {
    let authority = Authority::new("sinks");
    for says_farewell in [true, false] {
        let times = Times::default();
        let keeping = times.clone();
        let terms = Terms::new(&authority.issue_local());
        let server = TlsServer::start(&terms, move |conversation, nth| {
            let lines_max = if nth < 5 { 100 } else { usize::MAX };
            speak(conversation, &keeping, lines_max, says_farewell);
        });
        let read = |number| times.lock().unwrap().get(&number).copied().unwrap_or(0);
        let mut config = relp_to(&server.target(), &authority);
        config.client.timeouts.first_byte = Duration::from_secs(5);
        let (outcome, shipped) = ship(config, 1_000, read);
        assert_eq!(shipped.fates.count(Fate::Delivered), 1_000, "{outcome:?}");
        assert_eq!(outcome.lost, 0, "{outcome:?}");
        assert!(outcome.doubled <= 5 * 128, "{outcome:?}");
        assert!(!shipped.lost.is_empty());
        eventually("six connections", || server.accepted() >= 6);
    }
}
