//! What a model card says of a finetuned network, as Markdown.

use std::fmt::Write;

use super::{Finetuned, Stage};
use crate::names::in_markdown;

/// Classes that are told one by one, at most.
const TOLD: usize = 100;

impl Finetuned {
    /// Classes, labels and what the stages answered.
    pub fn card(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let settings = &self.settings;
        let which = match settings.labels_per_class {
            Some(count) => format!("at most {count} a class"),
            None => "all that there are".to_owned(),
        };
        let mut text = format!(
            "## Classifier\n\nThe largest of {} logits is the answer; the metadata's `classes` has the names in their order. Learned from {} \
             labels ({which}) of {}, {} steps of {} images, from the encoder below.\n\n| on {} held-out images | accuracy |\n|---|---|\n",
            self.classes.len(),
            self.training_images,
            in_markdown(&settings.data.source),
            settings.steps,
            settings.batch,
            self.labels.len()
        );
        for found in &self.stages {
            let file = if found.stage == Stage::Finetuned { " (this file)" } else { "" };
            let _ = writeln!(text, "| {}{file} | {} |", found.stage.describe(), percent(found.accuracy));
        }
        let Some(own) = self.stage(Stage::Finetuned) else { return text };
        text.push_str("\n| place | class | held-out images | right |\n|---|---|---|---|\n");
        for (place, (class, share)) in self.classes.iter().zip(&own.by_class).enumerate().take(TOLD) {
            let images = self.labels.iter().filter(|&&label| label as usize == place).count();
            let share = share.map_or_else(|| "–".to_owned(), percent);
            let class = in_markdown(class);
            let _ = writeln!(text, "| {place} | {class} | {images} | {share} |");
        }
        if self.classes.len() > TOLD {
            let _ = writeln!(text, "\nand {} classes more.", self.classes.len() - TOLD);
        }
        text
    }
}
