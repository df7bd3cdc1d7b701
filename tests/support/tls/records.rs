//! What a client has put on the line, as records (RFC 8446 §5.1), and the judgement that the program's bytes were never
//! among them in the open, nor before the peer was verified.

/// Kinds of records, by their first byte.
pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

/// Of every payload of these tests, and of nothing else: bytes to search the line for.
pub(crate) const MARKER: &[u8] = b"of-the-program";

/// An alert of TLS 1.3 as a record: two bytes, the kind, and the tag of an AEAD.
const SEALED_ALERT_BYTES: usize = 2 + 1 + 16;

/// A whole record's kind and content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) kind: u8,
    pub(crate) content: &'a [u8],
}

/// The records of a stream; the last one may be cut.
pub(crate) fn records(mut line: &[u8]) -> Vec<Record<'_>> {
    let mut all = Vec::new();
    while let Some((header, rest)) = line.split_at_checked(5) {
        let bytes = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let content = &rest[..bytes.min(rest.len())];
        all.push(Record {
            kind: header[0],
            content,
        });
        line = &rest[content.len()..];
    }
    all
}

/// So many bytes of the program, each stretch of which holds the marker.
pub(crate) fn marked(bytes: usize) -> Vec<u8> {
    MARKER.iter().copied().cycle().take(bytes).collect()
}

/// None of the program's bytes is on the line as it is. What is cut out of a line may hold the marker from its midst.
#[track_caller]
pub(crate) fn assert_nothing_in_the_open(line: &[u8]) {
    let found = line.windows(MARKER.len()).position(|it| it == MARKER);
    assert_eq!(found, None, "the program's bytes are on the line");
    let strange = records(line)
        .iter()
        .position(|it| !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&it.kind));
    assert_eq!(strange, None, "no record: {:?}", records(line));
}

/// Nothing of the program's has left, open or sealed: a handshake that was not completed, and perhaps an alert.
#[track_caller]
pub(crate) fn assert_nothing_of_the_program(line: &[u8]) {
    assert_nothing_in_the_open(line);
    let mut alerts = 0;
    for record in records(line) {
        match record.kind {
            CHANGE_CIPHER_SPEC => assert_eq!(record.content, [1]),
            HANDSHAKE => assert_eq!(alerts, 0, "a handshake after an alert"),
            ALERT => alerts += 1,
            _ => {
                assert_eq!(record.content.len(), SEALED_ALERT_BYTES, "no alert");
                alerts += 1;
            }
        }
    }
    assert!(alerts <= 1, "{alerts} alerts: {:?}", records(line));
}

/// After a handshake that was completed: nothing in the open, and behind the first sealed record sealed records alone,
/// but for an alert of TLS 1.2, which says in the open that it is one.
#[track_caller]
pub(crate) fn assert_sealed(line: &[u8]) {
    assert_nothing_in_the_open(line);
    let all = records(line);
    let first = all.iter().position(|it| it.kind == APPLICATION_DATA);
    let first = first.expect("nothing was sealed");
    for record in &all[first..] {
        assert!(
            matches!(record.kind, APPLICATION_DATA | ALERT),
            "behind a sealed record: {record:?}"
        );
    }
}
