//! Whether a step fits into memory: what it needs at least, held against what the machine has before anything is allocated.

use super::Plan;
use crate::Result;
use crate::device::Device;
use crate::encoder::ProjectorRecipe;
use crate::network::{Network, cpu};
use crate::recipe::Recipe;
use crate::room::{self, gigabytes};

/// By the recipe alone, before data are opened or a network is made: the views of each image, the projector's rows for a chunk of
/// them, and its weights with gradient and momentum.
pub(super) fn check_recipe(recipe: &Recipe) -> Result<()> {
    let (size, channels) = (recipe.augment.size, recipe.augment.channels);
    let chunk = recipe.batch / recipe.accumulate;
    let step = [
        room::bytes(4, &[recipe.views, recipe.batch, size, size, channels]),
        room::bytes(4, &[recipe.views, chunk, recipe.encoder.projector.hidden]),
        room::bytes(4, &[recipe.views, recipe.batch, recipe.encoder.projector.output]),
        recipe.encoder.least_bytes(size, channels).saturating_mul(3),
    ];
    room::check(|| what(recipe), step.into_iter().fold(0, u128::saturating_add))
}

/// With every buffer of the recipe's network on a processor. Of an encoder of one's own nothing is known, and a GPU has memory of
/// its own.
pub(super) fn check(plan: &Plan) -> Result<()> {
    let recipe = &plan.recipe;
    if plan.own_encoder.is_some() || plan.device != Device::Cpu {
        return Ok(());
    }
    let step = Step {
        network: &plan.network()?,
        views: recipe.views,
        batch: recipe.batch,
        chunks: recipe.accumulate,
        recomputes: plan.recomputes,
    };
    room::check_or(|| what(recipe), step.least_bytes(), |has| step.advice(has))
}

/// What a step's memory depends on.
#[derive(Clone, Copy)]
struct Step<'a> {
    network: &'a Network,
    views: usize,
    batch: usize,
    chunks: usize,
    recomputes: bool,
}

impl Step<'_> {
    /// What makes the step fit into `has` bytes: recomputing, the least number of chunks more than there are, or either.
    fn advice(self, has: u128) -> Option<String> {
        let fits = |step: Self| Some(step.least_bytes()).filter(|&bytes| bytes <= has).map(gigabytes);
        let again =
            fits(Self { recomputes: true, ..self }).map(|bytes| format!("with --recompute it needs {bytes}"));
        let chunked = (self.chunks + 1..=self.batch / 2)
            .filter(|&chunks| self.batch.is_multiple_of(chunks))
            .find_map(|chunks| {
                fits(Self { chunks, ..self })
                    .map(|bytes| format!("with --accumulate {chunks} it needs {bytes}"))
            });
        let advice: Vec<String> = again.into_iter().chain(chunked).collect();
        (!advice.is_empty()).then(|| advice.join(", "))
    }

    /// Bytes of a batch's views and of the next one's, which are made meanwhile, of z with its gradient, of parameters with
    /// gradient and momentum, and of all buffers for a chunk.
    fn least_bytes(self) -> u128 {
        let Self { network, views, batch, chunks, recomputes } = self;
        let [_, dim] = network.dims();
        let (backbone, projector) = network.parameter_counts();
        let parts = [
            room::bytes(8, &[views, batch, network.layers()[0].size()]),
            room::bytes(8, &[views, batch, dim]),
            room::bytes(12, &[backbone + projector]),
            room::bytes(4, &[views, batch / chunks, cpu::training_numbers(network, recomputes)]),
        ];
        parts.into_iter().fold(0, u128::saturating_add)
    }
}

/// A step, by the keys that make it large.
fn what(recipe: &Recipe) -> String {
    let ProjectorRecipe { hidden, output } = recipe.encoder.projector;
    let views = match recipe.views {
        2 => String::new(),
        views => format!(", views = {views}"),
    };
    let accumulate = match recipe.accumulate {
        1 => String::new(),
        chunks => format!(", accumulate = {chunks}"),
    };
    format!(
        "a step with batch = {}{views}{accumulate}, augment.size = {}, encoder.projector.hidden = {hidden} and \
         encoder.projector.output = {output}",
        recipe.batch, recipe.augment.size
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::BUILT_IN;

    #[test]
    fn advice_is_the_least_that_fits() {
        let recipe = Recipe::resolve(BUILT_IN[0].text, &[], "test").unwrap();
        let network = recipe.encoder.network(28, 1).unwrap();
        let step = |chunks, recomputes| Step { network: &network, views: 2, batch: 240, chunks, recomputes };
        let least = |chunks, recomputes| step(chunks, recomputes).least_bytes();
        let said = |has| step(2, false).advice(has).unwrap_or_default();
        assert!(least(2, true) < least(2, false) && least(3, false) < least(2, false));
        let either = said(least(2, true).max(least(3, false)));
        assert!(
            either.starts_with("with --recompute it needs ") && either.contains(", with --accumulate 3 it"),
            "{either}"
        );
        // Seven does not divide 240.
        assert!(said(least(8, false)).starts_with("with --accumulate 8 it needs "));
        assert!(said(least(6, false) - 1).starts_with("with --accumulate 8 it needs "));
        assert_eq!(said(least(120, false) - 1), "");
        // Of a step's numbers only those of the weights are not a view's.
        let of = |views| Step { views, ..step(2, false) }.least_bytes();
        assert_eq!(of(4) - of(3), of(3) - of(2));
        assert!(of(3) > of(2) && of(2) < 2 * (of(4) - of(2)));
    }
}
