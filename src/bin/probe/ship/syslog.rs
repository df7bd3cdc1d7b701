//! `--syslog`: a line as the MSG of an RFC 5424 message,
//! `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`.
//!
//! The line itself is never changed. It gets no BOM: §6.4 asks for one only of a sender that knows its MSG to be UTF-8
//! (MSG-UTF8), and whoever passes on lines does not (MSG-ANY); a BOM before what is not UTF-8 would be a lie.

use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;
use nix::unistd::gethostname;

use crate::exit::Fault;

/// What each line is wrapped in.
#[derive(Args, Debug)]
#[command(next_help_heading = "Syslog")]
pub(crate) struct SyslogArgs {
    /// Wrap each line in an RFC 5424 message, with the time at which it was read.
    #[arg(long)]
    pub(crate) syslog: bool,
    /// The facility: kern user mail daemon auth syslog lpr news uucp cron authpriv ftp local0 to local7, or 0 to 23.
    #[arg(long, value_name = "NAME", default_value = "user", requires = "syslog", value_parser = facility)]
    pub(crate) facility: u8,
    /// The severity: emerg alert crit err warning notice info debug, or 0 to 7.
    #[arg(long, value_name = "NAME", default_value = "notice", requires = "syslog", value_parser = severity)]
    pub(crate) severity: u8,
    /// Both in one number: 8 times the facility and the severity.
    #[arg(long, value_name = "N", requires = "syslog", conflicts_with_all = ["facility", "severity"],
          value_parser = clap::value_parser!(u8).range(0..=191))]
    pub(crate) pri: Option<u8>,
    /// The program the lines are of.
    #[arg(long, value_name = "NAME", default_value = "probe", requires = "syslog", value_parser = field::<48>)]
    pub(crate) app_name: String,
    /// The machine the lines are of. Default: this one's name.
    #[arg(long, value_name = "NAME", requires = "syslog", value_parser = field::<255>)]
    pub(crate) hostname: Option<String>,
    /// The kind of message.
    #[arg(long, value_name = "ID", default_value = "-", requires = "syslog", value_parser = field::<32>)]
    pub(crate) msgid: String,
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

fn facility(text: &str) -> Result<u8, String> {
    number_of(&FACILITIES, text)
        .ok_or_else(|| "a facility is a name such as user, daemon or local0, or 0 to 23".into())
}

fn severity(text: &str) -> Result<u8, String> {
    let name = match text {
        "panic" => "emerg",
        "error" => "err",
        "warn" => "warning",
        name => name,
    };
    number_of(&SEVERITIES, name).ok_or_else(|| {
        "a severity is emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7".into()
    })
}

/// The place of a name, or a number that is one.
fn number_of(names: &[&str], text: &str) -> Option<u8> {
    let place = match text.parse::<usize>() {
        Ok(number) => (number < names.len()).then_some(number),
        Err(_) => names.iter().position(|name| *name == text),
    };
    place.and_then(|place| u8::try_from(place).ok())
}

/// A field of the header: PRINTUSASCII (`!` to `~`), of so many characters at most (RFC 5424 §6).
fn field<const MAX: usize>(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is - when there is none".into()),
        text if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err("it is of printable ASCII without blanks (RFC 5424)".into())
        }
        text if text.len() > MAX => Err(format!(
            "it has {} characters; RFC 5424 allows {MAX}",
            text.len()
        )),
        text => Ok(text.to_owned()),
    }
}

impl SyslogArgs {
    /// What lines are wrapped in, if they are.
    pub(super) fn wrapping(&self) -> Result<Option<Wrapping>, Fault> {
        if !self.syslog {
            return Ok(None);
        }
        let hostname = match &self.hostname {
            Some(name) => name.clone(),
            None => own_hostname()?,
        };
        let pri = self.pri.unwrap_or(8 * self.facility + self.severity);
        Ok(Some(Wrapping {
            before_time: format!("<{pri}>1 "),
            after_time: format!(
                " {hostname} {} {} {} - ",
                self.app_name,
                std::process::id(),
                self.msgid
            ),
            message: Vec::new(),
            header_bytes: 0,
        }))
    }
}

fn own_hostname() -> Result<String, Fault> {
    let name = gethostname().map(|name| name.to_string_lossy().into_owned());
    match name.as_deref().map(field::<255>) {
        Ok(Ok(name)) => Ok(name),
        Ok(Err(why)) => Err(Fault::usage(format!(
            "this machine's name cannot be the syslog hostname: {why}; say --hostname NAME"
        ))),
        Err(error) => Err(Fault::usage(format!(
            "this machine has no name: {}; say --hostname NAME",
            error.desc()
        ))),
    }
}

/// A header, and the message that is being made with it.
#[derive(Debug)]
pub(super) struct Wrapping {
    before_time: String,
    /// From the host's name to the blank before the MSG; there is no STRUCTURED-DATA.
    after_time: String,
    /// The header, and behind it the last line.
    message: Vec<u8>,
    header_bytes: usize,
}

