//! Which tensors of a file fit an encoder, and what to tell of it.

use super::{Origin, Weights, places};
use crate::network::thousands;
use crate::tensors::NamedTensor;
use crate::{Error, Result};

/// What an encoder took of a file, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// One sentence a line.
    pub told: Vec<String>,
    /// The tensors of the backbone that were not taken, each with the reason.
    pub left: Vec<String>,
}

/// Names that are told, of many.
const TOLD: usize = 4;

/// Beginnings of names that would make another network of the one that riesz has.
const CHANGES: [&str; 5] =
    ["backbone.blocks.", "backbone.layer", "backbone.dist_token", "backbone.reg_token", "backbone.norm_pre."];

/// The encoder's tensors `own` with those of `weights` in their places.
///
/// # Errors
/// If none of the backbone fits, a number is not finite, or the file has layers that riesz's network does not.
pub(super) fn fit(own: Vec<NamedTensor>, weights: &Weights) -> Result<(Vec<NamedTensor>, Fitted)> {
    let find = |name: &str| weights.tensors.iter().find(|tensor| tensor.name == name);
    let is_counter = |name: &str| name.ends_with("num_batches_tracked");
    let unused: Vec<&str> = weights
        .tensors
        .iter()
        .map(|tensor| tensor.name.as_str())
        .filter(|name| own.iter().all(|tensor| tensor.name != *name))
        .collect();
    if let Some(name) = unused.iter().find(|name| CHANGES.iter().any(|start| name.starts_with(start))) {
        return Err(Error::input(format!(
            "{} is of a layer that riesz's network does not have",
            name.trim_start_matches("backbone.")
        )));
    }
    let mut tally = Tally::default();
    let mut tensors = Vec::with_capacity(own.len());
    for mut tensor in own {
        let given = find(&tensor.name);
        if let Some(bad) = given.and_then(|given| given.values.iter().find(|value| !value.is_finite())) {
            return Err(Error::input(format!("{} has the number {bad}", tensor.name)));
        }
        let taken = match given {
            Some(given) if given.shape == tensor.shape => Some(given.values.clone()),
            Some(given) if tensor.name == "backbone.pos_embed" => {
                let resized = places::resized(given, &tensor.shape);
                tally.resized = resized.is_some().then(|| (given.shape[1], tensor.shape[1]));
                resized
            }
            _ => None,
        };
        tally.count(&tensor, taken.is_some(), given);
        if let Some(values) = taken {
            tensor.values = values;
        }
        tensors.push(tensor);
    }
    if tally.backbone[0] == 0 {
        return Err(Error::input(match tally.left.first() {
            Some(left) => format!("nothing of it fits this encoder: {left}"),
            None => "nothing of it fits this encoder".to_owned(),
        }));
    }
    let unused = unused.iter().map(|name| name.trim_start_matches("backbone.").to_owned());
    let unused: Vec<String> =
        unused.chain(weights.others.iter().cloned()).filter(|name| !is_counter(name)).collect();
    Ok((tensors, Fitted { told: tally.told(weights, &unused), left: tally.left }))
}

/// What was counted on the way.
#[derive(Default)]
struct Tally {
    /// Tensors of the backbone that were taken, and all.
    backbone: [usize; 2],
    /// Their numbers.
    numbers: [usize; 2],
    /// Tensors of the rest.
    rest: [usize; 2],
    /// Of the backbone, what was not taken, and why.
    left: Vec<String>,
    /// Tokens there and here.
    resized: Option<(usize, usize)>,
}

impl Tally {
    fn count(&mut self, tensor: &NamedTensor, is_taken: bool, given: Option<&NamedTensor>) {
        let taken = usize::from(is_taken);
        let Some(name) = tensor.name.strip_prefix("backbone.") else {
            self.rest = [self.rest[0] + taken, self.rest[1] + 1];
            return;
        };
        self.backbone = [self.backbone[0] + taken, self.backbone[1] + 1];
        let numbers = tensor.values.len();
        self.numbers = [self.numbers[0] + taken * numbers, self.numbers[1] + numbers];
        match given {
            _ if is_taken => {}
            None => self.left.push(format!("{name} (not in the file)")),
            Some(given) => {
                self.left.push(format!("{name} ({:?} in the file, {:?} here)", given.shape, tensor.shape));
            }
        }
    }

    fn told(&self, weights: &Weights, unused: &[String]) -> Vec<String> {
        let [taken, all] = self.backbone;
        let [numbers, all_numbers] = self.numbers;
        let whose = match &weights.origin {
            Origin::Own(..) => "weights of riesz".to_owned(),
            Origin::Others(prefix, _) if prefix.is_empty() => {
                "weights by torchvision's or timm's names".to_owned()
            }
            Origin::Others(prefix, _) => {
                format!("weights by torchvision's or timm's names behind `{prefix}`")
            }
        };
        let mut told = vec![format!(
            "{}: {whose}; {taken} of {all} tensors of the backbone are taken, {} of {} numbers",
            weights.path.display(),
            thousands(numbers),
            thousands(all_numbers)
        )];
        let [rest, all_rest] = self.rest;
        told.push(match rest {
            0 => "what stands on the backbone begins anew".to_owned(),
            _ if rest == all_rest => "the projector is taken with it".to_owned(),
            _ => format!("{rest} of {all_rest} tensors of the projector are taken, the others begin anew"),
        });
        if let Some((there, here)) = self.resized {
            told.push(format!("places of {there} tokens are interpolated to {here}"));
        }
        if !self.left.is_empty() {
            told.push(format!("left at their first values: {}", some(&self.left)));
        }
        if !unused.is_empty() {
            told.push(format!("in the file and not used: {}", some(unused)));
        }
        told
    }
}

/// The first few of many.
pub(crate) fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(TOLD);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
