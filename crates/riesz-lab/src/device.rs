//! Where encoders and losses are computed, by name: on the processor, or on a GPU in a program that was built for it.

use crate::{Error, Result};

/// A place to compute.
#[derive(Clone, Debug, PartialEq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A GPU, by Burn.
    #[cfg(feature = "gpu")]
    Gpu(burn::tensor::Device),
}

/// The GPU devices that this program was built for, the most portable first.
pub const GPUS: &[&str] = &[
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "vulkan")]
    "vulkan",
    #[cfg(feature = "metal")]
    "metal",
    #[cfg(feature = "cuda")]
    "cuda",
    #[cfg(feature = "rocm")]
    "rocm",
];

/// The device of that name: `cpu`, or a GPU that the program was built for. It is opened here, not at its first tensor.
///
/// # Errors
/// If the name is unknown, the program was built without that device, or the machine does not have it.
pub fn open(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "wgpu" | "vulkan" | "metal" | "cuda" | "rocm" if !GPUS.contains(&name) => Err(Error::input(format!(
            "--device {name}: this program was built without it; build with `cargo build --release --features {name}`"
        ))),
        #[cfg(feature = "wgpu")]
        "wgpu" => graphics::open(name, burn::tensor::wgpu::WgpuBackend::Auto),
        #[cfg(feature = "vulkan")]
        "vulkan" => graphics::open(name, burn::tensor::wgpu::WgpuBackend::Vulkan),
        #[cfg(feature = "metal")]
        "metal" => graphics::open(name, burn::tensor::wgpu::WgpuBackend::Metal),
        #[cfg(feature = "cuda")]
        "cuda" => first(name, burn::tensor::DeviceType::Cuda),
        #[cfg(feature = "rocm")]
        "rocm" => first(name, burn::tensor::DeviceType::Rocm),
        _ => Err(Error::input(format!(
            "--device {name}: no such device; expected cpu, wgpu, vulkan, metal, cuda or rocm"
        ))),
    }
}

impl Device {
    /// Its `name` with that of the part behind it, as its driver tells it: `wgpu (SwiftShader Device (Subzero))`. An API may
    /// stand on a processor as well as on a card; this says which.
    pub fn described(&self, name: &str) -> String {
        match self {
            Self::Cpu => name.to_owned(),
            #[cfg(feature = "gpu")]
            Self::Gpu(device) => match device.identity() {
                Some(identity) => format!("{name} ({})", identity.name),
                None => name.to_owned(),
            },
        }
    }
}

#[cfg(feature = "gpu")]
fn absent(name: &str, why: impl std::fmt::Display) -> Error {
    Error::input(format!(
        "--device {name}: this machine does not offer that device ({why}); install its driver, or take --device cpu"
    ))
}

/// The first device of that kind. Burn opens it at its first tensor, and panics there if it is missing: so it is looked
/// for here.
#[cfg(any(feature = "cuda", feature = "rocm"))]
fn first(name: &str, kind: burn::tensor::DeviceType) -> Result<Device> {
    let found = burn::tensor::Device::enumerate(kind).first().cloned();
    found.map(Device::Gpu).ok_or_else(|| absent(name, "its driver lists none"))
}

/// Devices behind a graphics API.
#[cfg(feature = "wgpu")]
mod graphics {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    use burn::tensor::wgpu::WgpuBackend;

    use super::Device;
    use crate::Result;

    /// Burn opens a device once in a process; who asks again gets the same one.
    static OPENED: Mutex<BTreeMap<String, Device>> = Mutex::new(BTreeMap::new());

    pub(super) fn open(name: &str, api: WgpuBackend) -> Result<Device> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = opened.get(name) {
            return Ok(device.clone());
        }
        let options = burn::tensor::Device::wgpu_options().graphics_api(api);
        let device = Device::Gpu(options.init().map_err(|error| super::absent(name, error))?);
        opened.insert(name.to_owned(), device.clone());
        Ok(device)
    }
}
