//! What readers have before they begin with a page, and how each of these things is made here: from drawn pictures and rows, and by
//! riesz itself. Things are made once, when the first page wants them, and copied into the folder of each page.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{Rgb, RgbImage};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use riesz::Matrix;
use riesz::rng::{Key, normal};
use riesz_lab::embeddings::{self, Columns, ParquetFile, Part};
use riesz_lab::encoder::{Backbone, Encoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::Engine;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::page::{Block, Page};
use crate::reader::bash;
use crate::shell;

/// For each page the things that it begins with, by the names that it gives them; `docs/losses/` are all pages in that folder.
const BEFORE: &[(&str, &[&str])] = &[
    (
        "README.md",
        &[
            // The first command leaves it.
            "runs/fashion-mnist-12k",
            "photos",
            "labels.csv",
            "images.tar.xz",
            "shards/train-{000..146}.tar",
            "dataset",
            "resnet50.safetensors",
            "RUN",
            "other",
            "query.jpg",
            "batch.safetensors",
            "embeddings.npy",
            "shards/",
            "old.npy",
            "new.npy",
            "grid.toml",
        ],
    ),
    ("docs/finetune.md", &["runs/fashion-mnist-12k", "runs/photos", "labels.csv", "other"]),
    ("docs/geometry-partials.md", &["shards/"]),
    ("docs/geometry.md", &["embeddings.npy", "shards/", "clip.parquet", "u.npy", "v.npy"]),
    ("docs/losses/", &["golden"]),
    ("docs/photos.md", &["photos", "query.jpg"]),
    (
        "docs/pretrained.md",
        &[
            "photos",
            "other",
            "runs/photos",
            "resnet50.safetensors",
            "vit_small.safetensors",
            "resnet18.safetensors",
        ],
    ),
    ("docs/sweep.md", &["grid.toml"]),
    ("riesz --help", &["photos", "embeddings.parquet", "batch.safetensors"]),
    ("riesz bench train --help", &["photos"]),
    ("riesz compare --help", &["clip-a.npy", "clip-b.npy", "old.parquet", "new.parquet"]),
    (
        "riesz completions --help",
        &[".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"],
    ),
    ("riesz data --help", &["photos"]),
    ("riesz duplicates --help", &["runs/photos", "photos", "photos.parquet", "embeddings.npy"]),
    ("riesz embed --help", &["runs/fashion-mnist-12k", "runs/photos", "photos", "other-photos.zip"]),
    ("riesz eval --help", &["runs/photos", "photos"]),
    ("riesz export --help", &["runs/fashion-mnist-12k", "runs/photos"]),
    ("riesz finetune --help", &["runs/fashion-mnist-12k", "runs/photos", "labels.csv", "other"]),
    (
        "riesz geometry --help",
        &[
            "embeddings.npy",
            "shards/",
            "runs/fashion-mnist-12k",
            "clip.parquet",
            "u.npy",
            "v.npy",
            "part-07.npy",
        ],
    ),
    ("riesz loss --help", &["batch.safetensors", "batch.npy", "u.npy", "v.npy", "labels.txt"]),
    ("riesz search --help", &["runs/photos", "photos", "query.jpg", "other.jpg", "embeddings.npy"]),
    ("riesz sphere theory --help", &["docs"]),
    ("riesz sweep --help", &["grid.toml"]),
    ("riesz train --help", &["photos", "cifar10.tar.xz", "other", "resnet50.safetensors"]),
];

fn before(page: &str) -> &'static [&'static str] {
    let entry = BEFORE.iter().find(|(of, _)| *of == page || of.ends_with('/') && page.starts_with(of));
    entry.map_or(&[], |(_, things)| things)
}

/// Every page of the table exists, and names what it begins with.
pub(crate) fn check(pages: &[Page]) {
    for (of, _) in BEFORE {
        let is_there = |page: &Page| page.name == *of || of.ends_with('/') && page.name.starts_with(of);
        assert!(pages.iter().any(is_there), "{of} is no page");
    }
    for page in pages.iter().filter(|page| page.blocks.iter().any(Block::is_shell)) {
        let lines = page.blocks.iter().flat_map(|block| &block.lines);
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        for thing in before(&page.name) {
            assert!(text.contains(thing), "{} does not name {thing}", page.name);
        }
    }
}

