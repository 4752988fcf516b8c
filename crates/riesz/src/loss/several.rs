//! Losses of images with more than one match: several views, or groups of images under one label.

use std::sync::Arc;

use super::{Anchors, Convention, Link, Loss, Pairs, Term, contrast};
use crate::Error;
use crate::kernel::{Exponential, Kernel, ScaledExponential, positive};

impl Loss {
    /// SupCon, the mean over the other rows of the anchor's group outside the logarithm (L_out): mean over rows p of
    /// −mean_{q ∈ P(p)} s_pq/τ + ln Σ_{q≠p} e^{s_pq/τ}, where P(p) are the other rows of p's group (Khosla et al.,
    /// NeurIPS 2020). The authors' code multiplies by τ/0.07.
    ///
    /// Groups come with the batch ([`Engine::value_and_grad_grouped`](crate::engine::Engine::value_and_grad_grouped));
    /// without any, this is [`Loss::nt_xent`].
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn sup_con(temperature: f64) -> Result<Self, Error> {
        contrast("sup-con", temperature, Pairs::ALL, Anchors::AllViews)
    }

    /// SupCon with the mean inside the logarithm (L_in of Khosla et al. 2020, which trained worse there): mean over rows
    /// p of −ln mean_{q ∈ P(p)} e^{s_pq/τ} + ln Σ_{q≠p} e^{s_pq/τ}; by Jensen at most [`Loss::sup_con`].
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn sup_con_in(temperature: f64) -> Result<Self, Error> {
        let mut loss = Self::sup_con(temperature)?;
        loss.name = "sup-con-in".into();
        loss.terms[0] = Term::joint_attraction(Link::RowLogMean, Arc::new(Exponential { temperature }));
        Ok(loss)
    }

    /// MV-InfoNCE of K ≥ 2 views: mean over images i of −ln A_i + ln B_i, where A_i = Σ_{l≠m} e^{⟨x_il, x_im⟩/τ} over
    /// ordered pairs of i's rows, and B_i sums e^{s/τ} over all pairs anchored in a row of i (Koromilas et al.,
    /// *A Principled Framework for Multi-View Contrastive Learning*, arXiv 2507.06979).
    ///
    /// [`Convention::Paper`]: B_i runs over all rows of other views, as the authors write it;
    /// [`Convention::Reference`]: over all other rows, those of the anchor's view too, as their code has it.
    /// All views are anchors, so [`Convention::Symmetric`] is the paper's.
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn mv_info_nce(temperature: f64, convention: Convention) -> Result<Self, Error> {
        let temperature = positive("temperature", temperature)?;
        let pairs = match convention {
            Convention::Paper | Convention::Symmetric => Pairs::OTHER_VIEW,
            Convention::Reference => Pairs::ALL,
        };
        let push = Arc::new(Exponential { temperature });
        Ok(Self::new(
            "mv-info-nce",
            vec![
                Term::joint_attraction(Link::ImageLogSum, Arc::new(Exponential { temperature })),
                Term::repulsion(1.0, Link::ImageLogSum, pairs, Anchors::AllViews, push),
            ],
        ))
    }

    /// MV-DHEL of K ≥ 2 views: mean over images i of −ln A_i + Σ_l ln B_il, where B_il = Σ_j e^{⟨x_il, x_jl⟩/τ} over rows of
    /// one view (Koromilas et al., arXiv 2507.06979).
    ///
    /// [`Convention::Paper`]: A_i as in [`Loss::mv_info_nce`] and B_il with j = i, as the authors write them;
    /// [`Convention::Reference`]: A_i over unordered pairs, half of that, and j ≠ i, as their code has it: for K = 2 it
    /// is [`Loss::dhel`] in the same convention. All views are anchors, so [`Convention::Symmetric`] is the paper's.
    ///
    /// # Errors
    /// If `temperature` is not above 0 and finite.
    pub fn mv_dhel(temperature: f64, convention: Convention) -> Result<Self, Error> {
        let temperature = positive("temperature", temperature)?;
        let push = Arc::new(Exponential { temperature });
        let (pull, pairs): (Arc<dyn Kernel>, _) = match convention {
            Convention::Paper | Convention::Symmetric => {
                (Arc::new(Exponential { temperature }), Pairs { itself: true, ..Pairs::WITHIN })
            }
            Convention::Reference => {
                (Arc::new(ScaledExponential { temperature, factor: 0.5 }), Pairs::WITHIN)
            }
        };
        Ok(Self::new(
            "mv-dhel",
            vec![
                Term::joint_attraction(Link::ImageLogSum, pull),
                Term::repulsion(1.0, Link::RowLogSum, pairs, Anchors::EachView, push),
            ],
        ))
    }
}

impl Term {
    /// The logarithm of what matched pairs add up to, with weight −1.
    fn joint_attraction(link: Link, kernel: Arc<dyn Kernel>) -> Self {
        Self { link, ..Self::attraction(-1.0, Anchors::AllViews, kernel) }
    }
}
