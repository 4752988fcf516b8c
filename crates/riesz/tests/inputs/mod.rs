//! The arrays that golden cases are about: `golden/inputs.safetensors`, in f64.

use std::path::{Path, PathBuf};

use riesz::Matrix;

/// Where golden numbers are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden")
}

/// The array of that name.
pub(crate) fn input(name: &str) -> Matrix<f64> {
    let bytes = std::fs::read(folder().join("inputs.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let view = tensors.tensor(name).unwrap();
    let data = view.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    Matrix::new(data, view.shape()[1])
}
