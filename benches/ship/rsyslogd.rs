//! rsyslogd in the foreground, with a configuration and a directory of its own, on loopback, stopped by its pid.

use std::fs::{self, File, OpenOptions};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// None takes longer to begin or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is stopped has nothing more on its way after that.
const QUIET: Duration = Duration::from_millis(50);

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_millis(1);

pub(crate) struct Rsyslogd {
    child: Child,
    directory: PathBuf,
}

impl Rsyslogd {
    fn start(name: &str, config: &str) -> Rsyslogd {
        let directory = directory_of(name);
        write_config(&directory, config);
        let child = command(&directory)
            .arg("-n")
            .arg("-i")
            .arg(directory.join("pid"))
            .spawn()
            .unwrap();
        Rsyslogd { child, directory }
    }

    /// User and system time of all its threads so far, in ticks of 10 ms; zero where the system does not tell.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // Behind the name, which is in parentheses: utime and stime are the 14th and 15th of all.
        let behind = stat.rsplit_once(") ").map_or("", |(_, it)| it);
        let ticks = behind.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|it| it.parse::<u64>().ok()).sum();
        Duration::from_millis(10 * ticks)
    }
}

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// One that takes RELP and appends each line to a file, in the thread that reads it.
pub(crate) struct Receiver {
    daemon: Rsyslogd,
    pub(crate) port: u16,
}

impl Receiver {
    /// `flushes`: each line is handed to the kernel before it is answered.
    pub(crate) fn start(flushes: bool) -> Receiver {
        let name = format!("receiver-{flushes}");
        let port = free_port();
        let daemon = Rsyslogd::start(&name, &receiving(&directory_of(&name), port, flushes));
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "rsyslogd does not listen");
            std::thread::sleep(LOOK_EVERY);
        }
        let stored = daemon.directory.join("stored");
        File::create(stored).unwrap();
        Receiver { daemon, port }
    }

    /// Forgets what is stored, when nothing more comes from who has sent before.
    pub(crate) fn empty(&self) {
        let mut before = None;
        while before != Some(self.stored()) {
            before = Some(self.stored());
            std::thread::sleep(QUIET);
        }
        // It is opened for appending.
        let file = OpenOptions::new().write(true).open(self.file()).unwrap();
        file.set_len(0).unwrap();
    }

    /// Bytes in the file, and the time from its first line, when it has so many or that time is over.
    pub(crate) fn time(&self, bytes: u64, longest: Duration) -> (u64, Duration) {
        let (asked, mut began) = (Instant::now(), None);
        loop {
            let (now, stored) = (Instant::now(), self.stored());
            if stored > 0 {
                let elapsed = now - *began.get_or_insert(now);
                if stored >= bytes || elapsed >= longest {
                    return (stored, elapsed);
                }
            }
            assert!(now - asked < PATIENCE, "{stored} of {bytes} bytes came");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn stored(&self) -> u64 {
        fs::metadata(self.file()).map_or(0, |it| it.len())
    }

    fn file(&self) -> PathBuf {
        self.daemon.directory.join("stored")
    }
}

/// One that reads a file and sends its lines by omrelp.
pub(crate) fn sender(input: &Path, port: u16, window: Option<usize>) -> Rsyslogd {
    let name = "sender";
    Rsyslogd::start(name, &sending(&directory_of(name), input, port, window))
}

/// Why there is nothing to measure: no rsyslogd, or none of its RELP modules.
pub(crate) fn is_missing() -> Option<String> {
    let directory = directory_of("check");
    let nowhere = Path::new("none");
    let why = [
        receiving(&directory, 1, true),
        sending(&directory, nowhere, 1, None),
    ]
    .iter()
    .find_map(|config| refusal(&directory, config));
    let _ = fs::remove_dir_all(&directory);
    why
}

/// Why a rsyslogd would not start with this configuration.
fn refusal(directory: &Path, config: &str) -> Option<String> {
    write_config(directory, config);
    let check = command(directory)
        .arg("-N1")
        .stderr(Stdio::piped())
        .output();
    match check {
        Err(error) => Some(format!("rsyslogd cannot be started: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = said.lines().find(|it| it.contains("relp"));
            Some(format!(
                "rsyslogd does not take it: {}",
                why.unwrap_or(&said)
            ))
        }
    }
}

fn receiving(directory: &Path, port: u16, flushes: bool) -> String {
    let at = directory.display();
    let flush = if flushes { "on" } else { "off" };
    format!(
        "global(workDirectory=\"{at}\")\n\
         main_queue(queue.type=\"direct\")\n\
         template(name=\"stored\" type=\"string\" string=\"%rawmsg%\\n\")\n\
         module(load=\"imrelp\")\n\
         input(type=\"imrelp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"keep\")\n\
         ruleset(name=\"keep\") {{\n\
         action(type=\"omfile\" file=\"{at}/stored\" template=\"stored\" asyncWriting=\"off\" flushOnTXEnd=\"{flush}\")\n\
         }}\n"
    )
}

fn sending(directory: &Path, input: &Path, port: u16, window: Option<usize>) -> String {
    let (at, input) = (directory.display(), input.display());
    let window = window.map_or(String::new(), |it| format!("windowSize=\"{it}\""));
    format!(
        "global(workDirectory=\"{at}\")\n\
         template(name=\"sent\" type=\"string\" string=\"%rawmsg%\")\n\
         module(load=\"imfile\")\n\
         module(load=\"omrelp\")\n\
         input(type=\"imfile\" file=\"{input}\" tag=\"bench\" ruleset=\"send\")\n\
         ruleset(name=\"send\") {{\n\
         action(type=\"omrelp\" target=\"127.0.0.1\" port=\"{port}\" template=\"sent\" {window})\n\
         }}\n"
    )
}

fn write_config(directory: &Path, config: &str) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("conf"), config).unwrap();
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("rsyslogd");
    command
        .arg("-f")
        .arg(directory.join("conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn directory_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("taut-bench-{name}-{}", std::process::id()))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
