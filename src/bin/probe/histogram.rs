//! Latencies: an HdrHistogram of nanoseconds with three significant digits, or two where there are many of them, and
//! exact extremes beside it.
//!
//! Recording allocates nothing when the range was fixed at the start.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::exit::Fault;

const NANOS_MAX: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// Histograms that may all have so many digits: together up to 40 MB.
const MANY: usize = 256;

/// Durations in nanoseconds, as a distribution.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
    min: u64,
    max: u64,
    sum: u128,
}

impl Latencies {
    /// From 1 ns to an hour, all of it allocated now.
    pub(crate) fn fixed() -> Result<Latencies, Fault> {
        Latencies::of(Histogram::new_with_bounds(1, NANOS_MAX, DIGITS))
    }

    /// As large as what it holds, for many that hold little: up to 150 KB with three digits. One of more than a few
    /// hundred has two, and up to 25 KB.
    pub(crate) fn one_of(histograms: usize) -> Result<Latencies, Fault> {
        let digits = match histograms > MANY {
            true => DIGITS - 1,
            false => DIGITS,
        };
        Latencies::of(Histogram::new(digits))
    }

    fn of<E>(histogram: Result<Histogram<u64>, E>) -> Result<Latencies, Fault> {
        let histogram = histogram.map_err(|_| Fault::failed("no histogram of this range"))?;
        Ok(Latencies {
            histogram,
            min: u64::MAX,
            max: 0,
            sum: 0,
        })
    }

    #[inline]
    pub(crate) fn record(&mut self, nanos: u64) {
        // An hour is the end of the range: only a value beyond it could fail.
        let _ = self.histogram.record(nanos.min(NANOS_MAX));
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        self.sum += u128::from(nanos);
    }

    /// Adds all of another one of the same kind.
    pub(crate) fn merge(&mut self, other: &Latencies) {
        // Only a value beyond the range fails, and both saturate at the same one.
        let _ = self.histogram.add(&other.histogram);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }

    pub(crate) fn reset(&mut self) {
        self.histogram.reset();
        (self.min, self.max, self.sum) = (u64::MAX, 0, 0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The value that this share of them does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        self.histogram.value_at_quantile(share).min(self.max)
    }

    fn min(&self) -> u64 {
        if self.count() == 0 { 0 } else { self.min }
    }

    fn mean(&self) -> u64 {
        (self.sum / u128::from(self.count().max(1))) as u64
    }

    /// The JSON of the contract.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "count": self.count(),
            "min": self.min(),
            "mean": self.mean(),
            "p50": self.quantile(0.50),
            "p90": self.quantile(0.90),
            "p99": self.quantile(0.99),
            "p99.9": self.quantile(0.999),
            "p99.99": self.quantile(0.9999),
            "max": self.max(),
        })
    }

    /// The JSON of as many zeros: a closed loop has no lag.
    pub(crate) fn zeros_to_json(count: u64) -> Value {
        json!({
            "count": count, "min": 0, "mean": 0, "p50": 0, "p90": 0, "p99": 0, "p99.9": 0, "p99.99": 0, "max": 0,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn extremes_and_mean_are_exact_and_no_quantile_exceeds_the_maximum() {
        let mut latencies = Latencies::fixed().unwrap();
        for nanos in [1_000_003, 2_000_005, 3_000_007] {
            latencies.record(nanos);
        }
        let json = latencies.to_json();
        assert_eq!(json["min"], 1_000_003);
        assert_eq!(json["mean"], 2_000_005);
        assert_eq!(json["max"], 3_000_007);
        assert!(json["p99.99"].as_u64().unwrap() <= 3_000_007);
        assert!(json["p50"].as_u64().unwrap().abs_diff(2_000_005) <= 2_000);
    }

    #[test]
    fn an_empty_one_is_all_zeros() {
        assert_eq!(
            Latencies::one_of(1).unwrap().to_json(),
            Latencies::zeros_to_json(0)
        );
    }

    #[test]
    fn of_many_each_has_a_digit_less() {
        for (histograms, within) in [(1, 2_000), (MANY + 1, 20_000)] {
            let mut latencies = Latencies::one_of(histograms).unwrap();
            for nanos in [1_000_003, 2_000_005, 3_000_007] {
                latencies.record(nanos);
            }
            assert!(latencies.quantile(0.5).abs_diff(2_000_005) <= within);
        }
    }

    #[test]
    fn merging_is_recording_both() {
        let (mut a, mut b) = (Latencies::fixed().unwrap(), Latencies::fixed().unwrap());
        a.record(10);
        b.record(u64::MAX);
        a.merge(&b);
        assert_eq!((a.count(), a.min(), a.max()), (2, 10, u64::MAX));
        a.reset();
        assert_eq!((a.count(), a.min(), a.max()), (0, 0, 0));
    }
}
