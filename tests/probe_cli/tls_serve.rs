//! `probe serve --tls`: with a certificate made for the run or from files, its pin on stderr; and the other side played
//! by OpenSSL.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::support::{DEADLINE, caught, end, run};
use super::tls_support::{Authority, Files, Own, Pair, localhost, ping, serve, told};

#[test]
fn the_certificate_of_a_run_is_written_trusted_and_pinned() {
    let own = Own::start(&[]);
    let pem = std::fs::read_to_string(&own.ca).unwrap();
    assert!(
        pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("KEY"),
        "{pem}"
    );
    let ended = ping(
        &format!("tls://{}", own.serving.address),
        &["--cacert", &own.ca],
    );
    assert_eq!(ended.code, 0, "by its address: {ended:?}");
    let certificate = ended.lines()[0]["tls"]["certificate"].clone();
    assert_eq!(certificate["subject"], "CN=probe serve");
    let told = own.serving.terminate();
    let pin = certificate["pin"].as_str().unwrap();
    assert_eq!((told.code, told.err), (0, format!("pin {pin}\n")));
    // Another run is another certificate.
    let next = Own::start(&[]);
    let ended = ping(&next.localhost(), &["--tls", "--cacert", &own.ca]);
    assert_eq!(
        ended.lines()[0]["error"]["kind"],
        "certificate",
        "{ended:?}"
    );
}

#[test]
fn a_certificate_from_files_is_shown_and_its_pin_is_told() {
    let files = Files::new();
    let authority = Authority::new(&files, "ca");
    let pair = authority.sign(&files, "db", &["localhost"], 30);
    let serving = serve(&pair, &[]);
    let ended = ping(&localhost(&serving), &["--tls", "--cacert", &authority.ca]);
    let certificate = ended.lines()[0]["tls"]["certificate"].clone();
    let words = ["subject", "issuer", "days"].map(|key| &certificate[key]);
    assert_eq!(words, [&json!("CN=db"), &json!("CN=ca"), &json!(29)]);
    let pin = certificate["pin"].as_str().unwrap();
    assert_eq!(serving.terminate().err, format!("pin {pin}\n"));
}

/// Who speaks no TLS gets no service, and the server goes on.
#[test]
fn a_client_in_the_clear_is_turned_away() {
    let own = Own::start(&["--idle-timeout", "10s"]);
    let mut stream = TcpStream::connect(&own.serving.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"hello\n").unwrap();
    let mut answer = Vec::new();
    // An alert, an end or a reset, and nothing that was shouted.
    let _ = BufReader::new(stream).read_until(b'\n', &mut answer);
    assert!(!answer.windows(5).any(|it| it == b"HELLO"), "{answer:?}");
    let ended = ping(&own.localhost(), &["--tls", "--cacert", &own.ca]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(own.serving.terminate().code, 0);
}

/// `openssl s_server`, killed when dropped.
struct OpenSsl {
    child: Child,
    target: String,
}

impl OpenSsl {
    /// One that answers each line with the line reversed.
    fn start(pair: &Pair, more: &[&str]) -> OpenSsl {
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-accept", "127.0.0.1:0", "-rev"])
            .args(["-cert", &pair.cert, "-key", &pair.key])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("openssl");
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.trim().rsplit_once(':').unwrap().1.to_owned();
            }
        };
        // What it says on is read, so that it never waits to say it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        OpenSsl {
            child,
            target: format!("tls://localhost:{port}"),
        }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_is_pinged_and_loaded_in_both_versions() {
    let files = Files::new();
    let authority = Authority::new(&files, "ca");
    let pair = authority.sign(&files, "db", &["localhost"], 30);
    for (flag, version) in [("-tls1_2", "TLS 1.2"), ("-tls1_3", "TLS 1.3")] {
        let server = OpenSsl::start(&pair, &[flag, "-alpn", "rev"]);
        let trusting = [
            "--cacert",
            &authority.ca,
            "--alpn",
            "rev",
            "--expect",
            "gnip",
        ];
        let ended = ping(&server.target, &trusting);
        assert_eq!(ended.code, 0, "{ended:?}");
        let tls = &ended.lines()[0]["tls"];
        let words = ["version", "alpn", "verified"].map(|key| &tls[key]);
        assert_eq!(words, [&json!(version), &json!("rev"), &json!(true)]);
        for more in [&[][..], &["--per-request"]] {
            let args = ["load", &server.target, "-n", "50", "--format", "json"];
            let ended = run(&[&args, &trusting[..], more].concat());
            assert_eq!(ended.code, 0, "{ended:?}");
            let document = ended.json();
            assert_eq!(document["requests"]["ok"], 50, "{document}");
            assert_eq!(document["tls"]["version"], version);
        }
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_wants_our_certificate_and_gets_it() {
    let files = Files::new();
    let authority = Authority::new(&files, "ca");
    let server = authority.sign(&files, "db", &["localhost"], 30);
    let client = authority.sign(&files, "client", &["client.example"], 30);
    for flag in ["-tls1_2", "-tls1_3"] {
        let asked = [
            "-Verify",
            "1",
            "-verify_return_error",
            "-CAfile",
            &authority.ca,
            flag,
        ];
        let server = OpenSsl::start(&server, &asked);
        let trusting = ["--cacert", &authority.ca];
        let shown = ["--cert", &client.cert, "--key", &client.key];
        let ended = ping(&server.target, &[&trusting[..], &shown].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        let ended = ping(&server.target, &trusting);
        assert_eq!(ended.code, 1, "{ended:?}");
        let lines = ended.lines();
        // TLS 1.3 lets the client be done first: it hears of it before or behind its request.
        let [_, class, kind, _] = told(&lines[0]);
        assert_eq!((class, kind), ("persistent", "alert"), "{flag}");
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_is_served_by_the_certificate_that_was_written() {
    let own = Own::start(&[]);
    for flag in ["-tls1_2", "-tls1_3"] {
        let mut client = Command::new("openssl");
        client
            .args([
                "s_client",
                "-connect",
                &own.serving.address,
                "-quiet",
                "-no_ign_eof",
                flag,
            ])
            .args(["-CAfile", &own.ca, "-verify_return_error"])
            .args(["-verify_hostname", "localhost", "-servername", "localhost"]);
        let mut client = caught(client).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(b"hello\n").unwrap();
        let mut answer = String::new();
        let mut output = BufReader::new(client.stdout.take().unwrap());
        output.read_line(&mut answer).unwrap();
        assert_eq!(answer, "HELLO\n", "{flag}");
        drop(input);
        let ended = end(client);
        assert_eq!(ended.code, 0, "{flag}: {ended:?}");
    }
    assert_eq!(own.serving.terminate().code, 0);
}
