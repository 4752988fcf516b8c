//! Files and folders of embeddings as one stream of blocks, read ahead on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use riesz::{Matrix, normalize_from};
use walkdir::WalkDir;

use crate::embeddings::Dimensions;
use crate::embeddings::stream::{self, Block, ENDINGS, Stream, Wanted, is_anything};
use crate::{Error, Result, threads};

/// A file of embeddings, and the name under which it is told and keyed: its path below what was given, and as many of the folders above
/// as tell it from others.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// The file's name, or its path below the folder that was given; longer if another is called so, too.
    pub name: String,
    /// Its rows, if they are in memory and not in a file; the path then says of what they are.
    pub held: Option<Arc<Matrix<f32>>>,
}

impl Input {
    /// How many bytes it has; 0 if it is gone.
    fn bytes(&self) -> u64 {
        match &self.held {
            Some(rows) => size_of_val(rows.as_slice()) as u64,
            None => std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len()),
        }
    }
}

/// The files that were given, and those in the folders that were given, in the order of their names.
///
/// # Errors
/// If a path does not exist, a folder has no file of embeddings, or a file is given twice.
pub fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(in_folder(path)?);
        } else {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            found.push(Input { path: path.clone(), name, held: None });
        }
    }
    tell_apart(&mut found)?;
    Ok(found)
}

/// Lengthens names that several files have by the folders that these are in, until all differ: draws are keyed by names, and rows of
/// files of one name would be drawn together.
///
/// # Errors
/// If a file is given twice.
pub(crate) fn tell_apart(inputs: &mut [Input]) -> Result<()> {
    while let Some(alike) = alike(inputs) {
        let paths: Vec<PathBuf> =
            alike.iter().map(|&i| std::path::absolute(&inputs[i].path).unwrap_or_default()).collect();
        let tail = |path: &Path, parts: usize| {
            let all = path.components().count();
            let tail: PathBuf = path.components().skip(all.saturating_sub(parts)).collect();
            tail.to_string_lossy().into_owned()
        };
        // What a name says behind its path.
        let behind = |i: usize, path: &Path| {
            let rest = inputs[i].name.strip_prefix(&tail(path, 1)).unwrap_or_default();
            rest.to_owned()
        };
        let behind: Vec<String> = alike.iter().zip(&paths).map(|(&i, path)| behind(i, path)).collect();
        let most = paths.iter().map(|path| path.components().count()).max().unwrap_or(0);
        let lengthened = (1..=most).map(|parts| paths.iter().map(|path| tail(path, parts)).collect());
        let differ = |names: &Vec<String>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
        let Some(names) = { lengthened }.find(differ) else {
            let again = (1..paths.len()).find(|&place| paths[..place].contains(&paths[place])).unwrap_or(0);
            return Err(Error::input("is given twice, and its rows would count twice")
                .at(inputs[alike[again]].path.display()));
        };
        for ((i, name), behind) in alike.into_iter().zip(names).zip(behind) {
            inputs[i].name = name + &behind;
        }
    }
    Ok(())
}

/// The inputs of a name that several have.
fn alike(inputs: &[Input]) -> Option<Vec<usize>> {
    let mut of_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    inputs.iter().enumerate().for_each(|(i, input)| of_name.entry(&input.name).or_default().push(i));
    of_name.into_values().find(|alike| alike.len() > 1)
}

fn in_folder(folder: &Path) -> Result<Vec<Input>> {
    let ending = |path: &Path| path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::input(error.to_string()))?;
        let path = entry.path();
        let ending = ending(path);
        // A plain text is of embeddings where somebody says so.
        let is_some = ENDINGS.contains(&ending.as_str()) && ending != "txt";
        if entry.file_type().is_file() && !is_hidden(path) && is_some {
            files.push(path.to_owned());
        }
    }
    // What may be anything counts where there is nothing else.
    let is_plain = |path: &PathBuf| !is_anything(&ending(path));
    if files.iter().any(is_plain) {
        files.retain(is_plain);
    }
    // A table beside an array of the same name has the names of its rows.
    let is_names = |path: &PathBuf| {
        ending(path) == "csv"
            && files.iter().any(|other| other != path && other.with_extension("") == path.with_extension(""))
    };
    let kept: Vec<Input> = files
        .iter()
        .filter(|path| !is_names(path))
        .map(|path| {
            let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
            Input { path: path.clone(), name, held: None }
        })
        .collect();
    if kept.is_empty() {
        return Err(Error::input(format!(
            "{}: has no file of embeddings; expected one that ends in .{}",
            folder.display(),
            ENDINGS.join(", .")
        )));
    }
    Ok(kept)
}

