//! Losses beyond the catalogue: what an engine must be right about before somebody names it.

use std::sync::Arc;

use riesz::kernel::{
    Cosine, DistancePower, Exponential, Gaussian, InverseMultiquadric, Kernel, Logarithmic, Riesz,
    ScaledExponential, Softplus,
};
use riesz::loss::{Anchors, Link, Loss, Pairs, Role, Term};

const LINKS: [Link; 6] =
    [Link::Mean, Link::RowSum, Link::RowLogSum, Link::RowLogMean, Link::ImageLogSum, Link::LogMean];

/// Losses that nobody has named, but the language says: each link, each class of pairs and each kernel, alone and
/// together with others. A kernel that is infinite where points meet is asked of no row with itself.
pub(crate) fn unnamed() -> Vec<Loss> {
    let kernels: Vec<Arc<dyn Kernel>> = vec![
        Arc::new(Exponential { temperature: 0.3 }),
        // Too cold for a fixed shift of the exponent.
        Arc::new(Exponential { temperature: 0.0025 }),
        Arc::new(ScaledExponential { temperature: 0.4, factor: 0.3 }),
        Arc::new(ScaledExponential { temperature: 0.2, factor: 0.5 }),
        Arc::new(Gaussian { width: 2.0 }),
        Arc::new(InverseMultiquadric { offset: 0.7 }),
        Arc::new(Logarithmic { width: 2.0 }),
        Arc::new(Cosine { scale: 3.0 }),
        Arc::new(Riesz { exponent: 1.0 }),
        Arc::new(Riesz { exponent: 0.7 }),
        // Infinitely steep where points meet.
        Arc::new(Riesz { exponent: -0.2 }),
        Arc::new(Riesz { exponent: -1.0 }),
        Arc::new(DistancePower { exponent: 0.3 }),
        Arc::new(DistancePower { exponent: 1.5 }),
        Arc::new(Softplus { scale: 5.0, offset: -4.0 }),
    ];
    let classes = [
        Pairs::WITHIN,
        Pairs::CROSS,
        Pairs::OTHER_VIEW,
        Pairs::OTHER_IMAGES,
        Pairs::ALL,
        Pairs::MATCHED,
        Pairs { matched: true, ..Pairs::WITHIN },
        Pairs { itself: true, ..Pairs::WITHIN },
        Pairs { itself: true, ..Pairs::MATCHED },
        Pairs { itself: true, ..Pairs::ALL },
    ];
    let mut terms = Vec::new();
    for (k, kernel) in kernels.iter().enumerate() {
        for (p, &pairs) in classes.iter().enumerate() {
            for (l, &link) in LINKS.iter().enumerate() {
                let logarithmic = link.is_logarithmic();
                // A mean of e^{400 s} is beyond any scale to compare by.
                let cold = kernel.at(1.0).0 > 1e30;
                let pole = kernel.at(1.0).0.is_infinite();
                if logarithmic && !kernel.is_positive() || !logarithmic && cold || pairs.itself && pole {
                    continue;
                }
                let anchors = [Anchors::AllViews, Anchors::FirstView, Anchors::EachView][(k + p + l) % 3];
                let term = Term::new(Role::Repulsion, 0.7, link, pairs, Arc::clone(kernel));
                terms.push(term.with_anchors(anchors));
            }
        }
    }
    let several = |step: usize| Loss::new("several", terms.iter().step_by(step).cloned().collect());
    let mut losses = vec![several(11), several(17)];
    losses.extend(terms.into_iter().map(|term| Loss::new("one term", vec![term])));
    losses
}
