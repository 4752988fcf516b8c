//! A loss is a value: a list of weighted terms, each a kernel over a class of pairs, with a link that turns the pairs'
//! values into a number.
//!
//! A batch has K views of N images. An ordered pair of embeddings (anchor, other) is exactly one of **itself** (the same
//! row), **matched** (same image, other view), **cross** (other image, other view), **within** (other image, same view).
//! Where the images of a batch are in groups (by label), "same image" is "same group" in all of these: **matched** are
//! then all other rows of the anchor's group, in whatever view, and **cross** and **within** are rows of other groups.
//!
//! | loss | attracts (matched) | repels over | link |
//! |---|---|---|---|
//! | [`Loss::info_nce`], [`Loss::info_nce_symmetric`] | −s/τ | matched ∪ cross | mean of row log-sum-exp |
//! | [`Loss::nt_xent`] | −s/τ | matched ∪ cross ∪ within | mean of row log-sum-exp |
//! | [`Loss::dcl`], [`Loss::dclw`] | −s/τ (weighted) | cross ∪ within | mean of row log-sum-exp |
//! | [`Loss::dhel`] | −s/τ | within | mean of row log-sum-exp |
//! | [`Loss::kcl`] | −κ_A | within | γ · mean of κ_U |
//! | [`Loss::align_uniform`] | ‖u − v‖^α | within | λ · log of mean Gaussian |
//! | [`Loss::siglip`] | ln(1 + e^{−t s − b}), summed too | cross: ln(1 + e^{t s + b}) | mean of row sums |
//! | [`Loss::spectral`] | −2s | cross: s² | mean |
//! | [`Loss::sup_con`], [`Loss::sup_con_in`] (groups) | −s/τ, mean over matched; in or out of the log | all but itself | mean of row log-sum-exp |
//! | [`Loss::mv_info_nce`] (any number of views) | log of an image's Σ e^{s/τ} | matched ∪ cross (∪ within) | mean of image log-sum-exp |
//! | [`Loss::mv_dhel`] (any number of views) | log of an image's Σ e^{s/τ} | within (∪ itself) | sum over views of mean of row log-sum-exp |
//! | [`Loss::energy`] (any number of views) | none | within | mean of κ |

mod on_batch;
mod several;
mod written;

use std::borrow::Cow;
use std::sync::Arc;

use crate::Error;
use crate::kernel::{
    Cosine, DistancePower, Exponential, Gaussian, InverseMultiquadric, Kernel, LogDistance, Logarithmic,
    Riesz, Softplus, SquaredCosine, positive,
};

/// Which classes of pairs a term runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pairs {
    /// The anchor with itself: cosine 1, wherever the row is.
    pub itself: bool,
    /// Same image, other view; in a batch with groups, another row of the same group.
    pub matched: bool,
    /// Other image (group), other view.
    pub cross: bool,
    /// Other image (group), same view.
    pub within: bool,
}

impl Pairs {
    /// Only matched pairs.
    pub const MATCHED: Self = Self { itself: false, matched: true, cross: false, within: false };
    /// Only pairs of other images in the same view.
    pub const WITHIN: Self = Self { itself: false, matched: false, cross: false, within: true };
    /// Only pairs of other images in another view.
    pub const CROSS: Self = Self { itself: false, matched: false, cross: true, within: false };
    /// Everything in another view.
    pub const OTHER_VIEW: Self = Self { itself: false, matched: true, cross: true, within: false };
    /// Every pair of other images.
    pub const OTHER_IMAGES: Self = Self { itself: false, matched: false, cross: true, within: true };
    /// Every pair of different rows.
    pub const ALL: Self = Self { itself: false, matched: true, cross: true, within: true };

    /// How many pairs one anchor has in a batch of `images` images and `views` views.
    pub fn count(self, images: usize, views: usize) -> usize {
        self.count_in_group(images, views, 1)
    }

