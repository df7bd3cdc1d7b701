//! What is to be shipped how: which flags go together, and the library's settings that follow.
//!
//! A flag that would change nothing is refused: whoever gave it believes otherwise.

use taut::ship::{Ack, OnUncertain, ShipConfig, Wire};
use taut::{Config, Peek, Timeouts, TlsConfig};

use super::flags::{AckName, FramingName, ShipArgs};
use super::syslog::Wrapping;
use crate::exit::Fault;
use crate::link::Switch;
use crate::target::Target;

/// What is asked for, checked.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) framing: FramingName,
    pub(super) ack: AckName,
    pub(super) config: ShipConfig,
    pub(super) wrapping: Option<Wrapping>,
}

impl Plan {
    pub(super) fn new(args: &ShipArgs) -> Result<Plan, Fault> {
        let (framing, ack) = rung(args.framing, args.ack)?;
        refuse_idle_flags(args, ack)?;
        let config = ShipConfig {
            tls: tls(args)?,
            ..config(args, framing, ack)
        };
        refuse_bounds(&config)?;
        config.validate()?;
        let wrapping = args.syslog.wrapping()?;
        Ok(Plan {
            framing,
            ack,
            config,
            wrapping,
        })
    }
}

/// RELP is a framing and a rung: either implies the other.
fn rung(
    framing: Option<FramingName>,
    ack: Option<AckName>,
) -> Result<(FramingName, AckName), Fault> {
    let pair = match (framing, ack) {
        (None, Some(AckName::Relp)) => (FramingName::Relp, AckName::Relp),
        (Some(FramingName::Relp), None) => (FramingName::Relp, AckName::Relp),
        (framing, ack) => (
            framing.unwrap_or(FramingName::Octet),
            ack.unwrap_or(AckName::Commit),
        ),
    };
    match pair {
        (FramingName::Relp, AckName::Relp) => Ok(pair),
        (FramingName::Relp, ack) => Err(Fault::usage(format!(
            "--framing relp answers each line: say --ack relp in place of {}, or --framing octet",
            ack.name()
        ))),
        (framing, AckName::Relp) => Err(Fault::usage(format!(
            "--ack relp needs a peer that speaks RELP: say --framing relp in place of {}, or --ack commit",
            framing.name()
        ))),
        _ => Ok(pair),
    }
}

/// A failover is to the same: sinks are all spoken to in TLS, or none of them is.
fn tls(args: &ShipArgs) -> Result<Option<TlsConfig>, Fault> {
    let tls = args.link.tls.settings(&args.targets)?;
    let in_the_clear = |target: &&Target| !args.link.tls.is_for(target);
    match args.targets.iter().find(in_the_clear) {
        Some(target) if tls.is_some() => Err(Fault::usage(format!(
            "{target} is in the clear and others are in TLS: say --tls, or tls://, for all of them"
        ))),
        _ => Ok(tls),
    }
}

fn refuse_idle_flags(args: &ShipArgs, ack: AckName) -> Result<(), Fault> {
    use AckName::{Commit, Kernel, Relp};
    let peeks_never = args.peek == Some(Peek::Never);
    let rows: &[(bool, &str, &[AckName])] = &[
        (args.commit_every.is_some(), "--commit-every", &[Commit]),
        (args.witness.is_some(), "--witness", &[Commit]),
        (args.ordered, "--ordered", &[Commit]),
        (args.window.is_some(), "--window", &[Relp]),
        (
            args.receive_bound.is_some(),
            "--receive-bound",
            &[Kernel, Commit],
        ),
        (
            args.on_uncertain.is_some(),
            "--on-uncertain",
            &[Kernel, Commit, Relp],
        ),
    ];
    for (is_given, flag, rungs) in rows {
        if *is_given && !rungs.contains(&ack) {
            let rungs: Vec<&str> = rungs.iter().map(|rung| rung.name()).collect();
            return Err(Fault::usage(format!(
                "{flag} does nothing with --ack {}: it goes with --ack {}",
                ack.name(),
                rungs.join(" or ")
            )));
        }
    }
    match ack {
        AckName::None if args.peek.is_some() => Err(Fault::usage(
            "--ack none looks at no line before a write: say --ack peek, or leave --peek out",
        )),
        AckName::Peek if peeks_never => Err(Fault::usage(
            "--ack peek looks at the line before a write: say --ack none in place of --peek never",
        )),
        _ => Ok(()),
    }
}

fn config(args: &ShipArgs, framing: FramingName, ack: AckName) -> ShipConfig {
    let standard = ShipConfig::default();
    let every = args.commit_every.unwrap_or_default();
    let targets = args.targets.iter().map(|target| target.as_str().to_owned());
    ShipConfig {
        sinks: targets.collect(),
        ack: Ack::from(ack),
        on_uncertain: args
            .on_uncertain
            .map_or(standard.on_uncertain, OnUncertain::from),
        wire: match framing {
            // A line of the input has no LF within.
            FramingName::Lf => Wire::Lf { escapes: false },
            FramingName::Octet => Wire::Octet,
            FramingName::Relp => Wire::Relp,
        },
        line_bytes_max: args.max_line,
        journal_bytes_max: args.journal,
        receive_bytes_max: args.receive_bound.unwrap_or(standard.receive_bytes_max),
        commit_bytes: every.bytes.unwrap_or(standard.commit_bytes),
        commit_after: every.after.unwrap_or(standard.commit_after),
        commit_timeout: args.timeout,
        ordered: args.ordered,
        witness: args.witness != Some(Switch::Off),
        window: args.window.unwrap_or(standard.window),
        drain: args.drain,
        client: client(args),
        ..standard
    }
}

