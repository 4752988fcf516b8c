//! The evaluation at the end of a run: what the encoder learned, beside raw pixels and the untrained encoder, and
//! everything else that the report shows.
//!
//! | file | what |
//! |---|---|
//! | `images.rs` | which images are looked at, and their rows |
//! | `figures.rs` | the law of the cosines, singular spectra, the loss curve |
//! | `alarm.rs` | what is said of a projector whose embeddings collapsed or use few directions |
//! | `guard.rs` | proof that the encoder did not change meanwhile |

mod alarm;
mod figures;
mod guard;
mod images;

use riesz::Matrix;
use riesz::geometry::Diagnosis;
use riesz::rng::Key;
use riesz::sphere::certificate::bound;

use crate::console::on_a_row;
use crate::encoder::Encoder;
use crate::progress::Progress;
use crate::protocols::{Measure, Questions, Replies, Row, Settings, difference};
use crate::recipe::Recipe;
use crate::report::{self, Comparison, Geometry, Labels, LossBound, SCHEMA_VERSION, START, Summary};
use crate::run::{Event, Run};
use crate::train::Plan;
use crate::train::measure::labeled;
use crate::{Error, Result};
use alarm::alarm;
use figures::{cosines, curve, measure_views, spectrum};
use guard::Guard;
use images::{BUDGET, Images, Rows};

/// Evaluates `encoder` and gathers what the report shows.
///
/// # Errors
/// If an image cannot be read, the encoder diverged, or it changed while it was evaluated.
pub fn evaluate(plan: &Plan, run: &Run, encoder: &dyn Encoder, quiet: bool) -> Result<Summary> {
    let recipe = &plan.recipe;
    let guard = Guard::new(&encoder.named_tensors());
    let untrained = plan.encoder()?;
    let images = Images::draw(plan, encoder, BUDGET)?;
    let mut table = Table::new(plan, &images);
    let key = Key::new(recipe.seed).stream("evaluation");
    let begun_with = match (&recipe.start, recipe.epochs) {
        (Some(_), 1..) => Some(plan.start()),
        _ => None,
    };
    let mut progress = Progress::uneven("evaluating", 7, quiet);
    table.say(&progress, plan);
    match images.pixels(&table.questions, BUDGET)? {
        Ok(pixels) => drop(table.ask("raw pixels", pixels, key)?),
        Err(why) => table.leave_out(&progress, why),
    }
    progress.advance(1, || "raw pixels".to_owned());
    let (h, z) = images.embed(&*untrained)?;
    progress.advance(1, || "untrained encoder embedded".to_owned());
    let untrained_h = table.ask("untrained backbone", h, key)?;
    let untrained_z = table.ask("untrained projector", z, key)?;
    let untrained = measure_views(&untrained_z)?;
    let mut before = untrained.diagnosis;
    match begun_with {
        Some(Ok((begun_with, _))) => {
            let (h, z) = images.embed(&*begun_with)?;
            before = measure_views(&z.views)?.diagnosis;
            drop(z);
            table.ask(START, h, key)?;
        }
        Some(Err(why)) => {
            table.leave_out(&progress, format!("the weights at the start are not measured: {why}"))
        }
        None => {}
    }
    progress.advance(1, || "untrained encoder evaluated".to_owned());
    let (h, z) = images.embed(encoder)?;
    progress.advance(1, || "trained encoder embedded".to_owned());
    let map = images.map(&h, key)?;
    let neighbors = images.neighbors(&h, key)?;
    progress.advance(1, || "map drawn".to_owned());
    let trained_h = table.ask("trained backbone", h, key)?;
    let trained_z = table.ask("trained projector", z, key)?;
    progress.advance(1, || "trained encoder evaluated".to_owned());
    guard.check(&encoder.named_tensors())?;

    let trained = measure_views(&trained_z)?;
    let geometry = trained
        .values
        .into_iter()
        .zip(untrained.values)
        .map(|((metric, trained), (_, untrained))| Geometry { metric, trained, untrained })
        .collect();
    let cosines = cosines(&trained_z)?;
    let spectrum = [
        ("trained backbone", &trained_h),
        ("trained projector", &trained_z),
        ("untrained backbone", &untrained_h),
        ("untrained projector", &untrained_z),
    ]
    .into_iter()
    .map(|(name, views)| spectrum(name, views))
    .collect::<Result<_>>()?;
    progress.advance(1, || "geometry measured".to_owned());
    progress.finish();

    let events = run.events()?;
    let timings = run.timings()?;
    let environment_path = run.path("environment.json");
    let environment =
        std::fs::read_to_string(&environment_path).map_err(|error| Error::io(&environment_path, &error))?;
    let mut rates: Vec<f64> = timings.iter().map(|timing| timing.images_per_second).collect();
    rates.sort_by(f64::total_cmp);
    Ok(Summary {
        schema_version: SCHEMA_VERSION,
        run: run.root().display().to_string(),
        data: plan.data.name.clone(),
        classes: plan.data.classes.clone(),
        train_images: plan.data.train.len(),
        test_images: plan.data.test.len(),
        labels: table.labels,
        encoder: encoder.describe(),
        loss: recipe.describe_loss(),
        optimizer: recipe.optimizer.describe(recipe.batch),
        recipe: recipe.to_toml(),
        environment: serde_json::from_str(&environment)
            .map_err(|error| Error::input(format!("{}: {error}", environment_path.display())))?,
        settings: table.shown_settings(),
        comparisons: table.comparisons(),
        rows: table.rows,
        loss_bound: loss_bound(plan, encoder.dims()[1]),
        trained_with_labels: recipe.learns_labels(),
        start_trained_with_labels: recipe.begins_with_labels(),
        notes: table.notes,
        steps: curve(&events),
        unreadable: images.unreadable(&events),
        epochs: events
            .into_iter()
            .filter_map(|event| match event {
                Event::Epoch(epoch) => Some(epoch),
                _ => None,
            })
            .collect(),
        training_seconds: timings.iter().map(|timing| timing.training_seconds).sum(),
        images_per_second: rates.get(rates.len() / 2).copied().unwrap_or(0.0),
        geometry,
        collapsed: matches!(trained.diagnosis, Diagnosis::Collapsed { .. }),
        alarm: alarm(trained.diagnosis, before, recipe.epochs),
        cosines,
        spectrum,
        map,
        neighbors,
    })
}

