//! Rounds, medians, ratios and the table.

/// The figures of one subject, one a round.
#[derive(Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        }
    }

    /// Round by round, as the next.
    pub(crate) fn less(&self, other: &Figures) -> Figures {
        Figures(self.0.iter().zip(&other.0).map(|(a, b)| a - b).collect())
    }

    /// Round by round.
    pub(crate) fn over(&self, other: &Figures) -> Figures {
        Figures(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// The median, and the least and the most of the rounds.
    fn words(&self) -> String {
        let [median, least, most] = self.rounded();
        format!("{median:>10}   ({least} .. {most})")
    }

    /// The same, as a table has it.
    pub(crate) fn cell(&self) -> String {
        let [median, least, most] = self.rounded();
        format!("{median} ({least} to {most})")
    }

    fn rounded(&self) -> [String; 3] {
        let (sorted, median) = (self.sorted(), self.median());
        let places = match median {
            _ if median >= 100.0 => 0,
            _ if median >= 10.0 => 1,
            _ => 3,
        };
        let all = [median, sorted[0], sorted[sorted.len() - 1]];
        all.map(|figure| format!("{figure:.places$}"))
    }
}

/// The value at a percentile of what was sorted.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

pub(crate) fn title(text: &str) {
    println!("\n{text}");
}

pub(crate) fn line(subject: &str, what: &str, figures: &Figures) {
    println!("  {subject:<38} {what:<16} {}", figures.words());
}

/// A ratio of two subjects within each round, held against what was asked.
pub(crate) fn ratio(text: &str, of: &Figures, to: &Figures, at_most: f64) {
    let ratio = of.over(to);
    let verdict = verdict(ratio.median() <= at_most);
    println!(
        "  {text:<38} {:<16} {}   asked: at most {at_most}: {verdict}",
        "ratio",
        ratio.words()
    );
}

/// A figure held against what was asked.
pub(crate) fn asked(text: &str, what: &str, figures: &Figures, least: f64, at_most: f64) {
    let median = figures.median();
    let verdict = verdict(median >= least && median <= at_most);
    println!(
        "  {text:<38} {what:<16} {}   asked: {least} to {at_most}: {verdict}",
        figures.words()
    );
}

/// A figure that is to be so much at least.
pub(crate) fn least(text: &str, what: &str, figures: &Figures, least: f64) {
    let verdict = verdict(figures.median() >= least);
    println!(
        "  {text:<38} {what:<16} {}   asked: at least {least}: {verdict}",
        figures.words()
    );
}

/// A ratio of two subjects within each round that is to be so much at least.
pub(crate) fn ratio_least(text: &str, of: &Figures, to: &Figures, at_least: f64) {
    least(text, "ratio", &of.over(to), at_least);
}

pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "falls short" }
}
