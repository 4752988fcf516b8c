//! Where and with what a run was made: `environment.json`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// The environment as JSON text.
pub fn json(device: &str) -> String {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let value = json!({
        "riesz": env!("CARGO_PKG_VERSION"),
        "commit": env!("RIESZ_COMMIT"),
        "burn": env!("RIESZ_BURN"),
        "image_decoder": concat!("image ", env!("RIESZ_IMAGE"), ", zune-jpeg ", env!("RIESZ_ZUNE_JPEG")),
        "compiler": env!("RIESZ_COMPILER"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "processor": processor(),
        "device": device,
        "threads": rayon::current_num_threads(),
        "started_unix_seconds": started,
        "command": std::env::args().collect::<Vec<_>>().join(" "),
    });
    serde_json::to_string_pretty(&value).expect("an object of strings and numbers is JSON")
}

fn processor() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown".to_owned())
}
