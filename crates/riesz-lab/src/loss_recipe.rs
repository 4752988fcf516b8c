//! Losses as recipes and the command line write them. What is not said is as the loss's paper has it, its convention
//! too; a resolved recipe has every key, and [`LossRecipe::describe`] says every one.

use riesz::loss::{Convention, KclKernel, Loss};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A loss by name, with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum LossRecipe {
    /// [`Loss::info_nce`].
    InfoNce {
        /// τ.
        #[serde(default = "tenth")]
        temperature: f64,
    },
    /// [`Loss::info_nce_symmetric`].
    InfoNceSymmetric {
        /// τ.
        #[serde(default = "tenth")]
        temperature: f64,
    },
    /// [`Loss::nt_xent`].
    NtXent {
        /// τ.
        #[serde(default = "half")]
        temperature: f64,
    },
    /// [`Loss::nt_xent_one_sided`].
    NtXentOneSided {
        /// τ.
        #[serde(default = "half")]
        temperature: f64,
    },
    /// [`Loss::dcl`].
    Dcl {
        /// τ.
        #[serde(default = "tenth")]
        temperature: f64,
    },
    /// [`Loss::dcl_one_sided`].
    DclOneSided {
        /// τ.
        #[serde(default = "tenth")]
        temperature: f64,
    },
    /// [`Loss::dcl_cross`].
    DclCross {
        /// τ.
        #[serde(default = "tenth")]
        temperature: f64,
    },
    /// [`Loss::dclw`].
    Dclw {
        /// τ.
        #[serde(default = "tenth")]
        temperature: f64,
        /// σ of the matched pairs' weights.
        #[serde(default = "half")]
        sigma: f64,
    },
    /// [`Loss::dhel`].
    Dhel {
        /// τ.
        #[serde(default = "dhel_temperature")]
        temperature: f64,
        /// Which published form.
        #[serde(default)]
        convention: ConventionRecipe,
    },
    /// [`Loss::kcl`].
    Kcl {
        /// κ_A.
        #[serde(default)]
        attraction: KernelRecipe,
        /// κ_U.
        #[serde(default)]
        repulsion: KernelRecipe,
        /// γ.
        #[serde(default = "sixteen")]
        gamma: f64,
        /// Which published form.
        #[serde(default)]
        convention: ConventionRecipe,
    },
    /// [`Loss::mv_info_nce`].
    MvInfoNce {
        /// τ.
        #[serde(default = "half")]
        temperature: f64,
        /// Which published form.
        #[serde(default)]
        convention: ConventionRecipe,
    },
    /// [`Loss::mv_dhel`].
    MvDhel {
        /// τ.
        #[serde(default = "half")]
        temperature: f64,
        /// Which published form.
        #[serde(default)]
        convention: ConventionRecipe,
    },
    /// [`Loss::sup_con`].
    SupCon {
        /// τ.
        #[serde(default = "tenth")]
        temperature: f64,
    },
    /// [`Loss::sup_con_in`].
    SupConIn {
        /// τ.
        #[serde(default = "tenth")]
        temperature: f64,
    },
    /// [`Loss::align_uniform`].
    AlignUniform {
        /// α.
        #[serde(default = "two")]
        exponent: f64,
        /// t.
        #[serde(default = "two")]
        width: f64,
        /// λ.
        #[serde(default = "one")]
        weight: f64,
    },
    /// [`Loss::siglip`].
    Siglip {
        /// t.
        #[serde(default = "ten")]
        scale: f64,
        /// b.
        #[serde(default = "minus_ten")]
        offset: f64,
    },
    /// [`Loss::spectral`].
    Spectral {},
}

/// [`Convention`] in recipes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ConventionRecipe {
    /// The paper's formula: anchors are the first view only
    #[default]
    Paper,
    /// Half of the paper's formula on (u, v), half on (v, u)
    Symmetric,
    /// What the authors' released code computes
    Reference,
}

/// A KCL kernel in recipes: `{ kernel = "gaussian", width = 2.0 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kernel", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum KernelRecipe {
    /// [`KclKernel::Gaussian`].
    Gaussian {
        /// t.
        #[serde(default = "two")]
        width: f64,
    },
    /// [`KclKernel::Logarithmic`].
    Logarithmic {
        /// t.
        #[serde(default = "two")]
        width: f64,
    },
    /// [`KclKernel::InverseMultiquadric`].
    InverseMultiquadric {
        /// c.
        #[serde(default = "two")]
        offset: f64,
    },
    /// [`KclKernel::Riesz`].
    Riesz {
        /// s.
        exponent: f64,
    },
    /// [`KclKernel::LogDistance`].
    LogDistance,
    /// [`KclKernel::Exponential`].
    Exponential {
        /// τ.
        temperature: f64,
    },
}

