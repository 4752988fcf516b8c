//! Images decoded and views made a second, on one thread: what keeps an encoder fed.
//!
//! `cargo bench --bench views` prints, for each recipe, views a second (median of several rounds) and, for photographs,
//! JPEGs decoded a second; `-- --test` runs each once. `-- --photos FOLDER` writes the photographs there as well, for
//! `bench/views.py`, which does the same with torchvision.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use riesz::rng::Key;
use riesz_lab::augment::Augment;
use riesz_lab::data::{self, Image};
use riesz_lab::recipe::{self, Recipe};

fn main() {
    riesz_lab::memory::keep_freed();
    let arguments: Vec<String> = std::env::args().collect();
    let once = arguments.iter().any(|argument| argument == "--test");
    let kept = arguments.iter().position(|argument| argument == "--photos").map(|at| &arguments[at + 1]);
    let temporary = tempfile::tempdir().expect("a folder can be made");
    let folder = kept.map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let photos: Vec<Image> = (0..16).map(|seed| picture(500, 375, 3, seed)).collect();
    for (index, photo) in photos.iter().enumerate() {
        write(photo, &folder.join(format!("{index:02}.jpg")));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread");
    pool.install(|| {
        let chosen = recipe("folder-224", &[&format!("data.source=\"{}\"", folder.display())]);
        let set = data::open(&chosen.data, 1).expect("the photographs are readable");
        let items = set.train.len();
        report("decode 500×375 JPEG", items, once, || {
            for item in 0..items {
                set.train.image(item).expect("a photograph is readable");
            }
        });
        for (name, height, width, channels, overrides) in [
            ("fashion-mnist-12k", 28, 28, 1, vec![]),
            ("folder-32", 32, 32, 3, vec![]),
            ("folder-96", 96, 96, 3, vec![]),
            ("folder-224", 375, 500, 3, vec![]),
            (
                "folder-224",
                375,
                500,
                3,
                vec!["augment.blur.probability=0.0", "augment.jitter.probability=0.0"],
            ),
        ] {
            let augment = recipe(name, &overrides).augment.plan().expect("the recipe is sound");
            let images: Vec<Image> = (0..16).map(|seed| picture(width, height, channels, seed)).collect();
            let repeats = 20_000 / (augment.size() * augment.size()) + 1;
            let what = format!("{name} {} from {width}×{height}×{channels}", overrides.join(" "));
            report(&what, 16 * repeats, once, || views(&augment, &images, repeats));
        }
    });
}

fn recipe(name: &str, overrides: &[&str]) -> Recipe {
    let (text, origin) = recipe::read(name).expect("a built-in recipe");
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Recipe::resolve(&text, &overrides, &origin).expect("the recipe is sound")
}

fn views(augment: &Augment, images: &[Image], repeats: usize) {
    let jobs: Vec<(&Image, Key)> =
        (0..images.len() * repeats).map(|i| (&images[i % images.len()], Key::new(1).at(i as u64))).collect();
    std::hint::black_box(augment.views(&jobs));
}

fn report(what: &str, count: usize, once: bool, mut run: impl FnMut()) {
    let rounds = if once { 1 } else { 9 };
    let mut seconds: Vec<f64> = (0..rounds)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("{what}: {:.0} a second (median of {rounds}, one thread)", count as f64 / seconds[rounds / 2]);
}

/// Smooth color with edges and a little noise, as a photograph has.
fn picture(width: usize, height: usize, channels: usize, seed: u64) -> Image {
    let mut pixels = Vec::with_capacity(width * height * channels);
    let phase = seed as f64;
    let mut noise = 2 * seed + 1;
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x as f64 / width as f64, y as f64 / height as f64);
            let edge = if (u * 7.0 + phase).sin() > (v * 5.0).cos() { 60.0 } else { 0.0 };
            for channel in 0..channels {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let grain = (noise >> 60) as f64;
                let smooth =
                    90.0 + 60.0 * ((u * 9.0 + phase + channel as f64).sin() * (v * 6.0 - phase).cos());
                pixels.push((smooth + edge + grain).clamp(0.0, 255.0) as u8);
            }
        }
    }
    Image { width, height, channels, pixels }
}

fn write(photo: &Image, path: &Path) {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode(&photo.pixels, photo.width as u32, photo.height as u32, image::ExtendedColorType::Rgb8)
        .expect("a photograph can be encoded");
    std::fs::write(path, bytes).expect("a photograph can be written");
}
