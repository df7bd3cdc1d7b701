//! The seeds of each target, run without a fuzzer: what was once a finding stays one.

use std::path::Path;

use proptest::prelude::*;

type Target = (&'static str, fn(&[u8]));

/// Runs every seed of a target and says how many there were.
fn replay(target: &str, run: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/seeds")
        .join(target);
    let entries = std::fs::read_dir(&folder).expect("the seeds are part of the repository");
    let mut seeds = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        let result = std::panic::catch_unwind(|| run(&data));
        assert!(result.is_ok(), "the seed {} of {target}", path.display());
        seeds += 1;
    }
    seeds
}

#[test]
fn every_seed_of_every_target_keeps_every_promise() {
    let targets: [Target; 6] = [
        ("codecs", super::codecs),
        ("resp", super::resp),
        ("relp", super::relp),
        ("connection", super::connection),
        ("service", super::service),
        ("session", super::session),
    ];
    for (target, run) in targets {
        let seeds = replay(target, run);
        assert!(seeds >= 50, "only {seeds} seeds of {target}");
    }
}

/// So many, unless `PROPTEST_CASES` says how many: `with_cases` alone is deaf to it.
fn cases(count: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(count),
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    /// The rules of connecting depend on long histories, which no seed of few bytes has.
    #[test]
    fn any_program_of_a_service_does_as_the_model(program in prop::collection::vec(any::<u8>(), 0..1_500)) {
        super::service(&program);
    }

    /// A handshake takes more steps than a seed of few bytes has.
    #[test]
    fn any_line_of_a_session_brings_what_was_said_and_in_order(program in prop::collection::vec(any::<u8>(), 0..600)) {
        super::session(&program);
    }

    /// Frames that look like RELP, and what a server says in no order, come of no few bytes either.
    #[test]
    fn any_stream_and_any_server_of_relp_does_as_the_model(program in prop::collection::vec(any::<u8>(), 0..600)) {
        super::relp(&program);
    }
}