    /// The same where the anchor's group has `size` of the images.
    ///
    /// # Panics
    /// If `size` is 0 or more than `images`, or `views` is 0.
    pub fn count_in_group(self, images: usize, views: usize, size: usize) -> usize {
        assert!(0 < size && size <= images && views > 0, "a group of {size} of {images} images");
        let (others, other_views) = (images - size, views - 1);
        usize::from(self.itself)
            + usize::from(self.matched) * (views * size - 1)
            + usize::from(self.cross) * other_views * others
            + usize::from(self.within) * others
    }

    /// Whether an ordered pair of rows is one of these; `same_group` is "same image" where the batch has no groups.
    pub fn contains(self, same_row: bool, same_group: bool, same_view: bool) -> bool {
        match (same_row, same_group, same_view) {
            (true, ..) => self.itself,
            (false, true, _) => self.matched,
            (false, false, true) => self.within,
            (false, false, false) => self.cross,
        }
    }
}

/// Whose rows are anchors. There may be more words one day: an engine of one's own refuses those that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Anchors {
    /// Every row of every view; means are over all of them.
    AllViews,
    /// Every row of every view; means are over each view's rows, and the views' shares are added.
    EachView,
    /// The rows of the first view only: the one-sided forms.
    FirstView,
}

/// How the pair values of one anchor, and then all anchors, become a number. There may be more words one day: an engine of one's own
/// refuses those that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Link {
    /// Mean over anchors of the mean over the anchor's pairs.
    Mean,
    /// Mean over anchors of the sum over the anchor's pairs.
    RowSum,
    /// Mean over anchors of the logarithm of the sum over the anchor's pairs.
    RowLogSum,
    /// Mean over anchors of the logarithm of the mean over the anchor's pairs.
    RowLogMean,
    /// Mean over images of the logarithm of the sum over all pairs anchored in any of the image's rows.
    ImageLogSum,
    /// Mean over views of the logarithm of the mean over all pairs anchored in the view.
    LogMean,
}

impl Link {
    /// Whether it takes a logarithm of summed kernel values, which must then be positive.
    pub fn is_logarithmic(self) -> bool {
        matches!(self, Self::RowLogSum | Self::RowLogMean | Self::ImageLogSum | Self::LogMean)
    }

    /// Whether the logarithm is of a mean and not of a sum.
    pub fn is_log_mean(self) -> bool {
        matches!(self, Self::RowLogMean | Self::LogMean)
    }
}

/// Whether a term pulls or pushes: which of the two parts of the value it is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Counted in the attraction part.
    Attraction,
    /// Counted in the repulsion part.
    Repulsion,
}

/// One term of a loss, made by [`Term::new`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Term {
    /// Which part of the value it is.
    pub role: Role,
    /// Factor of the term, of any sign: an attraction of a kernel that grows with the cosine has a negative one.
    pub weight: f64,
    /// How pair values become a number.
    pub link: Link,
    /// Which pairs.
    pub pairs: Pairs,
    /// Whose rows are anchors.
    pub anchors: Anchors,
    /// What a pair costs.
    pub kernel: Arc<dyn Kernel>,
    /// If some σ: anchor i of a matched mean has the weight w_i = 2 − N softmax_i(s_i/σ), held fixed in the gradient
    /// (DCLW). σ > 0; only for `Link::Mean` over matched pairs of two views.
    pub focus: Option<f64>,
}

