//! Lines under way over TLS while rsyslogd is ended and started again: to imrelp by both of librelp's libraries, to imtcp
//! by both of its drivers (RFC 5425). What its ends say, and so what they prove, is in `tls_ends`.

use taut::ship::{Ack, OnUncertain, ShipConfig, Wire};
use taut::{TlsConfig, TlsVersion};

use crate::keys::{Keys, trusting_another};
use crate::restarts::{WINDOW, ship_under, shipper, to};
use crate::rsyslogd::{Certificates, Harm, Input, Rsyslogd};
use crate::shipping::{Fate, Outcome, Shipped};
use crate::support::ms;

/// The daemon is new each time; `change` is said of the shipper beside its certificate.
#[track_caller]
fn ship(
    (library, input): (&'static str, Input),
    lines: u64,
    harms: &[Harm],
    change: impl Fn(&mut ShipConfig, &Keys),
) -> (Outcome, Shipped) {
    let keys = Keys::new();
    let certificates = Certificates::of(&keys, library);
    let daemon = Rsyslogd::secured("over-tls", &certificates, &[input]);
    ship_under(daemon, input, lines, harms, &mut |daemon| {
        let mut config = to(daemon, input);
        config.tls = Some(keys.trusted_and_known());
        change(&mut config, &keys);
        shipper(config)
    })
}

/// A client with a certificate, that speaks this version.
fn known_by(keys: &Keys, version: TlsVersion) -> TlsConfig {
    let own = keys.of_a_client();
    keys.trusted_with(|it| {
        it.client_certificate_pem(own.chain_pem(), own.key_pem())
            .versions(version..=version)
    })
}

const OSSL: (&str, Input) = ("openssl", Input::OsslTcp);
const GTLS: (&str, Input) = ("openssl", Input::GtlsTcp);
const RELP: [(&str, Input); 2] = [("openssl", Input::RelpTls), ("gnutls", Input::RelpTls)];

#[test]
#[ignore = "needs rsyslogd"]
fn relp_over_tls_loses_nothing_of_20_000_lines_under_restarts_and_kills() {
    for relp in RELP {
        let harms = [Harm::Kill, Harm::Restart, Harm::Kill];
        let (outcome, shipped) = ship(relp, 20_000, &harms, |_, _| {});
        assert_eq!(shipped.fates.count(Fate::Delivered), 20_000);
        assert_eq!(outcome.lost, 0);
        let doubled_max = (WINDOW * shipped.lost.len()) as u64;
        assert!(outcome.doubled <= doubled_max, "{outcome:?}");
    }
}

/// Its end says close_notify, when it has read all and has time to.
#[test]
#[ignore = "needs rsyslogd"]
fn commit_loses_nothing_where_the_end_is_said_under_restarts_and_kills() {
    for harm in [Harm::Restart, Harm::Kill] {
        let (outcome, shipped) = ship(OSSL, 20_000, &[harm; 3], |config, _| {
            config.commit_bytes = 64 << 10;
        });
        assert_eq!(shipped.fates.count(Fate::Delivered), 20_000);
        assert_eq!(outcome.lost, 0, "{harm:?}");
    }
}

/// It gives each client a session to go on from, and refuses the one that does (internal_error): of those whom it asks for
/// certificates OpenSSL wants to know what a session is for, and rsyslogd does not say. That costs one connection.
#[test]
#[ignore = "needs rsyslogd"]
fn a_daemon_that_refuses_its_own_sessions_is_shown_none_of_them_twice() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let (outcome, shipped) = ship(OSSL, 5_000, &[], |config, keys| {
            config.commit_bytes = 32 << 10;
            config.tls = Some(known_by(keys, version));
        });
        assert_eq!(shipped.fates.count(Fate::Delivered), 5_000);
        assert_eq!(outcome, Outcome::default());
        let lost: Vec<_> = shipped.lost.iter().map(|it| it.source).collect();
        assert!(lost.len() <= 2, "{version:?}: {lost:?}");
    }
}

/// The driver of GnuTLS never says it, so that a commit proves nothing: the lines are there, and told as uncertain.
#[test]
#[ignore = "needs rsyslogd"]
fn commit_is_never_confirmed_where_the_end_is_not_said() {
    let (outcome, shipped) = ship(GTLS, 5_000, &[], |config, _| {
        config.commit_bytes = 64 << 10;
    });
    assert_eq!(shipped.fates.count(Fate::Uncertain), 5_000);
    assert_eq!((outcome.lost, outcome.uncertain_and_read), (0, 5_000));
    assert!(shipped.resent <= 6 * 1_000, "{}", shipped.resent);
}

#[test]
#[ignore = "needs rsyslogd"]
fn a_daemon_that_lives_has_each_line_once_by_each_wire_and_driver() {
    for input in [OSSL, GTLS] {
        for (ack, wire, version) in [
            (Ack::None, Wire::Octet, TlsVersion::Tls12),
            (Ack::Kernel, Wire::Octet, TlsVersion::Tls13),
            (Ack::Peek, Wire::Lf { escapes: false }, TlsVersion::Tls13),
            (Ack::Kernel, Wire::Lf { escapes: false }, TlsVersion::Tls12),
        ] {
            let (outcome, shipped) = ship(input, 5_000, &[], |config, keys| {
                config.tls = Some(known_by(keys, version));
                (config.ack, config.wire) = (ack, wire);
            });
            // A run that lasts has a second epoch, and its session is the one that is refused (below).
            let lost = &shipped.lost[..];
            assert!(lost.len() <= 2, "{ack:?}: {:?}", &lost[..3]);
            assert_eq!(shipped.fates.count(Fate::Delivered), 5_000);
            assert_eq!(outcome, Outcome::default(), "{ack:?}");
        }
    }
}

/// The daemon can lose lines: whatever else passes here, passes for its own sake. What was in flight is what the rung
/// does not answer for.
#[test]
#[ignore = "needs rsyslogd"]
fn the_rung_none_loses_lines_to_a_killed_daemon() {
    let (outcome, _) = ship(OSSL, 20_000, &[Harm::Kill; 3], |config, _| {
        config.ack = Ack::None;
    });
    assert!(outcome.lost > 0, "{outcome:?}");
}

/// Nothing that it acknowledged and had not read: what is in doubt is sent again.
#[test]
#[ignore = "needs rsyslogd"]
fn the_kernels_word_with_resend_loses_nothing_under_restarts() {
    let (outcome, shipped) = ship(OSSL, 20_000, &[Harm::Restart; 3], |config, _| {
        config.ack = Ack::Kernel;
        config.on_uncertain = OnUncertain::Resend;
    });
    assert_eq!(shipped.fates.count(Fate::Delivered), 20_000);
    assert_eq!(outcome.lost, 0);
}

#[test]
#[ignore = "needs rsyslogd"]
fn a_sink_that_is_not_trusted_gets_no_line() {
    for input in [OSSL, RELP[0], RELP[1]] {
        let (outcome, shipped) = ship(input, 100, &[], |config, _| {
            config.tls = Some(trusting_another());
            config.drain = ms(500);
        });
        assert_eq!(outcome.undelivered, 100, "{outcome:?}");
        assert!(!shipped.lost.is_empty());
    }
}
