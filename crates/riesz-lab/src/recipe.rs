//! Recipes: a run as written (TOML text, flags laid over it) and as resolved ([`Recipe`]: every key present and
//! checked for type; unknown keys are errors).
//!
//! A recipe is complete: there are no defaults in code. What the user does not say comes from a built-in recipe,
//! which is a file in `recipes/`, embedded here and named in the log.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::augment::AugmentRecipe;
use crate::data::DataRecipe;
use crate::encoder::EncoderRecipe;
use crate::loss_recipe::LossRecipe;
use crate::optim::OptimRecipe;
use crate::pretrained::StartRecipe;
use crate::{Error, Result, input};

/// Everything that determines a run, together with the program's commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// The one number below which every random draw is keyed.
    pub seed: u64,
    /// Passes over the training images; 0 is for an encoder that was trained before.
    pub epochs: u64,
    /// Images a step.
    pub batch: usize,
    /// Views of each image in a step, at least 2, each with its own draws: K in the losses. The first two are those that 2 give.
    #[serde(default = "two")]
    pub views: usize,
    /// Chunks of equally many images in which the encoder sees a batch; the loss sees it whole. Batch norm normalizes each chunk by
    /// its own moments, so that with it another number is another training.
    #[serde(default = "at_once")]
    pub accumulate: usize,
    /// Where the images come from.
    pub data: DataRecipe,
    /// How a view is made of an image.
    pub augment: AugmentRecipe,
    /// Backbone and projector.
    pub encoder: EncoderRecipe,
    /// Weights that they begin with; without it they are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartRecipe>,
    /// What is minimized.
    pub loss: LossRecipe,
    /// How it is minimized.
    pub optimizer: OptimRecipe,
    /// What is asked of the encoder, each epoch and at the end.
    pub evaluation: EvaluationRecipe,
}

/// What is asked of the encoder, each epoch and at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EvaluationRecipe {
    /// Held-out images of which two views are embedded each epoch for the label-free geometry (at most; at least 2).
    pub pairs: usize,
    /// Labeled training images used as kNN references each epoch (at most; 0 switches the epoch's kNN off).
    pub epoch_references: usize,
    /// Labeled training images used at the end by kNN and the linear probe (at most).
    pub references: usize,
    /// Neighbours of the kNN vote.
    pub neighbors: usize,
    /// Temperature of the kNN vote's weights e^{s/τ}.
    pub temperature: f64,
    /// Labels a class of the few-label probe.
    pub few_labels: usize,
    /// Keyed draws of those labels, of which mean and standard deviation are told.
    pub few_draws: usize,
}

/// Epochs at most; each has at least one update, and these are counted up to here.
const MOST_EPOCHS: u64 = i32::MAX as u64;
/// Draws of few labels at most.
const MOST_DRAWS: usize = 10_000;
/// Bytes of the text of a recipe or grid at most.
pub(crate) const MOST_TEXT: u64 = 16 << 20;

/// A recipe that ships with the program.
pub struct BuiltIn {
    /// The name to give to `--recipe`.
    pub name: &'static str,
    /// Its TOML text.
    pub text: &'static str,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(BuiltIn { name: $name, text: include_str!(concat!("../recipes/", $name, ".toml")) }),*]
    };
}

/// Every built-in recipe: the files of `recipes/`.
pub const BUILT_IN: &[BuiltIn] = built_in![
    "fashion-mnist-12k",
    "folder-28",
    "folder-32",
    "folder-96",
    "folder-224",
    "cifar10-small",
    "cifar10",
    "cifar100",
    "stl10",
    "imagenet100",
];

impl BuiltIn {
    /// The built-in recipe of that name.
    ///
    /// # Errors
    /// If there is none; the sentence lists those there are.
    pub fn named(name: &str) -> Result<&'static Self> {
        BUILT_IN.iter().find(|recipe| recipe.name == name).ok_or_else(|| {
            let names: Vec<&str> = BUILT_IN.iter().map(|recipe| recipe.name).collect();
            Error::input(format!(
                "no recipe file and no built-in recipe is called `{name}`; built in are {}",
                names.join(", ")
            ))
        })
    }

    /// The recipe that suits images of this size when only a folder was given: the one whose views are nearest
    /// below the images' shorter side.
    pub fn for_images(shorter_side: usize, channels: usize) -> &'static Self {
        let name = match (shorter_side, channels) {
            (..=31, _) | (..=47, 1) => "folder-28",
            (..=63, _) => "folder-32",
            (..=160, _) => "folder-96",
            _ => "folder-224",
        };
        BUILT_IN.iter().find(|recipe| recipe.name == name).expect("the four folder recipes are in BUILT_IN")
    }
}

