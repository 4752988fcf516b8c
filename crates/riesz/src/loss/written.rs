//! How losses and terms are written down, here and by others.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Anchors, Link, Loss, Pairs, Role, Term};
use crate::kernel::Kernel;

impl Loss {
    /// The sum of these terms.
    pub fn new(name: impl Into<Cow<'static, str>>, terms: Vec<Term>) -> Self {
        Self { name: name.into(), terms }
    }

    /// The same loss with these terms instead of its own.
    pub(crate) fn of(&self, terms: Vec<Term>) -> Self {
        Self { name: self.name.clone(), terms }
    }
}

impl Term {
    /// `weight` times the link of κ over these pairs, with every row of every view as an anchor. Nothing is checked before an
    /// engine evaluates it, or [`Loss::check`].
    pub fn new(role: Role, weight: f64, link: Link, pairs: Pairs, kernel: Arc<dyn Kernel>) -> Self {
        Self { role, weight, link, pairs, anchors: Anchors::AllViews, kernel, focus: None }
    }

    /// The same with these anchors.
    #[must_use]
    pub fn with_anchors(self, anchors: Anchors) -> Self {
        Self { anchors, ..self }
    }

    /// The same with a [focus](Term::focus) of σ.
    #[must_use]
    pub fn with_focus(self, sigma: f64) -> Self {
        Self { focus: Some(sigma), ..self }
    }

    /// A mean over matched pairs.
    pub(super) fn attraction(weight: f64, anchors: Anchors, kernel: Arc<dyn Kernel>) -> Self {
        Self::new(Role::Attraction, weight, Link::Mean, Pairs::MATCHED, kernel).with_anchors(anchors)
    }

    pub(super) fn repulsion(
        weight: f64,
        link: Link,
        pairs: Pairs,
        anchors: Anchors,
        kernel: Arc<dyn Kernel>,
    ) -> Self {
        Self::new(Role::Repulsion, weight, link, pairs, kernel).with_anchors(anchors)
    }
}
