//! `probe ship`: what arrives is what was read, and the document says so.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::shipping::{fates, reading_sink, scratch, ship, ship_json};
use super::support::{DEADLINE, Serving, caught, end, nobody, peer, shape};

#[test]
fn a_sink_has_each_line_and_the_document_says_so() {
    let dump = scratch("dump");
    let serving = Serving::start(&["sink", "--dump", dump.to_str().unwrap()]);
    let lines: String = (1..=10_000).map(|n| format!("line {n}\n")).collect();
    let ended = ship_json(&[&serving.address, "--framing", "lf"], lines.as_bytes());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let document = ended.json();
    assert_eq!(
        shape(&document),
        "{command:str,target:str,framing:str,ack:str,interrupted:bool,\
         lines:{read:int,written:int,kernel_acked:int,confirmed:int,resent:int,uncertain:int,undelivered:int,refused:int},\
         connections:int,bytes:{written:int,acked:int},elapsed_ns:int,verdict:str}"
    );
    let bytes = lines.len();
    for (key, expected) in [
        ("command", json!("ship")),
        ("target", json!(serving.address)),
        ("framing", json!("lf")),
        ("ack", json!("commit")),
        ("interrupted", json!(false)),
        ("bytes", json!({"written": bytes, "acked": bytes})),
        ("verdict", json!("delivered")),
    ] {
        assert_eq!(document[key], expected, "{key}: {document}");
    }
    assert_eq!(fates(&document), [10_000, 0, 0, 0]);
    assert_eq!(serving.terminate().code, 0);
    assert_eq!(std::fs::read_to_string(&dump).unwrap(), lines);
    std::fs::remove_file(&dump).unwrap();
}

#[test]
fn the_bundled_sink_reads_what_is_shipped_without_a_flag_but_its_own() {
    let dump = scratch("counted");
    let flags = [
        "sink",
        "--framing",
        "octet",
        "--dump",
        dump.to_str().unwrap(),
    ];
    let serving = Serving::start(&flags);
    let lines = "with a return\r\n\0 and a blank\nh\u{e9}".repeat(1_000);
    let ended = ship_json(&[&serving.address], lines.as_bytes());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(serving.terminate().code, 0);
    assert_eq!(std::fs::read_to_string(&dump).unwrap(), lines + "\n");
    std::fs::remove_file(&dump).unwrap();
}

#[test]
fn every_rung_without_relp_carries_every_byte() {
    let long = [&[b'x'; 1 << 20][..], b"\n"].concat();
    let text = [
        b"\0nul\n\xff\xfe\n\xc3\xa9\r\n \n".as_slice(),
        &long,
        b"no end",
    ]
    .concat();
    for ack in ["none", "peek", "kernel", "commit"] {
        for framing in ["lf", "octet"] {
            let (sink, brought) = reading_sink();
            let flags = [&sink, "--ack", ack, "--framing", framing];
            let ended = ship_json(&flags, &text);
            assert_eq!(ended.code, 0, "{flags:?}: {ended:?}");
            assert_eq!(fates(&ended.json()), [6, 0, 0, 0], "{flags:?}");
            let expected = match framing {
                "lf" => [&text[..], b"\n"].concat(),
                _ => {
                    let lines = text.split(|&byte| byte == b'\n');
                    let frames =
                        lines.map(|line| [format!("{} ", line.len()).as_bytes(), line].concat());
                    frames.collect::<Vec<_>>().concat()
                }
            };
            let brought = brought.recv_timeout(DEADLINE).unwrap();
            assert!(brought == expected, "{flags:?}: other bytes arrived");
        }
    }
}

#[test]
fn what_cannot_be_carried_is_refused_by_number_and_reason_and_the_rest_arrives() {
    let (sink, brought) = reading_sink();
    let file = scratch("refused");
    let long = "x".repeat(1_000_000);
    let text = format!("one\n\n\n{long}\ntwo\n{long}");
    let flags = [
        &sink,
        "--max-line",
        "100",
        "--uncertain",
        file.to_str().unwrap(),
    ];
    let ended = ship(&flags, text.as_bytes());
    assert_eq!((ended.code, ended.err.as_str()), (5, ""), "{ended:?}");
    assert_eq!(brought.recv_timeout(DEADLINE).unwrap(), b"3 one3 two");
    let (empty, long) = (
        "it is empty, and octet counting has no empty line",
        "it has 1000000 bytes, and --max-line is 100",
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("2-3 refused: {empty}\n4-4 refused: {long}\n6-6 refused: {long}\n")
    );
    std::fs::remove_file(&file).unwrap();
    for told in [
        "6 read = 2 confirmed + 0 uncertain + 0 undelivered + 4 refused",
        &format!("refused: line 2 and 1 more like it: {empty}"),
        &format!("refused: line 4 and 1 more like it: {long}"),
        "\nUNDELIVERED\n",
    ] {
        assert!(ended.out.contains(told), "{told}: {}", ended.out);
    }
}

