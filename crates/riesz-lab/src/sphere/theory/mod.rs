//! The theorems of Koromilas et al. (ICML 2024) and what surrounds them, as experiments: what is claimed, what is predicted,
//! what was measured, and whether it holds.
//!
//! | file | experiments |
//! |---|---|
//! | `batch` | minimizers of a batch: simplex, cross-polytope, sharp configurations, and where no theorem reaches |
//! | `batches` | few images in batches of fewer: all batches, or a partition that stays |
//! | `many` | many points: the uniform law, limits and biases of expected losses |
//! | `coupling` | whether repulsion acts on matched pairs |
//! | `outside` | kernels outside their ranges |
//! | `pages` | the report as Markdown and as HTML |

mod batch;
mod batches;
mod coupling;
mod many;
mod outside;
mod pages;

use riesz::loss::{Convention, KclKernel, Loss};
use riesz::rng::Key;
use riesz::sphere::minimize::{Minimum, Problem, Settings};

use crate::Result;

pub(crate) use many::chosen;
pub use pages::{headline, html, markdown};

/// How much is spent.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Starts of a search.
    pub starts: u64,
    /// The largest sets are left out.
    pub small: bool,
    /// Batches drawn for an expectation.
    pub batches: usize,
    /// Points of the largest set on its way to the uniform law.
    pub most_points: usize,
}

impl Scale {
    /// Some minutes on two cores.
    pub fn full() -> Self {
        Self { starts: 50, small: false, batches: 20_000, most_points: 1024 }
    }

    /// Some seconds: what a test runs.
    pub fn reduced() -> Self {
        Self { starts: 6, small: true, batches: 400, most_points: 64 }
    }
}

/// Whether what was measured is what was predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Holds,
    /// It is not.
    Fails,
    /// Nothing was predicted: a finding that no theorem covers.
    Open,
}

/// A table: the head's words, and rows of as many.
pub struct Table {
    /// Column titles.
    pub head: Vec<String>,
    /// Cells as text.
    pub rows: Vec<Vec<String>>,
}

/// A picture.
pub struct Figure {
    /// What it shows, in one sentence.
    pub caption: String,
    /// The curves' names with the classes that color them.
    pub key: Vec<(&'static str, String)>,
    /// SVG text.
    pub svg: String,
}

/// One numbered experiment.
pub struct Experiment {
    /// In a few words.
    pub title: String,
    /// What is claimed, and by whom.
    pub statement: String,
    /// What must be seen if it is so.
    pub predicted: String,
    /// What was seen.
    pub measured: String,
    /// Whether they agree.
    pub verdict: Verdict,
    /// Numbers.
    pub table: Option<Table>,
    /// Pictures.
    pub figures: Vec<Figure>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&word| word.to_owned()).collect(), rows: Vec::new() }
    }
}

type Work = fn(Scale, Key) -> Result<Experiment>;

/// The experiments in their order. Each is a function of scale and key alone.
pub const EXPERIMENTS: [(&str, Work); 11] = [
    ("simplex for the InfoNCE family", batch::info_nce_family),
    ("simplex for KCL", batch::kcl),
    ("sharp configurations for KCL", batch::sharp),
    ("the same sets for all families", batch::families),
    ("M = d + 2 and the 24-cell", batch::open),
    ("many points become uniform", many::uniform),
    ("limits and biases of the InfoNCE family", many::biases),
    ("KCL's expectation", many::unbiased),
    ("coupling", coupling::along_a_descent),
    ("outside the ranges", outside::kernels),
    // Last, because what is drawn depends on the number.
    ("batches that stay", batches::that_stay),
];

/// Losses with a batch theorem at τ = 0.3: the InfoNCE family and DHEL's three forms, by name.
fn info_nce_family() -> Vec<(String, Loss)> {
    let tau = 0.3;
    let mut losses: Vec<(String, Loss)> = [
        Loss::info_nce(tau),
        Loss::info_nce_symmetric(tau),
        Loss::nt_xent(tau),
        Loss::nt_xent_one_sided(tau),
        Loss::dcl(tau),
        Loss::dcl_one_sided(tau),
        Loss::dcl_cross(tau),
    ]
    .into_iter()
    .map(|loss| loss.expect("τ is in range"))
    .map(|loss| (loss.name.to_string(), loss))
    .collect();
    for (convention, word) in CONVENTIONS {
        losses.push((format!("dhel, {word}"), Loss::dhel(tau, convention).expect("τ is in range")));
    }
    losses
}

const CONVENTIONS: [(Convention, &str); 3] = [
    (Convention::Paper, "paper"),
    (Convention::Symmetric, "symmetric"),
    (Convention::Reference, "reference"),
];

/// KCL with γ = 16 for each of its kernels, by name. A Riesz kernel of exponent 1 repels only; a Gaussian attracts for it.
fn kcls(convention: Convention) -> Vec<(String, Loss)> {
    let gaussian = KclKernel::Gaussian(2.0);
    [
        ("gaussian 2", gaussian, gaussian),
        ("logarithmic 2", KclKernel::Logarithmic(2.0), KclKernel::Logarithmic(2.0)),
        ("inverse multiquadric 1", KclKernel::InverseMultiquadric(1.0), KclKernel::InverseMultiquadric(1.0)),
        ("riesz −1", KclKernel::Riesz(-1.0), KclKernel::Riesz(-1.0)),
        ("riesz 1", gaussian, KclKernel::Riesz(1.0)),
    ]
    .into_iter()
    .map(|(name, pull, push)| {
        (format!("kcl, {name}"), Loss::kcl(pull, push, 16.0, convention).expect("KCL's kernels are in range"))
    })
    .collect()
}

/// All starts of a problem.
fn search(
    loss: &Loss,
    points: usize,
    dim: usize,
    views: usize,
    starts: u64,
    key: Key,
) -> Result<Vec<Minimum>> {
    let problem = Problem::new(loss.clone(), points, dim, views)?;
    let go_on = || !crate::interrupt::asked();
    Ok(problem.search_watched(key, starts, Settings::default(), &go_on, &|_| ()))
}

/// A number with so many digits after the point, with a true minus sign.
fn fixed(x: f64, digits: usize) -> String {
    format!("{x:.digits$}").replace('-', "−")
}

/// A number as a power of ten.
fn power(x: f64) -> String {
    format!("{x:.1e}").replace('-', "−")
}
