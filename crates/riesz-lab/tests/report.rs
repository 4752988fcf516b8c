//! The report: needs no network, shows every section, escapes what it is given, draws only numbers, and tells the truth.

use riesz_lab::protocols::{Few, Measure, Probe, Recall, Row};
use riesz_lab::report::{
    Comparison, Cosines, Geometry, Labels, LossBound, Map, MapPoint, Neighbors, SCHEMA_VERSION, Settings,
    Spectrum, StepPoint, Summary, Thumb, Tone, markdown, plain, render, verdict,
};
use riesz_lab::run::Epoch;

fn row(name: &str, probe: f64, few: f64, knn: f64, recall: f64) -> Row {
    Row {
        name: name.to_owned(),
        dim: 128,
        knn: Some(knn),
        probe: Some(Probe {
            accuracy: probe,
            penalty: 1e-3,
            iterations: 200,
            gradient: 9e-5,
            converged: true,
        }),
        few: Some(Few { mean: few, deviation: 0.02, unconverged: 0 }),
        recall: Recall { at_1: recall, at_5: (2.0 * recall).min(1.0) },
    }
}

const MEASURES: [Measure; 4] = [Measure::Retrieval, Measure::Probe, Measure::FewLabels, Measure::Knn];

/// The trained backbone against the others, every difference with this margin.
fn compare(summary: &mut Summary, margin: Option<f64>) {
    summary.comparisons.clear();
    let Some(ours) = summary.row("trained backbone").cloned() else { return };
    for measure in MEASURES {
        for theirs in ["raw pixels", "untrained backbone"] {
            let other = summary.row(theirs).and_then(|row| row.value(measure));
            if let (Some(value), Some(other)) = (ours.value(measure), other) {
                summary.comparisons.push(Comparison {
                    measure,
                    ours: ours.name.clone(),
                    theirs: theirs.to_owned(),
                    difference: value - other,
                    margin,
                });
            }
        }
    }
}

fn thumb(name: &str, label: Option<u32>) -> Thumb {
    Thumb { name: name.to_owned(), label, cosine: 0.9, thumbnail: "iVBORw0KGgo=".to_owned() }
}

/// A run that went well.
fn good() -> Summary {
    let epoch = |epoch: u64| Epoch {
        epoch,
        step: 10 * epoch,
        loss: 10.0 - epoch as f64,
        attraction: -1.0,
        repulsion: 11.0 - epoch as f64,
        learning_rate: 0.1,
        geometry: vec![("alignment".to_owned(), 0.5), ("uniformity".to_owned(), -3.0)],
        recall_at_1: 0.1 * epoch as f64,
        gradient_cosine: Some(-0.1),
        pull_left: Some(1.0),
        knn: Some(0.8),
        knn_references: 5000,
        knn_queries: 1000,
        alarm: None,
    };
    let bins = vec![0.01; 100];
    let mut summary = Summary {
        schema_version: SCHEMA_VERSION,
        run: "runs/example".to_owned(),
        data: "example".to_owned(),
        classes: vec!["cat".to_owned(), "dog".to_owned()],
        train_images: 10_000,
        test_images: 2000,
        labels: Labels { train: 10_000, test: 2000 },
        encoder: "resnet-small".to_owned(),
        loss: "dhel".to_owned(),
        optimizer: "SGD".to_owned(),
        recipe: "seed = 1\n".to_owned(),
        environment: serde_json::json!({ "riesz": "0.0.0", "threads": 2 }),
        settings: Settings {
            neighbors: 20,
            temperature: 0.07,
            references: 10_000,
            queries: 2000,
            few_labels: 10,
            few_draws: 10,
            pairs: 1000,
            gallery: 10_000,
        },
        rows: vec![
            row("raw pixels", 0.83, 0.70, 0.79, 0.02),
            row("untrained backbone", 0.78, 0.57, 0.75, 0.03),
            row("trained backbone", 0.87, 0.76, 0.84, 0.25),
            row("trained projector", 0.84, 0.74, 0.83, 0.35),
        ],
        comparisons: Vec::new(),
        notes: Vec::new(),
        epochs: (1..=3).map(epoch).collect(),
        steps: (0..30)
            .map(|step| StepPoint { step, loss: 10.0, attraction: -1.0, repulsion: 11.0 })
            .collect(),
        training_seconds: 200.0,
        images_per_second: 750.0,
        loss_bound: Some(LossBound {
            value: -1.5,
            theorem: "convexity".to_owned(),
            images: 256,
            views: 2,
            dim: 128,
        }),
        trained_with_labels: false,
        start_trained_with_labels: false,
        geometry: vec![Geometry { metric: "alignment".to_owned(), trained: 0.5, untrained: 0.1 }],
        alarm: None,
        collapsed: false,
        cosines: Cosines { dim: 128, bins: 100, matched: bins.clone(), other: bins.clone(), ideal: bins },
        spectrum: vec![Spectrum { name: "trained backbone".to_owned(), values: vec![1.0, 0.1, 0.0] }],
        map: Some(Map {
            points: (0..4)
                .map(|i| MapPoint {
                    x: f64::from(i),
                    y: 1.0,
                    label: Some(i % 2),
                    name: format!("test/{i}"),
                    thumbnail: "iVBORw0KGgo=".to_owned(),
                })
                .collect(),
        }),
        neighbors: vec![Neighbors {
            query: thumb("test/0", Some(0)),
            nearest: vec![thumb("train/1", Some(1))],
        }],
        unreadable: vec![("broken.jpg".to_owned(), "truncated jpeg".to_owned())],
    };
    compare(&mut summary, Some(0.01));
    summary
}

