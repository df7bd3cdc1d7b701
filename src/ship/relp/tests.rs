//! The session, frame by frame: what is opened, numbered, answered, refused and left.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// What librelp's server answers to `open`, as rsyslogd 8.2302 with librelp 1.11 sent it.
const OPENED: &[u8] =
    b"1 rsp 93 200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog";

fn opening() -> Session {
    let mut session = Session::new();
    session.open(&mut Vec::new());
    session
}

fn ready() -> Session {
    let mut session = opening();
    assert_eq!(session.handle_frame(OPENED), Ok(Heard::Ready));
    session
}

/// An answer to `open` with these offers.
fn opened_with(data: &str) -> Result<Heard, RelpError> {
    let mut frame = Vec::new();
    put_frame(1, b"rsp", data.as_bytes(), &mut frame);
    frame.pop();
    opening().handle_frame(&frame)
}

fn answered(txnr: u32, code: u32) -> Result<Heard, RelpError> {
    Ok(Heard::Answered {
        txnr,
        accepted: code == 200,
        code,
    })
}

fn malformed(heard: Result<Heard, RelpError>) -> bool {
    matches!(heard, Err(RelpError::Malformed(_)))
}

#[test]
fn a_session_opens_numbers_its_lines_and_leaves() {
    let (mut session, mut sent) = (Session::new(), Vec::new());
    session.open(&mut sent);
    let version = env!("CARGO_PKG_VERSION");
    let offers = format!("relp_version=0\nrelp_software=taut,{version}\ncommands=syslog");
    let open = format!("1 open {} {offers}\n", offers.len());
    assert_eq!(String::from_utf8(sent).unwrap(), open);
    assert_eq!((session.is_ready(), session.next_txnr()), (false, None));

    assert_eq!(session.handle_frame(OPENED), Ok(Heard::Ready));
    assert!(session.is_ready());
    assert_eq!([2, 3].map(Some), [session.next_txnr(), session.next_txnr()]);
    assert_eq!(session.handle_frame(b"2 rsp 6 200 OK"), answered(2, 200));
    assert_eq!(session.unanswered(), 1);

    let mut sent = Vec::new();
    assert!(session.close(&mut sent));
    assert_eq!(sent, b"4 close 0\n");
    assert_eq!((session.is_ready(), session.next_txnr()), (false, None));
    assert_eq!(session.handle_frame(b"3 rsp 6 200 OK"), answered(3, 200));
    assert_eq!(session.handle_frame(b"4 rsp 0"), Ok(Heard::CloseAnswered));
    // librelp's server says this behind its answer to `close`.
    let hint = session.handle_frame(b"0 serverclose 0");
    assert_eq!(hint, Ok(Heard::ServerClose));
    assert_eq!(session.unanswered(), 0);
}

#[test]
fn a_session_that_is_not_ready_has_nothing_to_leave() {
    let mut sent = Vec::new();
    for mut session in [Session::new(), opening()] {
        assert!(!session.close(&mut sent));
    }
    let mut session = ready();
    assert!(session.close(&mut sent));
    sent.clear();
    assert!(session.close(&mut sent), "its answer is still to come");
    assert_eq!(sent, b"");
    // The server may say that it closes before it answers.
    let hint = session.handle_frame(b"0 serverclose 0");
    assert_eq!(hint, Ok(Heard::ServerClose));
    assert_eq!(session.handle_frame(b"2 rsp 0"), Ok(Heard::CloseAnswered));
    assert!(!session.close(&mut sent), "it has come");
}

#[test]
fn a_session_is_left_when_its_numbers_are_used_up() {
    let mut session = ready();
    session.answers = Answers::from(999_999_998);
    assert!(!session.is_used_up());
    assert_eq!(session.next_txnr(), Some(999_999_998));
    assert!(session.is_used_up() && session.is_ready());
    assert_eq!(session.next_txnr(), None);
    let mut sent = Vec::new();
    assert!(session.close(&mut sent) && !session.is_used_up());
    assert_eq!(sent, b"999999999 close 0\n");
    let frame = b"999999998 rsp 6 200 OK";
    assert_eq!(session.handle_frame(frame), answered(999_999_998, 200));
    let frame = b"999999999 rsp 0";
    assert_eq!(session.handle_frame(frame), Ok(Heard::CloseAnswered));
}