/// A block of rows, the input that it is of, and the rows that they are paired with.
#[derive(Debug)]
pub(super) struct Part {
    /// Which input.
    pub input: usize,
    /// Rows and texts.
    pub block: Block,
    /// The place of its first row in its file.
    pub first: u64,
    /// How many rows all inputs have, if there is one that says it.
    pub of: Option<u64>,
    /// With the first rows of a file: where its numbers are, in words.
    pub told: Option<String>,
    /// As many rows of the other files.
    pub partners: Option<Partners>,
    /// The share of its file that the block is, in bytes.
    pub bytes: u64,
}

impl Part {
    /// The rows scaled to unit length.
    ///
    /// # Errors
    /// Names the file and the first row that has no direction.
    pub(super) fn unit(&self, inputs: &[Input]) -> Result<Matrix<f64>> {
        let mut rows = self.block.rows.to_f64();
        normalize_from(&mut rows, self.first)
            .map_err(|error| Error::from(error).at(inputs[self.input].path.display()))?;
        Ok(rows)
    }
}

/// Rows of the other files.
#[derive(Debug)]
pub(super) struct Partners {
    /// Scaled to unit length.
    pub rows: Matrix<f64>,
    /// What the first wanted column says beside each, if any is wanted.
    pub texts: Vec<String>,
    /// Where the numbers of files are that begin here, in words.
    pub told: Vec<(usize, String)>,
}

/// Where the numbers of files are, each said once: of the first file plainly, of a later one that is read otherwise with its name.
#[derive(Debug, Default)]
pub(super) struct Reading {
    said: Vec<String>,
    /// As sentences.
    pub notes: Vec<String>,
}

impl Reading {
    pub(super) fn add(&mut self, told: String, input: &Input) {
        if self.said.contains(&told) {
            return;
        }
        let is_first = self.said.is_empty();
        self.notes.push(if is_first { told.clone() } else { format!("{}: {told}", input.name) });
        self.said.push(told);
    }
}

