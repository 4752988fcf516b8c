//! Scripts for shells and manual pages, as the program makes them from its own definitions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

fn riesz(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_riesz")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn fish_completes_verbs_after_help() {
    let script = riesz(&["completions", "fish"]);
    let of_help: Vec<&str> =
        script.lines().filter(|line| line.contains("_using_subcommand help; and not ")).collect();
    assert!(of_help.iter().any(|line| line.contains(" -a \"train\" ")), "{of_help:?}");
    for line in of_help {
        let (_, condition) = line.split_once("; and not __fish_seen_subcommand_from ").unwrap();
        let (named, _) = condition.split_once('"').unwrap();
        assert!(!named.split(' ').any(|verb| verb == "help"), "{line}");
    }
}

#[test]
fn zsh_completes_the_verbs_of_a_verb_in_the_first_place() {
    let script = riesz(&["completions", "zsh"]);
    for verb in ["sweep", "geometry", "runs"] {
        let verbs = format!("_riesz__subcmd__{verb}_commands");
        assert!(script.contains(&format!(":{{ {verbs}; _files }}' \\\n\"*::: :->{verb}\" \\")), "{verb}");
        assert!(!script.contains(&format!("\":: :{verbs}\"")), "{verb}");
    }
    assert_eq!(script.matches("\n(*)\n_arguments ").count(), 3);
    assert!(!script.contains("$line[2]") && !script.contains("\\\n\n"));
}

#[test]
fn other_shells_know_verbs_of_verbs() {
    for shell in ["bash", "elvish", "powershell"] {
        let script = riesz(&["completions", shell]);
        assert!(["sweep", "report", "geometry", "merge", "help"].iter().all(|verb| script.contains(verb)));
    }
}

#[test]
fn pages_have_examples_line_by_line_and_the_version() {
    let folder = tempfile::tempdir().unwrap();
    riesz(&["man", "--output", folder.path().to_str().unwrap()]);
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for name in ["riesz", "riesz-train", "riesz-sweep-report"] {
        let version = env!("CARGO_PKG_VERSION");
        let title = format!(".TH \"{name}\" \"1\" \"\" \"riesz {version}\" \"User Commands\"\n");
        assert_eq!(page(&format!("{name}.1")).matches(&title).count(), 1, "{name}");
    }
    assert_eq!(page("riesz.1"), riesz(&["man"]));
    let sweep = page("riesz-sweep.1");
    let (_, examples) = sweep.split_once(".SH EXAMPLES\n.nf\n").unwrap();
    let (examples, rest) = examples.split_once("\n.fi\n").unwrap();
    assert_eq!(examples.lines().count(), 4, "{examples}");
    assert!(examples.starts_with("  riesz sweep grid.toml  "), "{examples}");
    assert!(rest.starts_with(".PP\nAny number of workers"), "{rest}");
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let page = page(&name);
        assert_eq!(page.matches("\n.nf\n").count(), page.matches("\n.fi\n").count(), "{name}");
        assert!(!name.contains("help") && !page.contains("help(1)"), "{name}");
    }
}
