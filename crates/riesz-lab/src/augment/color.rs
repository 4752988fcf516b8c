//! Changes of color: torchvision's `adjust_brightness`, `adjust_contrast`, `adjust_saturation`, `adjust_hue`,
//! `rgb_to_grayscale` and `solarize` on float pictures. Saturation, hue and grayscale leave grey pictures alone.

use super::picture::{Picture, luma};

/// x ← f x, clamped.
pub fn brightness(picture: &mut Picture, factor: f32) {
    for x in &mut picture.pixels {
        *x = (*x * factor).clamp(0.0, 1.0);
    }
}

/// x ← f x + (1 − f) m, clamped; m is the mean luma of the picture.
pub fn contrast(picture: &mut Picture, factor: f32) {
    let sum: f64 = match picture.channels {
        3 => picture.pixels.chunks_exact(3).map(|pixel| f64::from(luma(pixel))).sum(),
        _ => picture.pixels.iter().map(|&x| f64::from(x)).sum(),
    };
    let mean = (sum / (picture.height * picture.width) as f64) as f32;
    for x in &mut picture.pixels {
        *x = blend(*x, mean, factor);
    }
}

/// x ← f x + (1 − f) luma, clamped.
pub fn saturation(picture: &mut Picture, factor: f32) {
    if picture.channels != 3 {
        return;
    }
    for pixel in picture.pixels.chunks_exact_mut(3) {
        let grey = luma(pixel);
        pixel.iter_mut().for_each(|x| *x = blend(*x, grey, factor));
    }
}

/// Turns the hue by `turn` of a circle, from −½ to ½.
pub fn hue(picture: &mut Picture, turn: f32) {
    if picture.channels != 3 {
        return;
    }
    for pixel in picture.pixels.chunks_exact_mut(3) {
        let [h, s, v] = to_hsv([pixel[0], pixel[1], pixel[2]]);
        pixel.copy_from_slice(&to_rgb([(h + turn).rem_euclid(1.0), s, v]));
    }
}

/// All channels become the luma.
pub fn grayscale(picture: &mut Picture) {
    if picture.channels != 3 {
        return;
    }
    for pixel in picture.pixels.chunks_exact_mut(3) {
        let grey = luma(pixel);
        pixel.fill(grey);
    }
}

/// x ← 1 − x where x is at least the threshold.
pub fn solarize(picture: &mut Picture, threshold: f32) {
    for x in &mut picture.pixels {
        if *x >= threshold {
            *x = 1.0 - *x;
        }
    }
}

fn blend(x: f32, other: f32, factor: f32) -> f32 {
    (factor * x + (1.0 - factor) * other).clamp(0.0, 1.0)
}

/// Red, green, blue in [0, 1] → hue in [0, 1), saturation, value.
fn to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let spread = most - least;
    if spread == 0.0 {
        return [0.0, 0.0, most];
    }
    let [rc, gc, bc] = [r, g, b].map(|x| (most - x) / spread);
    let sixths = if most == r {
        bc - gc
    } else if most == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    [(sixths / 6.0 + 1.0).fract(), spread / most, most]
}

fn to_rgb([h, s, v]: [f32; 3]) -> [f32; 3] {
    let sector = (h * 6.0).floor();
    let within = h * 6.0 - sector;
    let p = (v * (1.0 - s)).clamp(0.0, 1.0);
    let q = (v * (1.0 - s * within)).clamp(0.0, 1.0);
    let t = (v * (1.0 - s * (1.0 - within))).clamp(0.0, 1.0);
    match sector as i32 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}
