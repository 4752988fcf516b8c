//! A GPU computes what the CPU does: every kind of layer, every backbone with its gradients, updates, every loss, and a run.
//!
//! It takes the first device that the program was built for and that this machine has; without one it says so and
//! passes, or fails where `RIESZ_GPU_REQUIRED` is set, as `.ci/run gpu` does on a software device.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod held;
mod losses;
mod networks;
#[path = "../../../riesz/tests/unnamed/mod.rs"]
mod unnamed;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use burn::tensor::Device;
use riesz_lab::device;

/// Straight to the error stream: the test harness would keep what a passing test prints.
fn tell(line: &str) {
    let mut stream = std::io::stderr().lock();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The first GPU there is, by name; or why there is none, told.
fn gpu() -> Option<(&'static str, Device)> {
    let mut reasons = Vec::new();
    for name in device::GPUS {
        match device::open(name) {
            Ok(device::Device::Gpu(device)) => return Some((name, device)),
            Ok(device::Device::Cpu) => unreachable!("{name} is no processor"),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    let reasons = reasons.join("; ");
    assert!(std::env::var_os("RIESZ_GPU_REQUIRED").is_none(), "RIESZ_GPU_REQUIRED is set, but {reasons}");
    tell(&format!("skipped: {}: {reasons}", std::thread::current().name().unwrap_or("a test")));
    None
}

/// The program in a folder, with or without the drivers of this machine.
fn riesz(folder: &Path, drivers: bool, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riesz"));
    command.current_dir(folder).args(arguments);
    if !drivers {
        // What the loaders of Vulkan (two spellings) and of OpenGL read instead of the system's lists.
        for list in ["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "__EGL_VENDOR_LIBRARY_FILENAMES"] {
            command.env(list, folder.join("none.json"));
        }
    }
    command.output().unwrap()
}

/// A run called `run` of two updates on 64 small pictures of waves, of which 32 are held out.
fn train(folder: &Path, device: &str, drivers: bool, run: &str, more: &[&str]) -> Output {
    let photos = folder.join("photos");
    for i in 0..64_u32 {
        let class = photos.join(["near", "far"][i as usize % 2]);
        std::fs::create_dir_all(&class).unwrap();
        let wave = |x: u32, y: u32| image::Luma([(x * (2 + i % 2 * 5) + y * (1 + i % 7) + 3 * i) as u8]);
        image::GrayImage::from_fn(28, 28, wave).save(class.join(format!("{i}.png"))).unwrap();
    }
    let settings = ["data.held-out=0.5", "evaluation.few-labels=2", "evaluation.pairs=16"];
    let mut arguments = vec!["train", "photos", "--recipe", "fashion-mnist-12k", "--run", run];
    arguments.extend(["--device", device, "--epochs", "1", "--batch", "16"]);
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    arguments.extend(more);
    riesz(folder, drivers, &arguments)
}

#[test]
fn a_run_on_a_gpu_is_the_run_on_the_cpu() {
    let Some((name, _)) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (way, more) in [
        ("whole", &[][..]),
        ("in chunks", &["--accumulate", "4"]),
        ("in three views", &["--views", "3", "--loss", "mv-dhel"]),
        ("in groups", &["--loss", "sup-con"]),
    ] {
        let losses = |device: &str| -> Vec<f64> {
            let run = format!("{device} {way}");
            let output = train(folder.path(), device, true, &run, more);
            assert!(output.status.success(), "{run}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(folder.path().join(&run).join("report.html").exists());
            let log = std::fs::read_to_string(folder.path().join(run).join("log.jsonl")).unwrap();
            let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            lines.filter(|line| line["event"] == "step").map(|line| line["loss"].as_f64().unwrap()).collect()
        };
        let (want, got) = (losses("cpu"), losses(name));
        let error = |step: usize| ((got[step] - want[step]) / want[step]).abs();
        tell(&format!(
            "gpu: {name}: a run's loss, batches {way}, before its first update differs by {:.1e} of it from the CPU's, after it by \
             {:.1e}",
            error(0),
            error(1)
        ));
        assert_eq!((want.len(), got.len()), (2, 2));
        assert!(error(0) < 1e-5 && error(1) < 5e-3, "{way}: {got:?} for {want:?}");
    }
}

/// Only Linux lets a program be run without its drivers.
#[cfg(all(target_os = "linux", feature = "wgpu"))]
#[test]
fn a_device_that_is_not_there_is_one_sentence_before_anything_is_written() {
    for name in device::GPUS.iter().filter(|name| ["wgpu", "vulkan"].contains(name)) {
        let folder = tempfile::tempdir().unwrap();
        let output = train(folder.path(), name, false, name, &[]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.starts_with(&format!("riesz: --device {name}: this machine does not offer")), "{told}");
        assert!(told.contains("--device cpu") && told.lines().count() == 1, "{told}");
        assert!(!folder.path().join(name).exists(), "{told}");
    }
}