/// The text of a recipe: a file's or a pipe's, or a built-in one's by name. Also says where it came from.
///
/// # Errors
/// If neither a file nor a built-in recipe of that name exists, or the file cannot be read.
pub fn read(name_or_path: &str) -> Result<(String, String)> {
    let path = Path::new(name_or_path);
    if input::is_there(path) {
        return Ok((input::text(path, MOST_TEXT)?, path.display().to_string()));
    }
    let inside = path.join("recipe.toml");
    if inside.is_file() {
        return Err(Error::input(format!(
            "{name_or_path}: a run's folder; its recipe is {}",
            inside.display()
        )));
    }
    if path.extension().is_some_and(|extension| extension == "toml") {
        return Err(Error::input(format!("{name_or_path}: no such recipe file")));
    }
    BuiltIn::named(name_or_path)
        .map(|recipe| (recipe.text.to_owned(), format!("built-in recipe {}", recipe.name)))
}

/// Batches of recipes that were written before there were chunks.
fn at_once() -> usize {
    1
}

/// Views in recipes that were written before there were more.
fn two() -> usize {
    2
}

impl Recipe {
    /// Reads a recipe from TOML text, lays `overrides` (`a.b=value`) over it, and checks its own numbers.
    ///
    /// # Errors
    /// One sentence with `place` in front: not TOML, an unknown or missing key, a wrong type, a number out of range.
    pub fn resolve(text: &str, overrides: &[String], place: &str) -> Result<Self> {
        let mut table: toml::Table =
            text.parse().map_err(|error| Error::input(one_line(&error)).at(place))?;
        for assignment in overrides {
            set(&mut table, assignment)?;
        }
        let text = toml::to_string(&table).map_err(|error| Error::input(error.to_string()).at(place))?;
        let recipe: Self = toml::from_str(&text).map_err(|error| {
            let key = error.span().and_then(|span| key_at(&text, span));
            let key = key.map_or_else(String::new, |key| format!("{key}: "));
            Error::input(format!("{key}{}", one_line(&error))).at(place)
        })?;
        recipe.check().map_err(|error| error.at(place))?;
        Ok(recipe)
    }

