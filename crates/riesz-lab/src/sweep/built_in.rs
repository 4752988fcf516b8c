//! The grids that ship with the program: the files of `recipes/sweeps/`, a claim and a scale each, of which [`CLAIMS`](super::claims::CLAIMS) are judged.

use super::grid::Grid;
use crate::{Error, Result};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../recipes/sweeps/", $name, ".toml")))),*]
    };
}

/// Name and text of every built-in grid.
pub const GRIDS: &[(&str, &str)] = built_in![
    "small-batch-cpu",
    "small-batch-cifar",
    "small-batch-paper",
    "hyperparameters-cpu",
    "hyperparameters-cifar",
    "hyperparameters-paper",
    "views-cpu",
];

/// The grid of that name at that scale.
///
/// # Errors
/// If there is none.
pub fn built_in(name: &str, scale: &str) -> Result<Grid> {
    let full = format!("{name}-{scale}");
    let (_, text) = GRIDS
        .iter()
        .find(|(known, _)| *known == full)
        .ok_or_else(|| Error::input(format!("no built-in grid is called {full}")))?;
    Grid::parse(text, &full, &format!("built-in grid {full}"))
}

#[cfg(test)]
mod tests {
    use super::super::claims::CLAIMS;
    use super::*;

    #[test]
    fn every_claim_has_its_grid_at_every_scale() {
        for claim in &CLAIMS {
            for scale in ["cpu", "cifar", "paper"] {
                let grid = built_in(claim.grid, scale).unwrap();
                assert_eq!(grid.name, format!("{}-{scale}", claim.grid), "the folder is called as the file");
                let losses: Vec<&str> = grid.cells.iter().map(|cell| cell.settings[0].1.as_str()).collect();
                for loss in ["nt-xent", "dcl", "dhel-reference", "kcl-gaussian"] {
                    assert!(losses.contains(&loss), "{}: {loss}", grid.name);
                }
            }
        }
        assert_eq!(built_in("small-batch", "cpu").unwrap().cells.len(), 54);
        assert!(GRIDS.iter().all(|(_, text)| text.starts_with("# Claim: ")));
    }
}
