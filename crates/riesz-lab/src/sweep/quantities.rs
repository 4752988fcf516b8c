//! The numbers that each cell of a grid has.

use crate::protocols::Measure;
use crate::report::Summary;

/// A number that each cell has.
pub struct Quantity {
    /// The column's name.
    pub name: &'static str,
    /// In words.
    pub title: &'static str,
    /// Whether it is a share, told in percent.
    pub percent: bool,
    /// 1 if more is better, −1 if less is, 0 if neither.
    pub better: i8,
    read: fn(&Summary) -> Option<f64>,
}

impl Quantity {
    /// The quantity of that name.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(name: &str) -> (usize, &'static Self) {
        let found = QUANTITIES.iter().enumerate().find(|(_, quantity)| quantity.name == name);
        found.unwrap_or_else(|| panic!("no quantity is called {name}"))
    }

    /// Its value for a run, if the run has it.
    pub fn of(&self, summary: &Summary) -> Option<f64> {
        (self.read)(summary)
    }

    /// A value as it is told: percent with one digit, or so many digits that three count.
    pub fn tell(&self, value: f64) -> String {
        self.tell_beside(value, value)
    }

    /// A value with as many digits as another has: a spread beside its mean.
    pub fn tell_beside(&self, value: f64, other: f64) -> String {
        let digits = match other.abs() {
            _ if self.percent => 1,
            x if x >= 100.0 => 0,
            x if x >= 10.0 => 1,
            x if x >= 1.0 => 2,
            _ => 3,
        };
        let value = if self.percent { 100.0 * value } else { value };
        format!("{value:.digits$}").replace('-', "−")
    }
}

fn trained(measure: Measure) -> impl Fn(&Summary) -> Option<f64> {
    move |summary| summary.row("trained backbone").and_then(|row| row.value(measure))
}

fn geometry(summary: &Summary, name: &str) -> Option<f64> {
    summary.geometry.iter().find(|metric| metric.metric == name).map(|metric| metric.trained)
}

const fn quantity(
    name: &'static str,
    title: &'static str,
    percent: bool,
    better: i8,
    read: fn(&Summary) -> Option<f64>,
) -> Quantity {
    Quantity { name, title, percent, better, read }
}

/// Every quantity, in the order of the table. Accuracies are of the trained backbone, the geometry is of the projector's
/// embeddings, both on held-out images.
pub const QUANTITIES: [Quantity; 11] = [
    quantity("knn", "kNN", true, 1, |s| trained(Measure::Knn)(s)),
    quantity("probe", "linear probe", true, 1, |s| trained(Measure::Probe)(s)),
    quantity("few_labels", "few labels", true, 1, |s| trained(Measure::FewLabels)(s)),
    quantity("recall_at_1", "recall@1", true, 1, |s| trained(Measure::Retrieval)(s)),
    quantity("recall_at_1_projector", "recall@1, projector", true, 1, |s| {
        s.row("trained projector").and_then(|row| row.value(Measure::Retrieval))
    }),
    quantity("alignment", "alignment", false, -1, |s| geometry(s, "alignment")),
    quantity("uniformity", "uniformity", false, -1, |s| geometry(s, "uniformity")),
    quantity("wasserstein_uniformity", "Wasserstein uniformity", false, -1, |s| {
        geometry(s, "wasserstein_uniformity")
    }),
    quantity("rank", "rank", false, 1, |s| geometry(s, "rank")),
    quantity("effective_rank", "effective rank", false, 1, |s| geometry(s, "effective_rank")),
    quantity("training_seconds", "training seconds", false, 0, |s| Some(s.training_seconds)),
];

/// Whether an axis of that name would be taken for another column of the table.
pub(super) fn is_column(axis: &str) -> bool {
    let name = column(axis);
    ["cell", "seed", "selection_knn"].contains(&name.as_str())
        || QUANTITIES.iter().any(|quantity| quantity.name == name)
}

/// An axis as a column's name.
pub(super) fn column(axis: &str) -> String {
    axis.replace('-', "_")
}
