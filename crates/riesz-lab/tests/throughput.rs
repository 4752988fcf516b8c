//! `riesz bench train`'s measurement: what it counts, and that its numbers are about the steps that were made.

use std::time::Duration;

use riesz_lab::device;
use riesz_lab::network::Builder;
use riesz_lab::recipe::{BUILT_IN, Recipe};
use riesz_lab::throughput::{PARTS, measure};
use riesz_lab::train::Plan;

#[test]
fn multiply_adds_are_counted_by_hand() {
    let mut network = Builder::new([6, 4, 3]);
    // No gradient goes to the images: two passes of 24 pixels × 9 · 3 × 5.
    let x = network.convolve("first", 0, 5, 3, 1, 1, false);
    // Three of 6 pixels × 5 × 7, and of one × 7 × 2.
    let x = network.convolve("second", x, 7, 1, 2, 0, false);
    let x = network.mean_pool(x);
    let x = network.linear("third", x, 2, true);
    let want = 2 * 24 * 27 * 5 + 3 * 6 * 5 * 7 + 3 * 7 * 2;
    assert_eq!(network.finish(x).training_multiply_adds(), f64::from(want));
}

#[test]
fn every_step_is_told_and_counted() {
    for accumulate in [1, 4] {
        let text = BUILT_IN[0].text;
        let overrides =
            ["batch=8".to_owned(), "augment.size=12".to_owned(), format!("accumulate={accumulate}")];
        let recipe = Recipe::resolve(text, &overrides, "the first built-in recipe").unwrap();
        let plan = Plan::new(recipe, device::open("cpu").unwrap()).unwrap();
        let mut calls = 0;
        let measured = measure(&plan, Duration::ZERO, &mut || calls += 1).unwrap();
        // One more before each of the two measurements.
        assert_eq!(calls, 4 + 4);
        for (seconds, part) in measured.parts.iter().zip(PARTS) {
            assert!(seconds.len() == 3 && seconds.is_sorted() && seconds[0] > 0.0, "{part}: {seconds:?}");
        }
        assert_eq!((measured.batch, measured.looped.0), (8, 3 * 8));
        let network = plan.recipe.encoder.network(12, plan.augment.channels()).unwrap();
        assert_eq!(measured.multiply_adds, 16.0 * network.training_multiply_adds());
        assert!(measured.images_per_second() > 0.0 && measured.share() > 0.0);
    }
}

#[test]
fn a_step_of_more_views_is_measured() {
    let mut riesz = std::process::Command::new(env!("CARGO_BIN_EXE_riesz"));
    riesz.args(["bench", "train", "--loss", "mv-dhel", "--views", "4", "--batch", "8", "--seconds", "0"]);
    let output = riesz.args(["--set", "augment.size=12", "--quiet", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((told["views"].as_u64(), told["batch"].as_u64()), (Some(4), Some(8)));
}
