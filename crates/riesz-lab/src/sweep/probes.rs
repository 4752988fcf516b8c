//! What the encoders of a grid's cells say of their own losses: whether a batch's loss is biased, and how the gradients of
//! attraction and repulsion stand to each other.

use std::path::Path;

use riesz::engine::{Engine, Fused};
use riesz::loss::{Anchors, Link, Loss};
use riesz::rng::{Key, permutation};
use riesz::{Matrix, Points};

use crate::device::Device;
use crate::encoder;
use crate::report::mean_and_deviation;
use crate::run::{Event, Run};
use crate::sphere::theory::chosen;
use crate::train::Plan;
use crate::train::checkpoint::{Checkpoint, LAST, PREVIOUS};
use crate::train::measure::{HeldOut, coupled};
use crate::{Error, Result};

/// Pairs of a small batch.
pub(super) const SMALL: usize = 8;
/// Times that all pairs are dealt into small batches.
const DEALS: u64 = 20;

/// The bias of small batches.
pub(super) struct Bias {
    /// Mean loss of batches less the loss of all pairs at once, the logarithm of the number of summed pairs taken off both.
    pub(super) mean: f64,
    /// Standard deviation of the loss over batches.
    pub(super) deviation: f64,
    /// All pairs.
    pub(super) pairs: usize,
}

/// Deals the held-out pairs of a finished run into batches of [`SMALL`], again and again, and takes the run's loss of each.
pub(super) fn bias(cell: &Path, device: &Device) -> Result<Bias> {
    let run = Run::open(cell)?;
    let plan = Plan::of_run(&run, device.clone())?;
    let encoder = encoder::open(&run.encoder()?, device)?;
    let [u, v] = HeldOut::new(&plan)?.views(&*encoder)?.map(|view| view.to_f64());
    let pairs = u.len();
    let whole = value(&plan.loss, &u, &v)?;
    let mut values = Vec::new();
    for deal in 0..DEALS {
        let order = permutation(&mut Key::new(plan.recipe.seed).stream("deals").at(deal).rng(), pairs);
        for batch in order.chunks_exact(SMALL) {
            values.push(value(&plan.loss, &chosen(&u, batch), &chosen(&v, batch))?);
        }
    }
    let (mean, deviation) = mean_and_deviation(&values);
    Ok(Bias { mean: mean - whole, deviation: deviation.unwrap_or(f64::NAN), pairs })
}

/// The loss, with the logarithm of how many pairs an anchor's sum has taken off: the part that M enters without any bias.
fn value(loss: &Loss, u: &Matrix<f64>, v: &Matrix<f64>) -> Result<f64> {
    let found = Fused.value_and_grad(loss, &[Points::new(u)?, Points::new(v)?])?.value;
    let logarithms = loss.terms.iter().filter(|term| term.link == Link::RowLogSum).map(|term| {
        let views = if term.anchors == Anchors::EachView { 2.0 } else { 1.0 };
        term.weight * views * (term.pairs.count(u.len(), 2) as f64).ln()
    });
    Ok(found - logarithms.sum::<f64>())
}

/// How the gradients stand at one moment of training.
pub(super) struct Moment {
    /// Which.
    pub(super) when: String,
    /// The cosine between the gradients of attraction and repulsion, along the spheres.
    pub(super) cosine: f64,
    /// The share of the pull on matched pairs that the repulsion leaves.
    pub(super) left: f64,
}

/// The mean over a run's epochs of the cosine that its log has; `None` where it has none, as those of older programs.
pub(super) fn along_training(cell: &Path) -> Result<Option<f64>> {
    let events = Run::open(cell)?.events()?;
    let cosines = events.iter().filter_map(|event| match event {
        Event::Epoch(epoch) => Some(epoch.gradient_cosine),
        _ => None,
    });
    Ok(cosines
        .collect::<Option<Vec<f64>>>()
        .filter(|all| !all.is_empty())
        .map(|all| mean_and_deviation(&all).0))
}

/// The gradients of a run's loss on held-out pairs: before training, an epoch before its end, and at its end.
pub(super) fn gradients(cell: &Path, device: &Device) -> Result<Vec<Moment>> {
    let run = Run::open(cell)?;
    let plan = Plan::of_run(&run, device.clone())?;
    let held_out = HeldOut::new(&plan)?;
    let mut encoder = plan.encoder()?;
    let mut seen = Vec::new();
    for (when, checkpoint) in
        [("untrained", None), ("an epoch before the end", Some(PREVIOUS)), ("at the end", Some(LAST))]
    {
        if let Some(place) = checkpoint {
            encoder.load(&Checkpoint::load(&run.path(place))?.encoder)?;
        }
        let found = coupled(&plan.loss, &held_out.views(&*encoder)?)?;
        let undefined =
            || Error::input(format!("{}: a gradient is zero {when}; its angle is undefined", cell.display()));
        seen.push(Moment {
            when: when.to_owned(),
            cosine: found.cosine.ok_or_else(undefined)?,
            left: found.left.ok_or_else(undefined)?,
        });
    }
    Ok(seen)
}
