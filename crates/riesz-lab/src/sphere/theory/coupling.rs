//! Whether the repulsion acts on matched pairs, along a descent.

use riesz::Points;
use riesz::engine::{Coupling, coupling};
use riesz::loss::{Convention, KclKernel, Loss};
use riesz::normalize;
use riesz::rng::Key;
use riesz::sphere::minimize::{Problem, Settings};

use super::{Experiment, Figure, Scale, Table, Verdict, fixed};
use crate::Result;
use crate::report::draw::{Chart, Curve, chart};

/// What is seen at one step.
struct Moment {
    /// Mean 1 − ⟨u, v⟩.
    misalignment: f64,
    /// The cosine between the gradients of attraction and repulsion along the spheres.
    cosine: f64,
    /// The share of the attraction's pull that the repulsion leaves a matched pair, on average.
    left: f64,
}

pub(super) fn along_a_descent(scale: Scale, key: Key) -> Result<Experiment> {
    let (points, dim, tau) = if scale.small { (16, 8, 0.3) } else { (64, 16, 0.3) };
    let gaussian = KclKernel::Gaussian(2.0);
    let losses = [
        ("info-nce", Loss::info_nce(tau)?, false),
        ("nt-xent", Loss::nt_xent(tau)?, false),
        ("dcl", Loss::dcl(tau)?, true),
        ("dhel", Loss::dhel(tau, Convention::Reference)?, true),
        ("kcl, gaussian 2", Loss::kcl(gaussian, gaussian, 16.0, Convention::Symmetric)?, true),
    ];
    let mut table = Table::new(&[
        "loss",
        "pull left at the start",
        "at the end",
        "gradients' cosine at the start",
        "mean of the descent",
        "lowest",
        "1 − matched cosine at the end",
    ]);
    let (mut cosines, mut pulls) = (Vec::new(), Vec::new());
    let mut holds = true;
    for (name, loss, is_decoupled) in losses {
        let problem = Problem::new(loss.clone(), points, dim, 2)?;
        let mut start = problem.start(key, 0);
        // Views at an angle, as an untrained encoder gives them: the first view's points and half as much of others.
        for row in points..2 * points {
            let first = start.row(row - points).to_vec();
            start.row_mut(row).iter_mut().zip(first).for_each(|(x, first)| *x = first + 0.5 * *x);
        }
        normalize(&mut start)?;
        let mut seen: Vec<Moment> = Vec::new();
        let mut broken = Ok(());
        // Steepest descent with a line search: no memory that would mix the two gradients of different steps.
        let settings = Settings::default().with_iterations(60).with_memory(1).with_tolerance(1e-9);
        problem.descend(start, settings, &mut |step| {
            let rows = step.rows();
            let all = rows.as_slice();
            let (u, v) = all.split_at(all.len() / 2);
            let both = || coupling(&loss, &[Points::from_slice(u, dim)?, Points::from_slice(v, dim)?]);
            match both() {
                Ok(Coupling { cosine, left, .. }) => {
                    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                    let row = |i: usize| rows.row(i);
                    let apart = (0..points).map(|i| 1.0 - dot(row(i), row(points + i))).sum::<f64>();
                    seen.push(Moment {
                        misalignment: apart / points as f64,
                        cosine: cosine.unwrap_or(f64::NAN),
                        left: left.unwrap_or(f64::NAN),
                    });
                    true
                }
                Err(error) => {
                    broken = Err(error);
                    false
                }
            }
        });
        broken?;
        // Once pairs coincide to rounding, the attraction's gradient is noise and has no direction.
        seen.retain(|moment| moment.misalignment > 1e-10);
        let (Some(first), Some(last)) = (seen.first(), seen.last()) else { continue };
        holds &= if is_decoupled {
            seen.iter().all(|moment| moment.left == 1.0)
        } else {
            seen.iter().all(|moment| moment.left < 1.0) && last.left < first.left
        };
        let lowest = seen.iter().map(|moment| moment.cosine).fold(f64::INFINITY, f64::min);
        let mean = seen.iter().map(|moment| moment.cosine).sum::<f64>() / seen.len() as f64;
        table.rows.push(vec![
            name.to_owned(),
            fixed(first.left, 4),
            fixed(last.left, 4),
            fixed(first.cosine, 3),
            fixed(mean, 3),
            fixed(lowest, 3),
            super::power(last.misalignment),
        ]);
        let curve = |of: fn(&Moment) -> f64| {
            seen.iter().enumerate().map(|(step, moment)| (step as f64, of(moment))).collect::<Vec<_>>()
        };
        cosines.push((name, curve(|moment| moment.cosine)));
        pulls.push((name, curve(|moment| moment.left)));
    }
    Ok(Experiment {
        title: "DHEL and KCL leave the pull on matched pairs alone; InfoNCE and NT-Xent take it away as pairs align".to_owned(),
        statement: "In InfoNCE and NT-Xent the matched pair is also in the denominator, so that its pull is multiplied by 1 − P, P its share \
                    of the sum, which vanishes as pairs align. DCL removes it; DHEL and KCL have no pair that both attracts and repels, and \
                    repel within views alone (Koromilas et al. 2024)."
            .to_owned(),
        predicted: "The multiplier is exactly 1 for DCL, DHEL and KCL, and below 1 and falling for the others. Nothing is predicted of the \
                    angle between the two gradients."
            .to_owned(),
        measured: format!(
            "Along {} steps of a descent of {points} pairs in {dim} dimensions (τ = {tau}) the multiplier is {} the prediction. The cosines between \
             the gradients of attraction and repulsion are in the table and the picture: 0 where neither disturbs the other, −1 where \
             they cancel.",
            cosines.iter().map(|(_, curve): &(_, Vec<_>)| curve.len()).max().unwrap_or(0),
            if holds { "as in" } else { "not as in" }
        ),
        verdict: if holds { Verdict::Holds } else { Verdict::Fails },
        table: Some(table),
        figures: vec![
            picture("Share of the pull on matched pairs that the repulsion leaves", &pulls),
            picture("Cosine between the gradients of attraction and repulsion", &cosines),
        ],
    })
}

/// Curves over steps.
fn picture(caption: &str, curves: &[(&str, Vec<(f64, f64)>)]) -> Figure {
    const COLORS: [&str; 5] = ["c0", "c1", "ideal", "c2", "c3"];
    let key = curves.iter().zip(COLORS).map(|((name, _), class)| (class, (*name).to_owned())).collect();
    let lines: Vec<Curve> = curves
        .iter()
        .zip(COLORS)
        .map(|((name, points), class)| Curve {
            name: (*name).to_owned(),
            class,
            points: points.clone(),
            filled: false,
        })
        .collect();
    let frame = Chart {
        title: caption,
        x_label: "step",
        size: (640.0, 260.0),
        logarithmic: false,
        whole: true,
        include: None,
    };
    Figure { caption: caption.to_owned(), key, svg: chart(&frame, &lines) }
}
