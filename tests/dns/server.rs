//! A name server that does what a test tells it to: over UDP, and over TCP for what does not fit (RFC 1035, and RFC 7766
//! for TCP). Each name has a rule; others do not exist.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use socket2::SockRef;

use crate::support::namespaces::Namespace;

/// Where the system's resolver asks.
const AT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 53);

/// What fits into UDP without extensions.
const UDP_BYTES_MAX: usize = 512;

/// Lengths and numbers on the wire.
const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
/// A name that stands at the beginning of the question.
const POINTER_TO_QUESTION: u16 = 0xC000 | HEADER_BYTES as u16;

/// What is said of a name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rule {
    /// 0 is no error, 2 SERVFAIL, 3 NXDOMAIN.
    pub(crate) code: u8,
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
    /// Questions for addresses of that family are never answered.
    pub(crate) silent_for_v4: bool,
    pub(crate) silent_for_v6: bool,
}

impl Rule {
    pub(crate) fn addresses(v4: impl IntoIterator<Item = Ipv4Addr>) -> Rule {
        Rule {
            v4: v4.into_iter().collect(),
            ..Rule::default()
        }
    }

    pub(crate) fn code(code: u8) -> Rule {
        Rule {
            code,
            ..Rule::default()
        }
    }

    pub(crate) fn silent() -> Rule {
        Rule {
            silent_for_v4: true,
            silent_for_v6: true,
            ..Rule::default()
        }
    }
}

/// What the threads share with the test.
#[derive(Default)]
struct Book {
    rules: BTreeMap<String, Rule>,
    /// Questions for addresses of version 4 so far, asked again or not, over UDP and over TCP.
    asked: BTreeMap<String, [usize; 2]>,
    ended: bool,
}

/// The server; it ends when dropped.
pub(crate) struct NameServer {
    book: Arc<Mutex<Book>>,
    datagrams: Arc<UdpSocket>,
    listener: Arc<TcpListener>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    pub(crate) fn start(namespace: &Namespace) -> NameServer {
        let (datagrams, listener) = namespace.within(|| {
            (
                Arc::new(UdpSocket::bind(AT).unwrap()),
                Arc::new(TcpListener::bind(AT).unwrap()),
            )
        });
        let book = Arc::<Mutex<Book>>::default();
        let threads = vec![
            std::thread::spawn({
                let (book, datagrams) = (book.clone(), datagrams.clone());
                move || answer_datagrams(&book, &datagrams)
            }),
            std::thread::spawn({
                let (book, listener) = (book.clone(), listener.clone());
                move || {
                    while let Ok((stream, _)) = listener.accept() {
                        // An error is the asker's end.
                        let _ = answer_stream(&book, stream);
                    }
                }
            }),
        ];
        NameServer {
            book,
            datagrams,
            listener,
            threads,
        }
    }

    /// From now on this is said of a name.
    pub(crate) fn say(&self, name: &str, rule: Rule) {
        lock(&self.book).rules.insert(name.to_owned(), rule);
    }

    /// How often the name's addresses of version 4 were asked for, over UDP.
    pub(crate) fn asked(&self, name: &str) -> usize {
        lock(&self.book).asked.get(name).map_or(0, |it| it[0])
    }

    /// The same over TCP.
    pub(crate) fn asked_by_stream(&self, name: &str) -> usize {
        lock(&self.book).asked.get(name).map_or(0, |it| it[1])
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        lock(&self.book).ended = true;
        // A datagram that is no question wakes the one, an end of the listener the other.
        let _ = self.datagrams.send_to(&[], SocketAddr::from(AT));
        let _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap()
}

fn answer_datagrams(book: &Mutex<Book>, datagrams: &UdpSocket) {
    let mut buffer = [0; UDP_BYTES_MAX];
    loop {
        // An ICMP message about an answer that nobody awaited is told here too.
        let Ok((bytes, from)) = datagrams.recv_from(&mut buffer) else {
            continue;
        };
        if lock(book).ended {
            return;
        }
        if let Some(answer) = answer(book, &buffer[..bytes], 0) {
            let _ = datagrams.send_to(&cut_to_fit(answer), from);
        }
    }
}

/// Answers until the asker ends: glibc asks for both families on one connection.
fn answer_stream(book: &Mutex<Book>, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        if let Some(answer) = answer(book, &question, 1) {
            stream.write_all(&(answer.len() as u16).to_be_bytes())?;
            stream.write_all(&answer)?;
        }
    }
}

/// What does not fit is left out, and said to be.
fn cut_to_fit(mut answer: Vec<u8>) -> Vec<u8> {
    if answer.len() > UDP_BYTES_MAX {
        let question_end = question_of(&answer).map_or(HEADER_BYTES, |it| it.end);
        answer.truncate(question_end);
        answer[2] |= 0x02; // TC
        answer[6..8].copy_from_slice(&[0, 0]);
    }
    answer
}

struct Question {
    name: String,
    kind: u16,
    end: usize,
}

/// The first question of a message.
fn question_of(message: &[u8]) -> Option<Question> {
    let mut labels = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(at)?);
        let label = message.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let kind = message.get(at..at + 4)?;
    Some(Question {
        name: labels.join("."),
        kind: u16::from_be_bytes([kind[0], kind[1]]),
        end: at + 4,
    })
}

/// The answer to a question, by the rule of its name; `None` is silence. `way` is 0 for UDP and 1 for TCP.
fn answer(book: &Mutex<Book>, message: &[u8], way: usize) -> Option<Vec<u8>> {
    let question = question_of(message)?;
    let mut book = lock(book);
    if question.kind == TYPE_A {
        book.asked.entry(question.name.clone()).or_default()[way] += 1;
    }
    let rule = book.rules.get(&question.name).cloned();
    drop(book);
    let rule = rule.unwrap_or(Rule::code(3));
    let addresses: Vec<Vec<u8>> = match question.kind {
        TYPE_A if rule.silent_for_v4 => return None,
        TYPE_AAAA if rule.silent_for_v6 => return None,
        TYPE_A => rule.v4.iter().map(|it| it.octets().to_vec()).collect(),
        TYPE_AAAA => rule.v6.iter().map(|it| it.octets().to_vec()).collect(),
        _ => Vec::new(),
    };
    let mut answer = message[..question.end].to_vec();
    // An answer, recursion desired and available, and the code; one question, so many answers and nothing more.
    answer[2..4].copy_from_slice(&[0x81, 0x80 | rule.code]);
    answer[4..6].copy_from_slice(&1_u16.to_be_bytes());
    answer[6..8].copy_from_slice(&(addresses.len() as u16).to_be_bytes());
    answer[8..12].copy_from_slice(&[0; 4]);
    for address in addresses {
        for number in [POINTER_TO_QUESTION, question.kind, CLASS_IN] {
            answer.extend_from_slice(&number.to_be_bytes());
        }
        // To be forgotten at once: getaddrinfo(3) does not tell it, so it means nothing here.
        let seconds_to_live = 0_u32;
        answer.extend_from_slice(&seconds_to_live.to_be_bytes());
        answer.extend_from_slice(&(address.len() as u16).to_be_bytes());
        answer.extend_from_slice(&address);
    }
    Some(answer)
}