/// Things that are a command's, with what it reads.
const MADE: [(&str, &[&str], &str); 8] = [
    ("runs/fashion-mnist-12k", &[], "riesz train"),
    ("RUN", &["runs/fashion-mnist-12k"], "cp -r runs/fashion-mnist-12k RUN"),
    ("runs/photos", &["photos"], "riesz train photos/ --run runs/photos"),
    (
        "photos.parquet",
        &["runs/photos"],
        "riesz embed runs/photos photos/ --output photos.parquet --thumbnails",
    ),
    (
        "dataset",
        &["runs/photos", "other"],
        "mkdir -p dataset/data
        riesz embed runs/photos other/ --output dataset/data/train-00000-of-00001.parquet --thumbnails",
    ),
    ("cifar10.tar.xz", &["images.tar.xz"], "cp images.tar.xz cifar10.tar.xz"),
    ("docs", &[], "mkdir docs"),
    (
        ".local/share/bash-completion/completions",
        &[],
        "mkdir -p .local/share/bash-completion/completions .zfunc .config/fish/completions",
    ),
];

/// Images of a folder: more than a batch, and a tenth of them held out.
const IMAGES: u32 = 320;

/// Rows of a file of embeddings, and their numbers.
const ROWS: [usize; 2] = [400, 16];

/// The things that were made so far.
pub(crate) struct Things {
    root: PathBuf,
    folder: tempfile::TempDir,
}

impl Things {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, folder: tempfile::tempdir().unwrap() }
    }

    /// Copies what the page begins with into `folder`.
    pub(crate) fn lay(&self, page: &str, folder: &Path) {
        for thing in before(page) {
            // A family of files is called by its pattern.
            let place =
                thing.split_once("/train-{").map_or(*thing, |(shards, _)| shards).trim_end_matches('/');
            let from = self.made(thing);
            let script =
                format!("mkdir -p \"$(dirname '{place}')\" && cp -rT '{}' '{place}'", from.display());
            bash(folder, &script).unwrap();
        }
    }

    /// Where the thing lies; it is made if it is not yet there.
    fn made(&self, thing: &str) -> PathBuf {
        let here = self.folder.path();
        let path = here.join(thing.replace("/train-{000..146}.tar", "-of-images"));
        if path.exists() {
            return path;
        }
        if let Some((_, reads, command)) = MADE.iter().find(|(name, ..)| *name == thing) {
            reads.iter().for_each(|read| drop(self.made(read)));
            let command = command.lines().map(|line| shell::shortened(line).0).collect::<Vec<_>>().join("\n");
            bash(here, &command).unwrap_or_else(|told| panic!("{command}\n{told}"));
            return path;
        }
        match thing {
            "golden" => std::os::unix::fs::symlink(self.root.join("golden"), &path).unwrap(),
            "photos" => pictures(&path, |i| format!("{}IMG_{i:03}", if i % 3 == 0 { "trip/" } else { "" })),
            "other" => pictures(&path, |i| format!("{}/{i:03}", class(i))),
            "query.jpg" | "other.jpg" => picture(4).save(&path).unwrap(),
            "labels.csv" => {
                let lines = (0..IMAGES).map(|i| format!("IMG_{i:03}.{},{}\n", ending(i), class(i)));
                fs::write(&path, format!("filename,label\n{}", lines.collect::<String>())).unwrap();
            }
            "labels.txt" => {
                fs::write(&path, (0..ROWS[0] / 2).map(|i| format!("{}\n", i % 3)).collect::<String>())
                    .unwrap();
            }
            "images.tar.xz" => {
                let options = lzma_rust2::XzOptions::with_preset(1);
                let packed = lzma_rust2::XzWriter::new(File::create(&path).unwrap(), options).unwrap();
                let mut tar = tar::Builder::new(packed);
                tar.append_dir_all("images", self.made("other")).unwrap();
                tar.into_inner().unwrap().finish().unwrap();
            }
            "shards/train-{000..146}.tar" => web_dataset(&path),
            "other-photos.zip" => drop(fs::copy(self.root.join("golden/sources/images.zip"), &path).unwrap()),
            "grid.toml" => self.grid(&path),
            "resnet18.safetensors" => weights(&path, Backbone::Resnet18, 32),
            "resnet50.safetensors" => weights(&path, Backbone::Resnet50, 32),
            "vit_small.safetensors" => weights(&path, Backbone::VitSmall, 16),
            "batch.safetensors" => {
                embeddings::write_safetensors(&path, &[("views", &rows(0, 1))], None).unwrap();
            }
            "clip.parquet" => clip(&path),
            "shards/" => {
                fs::create_dir(&path).unwrap();
                for i in 0..4 {
                    embeddings::write_npy(&path.join(format!("part-{i}.npy")), &rows(i, i + 1)).unwrap();
                }
            }
            _ => {
                let (name, ending) = thing.rsplit_once('.').unwrap();
                // Two of a kind are near each other.
                let rows = rows(0, if ["new", "clip-b", "v"].contains(&name) { 2 } else { 1 });
                match ending {
                    "npy" => embeddings::write_npy(&path, &rows).unwrap(),
                    "parquet" => parquet(&path, rows),
                    _ => panic!("nobody says how {thing} is made"),
                }
            }
        }
        path
    }

    /// The grid of docs/sweep.md, its cells as short as other trainings are.
    fn grid(&self, path: &Path) {
        let page = Page::read(&self.root, "docs/sweep.md");
        let grid = page.blocks.iter().find(|block| block.language == "toml").unwrap().lines.join("\n");
        let short = shell::shortened("riesz train").0;
        let keys: Vec<&str> = short.split(" --set ").skip(1).collect();
        let cuts = [
            ("seeds = [1, 2, 3]", "seeds = [1, 2]".to_owned()),
            ("epochs = 6", "epochs = 1".to_owned()),
            ("evaluation.references = 4000", keys.join("\n")),
        ];
        let grid = cuts.iter().fold(grid, |grid, (long, short)| {
            assert!(grid.contains(long), "docs/sweep.md has another grid");
            grid.replace(long, short)
        });
        fs::write(path, grid).unwrap();
    }
}

