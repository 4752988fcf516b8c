//! Known configurations: their exact cosines, so that the energy under every kernel and the value of every loss are exact,
//! and their points.
//!
//! | configuration | points | d | cosines of a point with the others (how many) |
//! |---|---|---|---|
//! | polygon | N | 2 | cos 2πk/N |
//! | simplex | N | N − 1 or more | −1/(N − 1) |
//! | cross-polytope | 2d | d | −1 (1), 0 (2d − 2) |
//! | orthogonal simplices | a + b + … | (a − 1) + (b − 1) + … | −1/(a − 1) within one, 0 between two |
//! | cube | 2ᵈ | d | 1 − 2k/d (d over k) |
//! | pentagonal bipyramid | 7 | 3 | |
//! | icosahedron | 12 | 3 | −1 (1), ±1/√5 (5 each) |
//! | dodecahedron | 20 | 3 | −1 (1), ±√5/3 (3 each), ±1/3 (6 each) |
//! | half of the 5-cube | 16 | 5 | −3/5 (5), 1/5 (10) |
//! | 24-cell | 24 | 4 | −1 (1), ±1/2 (8 each), 0 (6) |
//! | Schläfli | 27 | 6 | −1/2 (10), 1/4 (16) |
//! | Hesse | 56 | 7 | −1 (1), ±1/3 (27 each) |
//! | 600-cell | 120 | 4 | −1 (1), ±cos 36° (12 each), ±1/2 (20 each), ±cos 72° (12 each), 0 (30) |
//! | E8 roots | 240 | 8 | −1 (1), ±1/2 (56 each), 0 (126) |
//! | McLaughlin | 275 | 22 | −1/4 (112), 1/6 (162) |
//! | 276 equiangular lines | 552 | 23 | −1 (1), ±1/5 (275 each) |
//! | isotropic planes' 891 | 891 | 22 | −1/2 (42), −1/8 (512), 1/4 (336) |
//! | Leech's 4600 | 4600 | 23 | −1 (1), ±1/3 (891 each), 0 (2816) |
//! | Leech minimal vectors | 196,560 | 24 | −1 (1), ±1/2 (4600 each), ±1/4 (47,104 each), 0 (93,150) |
//!
//! Those of Cohn and Kumar's table of sharp configurations (J. Amer. Math. Soc. 2007) that are sections of E8 or of the
//! Leech lattice, and others that are minima of energies or are often taken for one. Whether one is sharp is computed by
//! [`Cosines::is_sharp`] and stands in no table.

mod lattices;
mod made;
mod points;

use super::cosines::{Cosines, Distinct};
use crate::Matrix;
use crate::kernel::Kernel;
use crate::loss::{Anchors, Link, Loss, Term};

/// Points that see the others alike.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Kind {
    /// How many points are of this kind.
    pub points: usize,
    /// (cosine, how many other points have it with one of this kind).
    pub cosines: Vec<(f64, usize)>,
}

/// A known configuration.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// The dimension that its points span.
    pub dim: usize,
    /// Its points by what they see.
    pub kinds: Vec<Kind>,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Polygon(usize),
    /// Simplices in orthogonal subspaces.
    Simplices(Vec<usize>),
    Cube(usize),
    PentagonalBipyramid,
    Icosahedron,
    Dodecahedron,
    HalfCube,
    Cell24,
    Schlaefli,
    Hesse,
    Cell600,
    E8,
    McLaughlin,
    Equiangular,
    Isotropic,
    Leech4600,
    Leech,
}

/// Every known configuration of so many points in `dim` dimensions; sets of fewer dimensions only if no more are
/// possible, which is the simplex.
///
/// # Panics
/// If there are fewer than 2 points or `dim` is 0.
pub fn known(points: usize, dim: usize) -> Vec<Configuration> {
    assert!(points >= 2 && dim > 0, "{points} points in {dim} dimensions");
    let mut found = Vec::new();
    if points <= dim + 1 {
        return vec![simplex(points)];
    }
    if dim == 2 {
        found.push(polygon(points));
    }
    // As many simplices as dimensions are lacking to one.
    let parts = points - dim;
    if parts == dim {
        found.push(cross_polytope(dim));
    } else if parts <= 3 && dim > 2 {
        found.extend(partitions(points, parts, 2).into_iter().map(|sizes| orthogonal_simplices(&sizes)));
    }
    if dim > 2 && dim < 20 && points == 1 << dim {
        found.push(cube(dim));
    }
    found.extend(sporadic().into_iter().filter(|one| one.points() == points && one.dim == dim));
    found
}

