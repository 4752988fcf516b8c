//! Small whole files: of other people's programs (`golden/`), and of this one.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use image::{ImageFormat, Rgb, RgbImage};
use riesz_lab::device::{self, Device};
use riesz_lab::recipe::BUILT_IN;
use riesz_lab::sweep::GRIDS;

/// Files of the repository.
fn golden(names: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
    names.iter().map(|name| std::fs::read(root.join(name)).unwrap()).collect()
}

fn picture(format: ImageFormat) -> Vec<Vec<u8>> {
    let picture = RgbImage::from_fn(16, 12, |x, y| Rgb([(x * y) as u8, 10 * x as u8, 20 * y as u8]));
    let gray = image::DynamicImage::from(picture.clone()).to_luma8();
    let mut bytes = [(); 2].map(|()| Cursor::new(Vec::new()));
    picture.write_to(&mut bytes[0], format).unwrap();
    let is_written = gray.write_to(&mut bytes[1], format).is_ok();
    let [color, gray] = bytes.map(Cursor::into_inner);
    if is_written { vec![color, gray] } else { vec![color] }
}

pub(crate) fn png() -> Vec<Vec<u8>> {
    picture(ImageFormat::Png)
}

/// Makes every chunk's checksum right, as far as chunks can be followed.
pub(crate) fn mend_png(bytes: &mut [u8]) {
    let mut at = 8;
    while at + 12 <= bytes.len() {
        let length = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= bytes.len()) else { return };
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.sum().to_be_bytes());
        at = end + 4;
    }
}

pub(crate) fn jpeg() -> Vec<Vec<u8>> {
    let cmyk = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cmyk.jpg");
    [picture(ImageFormat::Jpeg), vec![std::fs::read(cmyk).unwrap()]].concat()
}

pub(crate) fn bmp() -> Vec<Vec<u8>> {
    picture(ImageFormat::Bmp)
}

pub(crate) fn tiff() -> Vec<Vec<u8>> {
    picture(ImageFormat::Tiff)
}

pub(crate) fn webp() -> Vec<Vec<u8>> {
    picture(ImageFormat::WebP)
}

pub(crate) fn gif() -> Vec<Vec<u8>> {
    picture(ImageFormat::Gif)
}

pub(crate) fn pnm() -> Vec<Vec<u8>> {
    let ascii = b"P3\n# three\n2 2\n255\n255 0 0  0 255 0\n0 0 255  9 9 9\n".to_vec();
    [picture(ImageFormat::Pnm), vec![ascii]].concat()
}

fn one_tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in ["train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "test/cat/3.png", "labels.csv"] {
        let bytes = if name.ends_with("csv") { b"path,label\n".to_vec() } else { png().remove(1) };
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn tar() -> Vec<Vec<u8>> {
    [vec![one_tar()], golden(&["sources/json.tar"])].concat()
}

pub(crate) fn tar_gz() -> Vec<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&one_tar()).unwrap();
    vec![encoder.finish().unwrap()]
}

pub(crate) fn tar_xz() -> Vec<Vec<u8>> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(&one_tar()).unwrap();
    vec![writer.finish().unwrap()]
}

pub(crate) fn tar_zst() -> Vec<Vec<u8>> {
    vec![ruzstd::encoding::compress_to_vec(&one_tar()[..], ruzstd::encoding::CompressionLevel::Fastest)]
}

pub(crate) fn zip() -> Vec<Vec<u8>> {
    golden(&["sources/images.zip", "sources/streamed.zip"])
}

pub(crate) fn shards() -> Vec<Vec<u8>> {
    golden(&["sources/shards/train-00.tar", "sources/json.tar"])
}

pub(crate) fn hub() -> Vec<Vec<u8>> {
    golden(&["sources/hub/data/test-00000-of-00001.parquet", "sources/zstd.parquet"])
}

pub(crate) fn idx() -> Vec<Vec<u8>> {
    let sized = |sizes: &[u32]| {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend((0..sizes.iter().product::<u32>()).map(|i| i as u8));
        bytes
    };
    vec![sized(&[3, 4, 5]), sized(&[2, 4, 5, 3])]
}

pub(crate) fn cifar() -> Vec<Vec<u8>> {
    vec![(0..2 * 3073_u32).map(|i| if i % 3073 == 0 { 3 } else { i as u8 }).collect()]
}

/// The same in all files of the set.
pub(crate) fn cifar_around(path: &Path) {
    let names = [2, 3, 4, 5].map(|i| format!("data_batch_{i}.bin"));
    for name in names.iter().map(String::as_str).chain(["test_batch.bin"]) {
        std::fs::write(path.with_file_name(name), &cifar()[0]).unwrap();
    }
}

/// A batch of two images as CIFAR for Python has it.
pub(crate) fn cifar_pickle() -> Vec<Vec<u8>> {
    golden(&["pickles/cifar-batch"])
}

