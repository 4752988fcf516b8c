//! The results of a grid as a table: a row a finished cell, a column a quantity. Written as CSV and parquet.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde::Serialize;

use super::folder::{Contents, Folder, State, setting};
use super::quantities::{QUANTITIES, column};
use super::select::Score;
use crate::report::{Summary, seed_and_rest};
use crate::run::Run;
use crate::{Error, Result, atomic};

/// Axes and settings.
pub(super) type Settings = Vec<(String, String)>;

/// Axes and settings in words.
pub(super) fn words(settings: &[(String, String)]) -> String {
    let words: Vec<String> = settings.iter().map(|(axis, setting)| format!("{axis} {setting}")).collect();
    words.join(", ")
}

/// Those of the axes that are not left out.
pub(super) fn rest(settings: &[(String, String)], is_left_out: impl Fn(&str) -> bool) -> Settings {
    settings.iter().filter(|(axis, _)| !is_left_out(axis)).cloned().collect()
}

/// A finished cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The cell's name.
    pub cell: String,
    /// Axis and setting.
    pub settings: Vec<(String, String)>,
    /// The seed.
    pub seed: u64,
    /// One a quantity.
    pub values: Vec<Option<f64>>,
    /// kNN on the part of the training images that chooses, if it was taken.
    pub selection: Option<f64>,
    /// Whether the encoder learned from labels, in this run or before.
    pub saw_labels: bool,
    /// Singular values of the projector's embeddings, the largest 1.
    #[serde(skip)]
    pub spectrum: Vec<f64>,
}

impl Line {
    /// The setting on an axis.
    pub fn setting(&self, axis: &str) -> Option<&str> {
        setting(&self.settings, axis)
    }

    /// Axes and settings without this axis.
    pub fn without(&self, axis: &str) -> Settings {
        rest(&self.settings, |name| name == axis)
    }
}

/// The results of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// What the folder says of itself.
    pub contents: Contents,
    /// Finished cells, in the grid's order.
    pub lines: Vec<Line>,
    /// Cells that are not finished, with the reason where there is one.
    pub missing: Vec<(String, String)>,
    /// Processors, commits and threads of the cells, each once.
    pub made: Vec<String>,
    /// What was trained on, each once.
    pub data: Vec<String>,
    /// What the recipes of all finished cells say alike, the seed left out.
    pub shared: toml::Table,
}

impl Results {
    /// Reads every cell of a folder.
    ///
    /// # Errors
    /// If the folder is of another version. A cell that cannot be read counts as missing, with its reason.
    pub fn read(folder: &Folder) -> Result<Self> {
        let contents = folder.contents()?;
        let (mut lines, mut missing, mut made, mut data) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut shared: Option<toml::Table> = None;
        for entry in &contents.cells {
            let why = match folder.state(&entry.name)? {
                State::New => "not begun".to_owned(),
                State::Unfinished => "not finished".to_owned(),
                State::Failed(why) => why,
                State::Finished => match with_recipe(folder, &entry.name) {
                    Err(error) => error.to_string(),
                    Ok((summary, recipe)) => {
                        shared = Some(match shared {
                            Some(known) => common(known, &recipe),
                            None => recipe,
                        });
                        note(&mut made, environment(&summary));
                        note(&mut data, described(&summary));
                        let run = Run::open(&folder.cell(&entry.name))?;
                        let spectrum = summary.spectrum.iter().find(|one| one.name == "trained projector");
                        lines.push(Line {
                            cell: entry.name.clone(),
                            settings: entry.settings.clone(),
                            seed: entry.seed,
                            values: QUANTITIES.iter().map(|quantity| quantity.of(&summary)).collect(),
                            selection: Score::load(&run).map(|score| score.knn),
                            saw_labels: summary.saw_labels(),
                            spectrum: spectrum.map(|one| one.values.clone()).unwrap_or_default(),
                        });
                        continue;
                    }
                },
            };
            missing.push((entry.name.clone(), why));
        }
        Ok(Self { contents, lines, missing, made, data, shared: shared.unwrap_or_default() })
    }

