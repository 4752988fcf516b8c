//! Changes of color: torchvision's `adjust_brightness`, `adjust_contrast`, `adjust_saturation`, `adjust_hue`,
//! `rgb_to_grayscale` and `solarize` on float pictures. Saturation, hue and grayscale leave grey pictures alone.
//!
//! Each is one pass over the planes, compiled for several instruction sets; there are no branches per pixel.

use pulp::{Arch, Simd, WithSimd};

use super::picture::{Picture, luma};

/// x ← f x, clamped.
pub fn brightness(picture: &mut Picture, factor: f32) {
    each(picture, |x| (x * factor).clamp(0.0, 1.0));
}

/// x ← f x + (1 − f) m, clamped; m is the mean luma of the picture.
pub fn contrast(picture: &mut Picture, factor: f32) {
    let sum = match picture.channels {
        3 => {
            let [red, green, blue] = picture.rgb();
            Arch::new().dispatch(Sum { length: red.len(), number: |i| luma([red[i], green[i], blue[i]]) })
        }
        _ => Arch::new().dispatch(Sum { length: picture.pixels.len(), number: |i| picture.pixels[i] }),
    };
    let mean = (sum / (picture.height * picture.width) as f64) as f32;
    each(picture, |x| blend(x, mean, factor));
}

/// x ← f x + (1 − f) luma, clamped.
pub fn saturation(picture: &mut Picture, factor: f32) {
    each_pixel(picture, Saturation(factor));
}

/// Turns the hue by `turn` of a circle, from −½ to ½.
pub fn hue(picture: &mut Picture, turn: f32) {
    each_pixel(picture, Turn(turn));
}

/// All channels become the luma.
pub fn grayscale(picture: &mut Picture) {
    each_pixel(picture, Grey);
}

/// x ← 1 − x where x is at least the threshold.
pub fn solarize(picture: &mut Picture, threshold: f32) {
    each(picture, |x| if x >= threshold { 1.0 - x } else { x });
}

/// A change of a pixel in color.
trait Change: Copy {
    fn of(self, pixel: [f32; 3]) -> [f32; 3];
}

#[derive(Clone, Copy)]
struct Saturation(f32);

impl Change for Saturation {
    #[inline(always)]
    fn of(self, pixel: [f32; 3]) -> [f32; 3] {
        let grey = luma(pixel);
        let [r, g, b] = pixel;
        [blend(r, grey, self.0), blend(g, grey, self.0), blend(b, grey, self.0)]
    }
}

#[derive(Clone, Copy)]
struct Turn(f32);

impl Change for Turn {
    #[inline(always)]
    fn of(self, pixel: [f32; 3]) -> [f32; 3] {
        let [h, s, v] = to_hsv(pixel);
        let turned = h + self.0;
        to_rgb([turned - turned.floor(), s, v])
    }
}

#[derive(Clone, Copy)]
struct Grey;

impl Change for Grey {
    #[inline(always)]
    fn of(self, pixel: [f32; 3]) -> [f32; 3] {
        [luma(pixel); 3]
    }
}

/// Changes every number.
fn each(picture: &mut Picture, change: impl Fn(f32) -> f32) {
    struct Each<'a, F>(&'a mut [f32], F);
    impl<F: Fn(f32) -> f32> WithSimd for Each<'_, F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self(numbers, change) = self;
            numbers.iter_mut().for_each(|x| *x = change(*x));
        }
    }
    Arch::new().dispatch(Each(&mut picture.pixels, change));
}

/// Changes every pixel of a picture in color.
fn each_pixel(picture: &mut Picture, change: impl Change) {
    struct EachPixel<'a, C>([&'a mut [f32]; 3], C);
    impl<C: Change> WithSimd for EachPixel<'_, C> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self([red, green, blue], change) = self;
            for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
                [*r, *g, *b] = change.of([*r, *g, *b]);
            }
        }
    }
    if picture.channels == 3 {
        Arch::new().dispatch(EachPixel(picture.rgb_mut(), change));
    }
}

/// The sum of some numbers, in lanes.
struct Sum<F> {
    length: usize,
    number: F,
}

impl<F: Fn(usize) -> f32> WithSimd for Sum<F> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        const LANES: usize = 16;
        let Self { length, number } = self;
        let mut lanes = [0.0_f64; LANES];
        for start in 0..length / LANES {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum += f64::from(number(start * LANES + lane));
            }
        }
        let rest = (length / LANES * LANES..length).map(|i| f64::from(number(i)));
        lanes.iter().sum::<f64>() + rest.sum::<f64>()
    }
}

#[inline(always)]
fn blend(x: f32, other: f32, factor: f32) -> f32 {
    (factor * x + (1.0 - factor) * other).clamp(0.0, 1.0)
}

/// Red, green, blue in [0, 1] → hue in [0, 1), saturation, value.
#[inline(always)]
fn to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let smaller = |a: f32, b: f32| if a < b { a } else { b };
    let (most, least) = (larger(larger(r, g), b), smaller(smaller(r, g), b));
    let spread = most - least;
    // Grey has no hue: all three numerators are 0 then.
    let divisor = if spread == 0.0 { 1.0 } else { spread };
    let (rc, gc, bc) = ((most - r) / divisor, (most - g) / divisor, (most - b) / divisor);
    let sixths = if most == r {
        bc - gc
    } else if most == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    let hue = sixths / 6.0 + 1.0;
    let saturation = spread / if most == 0.0 { 1.0 } else { most };
    [hue - hue.floor(), saturation, most]
}

/// Hue in [0, 1], saturation, value → red, green, blue.
#[inline(always)]
fn to_rgb([h, s, v]: [f32; 3]) -> [f32; 3] {
    let sector = (h * 6.0).floor();
    let within = h * 6.0 - sector;
    let p = (v * (1.0 - s)).clamp(0.0, 1.0);
    let q = (v * (1.0 - s * within)).clamp(0.0, 1.0);
    let t = (v * (1.0 - s * (1.0 - within))).clamp(0.0, 1.0);
    [
        of_sector(sector, [v, q, p, p, t, v]),
        of_sector(sector, [t, v, v, q, p, p]),
        of_sector(sector, [p, p, t, v, v, q]),
    ]
}

/// One of the six; a hue that was rounded up to 1 is in the first.
#[inline(always)]
fn of_sector(sector: f32, [first, second, third, fourth, fifth, sixth]: [f32; 6]) -> f32 {
    let low = if sector == 1.0 { second } else { first };
    let middle = if sector == 2.0 { third } else { fourth };
    let high = if sector == 4.0 { fifth } else { sixth };
    let rising = if sector < 2.0 { low } else { middle };
    let falling = if sector < 6.0 { high } else { first };
    if sector < 4.0 { rising } else { falling }
}
