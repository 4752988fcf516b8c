//! From paths to classes and splits: what the names of image files say about them.
//!
//! 1. Folders that all images share are left aside (`photos/2024/…`).
//! 2. If `train/` and one of `test/`, `val/`, `valid/`, `validation/` are there, they are the split.
//! 3. Below that, the first folder is the class, if asked for or evident.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::classes::{in_order, numbered};
use super::table;
use crate::{Error, Result};

/// Where labels come from, as the recipe says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    /// From the data's own files, or from class folders if they are evident.
    Auto,
    /// From class folders, and an error if there are none.
    Folders,
    /// None, whatever the data has.
    None,
    /// From a file of rows with names and labels.
    Table(PathBuf),
}

impl Labels {
    /// Reads the recipe's word.
    ///
    /// # Errors
    /// If it is none of `auto`, `folders`, `none`, and no path of a table.
    pub(super) fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "folders" => Ok(Self::Folders),
            "none" => Ok(Self::None),
            path if table::is_stream(path) => Err(Error::input(format!(
                "data.labels is \"{path}\", no plain file; labels are read again whenever a run goes on or is evaluated, so write \
                 them to a .csv, .tsv or .txt file"
            ))),
            path if table::is_table(path) => Ok(Self::Table(path.into())),
            other => Err(Error::input(format!(
                "data.labels is \"{other}\"; it must be \"auto\", \"folders\", \"none\" or the path of a \
                 .csv, .tsv or .txt file"
            ))),
        }
    }
}

/// An image: its place in the list of names, and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Index into the list of names.
    pub(super) image: usize,
    /// Index into the list of classes.
    pub(super) label: Option<u32>,
}

/// Images sorted into splits and classes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    /// Images to train on, in the order of the names.
    pub(super) train: Vec<Item>,
    /// Held-out images, if the folders say which.
    pub(super) test: Option<Vec<Item>>,
    /// Names of the classes, sorted.
    pub(super) classes: Vec<String>,
    /// What a user should know of it, in sentences.
    pub(super) notes: Vec<String>,
}

/// What images to train on are called, by a folder or a word of a file's name.
pub(super) const TRAIN: &str = "train";
/// What held-out images are called; of several the first.
pub(super) const HELD_OUT: [&str; 4] = ["test", "val", "valid", "validation"];

