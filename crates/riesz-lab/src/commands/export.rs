//! `riesz export`: a run's encoder as an ONNX model or as weights for torchvision and timm, or a classifier that was finetuned from it as
//! an ONNX model; with a model card beside it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::embed::Part;
use super::outputs;
use crate::augment::Interpolation;
use crate::console::errln;
use crate::encoder::{self, Stored, TRAINED_WITH_LABELS};
use crate::export::{Rows, Written, card, loading, onnx, preparing, weights};
use crate::finetune::{CLASSIFIER, Classifier, Finetuned, RESULTS, Stage};
use crate::pretrained::{Exported, PIXELS};
use crate::recipe::Recipe;
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
    /// The classifier that `riesz finetune` left, from pixels to a logit a class, in the encoder's place: RUN/finetune or another folder;
    /// ONNX only
    #[arg(
        long,
        value_name = "FOLDER",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with_all = ["part", "normalize"]
    )]
    classifier: Option<Option<PathBuf>>,
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
    if args.run.join(CLASSIFIER).is_file() && !args.run.join("recipe.toml").exists() {
        return Err(Error::input(format!(
            "{folder}: holds a classifier of `riesz finetune`; `riesz export RUN --classifier={folder}` exports it, RUN being the run that it \
             was finetuned from",
            folder = args.run.display()
        )));
    }
    let run = Run::open(&args.run)?;
    let from = run.encoder()?;
    let folder =
        args.classifier.as_ref().map(|folder| folder.clone().unwrap_or_else(|| run.path("finetune")));
    let read: Vec<PathBuf> = match &folder {
        Some(folder) => [CLASSIFIER, RESULTS].map(|name| folder.join(name)).into(),
        None => vec![from.clone()],
    };
    let read = || read.iter().map(PathBuf::as_path);
    outputs::check(&args.output, read())?;
    let file = args.output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_card = |text: &str| text.contains("## Recipe\n\n```toml\n") && text.contains(&file);
    let beside = outputs::beside(&args.output, "md", is_card, read())?;
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
    let input = input(&recipe, size, channels);
    let preparing = preparing([size, channels], filter(&recipe));
    let (bytes, written) = match (format, &folder) {
        (_, Some(folder)) => classifier(folder, &run, &recipe, &tensors::digest(&stored.tensors), file)?,
        (Format::Onnx, None) => {
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
            (bytes, Written { file, interface, usage, section: String::new() })
        }
        (Format::Torchvision, None) => {
            let own = weights(stored.tensors);
            let usage = format!(
                "import numpy\n{PILLOW}\n{}\n\n\n{preparing}\nwith torch.inference_mode():\n    rows = \
                 model(torch.from_numpy(images))",
                loading(&stored.recipe, [size, channels], &own, &file)
            );
            let pixels = serde_json::to_string(&Exported(stored.recipe.pixels.clone()))
                .map_err(|error| Error::input(error.to_string()))?;
            let mut metadata =
                BTreeMap::from([("encoder".to_owned(), encoder.clone()), (PIXELS.to_owned(), pixels)]);
            if recipe.saw_labels() {
                metadata.insert(TRAINED_WITH_LABELS.to_owned(), "true".to_owned());
            }
            let bytes = tensors::to_bytes(&own, metadata)?;
            let width = network.layers()[network.representation()].channels();
            let interface = format!("{input} Out: the representation, float [batch, {width}].");
            (bytes, Written { file, interface, usage, section: String::new() })
        }
    };
    let card = card(&name, &encoder, &recipe, summary.as_ref(), &written)?;
    atomic::write_both(
        &args.output,
        |file| file.write_all(&bytes),
        &beside,
        |file| file.write_all(card.as_bytes()),
    )?;
    let what = if folder.is_some() { "a classifier on the backbone of " } else { "" };
    errln!("{}: {what}{encoder}; {}: the model card", args.output.display(), beside.display());
    Ok(())
}

/// What images were resized with, as Pillow calls it.
fn filter(recipe: &Recipe) -> &'static str {
    match recipe.augment.interpolation {
        Interpolation::Bilinear => "bilinear",
        Interpolation::Bicubic => "bicubic",
    }
}

/// What a model takes, in a sentence.
fn input(recipe: &Recipe, size: usize, channels: usize) -> String {
    format!(
        "In: float [batch, {channels}, {size}, {size}], the bytes of {} over 255, of images whose shorter side was resized to {size} \
         ({}, antialiased) and whose middle was cut out; turned as EXIF says (`PIL.ImageOps.exif_transpose`).",
        if channels == 1 { "grey images" } else { "red, green and blue" },
        filter(recipe)
    )
}

/// The classifier in a folder of results, which must be of the run's encoder.
fn classifier(
    folder: &Path,
    run: &Run,
    recipe: &Recipe,
    encoder: &str,
    file: String,
) -> Result<(Vec<u8>, Written)> {
    let refused = |why: String| Err(Error::input(why).at(folder.display()));
    if !folder.join(CLASSIFIER).is_file() {
        return refused(format!("has no {CLASSIFIER}; `riesz finetune {}` makes one", run.root().display()));
    }
    let Classifier { network, stored, classes } = Classifier::read(&folder.join(CLASSIFIER))?;
    let found = Finetuned::read(&folder.join(RESULTS))?;
    if found.settings.encoder != encoder {
        return refused(format!("was not finetuned from the encoder of {}", run.root().display()));
    }
    if found.stage(Stage::Finetuned).is_none() || found.classes != classes {
        return refused(format!(
            "{RESULTS} and {CLASSIFIER} do not belong together; finetune again in another folder"
        ));
    }
    let json = |value: serde_json::Result<String>| value.map_err(|error| Error::input(error.to_string()));
    let (size, channels) = (stored.size, stored.channels);
    let interface = format!(
        "{} Out: `{LOGITS}`, float [batch, {}], one for each class in the order of the metadata's `classes`; the largest is the answer.",
        input(recipe, size, channels),
        classes.len()
    );
    let about = BTreeMap::from([
        ("encoder".to_owned(), network.describe()),
        ("classes".to_owned(), json(serde_json::to_string(&classes))?),
        ("finetune".to_owned(), json(serde_json::to_string(&found.settings))?),
        ("interface".to_owned(), interface.clone()),
        ("recipe".to_owned(), recipe.to_toml()),
    ]);
    let rows = Rows { layer: network.layers().len() - 1, name: LOGITS.to_owned(), normalized: false };
    let usage = format!(
        "import json, numpy, onnxruntime\n{PILLOW}\n\n{}\nsession = onnxruntime.InferenceSession({file:?})\nclasses = \
         json.loads(session.get_modelmeta().custom_metadata_map[\"classes\"])\n[logits] = session.run([{LOGITS:?}], \
         {{\"images\": images}})\nanswers = [classes[place] for place in logits.argmax(1)]",
        preparing([size, channels], filter(recipe))
    );
    let bytes = onnx(&network, &stored.tensors, &rows, &about);
    Ok((bytes, Written { file, interface, usage, section: found.card() }))
}

/// What a classifier's output is called.
const LOGITS: &str = "logits";

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
        _ if by_ending == Format::Torchvision && args.classifier.is_some() => {
            refused("a classifier is written as an ONNX model; the file's name must end in .onnx")
        }
        _ if by_ending == Format::Torchvision && (args.normalize || args.part == Part::Projector) => {
            refused("weights are the backbone's as they are; --part projector and --normalize are for ONNX")
        }
        _ => Ok(by_ending),
    }
}
