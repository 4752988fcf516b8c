//! `riesz export`: a run's encoder as an ONNX model or as weights for torchvision and timm, with a model card beside it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::embed::Part;
use super::outputs;
use crate::augment::Interpolation;
use crate::console::errln;
use crate::encoder::{self, Stored};
use crate::export::{Rows, Written, card, loading, onnx, preparing, weights};
use crate::pretrained::{Exported, PIXELS};
use crate::report::Summary;
use crate::run::Run;
use crate::{Error, Result, atomic, tensors};

/// Arguments of `riesz export`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz export runs/fashion-mnist-12k --output encoder.onnx
  riesz export runs/photos --part projector --output embedding.onnx
  riesz export runs/photos --format torchvision --output weights.safetensors

A model card of the same name, ending in .md, is written beside the file.")]
pub struct ExportArgs {
    /// The run folder
    run: PathBuf,
    /// The file to write: .onnx, or .safetensors for torchvision
    #[arg(long)]
    output: PathBuf,
    /// What to write [default: by the file's ending]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Rows of the backbone (the representation) or of the projector (unit rows, as the loss saw them); ONNX only
    #[arg(long, value_enum, default_value_t = Part::Backbone)]
    part: Part,
    /// Scale the backbone's rows to unit length; ONNX only
    #[arg(long)]
    normalize: bool,
}

/// What the card's Python reads pictures with.
const PILLOW: &str = "from PIL import Image, ImageOps";

/// A form of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// An ONNX model, opset 17.
    Onnx,
    /// Weights under torchvision's names (residual networks) or timm's (vision transformers).
    Torchvision,
}

/// Writes the encoder and its card.
///
/// # Errors
/// Bad use, a damaged run, or the disk refuses; files that were there are left as they were.
pub fn run(args: &ExportArgs) -> Result<()> {
    let format = format(args)?;
    let run = Run::open(&args.run)?;
    let from = run.encoder()?;
    outputs::check(&args.output, [from.as_path()])?;
    let file = args.output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_card = |text: &str| text.contains("## Recipe\n\n```toml\n") && text.contains(&file);
    let beside = outputs::beside(&args.output, "md", is_card, [from.as_path()])?;
    let recipe = run.recipe()?;
    let stored = encoder::read(&from)?;
    let network = stored.recipe.network(stored.size, stored.channels)?;
    let specs = network.tensors();
    let own = specs.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice()));
    tensors::matched(own, &stored.tensors).map_err(|error| error.at(from.display()))?;
    let encoder = network.describe();
    let summary = match run.path("metrics.json").exists() {
        true => Some(Summary::load(&run)?),
        false => None,
    };
    let name =
        args.run.file_name().map_or_else(|| "encoder".to_owned(), |name| name.to_string_lossy().into_owned());
    let Stored { size, channels, .. } = stored;
    let filter = match recipe.augment.interpolation {
        Interpolation::Bilinear => "bilinear",
        Interpolation::Bicubic => "bicubic",
    };
    let input = format!(
        "In: float [batch, {channels}, {size}, {size}], the bytes of {} over 255, of images whose shorter side was resized to {size} \
         ({filter}, antialiased) and whose middle was cut out; turned as EXIF says (`PIL.ImageOps.exif_transpose`).",
        if channels == 1 { "grey images" } else { "red, green and blue" },
    );
    let preparing = preparing([size, channels], filter);
    let (bytes, written) = match format {
        Format::Onnx => {
            let (layer, output) = match args.part {
                Part::Backbone => (network.representation(), "representation"),
                Part::Projector => (network.layers().len() - 1, "embedding"),
            };
            let normalized = args.normalize || args.part == Part::Projector;
            let rows = Rows { layer, name: output.to_owned(), normalized };
            let width = network.layers()[layer].channels();
            let unit = if normalized { ", of unit length" } else { "" };
            let interface = format!("{input} Out: `{output}`, float [batch, {width}]{unit}.");
            let about = BTreeMap::from([
                ("encoder".to_owned(), encoder.clone()),
                ("interface".to_owned(), interface.clone()),
                ("recipe".to_owned(), recipe.to_toml()),
            ]);
            let bytes = onnx(&network, &stored.tensors, &rows, &about);
            let usage = format!(
                "import numpy, onnxruntime\n{PILLOW}\n\n{preparing}\nsession = onnxruntime.InferenceSession({file:?})\n\
                 [rows] = session.run([{output:?}], {{\"images\": images}})"
            );
            (bytes, Written { file, interface, usage })
        }
        Format::Torchvision => {
            let own = weights(stored.tensors);
            let usage = format!(
                "import numpy\n{PILLOW}\n{}\n\n\n{preparing}\nwith torch.inference_mode():\n    rows = \
                 model(torch.from_numpy(images))",
                loading(&stored.recipe, [size, channels], &own, &file)
            );
            let pixels = serde_json::to_string(&Exported(stored.recipe.pixels.clone()))
                .map_err(|error| Error::input(error.to_string()))?;
            let metadata =
                BTreeMap::from([("encoder".to_owned(), encoder.clone()), (PIXELS.to_owned(), pixels)]);
            let bytes = tensors::to_bytes(&own, metadata)?;
            let width = network.layers()[network.representation()].channels();
            let interface = format!("{input} Out: the representation, float [batch, {width}].");
            (bytes, Written { file, interface, usage })
        }
    };
    let card = card(&name, &encoder, &recipe, summary.as_ref(), &written)?;
    atomic::write_both(
        &args.output,
        |file| file.write_all(&bytes),
        &beside,
        |file| file.write_all(card.as_bytes()),
    )?;
    errln!("{}: {encoder}; {}: the model card", args.output.display(), beside.display());
    Ok(())
}

/// The form that was asked for, held to the file's ending.
fn format(args: &ExportArgs) -> Result<Format> {
    let refused = |what: &str| Err(Error::input(format!("{}: {what}", args.output.display())));
    let ending = Path::extension(&args.output).and_then(|ending| ending.to_str()).unwrap_or_default();
    let by_ending = match ending {
        "onnx" => Format::Onnx,
        "safetensors" => Format::Torchvision,
        _ => return refused("the file's name must end in .onnx or .safetensors"),
    };
    match args.format {
        Some(Format::Onnx) if by_ending == Format::Torchvision => refused("an ONNX model must end in .onnx"),
        Some(Format::Torchvision) if by_ending == Format::Onnx => {
            refused("weights for torchvision must end in .safetensors")
        }
        _ if by_ending == Format::Torchvision && (args.normalize || args.part == Part::Projector) => {
            refused("weights are the backbone's as they are; --part projector and --normalize are for ONNX")
        }
        _ => Ok(by_ending),
    }
}