pub(crate) fn cifar_pickle_around(path: &Path) {
    let names = [2, 3, 4, 5].map(|i| format!("data_batch_{i}"));
    for name in names.iter().map(String::as_str).chain(["test_batch"]) {
        std::fs::write(path.with_file_name(name), &cifar_pickle()[0]).unwrap();
    }
    std::fs::write(path.with_file_name("batches.meta"), &golden(&["pickles/cifar-meta"])[0]).unwrap();
}

pub(crate) fn stl() -> Vec<Vec<u8>> {
    vec![(0..2 * 27_648_u32).map(|i| i as u8).collect()]
}

/// Labels, and a test set.
pub(crate) fn stl_around(path: &Path) {
    for (name, bytes) in [("train_y.bin", &[1, 2][..]), ("test_y.bin", &[1, 2]), ("test_X.bin", &stl()[0])] {
        std::fs::write(path.with_file_name(name), bytes).unwrap();
    }
}

pub(crate) fn list() -> Vec<Vec<u8>> {
    vec![b"photos/a.png\nphotos/b.png\n\nphotos/c.png\n".to_vec()]
}

pub(crate) fn labels() -> Vec<Vec<u8>> {
    vec![
        b"name,label\na.png,cat\nb.png,dog\nc.png,cat\n".to_vec(),
        b"filename,class,more\n\"a.png\",1,x\nb.png,2,\"y, z\"\nc.png,1,\n".to_vec(),
    ]
}

pub(crate) fn npy() -> Vec<Vec<u8>> {
    golden(&["tables/rows.npy", "arrays/fortran.npy", "arrays/big-f2.npy", "arrays/version-2.npy"])
}

pub(crate) fn npz() -> Vec<Vec<u8>> {
    golden(&["arrays/one.npz", "arrays/named.npz"])
}

pub(crate) fn safetensors() -> Vec<Vec<u8>> {
    let values: Vec<u8> = (1..=12_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let one = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3, 4], &values).unwrap();
    let half = safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, vec![6, 4], &values).unwrap();
    let file = |view| safetensors::serialize([("rows", view)], None).unwrap();
    vec![file(one), file(half)]
}

pub(crate) fn npz_labels() -> Vec<Vec<u8>> {
    golden(&["arrays/several.npz"])
}

pub(crate) fn safetensors_labels() -> Vec<Vec<u8>> {
    let values: Vec<u8> = (1..=12_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let labels: Vec<u8> = [-1_i64, 0, 7].into_iter().flat_map(i64::to_le_bytes).collect();
    let rows = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3, 4], &values).unwrap();
    let labels = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![3], &labels).unwrap();
    vec![safetensors::serialize([("embeddings", rows), ("labels", labels)], None).unwrap()]
}

pub(crate) fn parquet() -> Vec<Vec<u8>> {
    golden(&[
        "tables/f32.parquet",
        "tables/f16.parquet",
        "tables/fixed.parquet",
        "tables/zstd.parquet",
        "tables/columns.parquet",
    ])
}

pub(crate) fn arrow() -> Vec<Vec<u8>> {
    golden(&[
        "tables/f32.feather",
        "tables/fixed.feather",
        "tables/stream.arrow",
        "tables/zstd.feather",
        "tables/zstd.arrow",
        "tables/columns.feather",
    ])
}

pub(crate) fn csv() -> Vec<Vec<u8>> {
    vec![
        b"x0,x1,x2\n1,2,3\n-1.5,0,2e3\n4,5,6\n".to_vec(),
        b"label,0,1\n\"a, b\",0.5,1\nc,1,-1\n".to_vec(),
        b"id,e\na,\"[0.5, 1]\"\nb,\"[2.5\n 3.]\"\nc,{1 2}\n".to_vec(),
    ]
}

pub(crate) fn recipes() -> Vec<Vec<u8>> {
    BUILT_IN.iter().map(|recipe| recipe.text.as_bytes().to_vec()).collect()
}

pub(crate) fn grids() -> Vec<Vec<u8>> {
    GRIDS.iter().map(|(_, text)| text.as_bytes().to_vec()).collect()
}

pub(crate) fn device() -> Device {
    device::open("cpu").unwrap()
}

fn riesz(folder: &Path, arguments: &[&str]) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_riesz")).current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A finished run of one epoch, its encoder exported, a classifier finetuned from it, an index of its images, and a state of a geometry.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations-made");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let small = "data.limit=100 evaluation.pairs=20 evaluation.references=100 evaluation.epoch-references=50 augment.size=8";
        let keys: Vec<&str> = small.split(' ').flat_map(|key| ["--set", key]).collect();
        riesz(&folder, &[&["train", "--run", "run", "--epochs=1", "--batch=16", "--quiet"][..], &keys].concat());
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/tables/f32.parquet");
        riesz(&folder, &["geometry", table.to_str().unwrap(), "--partial", "a.state", "--quiet"]);
        riesz(&folder, &["export", "run", "--output", "weights.safetensors"]);
        riesz(&folder, &["finetune", "run", "--steps=1", "--batch=8", "--output", "tuned", "--quiet"]);
        std::fs::create_dir_all(folder.join("photos")).unwrap();
        for (i, bytes) in png().iter().enumerate() {
            std::fs::write(folder.join(format!("photos/{i}.png")), bytes).unwrap();
        }
        riesz(&folder, &["embed", "run", "photos", "--output", "index.parquet", "--thumbnails"]);
        folder
    })
}

