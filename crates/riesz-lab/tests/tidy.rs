//! Tidiness is a test: what the documents say of the tree must be so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join("crates"), "rs", &mut found);
    assert!(found.len() > 20, "only {} source files were found", found.len());
    found
}

#[test]
fn sources_open_with_what_they_are_and_stay_short() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let place = path.display();
        assert!(text.starts_with("//!"), "{place} does not open with //!");
        let lines = text.lines().count();
        assert!(lines <= 600, "{place} has {lines} lines; split it");
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "util", "common", "helpers", "misc"].contains(&stem),
            "{place}: name what it is about"
        );
    }
}

#[test]
fn the_core_depends_only_on_what_cannot_touch_the_world() {
    let manifest = fs::read_to_string(root().join("crates/riesz/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let allowed = ["gemm", "pulp", "rand_chacha", "rand_core", "rayon", "thiserror"];
    for name in manifest["dependencies"].as_table().unwrap().keys() {
        assert!(allowed.contains(&name.as_str()), "riesz depends on {name}; say why in DESIGN.md and here");
    }
}

#[test]
fn the_default_build_has_no_deep_learning_framework() {
    let manifest = fs::read_to_string(root().join("crates/riesz-lab/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let frameworks: Vec<(&String, &toml::Value)> = dependencies
        .iter()
        .filter(|(name, _)| {
            ["burn", "cubecl", "wgpu", "candle", "tch"].iter().any(|start| name.starts_with(start))
        })
        .collect();
    assert_eq!(frameworks.len(), 2, "{frameworks:?}");
    let is_optional = |(_, of): &(&String, &toml::Value)| of["optional"].as_bool() == Some(true);
    assert!(frameworks.iter().all(is_optional), "{frameworks:?}");
    let features = manifest["features"].as_table().unwrap();
    assert!(!features.contains_key("default"), "a default feature may bring a framework");
    assert!(!manifest.contains_key("dev-dependencies"), "tests share the build of the program");
}

/// Nothing but `riesz data fetch` can open a connection.
#[test]
fn only_fetch_knows_of_a_network() {
    let mut sources = Vec::new();
    for folder in ["crates/riesz/src", "crates/riesz-lab/src"] {
        files(&root().join(folder), "rs", &mut sources);
    }
    let knows = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        ["std::net", "ureq", "TcpStream", "UdpSocket", "UnixStream"].iter().any(|word| text.contains(word))
    };
    let found: Vec<PathBuf> = sources.into_iter().filter(knows).collect();
    assert_eq!(found, [root().join("crates/riesz-lab/src/data/fetch.rs")]);
}

/// Elsewhere a limit of processes would be a panic.
#[test]
fn only_threads_starts_threads() {
    for path in sources().iter().filter(|path| path.starts_with(root().join("crates/riesz-lab/src"))) {
        let starts = ["thread::spawn(", "scope.spawn(", "thread::Builder"];
        let text = code(path);
        let found = starts.into_iter().find(|start| text.contains(start));
        assert!(found.is_none() || path.ends_with("threads.rs"), "{}: {found:?}", path.display());
    }
}

#[test]
fn every_path_that_the_documents_name_exists() {
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "DESIGN.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let mut named = 0;
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = ["crates/", "docs/", "golden/", "records/", "recipes/", "bench/", "data/", ".ci/"]
                .iter()
                .any(|start| word.starts_with(start));
            if is_path && !word.contains(['*', ' ', '<']) && word != "recipes/NAME.toml" {
                named += 1;
                let here =
                    root().join(word).exists() || root().join("crates/riesz-lab/src").join(word).exists();
                assert!(here, "{document} names {word}, which does not exist");
            }
        }
        assert!(named > 0, "{document} names no path");
    }
}

/// Files and folders that comments of a source name, but that do not exist.
fn dead_names(source: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folders = [
        "crates/",
        "src/",
        "tests/",
        "examples/",
        "benches/",
        "docs/",
        "golden/",
        "recipes/",
        "records/",
        "bench/",
        ".ci/",
    ];
    let part_of_name = |c: char| c.is_alphanumeric() || ['/', '.', '-', '_', '*'].contains(&c);
    source
        .lines()
        .filter_map(|line| Some(line.split_once("//")?.1))
        .flat_map(|comment| comment.split(|c: char| !part_of_name(c)))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| folders.iter().any(|start| word.starts_with(start)))
        .filter(|name| !name.contains('*') && !exists(name))
        .map(str::to_owned)
        .collect()
}