    /// The resolved recipe as TOML, every key written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a recipe is made of tables, numbers and strings")
    }

    /// The same with `overrides` laid over what is asked of its encoder.
    ///
    /// # Errors
    /// As [`Recipe::resolve`], or if they change what was trained, or what no evaluation asks for.
    pub fn asking(&self, overrides: &[String]) -> Result<Self> {
        let asked = Self::resolve(&self.to_toml(), overrides, "--set over the run's recipe")?;
        if (Self { evaluation: self.evaluation.clone(), ..asked.clone() }) != *self {
            return Err(Error::input(format!(
                "--set {}: an evaluation takes keys of evaluation alone, such as evaluation.neighbors=200; the others are those that \
                 were trained with",
                overrides.join(" --set ")
            )));
        }
        if asked.evaluation.epoch_references != self.evaluation.epoch_references {
            return Err(Error::input(
                "evaluation.epoch-references is of the kNN after each epoch of training, and no evaluation asks for it; \
                 evaluation.references is the number of images that kNN and probe have here",
            ));
        }
        Ok(asked)
    }

    /// Whether training matches images by their labels.
    pub fn learns_labels(&self) -> bool {
        self.loss.takes_groups() && self.epochs > 0
    }

    /// Whether the weights that it begins with learned from labels, as far as is known.
    pub fn begins_with_labels(&self) -> bool {
        self.start.as_ref().is_some_and(|start| start.trained_with_labels)
    }

    /// Whether its encoder learned from labels, in this run or before.
    pub fn saw_labels(&self) -> bool {
        self.learns_labels() || self.begins_with_labels()
    }

    /// The loss in words, whether it takes labels, and of how many views it is, where they are more than two.
    pub fn describe_loss(&self) -> String {
        let mut words = self.loss.describe();
        if self.loss.takes_groups() {
            words.push_str(", images of one label matched");
        }
        if self.views != 2 {
            words.push_str(&format!(", of {} views", self.views));
        }
        words
    }

    /// Checks the numbers of all its parts, for which nothing is opened or made.
    ///
    /// # Errors
    /// One sentence for the first that is out of range.
    pub fn check_parts(&self) -> Result<()> {
        self.check()?;
        self.data.check()?;
        self.augment.plan()?;
        self.encoder.check_projector()?;
        self.optimizer.check()
    }

    fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::input(message));
        if self.epochs == 0 && self.start.is_none() {
            return refuse(
                "epochs is 0; at least 1 is needed, unless the encoder begins with weights (--from)"
                    .to_owned(),
            );
        }
        if self.epochs > MOST_EPOCHS {
            return refuse(format!("epochs is {}; at most {MOST_EPOCHS} are counted", self.epochs));
        }
        if self.batch < 2 {
            return refuse(format!(
                "batch is {}; a contrastive loss needs at least 2 images, of which each repels the others",
                self.batch
            ));
        }
        if self.views < 2 {
            return refuse(format!(
                "views is {}; at least 2 views of each image are needed, which attract each other",
                self.views
            ));
        }
        if self.accumulate == 0
            || self.accumulate > self.batch / 2
            || !self.batch.is_multiple_of(self.accumulate)
        {
            return refuse(format!(
                "accumulate is {}; it must divide batch, which is {}, into chunks of at least 2 images",
                self.accumulate, self.batch
            ));
        }
        let evaluation = &self.evaluation;
        if evaluation.pairs < 2 {
            return refuse(format!("evaluation.pairs is {}; it must be at least 2", evaluation.pairs));
        }
        if evaluation.neighbors == 0 {
            return refuse("evaluation.neighbors is 0; it must be at least 1".to_owned());
        }
        if !(evaluation.temperature > 0.0 && evaluation.temperature.is_finite()) {
            return refuse(format!(
                "evaluation.temperature is {}; it must be above 0",
                evaluation.temperature
            ));
        }
        if evaluation.few_labels == 0 || evaluation.few_draws == 0 {
            return refuse("evaluation.few-labels and evaluation.few-draws must be at least 1".to_owned());
        }
        if evaluation.few_draws > MOST_DRAWS {
            return refuse(format!(
                "evaluation.few-draws is {}; at most {MOST_DRAWS} are drawn, each a fit",
                evaluation.few_draws
            ));
        }
        self.loss.loss()?.check(self.batch, self.views).map_err(|error| {
            Error::input(format!(
                "loss {} with batch = {} and views = {}: {error}",
                self.loss.name(),
                self.batch,
                self.views
            ))
        })
    }
}

/// Lays `a.b=value` over a table. The value is TOML; what is not TOML is taken as a string, so that
/// `--set data.source=photos` needs no quotes.
fn set(table: &mut toml::Table, assignment: &str) -> Result<()> {
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(Error::input(format!(
            "--set {assignment}: expected KEY=VALUE, such as loss.temperature=0.2"
        )));
    };
    let value = format!("value = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let mut here = table;
    for key in keys {
        let inner = here.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = inner
            .as_table_mut()
            .ok_or_else(|| Error::input(format!("--set {assignment}: `{key}` is a value, not a table")))?;
    }
    here.insert(last.to_owned(), value);
    Ok(())
}

/// The key whose value is at a span of a recipe that is written out, one key a line; `None` where the span is a section.
fn key_at(text: &str, span: Range<usize>) -> Option<String> {
    let before = text.get(..span.start)?;
    let (key, _) = before.rsplit('\n').next()?.split_once(" = ")?;
    let section = before.lines().rev().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    Some(section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}")))
}

