//! `riesz loss`: value, parts and gradient of any loss for the views in a file, or in two.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use riesz::engine::{Engine, Fused, RawValueAndGrad, Reference, value_and_grad_raw_grouped};
use riesz::{Matrix, Scalar};
use serde_json::json;

use crate::console::outln;
use crate::embeddings::{self, Rows};
use crate::loss_recipe::{ConventionRecipe, LossRecipe};
use crate::{Error, Result};

/// Arguments of `riesz loss`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz loss dhel --temperature 0.3 --input batch.safetensors --name aligned_8x4 --json
  riesz loss kcl --kernel gaussian --width 2 --gamma 16 --convention reference --input batch.npy --grad grad.npy
  riesz loss kcl --kernel gaussian --repulsion-kernel riesz --repulsion-exponent 1 --input u.npy --second v.npy
  riesz loss mv-dhel --views 4 --input batch.npy
  riesz loss sup-con --groups labels.txt --input batch.npy

One array of 2M rows holds both views: rows 0..M are view one, M..2M view two; or each view is a file of its own. With
--views K it holds K views of M rows, one above the other. Groups are a text with one line an image, in order; images with
equal lines match each other.
Arrays: npy and npz (float, integer, boolean; any byte order; C or Fortran order), safetensors (f16, bf16, f32, f64).
Rows are scaled to unit length; the gradient is with respect to the rows as they are in the file.
Losses: info-nce, info-nce-symmetric, nt-xent, nt-xent-one-sided, dcl, dcl-one-sided, dcl-cross, dclw, dhel, kcl,
align-uniform, siglip, spectral, mv-info-nce, mv-dhel, sup-con, sup-con-in. Kernels: gaussian and logarithmic (--width), inverse-multiquadric (--offset), riesz (--exponent),
log-distance, exponential (--temperature); gaussian-riesz attracts by the first and repels by the second.")]
pub struct LossArgs {
    /// The loss by name
    loss: String,
    /// A .npy, .npz or .safetensors file with both views, or with view one
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
    /// How many views the rows are of, one above the other
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    views: u32,
    /// A text file with the group of each image, one a line [default: each image is a group of its own]
    #[arg(long)]
    groups: Option<PathBuf>,
    /// Temperature τ of an exponential
    #[arg(long)]
    temperature: Option<f64>,
    /// σ of DCLW's weights
    #[arg(long)]
    sigma: Option<f64>,
    /// KCL's kernel: attraction, and repulsion too if --repulsion-kernel is not given
    #[arg(long)]
    kernel: Option<String>,
    /// Width t of a Gaussian or logarithmic kernel, or of align-uniform
    #[arg(long)]
    width: Option<f64>,
    /// Offset c of an inverse multiquadric kernel, or b of siglip
    #[arg(long, allow_negative_numbers = true)]
    offset: Option<f64>,
    /// Scale t of siglip
    #[arg(long)]
    scale: Option<f64>,
    /// Exponent s of a Riesz kernel, or α of align-uniform
    #[arg(long, allow_negative_numbers = true)]
    exponent: Option<f64>,
    /// KCL's repulsion kernel
    #[arg(long)]
    repulsion_kernel: Option<String>,
    /// Its width
    #[arg(long, requires = "repulsion_kernel")]
    repulsion_width: Option<f64>,
    /// Its offset
    #[arg(long, requires = "repulsion_kernel")]
    repulsion_offset: Option<f64>,
    /// Its exponent
    #[arg(long, requires = "repulsion_kernel", allow_negative_numbers = true)]
    repulsion_exponent: Option<f64>,
    /// Its temperature
    #[arg(long, requires = "repulsion_kernel")]
    repulsion_temperature: Option<f64>,
    /// KCL's weight γ of the repulsion
    #[arg(long)]
    gamma: Option<f64>,
    /// align-uniform's weight λ of the uniformity
    #[arg(long)]
    weight: Option<f64>,
    /// The published form of DHEL, KCL, MV-DHEL and MV-InfoNCE [default: paper]
    #[arg(long, value_enum)]
    convention: Option<ConventionRecipe>,
    /// Precision of the computation [default: the file's]
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// The engine: fused is what training runs, reference the definition (f64)
    #[arg(long, value_enum, default_value_t = EngineName::Fused)]
    engine: EngineName,
    /// Write the gradient, in the shape of the input (view one above view two), to this .npy file
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
    /// [`Fused`].
    Fused,
    /// [`Reference`].
    Reference,
}

/// Evaluates and prints.
///
/// # Errors
/// Bad use or input, or the disk refuses.
pub fn run(args: &LossArgs) -> Result<()> {
    let recipe = args.recipe()?;
    let rows = args.rows()?;
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
    let images = wide.len() / args.views as usize;
    let groups = args.groups.as_deref().map(|path| groups(path, images)).transpose()?;
    let groups = groups.as_deref();
    let (outcome, name) = match (dtype, args.engine) {
        (Dtype::F32, _) => {
            let outcome = args.evaluate::<f32>(&Fused, &recipe, &wide.to_f32(), groups)?;
            (widen(outcome), "f32")
        }
        (Dtype::F64, EngineName::Fused) => (args.evaluate::<f64>(&Fused, &recipe, &wide, groups)?, "f64"),
        (Dtype::F64, EngineName::Reference) => {
            (args.evaluate::<f64>(&Reference, &recipe, &wide, groups)?, "f64")
        }
    };
    let norm = outcome.grad.as_slice().iter().map(|g| g * g).sum::<f64>().sqrt();
    let dim = wide.dim();
    if args.json {
        let report = json!({
            "schema_version": 1,
            "loss": recipe,
            "images": images,
            "views": args.views,
            "dim": dim,
            "dtype": name,
            "value": outcome.value,
            "attraction": outcome.attraction,
            "repulsion": outcome.repulsion,
            "terms": outcome.terms,
            "grad_norm": norm,
        });
        outln!("{report}");
    } else {
        let of = match args.views {
            2 => format!("{images} pairs"),
            views => format!("{images} images in {views} views"),
        };
        outln!("{} of {of} in {dim} dimensions, {name}", recipe.describe());
        outln!("value       {}", outcome.value);
        outln!("attraction  {}", outcome.attraction);
        outln!("repulsion   {}", outcome.repulsion);
        outln!("gradient    norm {norm}");
    }
    Ok(())
}

