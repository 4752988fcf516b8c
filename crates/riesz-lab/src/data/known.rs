//! Data sets known by name: what is embedded, where the others are looked for, and where they can be fetched.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A data set that `riesz train NAME` finds by itself.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The name.
    pub name: &'a str,
    /// One line: what it is.
    pub about: &'a str,
    /// Its files at the official address.
    pub files: &'a [Remote<'a>],
    /// Folders of an installed system that may hold it.
    pub installed: &'a [&'a str],
    /// Names of the classes, where the files do not have them.
    pub classes: &'a [&'a str],
}

/// One file to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Remote<'a> {
    /// Its address.
    pub url: &'a str,
    /// MD5 of the file, as the data set's own page or the usual loaders publish it.
    pub md5: &'a str,
    /// Its bytes, for the listing.
    pub bytes: u64,
}

/// The name of the embedded data set.
pub const BUILT_IN: &str = "fashion-mnist-12k";

/// Fashion-MNIST's classes.
pub(super) const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Every data set that can be fetched.
pub const KNOWN: [Known<'static>; 4] = [
    Known {
        name: "fashion-mnist",
        about: "60,000 + 10,000 grey 28 × 28, 10 classes of clothing (MIT, © 2017 Zalando SE)",
        files: &[
            Remote {
                url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
                md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                bytes: 26_421_880,
            },
            Remote {
                url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
                md5: "25c81989df183df01b3e8a0aad5dffbe",
                bytes: 29_515,
            },
            Remote {
                url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
                md5: "bef4ecab320f06d8554ea6380940ec79",
                bytes: 4_422_102,
            },
            Remote {
                url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
                md5: "bb300cfdad3c16e7a12a480ee83cd310",
                bytes: 5_148,
            },
        ],
        installed: &["/usr/share/datasets/fashion-mnist"],
        classes: &FASHION_MNIST_CLASSES,
    },
    Known {
        name: "cifar10",
        about: "50,000 + 10,000 color 32 × 32, 10 classes (no licence is stated)",
        files: &[Remote {
            url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            md5: "c32a1d4ab5d03f1284b67883e8d87530",
            bytes: 170_052_171,
        }],
        installed: &[],
        classes: &[],
    },
    Known {
        name: "cifar100",
        about: "50,000 + 10,000 color 32 × 32, 100 classes (no licence is stated)",
        files: &[Remote {
            url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            md5: "03b5dce01913d631647c71ecec9e9cb8",
            bytes: 168_513_733,
        }],
        installed: &[],
        classes: &[],
    },
    Known {
        name: "stl10",
        about: "5,000 + 100,000 unlabeled + 8,000 color 96 × 96, 10 classes (no licence is stated)",
        files: &[Remote {
            url: "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
            md5: "91f7769df0f17e558f3565bffb0c7dfb",
            bytes: 2_640_397_119,
        }],
        installed: &[],
        classes: &[],
    },
];

impl Known<'static> {
    /// The known data set of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name == name)
    }
}

impl Known<'_> {
    /// Folders that are looked in, in this order: the fetched one, then installed ones.
    pub fn places(&self) -> Vec<PathBuf> {
        let fetched = cache().map(|cache| cache.join(self.name));
        fetched.into_iter().chain(self.installed.iter().map(PathBuf::from)).collect()
    }

    /// Where it is on this machine.
    ///
    /// # Errors
    /// If it is nowhere, or not all of it; the sentence says where it was looked for and how to get it.
    pub fn find(&self) -> Result<PathBuf> {
        let places = self.places();
        let whole = |place: &PathBuf| match self.files {
            [archive] if archive.is_whole(place) => Some(archive.path(place)),
            _ => (place.is_dir() && !self.is_unfinished(place)).then(|| place.clone()),
        };
        places.iter().find_map(whole).ok_or_else(|| {
            let name = self.name;
            if let Some(place) = places.iter().find(|place| self.is_unfinished(place)) {
                let place = place.display();
                return Error::input(format!(
                    "{name}: {place} has only a part of it, or has it packed; `riesz data fetch {name}` goes on from there"
                ));
            }
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            Error::input(format!(
                "{name}: not found in {}; `riesz data fetch {name}` downloads it ({})",
                places.join(" or "),
                megabytes(self.bytes()),
            ))
        })
    }

    /// Whether a fetch into `folder` has begun and not ended: some of the files, or parts of them, or archives that are
    /// not unpacked. A folder without any may hold the data set from elsewhere, and so may one in which the user has
    /// unpacked the archive.
    pub fn is_unfinished(&self, folder: &Path) -> bool {
        let whole = self.files.iter().filter(|file| file.is_whole(folder)).count();
        let is_begun = |file: &&Remote<'_>| {
            [file.name().to_owned(), format!("{}.part", file.name())]
                .iter()
                .any(|name| folder.join(name).is_file())
        };
        let begun = self.files.iter().filter(is_begun).count();
        let unpacked_by_hand = self.files.iter().any(|file| file.unpacked().is_some()) && has_folder(folder);
        whole < self.files.len() && whole + begun > 0 && !unpacked_by_hand
    }

    /// Bytes to fetch.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl Remote<'_> {
    /// The file's name: the end of its address.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(self.url)
    }

    /// The folder that an archive is unpacked into: its name without the ending. `None` for a file that is used as it is.
    pub fn unpacked(&self) -> Option<&str> {
        self.name().strip_suffix(".tar.gz")
    }

    /// What is used of it, when it was fetched into `folder`: the file, or the folder it is unpacked into.
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(self.unpacked().unwrap_or(self.name()))
    }

    /// Whether it was fetched into `folder`, and unpacked.
    pub fn is_whole(&self, folder: &Path) -> bool {
        let path = self.path(folder);
        if self.unpacked().is_some() { path.is_dir() } else { path.is_file() }
    }
}

/// Whether there is a visible folder in `folder`.
fn has_folder(folder: &Path) -> bool {
    let is_visible = |name: &std::ffi::OsStr| !name.as_encoded_bytes().starts_with(b".");
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| is_visible(&entry.file_name()) && entry.path().is_dir())
    })
}

/// A number of bytes for people: `31 MB`.
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        ..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..10_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

/// The folder of fetched data: `$XDG_CACHE_HOME/riesz`, else `~/.cache/riesz`. The one place that reads it.
pub fn cache() -> Option<PathBuf> {
    let folder =
        |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache"))).map(|cache| cache.join("riesz"))
}