impl KernelRecipe {
    /// In words: the name and every parameter.
    pub fn describe(&self) -> String {
        let table = toml::Table::try_from(self).expect("a kernel is a table of numbers and strings");
        let mut words = vec![table.get("kernel").map(plain).unwrap_or_default()];
        words.extend(
            table
                .iter()
                .filter(|(key, _)| *key != "kernel")
                .map(|(key, value)| format!("{key} {}", plain(value))),
        );
        words.join(", ")
    }
}

impl Default for KernelRecipe {
    fn default() -> Self {
        Self::Gaussian { width: two() }
    }
}

fn tenth() -> f64 {
    0.1
}
fn half() -> f64 {
    0.5
}
fn one() -> f64 {
    1.0
}
fn two() -> f64 {
    2.0
}
fn ten() -> f64 {
    10.0
}
fn minus_ten() -> f64 {
    -10.0
}
fn sixteen() -> f64 {
    16.0
}
fn dhel_temperature() -> f64 {
    0.3
}

impl LossRecipe {
    /// The loss.
    ///
    /// # Errors
    /// If a parameter is out of its range.
    pub fn loss(&self) -> Result<Loss> {
        let loss = match *self {
            Self::InfoNce { temperature } => Loss::info_nce(temperature),
            Self::InfoNceSymmetric { temperature } => Loss::info_nce_symmetric(temperature),
            Self::NtXent { temperature } => Loss::nt_xent(temperature),
            Self::NtXentOneSided { temperature } => Loss::nt_xent_one_sided(temperature),
            Self::Dcl { temperature } => Loss::dcl(temperature),
            Self::DclOneSided { temperature } => Loss::dcl_one_sided(temperature),
            Self::DclCross { temperature } => Loss::dcl_cross(temperature),
            Self::Dclw { temperature, sigma } => Loss::dclw(temperature, sigma),
            Self::Dhel { temperature, convention } => Loss::dhel(temperature, convention.into()),
            Self::Kcl { ref attraction, ref repulsion, gamma, convention } => {
                Loss::kcl(attraction.into(), repulsion.into(), gamma, convention.into())
            }
            Self::MvInfoNce { temperature, convention } => Loss::mv_info_nce(temperature, convention.into()),
            Self::MvDhel { temperature, convention } => Loss::mv_dhel(temperature, convention.into()),
            Self::SupCon { temperature } => Loss::sup_con(temperature),
            Self::SupConIn { temperature } => Loss::sup_con_in(temperature),
            Self::AlignUniform { exponent, width, weight } => Loss::align_uniform(exponent, width, weight),
            Self::Siglip { scale, offset } => Loss::siglip(scale, offset),
            Self::Spectral {} => Ok(Loss::spectral()),
        };
        loss.map_err(|error| Error::input(format!("loss {}: {error}", self.name())))
    }

    /// Whether it is about groups of images, which are those of one label in training: without them it is another loss.
    pub fn takes_groups(&self) -> bool {
        matches!(self, Self::SupCon { .. } | Self::SupConIn { .. })
    }

    fn table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("a loss is a table of numbers and strings")
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.table().get("name").map(plain).unwrap_or_default()
    }

    /// In words, for the log: the name and every parameter.
    pub fn describe(&self) -> String {
        let mut words = vec![self.name()];
        for (key, value) in self.table().iter().filter(|(key, _)| *key != "name") {
            words.push(match value {
                convention if key == "convention" => format!("{} convention", plain(convention)),
                toml::Value::Table(kernel) => {
                    let inner: Vec<String> =
                        kernel.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect();
                    format!("{key} ({})", inner.join(", "))
                }
                value => format!("{key} {}", plain(value)),
            });
        }
        words.join(", ")
    }
}

