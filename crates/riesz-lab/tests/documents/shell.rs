//! A shell's line, as far as it has to be understood to find the program's own commands in it; shells run it.

use std::ops::Range;

/// A command between what ends one: `|`, `&`, `;`, a parenthesis or a redirection.
pub(crate) struct Simple {
    pub(crate) words: Vec<String>,
    /// Where it stands in the line, in bytes.
    pub(crate) place: Range<usize>,
}

impl Simple {
    /// The program's arguments, if it is the program that is called.
    pub(crate) fn arguments(&self) -> Option<&[String]> {
        let words = &self.words;
        let own = words.iter().position(|word| word == "riesz" || word.ends_with("/riesz"))?;
        // `cargo run --release --bin riesz -- train`
        if words[0] == "cargo" && words.get(own + 1).is_some_and(|word| word == "--") {
            return Some(&words[own + 2..]);
        }
        let before = |word: &String| word.contains('=') || word.starts_with('$') || word == "setsid";
        words[..own].iter().all(before).then_some(&words[own + 1..])
    }
}

/// The commands of a line up to its comment, and where that begins.
pub(crate) fn commands(line: &str) -> (Vec<Simple>, usize) {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quote, mut is_file, mut from, mut comment) = (None, false, 0, line.len());
    let mut end = |words: Vec<String>, place: Range<usize>, next_is_file: bool| {
        // What follows `>` is a file.
        if !std::mem::replace(&mut is_file, next_is_file) && !words.is_empty() {
            let place = place.start..place.start + line[place].trim_end().len();
            commands.push(Simple { words, place });
        }
    };
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => {
                comment = at;
                break;
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '&' | ';' | '>' | '(' | ')') => {
                words.extend(word.take());
                end(std::mem::take(&mut words), from..at, c == '>');
                from = at + 1;
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    end(words, from..comment, false);
    (commands, comment)
}

/// What is laid over commands that take minutes: at most so much of a number, `--set` and what has no number in any case.
const SHORT: [(&str, &str); 6] = [
    (
        "train",
        "--epochs 1 --set data.limit=1024 --set evaluation.pairs=24 --set evaluation.references=256 --set evaluation.few-draws=1 \
         --set evaluation.epoch-references=200",
    ),
    ("finetune", "--steps 20"),
    ("reproduce", "--time"),
    ("sphere theory", "--reduced"),
    ("bench loss", "--m 256 --seconds 0"),
    ("bench train", "--seconds 0"),
];

/// The line with its long commands shortened; how many there are.
pub(crate) fn shortened(line: &str) -> (String, usize) {
    let (mut short, mut count) = (line.to_owned(), 0);
    // From behind, so that places stay true.
    for command in commands(line).0.iter().rev() {
        let Some(arguments) = command.arguments() else { continue };
        let verb = arguments.join(" ") + " ";
        let Some((_, limits)) = SHORT.iter().find(|(of, _)| verb.starts_with(&format!("{of} "))) else {
            continue;
        };
        let asked = &line[command.place.clone()];
        let cut = limited(asked, arguments, limits);
        count += usize::from(cut != asked);
        short.replace_range(command.place.clone(), &cut);
    }
    (short, count)
}

fn limited(command: &str, arguments: &[String], limits: &str) -> String {
    let mut command = command.to_owned();
    let mut limits = limits.split(' ').peekable();
    while let Some(flag) = limits.next() {
        let most = limits.next_if(|word| !word.starts_with("--"));
        let there = arguments.iter().position(|word| word == flag).filter(|_| flag != "--set");
        match (there.map(|at| arguments.get(at + 1)), most) {
            (None, None) => command += &format!(" {flag}"),
            (None, Some(most)) => command += &format!(" {flag} {most}"),
            (Some(Some(asked)), Some(most)) => {
                let number = |word: &str| word.parse::<f64>().ok();
                let is_less = number(asked).zip(number(most)).is_some_and(|(asked, most)| asked < most);
                if !is_less {
                    command = command.replace(&format!("{flag} {asked}"), &format!("{flag} {most}"));
                }
            }
            (Some(_), _) => {}
        }
    }
    command
}

#[test]
fn commands_are_found_with_their_places() {
    let line = "x=1 riesz train --set 'data.labels=\"a b\"' > log; ls | riesz-other --flag # riesz eval";
    let (found, comment) = commands(line);
    let found: Vec<&str> = found.iter().map(|command| &line[command.place.clone()]).collect();
    assert_eq!(found, ["x=1 riesz train --set 'data.labels=\"a b\"'", " ls", " riesz-other --flag"]);
    assert_eq!(&line[comment..], "# riesz eval");
}

#[test]
fn long_commands_are_shortened_and_no_others() {
    let of = |line: &str| shortened(line);
    let (train, count) = of("riesz data fetch cifar10 && riesz train p/ --epochs 50 # long");
    assert!(train.starts_with("riesz data fetch cifar10 && riesz train p/ --epochs 1 --set data.limit=1024"));
    assert!(train.ends_with("--set evaluation.epoch-references=200 # long") && count == 1, "{train}");
    assert!(of("riesz train --epochs 0").0.starts_with("riesz train --epochs 0 --set data.limit"));
    assert_eq!(of("riesz bench loss --m 8,99").0, "riesz bench loss --m 256 --seconds 0");
    let left = ["riesz sphere theory --reduced", "riesz report r", "riesz trains", "ls train"];
    assert!(left.iter().all(|line| of(line) == ((*line).to_owned(), 0)));
}
