//! The evaluation at the end of a run: what the encoder learned, beside raw pixels and the untrained encoder, and
//! everything else that the report shows.

use riesz::geometry;
use riesz::rng::Key;
use riesz::sphere::ideal;
use riesz::{Matrix, Points};

use crate::encoder::Encoder;
use crate::eval::{self, Guard, Labeled, Row};
use crate::report::{Summary, map, neighbors};
use crate::run::{Event, Run};
use crate::train::Plan;
use crate::train::measure::{HeldOut, Sample, Shown, embed, measure, pixels, unit_rows};
use crate::train::progress::Progress;
use crate::{Error, Result};

/// Raw pixels are a baseline while their rows are at most this wide; wider ones would not fit in memory.
const WIDEST_PIXEL_ROW: usize = 64 * 64 * 3;

/// Evaluates `encoder` and gathers what the report shows.
///
/// # Errors
/// If an image cannot be read, the encoder diverged, or it changed while it was evaluated.
pub fn evaluate(plan: &Plan, run: &Run, encoder: &Encoder, quiet: bool) -> Result<Summary> {
    let guard = Guard::new(&encoder.named_tensors());
    let untrained = plan.encoder()?;
    let held_out = HeldOut::new(plan)?;
    let split = Split::draw(plan)?;
    let mut progress = Progress::new("evaluating", "representations", 0, 5, quiet);

    let mut rows: Vec<Row> = Vec::new();
    let key = Key::new(plan.recipe.seed).stream("probe");
    if plan.augment.size() * plan.augment.size() * plan.augment.channels() <= WIDEST_PIXEL_ROW {
        let show = |source, items, shown| pixels(plan, source, items, shown);
        rows.push(row(plan, "raw pixels", &split, &held_out, key, &show)?);
    }
    progress.advance(1, String::new);
    for (name, encoder) in [("untrained", &untrained), ("trained", encoder)] {
        for part in ["backbone", "projector"] {
            let show = |source, items, shown| {
                let (h, z) = embed(plan, encoder, source, items, shown)?;
                Ok(if part == "backbone" { h } else { z })
            };
            rows.push(row(plan, &format!("{name} {part}"), &split, &held_out, key, &show)?);
            progress.advance(1, String::new);
        }
    }
    progress.finish();
    guard.check(&encoder.named_tensors())?;
    todo_summary(plan, run, encoder, &untrained, &held_out, rows)
}
