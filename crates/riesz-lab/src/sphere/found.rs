//! The result of many descents: the local minima that were found and how often, what each one is, and what is proven.

use riesz::Points;
use riesz::loss::{Loss, Pairs};
use riesz::sphere::certificate::{Bound, Certificate, Theorem, bound, certify};
use riesz::sphere::cosines::Cosines;
use riesz::sphere::minimize::{End, Minimum, Problem, distinct};
use riesz::sphere::optima::{Configuration, known};
use serde_json::{Value, json};

/// Values are counted as one local minimum within this, relative to the value.
const SAME_VALUE: f64 = 1e-9;
/// A bound counts as attained within this.
const ATTAINED: f64 = 1e-9;
/// Local minima that are looked at, from the lowest.
const LOOKED_AT: usize = 10;

/// What is said where there is nothing to tell.
pub const NOWHERE: &str = "no start has a finite value that f64 holds; a kernel that is less steep has one";

/// What is minimized, over what.
pub struct Subject {
    /// The loss or energy in words.
    pub words: String,
    /// The loss or energy.
    pub loss: Loss,
    /// Points of a view.
    pub points: usize,
    /// d.
    pub dim: usize,
    /// Views.
    pub views: usize,
    /// Cosines nearer than this are counted as equal.
    pub tolerance: f64,
}

/// One local minimum.
pub struct Group {
    /// The number of its best member in the list of minima.
    pub best: usize,
    /// How many starts came to it.
    pub starts: usize,
    /// How many of these had their views near each other.
    pub near: usize,
    /// The cosines of its first view.
    pub cosines: Cosines,
    /// The known configuration whose cosines these are, in every view that repels.
    pub recognized: Option<Configuration>,
    /// The largest 1 − cosine of matched points, with several views.
    pub misalignment: Option<f64>,
}

/// All that a search found.
pub struct Found {
    /// What was minimized.
    pub subject: Subject,
    /// Where each start came to.
    pub minima: Vec<Minimum>,
    /// The local minima, from the lowest value up.
    pub groups: Vec<Group>,
    /// What no points can undercut, if a theorem says.
    pub bound: Option<Bound>,
}

impl Subject {
    /// As a problem for the minimizer.
    ///
    /// # Errors
    /// As [`Problem::new`].
    pub fn problem(&self) -> crate::Result<Problem> {
        Ok(Problem::new(self.loss.clone(), self.points, self.dim, self.views)?)
    }

    fn view(&self, minimum: &Minimum, view: usize) -> Cosines {
        let size = self.points * self.dim;
        let rows = &minimum.rows.as_slice()[view * size..(view + 1) * size];
        let points = Points::from_slice(rows, self.dim).expect("a minimum has unit rows");
        Cosines::of(points, self.tolerance)
    }

    fn group(&self, minima: &[Minimum], members: &[usize]) -> Group {
        let best = members[0];
        let minimum = &minima[best];
        let cosines = self.view(minimum, 0);
        let others: Vec<Cosines> = (1..self.views).map(|view| self.view(minimum, view)).collect();
        let recognized = known(self.points, self.dim).into_iter().find(|one| {
            let exact = one.cosines(self.dim);
            std::iter::once(&cosines).chain(&others).all(|view| view.matches(&exact, self.tolerance))
        });
        let near = |member: &&usize| self.views > 1 && Problem::starts_near(minima[**member].start);
        Group {
            best,
            starts: members.len(),
            near: members.iter().filter(near).count(),
            cosines,
            recognized,
            misalignment: (self.views > 1).then(|| misalignment(minimum, self.points, self.views)),
        }
    }
}

/// The largest 1 − ⟨x_i, y_i⟩ over the first view and each other one.
fn misalignment(minimum: &Minimum, points: usize, views: usize) -> f64 {
    let row = |i: usize| minimum.rows.row(i);
    (points..points * views)
        .map(|i| 0.5 * row(i % points).iter().zip(row(i)).map(|(x, y)| (x - y).powi(2)).sum::<f64>())
        .fold(0.0, f64::max)
}