/// What no rows z of `dim` numbers of a training batch have a loss below, where that is proven: not of images in groups, and of
/// nothing where nothing is trained.
pub fn loss_bound(plan: &Plan, dim: usize) -> Option<LossBound> {
    let Recipe { batch: images, views, epochs, ref loss, .. } = plan.recipe;
    let is_asked = epochs > 0 && !loss.takes_groups();
    let bound = is_asked.then(|| bound(&plan.loss, images, dim, views)).flatten()?;
    Some(LossBound { value: bound.value, theorem: bound.theorem.to_string(), images, views, dim })
}

/// The table while it is made: what is asked, and what the rows so far answered.
struct Table<'a> {
    images: &'a Images<'a>,
    settings: Settings,
    questions: Questions,
    labels: Labels,
    notes: Vec<String>,
    rows: Vec<Row>,
    replies: Vec<Replies>,
}

impl<'a> Table<'a> {
    fn new(plan: &Plan, images: &'a Images<'a>) -> Self {
        let evaluation = &plan.recipe.evaluation;
        let (references, queries) = (&images.references.labels, &images.queries.labels);
        let settings = Settings {
            // The table tells how many there were.
            neighbors: evaluation.neighbors.min(references.len()),
            temperature: evaluation.temperature,
            few_labels: evaluation.few_labels,
            few_draws: evaluation.few_draws,
        };
        let class = |class: u32| {
            let name = plan.data.classes.get(class as usize);
            name.map_or_else(|| format!("class {class}"), |name| on_a_row(name).into_owned())
        };
        let questions = Questions::of(references, queries, &settings, class);
        let labels = Labels { train: labeled(&*plan.data.train), test: labeled(&*plan.data.test) };
        let notes = images.notes.iter().chain(&questions.notes).cloned().collect();
        Self { images, settings, questions, labels, notes, rows: Vec::new(), replies: Vec::new() }
    }

    /// Says what is asked of how many, and what is left out.
    fn say(&self, progress: &Progress, plan: &Plan) {
        let (train, test) = (plan.data.train.len(), plan.data.test.len());
        let Labels { train: of_train, test: of_test } = self.labels;
        if (1..train + test).contains(&(of_train + of_test)) {
            progress.say(&format!(
                "labels: {of_train} of {train} training images and {of_test} of {test} held-out images have one; kNN and \
                 probe are asked of {} and {} of these",
                self.images.references.labels.len(),
                self.images.queries.labels.len()
            ));
        }
        self.notes.iter().for_each(|note| progress.say(note));
    }