fn class(i: u32) -> &'static str {
    ["cats", "dogs"][i as usize % 2]
}

fn ending(i: u32) -> &'static str {
    ["png", "jpg"][i as usize / 2 % 2]
}

fn picture(i: u32) -> RgbImage {
    RgbImage::from_fn(40 + i % 3, 36, |x, y| {
        let wave = |a: u32, b: u32| ((x * a + y * b) / 4 % 64 * 3) as u8;
        Rgb([wave(3 + i % 5, 1 + i % 7), wave(i % 4, 5), (i % 256) as u8])
    })
}

fn pictures(folder: &Path, name: impl Fn(u32) -> String) {
    for i in 0..IMAGES {
        let path = folder.join(format!("{}.{}", name(i), ending(i)));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture(i).save(path).unwrap();
    }
}

/// Shards with three images each, and their labels.
fn web_dataset(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for shard in 0..147 {
        let mut tar = tar::Builder::new(File::create(folder.join(format!("train-{shard:03}.tar"))).unwrap());
        for i in 3 * shard..3 * shard + 3 {
            let mut png = std::io::Cursor::new(Vec::new());
            picture(i).write_to(&mut png, image::ImageFormat::Png).unwrap();
            for (ending, bytes) in [("png", &png.into_inner()[..]), ("cls", (i % 2).to_string().as_bytes())] {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                tar.append_data(&mut header, format!("{i:06}.{ending}"), bytes).unwrap();
            }
        }
        tar.into_inner().unwrap();
    }
}

/// A file of weights under torchvision's or timm's names, drawn.
fn weights(path: &Path, backbone: Backbone, size: usize) {
    let stem = if matches!(backbone, Backbone::VitSmall) { Stem::Auto } else { Stem::Imagenet };
    let projector = ProjectorRecipe { hidden: 8, output: 8 };
    let network = EncoderRecipe { backbone, stem, pixels: None, projector }.network(size, 3).unwrap();
    let engine = Engine::new(network, Key::new(1));
    let tensors = engine.named_tensors();
    let bytes: Vec<(&str, &[usize], Vec<u8>)> = tensors
        .iter()
        .filter_map(|tensor| {
            let bytes = tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect();
            Some((tensor.name.strip_prefix("backbone.")?, &tensor.shape[..], bytes))
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Drawn rows, a little off those of the same first number.
fn rows(first: u64, second: u64) -> Matrix<f32> {
    let [mut of, mut off] = [Key::new(first).stream("rows").rng(), Key::new(second).stream("off").rng()];
    let number = |_| (normal(&mut of) + 0.4 + 0.1 * normal(&mut off)) as f32;
    Matrix::new((0..ROWS[0] * ROWS[1]).map(number).collect(), ROWS[1])
}

fn parquet(path: &Path, rows: Matrix<f32>) {
    let names: Vec<String> = (0..rows.len()).map(|i| format!("item {i}")).collect();
    let mut file = ParquetFile::create(path, Columns::default()).unwrap();
    let (labels, pixels) = (vec![None; names.len()], names.clone());
    file.push(Part { names, labels, pixels, thumbnails: Vec::new(), rows }).unwrap();
    file.finish().unwrap();
}

/// Rows in a column of another name, with a class each.
fn clip(path: &Path) {
    let schema = "message rows { required binary class (STRING);
        required group image_embedding (LIST) { repeated group list { required float element; } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut file = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let rows = rows(0, 1);
    let classes: Vec<ByteArray> = (0..ROWS[0] as u32).map(|i| class(i).into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&classes, None, None).unwrap();
    column.close().unwrap();
    let repeated: Vec<i16> = (0..rows.as_slice().len()).map(|i| i16::from(i % ROWS[1] != 0)).collect();
    let mut column = group.next_column().unwrap().unwrap();
    let defined = vec![1; repeated.len()];
    column.typed::<FloatType>().write_batch(rows.as_slice(), Some(&defined), Some(&repeated)).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
}
