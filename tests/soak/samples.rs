//! A process's resident memory and descriptors, looked at now and then.

use std::time::Instant;

/// What a process may gain between its first half and its second, beside a tenth: allocators keep what they like.
const RSS_SLACK_KIB: u64 = 2 << 10;

#[derive(Clone, Copy, Debug)]
struct Sample {
    rss_kib: u64,
    descriptors: u64,
}

pub(crate) struct Samples {
    pid: u32,
    began: Instant,
    all: Vec<Sample>,
}

impl Samples {
    pub(crate) fn of(pid: u32) -> Samples {
        Samples {
            pid,
            began: Instant::now(),
            all: Vec::new(),
        }
    }

    /// Looks, and prints what it sees. A process that has ended is not looked at.
    pub(crate) fn take(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.pid));
        let (Ok(status), Ok(descriptors)) = (status, descriptors) else {
            return;
        };
        let Some(rss_kib) = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        else {
            return;
        };
        let sample = Sample {
            rss_kib,
            descriptors: descriptors.count() as u64,
        };
        println!(
            "{:>4} s: RSS {} KiB, {} descriptors",
            self.began.elapsed().as_secs(),
            sample.rss_kib,
            sample.descriptors
        );
        self.all.push(sample);
    }

    pub(crate) fn words(&self) -> String {
        let of = |what: fn(&Sample) -> u64| {
            let all = self.all.iter().map(what);
            let (first, last) = (all.clone().next(), all.clone().next_back());
            format!(
                "first {}, last {}, max {}",
                first.unwrap_or(0),
                last.unwrap_or(0),
                all.max().unwrap_or(0)
            )
        };
        format!(
            "RSS in KiB: {}; descriptors: {}; {} samples",
            of(|it| it.rss_kib),
            of(|it| it.descriptors),
            self.all.len()
        )
    }

    /// The most of the second half is not above the most of the first, but for what allocators keep; and a descriptor
    /// belongs to a connection, or to one that is being made in its place (up to four addresses, here one), or is one of
    /// a handful.
    #[track_caller]
    pub(crate) fn assert_flat(&self, connections: u64) {
        let (first, second) = self.all.split_at(self.all.len() / 2);
        let most = |half: &[Sample], what: fn(&Sample) -> u64| half.iter().map(what).max();
        let (Some(before), Some(after)) =
            (most(first, |it| it.rss_kib), most(second, |it| it.rss_kib))
        else {
            panic!("too short to tell: {} samples", self.all.len());
        };
        assert!(
            after <= before + before / 10 + RSS_SLACK_KIB,
            "from {before} KiB to {after} KiB"
        );
        let descriptors = most(&self.all, |it| it.descriptors).unwrap_or(0);
        assert!(
            descriptors <= connections + 32,
            "{descriptors} descriptors for {connections} connections"
        );
    }
}