impl Found {
    /// Sorts minima into local minima and looks at each. Those that were stopped count only if no other is there.
    pub fn new(subject: Subject, minima: Vec<Minimum>) -> Self {
        let ended = |minimum: &Minimum| minimum.end != End::Stopped;
        let minima: Vec<Minimum> =
            if minima.iter().any(ended) { minima.into_iter().filter(ended).collect() } else { minima };
        let groups = distinct(&minima, SAME_VALUE)
            .iter()
            // Cosines of many points are costly: only the lowest minima are looked at.
            .take(LOOKED_AT)
            .map(|members| subject.group(&minima, members))
            .collect();
        let bound = bound(&subject.loss, subject.points, subject.dim, subject.views);
        Self { subject, minima, groups, bound }
    }

    /// The lowest minimum, if any start had a finite value.
    pub fn best(&self) -> Option<(&Group, &Minimum)> {
        self.groups.first().map(|group| (group, &self.minima[group.best]))
    }

    /// What is proven of the lowest.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.best().map_or_else(Vec::new, |(group, minimum)| {
            let aligned = group.misalignment.is_none_or(|misalignment| misalignment < 1e-8);
            // Every theorem has matched points coincide.
            if aligned { certify(minimum.value, self.bound, &group.cosines, ATTAINED) } else { Vec::new() }
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let subject = &self.subject;
        let views = if subject.views == 1 { String::new() } else { format!(", {} views", subject.views) };
        let mut lines = vec![
            format!("{}: {} points in {} dimensions{views}", subject.words, subject.points, subject.dim),
            String::new(),
        ];
        let Some((group, minimum)) = self.best() else {
            lines.push(NOWHERE.to_owned());
            return lines.join("\n");
        };
        lines.push(format!("value        {}", minimum.value));
        if self.is_energy() {
            let pairs = subject.points * (subject.points - 1) / 2;
            lines.push(format!("sum          {} over {pairs} pairs", minimum.value * pairs as f64));
        }
        lines.push(format!("gradient     {:.1e}, {}", minimum.gradient, how(minimum)));
        if let Some(misalignment) = group.misalignment {
            lines.push(format!("alignment    matched points coincide to 1 − cosine ≤ {misalignment:.1e}"));
        }
        lines.extend(cosine_lines(&group.cosines, subject.tolerance));
        lines.push(match &group.recognized {
            Some(one) => {
                let exact = one.value(&subject.loss, subject.views);
                format!("recognized   {} (exact value {exact}, {:+.1e})", one.name, minimum.value - exact)
            }
            None => "recognized   unknown".to_owned(),
        });
        lines.push(match self.bound {
            Some(bound) => format!(
                "bound        {} by {}; value − bound {:+.1e}",
                bound.value,
                theorem(bound.theorem),
                minimum.value - bound.value
            ),
            None => "bound        no theorem gives one for this loss".to_owned(),
        });
        let certificates = self.certificates();
        if certificates.is_empty() {
            lines.push("certificate  none: no theorem that is tried proves this the least".to_owned());
        }
        lines.extend(certificates.into_iter().map(|one| format!("certificate  {}", certificate(one))));
        lines.push(String::new());
        lines.push(format!("local minima of {} starts:", self.minima.len()));
        for group in self.groups.iter().take(8) {
            let minimum = &self.minima[group.best];
            let name = group.recognized.as_ref().map_or("unknown", |one| &one.name);
            let near = if subject.views > 1 { format!(" ({} near)", group.near) } else { String::new() };
            lines.push(format!("  {:>5}×{near}  {:<24}  {name}", group.starts, minimum.value));
        }
        if self.groups.len() > 8 {
            lines.push("  and higher ones".to_owned());
        }
        lines.join("\n")
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let subject = &self.subject;
        let minima: Vec<Value> = self.groups.iter().map(|group| self.group_json(group)).collect();
        json!({
            "schema_version": 1,
            "subject": subject.words,
            "points": subject.points,
            "dim": subject.dim,
            "views": subject.views,
            "starts": self.minima.len(),
            "equal": subject.tolerance,
            "bound": self.bound.map(|bound| json!({ "value": bound.value, "theorem": theorem(bound.theorem) })),
            "certificates": self.certificates().into_iter().map(certificate).collect::<Vec<_>>(),
            "minima": minima,
        })
    }

    fn group_json(&self, group: &Group) -> Value {
        let minimum = &self.minima[group.best];
        let cosines: Vec<Value> = group
            .cosines
            .distinct
            .iter()
            .take(1000)
            .map(|one| json!({ "cosine": one.cosine, "pairs": one.pairs }))
            .collect();
        let exact = group.recognized.as_ref().map(|one| one.value(&self.subject.loss, self.subject.views));
        json!({
            "value": minimum.value,
            "gradient": minimum.gradient,
            "end": how(minimum),
            "starts": group.starts,
            "starts_near": group.near,
            "iterations": minimum.iterations,
            "evaluations": minimum.evaluations,
            "misalignment": group.misalignment,
            "distinct_cosines": group.cosines.distinct.len(),
            "cosines": cosines,
            "spread": group.cosines.spread,
            "recognized": group.recognized.as_ref().map(|one| one.name.clone()),
            "exact_value": exact,
        })
    }

    fn is_energy(&self) -> bool {
        self.subject.views == 1
            && matches!(&self.subject.loss.terms[..], [term] if term.pairs == Pairs::WITHIN)
    }
}

