//! A grid as written, and the cells that it means.
//!
//! ```toml
//! name = "mine"                     # the folder below sweeps/; without it, the file's name
//! seeds = [1, 2, 3]                 # every cell once with each
//! select = "temperature"            # optional: an axis of which each setting has its best (select.rs)
//!
//! [base]                            # the recipe that all cells share: one by name, and keys laid over it
//! recipe = "fashion-mnist-12k"
//! epochs = 4
//! evaluation.references = 5000
//!
//! [[grid]]                          # a product of axes; several grids are joined
//! [[grid.axis]]
//! loss = [{ name = "dcl", temperature = 0.3 }, { name = "dhel", temperature = 0.3 }]
//! labels = ["dcl", "dhel"]          # optional: how the values are called
//! name = "loss"                     # optional: how the axis is called; else its first key's last word
//! [[grid.axis]]                     # keys of one axis move together (a zip)
//! batch = [32, 128]
//! optimizer.learning-rate = [0.1, 0.3]
//!
//! [[cell]]                          # a cell by itself
//! batch = 1024
//! ```
//!
//! `loss` replaces the whole loss; of other tables only the keys that are written change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::quantities::is_column;
use super::select::Selection;
use crate::pretrained::StartRecipe;
use crate::recipe::{self, Recipe};
use crate::{Error, Result, input};

/// Cells of a grid, at most: more is a slip of the pen.
const MOST_CELLS: usize = 100_000;

/// A grid as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    seeds: Vec<u64>,
    select: Option<toml::Value>,
    base: toml::Table,
    #[serde(default)]
    grid: Vec<Product>,
    #[serde(default)]
    cell: Vec<toml::Table>,
}

/// Axes, of which every value meets every other's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    axis: Vec<toml::Table>,
}

/// A grid with all its cells.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The folder's name below `sweeps/`.
    pub name: String,
    /// The file's text.
    pub text: String,
    /// The recipe's name or path, as `--recipe` takes it.
    pub recipe: String,
    /// What is chosen and by what, if anything.
    pub select: Option<Selection>,
    /// In the order in which they run: seed by seed, so that all settings have as many seeds at any time.
    pub cells: Vec<Cell>,
}

/// One run of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// `loss=dcl,batch=32,seed=1`: the folder's name.
    pub name: String,
    /// Axis and setting, in the grid's order.
    pub settings: Vec<(String, String)>,
    /// The seed.
    pub seed: u64,
    /// What is laid over the base recipe: `--set`'s words.
    pub overrides: Vec<String>,
    /// The resolved recipe.
    pub recipe: Recipe,
}

