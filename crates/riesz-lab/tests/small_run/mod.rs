//! A run of a fraction of a second, for tests that make many.

use riesz::rng::{Key, uniform};

/// A folder with `images`: two classes of 96 images of 12 × 12.
pub(crate) fn with_images() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (class, brightest) in [("dark", 128.0), ("light", 256.0)] {
        let place = folder.path().join("images").join(class);
        std::fs::create_dir_all(&place).unwrap();
        let mut rng = Key::new(1).stream(class).rng();
        for number in 0..96 {
            let mut bytes = b"P5 12 12 255\n".to_vec();
            bytes.extend((0..144).map(|_| (brightest * uniform(&mut rng)) as u8));
            std::fs::write(place.join(format!("{number:02}.pgm")), bytes).unwrap();
        }
    }
    folder
}

/// Trains on them as the run `r`, nine steps an epoch, with a checkpoint after every step.
pub(crate) const TRAIN: [&str; 17] = [
    "train",
    "images",
    "--run",
    "r",
    "--batch=16",
    "--checkpoint-minutes=0",
    "--quiet",
    "--set",
    "augment.size=8",
    "--set",
    "evaluation.pairs=16",
    "--set",
    "evaluation.references=64",
    "--set",
    "evaluation.few-draws=1",
    "--set",
    "data.held-out=0.2",
];