/// One file after the other.
struct Files<'a> {
    inputs: &'a [Input],
    wanted: &'a Wanted,
    next: usize,
    /// Rows read of the open file.
    done: u64,
    open: Option<Stream>,
    /// The first file and its dimension, which all must have.
    dim: Option<(usize, &'a Path)>,
    /// The first table with names of its dimensions, which all tables must have in this order.
    table: Option<(Dimensions, &'a Path)>,
}

impl<'a> Files<'a> {
    fn new(inputs: &'a [Input], wanted: &'a Wanted) -> Self {
        Self { inputs, wanted, next: 0, done: 0, open: None, dim: None, table: None }
    }

    fn next(&mut self) -> Result<Option<Part>> {
        loop {
            let Some(stream) = &mut self.open else {
                let Some(input) = self.inputs.get(self.next) else { return Ok(None) };
                self.next += 1;
                self.done = 0;
                let stream = match &input.held {
                    Some(rows) => stream::held(&input.path, rows.clone(), self.wanted)?,
                    None => stream::open(&input.path, self.wanted)?,
                };
                let (dim, first) = *self.dim.get_or_insert((stream.dim(), &input.path));
                if stream.dim() != dim {
                    return Err(Error::input(format!(
                        "{}: has rows of {} numbers; {} before it has rows of {dim}",
                        input.path.display(),
                        stream.dim(),
                        first.display()
                    )));
                }
                if let Some(found) = stream.dimensions() {
                    let (before, table) =
                        self.table.get_or_insert_with(|| (found.clone(), input.path.as_path()));
                    let names = before.taken.iter().zip(&found.taken);
                    if let Some((i, (before, name))) = names.enumerate().find(|(_, (a, b))| a != b) {
                        return Err(Error::input(format!(
                            "{}: number {i} of a row is in column {name}; {} before it has {before} there",
                            input.path.display(),
                            table.display()
                        )));
                    }
                }
                self.open = Some(stream);
                continue;
            };
            let input = self.next - 1;
            match stream.block()? {
                Some(block) => {
                    let share = stream.rows().map_or(0, |rows| {
                        let bytes = u128::from(self.inputs[input].bytes()) * block.rows.len() as u128;
                        (bytes / u128::from(rows.max(1))) as u64
                    });
                    let first = self.done;
                    self.done += block.rows.len() as u64;
                    let of = stream.rows().filter(|_| self.inputs.len() == 1);
                    let told = stream.told().filter(|_| first == 0);
                    return Ok(Some(Part { input, block, first, of, told, partners: None, bytes: share }));
                }
                None => self.open = None,
            }
        }
    }
}

/// Bytes of all files.
pub(super) fn bytes(inputs: &[Input]) -> u64 {
    inputs.iter().map(Input::bytes).sum()
}

/// Gives each block of `inputs` to `take`, while the next is read. With `pairs` each comes with as many rows of those.
///
/// # Errors
/// Those of the files, of `take`, and if the pairs have more rows or fewer, or of another length.
pub(super) fn each(
    inputs: &[Input],
    wanted: &Wanted,
    pairs: Option<(&[Input], &Wanted)>,
    mut take: impl FnMut(Part) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        // What is sent waits for one block at most, so that four are in memory.
        let (sender, parts): (SyncSender<Result<Part>>, Receiver<Result<Part>>) = sync_channel(1);
        threads::scoped(scope, move || {
            let mut files = Files::new(inputs, wanted);
            let mut others = pairs.map(|(pairs, wanted)| Others::new(pairs, wanted));
            loop {
                let part = files.next().and_then(|part| match (part, &mut others) {
                    (Some(mut part), Some(others)) => {
                        part.partners = Some(others.take(part.block.rows.len())?);
                        Ok(Some(part))
                    }
                    (None, Some(others)) => others.end().map(|()| None),
                    (part, None) => Ok(part),
                });
                let Some(part) = part.transpose() else { break };
                let failed = part.is_err();
                // Nobody waits any more if `take` failed.
                if sender.send(part).is_err() || failed {
                    break;
                }
            }
        })?;
        parts.into_iter().try_for_each(|part| take(part?))
    })
}

/// The rows of the other files, as many at a time as are asked for.
struct Others<'a> {
    files: Files<'a>,
    /// Unit rows that nobody has asked for yet, row after row, and their texts.
    waiting: Vec<f64>,
    texts: Vec<String>,
    told: Vec<(usize, String)>,
    dim: usize,
}

impl<'a> Others<'a> {
    fn new(inputs: &'a [Input], wanted: &'a Wanted) -> Self {
        let files = Files::new(inputs, wanted);
        Self { files, waiting: Vec::new(), texts: Vec::new(), told: Vec::new(), dim: 1 }
    }

    fn place(&self) -> String {
        self.files.inputs.first().map_or_else(String::new, |input| input.path.display().to_string())
    }

    fn take(&mut self, rows: usize) -> Result<Partners> {
        while self.waiting.len() / self.dim < rows {
            let Some(mut part) = self.files.next()? else {
                return Err(Error::input("has fewer rows than what it is paired with").at(self.place()));
            };
            let unit = part.unit(self.files.inputs)?;
            self.told.extend(part.told.take().map(|told| (part.input, told)));
            self.dim = unit.dim();
            self.waiting.extend(unit.into_vec());
            self.texts.extend(part.block.texts.into_iter().next().unwrap_or_default());
        }
        let rest = self.waiting.split_off(rows * self.dim);
        let later = self.texts.split_off(rows.min(self.texts.len()));
        Ok(Partners {
            rows: Matrix::new(std::mem::replace(&mut self.waiting, rest), self.dim),
            texts: std::mem::replace(&mut self.texts, later),
            told: std::mem::take(&mut self.told),
        })
    }

    fn end(&mut self) -> Result<()> {
        if !self.waiting.is_empty() || self.files.next()?.is_some() {
            return Err(Error::input("has more rows than what it is paired with").at(self.place()));
        }
        Ok(())
    }
}
