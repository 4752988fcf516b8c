//! Known configurations: exact cosines against their points, sharpness computed, energies of the paper's tables, and the
//! lower bound that sharp ones attain.

use riesz::Points;
use riesz::engine::{Engine, Reference};
use riesz::loss::{KclKernel, Loss};
use riesz::sphere::bound::Quadrature;
use riesz::sphere::cosines::Cosines;
use riesz::sphere::ideal;
use riesz::sphere::optima::{
    Configuration, cross_polytope, cube, known, orthogonal_simplices, polygon, simplex, sporadic,
};

fn small() -> Vec<Configuration> {
    let families = [
        simplex(2),
        simplex(3),
        simplex(9),
        cross_polytope(1),
        cross_polytope(5),
        polygon(5),
        polygon(12),
        cube(3),
        cube(5),
        orthogonal_simplices(&[2, 3]),
        orthogonal_simplices(&[3, 3]),
        orthogonal_simplices(&[4, 2, 2]),
    ];
    families.into_iter().chain(sporadic().into_iter().filter(|one| one.points() <= 1000)).collect()
}

fn kernels() -> Vec<KclKernel> {
    vec![
        KclKernel::Gaussian(2.0),
        KclKernel::Logarithmic(2.0),
        KclKernel::InverseMultiquadric(1.0),
        KclKernel::Riesz(1.0),
        KclKernel::Riesz(-1.0),
        KclKernel::LogDistance,
        KclKernel::Exponential(0.3),
    ]
}

#[test]
fn exact_cosines_are_those_of_the_points() {
    for one in small() {
        let dim = one.dim.max(2);
        let rows = one.rows(dim);
        let points = Points::new(&rows).unwrap();
        assert_eq!(points.len(), one.points(), "{}", one.name);
        let got = Cosines::of(points, 1e-9);
        assert!(got.matches(&one.cosines(dim), 1e-12), "{}: {got:?}", one.name);
        // Every point sees what its kind says: the values of losses depend on it.
        for (kind, row) in one.kinds.iter().flat_map(|kind| std::iter::repeat_n(kind, kind.points)).zip(0..) {
            let sees = |cosine: f64| {
                (0..points.len())
                    .filter(|&other| other != row)
                    .filter(|&other| {
                        let s: f64 = points.row(row).iter().zip(points.row(other)).map(|(x, y)| x * y).sum();
                        (s - cosine).abs() < 1e-9
                    })
                    .count()
            };
            // Points of several kinds are not made in the order of kinds; `values_of_losses_are_those_of_the_points` is theirs.
            if one.kinds.len() == 1 {
                assert!(kind.cosines.iter().all(|&(cosine, count)| sees(cosine) == count), "{}", one.name);
            }
        }
    }
}

/// The large ones by one point's cosines: their groups carry each point to each other.
#[test]
fn the_large_ones_by_what_a_point_sees() {
    for one in sporadic().into_iter().filter(|one| one.points() > 1000) {
        let rows = one.rows(one.dim);
        assert_eq!(rows.len(), one.points(), "{}", one.name);
        for i in [0, rows.len() / 2, rows.len() - 1] {
            let mut counts = vec![0; one.kinds[0].cosines.len()];
            for j in (0..rows.len()).filter(|&j| j != i) {
                let s: f64 = rows.row(i).iter().zip(rows.row(j)).map(|(x, y)| x * y).sum();
                let place = one.kinds[0].cosines.iter().position(|(cosine, _)| (s - cosine).abs() < 1e-9);
                counts[place.unwrap()] += 1;
            }
            let want: Vec<usize> = one.kinds[0].cosines.iter().map(|&(_, count)| count).collect();
            assert_eq!(counts, want, "{}", one.name);
        }
    }
}

