//! Augmentations against torchvision's, picture by picture; and the draws: keyed, independent of threads, and
//! distributed as the recipe says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use riesz::rng::Key;
use riesz_lab::augment::crop::{Region, resized_crop, resized_window};
use riesz_lab::augment::picture::Picture;
use riesz_lab::augment::{AugmentRecipe, Interpolation, blur, color};
use riesz_lab::data::Image;
use riesz_lab::recipe::{self, Recipe};
use safetensors::SafeTensors;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/augment")
}

/// What riesz makes of `image` where torchvision made the golden picture.
fn apply(case: &serde_json::Value, image: &Image) -> Picture {
    let numbers = |key: &str| -> Vec<usize> {
        case[key].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect()
    };
    let factor = case["factor"].as_f64().unwrap_or(f64::NAN) as f32;
    let mut picture = Picture::of(image);
    match case["operation"].as_str().unwrap() {
        "resized_crop" => {
            let (region, size) = (numbers("region"), numbers("size"));
            let region = Region { top: region[0], left: region[1], height: region[2], width: region[3] };
            let interpolation = match case["interpolation"].as_str().unwrap() {
                "bilinear" => Interpolation::Bilinear,
                _ => Interpolation::Bicubic,
            };
            return resized_crop(image, region, size[0], size[1], interpolation);
        }
        "gaussian_blur" => {
            let kernel = case["kernel"].as_u64().unwrap() as usize;
            return blur::gaussian(&picture, kernel, case["sigma"].as_f64().unwrap());
        }
        "horizontal_flip" => picture.flip(),
        "brightness" => color::brightness(&mut picture, factor),
        "contrast" => color::contrast(&mut picture, factor),
        "saturation" => color::saturation(&mut picture, factor),
        "hue" => color::hue(&mut picture, factor),
        "solarize" => color::solarize(&mut picture, factor),
        "grayscale" => color::grayscale(&mut picture),
        other => panic!("unknown operation {other}"),
    }
    picture
}

fn channels_last(picture: &Picture) -> Vec<f32> {
    let mut numbers = vec![0.0; picture.pixels.len()];
    picture.write(picture.channels, &mut numbers);
    numbers
}

