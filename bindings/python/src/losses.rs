//! A loss as Python says it: "dhel paper" and its numbers. Names are those of recipes; defaults are Python's.

use std::any::Any;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use riesz::kernel::{
    Cosine, DistancePower, Exponential, Gaussian, InverseMultiquadric, Kernel, LogDistance, Logarithmic,
    Riesz, ScaledExponential, Softplus, SquaredCosine,
};
use riesz::loss::{Anchors, Convention, KclKernel, Link, Loss, Role};

/// A sentence of the core as Python's error.
pub(crate) fn refused(error: riesz::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn convention(word: &str) -> PyResult<Convention> {
    match word {
        "paper" => Ok(Convention::Paper),
        "symmetric" => Ok(Convention::Symmetric),
        "reference" => Ok(Convention::Reference),
        other => Err(PyValueError::new_err(format!(
            "convention is {other:?}; expected \"paper\", \"symmetric\" or \"reference\""
        ))),
    }
}

pub(crate) fn kernel(word: &str, number: f64) -> PyResult<KclKernel> {
    Ok(match word {
        "gaussian" => KclKernel::Gaussian(number),
        "logarithmic" => KclKernel::Logarithmic(number),
        "inverse-multiquadric" => KclKernel::InverseMultiquadric(number),
        "riesz" => KclKernel::Riesz(number),
        "log-distance" => KclKernel::LogDistance,
        "exponential" => KclKernel::Exponential(number),
        other => {
            return Err(PyValueError::new_err(format!(
                "kernel is {other:?}; expected \"gaussian\", \"logarithmic\", \"inverse-multiquadric\", \"riesz\", \
                 \"log-distance\" or \"exponential\""
            )));
        }
    })
}

/// The loss that `sentence` names, with its numbers.
pub(crate) fn loss(sentence: &str, numbers: &[f64]) -> PyResult<Loss> {
    let words: Vec<&str> = sentence.split(' ').collect();
    let loss = match (&words[..], numbers) {
        (["info-nce"], &[temperature]) => Loss::info_nce(temperature),
        (["info-nce-symmetric"], &[temperature]) => Loss::info_nce_symmetric(temperature),
        (["nt-xent"], &[temperature]) => Loss::nt_xent(temperature),
        (["nt-xent-one-sided"], &[temperature]) => Loss::nt_xent_one_sided(temperature),
        (["dcl"], &[temperature]) => Loss::dcl(temperature),
        (["dcl-one-sided"], &[temperature]) => Loss::dcl_one_sided(temperature),
        (["dcl-cross"], &[temperature]) => Loss::dcl_cross(temperature),
        (["dclw"], &[temperature, sigma]) => Loss::dclw(temperature, sigma),
        (["dhel", word], &[temperature]) => Loss::dhel(temperature, convention(word)?),
        (["kcl", attraction, repulsion, word], &[pull, push, gamma]) => {
            Loss::kcl(kernel(attraction, pull)?, kernel(repulsion, push)?, gamma, convention(word)?)
        }
        (["align-uniform"], &[exponent, width, weight]) => Loss::align_uniform(exponent, width, weight),
        (["siglip"], &[scale, offset]) => Loss::siglip(scale, offset),
        (["energy", word], &[number]) => Loss::energy(kernel(word, number)?),
        (["spectral"], []) => Ok(Loss::spectral()),
        (["sup-con"], &[temperature]) => Loss::sup_con(temperature),
        (["sup-con-in"], &[temperature]) => Loss::sup_con_in(temperature),
        (["mv-info-nce", word], &[temperature]) => Loss::mv_info_nce(temperature, convention(word)?),
        (["mv-dhel", word], &[temperature]) => Loss::mv_dhel(temperature, convention(word)?),
        _ => {
            return Err(PyValueError::new_err(format!(
                "there is no loss {sentence:?} of {} numbers",
                numbers.len()
            )));
        }
    };
    loss.map_err(refused)
}

/// A kernel's name and numbers.
fn kernel_words(kernel: &Arc<dyn Kernel>) -> PyResult<(&'static str, Vec<f64>)> {
    let kernel: &dyn Any = &**kernel;
    let at = |name, numbers| Some((name, numbers));
    let of = |kernel: &dyn Any| {
        if let Some(Cosine { scale }) = kernel.downcast_ref() {
            return at("cosine", vec![*scale]);
        }
        if let Some(Exponential { temperature }) = kernel.downcast_ref() {
            return at("exponential", vec![*temperature, 1.0]);
        }
        if let Some(ScaledExponential { temperature, factor }) = kernel.downcast_ref() {
            return at("exponential", vec![*temperature, *factor]);
        }
        if let Some(Gaussian { width }) = kernel.downcast_ref() {
            return at("gaussian", vec![*width]);
        }
        if let Some(Logarithmic { width }) = kernel.downcast_ref() {
            return at("logarithmic", vec![*width]);
        }
        if let Some(InverseMultiquadric { offset }) = kernel.downcast_ref() {
            return at("inverse-multiquadric", vec![*offset]);
        }
        if let Some(Riesz { exponent }) = kernel.downcast_ref() {
            return at("riesz", vec![*exponent]);
        }
        if let Some(LogDistance) = kernel.downcast_ref() {
            return at("log-distance", vec![]);
        }
        if let Some(DistancePower { exponent }) = kernel.downcast_ref() {
            return at("distance-power", vec![*exponent]);
        }
        if let Some(SquaredCosine) = kernel.downcast_ref() {
            return at("squared-cosine", vec![]);
        }
        let Softplus { scale, offset } = kernel.downcast_ref()?;
        at("softplus", vec![*scale, *offset])
    };
    of(kernel).ok_or_else(|| PyValueError::new_err("a kernel without a form on tensors"))
}

fn unnamed(word: &dyn std::fmt::Debug) -> PyErr {
    PyValueError::new_err(format!("{word:?} has no form on tensors"))
}

type TermWords = (
    &'static str,
    f64,
    &'static str,
    (bool, bool, bool, bool),
    &'static str,
    &'static str,
    Vec<f64>,
    Option<f64>,
);

/// Each term of a loss: role, weight, link, pairs (itself, matched, cross, within), anchors, kernel, its numbers, focus.
#[pyfunction]
pub(crate) fn terms(sentence: &str, numbers: Vec<f64>) -> PyResult<Vec<TermWords>> {
    let words = |term: &riesz::loss::Term| {
        let (kernel, kernel_numbers) = kernel_words(&term.kernel)?;
        let role = match term.role {
            Role::Attraction => "attraction",
            Role::Repulsion => "repulsion",
        };
        let link = match term.link {
            Link::Mean => "mean",
            Link::RowSum => "row-sum",
            Link::RowLogSum => "row-log-sum",
            Link::RowLogMean => "row-log-mean",
            Link::ImageLogSum => "image-log-sum",
            Link::LogMean => "log-mean",
            link => return Err(unnamed(&link)),
        };
        let anchors = match term.anchors {
            Anchors::AllViews => "all-views",
            Anchors::EachView => "each-view",
            Anchors::FirstView => "first-view",
            anchors => return Err(unnamed(&anchors)),
        };
        let pairs = (term.pairs.itself, term.pairs.matched, term.pairs.cross, term.pairs.within);
        Ok((role, term.weight, link, pairs, anchors, kernel, kernel_numbers, term.focus))
    };
    loss(sentence, &numbers)?.terms.iter().map(words).collect()
}