/// Strengths and sharpness, which Cohn and Kumar's table has for its entries; the others are known not to be sharp.
#[test]
fn strength_and_sharpness_are_computed() {
    let strength = |one: &Configuration| {
        let cosines = one.cosines(one.dim.max(2));
        (cosines.design_strength(2 * cosines.distinct.len()), cosines.is_sharp())
    };
    for (name, want) in [
        ("pentagonal bipyramid", (1, false)),
        ("icosahedron", (5, true)),
        ("dodecahedron", (5, false)),
        ("half of the 5-cube", (3, true)),
        ("24-cell", (5, false)),
        ("Schläfli configuration", (4, true)),
        ("Hesse configuration", (5, true)),
        ("600-cell", (11, false)),
        ("E8 roots", (7, true)),
        ("McLaughlin configuration", (4, true)),
        ("276 equiangular lines", (5, true)),
        ("891 points of isotropic planes", (5, true)),
        ("kissing points of the Leech vectors", (7, true)),
        ("Leech minimal vectors", (11, true)),
    ] {
        let one = sporadic().into_iter().find(|one| one.name == name).unwrap();
        assert_eq!(strength(&one), want, "{name}");
    }
    for n in 3..12 {
        assert_eq!(strength(&polygon(n)).0, n - 1, "a polygon of {n} points");
        assert!(strength(&polygon(n)).1);
    }
    for n in 3..9 {
        assert_eq!(strength(&simplex(n)), (2, true));
        assert_eq!(strength(&cross_polytope(n)), (3, true));
        assert_eq!(strength(&cube(n)), (3, false), "the {n}-cube");
    }
    assert!(!strength(&orthogonal_simplices(&[2, 3])).1 && !strength(&orthogonal_simplices(&[3, 3])).1);
}

/// Sharp configurations attain the bound, every other set stays above it.
#[test]
fn the_linear_programming_bound_is_attained_by_sharp_configurations_alone() {
    let mut attained = 0;
    for one in small().into_iter().chain(sporadic()) {
        let dim = one.dim.max(2);
        let sharp = one.cosines(dim).is_sharp();
        let quadrature = Quadrature::new(one.points(), dim).unwrap();
        let total: f64 = quadrature.nodes.iter().map(|(_, weight)| weight).sum();
        assert!((total + 1.0 / one.points() as f64 - 1.0).abs() < 1e-12, "{}", one.name);
        for kernel in kernels() {
            let kernel = kernel.kernel().unwrap();
            let (energy, bound) = (one.energy(&*kernel), quadrature.energy(&*kernel));
            let gap = (energy - bound) / energy.abs().max(bound.abs());
            if sharp {
                assert!(gap.abs() < 1e-12, "{} under {kernel:?}: {energy} and {bound}", one.name);
                attained += 1;
            } else {
                // The 600-cell is within 10⁻⁷ of it for the exponential kernel.
                assert!(gap > 1e-8, "{} under {kernel:?}: {energy} and {bound}", one.name);
            }
        }
    }
    assert!(attained > 100);
}

/// The quadrature is one: exact for every Gegenbauer polynomial up to its degree.
#[test]
fn the_quadrature_is_exact_to_its_degree() {
    for (points, dim) in [
        (2, 2),
        (3, 2),
        (9, 2),
        (50, 2),
        (5, 3),
        (12, 3),
        (20, 3),
        (100, 3),
        (1000, 3),
        (24, 4),
        (120, 4),
        (256, 128),
    ] {
        let quadrature = Quadrature::new(points, dim).unwrap();
        for k in 0..=quadrature.degree {
            let p = |s: f64| riesz::sphere::cosines::gegenbauer(dim, s).nth(k).unwrap();
            let sum: f64 = quadrature.nodes.iter().map(|&(node, weight)| weight * p(node)).sum();
            let want = if k == 0 { 1.0 } else { 0.0 };
            assert!((sum + 1.0 / points as f64 - want).abs() < 1e-11, "{points} in {dim}, degree {k}");
        }
        assert!(
            quadrature.nodes.iter().all(|&(node, weight)| (-1.0..1.0).contains(&node) && weight > -1e-12)
        );
    }
    assert!(
        Quadrature::new(1, 3).is_err() && Quadrature::new(5, 1).is_err() && Quadrature::new(5000, 2).is_err()
    );
}

