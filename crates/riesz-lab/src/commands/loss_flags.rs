//! The flags that say which loss or kernel is meant: those of `riesz loss`, and of every other verb that takes a loss.

use crate::loss_recipe::{ConventionRecipe, KernelRecipe, LossRecipe};
use crate::{Error, Result};

/// Parameters of a loss or of a kernel. What is not given is as the loss's paper has it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LossFlags {
    /// Temperature τ of an exponential
    #[arg(long)]
    pub temperature: Option<f64>,
    /// σ of DCLW's weights
    #[arg(long)]
    pub sigma: Option<f64>,
    /// KCL's kernel: attraction, and repulsion too if --repulsion-kernel is not given
    #[arg(long)]
    pub kernel: Option<String>,
    /// Width t of a Gaussian or logarithmic kernel, or of align-uniform
    #[arg(long)]
    pub width: Option<f64>,
    /// Offset c of an inverse multiquadric kernel, or b of siglip
    #[arg(long, allow_negative_numbers = true)]
    pub offset: Option<f64>,
    /// Scale t of siglip
    #[arg(long)]
    pub scale: Option<f64>,
    /// Exponent s of a Riesz kernel, or α of align-uniform
    #[arg(long, allow_negative_numbers = true)]
    pub exponent: Option<f64>,
    /// KCL's repulsion kernel
    #[arg(long)]
    pub repulsion_kernel: Option<String>,
    /// Its width
    #[arg(long, requires = "repulsion_kernel")]
    pub repulsion_width: Option<f64>,
    /// Its offset
    #[arg(long, requires = "repulsion_kernel")]
    pub repulsion_offset: Option<f64>,
    /// Its exponent
    #[arg(long, requires = "repulsion_kernel", allow_negative_numbers = true)]
    pub repulsion_exponent: Option<f64>,
    /// Its temperature
    #[arg(long, requires = "repulsion_kernel")]
    pub repulsion_temperature: Option<f64>,
    /// KCL's weight γ of the repulsion
    #[arg(long)]
    pub gamma: Option<f64>,
    /// align-uniform's weight λ of the uniformity
    #[arg(long)]
    pub weight: Option<f64>,
    /// The published form of DHEL, KCL, MV-DHEL and MV-InfoNCE [default: paper]
    #[arg(long, value_enum)]
    pub convention: Option<ConventionRecipe>,
}

impl LossFlags {
    /// The loss of this name with what the flags say, as a recipe's table, so that both are checked by the same rules.
    ///
    /// # Errors
    /// If there is no such loss, or it does not take one of the flags; `verb` begins the sentence.
    pub fn recipe(&self, verb: &str, loss: &str) -> Result<LossRecipe> {
        let mut table = toml::Table::new();
        let name = loss;
        let loss = canonical(name);
        table.insert("name".to_owned(), loss.clone().into());
        if let Some(convention) = self.convention {
            let value = toml::Value::try_from(convention).map_err(|error| Error::input(error.to_string()))?;
            table.insert("convention".to_owned(), value);
        }
        let mut kernel_keys: Vec<(&str, Option<f64>)> =
            vec![("width", self.width), ("offset", self.offset), ("exponent", self.exponent)];
        let mut keys: Vec<(&str, Option<f64>)> = vec![
            ("sigma", self.sigma),
            ("gamma", self.gamma),
            ("weight", self.weight),
            ("scale", self.scale),
        ];
        if loss == "kcl" {
            kernel_keys.push(("temperature", self.temperature));
            let kernel_name = canonical(self.kernel.as_deref().unwrap_or("gaussian"));
            let attraction = match kernel_name.as_str() {
                // The released code's mixture: a Gaussian attracts, and the exponent is the repulsion's.
                "gaussian-riesz" => kernel("gaussian", &[("width", self.width)]),
                name => kernel(name, &kernel_keys),
            };
            let repulsion = match &self.repulsion_kernel {
                None if kernel_name == "gaussian-riesz" => kernel("riesz", &[("exponent", self.exponent)]),
                None => attraction.clone(),
                Some(name) => kernel(
                    &canonical(name),
                    &[
                        ("width", self.repulsion_width),
                        ("offset", self.repulsion_offset),
                        ("exponent", self.repulsion_exponent),
                        ("temperature", self.repulsion_temperature),
                    ],
                ),
            };
            table.insert("attraction".to_owned(), attraction);
            table.insert("repulsion".to_owned(), repulsion);
        } else {
            if self.kernel.is_some() || self.repulsion_kernel.is_some() {
                return Err(Error::input(format!("{verb} {name}: only kcl takes a kernel")));
            }
            keys.extend(kernel_keys);
            keys.push(("temperature", self.temperature));
        }
        for (key, value) in keys {
            if let Some(value) = value {
                table.insert(key.to_owned(), value.into());
            }
        }
        table.try_into().map_err(|error: toml::de::Error| {
            Error::input(format!("{verb} {name}: {}", error.message().replace('\n', ", ")))
        })
    }

    /// The kernel that the flags name, alone.
    ///
    /// # Errors
    /// If none is named, there is no such kernel, it does not take one of the flags, or a flag of losses is given.
    pub fn kernel(&self, verb: &str) -> Result<KernelRecipe> {
        let Some(name) = &self.kernel else {
            return Err(Error::input(format!(
                "{verb}: a loss (--loss NAME) or a kernel (--kernel NAME) is expected"
            )));
        };
        let of_losses = [
            ("--sigma", self.sigma.is_some()),
            ("--scale", self.scale.is_some()),
            ("--gamma", self.gamma.is_some()),
            ("--weight", self.weight.is_some()),
            ("--convention", self.convention.is_some()),
            ("--repulsion-kernel", self.repulsion_kernel.is_some()),
        ];
        if let Some((flag, _)) = of_losses.iter().find(|(_, given)| *given) {
            return Err(Error::input(format!("{verb} --kernel {name}: {flag} is a flag of losses")));
        }
        let keys = [
            ("width", self.width),
            ("offset", self.offset),
            ("exponent", self.exponent),
            ("temperature", self.temperature),
        ];
        kernel(&canonical(name), &keys).try_into().map_err(|error: toml::de::Error| {
            Error::input(format!("{verb} --kernel {name}: {}", error.message().replace('\n', ", ")))
        })
    }
}

/// The name that recipes use, for other usual spellings.
pub fn canonical(name: &str) -> String {
    match name.replace('_', "-").as_str() {
        "infonce" => "info-nce",
        "infonce-symmetric" | "clip" => "info-nce-symmetric",
        "ntxent" | "simclr" => "nt-xent",
        "supcon" => "sup-con",
        "log" => "logarithmic",
        "imq" => "inverse-multiquadric",
        other => other,
    }
    .to_owned()
}

fn kernel(name: &str, keys: &[(&str, Option<f64>)]) -> toml::Value {
    let mut table = toml::Table::new();
    table.insert("kernel".to_owned(), name.to_owned().into());
    for &(key, value) in keys {
        if let Some(value) = value {
            table.insert(key.to_owned(), value.into());
        }
    }
    toml::Value::Table(table)
}
