//! Losses as recipes and the command line write them. What is not said is as the loss's paper (or its released code)
//! has it; a resolved recipe has every key.

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
            Self::AlignUniform { exponent, width, weight } => Loss::align_uniform(exponent, width, weight),
        };
        loss.map_err(|error| Error::input(format!("loss.{error}")))
    }

    /// In words, for the log: the name and every parameter.
    pub fn describe(&self) -> String {
        let table = toml::Table::try_from(self).expect("a loss is a table of numbers and strings");
        let mut words = vec![table.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned()];
        for (key, value) in table.iter().filter(|(key, _)| *key != "name") {
            words.push(match value {
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
