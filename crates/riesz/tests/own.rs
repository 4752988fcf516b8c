//! Losses that users write down themselves: what is wrong in them is a sentence, and not another one's.

use std::sync::Arc;

use riesz::engine::{Engine, Fused, Reference, value_and_grad_raw};
use riesz::geometry::Pairwise;
use riesz::kernel::{
    Cosine, Exponential, Gaussian, InverseMultiquadric, Kernel, Riesz, ScaledExponential, Softplus,
};
use riesz::loss::{Convention, KclKernel, Link, Loss, Pairs, Role, Term};
use riesz::rng::Key;
use riesz::sphere::{self, certificate, ideal, minimize, optima};
use riesz::{Error, Matrix, Points, Scalar, UnitViews};

/// sin 3s, which is below 0 for half of the cosines, and does not say so.
#[derive(Debug)]
struct Wave;

impl Kernel for Wave {
    fn at(&self, s: f64) -> (f64, f64) {
        ((3.0 * s).sin(), 3.0 * (3.0 * s).cos())
    }
}

fn own(term: Term) -> Loss {
    Loss::new("own", vec![term])
}

fn term(link: Link, pairs: Pairs, kernel: Arc<dyn Kernel>) -> Term {
    Term::new(Role::Repulsion, 1.0, link, pairs, kernel)
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
        let mut term = term(Link::Mean, Pairs::MATCHED, kernel);
        (term.weight, term.focus) = (weight, focus);
        own(term)
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
fn what_the_language_does_not_have_is_said() {
    let cosine: Arc<dyn Kernel> = Arc::new(Cosine { scale: 2.0 });
    let name = format!("{}-made", "hand"); // known at run time alone
    for (wrong, sentence) in [
        (
            term(Link::RowLogSum, Pairs::CROSS, Arc::clone(&cosine)),
            "a term of hand-made takes the logarithm of Cosine { scale: 2.0 }, which is not positive everywhere",
        ),
        (
            term(Link::Mean, Pairs::CROSS, Arc::clone(&cosine)).with_focus(0.5),
            "a term of hand-made has a focus; it must be a mean over matched pairs",
        ),
        (
            term(Link::RowSum, Pairs::MATCHED, cosine).with_focus(0.5),
            "a term of hand-made has a focus; it must be a mean over matched pairs",
        ),
    ] {
        let loss = Loss::new(name.clone(), vec![wrong]);
        assert_eq!(loss.check(9, 2).unwrap_err().to_string(), sentence);
        for told in both(&loss) {
            assert_eq!(told.unwrap_err().to_string(), sentence);
        }
        let problem = minimize::Problem::new(loss, 9, 4, 2);
        assert_eq!(problem.unwrap_err().to_string(), sentence);
    }
}

#[test]
fn a_kernel_is_asked_of_cosines_alone() {
    for seed in 0..20 {
        let row = sphere::sample(1, 7, Key::new(seed));
        equal_rows(&row.to_f32()).unwrap();
        equal_rows(&row).unwrap();
    }
    let settings = minimize::Settings::default().with_iterations(20);
    for dim in [3, 9] {
        let mut downhill = own(term(Link::Mean, Pairs::WITHIN, Arc::new(Edge)));
        downhill.terms[0].weight = -1.0;
        let problem = minimize::Problem::new(downhill, 6, dim, 1);
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

#[test]
fn parameters_of_kernels_are_looked_at() {
    let positive = "it must be above 0 and finite";
    let kernels: [(Arc<dyn Kernel>, &str); 8] = [
        (Arc::new(Gaussian { width: -3.0 }), positive),
        (Arc::new(Exponential { temperature: f64::NAN }), positive),
        (Arc::new(Exponential { temperature: 1e-320 }), "so far above 0 that its inverse is finite"),
        (Arc::new(ScaledExponential { temperature: 0.5, factor: 0.0 }), positive),
        (Arc::new(InverseMultiquadric { offset: f64::INFINITY }), positive),
        (Arc::new(Riesz { exponent: 0.0 }), "exponent is 0; a Riesz kernel needs another"),
        (Arc::new(Softplus { scale: 1.0, offset: f64::NAN }), "offset is NaN; it must be finite"),
        (Arc::new(Cosine { scale: f64::INFINITY }), "scale is inf; it must be finite"),
    ];
    for (kernel, sentence) in kernels {
        let loss = own(term(Link::Mean, Pairs::WITHIN, kernel));
        let mut said = vec![loss.check(9, 2).unwrap_err()];
        said.extend(both(&loss).map(Result::unwrap_err));
        for said in said {
            assert!(said.to_string().contains(sentence), "{said}");
        }
    }
    let error = Loss::dhel(1e-320, Convention::Paper).unwrap_err().to_string();
    assert!(error.starts_with("temperature is 1e-320;"), "{error}");
}

/// In f64 they are numbers, and in f32 none.
#[test]
fn what_single_precision_does_not_hold_is_not_blamed_on_rows() {
    let views = [1, 2].map(|seed| sphere::sample(9, 4, Key::new(seed)));
    let single = views.each_ref().map(Matrix::to_f32);
    let mut heavy = Loss::nt_xent(0.5);
    heavy.as_mut().unwrap().terms[1].weight = 1e39;
    for (loss, sentence) in [
        (Loss::dhel(1e300, Convention::Paper), "temperature is 1.0e300, which is beyond what rows of f32"),
        (Loss::nt_xent(1e-300), "temperature is 1.0e-300, which is beyond"),
        (Loss::siglip(1e300, 0.0), "scale is 1.0e300 and offset 0.0e0, which is beyond"),
        (Loss::energy(KclKernel::InverseMultiquadric(1e30)), "InverseMultiquadric { offset: 1e30 }"),
        (Loss::energy(KclKernel::Gaussian(1e300)), "Gaussian { width: 1e300 }"),
        (heavy, "a weight is 1.0e39, which is beyond what rows of f32"),
    ] {
        let loss = loss.unwrap();
        assert!(Fused.value(&loss, &views.each_ref().map(|view| Points::new(view).unwrap()), None).is_ok());
        for engine in [&Fused as &dyn Engine<f32>, &Reference] {
            let views = single.each_ref().map(|view| Points::new(view).unwrap());
            let said = engine.value_and_grad(&loss, &views).unwrap_err().to_string();
            assert!(said.contains(sentence), "{said}");
        }
    }
    for loss in Loss::catalogue() {
        let views = single.each_ref().map(|view| Points::new(view).unwrap());
        assert!(Fused.value(&loss, &views, None).is_ok(), "{}", loss.name);
    }
}

#[test]
fn sentences_count_what_there_is() {
    assert!(
        Loss::spectral()
            .check(2, 0)
            .unwrap_err()
            .to_string()
            .ends_with("needs at least 1 view; there is none")
    );
    let energy = Loss::energy(KclKernel::LogDistance).unwrap();
    assert!(energy.check(2, 0).unwrap_err().to_string().ends_with("there is none"));
    let error = sphere::bound::Quadrature::new(1000, 2).unwrap_err().to_string();
    assert!(error.contains("a degree above 510, up to which"), "{error}");
}

/// The gradient of a row is that of the unit row over its length.
#[test]
fn a_gradient_that_is_not_finite_is_an_error() {
    let mut rows = sphere::sample(8, 3, Key::new(1)).to_f32();
    rows.as_mut_slice().iter_mut().for_each(|x| *x *= 1e-11);
    let steep = Loss::siglip(1e30, 0.0).unwrap();
    let error = value_and_grad_raw(&Fused, &steep, &rows, 2).unwrap_err().to_string();
    assert!(
        error.contains("the gradient of a row is more than f32 holds") && error.contains("scale the rows"),
        "{error}"
    );
    let numbers = rows.as_slice().len() / 2;
    let unit = UnitViews::new(&[&rows.as_slice()[..numbers], &rows.as_slice()[numbers..]], 3).unwrap();
    let mut grads = Fused.value_and_grad(&steep, &unit.points()).unwrap().grads;
    assert_eq!(unit.backward(&mut grads).unwrap_err().to_string(), error);
    assert!(value_and_grad_raw(&Fused, &Loss::spectral(), &rows, 2).is_ok());
}

#[test]
fn a_descent_wants_unit_rows_and_a_tolerance() {
    let problem = minimize::Problem::new(Loss::energy(KclKernel::Riesz(1.0)).unwrap(), 3, 2, 1).unwrap();
    let descend = |start: Matrix<f64>, tolerance: f64| {
        let settings = minimize::Settings::default().with_tolerance(tolerance);
        let descend = std::panic::AssertUnwindSafe(|| problem.descend(start, settings, &mut |_| true));
        std::panic::catch_unwind(descend)
    };
    let start = problem.start(Key::new(1), 0);
    assert!(descend(Matrix::zeros(3, 2), 1e-12).is_err());
    assert!(descend(start.clone(), f64::NAN).is_err() && descend(start.clone(), -1.0).is_err());
    assert!(descend(start, 0.0).is_ok());
}

#[test]
fn more_points_than_there_are_panic() {
    let rows = sphere::sample(500, 3, Key::new(1));
    let pairwise = |of| Pairwise::of(Points::new(&rows).unwrap(), of, 0.99, Key::new(1));
    assert!(pairwise(500).is_ok());
    assert!(std::panic::catch_unwind(|| pairwise(3)).is_err());
}