/// The same without labels.
fn unlabeled() -> Summary {
    let mut summary = good();
    summary.classes.clear();
    for row in &mut summary.rows {
        (row.knn, row.probe, row.few) = (None, None, None);
    }
    compare(&mut summary, Some(0.01));
    summary.labels = Labels { train: 0, test: 0 };
    (summary.settings.references, summary.settings.queries) = (0, 0);
    summary.epochs.iter_mut().for_each(|epoch| epoch.knn = None);
    summary.map.iter_mut().flat_map(|map| &mut map.points).for_each(|point| point.label = None);
    for line in &mut summary.neighbors {
        line.query.label = None;
        line.nearest.iter_mut().for_each(|near| near.label = None);
    }
    summary
}

#[test]
fn the_page_needs_no_network_and_has_every_section() {
    for summary in [good(), unlabeled()] {
        let page = render(&summary).unwrap();
        for scheme in ["http:", "https:", "//cdn", "@import", "url("] {
            assert!(!page.contains(scheme), "the page refers to {scheme}");
        }
        for section in ["table", "facts", "curves", "geometry", "map", "neighbors", "unreadable", "recipe"] {
            assert!(page.contains(&format!("<section id=\"{section}\"")), "{section} is missing");
        }
        assert!(!page.contains("NaN") && !page.contains("inf "), "a number that is none was drawn");
        assert!(page.contains("broken.jpg"));
    }
}

/// The table's numbers are the backbone's; those of each epoch are often the projector's, or of fewer images.
#[test]
fn charts_of_epochs_say_whose_numbers_they_are() {
    let title = |text: &str| format!("<figcaption>{text}</figcaption>");
    let page = render(&good()).unwrap();
    for text in [
        "recall@1, projector",
        "kNN, backbone, 1000 queries against 5000 references",
        "uniformity, projector",
        "effective rank, projector",
    ] {
        assert!(page.contains(&title(text)), "{text}");
    }
    // Older logs do not say how many.
    let mut old = good();
    old.epochs.iter_mut().for_each(|epoch| (epoch.knn_queries, epoch.knn_references) = (0, 0));
    assert!(render(&old).unwrap().contains(&title("kNN, backbone")));
}