impl Grid {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or as [`Grid::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = input::text(path, recipe::MOST_TEXT)?;
        let stem =
            input::name(path).and_then(|name| Path::new(name).file_stem()?.to_str()).unwrap_or("sweep");
        Self::parse(&text, stem, &path.display().to_string())
    }

    /// Reads a grid from TOML text; `stem` is its name if the text says none.
    ///
    /// # Errors
    /// One sentence with `place` in front: not TOML, an unknown key, an empty axis, lists of one axis that differ in
    /// length, two cells of one name, a recipe that does not resolve.
    pub fn parse(text: &str, stem: &str, place: &str) -> Result<Self> {
        Self::expand(text, stem).map_err(|error| error.at(place))
    }

    fn expand(text: &str, stem: &str) -> Result<Self> {
        let written: Written =
            toml::from_str(text).map_err(|error| Error::input(recipe::one_line(&error)))?;
        let name = written.name.unwrap_or_else(|| stem.to_owned());
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(Error::input(format!("name is `{name}`; it must be a plain folder name")));
        }
        if written.seeds.is_empty() {
            return Err(Error::input("seeds is empty; at least one is needed, such as seeds = [1, 2, 3]"));
        }
        let mut base = written.base;
        let Some(toml::Value::String(base_recipe)) = base.remove("recipe") else {
            return Err(Error::input(
                "[base] names no recipe; write recipe = \"fashion-mnist-12k\" or a file",
            ));
        };
        if base.contains_key("seed") {
            return Err(Error::input(
                "[base] has a seed, which each cell replaces by its own; write the seeds at the top, seeds = [1, 2, 3]",
            ));
        }
        let (recipe_text, origin) = recipe::read(&base_recipe)?;
        let base: Vec<String> =
            leaves(&base).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        // The base alone must be a recipe: otherwise each cell would say the same of it.
        Recipe::resolve(&recipe_text, &base, &format!("[base] on {origin}"))?;

        let mut settings = Vec::new();
        for (number, product) in written.grid.iter().enumerate() {
            settings.extend(product.settings().map_err(|error| error.at(format!("grid {}", number + 1)))?);
        }
        for (number, cell) in written.cell.iter().enumerate() {
            settings.push(explicit(cell).map_err(|error| error.at(format!("cell {}", number + 1)))?);
        }
        if settings.is_empty() {
            return Err(Error::input("there is no cell; write [[grid]] with [[grid.axis]], or [[cell]]"));
        }
        if settings.len().saturating_mul(written.seeds.len()) > MOST_CELLS {
            return Err(Error::input(format!(
                "{} settings with {} seeds are more than {MOST_CELLS} cells",
                settings.len(),
                written.seeds.len()
            )));
        }
        let mut cells: Vec<Cell> = Vec::new();
        let (mut recipes, mut weights) = (BTreeMap::new(), BTreeMap::new());
        for &seed in &written.seeds {
            for setting in &settings {
                let mut cell = setting.cell(seed, &base, &recipe_text)?;
                pin(&mut cell.recipe, &mut weights)
                    .map_err(|error| error.at(format!("cell {}", cell.name)))?;
                cells.push(cell);
            }
        }
        let mut names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::input(format!(
                "two cells are called {}; tell them apart by labels, or drop one",
                pair[0]
            )));
        }
        for cell in &cells[..settings.len()] {
            cell.recipe.check_parts().map_err(|error| error.at(format!("cell {}", cell.name)))?;
            if let Some(other) = recipes.insert(cell.recipe.to_toml(), &cell.name) {
                return Err(Error::input(format!(
                    "cells {other} and {} are the same run under two names; drop one",
                    cell.name
                )));
            }
        }
        let axes: BTreeSet<&str> =
            cells.iter().flat_map(|cell| cell.settings.iter().map(|(axis, _)| axis.as_str())).collect();
        let select = written.select.map(|select| Selection::of(&select, &axes)).transpose()?;
        Ok(Self { name, text: text.to_owned(), recipe: base_recipe, select, cells })
    }
}

/// What file systems take as the name of a folder.
const MOST_NAME: usize = 255;

/// What a cell lays over the base, without its seed.
#[derive(Clone, Default)]
struct Setting {
    /// Axis and setting.
    labels: Vec<(String, String)>,
    /// Keys and values.
    overrides: Vec<String>,
}

impl Setting {
    fn cell(&self, seed: u64, base: &[String], recipe_text: &str) -> Result<Cell> {
        let mut words: Vec<String> =
            self.labels.iter().map(|(axis, label)| format!("{axis}={}", plain_name(label))).collect();
        words.push(format!("seed={seed}"));
        let name = words.join(",");
        if name.len() > MOST_NAME {
            return Err(Error::input(format!(
                "cell {name} has a name of {} letters, and a folder's has {MOST_NAME} at most; give its axes shorter labels",
                name.len()
            )));
        }
        let mut overrides = base.to_vec();
        overrides.extend(self.overrides.iter().cloned());
        overrides.push(format!("seed={seed}"));
        let recipe = Recipe::resolve(recipe_text, &overrides, &format!("cell {name}"))?;
        Ok(Cell { name, settings: self.labels.clone(), seed, overrides, recipe })
    }
}

impl Product {
    /// Every combination, the last axis fastest.
    fn settings(&self) -> Result<Vec<Setting>> {
        if self.axis.is_empty() {
            return Err(Error::input("has no axis; write [[grid.axis]] with a key and a list of values"));
        }
        let mut settings = vec![Setting::default()];
        for (number, axis) in self.axis.iter().enumerate() {
            let at = |error: Error| error.at(format!("axis {}", number + 1));
            let values = along(axis).map_err(at)?;
            for earlier in &self.axis[..number] {
                refuse_clash(earlier, axis).map_err(at)?;
            }
            let name = &values[0].labels[0].0;
            if settings[0].labels.iter().any(|(other, _)| other == name) {
                let told = format!("two axes are called {name}; give one of them another, name = \"…\"");
                return Err(at(Error::input(told)));
            }
            settings = settings
                .iter()
                .flat_map(|before| {
                    values.iter().map(|value| Setting {
                        labels: [&before.labels[..], &value.labels[..]].concat(),
                        overrides: [&before.overrides[..], &value.overrides[..]].concat(),
                    })
                })
                .collect();
        }
        Ok(settings)
    }
}

/// The keys of an axis and their lists, without how it and its values are called.
fn keys_of(axis: &toml::Table) -> Vec<(String, toml::Value)> {
    let called = |key: &str| key == "name" || key == "labels";
    leaves(
        &axis
            .iter()
            .filter(|(key, _)| !called(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}

/// Refuses an axis that says again, or takes back, what an axis before it says: a cell would be called by what it does not have.
fn refuse_clash(earlier: &toml::Table, later: &toml::Table) -> Result<()> {
    let mut said: Vec<String> = Vec::new();
    for (key, values) in keys_of(earlier) {
        let tables = values.as_array().into_iter().flatten().filter_map(toml::Value::as_table);
        said.extend(tables.flat_map(leaves).map(|(inner, _)| format!("{key}.{inner}")));
        said.push(key);
    }
    for (key, _) in keys_of(later) {
        if said.contains(&key) {
            return Err(Error::input(format!("{key} is set by an axis before it already; a cell has one")));
        }
        if let Some(lost) = said.iter().find(|other| other.starts_with(&format!("{key}."))) {
            return Err(Error::input(format!(
                "{key} replaces all of {key}, and with it {lost}, which an axis before it sets; write this axis first"
            )));
        }
    }
    Ok(())
}

/// The settings along one axis.
fn along(axis: &toml::Table) -> Result<Vec<Setting>> {
    let (name, labels) = (axis.get("name").cloned(), axis.get("labels").cloned());
    let keys = keys_of(axis);
    let Some((first, _)) = keys.first() else {
        return Err(Error::input("has no key; write one, such as batch = [32, 128]"));
    };
    let name = match name {
        None => first.rsplit('.').next().unwrap_or(first).to_owned(),
        Some(toml::Value::String(name)) if !name.is_empty() && plain_name(&name) == name => name,
        Some(name) => return Err(Error::input(format!("name is {name}; it must be a word"))),
    };
    let mut count = None;
    for (key, value) in &keys {
        if key == "seed" {
            return Err(Error::input("seed is no axis; write the seeds at the top, seeds = [1, 2, 3]"));
        }
        if key == "loss" && value.get("name").is_some_and(toml::Value::is_array) {
            return Err(Error::input(
                "loss.name is a list; a loss is replaced as a whole, loss = [{ name = \"dcl\" }, { name = \"dhel\" }]",
            ));
        }
        let Some(values) = value.as_array() else {
            return Err(Error::input(format!("{key} is not a list; an axis is, such as batch = [32, 128]")));
        };
        match count {
            _ if values.is_empty() => {
                return Err(Error::input(format!("{key} is empty; an axis needs a value")));
            }
            Some((other, count)) if count != values.len() => {
                return Err(Error::input(format!(
                    "{other} has {count} values and {key} has {}; keys of one axis move together",
                    values.len()
                )));
            }
            _ => count = Some((key.as_str(), values.len())),
        }
    }
    if is_column(&name) {
        return Err(Error::input(format!(
            "is called {name}, as a column of results.csv is; give it another, name = \"…\""
        )));
    }
    let (_, count) = count.unwrap_or_default();
    let value = |key: usize, place: usize| &keys[key].1.as_array().expect("checked above")[place];
    let labels: Vec<String> = match labels {
        None => (0..count).map(|place| label(value(0, place))).collect(),
        Some(toml::Value::Array(labels)) if labels.len() == count => labels.iter().map(label).collect(),
        Some(_) => {
            return Err(Error::input(format!("labels must be a list of {count}, one a value of {first}")));
        }
    };
    Ok((0..count)
        .map(|place| Setting {
            labels: vec![(name.clone(), labels[place].clone())],
            overrides: (0..keys.len()).map(|key| format!("{}={}", keys[key].0, value(key, place))).collect(),
        })
        .collect())
}

/// A cell by itself.
fn explicit(cell: &toml::Table) -> Result<Setting> {
    let keys = leaves(cell);
    if keys.is_empty() {
        return Err(Error::input("has no key"));
    }
    if keys.iter().any(|(key, _)| key == "seed") {
        return Err(Error::input("seed is no key of a cell; write the seeds at the top, seeds = [1, 2, 3]"));
    }
    // By the last word, as an axis; where two keys have one, by the whole key.
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let axis = |key: &str| match keys.iter().filter(|(other, _)| last(other) == last(key)).count() {
        1 => last(key),
        _ => key.to_owned(),
    };
    Ok(Setting {
        labels: keys.iter().map(|(key, value)| (axis(key), label(value))).collect(),
        overrides: keys.iter().map(|(key, value)| format!("{key}={value}")).collect(),
    })
}

/// Weights that an encoder begins with are named with their SHA-256, as in the recipe of a run, each file read once.
fn pin(recipe: &mut Recipe, known: &mut BTreeMap<String, StartRecipe>) -> Result<()> {
    let Some(start) = recipe.start.take() else { return Ok(()) };
    let key = format!("{start:?}");
    let pinned = match known.get(&key) {
        Some(pinned) => pinned.clone(),
        None => start.pinned()?,
    };
    known.insert(key, pinned.clone());
    recipe.start = Some(pinned);
    Ok(())
}

/// The keys of a table with dots and their values; a loss is one value, other tables are walked into.
fn leaves(table: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) if !(key == "loss" && inner.contains_key("name")) => {
                found.extend(leaves(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => found.push((key.clone(), value.clone())),
        }
    }
    found
}

/// A value in a word: of a table its name, then the others.
fn label(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(table) => {
            let first = ["name", "kernel"].into_iter().filter_map(|key| table.get(key));
            let others = table.iter().filter(|(key, _)| !["name", "kernel"].contains(&key.as_str()));
            let words: Vec<String> = first.chain(others.map(|(_, value)| value)).map(label).collect();
            words.join("-")
        }
        toml::Value::Float(x) => format!("{x:?}").trim_end_matches(".0").to_owned(),
        toml::Value::Array(values) => values.iter().map(label).collect::<Vec<_>>().join("-"),
        value => value.to_string(),
    }
}

/// A label as a part of a folder's name, which no shell has to be told of.
fn plain_name(label: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    label.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[base]\nrecipe = \"fashion-mnist-12k\"\nepochs = 2\nevaluation.pairs = 50\n";

    fn grid(head: &str, rest: &str) -> Result<Grid> {
        Grid::parse(&format!("{head}\n{BASE}{rest}"), "stem", "g.toml")
    }

    #[test]
    fn products_zips_and_cells_in_the_order_of_seeds() {
        let grid = grid(
            "seeds = [1, 2]",
            "[[grid]]
            [[grid.axis]]
            loss = [{ name = \"dcl\" }, { name = \"dhel\", temperature = 0.2 }]
            labels = [\"dcl\", \"DHEL (paper)\"]
            name = \"loss\"
            [[grid.axis]]
            batch = [32, 128]
            optimizer.learning-rate = [0.1, 0.2]
            [[cell]]
            batch = 64",
        )
        .unwrap();
        let names: Vec<&str> = grid.cells.iter().map(|cell| cell.name.as_str()).collect();
        assert_eq!(
            names[..6],
            [
                "loss=dcl,batch=32,seed=1",
                "loss=dcl,batch=128,seed=1",
                "loss=DHEL--paper-,batch=32,seed=1",
                "loss=DHEL--paper-,batch=128,seed=1",
                "batch=64,seed=1",
                "loss=dcl,batch=32,seed=2",
            ]
        );
        assert_eq!((grid.name.as_str(), names.len()), ("stem", 10));
        let cell = &grid.cells[3];
        assert_eq!((cell.recipe.batch, cell.recipe.epochs, cell.recipe.evaluation.pairs), (128, 2, 50));
        assert_eq!(cell.recipe.optimizer.learning_rate, 0.2, "keys of one axis move together");
        assert_eq!(cell.recipe.loss.describe(), "dhel, paper convention, temperature 0.2");
        assert_eq!(cell.settings[0], ("loss".to_owned(), "DHEL (paper)".to_owned()));
        // What --list prints is the same recipe.
        let (text, _) = recipe::read(&grid.recipe).unwrap();
        assert_eq!(Recipe::resolve(&text, &cell.overrides, "set").unwrap(), cell.recipe);
    }

    #[test]
    fn bad_grids_are_refused_in_one_sentence() {
        let axis = |text: &str| format!("[[grid]]\n[[grid.axis]]\n{text}");
        for (head, rest, expected) in [
            ("seeds = []", axis("batch = [32]"), "g.toml: seeds is empty"),
            ("seeds = [1]\nseed = 3", axis("batch = [32]"), "unknown field `seed`"),
            (
                "seeds = [1]",
                axis("batch = []"),
                "g.toml: grid 1: axis 1: batch is empty; an axis needs a value",
            ),
            ("seeds = [1]", axis("batch = 32"), "batch is not a list"),
            ("seeds = [1]", axis("batch = [32, 64]\nepochs = [1]"), "batch has 2 values and epochs has 1"),
            ("seeds = [1]", axis("loss.tau = [0.1]"), "g.toml: cell tau=0.1,seed=1: unknown field `tau`"),
            ("seeds = [1]", axis("batch = [32, 32]"), "two cells are called batch=32,seed=1"),
            ("seeds = [1]", axis("seed = [1, 2]"), "seed is no axis"),
            ("seeds = [1]", axis("batch = [1]"), "cell batch=1,seed=1: batch is 1"),
            ("seeds = [1]", axis("batch = [32]\nlabels = []"), "labels must be a list of 1"),
            (
                "seeds = [1]",
                axis(&format!("batch = [32]\nlabels = [\"{}\"]", "0".repeat(2000))),
                "has a name of 2013 letters, and a folder's has 255 at most; give its axes shorter labels",
            ),
            ("seeds = [1]", axis("batch = [32]\nname = \"a b\""), "name is \"a b\"; it must be a word"),
            (
                "seeds = [1]",
                axis("batch = [32, 64]\n[[grid.axis]]\nname = \"b\"\nbatch = [128, 256]"),
                "g.toml: grid 1: axis 2: batch is set by an axis before it already; a cell has one",
            ),
            (
                "seeds = [1]",
                axis(
                    "loss = [{ name = \"dcl\", temperature = 0.1 }]\n[[grid.axis]]\nloss.temperature = [0.2]",
                ),
                "axis 2: loss.temperature is set by an axis before it already",
            ),
            (
                "seeds = [1]",
                axis("loss.temperature = [0.1, 0.2]\n[[grid.axis]]\nloss = [{ name = \"dcl\" }]"),
                "axis 2: loss replaces all of loss, and with it loss.temperature, which an axis before it sets",
            ),
            (
                "seeds = [1]",
                axis("augment.blur.probability = [0.1]\n[[grid.axis]]\naugment.jitter.probability = [0.5]"),
                "axis 2: two axes are called probability; give one of them another, name = \"…\"",
            ),
            (
                "seeds = [1]",
                axis("batch = [32]\nname = \"rank\""),
                "is called rank, as a column of results.csv is",
            ),
            (
                "seeds = [1]",
                axis("batch = [32, 32]\nlabels = [\"a\", \"b\"]"),
                "cells batch=a,seed=1 and batch=b,seed=1 are the same run under two names",
            ),
            (
                "seeds = [1]",
                "seed = 3\n[[cell]]\nbatch = 32".to_owned(),
                "[base] has a seed, which each cell replaces",
            ),
            (
                "seeds = [1]",
                axis("loss.name = [\"dcl\", \"dhel\"]"),
                "loss.name is a list; a loss is replaced as a whole",
            ),
            (
                "seeds = [1]",
                axis("optimizer.learning-rate = [-1.0]"),
                "cell learning-rate=-1,seed=1: optimizer.learning-rate is -1; it must be at least 0 and finite",
            ),
            ("seeds = [1]", axis("augment.flip = [2.0]"), "cell flip=2,seed=1: augment.flip is 2"),
            ("seeds = [1]", axis("data.limit = [0]"), "cell limit=0,seed=1: data.limit is 0"),
            (
                "seeds = [1]",
                axis("encoder.projector.output = [1]"),
                "cell output=1,seed=1: encoder.projector has",
            ),
            (
                "seeds = [1]",
                axis("batch = [32]") + "\n[base.start]\nweights = \"/nowhere/w.safetensors\"",
                "cell batch=32,seed=1: /nowhere/w.safetensors: ",
            ),
            ("seeds = [1]", String::new(), "there is no cell"),
            ("seeds = [1]", "[[grid]]\naxis = []".to_owned(), "grid 1: has no axis"),
            ("seeds = [1]\nname = \"a/b\"", axis("batch = [32]"), "name is `a/b`"),
            (
                "seeds = [1]",
                "epoch = 3".to_owned(),
                "[base] on built-in recipe fashion-mnist-12k: unknown field `epoch`",
            ),
        ] {
            let told = grid(head, &rest).unwrap_err().to_string();
            assert!(told.contains(expected) && told.starts_with("g.toml: "), "{told}");
            assert!(!told.contains('\n'), "{told}");
        }
        // An explicit cell has no names to give: it takes whole keys where last words are equal.
        let both = "[[cell]]\nbatch = 64\naugment.blur.probability = 0.1\naugment.jitter.probability = 0.5";
        let told = &grid("seeds = [1]", both).unwrap().cells[0].name;
        assert_eq!(told, "augment.blur.probability=0.1,augment.jitter.probability=0.5,batch=64,seed=1");
        let told = Grid::parse("seeds = [1]\n[base]\nepochs = 3", "s", "g.toml").unwrap_err().to_string();
        assert!(told.contains("[base] names no recipe"), "{told}");
    }
}