    /// Tells what is not asked.
    fn leave_out(&mut self, progress: &Progress, why: String) {
        progress.say(&why);
        self.notes.push(why);
    }

    /// Asks everything of one kind of rows; gives back its views.
    fn ask(&mut self, name: &str, rows: Rows, key: Key) -> Result<[Matrix<f32>; 2]> {
        let (row, replies, views) = self.images.ask(name, rows, &self.questions, &self.settings, key)?;
        self.rows.push(row);
        self.replies.push(replies);
        Ok(views)
    }

    /// The trained backbone against what costs nothing, and what it began with: like with like, on the same questions.
    fn comparisons(&self) -> Vec<Comparison> {
        let of = |name: &str| self.rows.iter().position(|row| row.name == name);
        let mut comparisons = Vec::new();
        let Some(ours) = of("trained backbone") else { return comparisons };
        for measure in [Measure::Retrieval, Measure::Probe, Measure::FewLabels, Measure::Knn] {
            for theirs in ["raw pixels", "untrained backbone", START].into_iter().filter_map(of) {
                let (a, b) = (self.replies[ours].get(&measure), self.replies[theirs].get(&measure));
                let (Some(a), Some(b)) = (a, b) else { continue };
                let found = difference(a, b);
                comparisons.push(Comparison {
                    measure,
                    ours: self.rows[ours].name.clone(),
                    theirs: self.rows[theirs].name.clone(),
                    difference: found.share,
                    margin: found.margin,
                });
            }
        }
        comparisons
    }