    /// The part of the results that has this setting on this axis, without the axis.
    #[must_use]
    pub fn only(&self, axis: &str, setting: &str) -> Self {
        let has =
            |settings: &[(String, String)]| settings.iter().any(|(name, of)| name == axis && of == setting);
        let rest = |settings: &[(String, String)]| -> Vec<(String, String)> {
            settings.iter().filter(|(name, _)| name != axis).cloned().collect()
        };
        let mut part = self.clone();
        part.lines.retain(|line| has(&line.settings));
        part.lines.iter_mut().for_each(|line| line.settings = rest(&line.settings));
        part.contents.cells.retain(|cell| has(&cell.settings));
        part.contents.cells.iter_mut().for_each(|cell| cell.settings = rest(&cell.settings));
        part.missing.retain(|(cell, _)| {
            self.contents.cells.iter().any(|one| one.name == *cell && has(&one.settings))
        });
        part
    }

    /// The axes, in the grid's order.
    pub fn axes(&self) -> Vec<&str> {
        let mut axes: Vec<&str> = Vec::new();
        for (axis, _) in self.contents.cells.iter().flat_map(|cell| &cell.settings) {
            if !axes.contains(&axis.as_str()) {
                axes.push(axis);
            }
        }
        axes
    }

    /// The settings of an axis that some finished cell has: numbers ascending, words in the grid's order.
    pub fn settings(&self, axis: &str) -> Vec<String> {
        in_order(self.lines.iter().filter_map(|line| line.setting(axis)))
    }

    /// The settings of an axis that some cell of the grid has, finished or not, in the same order.
    pub fn planned(&self, axis: &str) -> Vec<String> {
        in_order(self.contents.cells.iter().filter_map(|cell| cell.setting(axis)))
    }

    /// Whether all settings of an axis are numbers.
    pub fn is_numeric(&self, axis: &str) -> bool {
        self.settings(axis).iter().all(|setting| setting.parse::<f64>().is_ok())
    }

    /// Writes `results.csv`.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let axes = self.axes();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut head = vec!["cell"];
        let columns: Vec<String> = axes.iter().map(|axis| column(axis)).collect();
        head.extend(columns.iter().map(String::as_str));
        head.push("seed");
        head.extend(QUANTITIES.iter().map(|quantity| quantity.name));
        head.push("selection_knn");
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:?}"));
        let all = || -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
            writer.write_record(&head)?;
            for line in &self.lines {
                let mut record = vec![line.cell.clone()];
                record.extend(axes.iter().map(|axis| line.setting(axis).unwrap_or_default().to_owned()));
                record.push(line.seed.to_string());
                record.extend(line.values.iter().copied().chain([line.selection]).map(number));
                writer.write_record(&record)?;
            }
            Ok(writer.into_inner()?)
        };
        let bytes = { all }().map_err(|error| Error::input(error.to_string()))?;
        atomic::write_bytes(path, &bytes)
    }

    /// Writes `results.parquet`, the same columns.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_parquet(&self, path: &Path) -> Result<()> {
        atomic::write(path, |file| self.parquet(file).map_err(io::Error::other))
    }

    fn parquet(&self, file: impl io::Write + Send) -> ParquetResult<()> {
        let axes = self.axes();
        let words = |name: &str, kind: &str| format!("optional {kind};").replace("NAME", name);
        let mut schema = vec!["required binary cell (STRING);".to_owned()];
        schema.extend(axes.iter().map(|axis| words(&column(axis), "binary NAME (STRING)")));
        schema.push("required int64 seed;".to_owned());
        let numbers = QUANTITIES.iter().map(|quantity| quantity.name).chain(["selection_knn"]);
        schema.extend(numbers.map(|name| words(name, "double NAME")));
        let schema = parse_message_type(&format!("message results {{ {} }}", schema.join(" ")))?;
        let mut writer =
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(WriterProperties::builder().build()))?;
        let mut group = writer.next_row_group()?;
        let mut texts: Vec<Vec<Option<&str>>> =
            vec![self.lines.iter().map(|line| Some(line.cell.as_str())).collect()];
        texts.extend(axes.iter().map(|axis| self.lines.iter().map(|line| line.setting(axis)).collect()));
        let defined = |some: &[bool]| some.iter().map(|&some| i16::from(some)).collect::<Vec<i16>>();
        let few = || ParquetError::General("the schema has fewer columns than the table".to_owned());
        for (place, column) in texts.into_iter().enumerate() {
            let mut out = group.next_column()?.ok_or_else(few)?;
            let levels = defined(&column.iter().map(Option::is_some).collect::<Vec<_>>());
            let values: Vec<ByteArray> = column.into_iter().flatten().map(ByteArray::from).collect();
            out.typed::<ByteArrayType>().write_batch(&values, (place > 0).then_some(&levels[..]), None)?;
            out.close()?;
        }
        let mut out = group.next_column()?.ok_or_else(few)?;
        let wide = |line: &Line| {
            i64::try_from(line.seed).map_err(|_| {
                ParquetError::General(format!("seed {} does not fit into parquet's int64", line.seed))
            })
        };
        let seeds: Vec<i64> = self.lines.iter().map(wide).collect::<ParquetResult<_>>()?;
        out.typed::<Int64Type>().write_batch(&seeds, None, None)?;
        out.close()?;
        for place in 0..=QUANTITIES.len() {
            let column: Vec<Option<f64>> = self
                .lines
                .iter()
                .map(|line| line.values.get(place).copied().unwrap_or(line.selection))
                .collect();
            let mut out = group.next_column()?.ok_or_else(few)?;
            let levels = defined(&column.iter().map(Option::is_some).collect::<Vec<_>>());
            let values: Vec<f64> = column.into_iter().flatten().collect();
            out.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
            out.close()?;
        }
        group.close()?;
        writer.close()?;
        Ok(())
    }
}