/// A contrastive loss, or an energy: a weighted sum of terms. The constructors are those of papers; any other is written
/// down, and every engine takes it. Here, NT-Xent's attraction against the mean of a kernel of one's own, over all pairs of
/// different images:
///
/// ```
/// use std::sync::Arc;
/// use riesz::engine::{Engine, Fused};
/// use riesz::kernel::{Cosine, Kernel};
/// use riesz::loss::{Link, Loss, Pairs, Role, Term};
/// use riesz::{Points, rng::Key, sphere};
///
/// /// κ(s) = max(s − margin, 0)².
/// #[derive(Debug)]
/// struct Margin(f64);
///
/// impl Kernel for Margin {
///     fn at(&self, s: f64) -> (f64, f64) {
///         let over = (s - self.0).max(0.0);
///         (over * over, 2.0 * over) // κ and dκ/ds
///     }
///     // It can be 0, so no logarithm of it is taken.
///     fn is_positive(&self) -> bool {
///         false
///     }
/// }
///
/// let cosine = Arc::new(Cosine { scale: 2.0 });
/// let pull = Term::new(Role::Attraction, -1.0, Link::Mean, Pairs::MATCHED, cosine);
/// let push = Term::new(Role::Repulsion, 4.0, Link::Mean, Pairs::OTHER_IMAGES, Arc::new(Margin(0.2)));
/// let loss = Loss::new("margin", vec![pull, push]);
///
/// let [u, v] = [1, 2].map(|seed| sphere::sample(64, 16, Key::new(seed)));
/// let views = [Points::new(&u)?, Points::new(&v)?];
/// let outcome = Fused.value_and_grad(&loss, &views)?;
/// assert_eq!((outcome.terms.len(), outcome.grads[1].len()), (2, 64));
/// # Ok::<(), riesz::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loss {
    /// The name in recipes, logs, the command line and sentences that refuse it.
    pub name: Cow<'static, str>,
    /// What is summed.
    pub terms: Vec<Term>,
}

/// Which of the published forms of DHEL and KCL is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Convention {
    /// The paper's formula: anchors are the first view only.
    Paper,
    /// Half of the paper's formula on (u, v) plus half on (v, u).
    Symmetric,
    /// What the authors' released code computes: DHEL with both views' log-sums against one alignment term; KCL twice
    /// the symmetric form (and, for the logarithmic kernel, its attraction counted twice more).
    Reference,
}

/// One of KCL's kernels by its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum KclKernel {
    /// [`Gaussian`] of this width.
    Gaussian(f64),
    /// [`Logarithmic`] of this width.
    Logarithmic(f64),
    /// [`InverseMultiquadric`] of this offset.
    InverseMultiquadric(f64),
    /// [`Riesz`] of this exponent.
    Riesz(f64),
    /// [`LogDistance`]; as an attraction it is unbounded.
    LogDistance,
    /// [`Cosine`] of this scale.
    Cosine(f64),
    /// [`Exponential`] of this temperature.
    Exponential(f64),
}

impl KclKernel {
    /// The kernel, its parameter checked.
    ///
    /// # Errors
    /// If the parameter is out of its range.
    pub fn kernel(self) -> Result<Arc<dyn Kernel>, Error> {
        let kernel: Arc<dyn Kernel> = match self {
            Self::Gaussian(width) => Arc::new(Gaussian { width }),
            Self::Logarithmic(width) => Arc::new(Logarithmic { width }),
            Self::InverseMultiquadric(offset) => Arc::new(InverseMultiquadric { offset }),
            Self::Riesz(exponent) => {
                if !(exponent.is_finite() && exponent > -2.0 && exponent != 0.0) {
                    return Err(Error::new(format!(
                        "exponent is {exponent}; a Riesz kernel needs an exponent above -2 and not 0 (at -2 only the \
                         mean is repelled, below it points gather in two antipodal clusters)"
                    )));
                }
                Arc::new(Riesz { exponent })
            }
            Self::LogDistance => Arc::new(LogDistance),
            Self::Cosine(scale) => Arc::new(Cosine { scale: positive("scale", scale)? }),
            Self::Exponential(temperature) => Arc::new(Exponential { temperature }),
        };
        kernel.check()?;
        Ok(kernel)
    }
}

impl Loss {
    /// InfoNCE, one-sided: mean_i( −s_ii/τ + log Σ_j e^{s_ij/τ} ), s_ij = ⟨u_i, v_j⟩ (van den Oord et al. 2018).
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn info_nce(temperature: f64) -> Result<Self, Error> {
        contrast("info-nce", temperature, Pairs::OTHER_VIEW, Anchors::FirstView)
    }

    /// InfoNCE, rows and columns averaged, as CLIP does (Radford et al. 2021).
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn info_nce_symmetric(temperature: f64) -> Result<Self, Error> {
        contrast("info-nce-symmetric", temperature, Pairs::OTHER_VIEW, Anchors::AllViews)
    }

