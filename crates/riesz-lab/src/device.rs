//! Where tensors live, by name.

use burn::tensor::Device;

use crate::{Error, Result};

/// The device of that name: `cpu`, or a GPU that the program was built for.
///
/// # Errors
/// If the name is unknown, or the program was built without that device.
pub fn open(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::flex()),
        "vulkan" => vulkan(),
        "metal" => metal(),
        "webgpu" => webgpu(),
        "cuda" => cuda(),
        "rocm" => rocm(),
        _ => Err(Error::input(format!(
            "--device {name}: no such device; expected cpu, vulkan, metal, webgpu, cuda or rocm"
        ))),
    }
}

macro_rules! gpu {
    ($name:ident, $feature:literal, $device:expr) => {
        #[cfg(feature = $feature)]
        fn $name() -> Result<Device> {
            Ok($device)
        }
        #[cfg(not(feature = $feature))]
        fn $name() -> Result<Device> {
            Err(Error::input(concat!(
                "--device ",
                $feature,
                ": this program was built without it; build with `cargo build --release --features ",
                $feature,
                "`"
            )))
        }
    };
}

gpu!(vulkan, "vulkan", Device::vulkan(burn::tensor::DeviceKind::default()));
gpu!(metal, "metal", Device::metal(burn::tensor::DeviceKind::default()));
gpu!(webgpu, "webgpu", Device::webgpu(burn::tensor::DeviceKind::default()));
gpu!(cuda, "cuda", Device::cuda(0));
gpu!(rocm, "rocm", Device::rocm(0));
