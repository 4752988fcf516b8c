//! Which columns of a table hold the embedding: one of lists, or one of numbers for each dimension.

use std::collections::BTreeSet;

/// Columns that are no part of an embedding, in small letters.
const BESIDE: [&str; 10] =
    ["path", "filename", "file", "image", "name", "id", "index", "label", "class", "target"];

/// The columns of the numbers, in the order of the file, and the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dimensions {
    /// The names of the columns that are read as numbers.
    pub taken: Vec<String>,
    /// The names of the others.
    pub left: Vec<String>,
}

impl Dimensions {
    /// From all names, and which of them are taken.
    pub(super) fn new(names: &[String], taken: &[usize]) -> Self {
        let is_taken: BTreeSet<usize> = taken.iter().copied().collect();
        let of = |wanted: bool| {
            let chosen = names.iter().enumerate().filter(|(i, _)| is_taken.contains(i) == wanted);
            chosen.map(|(_, name)| name.clone()).collect()
        };
        Self { taken: of(true), left: of(false) }
    }

    /// Refuses a dimension that was left out because it is no number of those that are taken.
    fn whole(self) -> Result<Self, String> {
        match missing(&self) {
            Some(name) => Err(format!(
                "column {name} is called as the {} columns of f16, f32 or f64 are and holds something else; write it as such numbers, \
                 or call it otherwise",
                self.taken.len()
            )),
            None => Ok(self),
        }
    }

    /// In words.
    pub fn told(&self) -> String {
        let left = if self.left.is_empty() { "none".to_owned() } else { listed(&self.left) };
        format!(
            "the numbers of a row are in {} columns: {}; left out: {left}",
            self.taken.len(),
            listed(&self.taken)
        )
    }
}

/// The column of lists that is taken where several would do.
const USUAL: &str = "embedding";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lists of f16, f32 or f64.
    Lists,
    /// One f16, f32 or f64 a row.
    Number,
    /// Anything else.
    Other,
}

/// A column as its file describes it.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its name in full, if it lies within another.
    pub(super) path: String,
    pub(super) kind: Kind,
    /// What it holds, in the words of the format.
    pub(super) holds: String,
}

/// Where the numbers of a row are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Embedding {
    /// In one column of lists.
    Lists(usize),
    /// Each in a column of its own.
    Flat(Vec<usize>, Dimensions),
}

impl Embedding {
    pub(super) fn columns(&self) -> &[usize] {
        match self {
            Self::Lists(column) => std::slice::from_ref(column),
            Self::Flat(columns, _) => columns,
        }
    }

    pub(super) fn dimensions(&self) -> Option<&Dimensions> {
        match self {
            Self::Lists(_) => None,
            Self::Flat(_, dimensions) => Some(dimensions),
        }
    }
}

/// The column of lists that is wanted, the only one or the usual one; else all columns of numbers whose names begin with what is wanted,
/// or that are not beside the embedding. `indices` are what pandas calls its index.
///
/// # Errors
/// The reason, without the file's name.
pub(super) fn choose(
    columns: &[Column],
    wanted: Option<&str>,
    texts: &[String],
    indices: &[String],
) -> Result<Embedding, String> {
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let of = |kind: Kind, is_wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let fits = |&i: &usize| columns[i].kind == kind && is_wanted(&names[i]);
        (0..columns.len()).filter(fits).collect()
    };
    let flat = |taken: Vec<usize>| {
        let dimensions = Dimensions::new(&names, &taken).whole()?;
        Ok(Embedding::Flat(taken, dimensions))
    };
    if let Some(name) = wanted {
        let found = columns.iter().position(|column| column.name == name || column.path == name);
        let dimensions = of(Kind::Number, &|column| column.starts_with(name));
        return match found {
            Some(i) if columns[i].kind == Kind::Lists => Ok(Embedding::Lists(i)),
            _ if dimensions.len() > 1 => flat(dimensions),
            None => Err(format!("has no column {name}; it has {}", names.join(", "))),
            Some(i) => {
                Err(format!("column {name} holds {}; expected lists of f16, f32 or f64", columns[i].holds))
            }
        };
    }
    let lists = of(Kind::Lists, &|_| true);
    match lists[..] {
        [only] => Ok(Embedding::Lists(only)),
        [] => {
            let dimensions = of(Kind::Number, &|name| !is_beside(name, indices, texts));
            if dimensions.len() > 1 {
                return flat(dimensions);
            }
            let all = columns.iter().map(|column| format!("{} ({})", column.name, column.holds));
            Err(format!(
                "has no column of lists of f16, f32 or f64, and no columns of such numbers; its columns are {}",
                all.collect::<Vec<_>>().join(", ")
            ))
        }
        _ => match lists.iter().find(|&&i| names[i] == USUAL) {
            Some(&usual) => Ok(Embedding::Lists(usual)),
            None => {
                let lists: Vec<&str> = lists.iter().map(|&i| names[i].as_str()).collect();
                Err(format!("has several columns of lists; name one of {}", lists.join(", ")))
            }
        },
    }
}