/// From the top of the repository, or from the source's crate.
#[test]
fn every_file_that_comments_name_exists() {
    let mut dead = Vec::new();
    for path in sources() {
        let of_crate = path.ancestors().find(|folder| folder.join("Cargo.toml").exists()).unwrap();
        let exists = |name: &str| root().join(name).exists() || of_crate.join(name).exists();
        let found = dead_names(&fs::read_to_string(&path).unwrap(), exists);
        dead.extend(found.into_iter().map(|name| format!("{} names {name}", path.display())));
    }
    assert!(dead.is_empty(), "what they name does not exist:\n{}", dead.join("\n"));
}

/// With | for /, as this file is read too.
#[test]
fn a_file_that_is_named_and_gone_is_found() {
    let source = "||! `tests|gone.rs` and `tests|here.rs`.\n||| See docs|gone.md, and crates|*|src.\n\
                  let a = \"tests|code.rs\"; || crates|gone|x.rs, https:||example.org|docs|x";
    let dead = dead_names(&source.replace('|', "/"), |name| name == "tests/here.rs");
    assert_eq!(dead, ["tests/gone.rs", "docs/gone.md", "crates/gone/x.rs"]);
}

#[test]
fn recipes_open_with_what_they_are_and_a_command() {
    let mut recipes = Vec::new();
    files(&root().join("recipes"), "toml", &mut recipes);
    for path in recipes {
        let text = fs::read_to_string(&path).unwrap();
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(head.iter().any(|line| line.contains("riesz train")), "{} names no command", path.display());
    }
}

/// Every text file of the repository that people read or that is compiled, except what others made.
fn texts() -> Vec<PathBuf> {
    let mut found = vec![root().join(".ci/run")];
    for extension in ["md", "toml", "rs", "sh", "py", "html"] {
        files(&root(), extension, &mut found);
    }
    assert!(found.len() > 80, "only {} texts were found", found.len());
    found
}

/// The words that stand for something not yet written, each alone; spelled in parts, as this file is read too.
fn placeholders(text: &str) -> Vec<String> {
    let marks = [["@", "@"], ["BUILD", "_LINE"], ["RES", "ULT"], ["TO", "DO"], ["FIX", "ME"]]
        .map(|part| part.concat());
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |start: usize, mark: &str| {
        !mark.starts_with(char::is_alphabetic)
            || !(text[..start].ends_with(part_of_word)
                || text[start + mark.len()..].starts_with(part_of_word))
    };
    marks
        .iter()
        .filter(|mark| text.match_indices(mark.as_str()).any(|(start, _)| alone(start, mark)))
        .cloned()
        .collect()
}

#[test]
fn nothing_stands_for_what_is_not_yet_written() {
    for path in texts() {
        let found = placeholders(&fs::read_to_string(&path).unwrap());
        assert!(found.is_empty(), "{} has the placeholder {}", path.display(), found.join(", "));
    }
}

#[test]
fn a_placeholder_that_is_put_in_is_found() {
    let marked = |parts: [&str; 3]| placeholders(&parts.concat()).len();
    assert_eq!(marked(["The table: @", "@TABLE@", "@."]), 1);
    assert_eq!(marked(["# CIFAR-10 in half an hour; RES", "ULT", "\n"]), 1);
    assert_eq!(marked(["BUILD", "_LINE", ""]), 1);
    assert_eq!(marked(["// TO", "DO: later", ""]), 1);
    assert_eq!(marked(["RES", "ULTS and a mail@example.org", ""]), 0);
}

