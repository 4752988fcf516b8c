//! Labels beside images in an archive, as WebDataset keeps them: `000123.jpg` has its label in `000123.cls` (a word) or in a field of
//! `000123.json`. Files belong together when their names agree up to the first dot after the last `/`.

use std::collections::BTreeMap;

use super::classes::{in_order, numbered};
use super::tree::Tree;
use crate::{Error, Result};

/// A label's file is small.
const MOST_BYTES: u64 = 1 << 20;

/// Fields of a `.json` that are a label, the first that is there.
const FIELDS: [&str; 5] = ["label", "cls", "class", "class_id", "target"];

/// The label of each of these entries, and the names of the classes.
pub(super) struct Beside {
    pub(super) label_of: Vec<Option<u32>>,
    pub(super) classes: Vec<String>,
}

/// What lies beside the images `entries`; `None` if no label does.
///
/// # Errors
/// If a label's file cannot be read, or a `.json` is none.
pub(super) fn labels(tree: &Tree, entries: &[usize]) -> Result<Option<Beside>> {
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    for index in 0..tree.entries.len() {
        let name = tree.name(index);
        if let Some((key, end @ ("cls" | "json"))) = parted(&name) {
            // A word says it better than a field.
            if end == "cls" || !files.contains_key(key) {
                files.insert(key.to_owned(), index);
            }
        }
    }
    if files.is_empty() {
        return Ok(None);
    }
    let mut words = Vec::with_capacity(entries.len());
    for &entry in entries {
        let name = tree.name(entry);
        let file = parted(&name).and_then(|(key, _)| files.get(key));
        words.push(file.map(|&file| word(tree, file)).transpose()?.flatten());
    }
    let words: Vec<Option<&str>> = words.iter().map(Option::as_deref).collect();
    let classes = in_order(words.iter().flatten().copied().collect());
    if classes.is_empty() {
        return Ok(None);
    }
    let (label_of, classes) = numbered(&words, classes);
    Ok(Some(Beside { label_of, classes }))
}

/// A name up to the first dot after the last `/`, and what follows the dot.
fn parted(name: &str) -> Option<(&str, &str)> {
    let base = name.rfind('/').map_or(0, |at| at + 1);
    let dot = base + name[base..].find('.')?;
    Some((&name[..dot], &name[dot + 1..]))
}

/// The label that a file says; none if a `.json` has no such field.
fn word(tree: &Tree, file: usize) -> Result<Option<String>> {
    let bytes = tree.read(file, MOST_BYTES)?;
    let wrong = |what: String| Error::input(what).at(tree.whereabouts(file));
    if !tree.name(file).ends_with(".json") {
        let word = String::from_utf8_lossy(&bytes).trim().to_owned();
        return if word.is_empty() {
            Err(wrong("a label without a word".to_owned()))
        } else {
            Ok(Some(word))
        };
    }
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| wrong(format!("not JSON: {error}")))?;
    Ok(FIELDS.iter().find_map(|field| match value.get(field)? {
        serde_json::Value::String(word) => Some(word.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }))
}