/// Those of [`known`] that are no members of a family.
pub fn sporadic() -> Vec<Configuration> {
    let (root, golden) = (5.0_f64.sqrt(), 0.5 * (1.0 + 5.0_f64.sqrt()));
    // cos 36° and cos 72°.
    let (wide, narrow) = (0.5 * golden, 0.5 / golden);
    let of = |name: &str, dim, shape, points, cosines: &[(f64, usize)]| {
        let kinds = vec![Kind { points, cosines: cosines.to_vec() }];
        Configuration { name: name.to_owned(), dim, kinds, shape }
    };
    let (fifth, two_fifths) = (narrow, -wide);
    let bipyramid = Configuration {
        name: "pentagonal bipyramid".to_owned(),
        dim: 3,
        kinds: vec![
            Kind { points: 2, cosines: vec![(-1.0, 1), (0.0, 5)] },
            Kind { points: 5, cosines: vec![(two_fifths, 2), (0.0, 2), (fifth, 2)] },
        ],
        shape: Shape::PentagonalBipyramid,
    };
    vec![
        bipyramid,
        of("icosahedron", 3, Shape::Icosahedron, 12, &[(-1.0, 1), (-1.0 / root, 5), (1.0 / root, 5)]),
        of(
            "dodecahedron",
            3,
            Shape::Dodecahedron,
            20,
            &[(-1.0, 1), (-root / 3.0, 3), (-1.0 / 3.0, 6), (1.0 / 3.0, 6), (root / 3.0, 3)],
        ),
        of("half of the 5-cube", 5, Shape::HalfCube, 16, &[(-0.6, 5), (0.2, 10)]),
        of("24-cell", 4, Shape::Cell24, 24, &[(-1.0, 1), (-0.5, 8), (0.0, 6), (0.5, 8)]),
        of("Schläfli configuration", 6, Shape::Schlaefli, 27, &[(-0.5, 10), (0.25, 16)]),
        of("Hesse configuration", 7, Shape::Hesse, 56, &[(-1.0, 1), (-1.0 / 3.0, 27), (1.0 / 3.0, 27)]),
        of(
            "600-cell",
            4,
            Shape::Cell600,
            120,
            &[
                (-1.0, 1),
                (-wide, 12),
                (-0.5, 20),
                (-narrow, 12),
                (0.0, 30),
                (narrow, 12),
                (0.5, 20),
                (wide, 12),
            ],
        ),
        of("E8 roots", 8, Shape::E8, 240, &[(-1.0, 1), (-0.5, 56), (0.0, 126), (0.5, 56)]),
        of("McLaughlin configuration", 22, Shape::McLaughlin, 275, &[(-0.25, 112), (1.0 / 6.0, 162)]),
        of("276 equiangular lines", 23, Shape::Equiangular, 552, &[(-1.0, 1), (-0.2, 275), (0.2, 275)]),
        of(
            "891 points of isotropic planes",
            22,
            Shape::Isotropic,
            891,
            &[(-0.5, 42), (-0.125, 512), (0.25, 336)],
        ),
        of(
            "kissing points of the Leech vectors",
            23,
            Shape::Leech4600,
            4600,
            &[(-1.0, 1), (-1.0 / 3.0, 891), (0.0, 2816), (1.0 / 3.0, 891)],
        ),
        of(
            "Leech minimal vectors",
            24,
            Shape::Leech,
            196_560,
            &[(-1.0, 1), (-0.5, 4600), (-0.25, 47_104), (0.0, 93_150), (0.25, 47_104), (0.5, 4600)],
        ),
    ]
}

/// The regular simplex of n ≥ 2 points.
///
/// # Panics
/// If `n` < 2.
pub fn simplex(n: usize) -> Configuration {
    orthogonal_simplices(&[n])
}

/// ± the d axes.
///
/// # Panics
/// If `dim` is 0.
pub fn cross_polytope(dim: usize) -> Configuration {
    orthogonal_simplices(&vec![2; dim])
}

