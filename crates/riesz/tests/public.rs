//! What others build on: public types cross threads, and no public signature has a type of a dependency, whose next version would
//! then ask for ours.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use riesz::engine::{
    Coupling, Ends, Fused, LogisticGrad, ParameterGrad, Part, RawValueAndGrad, Reference, Share, Value,
    ValueAndGrad, Whole,
};
use riesz::geometry::{
    Better, Comparison, Diagnosis, Difference, Duplicates, Estimate, Finding, Findings, Finished, Joint,
    Lengths, Likeness, Metric, Pairwise, Parts, Sampled, Sampling, Source, Spectrum, State, Tone,
};
use riesz::kernel::{
    Cosine, DistancePower, Exponent, Exponential, Gaussian, InverseMultiquadric, LogDistance, Logarithmic,
    Riesz, ScaledExponential, Softplus, SquaredCosine,
};
use riesz::loss::{Anchors, Convention, KclKernel, Link, Loss, Pairs, Role, Term};
use riesz::rng::{Generator, Key};
use riesz::sphere::bound::Quadrature;
use riesz::sphere::certificate::{Bound, Certificate, Theorem};
use riesz::sphere::cosines::{Cosines, Distinct};
use riesz::sphere::found::{Found, Group};
use riesz::sphere::minimize::{End, Minimum, Problem, Settings, Step};
use riesz::sphere::optima::{Configuration, Kind};
use riesz::{Error, Matrix, Points, UnitViews};

#[test]
fn public_types_cross_threads_and_are_printed() {
    fn plain<T: Send + Sync + Unpin + Clone + std::fmt::Debug>() {}
    macro_rules! all {
        ($($of:ty),* $(,)?) => { $(plain::<$of>();)* };
    }
    all!(Error, Matrix<f32>, Points<'_, f32>, UnitViews<f64>, Key, Generator);
    all!(Loss, Term, Pairs, Anchors, Link, Role, Convention, KclKernel);
    all!(Fused, Reference, Value, ValueAndGrad<f32>, RawValueAndGrad<f64>, Coupling, LogisticGrad);
    all!(ParameterGrad, Share, Whole<'_>, Part<'_, f32>, Ends<'_>, Exponent);
    all!(Cosine, DistancePower, Exponential, Gaussian, InverseMultiquadric, LogDistance, Logarithmic);
    all!(Riesz, ScaledExponential, Softplus, SquaredCosine);
    all!(
        Better, Comparison, Diagnosis, Difference, Duplicates, Estimate, Finding, Findings, Finished, Joint,
        Lengths
    );
    all!(Likeness, Metric, Pairwise, Parts, Sampled, Sampling, Source, Spectrum, State, Tone);
    all!(Quadrature, Bound, Certificate, Theorem, Cosines, Distinct, Found, Group, Configuration, Kind);
    all!(End, Minimum, Problem, Settings, Step<'_>);
    fn error<T: std::error::Error + Send + Sync + Eq + 'static>() {}
    error::<Error>();
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Names that a source has of its dependencies: their own, and the types and traits that it brings into scope.
fn foreign(text: &str) -> Vec<String> {
    let manifest = include_str!("../Cargo.toml").split("[dependencies]\n").nth(1).unwrap();
    let crates: Vec<&str> =
        manifest.lines().take_while(|line| !line.is_empty()).filter_map(|line| words(line).next()).collect();
    assert!(crates.contains(&"pulp"), "{crates:?}");
    let brought = text.split(';').filter_map(|statement| {
        let path = statement.trim().rsplit_once("use ")?.1;
        crates.iter().find_map(|name| path.strip_prefix(name)?.strip_prefix("::"))
    });
    let types = brought.flat_map(words).filter(|word| word.starts_with(char::is_uppercase));
    types.map(str::to_owned).chain(crates.iter().map(|name| (*name).to_owned())).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// What a source says in public: signatures without their bodies, fields, and all of enums and traits. `pub` is public, as
/// `unreachable_pub` is a lint here.
fn said(text: &str) -> Vec<String> {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
        let kind = words(item).next().unwrap_or_default();
        let mut item = item.to_owned();
        if ["enum", "trait"].contains(&kind) {
            let end = line.replace(line.trim_start(), "}");
            item.extend(lines.by_ref().take_while(|line| *line != end));
        } else if ["fn", "const", "unsafe", "type", "use", "static", "struct"].contains(&kind) {
            let is_whole = |item: &str| {
                let count = |which: &[char]| item.matches(which).count();
                item.contains('{') || (item.contains(';') && count(&['(', '[']) == count(&[')', ']']))
            };
            while !is_whole(&item) {
                item += lines.next().expect("an item has an end");
            }
        }
        // The field of a tuple is private where it does not say `pub`.
        if kind == "struct" && item.contains('(') && !item.contains("pub ") {
            item.truncate(item.find('(').unwrap());
        }
        found.push(item);
    }
    // Traits of others that public types have.
    for line in text.lines().filter(|line| line.starts_with("impl")) {
        let Some((of, on)) = line.split_once(" for ") else { continue };
        let on = words(on).next().unwrap_or_default();
        if ["struct", "enum"].iter().any(|kind| text.contains(&format!("pub {kind} {on}"))) {
            found.push(of.to_owned());
        }
    }
    found
}

/// Foreign types in what a source says in public.
fn leaks(text: &str) -> Vec<String> {
    let foreign = foreign(text);
    said(text)
        .into_iter()
        .filter(|item| words(item).any(|word| foreign.iter().any(|name| name == word)))
        .collect()
}

#[test]
fn no_public_signature_has_a_type_of_a_dependency() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 30, "{found:?}");
    for path in found {
        let leaks = leaks(&fs::read_to_string(&path).unwrap());
        // Hidden, and promised to nobody: DESIGN.md.
        assert!(path.ends_with("elementary.rs") != leaks.is_empty(), "{}: {leaks:?}", path.display());
    }
}

#[test]
fn leaks_are_found() {
    for leak in [
        "pub use rand_chacha::ChaCha8Rng;",
        "use pulp::{Simd, WithSimd};\npub fn widest<Op: WithSimd>(\n    op: Op,\n) -> f64 {\n}",
        "use rand_chacha::ChaCha8Rng;\npub struct Draws(pub ChaCha8Rng);",
        "pub struct A {\n    pub rng: rand_chacha::ChaCha8Rng,\n}",
        "use rand_core::Rng;\npub struct Generator;\nimpl Rng for Generator {}",
        "use pulp::Simd;\npub trait Real {\n    fn exp<S: Simd>(self) -> Self;\n}",
        "pub fn of(\n    sizes: [usize; 2],\n    pool: &rayon::ThreadPool,\n) {}",
    ] {
        assert_eq!(leaks(leak).len(), 1, "{leak}: {:?}", leaks(leak));
    }
    for none in [
        "use rand_chacha::ChaCha8Rng;\npub struct Generator(ChaCha8Rng);",
        "use pulp::Simd;\nstruct Dots;\nimpl Simd for Dots {}\npub fn dots() {\n    rayon::join(|| (), || ());\n}",
    ] {
        assert!(leaks(none).is_empty(), "{none}: {:?}", leaks(none));
    }
}
