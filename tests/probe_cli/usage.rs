//! A wrong command line: exit 2, one line on stderr that says what is wrong and what would be right.

use super::support::{caught, end, nobody, run};

#[test]
fn a_wrong_command_line_ends_with_one_line_and_exit_2() {
    for (args, told) in [
        ("", "serve, ping, load or ship"),
        ("pong", "pong"),
        ("ping", "TARGET"),
        ("ping localhost", "port is missing"),
        ("ping localhost:99999", "1 to 65535"),
        ("ping ssl://localhost:443", "tls://host:port"),
        ("ping localhost:1 --cacert /nonexistent", "say --tls"),
        ("ping localhost:1 --sni a.test", "say --tls"),
        ("ping localhost:1 --alpn redis", "say --tls"),
        ("ping localhost:1 --pin sha256//x", "say --tls"),
        ("ping localhost:1 -k", "say --tls"),
        ("ping localhost:1 --cert a --key b", "say --tls"),
        ("ping tcp://localhost:1 --tls", "leave out tcp://"),
        ("ping tls://localhost:1 --cert /nonexistent", "--key"),
        ("ping tls://localhost:1 --key /nonexistent", "--cert"),
        (
            "ping tls://localhost:1 -k --cert /nonexistent --key /nonexistent",
            "/nonexistent",
        ),
        (
            "ping tls://localhost:1 --cacert /nonexistent",
            "/nonexistent",
        ),
        ("ping tls://localhost:1 --cacert /dev/null", "PEM"),
        (
            "ping tls://localhost:1 -k --cacert /dev/null",
            "cannot be used with",
        ),
        ("ping tls://localhost:1 -k --pin sha256/x", "sha256//"),
        ("ping tls://localhost:1 -k --pin sha256//x", "sha256//"),
        ("ping tls://localhost:1 -k --alpn a,,b", "ALPN"),
        ("ping tls://localhost:1 -k --sni a/b", "a/b"),
        ("ping localhost:1 --fail-if cert_days<14", "needs a target"),
        ("ping localhost:1 --tls --fail-if p99>1ms", "cert_days<14"),
        (
            "ping localhost:1 --tls --fail-if cert_days<x",
            "whole number",
        ),
        ("ping localhost:1 --timeout 5", "250us"),
        ("ping localhost:1 --timeout 0s", "above zero"),
        ("ping localhost:1 --count 0", "at least 1"),
        ("ping localhost:1 --proto smtp", "line, len16, len32"),
        ("ping localhost:1 --proto fixed", "fixed:64"),
        ("ping localhost:1 --send \\q", "\\xNN"),
        ("ping localhost:1 --expect /(/", "unclosed"),
        ("ping localhost:1 --send-file /nonexistent", "/nonexistent"),
        ("ping localhost:1 -o /nonexistent/f", "/nonexistent/f"),
        ("ping localhost:1 --format xml", "ndjson"),
        ("ping localhost:1 --cpu 100000", "--cpu 100000"),
        ("load --rate 10k", "--rate"),
        ("load -d 1s -n 5", "cannot be used with"),
        ("load -c 2000 -P 2000", "1048576"),
        ("load -c 1000 -P 100 --size 8MiB", "4GiB"),
        ("load --peek sometimes", "idle:10ms"),
        ("load --size 2GiB", "1GiB"),
        ("load -k", "say --tls"),
        ("load --tls --pin x", "sha256//"),
        ("load tcp://localhost:1 --tls", "leave out tcp://"),
        ("ship", "TARGET"),
        ("ship localhost:1 --ack maybe", "commit"),
        ("ship localhost:1 --framing relp --ack kernel", "--ack relp"),
        ("ship localhost:1 --framing lf --ack relp", "--framing relp"),
        ("ship localhost:1 --ack none --window 5", "--ack relp"),
        ("ship localhost:1 --commit-every 5m", "5mB"),
        ("ship localhost:1 --journal 1KiB", "--max-line"),
        ("ship localhost:1 --severity err", "--syslog"),
        ("ship localhost:1 --input /nonexistent", "/nonexistent"),
        (
            "ship localhost:1 --uncertain /nonexistent/f",
            "/nonexistent/f",
        ),
        ("ship localhost:1 -o /nonexistent/f", "/nonexistent/f"),
        ("ship localhost:1 --cpu 100000", "--cpu 100000"),
        ("ship localhost:1 -k", "say --tls"),
        ("ship tls://localhost:1 b:1 -k", "b:1"),
        ("serve", "<SERVICE>"),
        ("serve echo --cert a --key b", "--tls"),
        ("serve echo --write-cert /nonexistent/f", "--tls"),
        ("serve echo --client-ca /nonexistent", "--tls"),
        ("serve echo --tls --cert /nonexistent", "--key"),
        (
            "serve echo --tls --cert /nonexistent --key /nonexistent",
            "/nonexistent",
        ),
        ("serve echo --tls --client-ca /nonexistent", "/nonexistent"),
        (
            "serve echo --tls --write-cert /nonexistent/f",
            "/nonexistent/f",
        ),
        (
            "serve echo --tls --cert a --key b --write-cert c",
            "cannot be used with",
        ),
        ("serve loud", "shout"),
        ("serve shout --listen 7000", "IP:PORT"),
        ("serve shout --framing octet", "serve sink"),
        ("serve shout --dump /tmp/x", "serve sink"),
        ("serve sink --dump /nonexistent/f", "/nonexistent/f"),
    ] {
        let args: Vec<&str> = args.split_whitespace().collect();
        let ended = run(&args);
        assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
        assert_eq!(ended.out, "", "{args:?}");
        assert_eq!(ended.err.lines().count(), 1, "{args:?}: {}", ended.err);
        assert!(ended.err.starts_with("probe: "), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(told), "{args:?}: {}", ended.err);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for args in [&["--help"][..], &["load", "--help"], &["--version"]] {
        let ended = run(args);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{args:?}");
        assert!(ended.out.contains("probe"), "{args:?}");
    }
}

#[test]
fn a_reader_of_stdout_that_has_gone_is_no_panic() {
    let mut shell = std::process::Command::new("sh");
    let command = "\"$0\" ping \"$1\" -c 3 -i 1ms | true";
    shell.args(["-c", command, env!("CARGO_BIN_EXE_probe"), &nobody()]);
    let ended = end(caught(shell).spawn().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}