/// A finished cell, and its recipe without the seed.
fn with_recipe(folder: &Folder, cell: &str) -> Result<(Summary, toml::Table)> {
    let summary = folder.summary(cell)?;
    let (_, recipe) = seed_and_rest(&summary)?;
    Ok((summary, recipe))
}

/// The keys that two tables have with one value; of a table in them likewise, and none that is left empty.
fn common(one: toml::Table, other: &toml::Table) -> toml::Table {
    let alike = one.into_iter().filter_map(|(key, value)| match (value, other.get(&key)?) {
        (toml::Value::Table(one), toml::Value::Table(other)) => {
            let rest = common(one, other);
            (!rest.is_empty()).then_some((key, toml::Value::Table(rest)))
        }
        (one, other) => (one == *other).then_some((key, one)),
    });
    alike.collect()
}

/// Each setting once: numbers ascending, words as they come.
fn in_order<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut settings: Vec<String> = Vec::new();
    for setting in all {
        if !settings.iter().any(|known| known == setting) {
            settings.push(setting.to_owned());
        }
    }
    if let Some(numbers) = settings.iter().map(|one| one.parse::<f64>().ok()).collect::<Option<Vec<_>>>() {
        let mut order: Vec<usize> = (0..settings.len()).collect();
        order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        settings = order.into_iter().map(|i| settings[i].clone()).collect();
    }
    settings
}

fn note(known: &mut Vec<String>, words: String) {
    if !known.contains(&words) {
        known.push(words);
    }
}

fn environment(summary: &Summary) -> String {
    let word = |key: &str| summary.environment[key].as_str().unwrap_or("unknown").to_owned();
    format!(
        "riesz {} (commit {}) on {}, {} threads",
        word("riesz"),
        word("commit"),
        word("processor"),
        summary.environment["threads"]
    )
}

fn described(summary: &Summary) -> String {
    format!(
        "{}: {} training and {} held-out images; {}",
        summary.data, summary.train_images, summary.test_images, summary.encoder
    )
}

/// What tests of a grid's report begin with.
#[cfg(test)]
pub(super) mod made {
    use super::super::folder::{Contents, Entry};
    use super::{Line, QUANTITIES, Results};