    fn shown_settings(&self) -> report::Settings {
        report::Settings {
            neighbors: self.settings.neighbors,
            temperature: self.settings.temperature,
            references: self.images.references.labels.len(),
            queries: self.images.queries.labels.len(),
            few_labels: self.settings.few_labels,
            few_draws: self.settings.few_draws,
            pairs: self.images.pairs.items.len(),
            gallery: self.images.references.items.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Image, Source};
    use crate::recipe::BUILT_IN;
    use crate::report;
    use crate::run::Found;
    use crate::train::measure::HeldOut;

    type HasLabel = fn(usize) -> bool;

    /// Bright above (class 0) or below (class 1), three images of a class in turn, with a little noise.
    struct Halves {
        images: usize,
        has_label: HasLabel,
    }

    impl Source for Halves {
        fn len(&self) -> usize {
            self.images
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn label(&self, index: usize) -> Option<u32> {
            (self.has_label)(index).then_some((index / 3 % 2) as u32)
        }

        fn image(&self, index: usize) -> Result<Image> {
            let pixels = (0..28 * 28).map(|at| {
                let bright = (at / 392 == index / 3 % 2) as usize * 150;
                (bright + (at * (index + 3) * 7 + index * index) % 60) as u8
            });
            Ok(Image { width: 28, height: 28, channels: 1, pixels: pixels.collect() })
        }
    }

    fn plan(has_label: HasLabel) -> Plan {
        let overrides = [
            "evaluation.pairs=20",
            "evaluation.references=30",
            "evaluation.epoch-references=12",
            "evaluation.neighbors=5",
            "evaluation.few-labels=3",
            "evaluation.few-draws=2",
        ];
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let recipe = Recipe::resolve(BUILT_IN[0].text, &overrides, "test").unwrap();
        let source = |images| -> Box<dyn Source> { Box::new(Halves { images, has_label }) };
        let classes = vec!["above".to_owned(), "below".to_owned()];
        Plan {
            data: Dataset {
                name: "halves".to_owned(),
                train: source(60),
                test: source(45),
                classes,
                notes: Vec::new(),
            },
            augment: recipe.augment.plan().unwrap(),
            loss: recipe.loss.loss().unwrap(),
            device: crate::device::Device::Cpu,
            own_encoder: None,
            recomputes: false,
            recipe,
        }
    }

    fn evaluated(plan: &Plan) -> Summary {
        let folder = tempfile::tempdir().unwrap();
        let Found::New(run) = Run::create_or_continue(&folder.path().join("r"), &plan.recipe).unwrap() else {
            panic!("the folder is new")
        };
        std::fs::write(run.path("environment.json"), "{}").unwrap();
        evaluate(plan, &run, &*plan.encoder().unwrap(), true).unwrap()
    }

    #[test]
    fn images_with_labels_are_asked_and_the_others_are_counted() {
        // (which have labels, of 60 training images, of 45 held-out ones, references asked of 30)
        let cases: [(HasLabel, usize, usize, usize); 4] = [
            (|i| i % 3 == 0, 20, 15, 20),
            (|i| i != 7, 59, 44, 30),
            (|_| true, 60, 45, 30),
            (|_| false, 0, 0, 0),
        ];
        for (has_label, train, test, references) in cases {
            let plan = plan(has_label);
            let summary = evaluated(&plan);
            let settings = &summary.settings;
            assert_eq!(summary.labels, Labels { train, test });
            assert_eq!((settings.references, settings.queries), (references, test));
            assert_eq!(
                (settings.gallery, settings.pairs),
                (30, 20),
                "images without labels count where none are asked"
            );
            assert_eq!(summary.map.as_ref().unwrap().points.len(), 45);
            assert!(summary.notes.is_empty(), "{:?}", summary.notes);
            // DHEL as released, 128 dimensions, τ = 0.3: matches coincide, the batch is a regular simplex.
            let others = plan.recipe.batch as f64 - 1.0;
            let least = -1.0 / 0.3 + 2.0 * (others.ln() - 1.0 / (0.3 * others));
            let bound = summary.loss_bound.as_ref().unwrap();
            assert!((bound.value - least).abs() < 1e-12, "{bound:?} for {least}");
            // The classes can be told apart by every pixel, if rows and labels belong together.
            let pixels = summary.row("raw pixels").unwrap();
            let right = (train > 0).then_some(1.0);
            assert_eq!((pixels.knn, pixels.probe.map(|probe| probe.accuracy)), (right, right));
            assert_eq!(pixels.few.map(|few| few.mean), right);
            assert_eq!(summary.comparisons.len(), if train > 0 { 8 } else { 2 });
            let told =
                format!("labels: {train} of 60 training images and {test} of 45 held-out images have one");
            let some = train > 0 && train < 60;
            assert_eq!(report::plain(&summary).contains(&told), some);
            assert_eq!(report::render(&summary).unwrap().contains(&told[1..]), some);

            let held_out = HeldOut::new(&plan).unwrap();
            assert_eq!(held_out.sample.items.len(), 20);
            let epoch = held_out.epoch(&*plan.encoder().unwrap(), 1, 1, [0.0; 3], 0.1).unwrap();
            let queries = if train == 60 { 20 } else { test.min(20) };
            assert_eq!((epoch.knn_references, epoch.knn_queries), (references.min(12), queries));
            assert_eq!(epoch.knn.is_some(), train > 0);
        }
    }

    #[test]
    fn labels_that_allow_no_question_are_told() {
        let summary = evaluated(&plan(|i| i < 3));
        assert_eq!((summary.labels, summary.has_labels()), (Labels { train: 3, test: 3 }, false));
        assert!(
            report::plain(&summary).contains("kNN and probe are not asked: all training images with a label")
        );
        let summary = evaluated(&plan(|i| i < 5));
        assert!(summary.has_labels() && summary.rows[0].few.is_none());
        assert!(
            report::plain(&summary).contains("the probe with 3 labels a class is not asked: below has 2")
        );
    }

    #[test]
    fn what_does_not_fit_the_budget_is_left_out_and_told() {
        let plan = plan(|i| i % 3 == 0);
        let encoder = plan.encoder().unwrap();
        // 20 rows of 128 + 128 numbers.
        let images = Images::draw(&plan, &*encoder, 20 * 256 * 4).unwrap();
        assert_eq!((images.references.items.len(), images.queries.items.len()), (10, 10));
        assert_eq!((images.references.labels.len(), images.queries.labels.len()), (10, 10), "labels first");
        let table = Table::new(&plan, &images);
        assert_eq!(
            table.notes,
            [
                "10 of 30 training images and 10 of 45 held-out images are looked at, as many as their rows of 256 \
              numbers fit into 20 kB"
            ]
        );
        let needed = (10 + 10 + 4 * 20) * 784 * 4;
        assert!(images.pixels(&table.questions, needed).unwrap().is_ok());
        let why = images.pixels(&table.questions, needed - 1).unwrap().err().unwrap();
        assert!(why.contains("would take 314 kB"), "{why}");
    }
}