#[test]
fn the_loss_stands_above_what_is_proven() {
    let words = "no rows of 256 images in 2 views and 128 dimensions have a loss below -1.5000, by convexity";
    let (bound, line) = (good().loss_bound.unwrap(), "class=\"line ideal\"");
    assert!(bound.told() == words && bound.value < good().steps[0].loss);
    let drawn = |summary: &Summary| {
        let page = render(summary).unwrap();
        let figure = page.split("<figure>").find(|part| part.contains("each step")).unwrap().to_owned();
        (figure.contains(words), figure.contains(line))
    };
    assert_eq!(drawn(&good()), (true, true));
    assert_eq!(drawn(&Summary { loss_bound: None, ..good() }), (false, false));
}

#[test]
fn what_is_not_there_is_not_shown() {
    let labeled = render(&good()).unwrap();
    assert!(
        labeled.contains("linear probe") && labeled.contains("cat") && labeled.contains("class=\"wrong\"")
    );
    let saw = |page: &str| !page.contains("Frames show the class, which training never saw:");
    assert!(!saw(&labeled) && saw(&render(&Summary { trained_with_labels: true, ..good() }).unwrap()));
    assert!(saw(&render(&Summary { start_trained_with_labels: true, ..good() }).unwrap()));
    let page = render(&unlabeled()).unwrap();
    assert!(!page.contains("<th scope=\"col\">linear probe") && !page.contains("class=\"wrong\""));
    let mut bare = good();
    (bare.map, bare.neighbors, bare.unreadable, bare.steps) = (None, Vec::new(), Vec::new(), Vec::new());
    let page = render(&bare).unwrap();
    assert!(!page.contains("<section id=\"map\"") && !page.contains("<section id=\"neighbors\""));
}

#[test]
fn markup_in_names_stays_text() {
    let mut summary = good();
    let hostile = "<script>alert(1)</script>\"'&";
    summary.run = hostile.to_owned();
    summary.classes = vec![hostile.to_owned(), hostile.to_owned()];
    summary.unreadable = vec![(hostile.to_owned(), hostile.to_owned())];
    summary.recipe = hostile.to_owned();
    summary.environment = serde_json::json!({ hostile: hostile });
    summary.alarm = Some(hostile.to_owned());
    for point in &mut summary.map.as_mut().unwrap().points {
        point.name = hostile.to_owned();
        point.thumbnail = "\"><script>alert(2)</script>".to_owned();
    }
    summary.neighbors[0].query = thumb(hostile, Some(0));
    let page = render(&summary).unwrap();
    assert!(!page.contains("<script>alert"), "markup went through");
    assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
}

#[test]
fn the_best_of_each_column_is_marked() {
    let page = render(&good()).unwrap();
    for best in ["87.0", "76.0 ± 2.0", "84.0", "35.0", "70.0"] {
        assert!(page.contains(&format!(">{best}</td>")), "{best}");
    }
    assert_eq!(page.matches("class=\"best\"").count(), 5);
}

