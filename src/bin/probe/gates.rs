//! Gates: what must not come out, such as `cert_days<14`. All are judged, and each is told with its value.

use std::str::FromStr;

/// A bound on a figure; it is breached when the comparison holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    text: String,
    figure: Figure,
    comparison: Comparison,
    bound: i64,
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Whole days to the end of the peer's certificate; negative when it has expired.
    CertDays,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// In this order: the sign of one is the beginning of another's.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    (">", Comparison::Above),
];

impl Gate {
    /// As it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn figure(&self) -> Figure {
        self.figure
    }

    pub(crate) fn is_breached_by(&self, value: i64) -> bool {
        match self.comparison {
            Comparison::Below => value < self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Above => value > self.bound,
            Comparison::AtLeast => value >= self.bound,
        }
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Gate, String> {
        let wrong = || "a gate is a figure, <, <=, > or >=, and a bound, such as cert_days<14";
        let (figure, comparison, bound) = COMPARISONS
            .iter()
            .find_map(|(sign, comparison)| {
                let (figure, bound) = text.split_once(sign)?;
                Some((figure.trim(), *comparison, bound.trim()))
            })
            .ok_or_else(wrong)?;
        let figure = match figure {
            "cert_days" => Figure::CertDays,
            _ => return Err("the figure is cert_days, such as cert_days<14".into()),
        };
        let bound = bound
            .parse()
            .map_err(|_| "cert_days is a whole number of days, such as cert_days<14")?;
        Ok(Gate {
            text: text.to_owned(),
            figure,
            comparison,
            bound,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_breached_when_its_comparison_holds() {
        for (text, breached_by, held_by) in [
            ("cert_days<14", 13, 14),
            ("cert_days<=14", 14, 15),
            ("cert_days > 800", 801, 800),
            ("cert_days>=800", 800, 799),
            ("cert_days<-30", -31, -30),
        ] {
            let gate: Gate = text.parse().unwrap();
            assert_eq!((gate.as_str(), gate.figure()), (text, Figure::CertDays));
            assert!(gate.is_breached_by(breached_by), "{text}");
            assert!(!gate.is_breached_by(held_by), "{text}");
        }
    }

    #[test]
    fn what_is_no_gate_is_refused_with_an_example() {
        for text in [
            "",
            "cert_days",
            "cert_days<",
            "cert_days<1.5",
            "cert_days<14d",
            "<14",
            "p99<1ms",
            "cert_days==1",
            "cert_days<<1",
        ] {
            let why = text.parse::<Gate>().unwrap_err();
            assert!(why.contains("cert_days<14"), "{text}: {why}");
        }
    }
}
