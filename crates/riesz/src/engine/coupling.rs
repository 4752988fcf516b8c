//! How a loss's attraction and repulsion stand to each other at given points.

use super::{Engine, Fused};
use crate::loss::{Link, Loss, Role};
use crate::{Error, Points};

/// What attraction and repulsion do to each other. DHEL and KCL are claimed to decouple them (Koromilas et al., ICML 2024).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Coupling {
    /// The cosine in [−1, 1] between the gradients of attraction and repulsion along the spheres: 0 where neither disturbs
    /// the other, −1 where they cancel. `None` where either gradient is zero: of a row whose gradient leaves its direction by less
    /// than 10⁻¹³ of its length nothing is taken, as its angle would be one of rounding.
    pub cosine: Option<f64>,
    /// The share in [0, 1] of the pull on matched pairs that the repulsion leaves, on average over anchors: 1 − P, where P
    /// is the matched pair's share of its anchor's sum; 1 where the repulsion does not run over matched pairs. `None` where
    /// it does and is no logarithm of a row's sum.
    pub left: Option<f64>,
}

/// Takes the gradients of attraction and repulsion of `loss` at the unit rows of two views, n × d each.
///
/// # Errors
/// As [`Engine::value_and_grad`].
///
/// # Panics
/// As [`Engine::value_and_grad`].
pub fn coupling(loss: &Loss, views: &[Points<'_, f64>; 2]) -> Result<Coupling, Error> {
    let pull = along_the_spheres(loss, Role::Attraction, views)?;
    let push = along_the_spheres(loss, Role::Repulsion, views)?;
    let lengths = (dot(&pull, &pull) * dot(&push, &push)).sqrt();
    let cosine = (lengths > 0.0).then(|| (dot(&pull, &push) / lengths).clamp(-1.0, 1.0));
    Ok(Coupling { cosine, left: left(loss, views) })
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// The part of a row's gradient below which what is across the row is rounding.
const ROUNDING: f64 = 1e-13;

/// The gradient of the terms of one role, its part along each row taken off, both views together.
fn along_the_spheres(loss: &Loss, role: Role, views: &[Points<'_, f64>; 2]) -> Result<Vec<f64>, Error> {
    let terms = loss.terms.iter().filter(|term| term.role == role).cloned().collect();
    let grads = Fused.value_and_grad(&loss.of(terms), views)?.grads;
    let mut all = Vec::with_capacity(2 * views[0].len() * views[0].dim());
    for (grad, view) in grads.iter().zip(views) {
        for row in 0..view.len() {
            let (g, x) = (grad.row(row), view.row(row));
            let along = dot(g, x);
            let start = all.len();
            all.extend(g.iter().zip(x).map(|(g, x)| g - along * x));
            let across = &mut all[start..];
            if dot(across, across).sqrt() <= ROUNDING * dot(g, g).sqrt() {
                across.fill(0.0);
            }
        }
    }
    Ok(all)
}

fn left(loss: &Loss, views: &[Points<'_, f64>; 2]) -> Option<f64> {
    let points = views[0].len();
    let row = |i: usize| views[i / points].row(i % points);
    let mut left = 1.0;
    for term in loss.terms.iter().filter(|term| term.role == Role::Repulsion && term.pairs.matched) {
        if term.link != Link::RowLogSum {
            return None;
        }
        let anchors = points * term.anchor_views(2);
        let share = |anchor: usize| {
            let ln = |other: usize| term.kernel.ln_at_rounded(dot(row(anchor), row(other))).0;
            let is_in = |other: &usize| {
                let same_view = anchor / points == other / points;
                term.pairs.contains(anchor == *other, anchor % points == other % points, same_view)
            };
            // With the largest exponent out, so that none is more than f64 holds, and they do not all vanish.
            let logarithms: Vec<f64> = (0..2 * points).filter(is_in).map(ln).collect();
            let top = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logarithms.iter().map(|ln| (ln - top).exp()).sum();
            (ln((anchor + points) % (2 * points)) - top).exp() / sum
        };
        left -= (0..anchors).map(share).sum::<f64>() / anchors as f64;
    }
    Some(left.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;
    use crate::loss::Convention;

    /// Two pairs on the circle, a quarter turn apart, the second view turned by `angle`.
    fn at(loss: &Loss, angle: f64) -> Coupling {
        let (sin, cos) = angle.sin_cos();
        let u = Matrix::new(vec![1.0, 0.0, 0.0, 1.0], 2);
        let v = Matrix::new(vec![cos, sin, -sin, cos], 2);
        coupling(loss, &[Points::new(&u).unwrap(), Points::new(&v).unwrap()]).unwrap()
    }

    #[test]
    fn what_is_left_is_a_number_at_any_temperature() {
        for temperature in [0.1, 1e-2, 1e-3, 1e-5] {
            let loss = Loss::nt_xent(temperature).unwrap();
            let (near, far) = (at(&loss, 0.1).left.unwrap(), at(&loss, 2.0).left.unwrap());
            assert!(
                (0.0..=1.0).contains(&near) && (0.0..=1.0).contains(&far),
                "{temperature}: {near}, {far}"
            );
        }
        let cold = Loss::nt_xent(1e-4).unwrap();
        assert!(at(&cold, 0.1).left.unwrap() < 1e-12 && at(&cold, 2.0).left.unwrap() > 1.0 - 1e-12);
    }

    #[test]
    fn two_pairs_on_the_circle_are_as_worked_out() {
        // InfoNCE, one anchor a pair: P = e^{cos a/τ} / (e^{cos a/τ} + e^{∓sin a/τ}).
        let (tau, angle) = (0.5_f64, 0.3_f64);
        let share = |other: f64| {
            let matched = (angle.cos() / tau).exp();
            matched / (matched + (other / tau).exp())
        };
        let expected = 1.0 - (share(-angle.sin()) + share(angle.sin())) / 2.0;
        let found = at(&Loss::info_nce(tau).unwrap(), angle);
        assert!((found.left.unwrap() - expected).abs() < 1e-14, "{found:?} {expected}");

        // DHEL repels within views alone: each view's two points are pushed apart, which the pull turns alike. Equal and
        // opposite contributions: the gradients are orthogonal.
        let found = at(&Loss::dhel(tau, Convention::Symmetric).unwrap(), angle);
        assert!(found.cosine.unwrap().abs() < 1e-14 && found.left == Some(1.0), "{found:?}");

        // Matched points that coincide are not pulled.
        assert_eq!(at(&Loss::dhel(tau, Convention::Symmetric).unwrap(), 0.0).cosine, None);
    }

    #[test]
    fn a_collapse_of_either_role_has_no_angle() {
        // All points of a view are one, and the views are apart: DHEL repels along the points alone, in directions of any digits.
        for points in [2, 7, 300] {
            let all = |first: f64| {
                let row: Vec<f64> = (0..33).map(|k| (first + 1.7 * f64::from(k)).sin()).collect();
                let length = dot(&row, &row).sqrt();
                Matrix::new(row.iter().map(|x| x / length).collect::<Vec<_>>().repeat(points), 33)
            };
            let (u, v) = (all(0.1), all(0.5));
            let found =
                |loss: &Loss| coupling(loss, &[Points::new(&u).unwrap(), Points::new(&v).unwrap()]).unwrap();
            assert_eq!(found(&Loss::dhel(0.1, Convention::Symmetric).unwrap()).cosine, None);
            // NT-Xent repels from the other view, too: straight against the pull.
            assert!((found(&Loss::nt_xent(0.1).unwrap()).cosine.unwrap() + 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_loss_of_matched_pairs_alone_in_both_roles_cancels() {
        // Half of InfoNCE's repulsion is the matched pair's: where it is nearly all of the sum, the gradients cancel.
        let found = at(&Loss::info_nce(0.01).unwrap(), 0.3);
        assert!(found.cosine.unwrap() < -0.999 && found.left.unwrap() < 1e-9, "{found:?}");
    }
}