/// Links and pictures of a page in Markdown that lead to a file which does not exist.
fn dead_links(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !exists(target))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_link_and_picture_of_the_pages_exists() {
    let mut pages = Vec::new();
    files(&root(), "md", &mut pages);
    assert!(pages.len() > 5, "only {} pages were found", pages.len());
    for page in pages {
        let folder = page.parent().unwrap();
        let dead = dead_links(&fs::read_to_string(&page).unwrap(), |target| folder.join(target).exists());
        assert!(dead.is_empty(), "{} leads to {}, which does not exist", page.display(), dead.join(", "));
    }
}

#[test]
fn a_link_to_nothing_is_found() {
    let page =
        "![A report](docs/none.png) and [here](README.md#top), [there](https://example.org/x), [below](#end)";
    assert_eq!(dead_links(page, |target| target == "README.md"), ["docs/none.png"]);
}

/// The imports that ARCHITECTURE.md allows: `module  may use: others`, in the order from the ground up.
fn layers(crate_name: &str) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let block =
        text.split(&format!("```layers {crate_name}\n")).nth(1).expect("ARCHITECTURE.md draws the layers");
    let (block, _) = block.split_once("```").unwrap();
    block
        .lines()
        .map(|line| {
            let (module, allowed) = line.split_once(':').unwrap_or((line, ""));
            (module.trim().to_owned(), allowed.split_whitespace().map(str::to_owned).collect())
        })
        .collect()
}

/// The names in `{a, b::c, d}` or `a::b`, as far as the first `::` of each.
fn first_names(import: &str) -> impl Iterator<Item = &str> {
    let list = match import.strip_prefix('{') {
        Some(list) => list.split_once('}').unwrap().0,
        None => import.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap(),
    };
    list.split(',').map(|name| name.trim().split(':').next().unwrap())
}

/// A file without comments, on one line.
fn code(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().map(|line| line.split("//").next().unwrap()).collect()
}

/// The modules of a crate and those that each imports: `crate::x`, `crate::{x, y}`, and names that the crate's root
/// takes from a module.
fn imports(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    for export in code(&source.join("lib.rs")).split("pub use ").skip(1) {
        let (module, names) = export.split_once("::").unwrap();
        given.extend(first_names(names).map(|name| (name.to_owned(), module.to_owned())));
    }
    let mut found = Vec::new();
    files(source, "rs", &mut found);
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in found {
        let first = path.strip_prefix(source).unwrap().components().next().unwrap();
        let module = Path::new(&first).file_stem().unwrap().to_str().unwrap().to_owned();
        let used = imports.entry(module.clone()).or_default();
        for import in code(&path).split("crate::").skip(1) {
            let names =
                first_names(import).map(|name| given.get(name).map_or(name, String::as_str).to_owned());
            used.extend(names.filter(|name| *name != module && name != "error"));
        }
    }
    imports
}

#[test]
fn no_import_runs_upwards() {
    for (crate_name, at_the_top) in [("riesz", "lib"), ("riesz-lab", "lib main")] {
        let layers = layers(crate_name);
        for (place, (module, allowed)) in layers.iter().enumerate() {
            for name in allowed {
                let below = layers[..place].iter().any(|(lower, _)| lower == name);
                assert!(
                    below,
                    "ARCHITECTURE.md: {crate_name}'s {module} may use {name}, which is not below it"
                );
            }
        }
        let source = root().join("crates").join(crate_name).join("src");
        let modules: BTreeSet<&String> = layers.iter().map(|(module, _)| module).collect();
        for (module, used) in imports(&source) {
            if at_the_top.contains(&module) {
                continue;
            }
            let Some((_, allowed)) = layers.iter().find(|(name, _)| *name == module) else {
                panic!("ARCHITECTURE.md does not draw {crate_name}'s module {module}");
            };
            for name in used.iter().filter(|name| modules.contains(name)) {
                assert!(
                    allowed.contains(name),
                    "{crate_name}'s {module} uses {name}, which ARCHITECTURE.md does not allow"
                );
            }
        }
        for (module, _) in &layers {
            let exists = source.join(format!("{module}.rs")).exists() || source.join(module).is_dir();
            assert!(exists, "ARCHITECTURE.md draws {crate_name}'s module {module}, which does not exist");
        }
    }
}