fn of_run(name: &str) -> Vec<Vec<u8>> {
    vec![std::fs::read(made().join("run").join(name)).unwrap()]
}

pub(crate) fn encoder() -> Vec<Vec<u8>> {
    of_run("encoder.safetensors")
}

pub(crate) fn classifier() -> Vec<Vec<u8>> {
    vec![std::fs::read(made().join("tuned/classifier.safetensors")).unwrap()]
}

pub(crate) fn finetune() -> Vec<Vec<u8>> {
    vec![std::fs::read(made().join("tuned/finetune.json")).unwrap()]
}

pub(crate) fn checkpoint() -> Vec<Vec<u8>> {
    of_run("checkpoints/last.safetensors")
}

pub(crate) fn log() -> Vec<Vec<u8>> {
    of_run("log.jsonl")
}

pub(crate) fn timing() -> Vec<Vec<u8>> {
    of_run("timing.jsonl")
}

pub(crate) fn metrics() -> Vec<Vec<u8>> {
    of_run("metrics.json")
}

pub(crate) fn run_recipe() -> Vec<Vec<u8>> {
    of_run("recipe.toml")
}

pub(crate) fn partial() -> Vec<Vec<u8>> {
    vec![std::fs::read(made().join("a.state")).unwrap()]
}

pub(crate) fn jsonl() -> Vec<Vec<u8>> {
    let nested = |id: u8| format!("{{\"id\": {id}, \"data\": [{{\"e\": [0.5, -1e-3, {id}]}}]}}\n");
    vec![
        b"{\"id\": \"a\", \"embedding\": [0.5, 1]}\n\n{\"embedding\": [2, -3.5e2], \"id\": null}".to_vec(),
        (nested(1) + &nested(2)).into_bytes(),
    ]
}

pub(crate) fn words() -> Vec<Vec<u8>> {
    vec![b"2 3\nthe 0.5 1 -2\n. . 1e-3 2 3 \n".to_vec(), b"the 0.5 1\n, 2 3\n".to_vec()]
}

pub(crate) fn json() -> Vec<Vec<u8>> {
    vec![
        b"[[0.5, 1], [2, 3]]".to_vec(),
        b"{\"model\": \"m\", \"data\": [{\"embedding\": [1.5, 2], \"index\": 0}, {\"embedding\": [3, 4], \"index\": 1}]}".to_vec(),
    ]
}

/// Torch's own files of a matrix, or of several things.
pub(crate) fn torch() -> Vec<Vec<u8>> {
    golden(&[
        "pickles/float32.pt",
        "pickles/old.pt",
        "pickles/columns.pt",
        "pickles/without-checksum.pt",
        "pickles/numpy-within.pt",
        "pickles/list.pt",
    ])
}

pub(crate) fn torch_labels() -> Vec<Vec<u8>> {
    golden(&["pickles/dictionary.pt", "pickles/dictionary-old.pt"])
}

pub(crate) fn torch_weights() -> Vec<Vec<u8>> {
    golden(&["pickles/names.pt", "pickles/names-old.pt"])
}

pub(crate) fn pickle() -> Vec<Vec<u8>> {
    golden(&[
        "pickles/protocol-2.pkl",
        "pickles/protocol-4.pkl",
        "pickles/protocol-5.pkl",
        "pickles/fortran.pkl",
        "pickles/each.pkl",
        "pickles/objects.pkl",
        "pickles/tensors.pkl",
        "pickles/lists.pkl",
        "pickles/cycle.pkl",
        "pickles/python-2.pkl",
        "pickles/call.pkl",
    ])
}

pub(crate) fn weights() -> Vec<Vec<u8>> {
    [encoder(), vec![std::fs::read(made().join("weights.safetensors")).unwrap()]].concat()
}

pub(crate) fn index() -> Vec<Vec<u8>> {
    vec![std::fs::read(made().join("index.parquet")).unwrap()]
}

pub(crate) fn sweep() -> Vec<Vec<u8>> {
    let text = serde_json::json!({
        "schema_version": 1, "riesz": "0", "name": "s", "recipe": "fashion-mnist-12k", "select": null,
        "cells": [{"name": "loss=dhel,seed=1", "settings": [["loss", "dhel"]], "seed": 1}],
    });
    vec![text.to_string().into_bytes()]
}

/// Puts the other files of the run beside this one.
pub(crate) fn run_around(path: &Path) {
    for entry in std::fs::read_dir(made().join("run")).unwrap() {
        let from = entry.unwrap().path();
        let to = path.with_file_name(from.file_name().unwrap());
        if from.is_file() && !to.exists() {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}