/// Arranges images by their names (relative paths with `/`); `place` is the data's own folder.
///
/// # Errors
/// If labels are asked for that are not there, or the table of labels does not fit.
pub(super) fn arrange(names: &[Cow<'_, str>], labels: &Labels, place: &Path) -> Result<Arrangement> {
    let shared = shared_folders(names);
    let tops: BTreeSet<&str> =
        names.iter().filter_map(|name| Some(name[shared..].split_once('/')?.0)).collect();
    let held_out = HELD_OUT.into_iter().find(|folder| tops.contains(TRAIN) && tops.contains(folder));
    let mut split = Split { train: Vec::new(), test: held_out.map(|_| Vec::new()) };
    let mut left_aside = 0;
    for (image, name) in names.iter().enumerate() {
        let rest = &name[shared..];
        match (held_out, rest.split_once('/')) {
            (None, _) => split.train.push((image, rest)),
            (Some(_), Some((TRAIN, below))) => split.train.push((image, below)),
            (Some(folder), Some((top, below))) if top == folder => {
                split.test.get_or_insert_default().push((image, below));
            }
            _ => left_aside += 1,
        }
    }
    let mut notes = Vec::new();
    if let (Some(folder), 1..) = (held_out, left_aside) {
        notes.push(format!("{left_aside} images outside the folders train and {folder} left aside"));
    }
    let (label_of, classes) = match labels {
        Labels::None => (vec![None; names.len()], Vec::new()),
        Labels::Auto if split.has_evident_classes() => split.classes(names)?,
        Labels::Auto => {
            notes.extend(split.why_no_classes());
            (vec![None; names.len()], Vec::new())
        }
        Labels::Folders => split.classes(names)?,
        Labels::Table(path) => {
            let table = table::read(path, names, place)?;
            notes.extend(table.notes);
            let class_of: Vec<Option<&str>> = table.class_of.iter().map(Option::as_deref).collect();
            numbered(&class_of, table.classes.iter().map(String::as_str).collect())
        }
    };
    let items = |list: Vec<(usize, &str)>| -> Vec<Item> {
        list.into_iter().map(|(image, _)| Item { image, label: label_of[image] }).collect()
    };
    Ok(Arrangement { train: items(split.train), test: split.test.map(items), classes, notes })
}

/// Images with what is left of their names below the split's folder.
struct Split<'a> {
    train: Vec<(usize, &'a str)>,
    test: Option<Vec<(usize, &'a str)>>,
}

impl<'a> Split<'a> {
    fn all(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.train.iter().chain(self.test.iter().flatten()).copied()
    }

    /// Every image lies directly in a class folder, and there are at least two such folders: with at least two
    /// images each, or, below `train/`, those that the held-out images lie in too.
    fn has_evident_classes(&self) -> bool {
        if self.all().any(|(_, rest)| rest.split('/').count() != 2) {
            return false;
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, rest) in &self.train {
            *counts.entry(class_folder(rest).unwrap_or_default()).or_default() += 1;
        }
        let known = |rest: &str| class_folder(rest).is_some_and(|class| counts.contains_key(class));
        counts.len() >= 2
            && match &self.test {
                Some(test) => test.iter().all(|(_, rest)| known(rest)),
                None => counts.values().all(|&count| count >= 2),
            }
    }

    /// Why folders are no classes, where most images lie directly in one of at least two, each of several images: the first image
    /// or folder that keeps them from being classes.
    fn why_no_classes(&self) -> Option<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, rest) in self.all() {
            if let Some((folder, name)) = rest.split_once('/')
                && !name.contains('/')
            {
                *counts.entry(folder).or_default() += 1;
            }
        }
        let several = || counts.values().filter(|&&count| count >= 2);
        if several().count() < 2 || 2 * several().sum::<usize>() <= self.all().count() {
            return None;
        }
        const ASKED: &str = "`--set data.labels=folders` takes the folders all the same";
        let loose = |(_, rest): &(usize, &str)| !rest.contains('/');
        let deep = |(_, rest): &(usize, &str)| rest.split('/').count() > 2;
        let (why, what_to_do) = if let Some((_, name)) = self.all().find(loose) {
            let more = match self.all().filter(loose).count() {
                1 => "lies in none".to_owned(),
                2 => "and another image lie in none".to_owned(),
                images => format!("and {} other images lie in none", images - 1),
            };
            (format!("{name} {more}"), "move what lies in none away, or give a table of labels")
        } else if let Some((_, name)) = self.all().find(deep) {
            (format!("{name} lies deeper than others"), ASKED)
        } else if let Some(folder) = self.only_held_out() {
            (format!("of {folder} there are held-out images alone"), ASKED)
        } else {
            let (folder, _) = counts.iter().find(|(_, count)| **count == 1)?;
            (format!("{folder} has one image"), ASKED)
        };
        Some(format!("class folders are not taken as labels: {why}; {what_to_do}"))
    }

    /// A class folder that held-out images lie in and training images do not.
    fn only_held_out(&self) -> Option<&'a str> {
        let trained_on: BTreeSet<&str> =
            self.train.iter().filter_map(|(_, rest)| class_folder(rest)).collect();
        let held_out = self.test.iter().flatten().filter_map(|(_, rest)| class_folder(rest));
        held_out.into_iter().find(|folder| !trained_on.contains(folder))
    }

    /// The first folder of each image, at whatever depth the image lies.
    fn classes(&self, names: &[Cow<'_, str>]) -> Result<(Vec<Option<u32>>, Vec<String>)> {
        let mut folders = vec![None; names.len()];
        for (image, rest) in self.all() {
            let folder = class_folder(rest).ok_or_else(|| {
                let name = &names[image];
                let above = name.strip_suffix(rest).unwrap_or_default();
                let classes = if above.is_empty() { "at the top".to_owned() } else { format!("in {above}") };
                Error::input(format!(
                    "data.labels is \"folders\", but {name} lies in no class folder: classes are the folders {classes}, and every image must \
                     lie in one, such as {above}CLASS/{rest}; move what lies in none away, or give a table of labels"
                ))
            })?;
            folders[image] = Some(folder);
        }
        let classes: BTreeSet<&str> = folders.iter().flatten().copied().collect();
        if classes.len() < 2 {
            let found =
                classes.first().map_or("no folder".to_owned(), |folder| format!("only the folder {folder}"));
            return Err(Error::input(format!(
                "data.labels is \"folders\", but there is {found}; at least 2 class folders are needed"
            )));
        }
        Ok(numbered(&folders, in_order(classes)))
    }
}

fn class_folder(rest: &str) -> Option<&str> {
    rest.split_once('/').map(|(folder, _)| folder)
}