    /// A finished cell whose first quantity (kNN) is said.
    pub(in super::super) fn line(cell: &str, settings: &[(&str, &str)], seed: u64, first: f64) -> Line {
        let mut values = vec![None; QUANTITIES.len()];
        values[0] = Some(first);
        Line {
            cell: cell.to_owned(),
            settings: settings.iter().map(|(axis, of)| ((*axis).to_owned(), (*of).to_owned())).collect(),
            seed,
            values,
            selection: None,
            saw_labels: false,
            spectrum: Vec::new(),
        }
    }

    /// The same cell as it was planned.
    pub(in super::super) fn entry(line: &Line) -> Entry {
        Entry { name: line.cell.clone(), settings: line.settings.clone(), seed: line.seed }
    }

    /// A grid of planned and finished cells.
    pub(in super::super) fn results(cells: Vec<Entry>, lines: Vec<Line>) -> Results {
        let contents = Contents {
            schema_version: 1,
            riesz: String::new(),
            name: String::new(),
            recipe: String::new(),
            select: None,
            cells,
        };
        Results {
            contents,
            lines,
            missing: Vec::new(),
            made: Vec::new(),
            data: Vec::new(),
            shared: toml::Table::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    #[test]
    fn what_all_recipes_say_is_shared() {
        let tables = [
            "epochs = 6\nlr = 0.1\n[loss]\nname = \"dcl\"\ntau = 0.3\n[augment.crop]\nscale = [0.2, 1.0]",
            "epochs = 6\nlr = 0.2\n[loss]\nname = \"dhel\"\ntau = 0.3\nmore = 1\n[augment.crop]\nscale = [0.3, 1.0]",
        ];
        let [one, other] = tables.map(|text| text.parse::<toml::Table>().unwrap());
        let shared: toml::Table = "epochs = 6\nloss.tau = 0.3".parse().unwrap();
        assert_eq!(common(one.clone(), &other), shared);
        assert_eq!(common(other, &one), shared);
        assert_eq!(common(one.clone(), &one), one);
    }

    #[test]
    fn csv_and_parquet_have_the_same_columns_and_numbers() {
        let line = |cell, settings: &[(&str, &str)], first, selection| Line {
            selection,
            ..made::line(cell, settings, 7, first)
        };
        let lines = vec![
            line("a", &[("loss", "dcl"), ("learning-rate", "0.1")], 0.1 + 0.2, Some(0.5)),
            line("b", &[("loss", "kcl, \"x\"")], -1e-300, None),
        ];
        let results = made::results(lines.iter().map(made::entry).collect(), lines);
        let folder = tempfile::tempdir().unwrap();
        let [text, columns] = ["r.csv", "r.parquet"].map(|name| folder.path().join(name));
        results.write_csv(&text).unwrap();
        results.write_parquet(&columns).unwrap();

        let mut reader = csv::Reader::from_path(&text).unwrap();
        let head: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(head[..5], ["cell", "loss", "learning_rate", "seed", "knn"]);
        let written: Vec<Vec<String>> =
            reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
        let file = SerializedFileReader::new(std::fs::File::open(&columns).unwrap()).unwrap();
        let rows: Vec<parquet::record::Row> =
            file.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
        assert_eq!((written.len(), rows.len()), (2, 2));
        for (record, row) in written.iter().zip(&rows) {
            let told: Vec<(String, String)> = row
                .get_column_iter()
                .map(|(name, field)| {
                    let value = match field {
                        Field::Null => String::new(),
                        Field::Str(text) => text.clone(),
                        Field::Long(number) => number.to_string(),
                        Field::Double(number) => format!("{number:?}"),
                        other => panic!("{other:?}"),
                    };
                    (name.clone(), value)
                })
                .collect();
            let expected: Vec<(String, String)> = head.iter().cloned().zip(record.iter().cloned()).collect();
            assert_eq!(told, expected);
        }
        assert_eq!(rows[0].get_column_iter().nth(4).unwrap().1, &Field::Double(0.1 + 0.2));
        assert_eq!(results.only("loss", "dcl").lines.len(), 1);
        assert_eq!(results.only("loss", "dcl").axes(), ["learning-rate"]);
    }
}
