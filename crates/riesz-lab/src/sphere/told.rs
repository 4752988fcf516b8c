//! What a search found, in words and as JSON.

use riesz::loss::Pairs;
use riesz::sphere::cosines::Cosines;
use riesz::sphere::found::{Found, Group, NOWHERE};
use riesz::sphere::minimize::Problem;
use serde_json::{Value, json};

/// What is minimized, over what.
pub struct Subject {
    /// The loss or energy in words.
    pub words: String,
    /// The loss or energy, and how many points of which sphere.
    pub problem: Problem,
    /// Cosines nearer than this are counted as equal.
    pub tolerance: f64,
}

impl Subject {
    /// For people.
    pub fn text(&self, found: &Found) -> String {
        let (points, dim, views) = (self.problem.points(), self.problem.dim(), self.problem.views());
        let of_views = if views == 1 { String::new() } else { format!(", {views} views") };
        let mut lines =
            vec![format!("{}: {points} points in {dim} dimensions{of_views}", self.words), String::new()];
        let Some((group, minimum)) = found.best() else {
            lines.push(NOWHERE.to_owned());
            return lines.join("\n");
        };
        lines.push(format!("value        {}", minimum.value));
        if self.is_energy() {
            let pairs = points * (points - 1) / 2;
            lines.push(format!("sum          {} over {pairs} pairs", minimum.value * pairs as f64));
        }
        lines.push(format!("gradient     {:.1e}, {}", minimum.gradient, minimum.end));
        if let Some(misalignment) = group.misalignment {
            lines.push(format!("alignment    matched points coincide to 1 − cosine ≤ {misalignment:.1e}"));
        }
        lines.extend(cosine_lines(&group.cosines, self.tolerance));
        lines.push(match &group.recognized {
            Some(one) => {
                let exact = one.value(self.problem.loss(), views);
                format!("recognized   {} (exact value {exact}, {:+.1e})", one.name, minimum.value - exact)
            }
            None => "recognized   unknown".to_owned(),
        });
        lines.push(match found.bound {
            Some(bound) => format!(
                "bound        {} by {}; value − bound {:+.1e}",
                bound.value,
                bound.theorem,
                minimum.value - bound.value
            ),
            None => "bound        no theorem gives one for this loss".to_owned(),
        });
        let certificates = found.certificates();
        if certificates.is_empty() {
            lines.push("certificate  none: no theorem that is tried proves this the least".to_owned());
        }
        lines.extend(certificates.into_iter().map(|one| format!("certificate  {one}")));
        lines.push(String::new());
        lines.push(format!("local minima of {} starts:", found.minima.len()));
        for group in found.groups.iter().take(8) {
            let minimum = &found.minima[group.best];
            let name = group.recognized.as_ref().map_or("unknown", |one| &one.name);
            let near = if views > 1 { format!(" ({} near)", group.near) } else { String::new() };
            lines.push(format!("  {:>5}×{near}  {:<24}  {name}", group.starts, minimum.value));
        }
        if found.groups.len() > 8 {
            lines.push("  and higher ones".to_owned());
        }
        lines.join("\n")
    }

    /// For machines.
    pub fn json(&self, found: &Found) -> Value {
        let minima: Vec<Value> = found.groups.iter().map(|group| self.group_json(found, group)).collect();
        json!({
            "schema_version": 1,
            "subject": self.words,
            "points": self.problem.points(),
            "dim": self.problem.dim(),
            "views": self.problem.views(),
            "starts": found.minima.len(),
            "equal": self.tolerance,
            "bound": found.bound.map(|bound| json!({ "value": bound.value, "theorem": bound.theorem.to_string() })),
            "certificates": found.certificates().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "minima": minima,
        })
    }

    fn group_json(&self, found: &Found, group: &Group) -> Value {
        let minimum = &found.minima[group.best];
        let cosines: Vec<Value> = group
            .cosines
            .distinct
            .iter()
            .take(1000)
            .map(|one| json!({ "cosine": one.cosine, "pairs": one.pairs }))
            .collect();
        json!({
            "value": minimum.value,
            "gradient": minimum.gradient,
            "end": minimum.end.to_string(),
            "starts": group.starts,
            "starts_near": group.near,
            "iterations": minimum.iterations,
            "evaluations": minimum.evaluations,
            "misalignment": group.misalignment,
            "distinct_cosines": group.cosines.distinct.len(),
            "cosines": cosines,
            "spread": group.cosines.spread,
            "recognized": group.recognized.as_ref().map(|one| one.name.clone()),
            "exact_value": group.exact_value(&self.problem),
        })
    }

    fn is_energy(&self) -> bool {
        self.problem.views() == 1
            && matches!(&self.problem.loss().terms[..], [term] if term.pairs == Pairs::WITHIN)
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