/// A parser's message without its drawing of the line, so that it is one sentence.
pub(crate) fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', ", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(overrides: &[&str]) -> Result<Recipe> {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        Recipe::resolve(BUILT_IN[0].text, &overrides, BUILT_IN[0].name)
    }

    #[test]
    fn a_recipe_from_before_chunks_and_views_is_read() {
        let text = BUILT_IN[0].text;
        for key in ["\naccumulate = 1", "\nviews = 2"] {
            let before = text.replace(key, "");
            assert!(before.len() < text.len());
            assert_eq!(Recipe::resolve(&before, &[], "before").unwrap(), resolve(&[]).unwrap());
        }
    }

    #[test]
    fn an_evaluation_leaves_what_was_trained() {
        let recipe = resolve(&[]).unwrap();
        let asking = |key: &str| recipe.asking(&["evaluation.few-draws=3".to_owned(), key.to_owned()]);
        let asked = asking("evaluation.neighbors=7").unwrap();
        assert_eq!((asked.evaluation.neighbors, asked.evaluation.few_draws), (7, 3));
        assert_eq!(recipe.asking(&[]).unwrap(), recipe);
        for (key, why) in [
            ("seed=2", "keys of evaluation alone"),
            ("evaluation.k=7", "unknown field `k`"),
            ("evaluation.epoch-references=7", "evaluation.references is the number"),
        ] {
            let refused = asking(key).unwrap_err().to_string();
            assert!(refused.contains(why) && !refused.contains('\n'), "{refused}");
        }
    }

    #[test]
    fn of_views_a_loss_is_told_that_takes_them() {
        assert_eq!(resolve(&[]).unwrap().describe_loss(), resolve(&[]).unwrap().loss.describe());
        let recipe = resolve(&["views=4", "loss={ name = \"mv-dhel\" }"]).unwrap();
        assert!(recipe.describe_loss().ends_with(", of 4 views"), "{}", recipe.describe_loss());
        let refused = resolve(&["views=3", "loss={ name = \"dclw\" }"]).unwrap_err().to_string();
        assert!(refused.contains("loss dclw with batch = 256 and views = 3: "), "{refused}");
    }

    #[test]
    fn every_built_in_recipe_resolves_and_survives_being_written_out() {
        for recipe in BUILT_IN {
            let resolved = Recipe::resolve(recipe.text, &[], recipe.name).unwrap();
            assert_eq!(Recipe::resolve(&resolved.to_toml(), &[], "written").unwrap(), resolved);
            assert!(recipe.text.starts_with("# "), "{} has no head comment", recipe.name);
        }
    }

    #[test]
    fn bad_recipes_are_refused_in_one_sentence() {
        for (assignment, expected) in [
            ("loss.temperature=-0.1", "temperature"),
            ("batch=1", "batch is 1"),
            ("views=1", "views is 1; at least 2 views"),
            ("views=-1", "views: invalid value: integer `-1`"),
            ("accumulate=0", "accumulate is 0; it must divide batch, which is 256,"),
            ("accumulate=3", "accumulate is 3;"),
            ("accumulate=256", "accumulate is 256;"),
            ("epochs=0", "epochs is 0"),
            ("loss.tau=0.1", "tau"),
            ("colour=1", "colour"),
            ("seed=\"x\"", "x"),
            ("loss.name=infonce", "infonce"),
            ("evaluation.neighbors=0", "neighbors"),
            ("augment.size=abc", ": augment.size: invalid type: string \"abc\", expected usize"),
            ("augment.crop.scale=3", ": augment.crop.scale: invalid type: integer `3`"),
            ("batch=many", ": batch: invalid type: string \"many\""),
            ("augment=3", "invalid type: integer `3`"),
        ] {
            let message = resolve(&[assignment]).unwrap_err().to_string();
            assert!(message.contains(expected), "{assignment}: {message}");
            assert!(!message.contains('\n'), "{assignment}: {message}");
        }
    }

    #[test]
    fn a_set_value_is_toml_or_a_plain_string() {
        let recipe = resolve(&["seed=7", "optimizer.learning-rate=0.5"]).unwrap();
        assert_eq!(recipe.seed, 7);
        assert!(resolve(&["seed"]).unwrap_err().to_string().contains("KEY=VALUE"));
    }
}