#[test]
fn every_operation_is_torchvisions_to_1_255() {
    let bytes = std::fs::read(folder().join("pictures.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let text = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    let mut worst = 0.0_f32;
    for (index, case) in cases.iter().enumerate() {
        let input = tensors.tensor(&format!("in.{}", case["input"].as_str().unwrap())).unwrap();
        let &[height, width, channels] = input.shape() else { panic!("inputs have three axes") };
        let image = Image { width, height, channels, pixels: input.data().to_vec() };
        let got = apply(case, &image);
        let want = tensors.tensor(&format!("out.{index}")).unwrap();
        assert_eq!([got.height, got.width, got.channels], want.shape(), "{case}");
        for (got, want) in channels_last(&got).iter().zip(want.data().chunks_exact(2)) {
            let want = f32::from(u16::from_le_bytes([want[0], want[1]])) / 65535.0;
            let apart = (got - want).abs();
            assert!(apart < 1.0 / 255.0, "{case}: {got} for {want}");
            worst = worst.max(apart);
        }
    }
    println!("{} cases, largest difference {:.4}/255", cases.len(), worst * 255.0);
    // Beyond the promise: the definitions are the same, so only rounding remains.
    assert!(worst < 1e-4, "{worst:e}");
}

fn recipe(overrides: &[&str]) -> riesz_lab::Result<AugmentRecipe> {
    let (text, origin) = recipe::read("folder-32").unwrap();
    let overrides: Vec<String> = overrides.iter().map(|text| format!("augment.{text}")).collect();
    Recipe::resolve(&text, &overrides, &origin).map(|recipe| recipe.augment)
}

fn image(height: usize, width: usize, channels: usize) -> Image {
    let pixels = (0..height * width * channels).map(|i| ((i * 37 + i / 7) % 256) as u8).collect();
    Image { width, height, channels, pixels }
}

#[test]
fn a_view_is_a_function_of_image_and_key() {
    let augment = recipe(&["blur.probability=0.5", "solarize.probability=0.3"]).unwrap().plan().unwrap();
    let (color, grey) = (image(40, 50, 3), image(33, 29, 1));
    let jobs: Vec<(&Image, Key)> =
        (0..60).map(|i| (if i % 2 == 0 { &color } else { &grey }, Key::new(9).at(i))).collect();
    let views = augment.views(&jobs);
    assert!(views.iter().all(|x| (0.0..=1.0).contains(x)));
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let bits = |views: &[f32]| views.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    assert!(bits(&one.install(|| augment.views(&jobs))) == bits(&views));
    let mut alone = vec![0.0; 32 * 32 * 3];
    augment.view(&grey, Key::new(9).at(7), &mut alone);
    assert!(alone == views[7 * alone.len()..8 * alone.len()]);
    augment.view(&grey, Key::new(9).at(9), &mut alone);
    assert!(alone != views[7 * alone.len()..8 * alone.len()], "another key is another view");
}

/// An image whose every column has its own grey, so that a flip shows.
#[test]
fn draws_happen_as_often_as_the_recipe_says() {
    let quiet =
        ["crop.scale=[1.0, 1.0]", "crop.ratio=[1.0, 1.0]", "jitter.probability=0", "grayscale=0", "size=16"];
    let ramp = Image {
        width: 16,
        height: 16,
        channels: 3,
        pixels: (0..768).map(|i| (i / 3 % 16 * 16) as u8).collect(),
    };
    let plain = recipe(&[&quiet[..], &["flip=0"]].concat()).unwrap().plan().unwrap();
    let clean = plain.clean(&ramp);
    let mut view = vec![0.0; clean.len()];
    plain.view(&ramp, Key::new(1), &mut view);
    assert_eq!(view, clean, "with everything off a view is the image");
    let flipping = recipe(&[&quiet[..], &["flip=0.3"]].concat()).unwrap().plan().unwrap();
    let flips = (0..2000)
        .filter(|&i| {
            flipping.view(&ramp, Key::new(2).at(i), &mut view);
            view != clean
        })
        .count();
    // 600 expected, standard deviation 20.
    assert!((520..=680).contains(&flips), "{flips}");
}

/// The mean of a crop's area is that of the uniform law, up to rounding to pixels and refused draws.
#[test]
fn crops_cover_the_area_that_the_recipe_says() {
    // A vertical ramp times a mask cannot tell the area; the range of greys of a fine ramp in both directions can.
    let side = 200;
    let ramp = |axis: usize| Image {
        width: side,
        height: side,
        channels: 1,
        pixels: (0..side * side).map(|i| (if axis == 0 { i / side } else { i % side }) as u8).collect(),
    };
    let (rows, columns) = (ramp(0), ramp(1));
    let quiet = ["jitter.probability=0", "grayscale=0", "flip=0", "channels=1", "crop.scale=[0.2, 0.8]"];
    let augment = recipe(&quiet).unwrap().plan().unwrap();
    let extent = |image: &Image, key: Key| {
        let mut view = vec![0.0; 32 * 32];
        augment.view(image, key, &mut view);
        let (low, high) = view.iter().fold((1.0_f32, 0.0_f32), |(low, high), x| (low.min(*x), high.max(*x)));
        // The outermost of 32 output pixels are centered half a pixel inside.
        f64::from((high - low) * 255.0) / 31.0 * 32.0
    };
    let shares: Vec<(f64, f64)> = (0..1000)
        .map(|i| {
            let (h, w) = (extent(&rows, Key::new(3).at(i)), extent(&columns, Key::new(3).at(i)));
            (h * w / (side * side) as f64, w / h)
        })
        .collect();
    let mean = shares.iter().map(|(area, _)| area).sum::<f64>() / 1000.0;
    assert!((mean - 0.5).abs() < 0.03, "{mean}");
    assert!(shares.iter().all(|(area, ratio)| (0.15..0.87).contains(area) && (0.7..1.42).contains(ratio)));
    let log_ratio = shares.iter().map(|(_, ratio)| ratio.ln()).sum::<f64>() / 1000.0;
    assert!(log_ratio.abs() < 0.03, "{log_ratio}");
}

#[test]
fn clean_images_are_resized_by_the_shorter_side_and_cut_in_the_middle() {
    let augment = recipe(&["size=8", "channels=1"]).unwrap().plan().unwrap();
    let wide =
        Image { width: 24, height: 8, channels: 1, pixels: (0..192).map(|i| (i % 24 * 10) as u8).collect() };
    let want: Vec<f32> = (0..64).map(|i| ((8 + i % 8) * 10) as f32 / 255.0).collect();
    assert_eq!(augment.clean(&wide), want);
}

/// A window of a resized image has the bits that cutting it out of the whole would give.
#[test]
fn a_window_of_a_resized_image_is_cut_out_of_it() {
    for (height, width, channels, resized) in [
        (40, 50, 3, [24, 30]),
        (17, 90, 1, [32, 169]),
        (90, 17, 3, [169, 32]),
        (30, 30, 3, [64, 64]),
        (2, 300, 3, [32, 4800]),
    ] {
        let image = image(height, width, channels);
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            let whole = resized_crop(&image, Region::whole(&image), resized[0], resized[1], interpolation);
            let whole = channels_last(&whole);
            let side = resized[0].min(resized[1]);
            for window in [
                Region::middle(resized, side),
                Region { top: 0, left: 0, height: 1, width: 1 },
                Region { top: resized[0] - 5, left: resized[1] - 9, height: 5, width: 9 },
            ] {
                let part = resized_window(&image, Region::whole(&image), resized, window, interpolation);
                let rows = window.top..window.top + window.height;
                let cut: Vec<f32> = rows
                    .flat_map(|row| {
                        let from = (row * resized[1] + window.left) * channels;
                        whole[from..from + window.width * channels].iter().copied()
                    })
                    .collect();
                assert!(
                    channels_last(&part).iter().map(|x| x.to_bits()).eq(cut.iter().map(|x| x.to_bits())),
                    "{window:?}"
                );
            }
        }
    }
}

/// Resized whole, the first of these would take 6 GB, the last 10 TB.
#[test]
fn long_strips_take_no_more_memory_than_their_middle() {
    let augment = recipe(&["size=224"]).unwrap().plan().unwrap();
    for (height, width) in [(2, 20_000), (20_000, 2), (1, 1 << 22), (1 << 22, 1)] {
        let strip = image(height, width, 3);
        let clean = augment.clean(&strip);
        assert_eq!(clean.len(), 224 * 224 * 3);
        assert!(clean.iter().all(|x| (0.0..=1.0).contains(x)));
        // What is shown is the middle, so the middle 200 pixels alone show the same.
        let (shorter, longer) = (height.min(width), height.max(width));
        let first = (longer - 200) / 2;
        let mut middle =
            Image { width: width.min(200), height: height.min(200), channels: 3, pixels: Vec::new() };
        for row in 0..middle.height {
            for column in 0..middle.width {
                let (y, x) = if height > width { (first + row, column) } else { (row, first + column) };
                middle.pixels.extend_from_slice(&strip.pixels[(y * width + x) * 3..][..3]);
            }
        }
        assert_eq!(middle.pixels.len(), shorter * 200 * 3);
        let apart = clean.iter().zip(augment.clean(&middle)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-4, "{height} × {width}: {apart}");
        let mut view = vec![0.0; clean.len()];
        augment.view(&strip, Key::new(1), &mut view);
        assert!(view.iter().all(|x| (0.0..=1.0).contains(x)));
    }
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    for (key, named) in [
        ("size=2", "augment.size"),
        ("size=1000000000000000000", "augment.size"),
        ("channels=2", "augment.channels"),
        ("flip=1.5", "augment.flip"),
        ("crop.scale=[0.5, 0.2]", "augment.crop.scale"),
        ("crop.scale=[0.0, 1.0]", "augment.crop.scale"),
        ("crop.scale=[0.5, 1.1]", "augment.crop.scale"),
        ("crop.ratio=[-1.0, 1.0]", "augment.crop.ratio"),
        ("jitter.hue=0.6", "augment.jitter.hue"),
        ("jitter.brightness=-0.1", "augment.jitter.brightness"),
        ("blur.kernel=4", "augment.blur.kernel"),
        ("blur.kernel=99", "augment.blur.kernel"),
        ("blur.sigma=[0.0, 1.0]", "augment.blur.sigma"),
        ("solarize.threshold=2", "augment.solarize.threshold"),
    ] {
        let message = recipe(&[key]).and_then(|recipe| recipe.plan()).unwrap_err().to_string();
        assert!(message.contains(named) && !message.contains('\n'), "{key}: {message}");
    }
}