#[test]
fn the_verdict_says_what_the_table_says() {
    let summary = good();
    let found = verdict(&summary);
    assert_eq!(found.tone, Tone::Good, "{found:?}");
    assert!(
        found.reasons.iter().any(|reason| reason.contains("linear probe, all labels: 87.0 %")),
        "{found:?}"
    );
    assert_eq!(found.reasons.len(), 4);

    let found = verdict(&unlabeled());
    assert_eq!((found.tone, found.reasons.len()), (Tone::Good, 1), "{found:?}");

    let mut mixed = good();
    mixed.rows[2].knn = Some(0.70);
    compare(&mut mixed, Some(0.01));
    let found = verdict(&mixed);
    assert_eq!(found.tone, Tone::Mixed);
    assert!(
        found.reasons.iter().any(|reason| reason.starts_with("kNN: 70.0 %; worse than raw pixels at 79.0 %"))
    );

    let mut close = good();
    close.rows[2].probe = Some(Probe { accuracy: 0.835, ..close.rows[2].probe.unwrap() });
    compare(&mut close, Some(0.01));
    let found = verdict(&close);
    assert!(
        found
            .reasons
            .iter()
            .any(|reason| reason.contains("within the error of raw pixels at 83.0 % (+0.5 ± 1.0 points)"))
    );
    assert!(found.tone == Tone::Good && found.headline.contains("worse in nothing"));

    let mut worse = good();
    worse.rows[2] = Row { name: "trained backbone".to_owned(), ..row("", 0.5, 0.4, 0.4, 0.0) };
    compare(&mut worse, Some(0.01));
    assert_eq!(verdict(&worse).tone, Tone::Bad);

    let mut few = good();
    compare(&mut few, Some(0.9));
    let found = verdict(&few);
    assert_eq!(found.tone, Tone::Mixed);
    assert!(found.headline.starts_with("Nothing can be told apart"), "{found:?}");

    // A single draw of labels says nothing of the spread over draws, and is not judged.
    let mut single = good();
    for comparison in single.comparisons.iter_mut().filter(|found| found.measure == Measure::FewLabels) {
        comparison.margin = None;
    }
    let found = verdict(&single);
    assert!(found.reasons[2].contains("not judged against raw pixels at 70.0 % (+6.0 points; a single draw"));
    assert!(!found.headline.contains("everything"), "{found:?}");
}

/// The alarm is of the projector, the table of the backbone: only where nothing is better is the encoder not usable.
#[test]
fn only_an_encoder_that_is_no_better_is_called_collapsed() {
    let alarm = "of the projector: the embeddings have collapsed";
    let mut worse = good();
    worse.rows[2] = Row { name: "trained backbone".to_owned(), ..row("", 0.5, 0.4, 0.4, 0.0) };
    let mut unasked = good();
    unasked.rows.truncate(2);
    for (mut summary, collapsed, [tone, headline]) in [
        (good(), true, ["Good", "The encoder learned"]),
        (good(), false, ["Good", "The encoder learned"]),
        (worse.clone(), true, ["Bad", "The embeddings collapsed"]),
        (worse, false, ["Bad", "The encoder learned nothing"]),
        (unasked.clone(), true, ["Bad", "The embeddings collapsed"]),
        (unasked, false, ["Bad", "There is no evaluation"]),
    ] {
        compare(&mut summary, Some(0.01));
        (summary.alarm, summary.collapsed) = (Some(alarm.to_owned()), collapsed);
        let found = verdict(&summary);
        assert_eq!(format!("{:?}", found.tone), tone, "{found:?}");
        assert!(found.headline.starts_with(headline) && found.reasons[0] == alarm, "{found:?}");
        assert_eq!(render(&summary).unwrap().contains("Collapse alarm."), collapsed);
    }
}

/// The better of two trained rows against one untrained row would be unfair: only like is compared with like.
#[test]
fn the_verdict_compares_like_with_like() {
    let mut summary = good();
    // The projector is far better than anything; the backbone, which is used later, is not.
    summary.rows[3] = Row { name: "trained projector".to_owned(), ..row("", 0.99, 0.99, 0.99, 0.99) };
    summary.rows[2] = Row { name: "trained backbone".to_owned(), ..row("", 0.78, 0.57, 0.75, 0.02) };
    compare(&mut summary, Some(0.01));
    let found = verdict(&summary);
    assert!(found.tone == Tone::Bad && !found.reasons.join(" ").contains("99.0"), "{found:?}");
    assert!(found.reasons[0].starts_with("retrieval of the other view (recall@1): 2.0 %"), "{found:?}");
}

#[test]
fn a_baseline_that_was_left_out_is_not_claimed_to_be_beaten() {
    let mut summary = good();
    summary.rows.remove(0);
    compare(&mut summary, Some(0.01));
    summary.notes = vec!["raw pixels are left out: rows of 150528 numbers; up to 12288 are asked".to_owned()];
    let found = verdict(&summary);
    assert_eq!(
        found.headline,
        "The encoder learned: it is better than an untrained encoder in everything asked."
    );
    for text in [plain(&summary), render(&summary).unwrap()] {
        assert!(text.to_lowercase().contains("raw pixels are left out: rows of 150528 numbers"), "{text}");
    }
    assert!(verdict(&good()).headline.contains("better than raw pixels and an untrained encoder"));
}

