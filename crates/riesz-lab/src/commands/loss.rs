//! `riesz loss`: value, parts and gradient of any loss for the views in a file, or in two, and what is proven that it is at least.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use riesz::engine::{
    Engine, Fused, ParameterGrad, RawValueAndGrad, Reference, value_and_grad_raw_with_parameters,
};
use riesz::loss::Loss;
use riesz::sphere::certificate::{Bound, attained_by, bound};
use riesz::{Matrix, Scalar};
use serde_json::{Value, json};

use super::loss_flags::LossFlags;
use super::outputs;
use crate::console::outln;
use crate::embeddings::{self, Rows};
use crate::loss_recipe::LossRecipe;
use crate::{Error, Result};

/// Arguments of `riesz loss`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz loss dhel --temperature 0.3 --input batch.safetensors --name views --json
  riesz loss kcl --kernel gaussian --width 2 --gamma 16 --convention reference --input batch.npy --grad grad.npy
  riesz loss kcl --kernel gaussian --repulsion-kernel riesz --repulsion-exponent 1 --input u.npy --second v.npy
  riesz loss mv-dhel --views 4 --input batch.npy
  riesz loss sup-con --groups labels.txt --input batch.npy

One array of 2M rows holds both views: rows 0..M are view one, M..2M view two; or each view is a file of its own. With
--views K it holds K views of M rows, one above the other; an array of npy, npz or safetensors may also be [K, M, d]. Groups are a text with one line an image, in order; images with
equal lines match each other.
Arrays: npy and npz (float, integer, boolean; any byte order; C or, but for [K, M, d], Fortran order), safetensors (f16, bf16, f32, f64).
Rows are scaled to unit length; the gradient is with respect to the rows as they are in the file, those of temperature, scale
and offset with respect to what they are and to their logarithm. Bound is what is proven that no rows have less than, for so many
images, views and dimensions; where nothing is proven there is a dash, and null in JSON.
Losses: info-nce, info-nce-symmetric, nt-xent, nt-xent-one-sided, dcl, dcl-one-sided, dcl-cross, dclw, dhel, kcl,
align-uniform, siglip, spectral, mv-info-nce, mv-dhel, sup-con, sup-con-in. Kernels: gaussian and logarithmic (--width), inverse-multiquadric (--offset), riesz (--exponent),
log-distance, exponential (--temperature); gaussian-riesz attracts by the first and repels by the second.")]
pub struct LossArgs {
    /// The loss by name
    loss: String,
    /// A .npy, .npz or .safetensors file with all views, or with view one
    #[arg(long)]
    input: PathBuf,
    /// The array in an npz file, or the tensor in a safetensors file
    #[arg(long)]
    name: Option<String>,
    /// A file with view two, when --input holds only view one
    #[arg(long)]
    second: Option<PathBuf>,
    /// The array or tensor of view two: in --second, or in --input when that is not given
    #[arg(long)]
    second_name: Option<String>,
    /// How many views the rows are of, one above the other [default: K of an array [K, M, d], else 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    views: Option<u32>,
    /// A text file with the group of each image, one a line [default: each image is a group of its own]
    #[arg(long)]
    groups: Option<PathBuf>,
    #[command(flatten)]
    flags: LossFlags,
    /// Precision of the computation [default: the file's]
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// The engine: fused is what training runs, reference the definition (f64)
    #[arg(long, value_enum, default_value_t = EngineName::Fused)]
    engine: EngineName,
    /// Write the gradient, a row for each of the input (view one above view two), to this .npy file
    #[arg(long)]
    grad: Option<PathBuf>,
    /// JSON, for machines
    #[arg(long)]
    json: bool,
}

/// A precision.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dtype {
    /// Single.
    F32,
    /// Double.
    F64,
}

/// An engine by name.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineName {
    /// What training runs: blocks in f32 or f64, in memory linear in the batch.
    Fused,
    /// The definition, summed plainly in f64.
    Reference,
}

