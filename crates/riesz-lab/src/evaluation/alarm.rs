//! The collapse alarm in a sentence: of the projector, whose embeddings the loss sees; the table is of the backbone too.

use riesz::geometry::Diagnosis;

/// What to say of the projector after `epochs`, and what to try; `before` is how training found it. `None` when all is well.
pub(super) fn alarm(trained: Diagnosis, before: Diagnosis, epochs: u64) -> Option<String> {
    let advice = trained.advice()?;
    let before = match trained {
        Diagnosis::Collapsed { .. } => matches!(before, Diagnosis::Collapsed { .. }),
        _ => before != Diagnosis::Healthy,
    };
    Some(match (epochs, before) {
        (0, _) => format!("of the projector, which was not trained here: {trained}"),
        (_, true) => format!("of the projector: {trained}; it was so before training too: train longer"),
        (_, false) => format!("of the projector: {trained}; {advice}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: Diagnosis = Diagnosis::Healthy;
    const COLLAPSED: Diagnosis = Diagnosis::Collapsed { mean_cosine: 0.97 };
    const FEW: Diagnosis = Diagnosis::Dimensional { effective_rank: 8.0, uniform: 110.0 };

    #[test]
    fn what_training_did_is_told_from_what_was_so_before() {
        for before in [HEALTHY, COLLAPSED, FEW] {
            assert_eq!(alarm(HEALTHY, before, 3), None);
        }
        let says = |trained, before, epochs, words: &str| {
            let found = alarm(trained, before, epochs).unwrap();
            assert!(found.starts_with("of the projector") && found.ends_with(words), "{found}");
        };
        says(
            COLLAPSED,
            HEALTHY,
            3,
            "told apart; try a lower learning rate, a longer warm-up or a larger batch",
        );
        says(COLLAPSED, FEW, 3, "or a larger batch");
        says(COLLAPSED, COLLAPSED, 3, "told apart; it was so before training too: train longer");
        says(
            FEW,
            HEALTHY,
            3,
            "have 110.0; try a lower temperature, stronger augmentation or a smaller embedding",
        );
        says(FEW, FEW, 3, "it was so before training too: train longer");
        says(FEW, COLLAPSED, 3, "it was so before training too: train longer");
        says(
            COLLAPSED,
            HEALTHY,
            0,
            "not trained here: the embeddings have collapsed: two of them have cosine 0.970 \
             on average, so that images can hardly be told apart",
        );
    }
}
