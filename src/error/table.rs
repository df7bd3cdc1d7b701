//! The table of `docs/errors.md`, read from the file: what may come from what, and how it is to be met.
//!
//! It is the only list of it: the tests here hold its rows to the code and the code to its rows; others hold to it what
//! a program is told ([`is_listed`]).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use nix::errno::Errno;

use super::{CertificateFault, Class, Error, Limit, Phase, ResolveError, Sent, Source, TlsFault};
use crate::errno;

/// A row: everything that its causes have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) from: Vec<&'static str>,
    pub(crate) causes: Vec<&'static str>,
    pub(crate) kind: &'static str,
    pub(crate) class: &'static str,
    pub(crate) phases: BTreeSet<&'static str>,
    pub(crate) sents: BTreeSet<&'static str>,
    pub(crate) again: &'static str,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| rows_of(include_str!("../../docs/errors.md")));

/// Errnos by their names.
static ERRNOS: LazyLock<BTreeMap<String, i32>> =
    LazyLock::new(|| (1..200).map(|errno| (name(errno), errno)).collect());

/// Every row.
pub(crate) fn rows() -> &'static [Row] {
    &ROWS
}

/// Whether a row has this error: its kind and class, its phase, what was sent, and the errno where one says the cause.
pub(crate) fn is_listed(error: &Error) -> bool {
    rows().iter().any(|row| row.is_of(error))
}

impl Row {
    pub(crate) fn is_of(&self, error: &Error) -> bool {
        self.kind == error.source.kind()
            && self.class == error.class.name()
            && self.phases.contains(error.phase.name())
            && self.sents.contains(error.sent.name())
            && error
                .errno()
                .is_none_or(|errno| self.causes.contains(&name(errno).as_str()))
    }

    /// The errnos among its causes.
    pub(crate) fn errnos(&self) -> impl Iterator<Item = i32> {
        let names = self.causes.iter().filter(|cause| is_errno(cause));
        names.map(|cause| number(cause))
    }

    fn says_again(&self, error: &Error) -> bool {
        let (retryable, of_idempotent) = match self.again {
            "no" => (false, false),
            "yes" | "later" => (error.sent == Sent::No, true),
            other => panic!("again: {other}"),
        };
        error.is_retryable() == retryable
            && error.is_retryable_if_idempotent() == of_idempotent
            && error.retry_after().is_some() == (self.again == "later")
    }
}

/// The rows of the one table that has these columns.
fn rows_of(text: &'static str) -> Vec<Row> {
    let mut lines = text.lines();
    let head = "| from | cause | kind | class | phase | sent | again |";
    assert!(lines.any(|line| line == head), "no table of causes");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(row_of).collect()
}

fn row_of(line: &'static str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [from, causes, kind, class, phases, sents, again] = cells[..] else {
        panic!("not a row of seven cells: {line}");
    };
    Row {
        from: from.split(", ").collect(),
        causes: causes.split('`').skip(1).step_by(2).collect(),
        kind,
        class,
        phases: phases.split(", ").collect(),
        sents: sents.split(", ").collect(),
        again,
    }
}

fn is_errno(cause: &str) -> bool {
    !cause.starts_with("EAI_") && cause.starts_with('E') && cause != "Eof"
}

/// The errno of that name.
fn number(name: &str) -> i32 {
    let errno = ERRNOS.get(name);
    *errno.unwrap_or_else(|| panic!("{name} is no errno"))
}

fn name(errno: i32) -> String {
    format!("{:?}", Errno::from_raw(errno))
}

/// getaddrinfo's codes by their names.
const LOOKUP_CODES: &[(&str, i32)] = &[
    ("EAI_ADDRFAMILY", errno::EAI_ADDRFAMILY),
    ("EAI_AGAIN", errno::EAI_AGAIN),
    ("EAI_BADFLAGS", errno::EAI_BADFLAGS),
    ("EAI_FAIL", errno::EAI_FAIL),
    ("EAI_FAMILY", errno::EAI_FAMILY),
    ("EAI_MEMORY", errno::EAI_MEMORY),
    ("EAI_NODATA", errno::EAI_NODATA),
    ("EAI_NONAME", errno::EAI_NONAME),
    ("EAI_OVERFLOW", errno::EAI_OVERFLOW),
    ("EAI_SERVICE", errno::EAI_SERVICE),
    ("EAI_SOCKTYPE", errno::EAI_SOCKTYPE),
    ("EAI_SYSTEM", errno::EAI_SYSTEM),
];

