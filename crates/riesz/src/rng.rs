//! Keyed randomness: every draw is a function of a path of numbers, such as (seed, stream, epoch, item, view).
//! No generator is shared or advanced, so threads, resuming and reordering cannot change a draw.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A path of numbers below one seed. Two different paths give independent streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u64; 4]);

impl Key {
    /// The root of all draws of one seed.
    pub fn new(seed: u64) -> Self {
        Self([seed, 0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb]).mixed()
    }

    /// The key one step below, at `number`.
    #[must_use]
    pub fn at(self, number: u64) -> Self {
        let mut key = self;
        key.0[0] ^= number;
        key.0[1] = key.0[1].wrapping_add(1);
        key.mixed()
    }

    /// The key one step below, at a name: `Key::new(seed).stream("augment")`.
    #[must_use]
    pub fn stream(self, name: &str) -> Self {
        name.bytes().fold(self.at(name.len() as u64), |key, byte| key.at(u64::from(byte)))
    }

    /// The key in four numbers, for a file: what [`Key::from_words`] takes.
    pub fn words(self) -> [u64; 4] {
        self.0
    }

    /// The key that had these [`words`](Key::words).
    pub fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    /// A number of 64 random bits at this key, for where a generator would be too much.
    pub fn number(self) -> u64 {
        self.0[0]
    }

    /// A generator for the draws at this key.
    pub fn rng(self) -> Generator {
        let mut seed = [0; 32];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Generator(ChaCha8Rng::from_seed(seed))
    }

    /// Two rounds of a 256-bit mixer made of 64-bit finalizers (Stafford's variant 13), each word feeding the next.
    fn mixed(self) -> Self {
        let mut word = self.0;
        for _ in 0..2 {
            for i in 0..4 {
                let mut x = word[i] ^ word[(i + 3) % 4].rotate_left(23);
                x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                word[i] = x ^ (x >> 31);
            }
        }
        Self(word)
    }
}

/// What draws at one [`Key`]: ChaCha of 8 rounds, whose bits stay what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generator(ChaCha8Rng);

impl Generator {
    /// The next 64 random bits, for a law that is not here, or as the seed of a generator of another crate.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// A number in [0, 1) with 53 random bits.
pub fn uniform(rng: &mut Generator) -> f64 {
    (rng.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A standard normal draw (Box and Muller's method, one of the pair).
pub fn normal(rng: &mut Generator) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(rng)).cos()
}

/// An integer in 0 .. `below`, unbiased (Lemire's multiplication with rejection).
///
/// # Panics
/// If `below` is 0.
pub fn below(rng: &mut Generator, below: u64) -> u64 {
    assert!(below > 0, "an integer below 0 was asked for");
    let threshold = below.wrapping_neg() % below;
    loop {
        let wide = u128::from(rng.bits()) * u128::from(below);
        if wide as u64 >= threshold {
            return (wide >> 64) as u64;
        }
    }
}

/// The numbers 0 .. `n` in an order drawn from `rng` (Fisher and Yates).
pub fn permutation(rng: &mut Generator, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, below(rng, i as u64 + 1) as usize);
    }
    order
}
