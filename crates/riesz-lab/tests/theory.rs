//! The theory's experiments in their reduced form, and their report.

use std::process::Command;

use riesz::rng::Key;
use riesz_lab::sphere::theory::{EXPERIMENTS, Scale, Verdict, html, markdown};

/// Every claim holds for each seed; the open questions stay open.
#[test]
fn every_claim_holds() {
    for seed in 1..=3 {
        for (number, (name, work)) in EXPERIMENTS.iter().enumerate() {
            let one = work(Scale::reduced(), Key::new(seed).at(number as u64)).unwrap();
            let want = if *name == "M = d + 2 and the 24-cell" { Verdict::Open } else { Verdict::Holds };
            assert_eq!(one.verdict, want, "{name}, seed {seed}: {}", one.measured);
            assert!(
                one.table.is_some_and(|table| table.rows.iter().all(|row| row.len() == table.head.len()))
            );
        }
    }
}

/// The numbers are a function of the key.
#[test]
fn the_same_seed_gives_the_same_page() {
    let pages = [1, 1, 2].map(|seed| {
        let few: Vec<_> = EXPERIMENTS[6..8]
            .iter()
            .map(|(_, work)| work(Scale { batches: 60, ..Scale::reduced() }, Key::new(seed)).unwrap())
            .collect();
        (markdown("# Head", &few), html("Title", "run", &few).unwrap())
    });
    assert_eq!(pages[0], pages[1]);
    assert_ne!(pages[0], pages[2]);
    assert!(pages[0].0.starts_with("# Head\n\n## 1. ") && pages[0].0.contains("**Verdict: "));
    assert!(pages[0].1.contains("<svg") && !pages[0].1.contains("http"), "the page needs no network");
}

#[test]
fn the_command_writes_both_reports() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_riesz"))
        .current_dir(folder.path())
        .args(["sphere", "theory", "--reduced", "--html", "t.html", "--markdown", "t.md"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("\n10 claims hold, 0 fail, 1 left open (") && text.contains(" 5. open"), "{text}");
    for (file, words) in [("t.html", "10 claims hold, 0 fail, 1 left open"), ("t.md", "## 11. ")] {
        let written = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(written.contains(words), "{file}");
    }
}