fn how(minimum: &Minimum) -> &'static str {
    match minimum.end {
        End::Converged => "converged",
        End::Floor => "at the floor of f64",
        End::Iterations => "not converged: the most iterations were made",
        End::Stopped => "not converged: stopped",
        End::Infinite => "not finite at the start",
        End::Flat => "flat: value and gradient vanish in f64, nothing says which way to go",
    }
}

fn cosine_lines(cosines: &Cosines, tolerance: f64) -> Vec<String> {
    let all = &cosines.distinct;
    if all.len() > 16 {
        let (low, high) = (all[0].cosine, all[all.len() - 1].cosine);
        return vec![format!(
            "cosines      {} distinct, from {low:.9} to {high:.9} (equal within {tolerance:e})",
            all.len()
        )];
    }
    let mut lines: Vec<String> = all
        .iter()
        .enumerate()
        .map(|(i, one)| {
            let head = if i == 0 { "cosines      " } else { "             " };
            format!("{head}{:+.12} × {}", one.cosine, one.pairs)
        })
        .collect();
    lines.push(format!("             (equal within {tolerance:e}; widest spread {:.1e})", cosines.spread));
    lines
}

fn theorem(theorem: Theorem) -> String {
    match theorem {
        Theorem::Convexity => "convexity (the value at an aligned simplex)".to_owned(),
        Theorem::LinearProgramming { degree } => {
            format!("linear programming with a polynomial of degree {degree}")
        }
        Theorem::Elementary => "squares and cosines' ranges".to_owned(),
        Theorem::Rank => "the rank of the matrix of cosines (tight frames)".to_owned(),
    }
}

fn certificate(one: Certificate) -> String {
    match one {
        Certificate::Attained(by) => format!("global minimum: the bound by {} is attained", theorem(by)),
        Certificate::Sharp { cosines, strength } => format!(
            "sharp: {cosines} cosines, a spherical {strength}-design; minimal for every completely monotone kernel (Cohn and Kumar)"
        ),
        Certificate::Cell600 => {
            "600-cell: 8 cosines, a spherical 11-design; minimal for every completely monotone kernel (Cohn and Kumar)"
                .to_owned()
        }
    }
}
