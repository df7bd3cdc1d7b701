//! Why a probe failed, in the words of the contract: phase, class, kind, sent, errno, message.

use nix::errno::Errno;
use serde_json::{Value, json};
use taut::{Error, Phase, Sent};

/// A failure, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) phase: &'static str,
    pub(crate) class: &'static str,
    kind: &'static str,
    sent: &'static str,
    errno: Option<String>,
    message: String,
}

impl Failure {
    /// The reply is not what `--expect` asks for.
    pub(crate) fn mismatch() -> Failure {
        Failure {
            phase: Phase::Read.name(),
            class: taut::Class::Protocol.name(),
            kind: "mismatch",
            sent: Sent::Yes.name(),
            errno: None,
            message: "the reply is not what --expect asks for".to_owned(),
        }
    }

    /// The peer's certificate was refused.
    pub(crate) fn is_for_a_certificate(&self) -> bool {
        self.kind == "certificate"
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "phase": self.phase,
            "class": self.class,
            "kind": self.kind,
            "sent": self.sent,
            "errno": self.errno,
            "message": self.message,
        })
    }

    /// `connect: Connection refused (transient, os, ECONNREFUSED, sent: no)`.
    pub(crate) fn to_text(&self) -> String {
        let errno = self.errno.as_ref().map(|name| format!(", {name}"));
        let Failure {
            phase,
            class,
            kind,
            sent,
            message,
            ..
        } = self;
        format!(
            "{phase}: {message} ({class}, {kind}{}, sent: {sent})",
            errno.unwrap_or_default()
        )
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let errno = error.errno().map(Errno::from_raw);
        Failure {
            phase: error.phase.name(),
            class: error.class.name(),
            kind: error.source.kind(),
            sent: error.sent.name(),
            errno: errno.map(|errno| format!("{errno:?}")),
            message: errno
                .map_or_else(|| error.source.to_string(), |errno| errno.desc().to_owned()),
        }
    }
}