fn widen(outcome: RawValueAndGrad<f32>) -> RawValueAndGrad<f64> {
    let RawValueAndGrad { value, terms, slopes, attraction, repulsion, grad } = outcome;
    RawValueAndGrad { value, terms, slopes, attraction, repulsion, grad: grad.to_f64() }
}

impl LossArgs {
    /// Evaluates, and writes the gradient in the precision it was computed in.
    fn evaluate<T: Scalar>(
        &self,
        engine: &dyn Engine<T>,
        recipe: &LossRecipe,
        rows: &Matrix<T>,
        groups: Option<&[u32]>,
    ) -> Result<RawValueAndGrad<T>> {
        let outcome = value_and_grad_raw_grouped(engine, &recipe.loss()?, rows, self.views as usize, groups)
            .map_err(|error| Error::from(error).at(self.input.display()))?;
        if let Some(path) = &self.grad {
            embeddings::write_npy(path, &outcome.grad)?;
        }
        Ok(outcome)
    }

    /// The flags as a recipe's table, so that both are checked by the same rules.
    fn recipe(&self) -> Result<LossRecipe> {
        let mut table = toml::Table::new();
        let loss = canonical(&self.loss);
        table.insert("name".to_owned(), loss.clone().into());
        if let Some(convention) = self.convention {
            let value = toml::Value::try_from(convention).map_err(|error| Error::input(error.to_string()))?;
            table.insert("convention".to_owned(), value);
        }
        let mut kernel_keys: Vec<(&str, Option<f64>)> =
            vec![("width", self.width), ("offset", self.offset), ("exponent", self.exponent)];
        let mut keys: Vec<(&str, Option<f64>)> = vec![
            ("sigma", self.sigma),
            ("gamma", self.gamma),
            ("weight", self.weight),
            ("scale", self.scale),
        ];
        if loss == "kcl" {
            kernel_keys.push(("temperature", self.temperature));
            let name = canonical(self.kernel.as_deref().unwrap_or("gaussian"));
            let attraction = match name.as_str() {
                // The released code's mixture: a Gaussian attracts, and the exponent is the repulsion's.
                "gaussian-riesz" => kernel("gaussian", &[("width", self.width)]),
                name => kernel(name, &kernel_keys),
            };
            let repulsion = match &self.repulsion_kernel {
                None if name == "gaussian-riesz" => kernel("riesz", &[("exponent", self.exponent)]),
                None => attraction.clone(),
                Some(name) => kernel(
                    &canonical(name),
                    &[
                        ("width", self.repulsion_width),
                        ("offset", self.repulsion_offset),
                        ("exponent", self.repulsion_exponent),
                        ("temperature", self.repulsion_temperature),
                    ],
                ),
            };
            table.insert("attraction".to_owned(), attraction);
            table.insert("repulsion".to_owned(), repulsion);
        } else {
            if self.kernel.is_some() || self.repulsion_kernel.is_some() {
                return Err(Error::input(format!("riesz loss {}: only kcl takes a kernel", self.loss)));
            }
            keys.extend(kernel_keys);
            keys.push(("temperature", self.temperature));
        }
        for (key, value) in keys {
            if let Some(value) = value {
                table.insert(key.to_owned(), value.into());
            }
        }
        table.try_into().map_err(|error: toml::de::Error| {
            Error::input(format!("riesz loss {}: {}", self.loss, error.message().replace('\n', ", ")))
        })
    }

    /// All views, one above the other.
    fn rows(&self) -> Result<Rows> {
        let first = embeddings::read(&self.input, self.name.as_deref())?;
        if self.second.is_none() && self.second_name.is_none() {
            if !first.len().is_multiple_of(self.views as usize) {
                let views = self.views;
                return Err(Error::input(format!(
                    "{}: {} rows; {views} views of M images are {views} M rows",
                    self.input.display(),
                    first.len()
                )));
            }
            return Ok(first);
        }
        if self.views != 2 {
            return Err(Error::input(format!("--views {} with a file for view two", self.views)));
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
        Ok(if wide {
            Rows::F64(both)
        } else {
            Rows::F32(Matrix::new(both.as_slice().iter().map(|x| *x as f32).collect(), dim))
        })
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

/// The name that recipes use, for other usual spellings.
pub(super) fn canonical(name: &str) -> String {
    match name.replace('_', "-").as_str() {
        "infonce" => "info-nce",
        "infonce-symmetric" | "clip" => "info-nce-symmetric",
        "ntxent" | "simclr" => "nt-xent",
        "supcon" => "sup-con",
        "log" => "logarithmic",
        "imq" => "inverse-multiquadric",
        other => other,
    }
    .to_owned()
}

fn kernel(name: &str, keys: &[(&str, Option<f64>)]) -> toml::Value {
    let mut table = toml::Table::new();
    table.insert("kernel".to_owned(), name.to_owned().into());
    for &(key, value) in keys {
        if let Some(value) = value {
            table.insert(key.to_owned(), value.into());
        }
    }
    toml::Value::Table(table)
}
