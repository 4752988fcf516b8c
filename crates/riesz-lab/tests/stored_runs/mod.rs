//! What released versions left, copied so that a test may work on it: `golden/runs/`.

use std::path::{Path, PathBuf};

/// Where they are.
pub(crate) fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/runs")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Copies what a version left, and its photos, into a folder.
pub(crate) fn copy_of(version: &str, here: &Path) {
    copy(&stored().join(version), here);
    copy(&stored().join("photos"), &here.join("photos"));
    let photos = dunce::canonicalize(here).unwrap().join("photos");
    for run in ["finished", "unfinished"] {
        let recipe = here.join(run).join("recipe.toml");
        let text = std::fs::read_to_string(&recipe).unwrap();
        assert!(text.contains("\"/photos\""), "{text}");
        std::fs::write(recipe, text.replace("/photos", &photos.to_str().unwrap().replace('\\', r"\\")))
            .unwrap();
    }
}