/// Closed-form mean energies: Gaussian of width 2, logarithmic of width 2, inverse multiquadric of offset 1, Riesz 1 and −1.
#[test]
fn energies_of_the_papers_table() {
    let table: [(usize, usize, [f64; 5]); 6] = [
        (6, 3, [0.014_719_603_6, -0.863_497_622_7, 0.551_322_934_5, 0.665_685_424_9, -1.531_370_849_9]),
        (12, 3, [0.051_228_920_6, -0.800_307_928_5, 0.584_239_241_3, 0.744_928_076_6, -1.433_074_473_2]),
        (8, 4, [0.015_747_042_3, -0.846_703_718_0, 0.558_759_315_8, 0.677_520_098_2, -1.497_897_339_2]),
        (120, 4, [0.081_723_322_0, -0.761_989_077_4, 0.603_241_746_4, 0.811_845_442_0, -1.368_339_842_0]),
        (240, 8, [0.041_948_501_9, -0.785_522_297_2, 0.589_085_051_3, 0.744_464_726_0, -1.394_082_653_1]),
        (
            196_560,
            24,
            [0.025_450_887_4, -0.797_788_932_6, 0.581_518_263_9, 0.719_248_410_1, -1.406_558_707_2],
        ),
    ];
    for (points, dim, energies) in table {
        let one = known(points, dim).into_iter().next().unwrap();
        for (kernel, want) in kernels().into_iter().zip(energies) {
            let got = one.energy(&*kernel.kernel().unwrap());
            assert!((got - want).abs() < 6e-11, "{} under {kernel:?}: {got} for {want}", one.name);
        }
    }
}

/// What is said of a loss at a configuration is what the definition computes from its points.
#[test]
fn values_of_losses_are_those_of_the_points() {
    let ones = [simplex(8), cross_polytope(4), orthogonal_simplices(&[2, 4]), polygon(7), cube(3)];
    for one in ones {
        let rows = one.rows(one.dim);
        for views in [1, 2, 3] {
            let points = vec![Points::new(&rows).unwrap(); views];
            // DCLW is of two views.
            for loss in Loss::catalogue().into_iter().filter(|loss| loss.name != "dclw" || views == 2) {
                let Ok(got) = Reference.value_and_grad(&loss, &points) else { continue };
                let want = one.value(&loss, views);
                let scale = 1.0 + got.terms.iter().map(|term| term.abs()).sum::<f64>();
                // Where a kernel has a cusp at s = 1, rounding of the cosine of coinciding rows shows.
                let cusp = loss
                    .terms
                    .iter()
                    .any(|term| (term.kernel.at(1.0 - 1e-15).0 - term.kernel.at(1.0).0).abs() > 1e-10);
                let tolerance = if cusp { 1e-7 } else { 1e-13 };
                assert!(
                    (got.value - want).abs() < tolerance * scale,
                    "{} at {} in {views} views: {} for {want}",
                    loss.name,
                    one.name,
                    got.value
                );
            }
        }
    }
}

/// Minimum values up to M = d + 1, τ = 0.3, at M = 8 and M = 5; the closed forms they come from, in a = M/((M − 1) τ).
#[test]
fn minimum_values_of_the_papers_table() {
    use riesz::loss::Convention::{Paper, Reference, Symmetric};
    let tau = 0.3;
    for (loss, at_8, at_5) in [
        (Loss::info_nce(tau), 0.144_197, 0.060_168),
        (Loss::info_nce_symmetric(tau), 0.144_197, 0.060_168),
        (Loss::nt_xent(tau), 0.270_197, 0.116_921),
        (Loss::nt_xent_one_sided(tau), 0.270_197, 0.116_921),
        (Loss::dcl(tau), -1.170_466, -2.087_225),
        (Loss::dclw(tau, 0.5), -1.170_466, -2.087_225),
        (Loss::dcl_cross(tau), -1.863_614, -2.780_372),
        (Loss::dhel(tau, Paper), -1.863_614, -2.780_372),
        (Loss::dhel(tau, Symmetric), -1.863_614, -2.780_372),
        (Loss::dhel(tau, Reference), -0.393_894, -2.227_411),
    ] {
        let loss = loss.unwrap();
        for (points, want) in [(8, at_8), (5, at_5)] {
            let got = simplex(points).value(&loss, 2);
            assert!((got - want).abs() < 6e-7, "{} of {points}: {got} for {want}", loss.name);
        }
    }
    // Two points, any dimension.
    for (loss, want) in [
        (Loss::dhel(tau, Paper), -2.0 / tau),
        (Loss::info_nce(tau), 0.001_271_825),
        (Loss::nt_xent(tau), 0.002_542_034),
        (Loss::dcl(tau), -5.973_519_486),
    ] {
        let got = simplex(2).value(&loss.unwrap(), 2);
        assert!((got - want).abs() < 6e-10, "{got} for {want}");
    }
}

