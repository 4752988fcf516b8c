//! Contrastive losses as energies on the sphere: values in, values out.
//!
//! Every contrastive loss is an attraction of matched pairs plus a repulsion of other pairs. The losses differ only in
//! which pairs repel, and in how the pairs' values become a number; so a loss is a small value ([`loss::Loss`]), one
//! [`engine`] evaluates any of them with its gradient, and [`geometry`] says where the points ended up, beside the
//! [`sphere::ideal`] law that they aim at. Nothing here reads a file, a clock or an environment.
//!
//! Notation: N images, K views, rows of d numbers; a unit row is a point of the sphere Sᵈ⁻¹ ⊂ ℝᵈ; a cosine is
//! s = ⟨x, y⟩ of two unit rows, so that ‖x − y‖² = 2 − 2s. A pair is **matched** (same image, other view), **cross**
//! (other image, other view) or **within** (other image, same view). Where images are in groups, read "group" for "image".
//!
//! | loss | attracts matched pairs by | repels | joined by |
//! |---|---|---|---|
//! | [`info_nce`](loss::Loss::info_nce), [`info_nce_symmetric`](loss::Loss::info_nce_symmetric) | −s/τ | matched, cross | mean of row log-sum-exp |
//! | [`nt_xent`](loss::Loss::nt_xent) (SimCLR) | −s/τ | matched, cross, within | mean of row log-sum-exp |
//! | [`dcl`](loss::Loss::dcl), [`dclw`](loss::Loss::dclw) | −s/τ, weighted in DCLW | cross, within | mean of row log-sum-exp |
//! | [`dhel`](loss::Loss::dhel) | −s/τ | within | mean of row log-sum-exp |
//! | [`kcl`](loss::Loss::kcl) | −κ_A(s) | within | γ · mean of κ_U |
//! | [`align_uniform`](loss::Loss::align_uniform) | ‖u − v‖^α | within | λ · log of mean Gaussian |
//! | [`siglip`](loss::Loss::siglip) | ln(1 + e^{−t s − b}) | cross | mean of row sums of ln(1 + e^{t s + b}) |
//! | [`spectral`](loss::Loss::spectral) | −2s | cross | mean of s² |
//! | [`mv_info_nce`](loss::Loss::mv_info_nce) | log of an image's Σ e^{s/τ} | matched, cross, within | mean of image log-sum-exp |
//! | [`mv_dhel`](loss::Loss::mv_dhel) | log of an image's Σ e^{s/τ} | within | views' means of row log-sum-exp, added |
//! | [`sup_con`](loss::Loss::sup_con), [`sup_con_in`](loss::Loss::sup_con_in) (groups) | −s/τ, or log of mean e^{s/τ} | matched, cross, within | mean of row log-sum-exp |
//! | [`energy`](loss::Loss::energy) | nothing | within | mean of κ |
//!
//! ```
//! use riesz::engine::{Engine, Fused};
//! use riesz::loss::{Convention, Loss};
//! use riesz::{Points, geometry, rng::Key, sphere};
//!
//! let [u, v] = [1, 2].map(|seed| sphere::sample(64, 16, Key::new(seed)));
//! let views = [Points::new(&u)?, Points::new(&v)?];
//! let loss = Loss::dhel(0.3, Convention::Paper)?;
//! let outcome = Fused.value_and_grad(&loss, &views)?;
//! assert_eq!(outcome.value, outcome.attraction + outcome.repulsion);
//! assert_eq!(outcome.grads[0].len(), 64); // ∂L/∂u, as many rows as u
//! assert!(geometry::wasserstein_uniformity(views[0])? < 0.01); // uniform points
//! # Ok::<(), riesz::Error>(())
//! ```
//!
//! # Where to begin
//!
//! | who wants | begins with | rows |
//! |---|---|---|
//! | a loss and its gradient for a training loop | [`engine::value_and_grad_raw`] with [`engine::Fused`] | raw, of any length, all views in one [`Matrix`] |
//! | the same of slices that lie apart, or with a learned temperature | [`UnitViews`], as at [`engine::temperature_grad`] | raw, a slice a view |
//! | the same of a batch that is larger than memory | [`engine::value_and_grad_cached`] | raw, chunk by chunk |
//! | a loss or a kernel of one's own | [`loss::Loss`], whose example is one | |
//! | to know where points are | [`geometry::Findings::of_points`], [`geometry::verdict`] | unit: [`normalize`], then [`Points`] |
//! | the same of rows that stream by | [`geometry::State`] | raw, block by block |
//! | where free points go | [`sphere::minimize::Problem`], [`sphere::found::Found`] | |
//!
//! Numbers from outside are answered by an [`Error`] of one sentence: a row of zeros, a parameter out of range, rows of a list that differ in
//! length. Shapes that cannot be are a caller's bug and panic, as each function says. Every public type is `Send` and `Sync`; which
//! ones may grow is marked `#[non_exhaustive]`.

#![warn(missing_debug_implementations, clippy::missing_errors_doc, clippy::missing_panics_doc)]

// For the networks of riesz-lab, which is of this very version: its signatures have types of `pulp`, and no promise is made.
#[doc(hidden)]
pub mod elementary;
pub mod engine;
mod error;
pub mod geometry;
pub mod kernel;
pub mod loss;
mod points;
pub mod product;
pub mod rng;
mod rows;
pub mod sphere;

pub use error::Error;
pub use points::{Matrix, Points, Scalar, UnitViews, normalize, normalize_backward, normalize_from};

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../../../docs/losses/align-uniform.md")]
#[doc = include_str!("../../../docs/losses/dcl.md")]
#[doc = include_str!("../../../docs/losses/dhel.md")]
#[doc = include_str!("../../../docs/losses/info-nce.md")]
#[doc = include_str!("../../../docs/losses/kcl.md")]
#[doc = include_str!("../../../docs/losses/multi-view.md")]
#[doc = include_str!("../../../docs/losses/nt-xent.md")]
#[doc = include_str!("../../../docs/losses/siglip.md")]
#[doc = include_str!("../../../docs/losses/spectral.md")]
#[doc = include_str!("../../../docs/losses/supcon.md")]
struct Pages;
