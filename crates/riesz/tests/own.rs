//! Losses that users write down themselves: what is wrong in them is a sentence, and not another one's.

use std::sync::Arc;

use riesz::engine::{Engine, Fused, Reference};
use riesz::kernel::{Exponential, Gaussian, Kernel};
use riesz::loss::{Anchors, Convention, Link, Loss, Pairs, Role, Term};
use riesz::rng::Key;
use riesz::sphere::{self, certificate, ideal, optima};
use riesz::{Error, Matrix, Points, Scalar};

/// sin 3s, which is below 0 for half of the cosines, and does not say so.
#[derive(Debug)]
struct Wave;

impl Kernel for Wave {
    fn at(&self, s: f64) -> (f64, f64) {
        ((3.0 * s).sin(), 3.0 * (3.0 * s).cos())
    }
}

fn own(term: Term) -> Loss {
    Loss { name: "own", terms: vec![term] }
}

fn term(link: Link, pairs: Pairs, kernel: Arc<dyn Kernel>) -> Term {
    Term { role: Role::Repulsion, weight: 1.0, link, pairs, anchors: Anchors::AllViews, kernel, focus: None }
}

/// What both engines say of two views of nine images.
fn both(loss: &Loss) -> [Result<f64, Error>; 2] {
    let views = [1, 2].map(|seed| sphere::sample(9, 4, Key::new(seed)));
    let of = |engine: &dyn Engine<f64>| {
        Ok(engine.value_and_grad(loss, &[Points::new(&views[0])?, Points::new(&views[1])?])?.value)
    };
    [of(&Fused), of(&Reference)]
}

#[test]
fn what_is_out_of_range_in_a_term_is_said() {
    let matched = |weight, focus| {
        let kernel = Arc::new(Exponential { temperature: 0.5 });
        own(Term { weight, focus, ..term(Link::Mean, Pairs::MATCHED, kernel) })
    };
    for (loss, sentence) in [
        (matched(f64::NAN, None), "a term of own has the weight NaN; it must be finite"),
        (matched(f64::INFINITY, None), "a term of own has the weight inf; it must be finite"),
        (matched(1.0, Some(0.0)), "a term of own has the focus 0; it must be above 0 and finite"),
        (matched(1.0, Some(-0.5)), "a term of own has the focus -0.5; it must be above 0 and finite"),
    ] {
        for told in both(&loss) {
            assert_eq!(told.unwrap_err().to_string(), sentence);
        }
    }
    for told in both(&matched(-1.0, Some(0.5))) {
        told.unwrap();
    }
}

#[test]
fn a_kernel_that_is_no_number_is_not_only_blamed_on_rows() {
    for told in both(&own(term(Link::Mean, Pairs::WITHIN, Arc::new(Wave)))) {
        told.unwrap();
    }
    for told in both(&own(term(Link::RowLogSum, Pairs::WITHIN, Arc::new(Wave)))) {
        let told = told.unwrap_err().to_string();
        assert!(told.contains("a kernel of one's own gives what is no number"), "{told}");
    }
}

/// (1 − s)^1.5, which is no number beyond s = 1.
#[derive(Debug)]
struct Edge;

impl Kernel for Edge {
    fn at(&self, s: f64) -> (f64, f64) {
        assert!((-1.0..=1.0).contains(&s), "{s} is no cosine");
        ((1.0 - s).powf(1.5), -1.5 * (1.0 - s).sqrt())
    }
    fn is_positive(&self) -> bool {
        false
    }
}

/// 1.1 + s, which is no cosine's either where it has a logarithm.
#[derive(Debug)]
struct Slope;

impl Kernel for Slope {
    fn at(&self, s: f64) -> (f64, f64) {
        assert!((-1.0..=1.0).contains(&s), "{s} is no cosine");
        (1.1 + s, 1.0)
    }
}

fn equal_rows<T: Scalar>(row: &Matrix<T>) -> Result<(), Error> {
    let rows = Matrix::new(row.as_slice().repeat(50), row.dim());
    let points = Points::new(&rows)?;
    let views = [points, points];
    for pairs in [Pairs::MATCHED, Pairs::WITHIN, Pairs::ALL] {
        for engine in [&Fused as &dyn Engine<T>, &Reference] {
            let told = engine.value_and_grad(&own(term(Link::Mean, pairs, Arc::new(Edge))), &views)?;
            assert!(told.value.abs() < 1e-7, "{}", told.value);
            let told = engine.value_and_grad(&own(term(Link::RowLogMean, pairs, Arc::new(Slope))), &views)?;
            assert!((told.value - 2.1_f64.ln()).abs() < 1e-6, "{}", told.value);
        }
    }
    Ok(())
}

#[test]
fn a_kernel_is_asked_of_cosines_alone() {
    for seed in 0..20 {
        let row = sphere::sample(1, 7, Key::new(seed));
        equal_rows(&row.to_f32()).unwrap();
        equal_rows(&row).unwrap();
    }
    let settings = sphere::minimize::Settings { iterations: 20, ..Default::default() };
    for dim in [3, 9] {
        let loss = own(term(Link::Mean, Pairs::WITHIN, Arc::new(Edge)));
        let problem = sphere::minimize::Problem::new(
            Loss { terms: vec![Term { weight: -1.0, ..loss.terms[0].clone() }], ..loss },
            6,
            dim,
            1,
        );
        let row = sphere::sample(1, dim, Key::new(3));
        let start = Matrix::new(row.as_slice().repeat(6), dim);
        problem.unwrap().descend(start, settings, &mut |_| true);
    }
}

#[test]
fn no_number_is_taken_or_given_where_none_is() {
    let dhel = Loss::dhel(0.3, Convention::Paper).unwrap();
    for points in [0, 1] {
        assert!(certificate::bound(&dhel, points, 3, 2).is_none());
    }
    assert_eq!((ideal::effective_rank(0, 0), ideal::effective_rank(0, 5)), (0.0, 0.0));
    assert_eq!((ideal::cdf(3, -2.0), ideal::cdf(3, 2.0), ideal::density(3, 2.0)), (0.0, 1.0, 0.0));
    for panics in [
        || ideal::cdf(3, f64::NAN),
        || ideal::density(3, f64::NAN),
        || ideal::density(0, 2.0),
        || optima::simplex(4).value(&Loss::dhel(0.3, Convention::Paper).unwrap(), 1),
        || {
            optima::simplex(4)
                .value(&own(term(Link::Mean, Pairs::WITHIN, Arc::new(Gaussian { width: 1.0 }))), 0)
        },
    ] as [fn() -> f64; 5]
    {
        assert!(std::panic::catch_unwind(panics).is_err());
    }
}