/// Cross-polytopes at τ = 0.3, and what the best of each loss is at d = 128.
#[test]
#[expect(clippy::approx_constant, reason = "a number of the paper's table happens to be one")]
fn cross_polytope_values_and_the_best_of_128_dimensions() {
    use riesz::loss::Convention::{Paper, Reference};
    let losses = |tau: f64| {
        [
            Loss::info_nce(tau).unwrap(),
            Loss::nt_xent(tau).unwrap(),
            Loss::dcl(tau).unwrap(),
            Loss::dhel(tau, Paper).unwrap(),
            Loss::dhel(tau, Reference).unwrap(),
        ]
    };
    let hold = |one: &Configuration, tau: f64, table: [f64; 5]| {
        for (loss, want) in losses(tau).iter().zip(table) {
            let got = one.value(loss, 2);
            assert!(
                (got - want).abs() < 6e-7,
                "{} at the {}, τ {tau}: {got} for {want}",
                loss.name,
                one.name
            );
        }
    };
    hold(&cross_polytope(3), 0.3, [0.134_503, 0.253_042, -1.245_013, -1.938_160, -0.542_987]);
    hold(&cross_polytope(4), 0.3, [0.195_005, 0.358_117, -0.842_499, -1.535_646, 0.262_042]);
    hold(&cross_polytope(8), 0.3, [0.405_937, 0.693_855, 0.001_416, -0.691_731, 1.949_871]);
    hold(&cross_polytope(128), 0.3, [2.308_812, 2.950_993, 2.897_289, 2.204_141, 7.741_616]);
    hold(&simplex(32), 0.1, [0.001_019, 0.002_037, -6.195_446, -6.888_593, -3.777_187]);
    hold(&simplex(64), 0.2, [0.330_816, 0.578_974, -0.243_083, -0.936_230, 3.127_539]);
    hold(&simplex(128), 0.3, [1.688_846, 2.285_079, 2.177_754, 1.484_607, 6.302_547]);
    hold(&simplex(64), 0.5, [2.225_672, 2.863_309, 2.804_536, 2.111_389, 6.222_777]);

    // KCL's energies at d = 128, and their limit.
    let kernels = [
        KclKernel::Gaussian(2.0),
        KclKernel::Logarithmic(2.0),
        KclKernel::InverseMultiquadric(1.0),
        KclKernel::InverseMultiquadric(2.0),
        KclKernel::Riesz(-1.0),
    ];
    let table: [(&Configuration, [f64; 5]); 5] = [
        (&simplex(2), [0.000_335_46, -1.098_612_29, 0.447_213_60, 0.707_106_78, -2.0]),
        (&simplex(8), [0.010_343_17, -0.858_825_75, 0.551_677_28, 0.797_724_04, -1.511_857_89]),
        (&simplex(64), [0.017_188_89, -0.811_028_19, 0.574_319_54, 0.814_345_07, -1.425_393_29]),
        (&simplex(128), [0.017_747_76, -0.807_858_68, 0.575_840_85, 0.815_427_17, -1.419_770_42]),
        (&cross_polytope(128), [0.018_245_13, -0.805_871_48, 0.576_839_93, 0.816_067_60, -1.416_510_76]),
    ];
    for (one, energies) in table {
        for (kernel, want) in kernels.into_iter().zip(energies) {
            let got = one.energy(&*kernel.kernel().unwrap());
            assert!((got - want).abs() < 6e-9, "{} under {kernel:?}: {got} for {want}", one.name);
        }
    }
    let limits = [0.019_496_31, -0.803_459_57, 0.578_107_73, 0.816_762_87, -1.412_822_33];
    for (kernel, want) in kernels.into_iter().zip(limits) {
        let got = ideal::energy(128, kernel).unwrap();
        assert!((got - want).abs() < 6e-9, "{kernel:?}: {got} for {want}");
    }
    let kcl = Loss::kcl(KclKernel::Gaussian(2.0), KclKernel::Gaussian(2.0), 16.0, Paper).unwrap();
    assert!((simplex(8).value(&kcl, 2) + 0.834_509_23).abs() < 6e-9);
}

