//! Classes: their order, and the number that each has by it.

use std::collections::{BTreeMap, BTreeSet};

/// Names of classes, or whatever has them, in the order of their numbers: as numbers if all are numbers, else by bytes.
pub(super) fn in_order<S: AsRef<str> + Ord>(names: BTreeSet<S>) -> Vec<S> {
    let number = |name: &S| name.as_ref().parse::<f64>().ok().filter(|number| number.is_finite());
    let mut names: Vec<S> = names.into_iter().collect();
    if names.iter().all(|name| number(name).is_some()) {
        names.sort_by(|a, b| number(a).unwrap_or_default().total_cmp(&number(b).unwrap_or_default()));
    }
    names
}

/// Each image's class as its number in `classes`.
pub(super) fn numbered(class_of: &[Option<&str>], classes: Vec<&str>) -> (Vec<Option<u32>>, Vec<String>) {
    let number: BTreeMap<&str, u32> = classes.iter().zip(0..).map(|(&class, i)| (class, i)).collect();
    let labels = class_of.iter().map(|class| class.map(|class| number[class])).collect();
    (labels, classes.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_numbers_are_in_the_order_of_numbers() {
        let of = |names: &[&str]| in_order(names.iter().copied().collect::<BTreeSet<&str>>()).join(" ");
        assert_eq!(of(&["10", "9", "2", "-1"]), "-1 2 9 10");
        assert_eq!(of(&["10", "9", "b", "a"]), "10 9 a b");
    }
}
