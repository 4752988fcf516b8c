//! Two kinds of rows compared by their answers to the same questions.
//!
//! The answers are paired: both kinds of rows are asked with the same queries, and with the same draws of few labels.
//! dᵢ is the difference of the two answers to query i (each the share that is right: over both views in retrieval, over
//! the draws with few labels). If neither kind were better, each dᵢ would have either sign equally likely, and their
//! mean the variance Σ dᵢ²/n²; for answers that are right or wrong this is McNemar's test (1947). With draws, the variance
//! of the draws' mean difference is added. The margin is twice the first error and, for the second, Student's quantile
//! of 97.5 %, joined as independent errors are.

use super::share;

/// Answers to the same questions.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// For each query the share of its answers that are right.
    pub queries: Vec<f32>,
    /// For each draw of labels the share of queries answered right; empty where nothing is drawn.
    pub draws: Vec<f64>,
}

impl Answers {
    /// One answer a query.
    pub fn of(hits: &[bool]) -> Self {
        Self { queries: hits.iter().map(|&hit| f32::from(u8::from(hit))).collect(), draws: Vec::new() }
    }

    /// One answer a query in each draw.
    pub(super) fn of_draws(draws: &[Vec<bool>]) -> Self {
        let queries = (0..draws[0].len())
            .map(|query| draws.iter().filter(|hits| hits[query]).count() as f32 / draws.len() as f32)
            .collect();
        Self { queries, draws: draws.iter().map(|hits| share(hits)).collect() }
    }
}

/// By how much one kind of rows answers better than another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Difference of the shares that are right.
    pub share: f64,
    /// A difference within it cannot be told from chance. `None` where that is not known: a single draw of labels.
    pub margin: Option<f64>,
}

/// Student's quantile of 97.5 % for 1 to 9 degrees of freedom; beyond, that of 10, which is cautious.
const STUDENT: [f64; 10] = [12.71, 4.31, 3.19, 2.78, 2.58, 2.45, 2.37, 2.31, 2.27, 2.23];

/// `ours` less `theirs`.
///
/// # Panics
/// If they answer different numbers of questions.
pub fn difference(ours: &Answers, theirs: &Answers) -> Difference {
    assert_eq!(
        (ours.queries.len(), ours.draws.len()),
        (theirs.queries.len(), theirs.draws.len()),
        "answers to the same questions"
    );
    let n = ours.queries.len().max(1) as f64;
    let apart: Vec<f64> =
        ours.queries.iter().zip(&theirs.queries).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
    let share = apart.iter().sum::<f64>() / n;
    let of_queries = 2.0 * apart.iter().map(|d| d * d).sum::<f64>().sqrt() / n;
    let apart: Vec<f64> = ours.draws.iter().zip(&theirs.draws).map(|(a, b)| a - b).collect();
    let draws = apart.len() as f64;
    let of_draws = match apart.len() {
        0 => Some(0.0),
        1 => None,
        count => {
            let mean = apart.iter().sum::<f64>() / draws;
            let squares = apart.iter().map(|d| (d - mean).powi(2)).sum::<f64>();
            Some(STUDENT[(count - 2).min(STUDENT.len() - 1)] * (squares / (draws - 1.0) / draws).sqrt())
        }
    };
    Difference { share, margin: of_draws.map(|of_draws| of_queries.hypot(of_draws)) }
}

#[cfg(test)]
mod tests {
    use riesz::rng::{Key, normal, uniform};

    use super::*;

    fn answers(right: usize, of: usize) -> Answers {
        Answers::of(&(0..of).map(|i| i < right).collect::<Vec<bool>>())
    }

    #[test]
    fn single_answers_are_mcnemars_test() {
        // 40 queries only the first answers, 20 only the second: (40 − 20)/√60 = 2.58 standard errors.
        let (mut ours, mut theirs) = (answers(500, 1000), answers(500, 1000));
        ours.queries[..20].fill(0.0);
        theirs.queries[100..140].fill(0.0);
        let found = difference(&ours, &theirs);
        assert!(
            (found.share - 0.020).abs() < 1e-9
                && (found.margin.unwrap() - 2.0 * 60_f64.sqrt() / 1000.0).abs() < 1e-9
        );
        // Two independent samples of 1,000 at 48 and 46 % would have a margin of 4.5 points.
        assert!(found.share > found.margin.unwrap());
        let equal = difference(&ours, &ours);
        assert_eq!((equal.share, equal.margin), (0.0, Some(0.0)));
    }

    #[test]
    fn a_handful_of_queries_proves_nothing() {
        for queries in 1..5 {
            let found = difference(&answers(queries, queries), &answers(0, queries));
            assert!(found.share == 1.0 && found.margin.unwrap() >= 1.0, "{queries}: {found:?}");
        }
    }

    #[test]
    fn the_spread_over_draws_counts() {
        let draws = |shares: [f64; 4]| Answers { queries: vec![0.5; 10_000], draws: shares.to_vec() };
        let found = difference(&draws([0.8, 0.7, 0.8, 0.7]), &draws([0.6, 0.7, 0.6, 0.7]));
        // Differences 0.2, 0, 0.2, 0: deviation 0.1155, of the mean 0.0577, times 3.19.
        assert!((found.margin.unwrap() - 0.184).abs() < 1e-3, "{found:?}");
        // Where both kinds of rows go up and down with the draws, the difference is sure.
        let found = difference(&draws([0.8, 0.6, 0.7, 0.5]), &draws([0.7, 0.5, 0.6, 0.4]));
        assert!(found.margin.unwrap() < 1e-9);
        let single = Answers { queries: vec![1.0; 10], draws: vec![1.0] };
        assert_eq!(difference(&single, &single).margin, None);
    }

    #[test]
    fn equal_rows_are_told_apart_about_once_in_twenty() {
        let mut rng = Key::new(9).rng();
        let (mut apart, trials) = (0, 1000);
        for _ in 0..trials {
            // Queries differ in difficulty, draws in luck; both kinds of rows are equally good.
            let luck: Vec<[f64; 2]> =
                (0..5).map(|_| [0.05 * normal(&mut rng), 0.05 * normal(&mut rng)]).collect();
            let hard: Vec<f64> = (0..200).map(|_| uniform(&mut rng)).collect();
            let mut asked = |kind: usize| -> Answers {
                let draws: Vec<Vec<bool>> = luck
                    .iter()
                    .map(|luck| {
                        hard.iter().map(|hard| hard + luck[kind] + 0.3 * normal(&mut rng) > 0.4).collect()
                    })
                    .collect();
                Answers::of_draws(&draws)
            };
            let found = difference(&asked(0), &asked(1));
            apart += usize::from(found.share.abs() > found.margin.unwrap());
        }
        assert!((1..=65).contains(&apart), "{apart} of {trials}");
    }
}
