//! Whether the numbers of a loss are in the range of the rows' precision: a temperature of 10³⁰⁰ is one of f64 and none of f32.

use crate::kernel::Kernel;
use crate::loss::{Loss, Term};
use crate::{Error, Scalar};

/// Refuses a loss whose weights are beyond the precision of the rows, or whose kernels are something else in it than they are in f64.
pub(super) fn check<T: Scalar>(loss: &Loss) -> Result<(), Error> {
    let Some(term) = loss.terms.iter().find(|term| !is_held::<T>(term)) else {
        return Ok(());
    };
    let what = match (loss.temperature(), loss.scale_and_offset()) {
        _ if !is_weight_held::<T>(term) => format!("a weight is {:.1e}", term.weight),
        (Some(temperature), _) => format!("temperature is {temperature:.1e}"),
        (_, Some((scale, offset))) => format!("scale is {scale:.1e} and offset {offset:.1e}"),
        _ => format!("a kernel is {:?}", term.kernel),
    };
    Err(Error::new(format!(
        "{what}, which is beyond what rows of {} are evaluated with",
        std::any::type_name::<T>()
    )))
}

/// Looks at two cosines at which no kernel of ours is infinite.
fn is_held<T: Scalar>(term: &Term) -> bool {
    let kernel: &dyn Kernel = &*term.kernel;
    if !is_weight_held::<T>(term) {
        return false;
    }
    if kernel.rate().is_some_and(|rate| T::from_f64(rate).to_f64() == 0.0) {
        return false;
    }
    [0.0, -0.5].into_iter().all(|s| {
        let (mut cosine, mut first, mut second) = ([T::from_f64(s)], [T::default()], [T::default()]);
        let want = if term.link.is_logarithmic() {
            T::ln_tile(kernel, &mut cosine, &mut first, &mut second);
            kernel.ln_at(s)
        } else {
            T::tile(kernel, &mut cosine, &mut first, &mut second);
            kernel.at(s)
        };
        is_near(first[0].to_f64(), want.0) && is_near(second[0].to_f64(), want.1)
    })
}

fn is_weight_held<T: Scalar>(term: &Term) -> bool {
    T::from_f64(term.weight).to_f64().is_finite()
}

/// What is no number, or 0 in either precision, says nothing of the range.
fn is_near(got: f64, want: f64) -> bool {
    !want.is_finite() || (got - want).abs() <= 0.01 * want.abs() + 1e-30
}
