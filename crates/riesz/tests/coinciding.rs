//! Rows that coincide where a kernel is infinite are refused, and no others.

use riesz::Points;
use riesz::engine::{Engine, Fused, Reference};
use riesz::loss::{Convention, KclKernel, Loss};
use riesz::rng::Key;
use riesz::sphere::sample;

/// Of many batches; rounding hides most coincidences from the cosine.
#[test]
fn equal_rows_are_refused_whatever_their_cosine_is_rounded_to() {
    let wide = KclKernel::Gaussian(2.0);
    let mut hidden = 0;
    for draw in 0..200 {
        let [mut u, v] = [0, 1].map(|view| sample(7, 5, Key::new(draw).at(view)));
        let copy = u.row(2).to_vec();
        u.row_mut(5).copy_from_slice(&copy);
        let square: f64 = copy.iter().map(|x| x * x).sum();
        hidden += usize::from(square != 1.0);
        let points = |rows| Points::new(rows).unwrap();
        for (repelling, conventions) in [
            (KclKernel::Riesz(1.0), [Convention::Paper, Convention::Symmetric, Convention::Reference]),
            (KclKernel::LogDistance, [Convention::Paper, Convention::Symmetric, Convention::Reference]),
        ] {
            for convention in conventions {
                let loss = Loss::kcl(wide, repelling, 16.0, convention).unwrap();
                for engine in [&Fused as &dyn Engine<f64>, &Reference] {
                    let error = engine.value_and_grad(&loss, &[points(&u), points(&v)]).unwrap_err();
                    assert!(
                        error.to_string().contains("two rows coincide where its kernel is infinite"),
                        "{convention:?}: {error}"
                    );
                    // The paper's form repels in the first view alone.
                    let other = engine.value_and_grad(&loss, &[points(&v), points(&u)]);
                    assert_eq!(other.is_ok(), convention == Convention::Paper, "{convention:?}");
                }
            }
        }
    }
    assert!(hidden > 50, "{hidden} of 200 cosines are rounded off 1");
}

#[test]
fn rows_that_are_no_pair_of_the_kernel_may_coincide() {
    let rows = sample(6, 4, Key::new(3));
    let points = Points::new(&rows).unwrap();
    // Equal views are pairs of the attraction alone, and images of one group are not repelled.
    let loss = Loss::kcl(KclKernel::Gaussian(2.0), KclKernel::Riesz(1.0), 1.0, Convention::Symmetric);
    let loss = loss.unwrap();
    assert!(Fused.value_and_grad(&loss, &[points, points]).is_ok());
    let mut twice = rows.clone();
    twice.row_mut(1).copy_from_slice(rows.row(0));
    let points = Points::new(&twice).unwrap();
    assert!(Fused.value_and_grad(&loss, &[points, points]).is_err());
    assert!(Fused.value_and_grad_grouped(&loss, &[points, points], &[0, 0, 1, 2, 3, 4]).is_ok());
    for kernel in [KclKernel::LogDistance, KclKernel::Riesz(2.0)] {
        let energy = Loss::energy(kernel).unwrap();
        assert!(Fused.value_and_grad(&energy, &[points]).is_err());
    }
}
