//! Lines under way by TLS while rsyslogd is ended and started again: what is lost, what is doubled, and what its
//! drivers let nobody prove.

use taut::ship::{Ack, ShipConfig};

use crate::keys::Keys;
use crate::restarts::{WINDOW, rounds, ship_under, shipper, to};
use crate::rsyslogd::{Certificates, Harm, Input, Rsyslogd};
use crate::shipping::{Fate, Outcome, Shipped};

const LINES: u64 = 20_000;

/// Brings lines by TLS, with 4 such harms or none.
fn ship(
    input: Input,
    library: &'static str,
    harms: &[Harm],
    change: impl Fn(&mut ShipConfig),
) -> (Outcome, Shipped) {
    let keys = Keys::new();
    let daemon = Rsyslogd::secured("ship", &Certificates::of(&keys, library), &[input]);
    ship_under(daemon, input, LINES, harms, &mut |daemon| {
        let mut config = to(daemon, input);
        // OpenSSL refuses to resume a session (alert 80) where it asks for certificates and was not told a context for
        // sessions, which rsyslog 8.2302 does not.
        let own = keys.of_a_client();
        let tls = keys.trusted_with(|it| {
            it.client_certificate_pem(own.chain_pem(), own.key_pem())
                .sessions_max(0)
        });
        config.tls = Some(tls);
        change(&mut config);
        shipper(config)
    })
}

#[test]
#[ignore = "needs rsyslogd"]
fn commit_to_ossl_loses_nothing_under_kills_and_restarts() {
    for harm in [Harm::Kill, Harm::Restart] {
        for commit_kib in [8, 64] {
            for _ in 0..rounds() {
                let (outcome, shipped) = ship(Input::OsslTcp, "openssl", &[harm; 4], |config| {
                    config.commit_bytes = commit_kib << 10;
                });
                assert_eq!(shipped.fates.count(Fate::Delivered), LINES, "{outcome:?}");
                assert_eq!(outcome.lost, 0, "{harm:?}, {commit_kib} KiB");
            }
        }
    }
}

#[test]
#[ignore = "needs rsyslogd"]
fn relp_loses_nothing_under_kills_and_restarts_by_either_library() {
    let harms = [Harm::Kill, Harm::Restart, Harm::Kill, Harm::Restart];
    for library in ["openssl", "gnutls"] {
        let (outcome, shipped) = ship(Input::RelpTls, library, &harms, |_| {});
        assert_eq!(shipped.fates.count(Fate::Delivered), LINES, "{outcome:?}");
        assert_eq!(outcome.lost, 0, "{library}");
        assert!(
            outcome.doubled <= (WINDOW * harms.len()) as u64,
            "{outcome:?}"
        );
    }
}

/// It never says close_notify. Everything has arrived, and nothing says so but the kernel.
#[test]
#[ignore = "needs rsyslogd"]
fn commit_to_gtls_is_never_proven_and_the_kernels_word_is_to_be_had() {
    let (outcome, shipped) = ship(Input::GtlsTcp, "gnutls", &[], |config| {
        config.commit_bytes = 64 << 10;
    });
    assert_eq!(shipped.fates.count(Fate::Uncertain), LINES, "{outcome:?}");
    assert_eq!(outcome.uncertain_and_read, LINES);
    assert!(shipped.resent <= 6 * 1_000, "{}", shipped.resent);
    let (outcome, shipped) = ship(Input::GtlsTcp, "gnutls", &[], |config| {
        config.ack = Ack::Kernel;
    });
    assert_eq!(outcome, Outcome::default());
    assert_eq!(shipped.fates.count(Fate::Delivered), LINES);
}