/// Evaluates and prints.
///
/// # Errors
/// Bad use or input, or the disk refuses.
pub fn run(args: &LossArgs) -> Result<()> {
    let recipe = args.flags.recipe("riesz loss", &args.loss)?;
    if let Some(gradient) = &args.grad {
        let others = [&args.second, &args.groups].into_iter().flatten();
        outputs::check(gradient, others.chain([&args.input]).map(PathBuf::as_path))?;
    }
    let (rows, views) = args.rows()?;
    rows.check_finite().map_err(|error| error.at(args.input.display()))?;
    let dtype = match (args.dtype, args.engine, &rows) {
        (Some(Dtype::F32), EngineName::Reference, _) => {
            return Err(Error::input("--dtype f32 with --engine reference: the reference computes in f64"));
        }
        (Some(dtype), _, _) => dtype,
        (None, EngineName::Reference, _) | (None, _, Rows::F64(_)) => Dtype::F64,
        (None, _, Rows::F32(_)) => Dtype::F32,
    };
    let wide = rows.to_f64();
    let images = wide.len() / views;
    let groups = args.groups.as_deref().map(|path| groups(path, images)).transpose()?;
    let groups = groups.as_deref();
    let ((outcome, parameters), name) = match (dtype, args.engine) {
        (Dtype::F32, _) => {
            let (outcome, parameters) =
                args.evaluate::<f32>(&Fused, &recipe, &wide.to_f32(), views, groups)?;
            ((widen(outcome), parameters), "f32")
        }
        (Dtype::F64, EngineName::Fused) => {
            (args.evaluate::<f64>(&Fused, &recipe, &wide, views, groups)?, "f64")
        }
        (Dtype::F64, EngineName::Reference) => {
            (args.evaluate::<f64>(&Reference, &recipe, &wide, views, groups)?, "f64")
        }
    };
    let norm = outcome.grad.as_slice().iter().map(|g| g * g).sum::<f64>().sqrt();
    let dim = wide.dim();
    let least = Least::new(&recipe.loss()?, images, dim, views, groups);
    if args.json {
        let report = json!({
            "schema_version": 1,
            "loss": recipe,
            "images": images,
            "views": views,
            "dim": dim,
            "dtype": name,
            "value": outcome.value,
            "attraction": outcome.attraction,
            "repulsion": outcome.repulsion,
            "terms": outcome.terms,
            "grad_norm": norm,
            "parameter_grads": parameters_json(&parameters),
            "bound": least.as_ref().ok().map(|least| least.json(outcome.value)),
            "bound_note": least.as_ref().err(),
        });
        outln!("{report}");
    } else {
        let of = match views {
            2 => format!("{images} pairs"),
            views => format!("{images} images in {views} views"),
        };
        outln!("{} of {of} in {dim} dimensions, {name}", recipe.describe());
        outln!("value       {}", outcome.value);
        outln!("attraction  {}", outcome.attraction);
        outln!("repulsion   {}", outcome.repulsion);
        match &least {
            Ok(least) => outln!("bound       {}", least.words(outcome.value)),
            Err(why) => outln!("bound       – ({why})"),
        }
        outln!("gradient    norm {norm}");
        for one in &parameters {
            let of_logarithm = one.of_logarithm().map(|grad| format!(", by its logarithm {grad}"));
            outln!("{:<11} gradient {}{}", one.name, one.grad, of_logarithm.unwrap_or_default());
        }
        if parameters.is_empty() {
            outln!("parameters  – (the loss has no temperature, scale or offset that is learned)");
        }
    }
    Ok(())
}

/// By name: ∂L/∂θ, and ∂L/∂ ln θ where θ is above 0.
fn parameters_json(parameters: &[ParameterGrad]) -> Value {
    let logarithms =
        parameters.iter().filter_map(|one| Some((format!("log_{}", one.name), one.of_logarithm()?)));
    let plain = parameters.iter().map(|one| (one.name.to_owned(), one.grad));
    plain.chain(logarithms).map(|(name, grad)| (name, json!(grad))).collect()
}

/// What no rows undercut, by which theorem, and where it is attained.
struct Least {
    bound: Bound,
    attained_by: Option<Cow<'static, str>>,
}