    /// NT-Xent: InfoNCE whose denominator also has the anchor's own view (SimCLR; Chen et al. 2020); mean over all
    /// 2N anchors.
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn nt_xent(temperature: f64) -> Result<Self, Error> {
        contrast("nt-xent", temperature, Pairs::ALL, Anchors::AllViews)
    }

    /// NT-Xent with anchors in the first view only, as Koromilas et al. 2024 draw SimCLR.
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn nt_xent_one_sided(temperature: f64) -> Result<Self, Error> {
        contrast("nt-xent-one-sided", temperature, Pairs::ALL, Anchors::FirstView)
    }

    /// DCL: NT-Xent without the matched pair in the denominator (Yeh et al. 2022).
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn dcl(temperature: f64) -> Result<Self, Error> {
        contrast("dcl", temperature, Pairs::OTHER_IMAGES, Anchors::AllViews)
    }

    /// DCL with anchors in the first view only.
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn dcl_one_sided(temperature: f64) -> Result<Self, Error> {
        contrast("dcl-one-sided", temperature, Pairs::OTHER_IMAGES, Anchors::FirstView)
    }

    /// DCL over the other view only: one-sided InfoNCE without the matched pair in the denominator.
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn dcl_cross(temperature: f64) -> Result<Self, Error> {
        contrast("dcl-cross", temperature, Pairs::CROSS, Anchors::FirstView)
    }

    /// DCLW: DCL whose matched pair i has the weight w_i = 2 − N softmax_i(⟨u_i, v_i⟩/σ), held fixed in the gradient
    /// (Yeh et al. 2022).
    ///
    /// # Errors
    /// If `temperature` or `sigma` is not above 0 and finite.
    pub fn dclw(temperature: f64, sigma: f64) -> Result<Self, Error> {
        let mut loss = contrast("dclw", temperature, Pairs::OTHER_IMAGES, Anchors::AllViews)?;
        loss.terms[0].focus = Some(positive("sigma", sigma)?);
        Ok(loss)
    }

    /// DHEL: the denominator has only other images of the anchor's own view, so attraction and repulsion share no
    /// pair (Koromilas et al. 2024).
    ///
    /// With a_ij = ⟨u_i, u_j⟩, b_ij = ⟨v_i, v_j⟩, LSE over j ≠ i:
    /// [`Convention::Paper`] mean_i( −⟨u_i, v_i⟩/τ + LSE a_i·/τ ); [`Convention::Symmetric`] the mean of that on
    /// (u, v) and (v, u); [`Convention::Reference`] mean_i( −⟨u_i, v_i⟩/τ + LSE a_i·/τ + LSE b_i·/τ ).
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn dhel(temperature: f64, convention: Convention) -> Result<Self, Error> {
        let anchors = match convention {
            Convention::Paper => Anchors::FirstView,
            Convention::Symmetric | Convention::Reference => Anchors::AllViews,
        };
        let mut loss = contrast("dhel", temperature, Pairs::WITHIN, anchors)?;
        if convention == Convention::Reference {
            loss.terms[1].weight = 2.0;
        }
        Ok(loss)
    }

    /// KCL: −mean_i κ_A(⟨u_i, v_i⟩) + γ mean_{i≠j} κ_U(⟨u_i, u_j⟩) (Koromilas et al. 2024).
    ///
    /// [`Convention::Paper`] is that formula; [`Convention::Symmetric`] repels both views, (γ/2)(E_u + E_v);
    /// [`Convention::Reference`] is −2 mean κ_A + γ (E_u + E_v), and −4 mean κ_A for a logarithmic attraction, as
    /// the released code has it.
    ///
    /// # Errors
    /// If a parameter is out of range, γ is negative or not finite, or the attraction grows without bound as pairs
    /// align (Riesz with a positive exponent, log-distance) in another convention than [`Convention::Reference`],
    /// which allows it because the released code does.
    pub fn kcl(
        attraction: KclKernel,
        repulsion: KclKernel,
        gamma: f64,
        convention: Convention,
    ) -> Result<Self, Error> {
        let (attracting, repelling) = (attraction.kernel()?, repulsion.kernel()?);
        if attracting.is_unbounded() && convention != Convention::Reference {
            return Err(Error::new(
                "the attraction kernel grows without bound as pairs align, so the loss has no minimum; choose another \
                 attraction kernel (such as Gaussian), or the reference convention, which allows it",
            ));
        }
        if !(gamma >= 0.0 && gamma.is_finite()) {
            return Err(Error::new(format!("gamma is {gamma}; it must be at least 0 and finite")));
        }
        let (pull, push, anchors) = match convention {
            Convention::Paper => (1.0, gamma, Anchors::FirstView),
            Convention::Symmetric => (1.0, gamma, Anchors::AllViews),
            Convention::Reference => {
                let pull = if matches!(attraction, KclKernel::Logarithmic(_)) { 4.0 } else { 2.0 };
                (pull, 2.0 * gamma, Anchors::AllViews)
            }
        };
        Ok(Self::new(
            "kcl",
            vec![
                Term::attraction(-pull, anchors, attracting),
                Term::repulsion(push, Link::Mean, Pairs::WITHIN, anchors, repelling),
            ],
        ))
    }