/// Bytes of the longest path of folders (with its last `/`) that all names begin with.
fn shared_folders(names: &[Cow<'_, str>]) -> usize {
    let Some(first) = names.first() else { return 0 };
    let mut shared = first.rfind('/').map_or(0, |at| at + 1);
    for name in names {
        while !name.starts_with(&first[..shared]) {
            shared = first[..shared - 1].rfind('/').map_or(0, |at| at + 1);
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arranged(names: &[&str], labels: &Labels) -> Result<Arrangement> {
        let names: Vec<Cow<'_, str>> = names.iter().map(|&name| Cow::Borrowed(name)).collect();
        arrange(&names, labels, Path::new("."))
    }

    fn labels_of(items: &[Item]) -> Vec<Option<u32>> {
        items.iter().map(|item| item.label).collect()
    }

    #[test]
    fn class_folders_are_evident_when_every_image_lies_in_one() {
        let found = arranged(&["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"], &Labels::Auto).unwrap();
        assert_eq!(found.classes, ["cat", "dog"]);
        assert_eq!(labels_of(&found.train), [Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(found.test, None);
        for not_evident in [
            &["cat/1.png", "cat/2.png", "dog/1.png"][..],
            &["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "3.png"],
            &["cat/1.png", "cat/2.png", "dog/a/1.png", "dog/a/2.png"],
            &["1.png", "2.png"],
            &["cat/1.png", "cat/2.png"],
        ] {
            let found = arranged(not_evident, &Labels::Auto).unwrap();
            assert!(found.classes.is_empty(), "{not_evident:?}");
            assert!(found.train.iter().all(|item| item.label.is_none()));
        }
    }

    #[test]
    fn what_keeps_folders_from_being_classes_is_told() {
        let classes = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"];
        let split = ["train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png", "test/a/3.png"];
        let no_note = "";
        for (names, more, why) in [
            (&classes[..], &[][..], no_note),
            (&classes, &["banner.png"], "banner.png lies in none; move what lies in none away"),
            (&classes, &["a.png", "b.png"], "a.png and another image lie in none"),
            (&classes, &["eel/1.png"], "eel has one image; `--set data.labels=folders` takes"),
            (&classes, &["dog/old/1.png"], "dog/old/1.png lies deeper than others"),
            (&split, &["test/c/1.png"], "of c there are held-out images alone"),
            // Where most images lie elsewhere, folders are something else.
            (&classes, &["1.png", "2.png", "3.png", "4.png"], no_note),
            (&["cat/1.png", "cat/2.png"], &["1.png"], no_note),
            (&["1.png", "2.png"], &[], no_note),
        ] {
            let mut names = [names, more].concat();
            names.sort_unstable();
            let notes = arranged(&names, &Labels::Auto).unwrap().notes;
            assert_eq!(notes.len(), usize::from(!why.is_empty()), "{names:?}: {notes:?}");
            let begins = format!("class folders are not taken as labels: {why}");
            assert!(notes.iter().all(|note| note.starts_with(&begins)), "{notes:?}, not {begins}");
            assert_eq!(arranged(&names, &Labels::None).unwrap().notes, [""; 0], "nobody asked for labels");
        }
    }

    #[test]
    fn folders_of_numbers_are_in_the_order_of_numbers() {
        let found = arranged(&["10/1.png", "10/2.png", "9/1.png", "9/2.png"], &Labels::Auto).unwrap();
        assert_eq!(found.classes, ["9", "10"]);
    }

    #[test]
    fn asked_for_folders_are_classes_at_any_depth() {
        let found = arranged(&["a/x/1.png", "a/2.png", "b/1.png"], &Labels::Folders).unwrap();
        assert_eq!((found.classes.len(), labels_of(&found.train)), (2, vec![Some(0), Some(0), Some(1)]));
        for (names, why) in [
            (
                &["a/1.png", "2.png"][..],
                "2.png lies in no class folder: classes are the folders at the top, and",
            ),
            (
                &["1.png", "2.png"],
                "every image must lie in one, such as CLASS/1.png; move what lies in none away",
            ),
            // A folder that all images share is no class.
            (
                &["only/1.png", "only/2.png"],
                "only/1.png lies in no class folder: classes are the folders in only/, and",
            ),
            (&["train/a/1.png", "train/2.png", "val/a/3.png"], "lie in one, such as train/CLASS/2.png;"),
        ] {
            let message = arranged(names, &Labels::Folders).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn train_and_test_folders_are_the_split_also_below_shared_folders() {
        let names = ["top/test/b/9.png", "top/train/a/1.png", "top/train/b/2.png"];
        let found = arranged(&names, &Labels::Auto).unwrap();
        assert_eq!(found.train, [Item { image: 1, label: Some(0) }, Item { image: 2, label: Some(1) }]);
        assert_eq!(found.test, Some(vec![Item { image: 0, label: Some(1) }]));

        let found = arranged(&["val/1.png", "train/2.png", "readme.png"], &Labels::Auto).unwrap();
        assert_eq!((found.train.len(), found.test.map(|test| test.len())), (1, Some(1)));
        assert_eq!(found.notes, ["1 images outside the folders train and val left aside"]);
        let found = arranged(&["train/a/1.png", "train/b/2.png"], &Labels::Folders).unwrap();
        assert_eq!((found.test, found.classes.len()), (None, 2), "without a test folder nothing is split");
        // `testing/` is a class, not a split.
        let found =
            arranged(&["train/1.png", "train/2.png", "testing/1.png", "testing/2.png"], &Labels::Auto);
        assert_eq!(found.unwrap().classes, ["testing", "train"]);
    }

    #[test]
    fn shared_folders_are_whole_components() {
        let names = |list: &[&'static str]| list.iter().map(|&name| Cow::Borrowed(name)).collect::<Vec<_>>();
        assert_eq!(shared_folders(&names(&["ab/c/1", "ab/cd/1"])), 3);
        assert_eq!(shared_folders(&names(&["ab/1", "ac/1"])), 0);
        assert_eq!(shared_folders(&names(&["é/ü/1", "é/ü/2"])), "é/ü/".len());
        assert_eq!(shared_folders(&[]), 0);
    }

    #[test]
    fn the_recipes_word_is_checked() {
        assert_eq!(Labels::parse("none").unwrap(), Labels::None);
        assert!(Labels::parse("folder").unwrap_err().to_string().contains("data.labels is \"folder\""));
    }
}
