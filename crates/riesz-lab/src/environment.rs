//! Where and with what a run was made: `environment.json`.
//!
//! The object tells of the run's start; its entry `continued`, where there is one, has an object for each later start:
//! the step, the time, and every other entry that was not as before.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::own_data::Record;
use crate::run::{ENVIRONMENT, Run};
use crate::{Error, Result, atomic};

const CONTINUED: &str = "continued";

/// Entries on which a run's bits may depend, in words.
const MATTERS: [(&str, &str); 9] = [
    ("riesz", "version"),
    ("commit", "commit"),
    ("burn", "Burn"),
    ("image_decoder", "image decoder"),
    ("compiler", "compiler"),
    ("system", "system"),
    ("processor", "processor"),
    ("simd", "SIMD"),
    ("device", "device"),
];

/// Records that the run starts, or goes on after `step` updates, here and now, with these images. The first time that it goes on somewhere
/// else, what differs is returned, to be told.
///
/// # Errors
/// If the disk refuses.
pub fn record(run: &Run, device: &str, data: &Record, step: u64) -> Result<Option<String>> {
    let mut now = here(device);
    now.insert(
        "data".to_owned(),
        serde_json::to_value(data).map_err(|error| Error::input(error.to_string()))?,
    );
    let (file, told) = match run.environment() {
        // After no step, all of the run's bits are made here and now.
        Some(before) if step > 0 => continued(before, &now, step),
        _ => (now, None),
    };
    let text = serde_json::to_string_pretty(&file).expect("an object of JSON values is JSON");
    atomic::write_bytes(&run.path(ENVIRONMENT), text.as_bytes())?;
    Ok(told)
}

/// The file with one start more, and what is new about it in words.
fn continued(
    mut file: Map<String, Value>,
    now: &Map<String, Value>,
    step: u64,
) -> (Map<String, Value>, Option<String>) {
    let mut starts = match file.remove(CONTINUED) {
        Some(Value::Array(starts)) => starts,
        _ => Vec::new(),
    };
    let mut last = file.clone();
    for start in starts.iter().filter_map(Value::as_object) {
        last.extend(start.clone());
    }
    let mut entry: Map<String, Value> = now
        .iter()
        .filter(|(key, value)| last.get(*key) != Some(value))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let word = |value: Option<&Value>| {
        value.map_or_else(
            || "unknown".to_owned(),
            |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        )
    };
    let differing: Vec<String> = MATTERS
        .into_iter()
        .filter(|(key, _)| entry.contains_key(*key))
        .map(|(key, name)| format!("{name} {}, not {}", word(now.get(key)), word(last.get(key))))
        .collect();
    entry.insert("step".to_owned(), step.into());
    starts.push(Value::Object(entry));
    file.insert(CONTINUED.to_owned(), Value::Array(starts));
    let told = (!differing.is_empty()).then(|| {
        format!(
            "the run goes on with {}; its bits may differ from those of a run in one piece",
            differing.join("; ")
        )
    });
    (file, told)
}

fn here(device: &str) -> Map<String, Value> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    // Arguments need not be UTF-8.
    let command: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut value = json!({
        "riesz": env!("CARGO_PKG_VERSION"),
        "commit": env!("RIESZ_COMMIT"),
        "image_decoder": concat!("image ", env!("RIESZ_IMAGE"), ", zune-jpeg ", env!("RIESZ_ZUNE_JPEG")),
        "compiler": env!("RIESZ_COMPILER"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "processor": processor(),
        "simd": simd(),
        "device": device,
        "threads": rayon::current_num_threads(),
        "started_unix_seconds": started,
        "command": command.join(" "),
    });
    if cfg!(feature = "gpu") {
        value["burn"] = env!("RIESZ_BURN").into();
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("the value above is an object"),
    }
}

/// The vector instructions that the program uses here, chosen when it runs.
pub fn simd() -> &'static str {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return match () {
        () if pulp::x86::V4::try_new().is_some() => "AVX-512",
        () if pulp::x86::V3::try_new().is_some() => "AVX2",
        () => "none",
    };
    #[cfg(target_arch = "aarch64")]
    return if pulp::aarch64::Neon::try_new().is_some() { "NEON" } else { "none" };
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    "none"
}

/// `0.1.0 (commit 4d0c102, AVX-512, linux x86_64)`: what `riesz --version` says after its name.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let (system, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
        let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("RIESZ_COMMIT"));
        format!("{version} (commit {commit}, {}, {system} {architecture})", simd())
    });
    &VERSION
}

/// The processor's name, as the system tells it.
pub fn processor() -> String {
    let mut system = sysinfo::System::new();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let name = system.cpus().first().map(|first| first.brand().trim()).unwrap_or_default();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn going_on_somewhere_else_is_told_once_and_recorded_each_time() {
        let first = object(json!({"commit": "a", "processor": "x", "threads": 2}));
        let (file, told) = continued(first.clone(), &first, 5);
        assert_eq!((told, &file["continued"]), (None, &json!([{"step": 5}])));

        let other = object(json!({"commit": "b-dirty", "processor": "y", "threads": 4}));
        let (file, told) = continued(file, &other, 9);
        let told = told.unwrap();
        assert!(told.contains("commit b-dirty, not a; processor y, not x; its bits may differ"), "{told}");
        let (file, told) = continued(file, &other, 11);
        assert_eq!(told, None, "it was told before");
        // Threads do not change bits.
        let (file, told) =
            continued(file, &object(json!({"commit": "b-dirty", "processor": "y", "threads": 1})), 12);
        assert_eq!(told, None);
        // And back again.
        let (file, told) = continued(file, &first, 13);
        assert!(told.unwrap().contains("commit a, not b-dirty"));
        assert_eq!(file["commit"], "a");
        assert_eq!(
            file["continued"],
            json!([
                {"step": 5},
                {"step": 9, "commit": "b-dirty", "processor": "y", "threads": 4},
                {"step": 11},
                {"step": 12, "threads": 1},
                {"step": 13, "commit": "a", "processor": "x", "threads": 2},
            ])
        );
    }
}