    /// Alignment and uniformity: mean_i ‖u_i − v_i‖^α + (λ/2)(U_u + U_v), U = log mean_{i≠j} e^{−t‖x_i − x_j‖²}
    /// (Wang & Isola, ICML 2020).
    ///
    /// # Errors
    /// If `exponent` or `width` is not above 0 and finite, or `weight` is negative or not finite.
    pub fn align_uniform(exponent: f64, width: f64, weight: f64) -> Result<Self, Error> {
        if !(weight >= 0.0 && weight.is_finite()) {
            return Err(Error::new(format!("weight is {weight}; it must be at least 0 and finite")));
        }
        let align = Arc::new(DistancePower { exponent: positive("exponent", exponent)? });
        let gaussian = Arc::new(Gaussian { width: positive("width", width)? });
        Ok(Self::new(
            "align-uniform",
            vec![
                Term::attraction(1.0, Anchors::AllViews, align),
                Term::repulsion(weight, Link::LogMean, Pairs::WITHIN, Anchors::AllViews, gaussian),
            ],
        ))
    }

    /// SigLIP: each pair (u_i, v_j) is told by itself whether it is a match,
    /// (1/N) Σ_ij ln(1 + e^{−y_ij (t s_ij + b)}) with y = 1 for i = j and −1 otherwise (Zhai et al., ICCV 2023, who begin
    /// at t = 10, b = −10). Here t = `scale` and b = `offset` are given. Of K views or groups: the mean over all rows of the sum over
    /// their pairs, matched and cross.
    ///
    /// # Errors
    /// If `scale` is not above 0 and finite, or `offset` is not finite.
    pub fn siglip(scale: f64, offset: f64) -> Result<Self, Error> {
        let scale = positive("scale", scale)?;
        if !offset.is_finite() {
            return Err(Error::new(format!("offset is {offset}; it must be finite")));
        }
        let matched = Arc::new(Softplus { scale: -scale, offset: -offset });
        let cross = Arc::new(Softplus { scale, offset });
        Ok(Self::new(
            "siglip",
            vec![
                Term { link: Link::RowSum, ..Term::attraction(1.0, Anchors::AllViews, matched) },
                Term::repulsion(1.0, Link::RowSum, Pairs::CROSS, Anchors::AllViews, cross),
            ],
        ))
    }

    /// The spectral contrastive loss: −2 mean_i ⟨u_i, v_i⟩ + mean_{i≠j} ⟨u_i, v_j⟩² (HaoChen et al., NeurIPS 2021), on
    /// unit rows. Its minimizers are orthonormal, not a simplex.
    pub fn spectral() -> Self {
        let (pull, push) = (Arc::new(Cosine { scale: 2.0 }), Arc::new(SquaredCosine));
        Self::new(
            "spectral",
            vec![
                Term::attraction(-1.0, Anchors::AllViews, pull),
                Term::repulsion(1.0, Link::Mean, Pairs::CROSS, Anchors::AllViews, push),
            ],
        )
    }

