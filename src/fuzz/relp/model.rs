//! A session and its model, side by side: what a driver may do and what any server may say, in any order.

use crate::fuzz::input::Input;
use crate::ship::relp::{Heard, RelpError, Session, put_frame};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Opening,
    Ready,
    Closing(u32),
    Closed,
}

/// All that was ever asked and answered.
struct Model {
    phase: Phase,
    asked: Vec<u32>,
    answered: Vec<u32>,
}

/// What has to come of a frame.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Heard(Heard),
    Malformed,
    Incompatible,
    Refused(u32),
}

/// The data of an answer, its code, and what it is to `open`.
type Answer = (&'static [u8], Option<u32>, bool);

const ANSWERS: [Answer; 12] = [
    (b"200 OK", Some(200), false),
    (
        b"200 OK\nrelp_version=0\nrelp_software=x\ncommands=syslog",
        Some(200),
        true,
    ),
    (
        b"200 OK relp_version=0\nx=y\ncommands=a,syslog\n",
        Some(200),
        true,
    ),
    (b"200\ncommands=syslog\nrelp_version=1", Some(200), true),
    (b"200 OK\nrelp_version=2\ncommands=syslog", Some(200), false),
    (b"200 OK\ncommands=eventlog", Some(200), false),
    (b"500 no", Some(500), false),
    (b"201", Some(201), false),
    (b"000 \xff", Some(0), false),
    (b"", None, false),
    (b"20 OK", None, false),
    (b"2000", None, false),
];

/// One program, from a connection's beginning to its end.
pub(super) fn session(input: &mut Input) {
    let mut session = Session::new();
    let mut model = Model {
        phase: Phase::Idle,
        asked: Vec::new(),
        answered: Vec::new(),
    };
    if input.below(16) > 0 {
        open(&mut session, &mut model);
    }
    if input.below(8) > 0 {
        let goes_on = answer(&mut session, &mut model, 1, ANSWERS[1]);
        assert_eq!(goes_on, model.phase == Phase::Ready);
        if !goes_on {
            return;
        }
    }
    while !input.is_empty() {
        let goes_on = step(&mut session, &mut model, input);
        if !goes_on {
            return;
        }
        let unanswered = model.asked.len() - model.answered.len();
        assert_eq!(session.unanswered() as usize, unanswered);
        assert_eq!(session.is_ready(), model.phase == Phase::Ready);
    }
}

fn step(session: &mut Session, model: &mut Model, input: &mut Input) -> bool {
    match input.below(8) {
        0..3 => ask(session, model),
        3 => {
            // The oldest that is owed, as a server in order would.
            let owed = |txnr: &&u32| !model.answered.contains(txnr);
            let Some(&txnr) = model.asked.iter().find(owed) else {
                return true;
            };
            return answer(session, model, txnr, ANSWERS[0]);
        }
        4 | 5 => {
            let txnr = input.below(model.asked.len().min(250) + 4) as u32;
            return answer(session, model, txnr, input.one_of(&ANSWERS));
        }
        6 => return hint(session, model, input),
        _ => match input.below(4) {
            0 => close(session, model),
            1 if model.phase == Phase::Idle => open(session, model),
            2 => {
                // Anything at all: it may be a frame, so the program ends here.
                let _ = session.handle_frame(input.rest());
                return false;
            }
            _ => ask(session, model),
        },
    }
    true
}

fn open(session: &mut Session, model: &mut Model) {
    let mut sent = Vec::new();
    session.open(&mut sent);
    assert!(sent.starts_with(b"1 open ") && sent.ends_with(b"\ncommands=syslog\n"));
    model.phase = Phase::Opening;
}

fn ask(session: &mut Session, model: &mut Model) {
    let next = model.asked.len() as u32 + 2;
    let expected = (model.phase == Phase::Ready).then_some(next);
    assert_eq!(session.next_txnr(), expected);
    model.asked.extend(expected);
}

fn close(session: &mut Session, model: &mut Model) {
    let mut sent = Vec::new();
    let is_awaited = session.close(&mut sent);
    let txnr = model.asked.len() as u32 + 2;
    match model.phase {
        Phase::Ready => {
            assert_eq!(
                (is_awaited, sent),
                (true, format!("{txnr} close 0\n").into_bytes())
            );
            model.phase = Phase::Closing(txnr);
        }
        Phase::Closing(_) => assert_eq!((is_awaited, sent), (true, Vec::new())),
        _ => assert_eq!((is_awaited, sent), (false, Vec::new())),
    }
}

fn answer(session: &mut Session, model: &mut Model, txnr: u32, answer: Answer) -> bool {
    let expected = model.hear(txnr, answer);
    handle(session, txnr, b"rsp", answer.0, &expected)
}

fn hint(session: &mut Session, model: &mut Model, input: &mut Input) -> bool {
    let txnr = input.below(2) as u32;
    let command = input.one_of(&[&b"serverclose"[..], b"abort", b"serverclosed", b"syslog"]);
    let expected = match (txnr, command) {
        (0, b"serverclose") => {
            if !matches!(model.phase, Phase::Closing(_)) {
                model.phase = Phase::Closed;
            }
            Expected::Heard(Heard::ServerClose)
        }
        (0, _) => Expected::Heard(Heard::Nothing),
        _ => Expected::Malformed,
    };
    handle(session, txnr, command, b"", &expected)
}

/// Gives the session this frame; says whether it goes on.
fn handle(
    session: &mut Session,
    txnr: u32,
    command: &[u8],
    data: &[u8],
    expected: &Expected,
) -> bool {
    let mut frame = Vec::new();
    put_frame(txnr, command, data, &mut frame);
    assert_eq!(frame.pop(), Some(b'\n'));
    let heard = match session.handle_frame(&frame) {
        Ok(heard) => Expected::Heard(heard),
        Err(RelpError::Malformed(_)) => Expected::Malformed,
        Err(RelpError::Incompatible(_)) => Expected::Incompatible,
        Err(RelpError::Refused { code, .. }) => Expected::Refused(code),
    };
    assert_eq!(heard, *expected, "{}", frame.escape_ascii());
    matches!(heard, Expected::Heard(_))
}

impl Model {
    fn hear(&mut self, txnr: u32, (_, code, opens): Answer) -> Expected {
        match self.phase {
            Phase::Closing(close) if txnr == close => {
                self.phase = Phase::Closed;
                return Expected::Heard(Heard::CloseAnswered);
            }
            Phase::Opening if txnr == 1 => return self.hear_opened(code, opens),
            _ => {}
        }
        let is_owed = self.asked.contains(&txnr) && !self.answered.contains(&txnr);
        match code {
            Some(code) if is_owed => {
                self.answered.push(txnr);
                Expected::Heard(Heard::Answered {
                    txnr,
                    accepted: code == 200,
                    code,
                })
            }
            _ => Expected::Malformed,
        }
    }

    fn hear_opened(&mut self, code: Option<u32>, opens: bool) -> Expected {
        match code {
            None => Expected::Malformed,
            Some(200) if opens => {
                self.phase = Phase::Ready;
                Expected::Heard(Heard::Ready)
            }
            Some(200) => Expected::Incompatible,
            Some(code) => Expected::Refused(code),
        }
    }
}
