//! The table for `docs/benchmarks.md`: a figure a row, taut's beside those of the others, the ratio taken within each
//! round, and whether it is what was asked.

use crate::report::{Figures, verdict};

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<String>,
}

impl Table {
    /// A figure of taut's and of the others that is to be at most the first other's.
    pub(crate) fn at_most<const N: usize>(&mut self, what: &str, figures: [&Figures; N]) {
        self.row(what, figures, Some(|ratio| ratio <= 1.0));
    }

    /// One that is to be at least as much.
    pub(crate) fn at_least<const N: usize>(&mut self, what: &str, figures: [&Figures; N]) {
        self.row(what, figures, Some(|ratio| ratio >= 1.0));
    }

    /// One of which nothing was asked.
    pub(crate) fn told<const N: usize>(&mut self, what: &str, figures: [&Figures; N]) {
        self.row(what, figures, None);
    }

    fn row<const N: usize>(
        &mut self,
        what: &str,
        figures: [&Figures; N],
        is_met: Option<fn(f64) -> bool>,
    ) {
        let ratio = figures[0].over(figures[1]);
        let cell = |place: usize| figures.get(place).map_or(String::new(), |it| it.cell());
        let verdict = is_met.map_or("", |is_met| verdict(is_met(ratio.median())));
        self.rows.push(format!(
            "| {what} | {} | {} | {} | {} | {verdict} |",
            cell(0),
            cell(1),
            cell(2),
            ratio.cell()
        ));
    }

    pub(crate) fn print(&self) {
        println!("\n| | taut | tokio-rustls | with a codec | taut / tokio-rustls | |");
        println!("|---|---|---|---|---|---|");
        for row in &self.rows {
            println!("{row}");
        }
    }
}
