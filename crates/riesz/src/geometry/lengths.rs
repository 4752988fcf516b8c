//! The lengths ‖z‖ of rows as they came, before they were made unit.

/// Bins an octave, so that a quantile is right to 0.5 %.
const FINE: f64 = 64.0;
/// Octaves on either side of 1; lengths beyond are counted at the ends.
const OCTAVES: f64 = 64.0;
/// All bins.
pub(super) const BINS: usize = (2.0 * OCTAVES * FINE) as usize;

/// Count, mean, deviation, extremes and a histogram of lengths.
#[derive(Clone, Debug, PartialEq)]
pub struct Lengths {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Σ (‖z‖ − mean)².
    pub squares: f64,
    /// The smallest; ∞ of none.
    pub least: f64,
    /// The largest; 0 of none.
    pub most: f64,
    /// How many lie in each 64th of an octave, from 2⁻⁶⁴ on.
    pub bins: Vec<u64>,
}

impl Lengths {
    pub(super) fn new() -> Self {
        Self { count: 0, mean: 0.0, squares: 0.0, least: f64::INFINITY, most: 0.0, bins: vec![0; BINS] }
    }

    pub(super) fn push(&mut self, length: f64) {
        self.count += 1;
        let off = length - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (length - self.mean);
        self.least = self.least.min(length);
        self.most = self.most.max(length);
        let bin = ((length.log2() + OCTAVES) * FINE).floor();
        self.bins[(bin.max(0.0) as usize).min(BINS - 1)] += 1;
    }

    /// Adds the others (Chan et al. 1979).
    pub(super) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let off = other.mean - self.mean;
        self.mean += off * m / (n + m);
        self.squares += other.squares + off * off * n * m / (n + m);
        self.count += other.count;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.bins.iter_mut().zip(&other.bins).for_each(|(sum, count)| *sum += count);
    }

    /// Their standard deviation (divisor n).
    pub fn deviation(&self) -> f64 {
        (self.squares / (self.count as f64).max(1.0)).sqrt()
    }

    /// The length below which a share of them lies, to 0.5 % within 2⁻⁶⁴ and 2⁶⁴.
    ///
    /// # Panics
    /// If `share` is not in [0, 1].
    pub fn quantile(&self, share: f64) -> f64 {
        assert!((0.0..=1.0).contains(&share), "{share} is not a share");
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bin, count) in self.bins.iter().enumerate() {
            below += count;
            if below >= wanted {
                // The bins at the ends have no other side.
                if bin == 0 || bin == BINS - 1 {
                    return if bin == 0 { self.least } else { self.most };
                }
                return ((bin as f64 + 0.5) / FINE - OCTAVES).exp2().clamp(self.least, self.most);
            }
        }
        self.most
    }

    /// The bins from the first to the last that are not empty, with their middles: (length, share of all). The outermost also have what is
    /// below 2⁻⁶⁴ or above 2⁶⁴, and then stand at the least or the largest length.
    pub fn histogram(&self) -> Vec<(f64, f64)> {
        let middle = |bin: usize| match bin {
            0 if self.least < (-OCTAVES).exp2() => self.least,
            bin if bin == BINS - 1 && self.most > OCTAVES.exp2() => self.most,
            bin => ((bin as f64 + 0.5) / FINE - OCTAVES).exp2(),
        };
        let first = self.bins.iter().position(|count| *count > 0).unwrap_or(0);
        let last = self.bins.iter().rposition(|count| *count > 0).unwrap_or(0);
        (first..=last).map(|bin| (middle(bin), self.bins[bin] as f64 / self.count.max(1) as f64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_quantiles_are_those_of_the_lengths_in_any_parts() {
        let lengths: Vec<f64> = (1..=1000).map(|i| 1e-3 * f64::from(i * i)).collect();
        let (mut whole, mut left, mut right) = (Lengths::new(), Lengths::new(), Lengths::new());
        for (i, &length) in lengths.iter().enumerate() {
            whole.push(length);
            if i < 137 { left.push(length) } else { right.push(length) }
        }
        left.merge(&right);
        let mean = lengths.iter().sum::<f64>() / 1000.0;
        let deviation = (lengths.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1000.0).sqrt();
        for found in [&whole, &left] {
            assert!((found.mean - mean).abs() < 1e-12 * mean);
            assert!((found.deviation() - deviation).abs() < 1e-12 * deviation);
            assert_eq!((found.least, found.most, found.count), (1e-3, 1000.0, 1000));
            for share in [0.0_f64, 0.25, 0.5, 0.9, 1.0] {
                let want = lengths[((share * 1000.0).ceil() as usize).clamp(1, 1000) - 1];
                assert!((found.quantile(share) / want - 1.0).abs() < 0.006, "{share}");
            }
        }
        assert_eq!(whole.bins, left.bins);
        let mut ends = Lengths::new();
        [1e-300, 1e300].into_iter().for_each(|length| ends.push(length));
        assert_eq!((ends.quantile(0.0), ends.quantile(1.0)), (1e-300, 1e300));
        let histogram = ends.histogram();
        assert_eq!((histogram.len(), histogram[0], histogram[BINS - 1]), (BINS, (1e-300, 0.5), (1e300, 0.5)));
        let mut none = Lengths::new();
        none.merge(&Lengths::new());
        assert_eq!(none, Lengths::new());
    }
}