/// The regular polygon of n ≥ 2 points.
///
/// # Panics
/// If `n` < 2.
pub fn polygon(n: usize) -> Configuration {
    assert!(n >= 2, "a polygon of {n} points");
    let step = std::f64::consts::TAU / n as f64;
    let mut cosines: Vec<(f64, usize)> =
        (1..=(n - 1) / 2).rev().map(|k| ((k as f64 * step).cos(), 2)).collect();
    if n.is_multiple_of(2) {
        cosines.insert(0, (-1.0, 1));
    }
    let name = match n {
        3 => "triangle".to_owned(),
        4 => "square".to_owned(),
        5 => "pentagon".to_owned(),
        6 => "hexagon".to_owned(),
        _ => format!("regular polygon of {n} points"),
    };
    Configuration { name, dim: 2, kinds: vec![Kind { points: n, cosines }], shape: Shape::Polygon(n) }
}

/// The 2ᵈ corners of the cube.
///
/// # Panics
/// If `dim` is 0 or above 24.
pub fn cube(dim: usize) -> Configuration {
    assert!((1..=24).contains(&dim), "a cube in {dim} dimensions");
    let (mut cosines, mut count) = (Vec::new(), 1);
    for k in 1..=dim {
        count = count * (dim - k + 1) / k;
        cosines.insert(0, (1.0 - 2.0 * k as f64 / dim as f64, count));
    }
    let name = if dim == 3 { "cube".to_owned() } else { format!("{dim}-cube") };
    Configuration { name, dim, kinds: vec![Kind { points: 1 << dim, cosines }], shape: Shape::Cube(dim) }
}

/// Regular simplices of these sizes in orthogonal subspaces: one is the simplex, d pairs are the cross-polytope.
///
/// # Panics
/// If there is none, or one has fewer than 2 points.
pub fn orthogonal_simplices(sizes: &[usize]) -> Configuration {
    assert!(!sizes.is_empty() && sizes.iter().all(|&size| size >= 2), "simplices of {sizes:?} points");
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    let points: usize = sizes.iter().sum();
    let kinds = sizes
        .chunk_by(|a, b| a == b)
        .map(|equal| {
            let mut cosines = vec![(-1.0 / (equal[0] - 1) as f64, equal[0] - 1)];
            if points > equal[0] {
                cosines.push((0.0, points - equal[0]));
            }
            Kind { points: equal[0] * equal.len(), cosines }
        })
        .collect();
    let name = match sizes[..] {
        [2] => "antipodal pair".to_owned(),
        [3] => "triangle (simplex)".to_owned(),
        [_] => "regular simplex".to_owned(),
        [2, 2] => "square (cross-polytope)".to_owned(),
        [2, 2, 2] => "octahedron (cross-polytope)".to_owned(),
        _ if sizes.iter().all(|&size| size == 2) => "cross-polytope".to_owned(),
        [2, 3] => "triangular bipyramid".to_owned(),
        [3, 3] => "two orthogonal triangles".to_owned(),
        _ => {
            let words: Vec<String> = sizes.iter().map(usize::to_string).collect();
            format!("orthogonal simplices of {} points", words.join(" + "))
        }
    };
    let dim = points - sizes.len();
    Configuration { name, dim, kinds, shape: Shape::Simplices(sizes) }
}

impl Configuration {
    /// How many points it has.
    pub fn points(&self) -> usize {
        self.kinds.iter().map(|kind| kind.points).sum()
    }

    /// Its cosines, exact, in ℝ^`dim`.
    pub fn cosines(&self, dim: usize) -> Cosines {
        let mut distinct: Vec<Distinct> = Vec::new();
        for kind in &self.kinds {
            for &(cosine, count) in &kind.cosines {
                let ordered = (kind.points * count) as u64;
                match distinct.iter_mut().find(|one| (one.cosine - cosine).abs() < 1e-12) {
                    Some(one) => one.pairs += ordered,
                    None => distinct.push(Distinct { cosine, pairs: ordered }),
                }
            }
        }
        distinct.iter_mut().for_each(|one| one.pairs /= 2);
        distinct.sort_by(|a, b| a.cosine.total_cmp(&b.cosine));
        Cosines { points: self.points(), dim, distinct, spread: 0.0 }
    }