#[test]
fn a_server_that_closes_ends_the_lines_and_not_the_answers() {
    let mut session = ready();
    session.next_txnr();
    let hint = session.handle_frame(b"0 serverclose 0 ");
    assert_eq!(hint, Ok(Heard::ServerClose));
    assert_eq!((session.is_ready(), session.next_txnr()), (false, None));
    assert_eq!(session.handle_frame(b"2 rsp 6 200 OK"), answered(2, 200));
    assert_eq!(
        opening().handle_frame(b"0 serverclose 0"),
        Ok(Heard::ServerClose)
    );
}

#[test]
fn what_real_servers_answer_to_open_is_taken() {
    for data in [
        // logstash-input-relp: a SP where the first LF belongs.
        "200 OK relp_version=0\nrelp_software=logstash,1.1.1,http://logstash.net\ncommands=syslog",
        // relppy: no version.
        "200 OK\nrelppy,0.1,https://github.com/wtnb75/relppy\ncommands=syslog",
        // Teragrep's rlp_03: a LF behind the last offer.
        "200 OK\nrelp_version=0\nrelp_software=RLP-01,1.0.1,https://teragrep.com\ncommands=syslog\n",
        "200 OK\nrelp_version=1\ncommands=eventlog,syslog",
        "200\n\ncommands=eventlog\ncommands=syslog",
    ] {
        assert_eq!(opened_with(data), Ok(Heard::Ready), "{data}");
    }
}

#[test]
fn a_server_that_can_too_little_is_told_apart_from_one_that_refuses() {
    for (data, word) in [
        ("200 OK", "syslog"),
        ("200 OK\nrelp_version=0", "syslog"),
        ("200 OK\ncommands=syslogs", "syslog"),
        ("200 OK\nrelp_version=2\ncommands=syslog", "version"),
        ("200 OK\nrelp_version\ncommands=syslog", "version"),
    ] {
        let Err(error @ RelpError::Incompatible(_)) = opened_with(data) else {
            panic!("{data}")
        };
        assert!(error.rule().contains(word), "{data}: {error}");
    }
    let long = ["500 no\u{7}", &"x".repeat(100), "\nmore"].concat();
    let words = ["no\\x07", &"x".repeat(77)].concat();
    let refused = RelpError::Refused { code: 500, words };
    assert_eq!(opened_with(&long), Err(refused));
    // Only 200 opens, whatever is offered with it.
    let almost = opened_with("201 OK\ncommands=syslog");
    assert!(matches!(almost, Err(RelpError::Refused { code: 201, .. })));
}

#[test]
fn a_line_that_is_not_wanted_is_told_with_its_code() {
    let mut session = ready();
    for _ in 0..3 {
        session.next_txnr();
    }
    assert_eq!(
        session.handle_frame(b"3 rsp 20 500 command disabled"),
        answered(3, 500)
    );
    assert_eq!(session.handle_frame(b"2 rsp 3 201"), answered(2, 201));
    assert_eq!(session.handle_frame(b"4 rsp 4 000 "), answered(4, 0));
}

#[test]
fn what_no_server_may_say_ends_the_session() {
    let two = || {
        let mut session = ready();
        session.next_txnr();
        session.next_txnr();
        session
    };
    for frame in [
        &b"4 rsp 6 200 OK"[..],
        b"1 rsp 6 200 OK",
        b"0 rsp 6 200 OK",
        b"2 rsp 0",
        b"2 rsp 2 20",
        b"2 rsp 4 2000",
        b"2 rsp 3 2OK",
        b"2 rsp 6 OK 200",
        b"2 syslog 1 x",
        b"2 serverclose 0",
        b"2 rsp 6 200 O",
        b"",
    ] {
        let heard = two().handle_frame(frame);
        assert!(malformed(heard), "{}", frame.escape_ascii());
    }
    let mut session = two();
    assert_eq!(session.handle_frame(b"3 rsp 6 200 OK"), answered(3, 200));
    assert!(malformed(session.handle_frame(b"3 rsp 6 200 OK")), "twice");
    let mut session = two();
    assert_eq!(session.handle_frame(b"2 rsp 6 200 OK"), answered(2, 200));
    assert!(malformed(session.handle_frame(b"2 rsp 6 200 OK")), "twice");
    for mut session in [Session::new(), opening()] {
        assert!(malformed(session.handle_frame(b"2 rsp 6 200 OK")));
    }
    assert!(malformed(Session::new().handle_frame(OPENED)));
    assert_eq!(two().handle_frame(b"0 abort 0"), Ok(Heard::Nothing));
}