#[test]
fn partly_missing_labels_and_probes_that_did_not_converge_are_told() {
    let told = |summary: &Summary, word: &str| {
        [plain(summary), render(summary).unwrap()].map(|text| text.contains(word)) == [true; 2]
    };
    let mut summary = good();
    assert!(!plain(&summary).contains("\nlabels: ") && !plain(&summary).contains("converged"));
    summary.labels = Labels { train: 5000, test: 1999 };
    (summary.settings.references, summary.settings.queries) = (5000, 1999);
    assert!(told(&summary, "abels: 5000 of 10000 training images and 1999 of 2000 held-out images have one"));
    assert!(told(&summary, "1999 held-out"));
    assert!(!render(&summary).unwrap().contains("no label</span>"));
    summary.map.as_mut().unwrap().points[0].label = None;
    assert!(render(&summary).unwrap().contains("<span class=\"k\">no label</span>"));
    let probe = summary.rows[0].probe.as_mut().unwrap();
    (probe.gradient, probe.converged) = (3e-4, false);
    summary.rows[2].few.as_mut().unwrap().unconverged = 2;
    assert!(told(
        &summary,
        "ot converged to a gradient of 1e-4 of its start in 4000 iterations: raw pixels (gradient at 3e-4 of its \
         start), trained backbone (2 draws of few labels)"
    ));
}

#[test]
fn weights_that_were_only_judged_are_not_said_to_be_trained() {
    let mut summary = good();
    (summary.epochs, summary.steps) = (Vec::new(), Vec::new());
    let collapsed = riesz::geometry::Diagnosis::Collapsed { mean_cosine: 0.97 };
    let alarm = format!("of the projector, which was not trained here: {collapsed}");
    for (alarm, margin) in [(None, 0.01), (None, 0.9), (Some(alarm), 0.01)] {
        compare(&mut summary, Some(margin));
        summary.alarm = alarm;
        let found = verdict(&summary);
        let begins =
            "Without further training the weights that the run began with are better than raw pixels";
        assert_eq!(found.headline.starts_with(begins), margin < 0.1, "{found:?}");
        let page = render(&summary).unwrap();
        for text in [plain(&summary), page.clone()] {
            assert!(text.contains("pretrained backbone"), "{text}");
            for word in [" trained backbone", "learned", "learning rate", "longer"] {
                assert!(!text.contains(word), "{word}: {text}");
            }
            assert_eq!(text.contains("cosine 0.970 on average"), summary.alarm.is_some());
        }
        assert!(!page.contains("id=\"curves\""), "there is no training to show");
    }
}

#[test]
fn draws_of_few_labels_are_told_where_they_were_made() {
    let mut summary = good();
    let told = [" 10 draws of 10 labels a class", "over 10 draws"];
    let shown =
        |summary: &Summary| [plain(summary).contains(told[0]), render(summary).unwrap().contains(told[1])];
    assert_eq!(shown(&summary), [true; 2]);
    // A single draw has no spread.
    let mut single = summary.clone();
    single.settings.few_draws = 1;
    single.rows[0].few.as_mut().unwrap().unconverged = 1;
    let page = render(&single).unwrap();
    assert!(page.contains(">76.0</td>") && page.contains("with few labels, one draw of them"), "{page}");
    let text = plain(&single);
    for told in ["; 1 draw of 10 labels a class", "raw pixels (1 draw of few labels)", " 76.0 "] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("76.0 ±") && !page.contains("76.0 ±"));
    summary.rows.iter_mut().for_each(|row| row.few = None);
    assert_eq!(shown(&summary), [false; 2]);
}