fn client(args: &ShipArgs) -> Config {
    let base = args.link.config(args.timeout);
    Config {
        timeouts: Timeouts {
            first_byte: args.timeout,
            read_stall: args.timeout,
            ..base.timeouts
        },
        peek: args.peek.unwrap_or(base.peek),
        ..base
    }
}

/// What the library would refuse in its own words.
fn refuse_bounds(config: &ShipConfig) -> Result<(), Fault> {
    let (journal, line) = (config.journal_bytes_max, config.line_bytes_max());
    if journal < line {
        return Err(Fault::usage(format!(
            "--journal {journal} is below the longest line, {line} bytes: ask for more, or for a smaller --max-line"
        )));
    }
    let bound = config.receive_bytes_max;
    if config.ack == Ack::Kernel && journal as u64 <= bound {
        return Err(Fault::usage(format!(
            "--journal {journal} is not above --receive-bound {bound}: with --ack kernel no line would ever be confirmed"
        )));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::super::flags::parsed;
    use super::*;

    fn plan(flags: &str) -> Result<Plan, Fault> {
        Plan::new(&parsed(&format!("ship localhost:1 {flags}")).unwrap())
    }

    #[test]
    fn without_flags_it_is_what_the_library_would_do() {
        let plan = plan("").unwrap();
        let standard = ShipConfig::to("localhost:1");
        let expected = ShipConfig {
            client: plan.config.client.clone(),
            ..standard
        };
        assert_eq!(plan.config, expected);
        assert_eq!((plan.framing.name(), plan.ack.name()), ("octet", "commit"));
        assert!(plan.wrapping.is_none());
    }

    #[test]
    fn every_flag_reaches_the_library() {
        let flags = "b:2 --framing lf --on-uncertain report --commit-every 64KiB,2s --ordered --witness off \
                     --max-line 4KiB --journal 1MiB --receive-bound 2MiB --drain 3s --timeout 4s --peek idle:1ms \
                     --connect-timeout 1s --spin 5us --nodelay off --bind 127.0.0.1 --user-timeout 9s --syslog";
        let plan = plan(flags).unwrap();
        let config = plan.config;
        assert_eq!(config.sinks, ["localhost:1", "b:2"]);
        assert_eq!(config.wire, Wire::Lf { escapes: false });
        assert_eq!(
            (config.ack, config.on_uncertain),
            (Ack::Commit, OnUncertain::Report)
        );
        assert_eq!((config.ordered, config.witness), (true, false));
        assert_eq!(
            (config.commit_bytes, config.journal_bytes_max),
            (1 << 16, 1 << 20)
        );
        assert_eq!(
            (config.line_bytes_max(), config.receive_bytes_max),
            (4096, 2 << 20)
        );
        let seconds = [
            config.commit_after,
            config.drain,
            config.commit_timeout,
            config.client.timeouts.write_stall,
            config.client.timeouts.connect,
            config.client.timeouts.handshake,
        ];
        assert_eq!(seconds, [2, 3, 4, 4, 1, 1].map(Duration::from_secs));
        assert_eq!(config.client.peek, Peek::Idle(Duration::from_millis(1)));
        assert_eq!(config.client.spin, Duration::from_micros(5));
        assert!(!config.client.socket.nodelay && config.client.socket.bind.is_some());
        assert!(plan.wrapping.is_some());
        let relp = super::tests::plan("--framing relp --window 9").unwrap();
        assert_eq!(
            (relp.config.window, relp.config.line_bytes_max()),
            (9, 8 << 10)
        );
    }

    #[test]
    fn relp_is_a_framing_and_a_rung_and_either_implies_the_other() {
        for flags in ["--framing relp", "--ack relp", "--ack relp --framing relp"] {
            let plan = plan(flags).unwrap();
            assert_eq!((plan.config.wire, plan.config.ack), (Wire::Relp, Ack::Relp));
        }
        for rung in ["none", "peek", "kernel", "commit"] {
            for framing in ["lf", "octet"] {
                assert!(plan(&format!("--ack {rung} --framing {framing}")).is_ok());
            }
        }
    }

    #[test]
    fn flags_that_contradict_each_other_or_do_nothing_are_refused_with_what_would_be_right() {
        for (flags, told) in [
            ("--framing relp --ack commit", "say --ack relp"),
            ("--framing lf --ack relp", "say --framing relp"),
            ("--ack kernel --commit-every 1s", "goes with --ack commit"),
            ("--ack relp --witness off", "goes with --ack commit"),
            ("--ack none --ordered", "goes with --ack commit"),
            ("--window 9", "goes with --ack relp"),
            ("--ack peek --receive-bound 1MiB", "--ack kernel or commit"),
            (
                "--ack none --on-uncertain resend",
                "--ack kernel or commit or relp",
            ),
            ("--ack none --peek always", "say --ack peek"),
            ("--ack peek --peek never", "say --ack none"),
            ("--journal 64KiB", "smaller --max-line"),
            ("--ack kernel --journal 8MiB", "--receive-bound 8388608"),
        ] {
            let fault = plan(flags).unwrap_err();
            assert_eq!(fault.exit, crate::exit::Exit::Usage, "{flags}");
            assert!(fault.text.contains(told), "{flags}: {}", fault.text);
        }
    }
}