/// Energies of the uniform law, and the limits −1/τ + Λ of the InfoNCE family at d = 128.
#[test]
fn the_uniform_laws_table() {
    let kernels = [
        KclKernel::Gaussian(2.0),
        KclKernel::Gaussian(1.0),
        KclKernel::InverseMultiquadric(1.0),
        KclKernel::InverseMultiquadric(2.0),
        KclKernel::Logarithmic(2.0),
        KclKernel::Logarithmic(1.0),
        KclKernel::Riesz(-1.0),
        KclKernel::Riesz(1.0),
        KclKernel::LogDistance,
    ];
    // The last column is E ln r; the log-distance kernel is −½ of it.
    let table: [(usize, [f64; 9]); 5] = [
        (
            3,
            [
                0.124_958_067_2,
                0.245_421_090_3,
                0.618_033_988_7,
                0.828_427_124_7,
                -0.735_938_824_8,
                -0.505_898_695_3,
                -1.333_333_333_3,
                1.0,
                0.386_294_361_1,
            ],
        ),
        (
            8,
            [
                0.045_843_253_5,
                0.172_747_335_8,
                0.590_771_426_1,
                0.820_856_678_9,
                -0.782_339_888_9,
                -0.534_353_000_2,
                -1.389_327_785_6,
                0.752_552_550_5,
                0.616_666_666_7,
            ],
        ),
        (
            32,
            [
                0.023_475_334_1,
                0.144_047_184_8,
                0.580_448_009_6,
                0.817_567_426_2,
                -0.799_568_574_5,
                -0.545_762_850_3,
                -1.408_524_291_2,
                0.715_999_848_0,
                0.676_758_137_7,
            ],
        ),
        (
            128,
            [
                0.019_496_311_0,
                0.137_466_245_8,
                0.578_107_729_2,
                0.816_762_866_2,
                -0.803_459_572_4,
                -0.548_433_586_4,
                -1.412_822_329_8,
                0.709_214_383_8,
                0.689_194_673_1,
            ],
        ),
        (
            512,
            [
                0.018_604_059_4,
                0.135_864_966_5,
                0.577_538_565_5,
                0.816_563_059_0,
                -0.804_405_870_1,
                -0.549_088_848_2,
                -1.413_867_662_4,
                0.707_626_903_6,
                0.692_167_749_6,
            ],
        ),
    ];
    for (dim, wants) in table {
        for (kernel, want) in kernels.into_iter().zip(wants) {
            let want = if kernel == KclKernel::LogDistance { -0.5 * want } else { want };
            let got = ideal::energy(dim, kernel).unwrap();
            assert!((got - want).abs() < 6e-11, "d = {dim}, {kernel:?}: {got} for {want}");
        }
    }
    for (tau, want) in [
        (0.05, 1.544_288_03),
        (0.07, 0.792_382_29),
        (0.1, 0.389_460_41),
        (0.2, 0.097_583_03),
        (0.3, 0.043_388_30),
        (0.5, 0.015_623_12),
        (1.0, 0.003_906_13),
    ] {
        let got = ideal::log_mean_exponential(128, 1.0 / tau);
        assert!((got - want).abs() < 6e-9, "τ {tau}: {got} for {want}");
    }
}