/// The table of `--loss NAME` over a recipe whose own loss is `own`: that one, if it has the name; else the loss of
/// that name at its paper's settings, but in the convention that the recipe counts by.
pub fn renamed(own: Option<&toml::Table>, name: &str) -> toml::Table {
    let key = |key: &str| own.and_then(|own| own.get(key));
    if let Some(own) = own
        && key("name").and_then(toml::Value::as_str) == Some(name)
    {
        return own.clone();
    }
    let mut table = toml::Table::new();
    table.insert("name".to_owned(), name.into());
    if let Some(convention) = key("convention")
        && HAVE_CONVENTIONS.contains(&name)
    {
        table.insert("convention".to_owned(), convention.clone());
    }
    table
}

const HAVE_CONVENTIONS: [&str; 4] = ["dhel", "kcl", "mv-dhel", "mv-info-nce"];

fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl From<ConventionRecipe> for Convention {
    fn from(recipe: ConventionRecipe) -> Self {
        match recipe {
            ConventionRecipe::Paper => Self::Paper,
            ConventionRecipe::Symmetric => Self::Symmetric,
            ConventionRecipe::Reference => Self::Reference,
        }
    }
}

impl From<&KernelRecipe> for KclKernel {
    fn from(recipe: &KernelRecipe) -> Self {
        match *recipe {
            KernelRecipe::Gaussian { width } => Self::Gaussian(width),
            KernelRecipe::Logarithmic { width } => Self::Logarithmic(width),
            KernelRecipe::InverseMultiquadric { offset } => Self::InverseMultiquadric(offset),
            KernelRecipe::Riesz { exponent } => Self::Riesz(exponent),
            KernelRecipe::LogDistance => Self::LogDistance,
            KernelRecipe::Exponential { temperature } => Self::Exponential(temperature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(text: &str) -> LossRecipe {
        text.parse::<toml::Table>().unwrap().try_into().unwrap()
    }

    #[test]
    fn a_name_alone_is_the_paper_and_the_words_say_so() {
        assert_eq!(loss("name = \"dhel\"").describe(), "dhel, paper convention, temperature 0.3");
        assert_eq!(loss("name = \"nt-xent\"").describe(), "nt-xent, temperature 0.5");
        let kcl = loss("name = \"kcl\"\nconvention = \"reference\"").describe();
        assert!(kcl.contains("reference convention"), "{kcl}");
        assert_eq!(loss("name = \"siglip\"").describe(), "siglip, offset -10.0, scale 10.0");
        assert_eq!(loss("name = \"spectral\"").describe(), "spectral");
        // Every loss that has a convention is known to have one.
        for name in Loss::catalogue().into_iter().map(|loss| loss.name).filter(|name| *name != "energy") {
            let has = loss(&format!("name = \"{name}\"")).table().contains_key("convention");
            assert_eq!(has, HAVE_CONVENTIONS.contains(&&*name), "{name}");
        }
    }

    #[test]
    fn a_renamed_loss_keeps_the_recipes_convention_and_the_same_name_keeps_all() {
        let own = loss("name = \"dhel\"\nconvention = \"reference\"\ntemperature = 0.2").table();
        assert_eq!(renamed(Some(&own), "dhel"), own);
        let kcl: LossRecipe = renamed(Some(&own), "kcl").try_into().unwrap();
        assert!(matches!(kcl, LossRecipe::Kcl { convention: ConventionRecipe::Reference, gamma: 16.0, .. }));
        assert_eq!(renamed(Some(&own), "nt-xent").len(), 1);
        let without = loss("name = \"nt-xent\"").table();
        let dhel: LossRecipe = renamed(Some(&without), "dhel").try_into().unwrap();
        assert_eq!(dhel, loss("name = \"dhel\""));
    }

    #[test]
    fn what_is_out_of_range_is_told_with_the_losss_name() {
        for (text, expected) in [
            (
                "name = \"dhel\"\ntemperature = -1.0",
                "loss dhel: temperature is -1; it must be above 0 and finite",
            ),
            (
                "name = \"kcl\"\nattraction = { kernel = \"riesz\", exponent = 1.0 }",
                "loss kcl: the attraction kernel grows",
            ),
            ("name = \"siglip\"\nscale = 0.0", "loss siglip: scale is 0; it must be above 0 and finite"),
            ("name = \"siglip\"\noffset = nan", "loss siglip: offset is NaN; it must be finite"),
        ] {
            let told = loss(text).loss().unwrap_err().to_string();
            assert!(told.starts_with(expected), "{told}");
        }
    }
}