/// The variants of an enum as `source.rs` has them.
fn variants(of: &str) -> BTreeSet<&'static str> {
    let file = include_str!("source.rs");
    let head = format!("pub enum {of} {{");
    let lines = file.lines().skip_while(|line| *line != head);
    let lines = lines.take_while(|line| *line != "}");
    let words = lines.filter_map(|line| line.strip_prefix("    "));
    let words = words.filter(|line| line.starts_with(char::is_uppercase));
    let names = words.map(|line| line.split([' ', '(', ',']).next().unwrap());
    names.collect()
}

/// The name of a cause: of the bounds the rate alone has one of its own, for it says when; of a TLS session each fault,
/// for they are not of one class.
fn variant(source: &Source) -> String {
    let text = match source {
        Source::Tls(fault) => format!("{fault:?}"),
        Source::Full { limit } if matches!(limit, Limit::RequestRate { .. }) => {
            format!("{limit:?}")
        }
        _ => format!("{source:?}"),
    };
    text.split([' ', '(']).next().unwrap().to_owned()
}

/// One of each cause that no call gives.
fn without_a_call() -> Vec<Source> {
    vec![
        Source::Timeout(Duration::from_secs(1)),
        Source::Deadline,
        Source::Eof,
        Source::Truncated { received: 1 },
        Source::Oversize {
            limit: 1,
            claimed: 2,
        },
        Source::Malformed("no type byte"),
        Source::Unsolicited,
        Source::SelfConnect,
        Source::Full {
            limit: Limit::Connections,
        },
        Source::Full {
            limit: Limit::RequestRate {
                retry_after: Duration::from_secs(1),
            },
        },
        Source::IdInUse { id: 7 },
        Source::Cancelled,
        Source::BreakerOpen {
            retry_after: Duration::from_secs(1),
        },
        Source::ShuttingDown,
        Source::NotOpen,
        Source::Closed,
        Source::Invalid("a depth of 0"),
        Source::Certificate(CertificateFault::UnknownIssuer),
        Source::Alert(48),
        Source::Tls(TlsFault::Version),
        Source::Tls(TlsFault::NothingInCommon),
        Source::Tls(TlsFault::Alpn),
        Source::Tls(TlsFault::NotTls),
        Source::Tls(TlsFault::TooLarge),
        Source::Tls(TlsFault::BadRecord),
        Source::Tls(TlsFault::Misbehaved),
        Source::Tls(TlsFault::Internal),
    ]
}

/// What the code makes of a cause of a row.
fn made_of(row: &Row, cause: &str) -> Error {
    let of_errno = || Source::Os(number(cause));
    if let Some((_, code)) = LOOKUP_CODES.iter().find(|(name, _)| *name == cause) {
        let why = crate::net::why_unresolved(*code, 0);
        return Error::new(Phase::Resolve, Source::Resolve(why));
    }
    match row.from[0] {
        "EAI_SYSTEM" => {
            let why = crate::net::why_unresolved(errno::EAI_SYSTEM, number(cause));
            Error::new(Phase::Resolve, Source::Resolve(why))
        }
        "socket" => Error::of_connect(of_errno()),
        name @ ("setsockopt" | "bind") => {
            let errno = number(cause);
            Error::new(Phase::Connect, Source::Option { name, errno })
        }
        _ if is_errno(cause) => Error::new(Phase::Connect, of_errno()),
        _ => {
            let mut all = without_a_call().into_iter();
            let source = all.find(|source| variant(source) == cause);
            let source = source.unwrap_or_else(|| panic!("{cause} is no cause"));
            Error::new(Phase::Connect, source)
        }
    }
}

