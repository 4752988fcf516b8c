//! Value and gradient of a loss on raw rows: time, operations a second, and their share of the rate of the matrix product
//! on the same threads in the same run.
//!
//! `cargo bench -p riesz --bench loss` measures 256, 1,024 and 4,096 images of d = 128 in `f32`; `-- 16384` other numbers
//! of images; `-- --test` runs each once on few. README.md beside this says what the columns are.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use rayon::prelude::*;
use riesz::engine::{Fused, value_and_grad_raw};
use riesz::loss::{Convention, KclKernel, Loss};
use riesz::product::rows_by_rows;
use riesz::rng::{Key, normal};
use riesz::{Error, Matrix};

const DIM: usize = 128;
/// Rows and columns of the product that sets the machine's rate.
const PRODUCT: usize = 768;

fn losses() -> Result<[(&'static str, Loss); 3], Error> {
    let gaussian = KclKernel::Gaussian(2.0);
    Ok([
        ("DHEL", Loss::dhel(0.3, Convention::Reference)?),
        ("NT-Xent", Loss::nt_xent(0.5)?),
        ("KCL-Gaussian", Loss::kcl(gaussian, gaussian, 16.0, Convention::Reference)?),
    ])
}

/// Multiply-adds a second of one product on every thread.
fn product_rate(operands: &mut [[Vec<f32>; 3]]) -> f64 {
    let started = Instant::now();
    operands.par_iter_mut().with_max_len(1).for_each(|[a, b, out]| rows_by_rows(a, b, PRODUCT, out));
    operands.len() as f64 * (PRODUCT as f64).powi(3) / started.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = arguments.iter().any(|argument| argument == "--test");
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = if once { vec![96] } else { vec![256, 1024, 4096] };
    }
    let threads = rayon::current_num_threads();
    let operand = || vec![0.5; PRODUCT * PRODUCT];
    let mut operands: Vec<_> = (0..threads).map(|_| [operand(), operand(), operand()]).collect();
    println!("f32, d = {DIM}, threads: {threads}");
    println!(
        "{:<14}{:>8}{:>12}{:>12}{:>16}{:>8}{:>5}",
        "loss", "M", "ms", "GFLOP/s", "product's", "share", "n"
    );
    for m in sizes {
        let mut rng = Key::new(1).at(m as u64).rng();
        let rows: Vec<f32> = (0..2 * m * DIM).map(|_| normal(&mut rng) as f32).collect();
        let rows = Matrix::new(rows, DIM);
        for (name, loss) in losses()? {
            let work = Fused::multiply_adds::<f32>(&loss, m, 2, DIM);
            // About ten seconds of work at 10¹¹ multiply-adds a second, but an odd number from 3 to 201.
            let runs = if once { 1 } else { (1e12 / work).clamp(3.0, 201.0) as usize | 1 };
            let (mut rates, mut seconds) = (Vec::new(), Vec::new());
            // The first run also allocates each thread's tile.
            for run in 0..=runs {
                let rate = product_rate(&mut operands);
                let started = Instant::now();
                let outcome = value_and_grad_raw(&Fused, &loss, &rows, 2)?;
                let elapsed = started.elapsed().as_secs_f64();
                assert!(outcome.value.is_finite());
                if run > 0 || once {
                    rates.push(rate);
                    seconds.push(elapsed);
                }
            }
            let (rate, seconds, n) = (median(&mut rates), median(&mut seconds), runs);
            println!(
                "{name:<14}{m:>8}{:>12.3}{:>12.1}{:>16.1}{:>7.0}%{n:>5}",
                seconds * 1e3,
                2e-9 * work / seconds,
                2e-9 * rate,
                100.0 * work / seconds / rate
            );
        }
    }
    Ok(())
}
