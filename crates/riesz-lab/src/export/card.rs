//! The model card of an exported encoder, as Markdown.

use std::fmt::Write;

use crate::Result;
use crate::data::KNOWN;
use crate::names::{as_code, counted, in_markdown};
use crate::recipe::Recipe;
use crate::report::{self, Summary};

/// What was written beside the card.
pub struct Written {
    /// The file's name.
    pub file: String,
    /// What the file takes and gives, in sentences.
    pub interface: String,
    /// Python that uses it.
    pub usage: String,
    /// What the card says of it beyond the encoder, as Markdown: nothing, or a section.
    pub section: String,
}

/// The card of a run's encoder; `summary` where the run was evaluated.
///
/// # Errors
/// If the numbers of the summary make no table.
pub fn card(
    name: &str,
    encoder: &str,
    recipe: &Recipe,
    summary: Option<&Summary>,
    written: &Written,
) -> Result<String> {
    let Written { file, interface, usage, section } = written;
    let mut text = format!(
        "# {}\n\n{}: {encoder}.\n\n## Use\n\n{interface}\n\n```python\n{usage}\n```\n",
        in_markdown(name),
        as_code(file)
    );
    if !section.is_empty() {
        let _ = write!(text, "\n{section}");
    }
    let data = in_markdown(summary.map_or(recipe.data.source.as_str(), |summary| summary.data.as_str()));
    let start = recipe.start.as_ref().map_or_else(String::new, |start| {
        let labels = if start.trained_with_labels { ", which were trained with labels" } else { "" };
        format!(
            " It began with the weights {}{labels}; their own data, labels and license count here too.",
            as_code(&start.weights)
        )
    });
    let _ = write!(
        text,
        "\n## Training\n\nContrastive, {labels}, on {data}; {epochs} of batches of {batch} images, {views} views of each.{start} \
         The recipe is below.\n\nLicense of the data: {license}\n",
        epochs = counted(recipe.epochs, "epoch"),
        batch = recipe.batch,
        views = recipe.views,
        labels = match (recipe.learns_labels(), summary) {
            (false, _) => "without labels".to_owned(),
            (true, None) => "with labels".to_owned(),
            (true, Some(summary)) => {
                format!(
                    "with the labels of {} images (so that the few labels below are not all that it saw)",
                    summary.labels.train
                )
            }
        },
        license = license(&recipe.data.source),
    );
    match summary {
        Some(summary) => {
            let _ = write!(
                text,
                "\n{} images to train on, {} held out; {}; {}.\n\n## Numbers\n\n{}",
                summary.train_images,
                summary.test_images,
                summary.loss,
                summary.optimizer,
                report::markdown(std::slice::from_ref(summary))?
            );
        }
        None => text.push_str("\nThe run was not evaluated: `riesz eval` makes the numbers.\n"),
    }
    let _ = write!(text, "\n## Recipe\n\n```toml\n{}```\n", recipe.to_toml());
    Ok(text)
}

/// What is known of the license of a data set's images.
fn license(source: &str) -> &'static str {
    let about = KNOWN.iter().find(|known| known.name == source).map_or("", |known| known.about);
    if about.contains("MIT, © 2017 Zalando SE") || source == crate::data::BUILT_IN {
        "MIT, © 2017 Zalando SE (Fashion-MNIST)."
    } else if !about.is_empty() {
        "none is stated by its authors."
    } else {
        "not known to riesz; say it here before you pass the encoder on."
    }
}
