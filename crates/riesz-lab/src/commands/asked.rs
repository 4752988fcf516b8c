//! What `riesz search` and `riesz duplicates` both take: whose rows are asked, and how the answer is told.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::to_string_pretty;

use super::embed::Part;
use super::outputs;
use crate::console::{errln, outln};
use crate::index::{self, Embedder, Pictures, Plain, Searched, Stored};
use crate::{Error, Result, atomic, device};

/// Arguments of both.
#[derive(clap::Args)]
pub struct Asked {
    /// A parquet file that `riesz embed` wrote: the images need not be embedded again
    #[arg(long, value_name = "FILE")]
    pub index: Option<PathBuf>,
    /// Rows of the backbone or of the projector [default: the index's, else the backbone's]
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Of a file of embeddings: the column, the array of an npz or a pickle, or the tensor of a safetensors file; of a CSV, what its columns begin with
    #[arg(long, visible_alias = "name")]
    column: Option<String>,
    /// JSON, for machines
    #[arg(long)]
    json: bool,
    /// Also write a sheet of the images: one HTML file that needs no network
    #[arg(long, value_name = "SHEET")]
    pub output: Option<PathBuf>,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads [default: all]
    #[arg(long)]
    pub threads: Option<usize>,
    /// No progress
    #[arg(long)]
    pub quiet: bool,
}

impl Asked {
    /// Opens the run's encoder, and the index or the images; the sheet must be none of what is read, `queries` among it.
    ///
    /// # Errors
    /// As [`index::open`], or if there is no such device.
    pub fn open(&self, run: &Path, images: Option<&str>, queries: &[String]) -> Result<(Embedder, Searched)> {
        if let Some(sheet) = &self.output {
            let named = images.into_iter().chain(queries.iter().map(String::as_str)).map(Path::new);
            outputs::check_page(sheet, named.chain(self.index.as_deref()))?;
        }
        if let Some(column) = &self.column {
            return Err(Error::input(format!(
                "--column {column} is of a file of embeddings, and {} is a run folder",
                run.display()
            )));
        }
        index::open(run, self.index.as_deref(), images, self.part, &device::open(&self.device)?)
    }

    /// Reads a file of embeddings, which has its rows already, and finds the pictures for a sheet, if one is wanted.
    ///
    /// # Errors
    /// As [`Plain::read`]; if something is asked that is of a run; if a sheet is wanted and the file has no pictures.
    pub fn open_file(&self, path: &Path) -> Result<(Plain, Option<Pictures<'static>>)> {
        let of_run = [("--index", self.index.is_some()), ("--part", self.part.is_some())];
        if let Some((flag, _)) = of_run.iter().find(|(_, is_given)| *is_given) {
            return Err(Error::input(format!(
                "{} is a file of rows and {flag} is of a run folder; leave one out",
                path.display()
            )));
        }
        let pictures = match &self.output {
            Some(sheet) => {
                outputs::check_page(sheet, [path])?;
                let pictures = Stored::open(path).and_then(|stored| stored.pictures());
                let none = |error: Error| error.at("a sheet shows pictures");
                Some(Pictures::Small(pictures.map_err(none)?))
            }
            None => None,
        };
        Ok((Plain::read(path, self.column.as_deref(), self.quiet)?, pictures))
    }

    /// Writes the sheet, if there is one, and tells what was found.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn tell<F: Serialize>(&self, found: &F, sheet: Option<String>, print: fn(&F)) -> Result<()> {
        if let (Some(path), Some(sheet)) = (&self.output, sheet) {
            atomic::write_bytes(path, sheet.as_bytes())?;
        }
        if self.json {
            outln!("{}", to_string_pretty(found).map_err(|error| Error::input(error.to_string()))?);
        } else {
            print(found);
        }
        if let Some(path) = self.output.as_ref().filter(|_| !self.quiet) {
            errln!("{}: the sheet", path.display());
        }
        Ok(())
    }
}
