//! Tuning.
use std::path::Path;
use riesz::rng::Key;
use riesz_lab::eval;
use riesz_lab::recipe::{self, Recipe};
use riesz_lab::run::{Found, Run};
use riesz_lab::train::measure::{Sample, Shown, embed, pixels, HeldOut};
use riesz_lab::train::{Manner, Plan, train};
fn main() {
    riesz_lab::memory::keep_freed();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (text, origin) = recipe::read(&args[0]).unwrap();
    let r = Recipe::resolve(&text, &args[2..].to_vec(), &origin).unwrap();
    let plan = Plan::new(r, riesz_lab::device::open("cpu").unwrap()).unwrap();
    let root = Path::new(&args[1]);
    let _ = std::fs::remove_dir_all(root);
    let Found::New(run) = Run::create_or_continue(root, &plan.recipe).unwrap() else { panic!() };
    eprintln!("{} | {} | {}", plan.encoder().unwrap().describe(), plan.recipe.augment.describe(), plan.recipe.optimizer.describe(plan.recipe.batch));
    let started = std::time::Instant::now();
    let encoder = train(&plan, &run, Manner::default()).unwrap();
    eprintln!("training {:.0} s", started.elapsed().as_secs_f64());
    encoder.save(&run.path("encoder.safetensors")).unwrap();
    let untrained = plan.encoder().unwrap();
    let key = Key::new(plan.recipe.seed);
    let refs = Sample::draw(&*plan.data.train, 10000, key.stream("references")).unwrap();
    let queries = Sample::readable(&*plan.data.test, (0..plan.data.test.len().min(5000)).collect());
    let pairs = HeldOut::new(&plan).unwrap().sample;
    let (rl, ql) = (refs.all_labels().unwrap(), queries.all_labels().unwrap());
    let settings = eval::Settings { neighbors: 20, temperature: 0.07, few_labels: 10, few_draws: 10 };
    let show = |name: &str, f: &dyn Fn(&dyn riesz_lab::data::Source, &[usize], Shown) -> riesz::Matrix<f32>| {
        let started = std::time::Instant::now();
        let (a, b) = (f(&*plan.data.train, &refs.items, Shown::Clean), f(&*plan.data.test, &queries.items, Shown::Clean));
        let (u, v) = (f(&*plan.data.test, &pairs.items, Shown::View(0)), f(&*plan.data.test, &pairs.items, Shown::View(1)));
        let embedded = started.elapsed().as_secs_f64();
        let row = eval::evaluate_row(name, (&a, Some(&rl)), (&b, Some(&ql)), [&u, &v], &settings, key).unwrap();
        let p = row.probe.unwrap();
        eprintln!("{name:20} knn {:.2} probe {:.2} (λ {:e}, {} it, {}) few {:.2} ± {:.2} recall {:.3} {:.3}   {embedded:.1} + {:.1} s", 100.*row.knn.unwrap(), 100.*p.accuracy, p.penalty, p.iterations, p.converged, 100.*row.few.unwrap().mean, 100.*row.few.unwrap().deviation, row.recall.at_1, row.recall.at_5, started.elapsed().as_secs_f64() - embedded);
    };
    if std::env::var("BASE").is_ok() {
        show("raw pixels", &|s, i, w| pixels(&plan, s, i, w).unwrap());
        show("untrained h", &|s, i, w| embed(&plan, &untrained, s, i, w).unwrap().0);
        show("untrained z", &|s, i, w| embed(&plan, &untrained, s, i, w).unwrap().1);
    }
    show("trained h", &|s, i, w| embed(&plan, &encoder, s, i, w).unwrap().0);
    show("trained z", &|s, i, w| embed(&plan, &encoder, s, i, w).unwrap().1);
}
