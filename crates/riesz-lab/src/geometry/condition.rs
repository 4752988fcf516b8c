//! Conditions for `--fail-if`: two sums of products of names and numbers, and how they compare.
//!
//! `effective_rank_b < 0.9*effective_rank_a`, `linear_cka < 0.8`, `(uniformity_b - uniformity_a) >= 0.1`

use crate::{Error, Result};

/// What holds between both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

const RELATIONS: [(&str, Relation); 6] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("==", Relation::Equal),
    ("!=", Relation::Unequal),
    ("<", Relation::Less),
    (">", Relation::More),
];

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Number(f64),
    Name(String),
    Of(Box<Self>, char, Box<Self>),
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    left: Term,
    relation: Relation,
    right: Term,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// Says where it cannot be read.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader { text, at: 0 };
        let left = reader.sum()?;
        reader.blanks();
        let rest = &text[reader.at..];
        let Some((sign, relation)) = RELATIONS.into_iter().find(|(sign, _)| rest.starts_with(sign)) else {
            return Err(reader.wrong("one of < <= > >= == !="));
        };
        reader.at += sign.len();
        let right = reader.sum()?;
        reader.blanks();
        if reader.at < text.len() {
            return Err(reader.wrong("the end"));
        }
        Ok(Self { text: text.trim().to_owned(), left, relation, right })
    }

    /// The condition as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds; `value` tells what a name stands for.
    ///
    /// # Errors
    /// Those of `value`, and if a side is no number (0/0).
    pub fn holds(&self, value: &dyn Fn(&str) -> Result<f64>) -> Result<bool> {
        let (left, right) = (self.left.value(value)?, self.right.value(value)?);
        if left.is_nan() || right.is_nan() {
            return Err(Error::input(format!("--fail-if {}: a side is no number", self.text)));
        }
        Ok(match self.relation {
            Relation::Less => left < right,
            Relation::AtMost => left <= right,
            Relation::More => left > right,
            Relation::AtLeast => left >= right,
            Relation::Equal => left == right,
            Relation::Unequal => left != right,
        })
    }

    /// Every name in it.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.left.names(&mut names);
        self.right.names(&mut names);
        names
    }
}

impl Term {
    fn value(&self, value: &dyn Fn(&str) -> Result<f64>) -> Result<f64> {
        Ok(match self {
            Self::Number(number) => *number,
            Self::Name(name) => value(name)?,
            Self::Of(left, sign, right) => {
                let (left, right) = (left.value(value)?, right.value(value)?);
                match sign {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
        })
    }

    fn names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) => {}
            Self::Name(name) => names.push(name),
            Self::Of(left, _, right) => {
                left.names(names);
                right.names(names);
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, expected: &str) -> Error {
        let rest = self.text[self.at..].trim();
        let found = if rest.is_empty() { "the end".to_owned() } else { format!("`{rest}`") };
        Error::input(format!("--fail-if {}: found {found} where {expected} was expected", self.text.trim()))
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn next_of(&mut self, signs: &[char]) -> Option<char> {
        self.blanks();
        let sign = self.text[self.at..].chars().next().filter(|c| signs.contains(c))?;
        self.at += sign.len_utf8();
        Some(sign)
    }

    fn sum(&mut self) -> Result<Term> {
        let mut sum = self.product()?;
        while let Some(sign) = self.next_of(&['+', '-']) {
            sum = Term::Of(Box::new(sum), sign, Box::new(self.product()?));
        }
        Ok(sum)
    }

    fn product(&mut self) -> Result<Term> {
        let mut product = self.factor()?;
        while let Some(sign) = self.next_of(&['*', '/']) {
            product = Term::Of(Box::new(product), sign, Box::new(self.factor()?));
        }
        Ok(product)
    }

    fn factor(&mut self) -> Result<Term> {
        if self.next_of(&['(']).is_some() {
            let inside = self.sum()?;
            return self.next_of(&[')']).map(|_| inside).ok_or_else(|| self.wrong("a closing parenthesis"));
        }
        if self.next_of(&['-']).is_some() {
            return Ok(Term::Of(Box::new(Term::Number(0.0)), '-', Box::new(self.factor()?)));
        }
        self.blanks();
        let rest = &self.text[self.at..];
        let mut before = ' ';
        let end = rest.find(|c: char| {
            // The sign of an exponent belongs to its number.
            let exponent = matches!(c, '+' | '-')
                && matches!(before, 'e' | 'E')
                && rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            before = c;
            !(c.is_alphanumeric() || c == '_' || c == '.' || exponent)
        });
        let word = &rest[..end.unwrap_or(rest.len())];
        if word.is_empty() {
            return Err(self.wrong("a name or a number"));
        }
        let term = match word.parse::<f64>() {
            Ok(number) => Term::Number(number),
            Err(_) if word.starts_with(char::is_alphabetic) => Term::Name(word.to_owned()),
            Err(_) => return Err(self.wrong("a name or a number")),
        };
        self.at += word.len();
        Ok(term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let value = |name: &str| match name {
            "rank_a" => Ok(10.0),
            "rank_b" => Ok(8.0),
            "zero" => Ok(0.0),
            other => Err(Error::input(format!("{other} is unknown"))),
        };
        Condition::parse(text).unwrap().holds(&value).unwrap()
    }

    #[test]
    fn conditions_mean_what_they_say() {
        for text in [
            "rank_b < 0.9*rank_a",
            "rank_b<rank_a",
            " (rank_a - rank_b) / 2 == 1 ",
            "2 + 3 * 2 == rank_b",
            "(2 + 3) * 2 >= rank_a",
            "-rank_b > -rank_a",
            "rank_b != rank_a - 1 - 0",
            "8e0 <= rank_b",
            "1e-3 < rank_a - 1.5e+0",
            "rank_a / zero > 1",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in ["rank_b > rank_a", "rank_b >= 8.1", "rank_a - 2 - 1 == rank_a - (2 - 1)"] {
            assert!(!holds(text), "{text}");
        }
        assert_eq!(Condition::parse("a_a < 2*b_b + a_a").unwrap().names(), ["a_a", "b_b", "a_a"]);
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        for (text, expected) in [
            ("", "found the end where a name or a number"),
            ("rank_a", "found the end where one of <"),
            ("rank_a = 3", "found `= 3` where one of <"),
            ("rank_a < ", "found the end where a name"),
            ("rank_a < (1 + 2", "a closing parenthesis"),
            ("rank_a < 1 2", "found `2` where the end"),
            ("1x < 2", "found `1x < 2` where a name or a number"),
            ("§ < 2", "a name or a number"),
        ] {
            let message = Condition::parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let nan = Condition::parse("zero / zero < 1").unwrap();
        assert!(nan.holds(&|_| Ok(0.0)).unwrap_err().to_string().contains("no number"));
    }
}