    /// The energy of point sets: the mean of κ over ordered pairs of different points of a view.
    ///
    /// # Errors
    /// If the kernel's parameter is out of range.
    pub fn energy(kernel: KclKernel) -> Result<Self, Error> {
        let kernel = kernel.kernel()?;
        let term = Term::repulsion(1.0, Link::Mean, Pairs::WITHIN, Anchors::AllViews, kernel);
        Ok(Self::new("energy", vec![term]))
    }

    /// The temperature τ, if every term sees cosines as s/τ alone: InfoNCE, NT-Xent, DCL, DCLW, DHEL, SupCon, MV-InfoNCE, MV-DHEL, and KCL
    /// and energies whose kernels are exponentials of one τ.
    pub fn temperature(&self) -> Option<f64> {
        let rate = self.terms.first()?.kernel.rate()?;
        self.terms.iter().all(|term| term.kernel.rate() == Some(rate)).then_some(1.0 / rate)
    }

    /// Scale t > 0 and offset b, if every term sees cosines as ±(t s + b) alone: SigLIP.
    pub fn scale_and_offset(&self) -> Option<(f64, f64)> {
        let (scale, offset) = self.terms.first()?.kernel.affine()?;
        let sign = scale.signum();
        let ours = |(a, b): (f64, f64)| (a, b) == (scale, offset) || (a, b) == (-scale, -offset);
        let all = self.terms.iter().all(|term| term.kernel.affine().is_some_and(ours));
        all.then_some((sign * scale, sign * offset))
    }

    /// Whether the value is the same when the views are exchanged.
    pub fn is_symmetric(&self) -> bool {
        self.terms.iter().all(|term| term.anchors != Anchors::FirstView)
    }

    /// Every constructor at its paper's settings: what tests and docs walk.
    #[expect(clippy::missing_panics_doc, reason = "the papers' settings are in range")]
    pub fn catalogue() -> Vec<Self> {
        use Convention::{Paper, Reference, Symmetric};
        let gaussian = KclKernel::Gaussian(2.0);
        let mut losses = vec![
            Self::info_nce(0.1),
            Self::info_nce_symmetric(0.07),
            Self::nt_xent(0.5),
            Self::nt_xent_one_sided(0.5),
            Self::dcl(0.1),
            Self::dcl_one_sided(0.1),
            Self::dcl_cross(0.1),
            Self::dclw(0.1, 0.5),
            Self::align_uniform(2.0, 2.0, 1.0),
            Self::siglip(10.0, -10.0),
            Ok(Self::spectral()),
            Self::sup_con(0.1),
            Self::sup_con_in(0.1),
            Self::mv_info_nce(0.5, Paper),
            Self::mv_info_nce(0.5, Reference),
            Self::mv_dhel(0.5, Paper),
            Self::mv_dhel(0.5, Reference),
            Self::kcl(gaussian, KclKernel::Riesz(1.0), 16.0, Paper),
            Self::energy(KclKernel::LogDistance),
            Self::energy(KclKernel::Riesz(1.0)),
        ];
        for convention in [Paper, Symmetric, Reference] {
            losses.push(Self::dhel(0.3, convention));
            for kernel in [
                gaussian,
                KclKernel::Logarithmic(2.0),
                KclKernel::InverseMultiquadric(1.0),
                KclKernel::Riesz(-1.0),
            ] {
                losses.push(Self::kcl(kernel, kernel, 16.0, convention));
            }
        }
        losses.into_iter().map(|loss| loss.expect("the papers' settings are in range")).collect()
    }
}

/// −s⁺/τ + log Σ e^{s/τ} over the repelled pairs.
fn contrast(name: &'static str, temperature: f64, repelled: Pairs, anchors: Anchors) -> Result<Loss, Error> {
    let temperature = positive("temperature", temperature)?;
    let pull = Arc::new(Cosine { scale: 1.0 / temperature });
    let push = Arc::new(Exponential { temperature });
    Ok(Loss::new(
        name,
        vec![
            Term::attraction(-1.0, anchors, pull),
            Term::repulsion(1.0, Link::RowLogSum, repelled, anchors, push),
        ],
    ))
}