#[test]
fn the_terminal_shows_the_table_in_its_width() {
    for summary in [good(), unlabeled()] {
        let text = plain(&summary);
        assert!(text.contains("trained backbone") && text.contains("25.0"));
        for line in text.lines().filter(|line| line.contains(" backbone  ")) {
            assert!(line.chars().count() <= 110, "{line}");
        }
    }
    assert!(!plain(&unlabeled()).contains("probe"));
}

#[test]
fn runs_that_differ_in_their_seed_make_one_table() {
    let seeded = |seed: u64, probe: f64| {
        let mut summary = good();
        summary.recipe = format!("seed = {seed}\nbatch = 256\n");
        summary.run = format!("runs/seed-{seed}");
        summary.rows =
            vec![row("raw pixels", 0.83, 0.70, 0.79, 0.02), row("trained backbone", probe, 0.75, 0.84, 0.25)];
        summary
    };
    let table = markdown(&[seeded(1, 0.84), seeded(2, 0.86), seeded(3, 0.88)]).unwrap();
    assert!(
        table.contains(
            "| percent, 2000 held-out images (1000 for recall) | linear probe | 10 labels a class | kNN |"
        ),
        "{table}"
    );
    assert!(table.contains("| raw pixels (128) | 83.0 ± 0.0 |"), "{table}");
    // 84, 86, 88: mean 86, and the squares 4 + 0 + 4 over n − 1 = 2 make a deviation of 2.
    assert!(table.contains("| trained backbone (128) | **86.0 ± 2.0** | **75.0 ± 0.0** |"), "{table}");
    assert!(table.contains("n = 3 (seeds 1, 2, 3); training at 750 images/s."), "{table}");
    let single = markdown(&[seeded(1, 0.84)]).unwrap();
    assert!(single.contains("| **84.0** |"), "{single}");
    assert!(single.ends_with("\nOne run (seed 1); training at 750 images/s.\n"), "{single}");
    let paced = |images_per_second: f64, seed| Summary { images_per_second, ..seeded(seed, 0.84) };
    let table = markdown(&[paced(700.4, 1), paced(750.0, 2)]).unwrap();
    assert!(table.ends_with("n = 2 (seeds 1, 2); training at 700 to 750 images/s.\n"), "{table}");
    // Weights that were only judged have no pace.
    assert!(markdown(&[paced(0.0, 1)]).unwrap().ends_with("\nOne run (seed 1).\n"));

    let refused = |summaries: &[Summary]| markdown(summaries).unwrap_err().to_string();
    assert!(refused(&[]).contains("no finished run"));
    assert!(refused(&[seeded(1, 0.84), seeded(1, 0.85)]).contains("has its seed 1 too"));
    let mut other = seeded(2, 0.8);
    other.recipe = "seed = 2\nbatch = 128\n".to_owned();
    assert!(refused(&[seeded(1, 0.84), other]).contains("differ in more than the seed"));
    // What one seed lacks is the mean of the others; what all lack is a dash, and no column if no row has it.
    let mut lacking = seeded(2, 0.86);
    lacking.rows[1].probe = None;
    let without = |mut summary: Summary| {
        summary.rows[0].few = None;
        summary
    };
    let table = markdown(&[seeded(1, 0.84), lacking, seeded(3, 0.88)].map(without)).unwrap();
    assert!(table.contains("| raw pixels (128) | 83.0 ± 0.0 | – | 79.0"), "{table}");
    // 84 and 88: mean 86, deviation √8.
    assert!(
        table.contains("| trained backbone (128) | **86.0 ± 2.8** (n = 2) | **75.0 ± 0.0** |"),
        "{table}"
    );
}

#[test]
fn tables_without_labels_say_how_many_images_were_asked() {
    let table = markdown(&[unlabeled()]).unwrap();
    assert!(table.starts_with("| percent, 1000 held-out images | recall@1 | recall@5 |\n"), "{table}");
    let mut equal = good();
    equal.settings.pairs = 2000;
    assert!(markdown(&[equal]).unwrap().starts_with("| percent, 2000 held-out images | linear probe"));
}
