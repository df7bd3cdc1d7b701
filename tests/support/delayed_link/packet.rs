//! What a test may know of a passing packet: the ends, TCP's flags, and how much it carries.

use std::net::{Ipv4Addr, SocketAddrV4};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    /// Bytes of the stream.
    pub(crate) payload: usize,
}

/// Packets counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) packets: u64,
    pub(crate) syn: u64,
    pub(crate) fin: u64,
    pub(crate) rst: u64,
    /// Those that carry bytes, and the bytes.
    pub(crate) with_payload: u64,
    pub(crate) payload_bytes: u64,
}

impl Packet {
    /// `None` for what is not TCP over IPv4 (RFC 791 §3.1, RFC 9293 §3.1).
    pub(super) fn parse(bytes: &[u8]) -> Option<Packet> {
        let header_bytes = usize::from(*bytes.first()? & 0x0f) * 4;
        let (version, protocol) = (bytes[0] >> 4, *bytes.get(9)?);
        if version != 4 || protocol != 6 {
            return None;
        }
        let total = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        let tcp = bytes.get(header_bytes..total)?;
        let address = |at: usize, port: usize| {
            let octets: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            let port = u16::from_be_bytes([tcp[port], tcp[port + 1]]);
            SocketAddrV4::new(Ipv4Addr::from(octets), port)
        };
        let flags = *tcp.get(13)?;
        Some(Packet {
            source: address(12, 0),
            destination: address(16, 2),
            fin: flags & 0x01 != 0,
            syn: flags & 0x02 != 0,
            rst: flags & 0x04 != 0,
            payload: tcp.len() - usize::from(tcp[12] >> 4) * 4,
        })
    }
}

impl Tally {
    pub(super) fn add(&mut self, packet: &Packet) {
        self.packets += 1;
        self.syn += u64::from(packet.syn);
        self.fin += u64::from(packet.fin);
        self.rst += u64::from(packet.rst);
        self.with_payload += u64::from(packet.payload > 0);
        self.payload_bytes += packet.payload as u64;
    }
}