/// One line, larger than all the memory it may have.
#[test]
fn a_line_without_an_end_does_not_grow_in_memory() {
    let (sink, _brought) = reading_sink();
    let mut shell = std::process::Command::new("sh");
    let script =
        "ulimit -v 400000 && head -c 600000000 /dev/zero | \"$0\" ship \"$1\" --format json";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_probe"), &sink]);
    let ended = end(caught(shell).spawn().unwrap());
    assert_eq!(ended.code, 5, "{ended:?}");
    assert_eq!(fates(&ended.json()), [0, 0, 0, 1]);
}

#[test]
fn a_journal_that_is_full_holds_the_input_back_and_loses_nothing() {
    let (sink, brought) = reading_sink();
    let line = "y".repeat(999);
    let text = format!("{line}\n").repeat(8_000);
    let flags = [
        &sink,
        "--framing",
        "lf",
        "--journal",
        "64KiB",
        "--max-line",
        "1KiB",
    ];
    let epochs = ["--commit-every", "16KiB"];
    let ended = ship_json(&[&flags[..], &epochs].concat(), text.as_bytes());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(fates(&ended.json()), [8_000, 0, 0, 0]);
    let mut arrived = 0;
    while arrived < text.len() {
        arrived += brought.recv_timeout(DEADLINE).unwrap().len();
    }
    assert_eq!(arrived, text.len());
}

#[test]
fn syslog_wraps_each_line_in_the_time_it_was_read_and_leaves_it_as_it_is() {
    let (sink, brought) = reading_sink();
    let flags = "--framing lf --syslog --facility daemon --severity err --app-name app --hostname host --msgid ID";
    let flags: Vec<&str> = flags.split(' ').collect();
    let ended = ship_json(
        &[&[sink.as_str()][..], &flags].concat(),
        b"\nh\xc3\xa9 \xff\n",
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    let brought = brought.recv_timeout(DEADLINE).unwrap();
    let mut messages = brought.split(|&byte| byte == b'\n');
    for line in [&b""[..], b"h\xc3\xa9 \xff"] {
        let message = messages.next().unwrap();
        let rest = message.strip_prefix(b"<27>1 ").expect("PRI and version");
        let (time, rest) = rest.split_at(27);
        let time = std::str::from_utf8(time).unwrap();
        let digits: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(digits, "0000-00-00T00:00:00.000000Z");
        let rest = rest.strip_prefix(b" host app ").expect("host and app");
        let blank = rest.iter().position(|&byte| byte == b' ').unwrap();
        assert!(rest[..blank].iter().all(u8::is_ascii_digit), "its pid");
        assert_eq!(rest[blank..], [b" ID - ", line].concat());
    }
    assert_eq!(messages.next(), Some(&b""[..]));
}

#[test]
fn of_several_targets_the_first_that_can_be_reached_gets_the_lines() {
    let (sink, brought) = reading_sink();
    let (first, second) = (nobody(), nobody());
    let ended = ship_json(&[&first, &second, &sink], b"one\n");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["target"], format!("{first},{second},{sink}"));
    assert_eq!(brought.recv_timeout(DEADLINE).unwrap(), b"3 one");
}

#[test]
fn a_relp_server_answers_each_line_and_one_it_does_not_want_is_refused() {
    let address = peer(|_, stream| {
        // It ends as the other side does.
        let _ = serve_relp(stream);
    });
    let ended = ship(
        &[&address.to_string(), "--framing", "relp"],
        b"one\nbad\n\nthree\n",
    );
    assert_eq!(ended.code, 5, "{ended:?}");
    for told in [
        "(framing relp, ack relp)",
        "4 read = 3 confirmed + 0 uncertain + 0 undelivered + 1 refused",
        "refused: line 2: the sink answered 500",
    ] {
        assert!(ended.out.contains(told), "{told}: {}", ended.out);
    }
}

/// Answers `open`, `syslog` and `close`; the line `bad` with 500.
fn serve_relp(stream: TcpStream) -> std::io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut frames = BufReader::new(stream);
    loop {
        let (txnr, _) = word(&mut frames)?;
        let (command, _) = word(&mut frames)?;
        let (length, end) = word(&mut frames)?;
        let mut data = vec![0; length.parse().unwrap()];
        // Without data there is no blank before it.
        if end == b' ' {
            frames.read_exact(&mut data)?;
            frames.read_exact(&mut [0])?;
        }
        let answer = match (command.as_str(), &data[..]) {
            ("open", _) => "200 OK\nrelp_version=0\ncommands=syslog",
            ("syslog", b"bad") => "500 no",
            ("syslog", _) => "200 OK",
            _ => return write!(answers, "{txnr} rsp 0\n0 serverclose 0\n"),
        };
        writeln!(answers, "{txnr} rsp {} {answer}", answer.len())?;
    }
}

/// A word of a frame's header, and what ended it.
fn word(frames: &mut impl Read) -> std::io::Result<(String, u8)> {
    let mut word = String::new();
    loop {
        let mut byte = [0];
        frames.read_exact(&mut byte)?;
        match byte[0] {
            end @ (b' ' | b'\n') => return Ok((word, end)),
            byte => word.push(char::from(byte)),
        }
    }
}