/// The first few names.
pub(super) fn listed(names: &[String]) -> String {
    let names: Vec<&str> =
        names.iter().map(|name| if name.is_empty() { "one without a name" } else { name.as_str() }).collect();
    let more = if names.len() > 12 { format!(" and {} more", names.len() - 12) } else { String::new() };
    format!("{}{more}", names[..names.len().min(12)].join(", "))
}

/// Whether a column is called as another is, but for the number at its end.
pub(super) fn is_in_a_row(names: &[String], column: usize) -> bool {
    let of = |name: &str| stem(name).map(str::to_owned);
    let own = of(&names[column]);
    own.is_some() && names.iter().enumerate().any(|(i, name)| i != column && of(name) == own)
}

/// Whether a column of such a name is beside the embedding: called so, without a name or what pandas makes of that, an index by what
/// pandas says of the table, or one of the `texts` that were asked for.
pub(super) fn is_beside(name: &str, indices: &[String], texts: &[String]) -> bool {
    let small = name.to_lowercase();
    BESIDE.contains(&small.as_str())
        || small.is_empty()
        || small.starts_with("unnamed:")
        || indices.iter().chain(texts).any(|other| other == name)
}

/// The columns that pandas keeps an index in, by its note in a file's metadata.
pub(super) fn indices(pandas: &str) -> Vec<String> {
    let note: serde_json::Value = serde_json::from_str(pandas).unwrap_or_default();
    let names = note["index_columns"].as_array().into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// A column that is called as the dimensions are, but for the number at its end, and was left out.
fn missing(of: &Dimensions) -> Option<&String> {
    let taken: BTreeSet<&str> = of.taken.iter().filter_map(|name| stem(name)).collect();
    of.left.iter().find(|name| stem(name).is_some_and(|stem| taken.contains(stem)))
}

/// A name without the number at its end, if it has one.
fn stem(name: &str) -> Option<&str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.len() < name.len()).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_and_an_integer_among_the_dimensions_is_found() {
        let names = ["id", "f0", "f1", "year"].map(str::to_owned);
        let found = Dimensions::new(&names, &[1, 2]);
        assert_eq!(found.told(), "the numbers of a row are in 2 columns: f0, f1; left out: id, year");
        assert!(
            Dimensions::new(&["", "a", "b"].map(str::to_owned), &[1, 2])
                .told()
                .ends_with("out: one without a name")
        );
        let whole = |names: &[&str], taken: &[usize]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Dimensions::new(&names, taken).whole()
        };
        assert!(
            whole(&["id", "f0", "f1", "year"], &[1, 2]).is_ok() && whole(&["f", "g2", "f0"], &[2]).is_ok()
        );
        assert!(
            whole(&["id", "f0", "f1", "f2"], &[1, 3]).unwrap_err().contains("column f1 is called as the 2")
        );
        assert!(whole(&["0", "1", "2"], &[0, 2]).is_err());
        let many: Vec<String> = (0..20).map(|i| i.to_string()).collect();
        assert!(listed(&many).ends_with("11 and 8 more"));
        assert_eq!(indices(r#"{"index_columns": ["row", {"kind": "range"}]}"#), ["row"]);
        assert!(indices("no json").is_empty());
        assert!(is_beside("Unnamed: 0", &[], &[]) && is_beside("", &[], &[]) && is_beside("Label", &[], &[]));
        let names = ["idx", "f0", "f1", "g2"].map(str::to_owned);
        assert_eq!([0, 1, 2, 3].map(|column| is_in_a_row(&names, column)), [false, true, true, false]);
        assert!(is_beside("row", &["row".to_owned()], &[]) && !is_beside("f0", &[], &[]));
    }
}
