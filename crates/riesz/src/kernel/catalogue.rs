//! Every kernel of the crate, as losses have its own catalogue.

use std::sync::Arc;

use super::{
    Cosine, DistancePower, Exponential, Gaussian, InverseMultiquadric, Kernel, LogDistance, Logarithmic,
    Riesz, ScaledExponential, Softplus, SquaredCosine,
};

/// Every kernel, at one parameter or more: what tests walk.
pub fn catalogue() -> Vec<Arc<dyn Kernel>> {
    vec![
        Arc::new(Cosine { scale: 3.0 }),
        Arc::new(Exponential { temperature: 0.3 }),
        Arc::new(ScaledExponential { temperature: 0.4, factor: 0.5 }),
        Arc::new(Gaussian { width: 2.0 }),
        Arc::new(Logarithmic { width: 2.0 }),
        Arc::new(LogDistance),
        Arc::new(InverseMultiquadric { offset: 0.7 }),
        Arc::new(Riesz { exponent: 1.0 }),
        Arc::new(Riesz { exponent: -1.0 }),
        Arc::new(Riesz { exponent: 2.5 }),
        Arc::new(DistancePower { exponent: 2.0 }),
        Arc::new(DistancePower { exponent: 1.0 }),
        Arc::new(DistancePower { exponent: 3.0 }),
        Arc::new(SquaredCosine),
        Arc::new(Softplus { scale: 10.0, offset: -10.0 }),
        Arc::new(Softplus { scale: -10.0, offset: 3.0 }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that is in no catalogue is one that no test asks anything.
    #[test]
    fn every_kernel_is_in_it() {
        let listed: Vec<String> = catalogue().iter().map(|kernel| format!("{kernel:?}")).collect();
        let mut found = 0;
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernel")).unwrap();
        for path in files.map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
            let text = std::fs::read_to_string(path).unwrap();
            for name in text.lines().filter_map(|line| line.strip_prefix("impl Kernel for ")) {
                let name = name.trim_end_matches(" {");
                let is_it = |said: &String| said.split(' ').next() == Some(name);
                assert!(listed.iter().any(is_it), "{name} is not in kernel::catalogue");
                found += 1;
            }
        }
        assert!(found > 10, "{found}");
    }
}