#[test]
fn each_row_says_what_the_code_says() {
    let all = [
        (Class::Transient, Phase::Resolve, Sent::No),
        (Class::Persistent, Phase::Connect, Sent::Maybe),
        (Class::Protocol, Phase::Handshake, Sent::Yes),
        (Class::Resource, Phase::Write, Sent::No),
        (Class::Local, Phase::Read, Sent::No),
        (Class::Local, Phase::Idle, Sent::No),
        (Class::Local, Phase::Drain, Sent::No),
    ];
    let classes: BTreeSet<_> = all.iter().map(|(class, ..)| class.name()).collect();
    let phases: BTreeSet<_> = all.iter().map(|(_, phase, _)| phase.name()).collect();
    let sents: BTreeSet<_> = all.iter().map(|(.., sent)| sent.name()).collect();
    for row in rows() {
        assert!(classes.contains(row.class), "{row:?}");
        assert!(row.phases.is_subset(&phases), "{row:?}");
        assert!(row.sents.is_subset(&sents), "{row:?}");
        assert!(!row.causes.is_empty(), "{row:?}");
        for cause in &row.causes {
            let made = made_of(row, cause);
            let told = (made.source.kind(), made.class.name());
            assert_eq!(told, (row.kind, row.class), "{cause} of {:?}", row.from);
            for sent in [Sent::No, Sent::Maybe, Sent::Yes] {
                let error = Error { sent, ..made };
                let is_told = row.sents.contains(sent.name());
                assert!(!is_told || row.says_again(&error), "{cause}: {error:?}");
            }
        }
    }
}

#[test]
fn no_cause_has_two_rows_of_the_same_call() {
    let mut seen = BTreeSet::new();
    for row in rows() {
        for (from, cause) in row
            .from
            .iter()
            .flat_map(|from| row.causes.iter().map(move |cause| (from, cause)))
        {
            assert!(seen.insert((from, cause)), "{cause} of {from} twice");
        }
    }
}

#[test]
fn each_errno_code_and_cause_of_the_code_has_a_row() {
    let listed: BTreeSet<&str> = rows().iter().flat_map(|row| row.causes.clone()).collect();
    let code = include_str!("../errno.rs");
    let code = code.lines().filter(|line| !line.starts_with("//"));
    let words = code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let errnos: BTreeSet<&str> = words
        .filter(|word| word.starts_with('E') && word.len() > 2)
        .collect();
    assert!(errnos.len() > 40, "{errnos:?}");
    for errno in errnos.into_iter().filter(|name| *name != "EAI_SYSTEM") {
        assert!(listed.contains(errno), "{errno} has no row");
    }
    // What calls give has rows of errnos and codes, and each fault of TLS one of its own.
    let of_others = ["Os", "Option", "Resolve", "Tls"];
    let causes = variants("Source");
    let faults = variants("TlsFault");
    assert!(
        causes.len() > 20 && faults.len() > 6,
        "{causes:?} {faults:?}"
    );
    for cause in causes.iter().filter(|cause| !of_others.contains(cause)) {
        assert!(listed.contains(cause), "{cause} has no row");
    }
    for fault in faults {
        assert!(listed.contains(fault), "{fault} has no row");
    }
    for source in without_a_call() {
        assert!(is_of_a_row(source), "{source} is never told so");
    }
    for why in [
        ResolveError::NotFound,
        ResolveError::TryAgain,
        ResolveError::Os(errno::EMFILE),
        ResolveError::Failed(errno::EAI_FAIL),
    ] {
        let error = Error::new(Phase::Resolve, Source::Resolve(why));
        assert!(is_listed(&error), "{error:?}");
    }
}

/// Whether some row has this cause, in whatever phase.
fn is_of_a_row(source: Source) -> bool {
    let phases = [
        Phase::Resolve,
        Phase::Connect,
        Phase::Handshake,
        Phase::Write,
        Phase::Read,
        Phase::Idle,
        Phase::Drain,
    ];
    let mut errors = phases.into_iter().map(|phase| Error::new(phase, source));
    errors.any(|error| is_listed(&error))
}

#[test]
fn what_is_in_no_row_is_not_listed() {
    let error = Error::new(Phase::Connect, Source::Os(errno::EMFILE));
    assert!(is_listed(&error));
    for other in [
        Error {
            sent: Sent::Maybe,
            ..error
        },
        Error {
            phase: Phase::Resolve,
            ..error
        },
        Error {
            class: Class::Transient,
            ..error
        },
        Error::new(Phase::Connect, Source::Deadline).of_request(Phase::Drain, Sent::No),
        Error::new(Phase::Read, Source::Os(libc::EDOM)),
    ] {
        assert!(!is_listed(&other), "{other:?}");
    }
}