impl Wrapping {
    /// Lines were read at this time: UTC, in microseconds.
    pub(super) fn stamp(&mut self, time: Timestamp) {
        self.message.clear();
        // Writing to a Vec cannot fail.
        let _ = write!(
            self.message,
            "{}{time:.6}{}",
            self.before_time, self.after_time
        );
        self.header_bytes = self.message.len();
    }

    /// What a line is wrapped in, as long as the time is the same.
    pub(super) fn header_bytes(&self) -> usize {
        self.header_bytes
    }

    /// The whole message of a line.
    pub(super) fn wrap(&mut self, line: &[u8]) -> &[u8] {
        self.message.truncate(self.header_bytes);
        self.message.extend_from_slice(line);
        &self.message
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::flags::parsed;
    use super::*;

    fn wrapped(flags: &str, line: &[u8]) -> String {
        let args: SyslogArgs = parsed(flags).unwrap();
        let mut wrapping = args.wrapping().unwrap().unwrap();
        wrapping.stamp("2003-10-11T22:14:15.003Z".parse().unwrap());
        let message = String::from_utf8_lossy(wrapping.wrap(line)).into_owned();
        assert_eq!(
            wrapping.wrap(line).len(),
            wrapping.header_bytes() + line.len()
        );
        message
    }

    fn refusal(flags: &str) -> String {
        parsed::<SyslogArgs>(flags).unwrap_err().to_string()
    }

    #[test]
    fn a_line_is_the_message_of_rfc_5424_as_it_is() {
        let pid = std::process::id();
        let flags = "x --syslog --facility local4 --severity err --hostname mymachine.example.com --app-name su --msgid ID47";
        assert_eq!(
            wrapped(flags, b"'su root' failed\r"),
            format!(
                "<163>1 2003-10-11T22:14:15.003000Z mymachine.example.com su {pid} ID47 - 'su root' failed\r"
            )
        );
        assert_eq!(
            wrapped("x --syslog --pri 0 --hostname -", b""),
            format!("<0>1 2003-10-11T22:14:15.003000Z - probe {pid} - - ")
        );
    }

    #[test]
    fn the_host_is_this_machine_unless_it_is_said_and_the_priority_is_logger_s() {
        let message = wrapped("x --syslog", b"line");
        let host = own_hostname().unwrap();
        assert!(message.starts_with("<13>1 "), "{message}");
        assert!(message.contains(&format!("Z {host} probe ")), "{message}");
    }

    #[test]
    fn a_header_takes_the_time_of_its_line_and_keeps_nothing_of_the_last() {
        let mut wrapping = Wrapping {
            before_time: "<13>1 ".into(),
            after_time: " h a 1 - - ".into(),
            message: Vec::new(),
            header_bytes: 0,
        };
        for (time, line) in [
            ("2026-01-02T03:04:05.6Z", "long line"),
            ("2026-01-02T03:04:06.1234567Z", "short"),
        ] {
            wrapping.stamp(time.parse().unwrap());
            wrapping.wrap(b"another");
            assert!(
                wrapping
                    .wrap(line.as_bytes())
                    .ends_with(format!(" - {line}").as_bytes())
            );
        }
        // What is below a microsecond is cut off.
        let message = String::from_utf8(wrapping.wrap(b"x").to_vec()).unwrap();
        assert_eq!(message, "<13>1 2026-01-02T03:04:06.123456Z h a 1 - - x");
    }

    #[test]
    fn names_and_numbers_are_those_of_the_standard() {
        assert_eq!((facility("kern"), facility("local7")), (Ok(0), Ok(23)));
        assert_eq!((facility("16"), facility("authpriv")), (Ok(16), Ok(10)));
        assert_eq!((severity("emerg"), severity("debug")), (Ok(0), Ok(7)));
        assert_eq!((severity("warn"), severity("error")), (Ok(4), Ok(3)));
        assert!(facility("24").is_err() && facility("home").is_err());
        assert!(severity("8").is_err() && severity("-1").is_err());
    }

    #[test]
    fn what_is_no_field_is_refused_and_says_what_would_be_right() {
        let long = "x".repeat(49);
        for (flags, told) in [
            ("x --facility user", "--syslog"),
            ("x --app-name a", "--syslog"),
            ("x --syslog --pri 192", "0..=191"),
            ("x --syslog --pri 13 --severity err", "cannot be used with"),
            ("x --syslog --msgid é", "printable ASCII"),
            ("x --syslog --app-name=", "it is -"),
            ("x --syslog --severity loud", "emerg"),
            (&format!("x --syslog --app-name {long}"), "allows 48"),
        ] {
            assert!(refusal(flags).contains(told), "{flags}: {}", refusal(flags));
        }
        assert!(field::<255>("a b").is_err());
        assert!(field::<32>(&"x".repeat(33)).is_err() && field::<32>(&"x".repeat(32)).is_ok());
    }
}