    /// Mean of κ over pairs.
    pub fn energy(&self, kernel: &dyn Kernel) -> f64 {
        self.cosines(self.dim.max(2)).energy(kernel)
    }

    /// The value of a loss where each of `views` views is this configuration and an image's rows coincide: a closed form.
    ///
    /// # Panics
    /// If a term has no pairs there, as matched ones in one view, or `views` is 0.
    pub fn value(&self, loss: &Loss, views: usize) -> f64 {
        assert!(views > 0, "{} needs at least one view", loss.name);
        loss.terms.iter().map(|term| self.term(term, views)).sum()
    }

    fn term(&self, term: &Term, views: usize) -> f64 {
        // Mean over images of what one anchor's pairs are: (cosine, how often).
        let pairs = |kind: &Kind| {
            let mut pairs = vec![
                (1.0, usize::from(term.pairs.itself)),
                (1.0, usize::from(term.pairs.matched) * (views - 1)),
            ];
            for &(cosine, count) in &kind.cosines {
                pairs.push((cosine, count * usize::from(term.pairs.within)));
                pairs.push((cosine, count * usize::from(term.pairs.cross) * (views - 1)));
            }
            pairs.retain(|&(_, count)| count > 0);
            pairs
        };
        let images = self.points() as f64;
        let mean = |of: &dyn Fn(&Kind) -> f64| {
            self.kinds.iter().map(|kind| kind.points as f64 * of(kind)).sum::<f64>() / images
        };
        let count = |kind: &Kind| pairs(kind).iter().map(|&(_, count)| count).sum::<usize>() as f64;
        assert!(self.kinds.iter().all(|kind| count(kind) > 0.0), "a term without pairs in {views} views");
        let sum = |kind: &Kind| {
            pairs(kind).iter().map(|&(s, count)| count as f64 * term.kernel.at(s).0).sum::<f64>()
        };
        let log_sum = |kind: &Kind| {
            let logs: Vec<(f64, f64)> =
                pairs(kind).iter().map(|&(s, count)| (term.kernel.ln_at(s).0, count as f64)).collect();
            let top = logs.iter().map(|(log, _)| *log).fold(f64::NEG_INFINITY, f64::max);
            top + logs.iter().map(|(log, count)| count * (log - top).exp()).sum::<f64>().ln()
        };
        let shares = if term.anchors == Anchors::EachView { views as f64 } else { 1.0 };
        let anchors = if term.anchors == Anchors::FirstView { 1.0 } else { views as f64 };
        let one = match term.link {
            Link::Mean => mean(&|kind| sum(kind) / count(kind)),
            Link::RowSum => mean(&sum),
            Link::RowLogSum => mean(&log_sum),
            Link::RowLogMean => mean(&|kind| log_sum(kind) - count(kind).ln()),
            Link::ImageLogSum => return term.weight * mean(&|kind| log_sum(kind) + anchors.ln()),
            Link::LogMean => (mean(&sum) / mean(&count)).ln(),
        };
        term.weight * shares * one
    }

    /// Its points as rows of ℝ^`dim`, zeros beyond the dimensions that it spans.
    ///
    /// # Panics
    /// If `dim` is less than it spans.
    pub fn rows(&self, dim: usize) -> Matrix<f64> {
        assert!(dim >= self.dim, "{} spans {} dimensions, not {dim}", self.name, self.dim);
        let exact = points::of(&self.shape);
        let mut rows = Matrix::zeros(exact.len(), dim);
        for i in 0..exact.len() {
            rows.row_mut(i)[..exact.dim()].copy_from_slice(exact.row(i));
        }
        rows
    }
}

/// The ways to write `total` as a sum of `parts` numbers, each at least `least`, in increasing order.
fn partitions(total: usize, parts: usize, least: usize) -> Vec<Vec<usize>> {
    if parts == 1 {
        return if total >= least { vec![vec![total]] } else { Vec::new() };
    }
    (least..=total / parts)
        .flat_map(|first| {
            partitions(total - first, parts - 1, first).into_iter().map(move |mut rest| {
                rest.insert(0, first);
                rest
            })
        })
        .collect()
}