impl Least {
    /// Of a loss on so many images, or why there is none.
    fn new(
        loss: &Loss,
        images: usize,
        dim: usize,
        views: usize,
        groups: Option<&[u32]>,
    ) -> std::result::Result<Self, &'static str> {
        let groups = groups.map_or(images, |groups| groups.iter().collect::<BTreeSet<_>>().len());
        if groups < images {
            return Err("no theorem that is tried is about images in groups");
        }
        let bound = bound(loss, images, dim, views).ok_or(
            "no theorem that is tried gives one for this loss, so many images, views and dimensions",
        )?;
        Ok(Self { attained_by: attained_by(bound, loss, images, dim, views), bound })
    }

    fn json(&self, value: f64) -> Value {
        json!({
            "value": self.bound.value,
            "theorem": self.bound.theorem.to_string(),
            "attained_by": self.attained_by,
            "gap": value - self.bound.value,
        })
    }

    fn words(&self, value: f64) -> String {
        let Self { bound, attained_by } = self;
        let by = attained_by.as_deref().unwrap_or("no known points");
        format!(
            "{} by {}, attained by {by}; value − bound {:+.3e}",
            bound.value,
            bound.theorem,
            value - bound.value
        )
    }
}

fn widen(outcome: RawValueAndGrad<f32>) -> RawValueAndGrad<f64> {
    let (value, grad) = outcome.split();
    value.with_grad(grad.to_f64())
}

impl LossArgs {
    /// Evaluates, and writes the gradient in the precision it was computed in.
    fn evaluate<T: Scalar>(
        &self,
        engine: &dyn Engine<T>,
        recipe: &LossRecipe,
        rows: &Matrix<T>,
        views: usize,
        groups: Option<&[u32]>,
    ) -> Result<(RawValueAndGrad<T>, Vec<ParameterGrad>)> {
        let (outcome, parameters) =
            value_and_grad_raw_with_parameters(engine, &recipe.loss()?, rows, views, groups)
                .map_err(|error| Error::from(error).at(self.input.display()))?;
        if let Some(path) = &self.grad {
            embeddings::write_npy(path, &outcome.grad)?;
        }
        Ok((outcome, parameters))
    }

    /// All views, one above the other, and how many they are.
    fn rows(&self) -> Result<(Rows, usize)> {
        let (first, stacked) = embeddings::read_stacked(&self.input, self.name.as_deref())?;
        let told = self.views.map(|views| views as usize);
        let views = told.or(stacked).unwrap_or(2);
        let wrong = |what: String| Err(Error::input(what).at(self.input.display()));
        if let Some(stacked) = stacked.filter(|&stacked| stacked != views) {
            return wrong(format!("an array of {stacked} views, with --views {views}"));
        }
        if self.second.is_none() && self.second_name.is_none() {
            if !first.len().is_multiple_of(views) {
                return wrong(format!("{} rows; {views} views of M images are {views} M rows", first.len()));
            }
            return Ok((first, views));
        }
        if let Some(stacked) = stacked {
            return wrong(format!("an array of {stacked} views, with another for view two"));
        }
        if views != 2 {
            return Err(Error::input(format!("--views {views} with a file for view two")));
        }
        let path = self.second.as_ref().unwrap_or(&self.input);
        let second = embeddings::read(path, self.second_name.as_deref())?;
        if (first.len(), first.dim()) != (second.len(), second.dim()) {
            return Err(Error::input(format!(
                "the views differ in shape: {} is {} × {}, {} is {} × {}",
                self.input.display(),
                first.len(),
                first.dim(),
                path.display(),
                second.len(),
                second.dim()
            )));
        }
        let dim = first.dim();
        let wide = matches!(first, Rows::F64(_)) || matches!(second, Rows::F64(_));
        let mut data = first.to_f64().into_vec();
        data.extend(second.to_f64().into_vec());
        let both = Matrix::new(data, dim);
        let both = if wide {
            Rows::F64(both)
        } else {
            Rows::F32(Matrix::new(both.as_slice().iter().map(|x| *x as f32).collect(), dim))
        };
        Ok((both, views))
    }
}

/// Numbers for the lines of a text, equal for equal lines.
fn groups(path: &Path, images: usize) -> Result<Vec<u32>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, &error))?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    if lines.len() != images {
        return Err(Error::input(format!(
            "{}: {} lines for {images} images; a group for each is expected",
            path.display(),
            lines.len()
        )));
    }
    let mut numbers = BTreeMap::new();
    Ok(lines
        .into_iter()
        .map(|line| {
            let next = numbers.len() as u32;
            *numbers.entry(line).or_insert(next)
        })
        .collect())
}
