//! Progress of long work: a bar with rate and time left on a terminal, plain lines when piped.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::{errln, visible};

/// Progress through a known number of units.
pub struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    total: u64,
    done: u64,
    first: u64,
    is_even: bool,
    started: Instant,
    said: Instant,
    quiet: bool,
}

/// Without a terminal a line is said no more often than this.
const BETWEEN_LINES: Duration = Duration::from_secs(20);

impl Progress {
    /// Starts at `done` of `total` units; `label` names the work and `unit` what is counted.
    pub fn new(label: &str, unit: &str, done: u64, total: u64, quiet: bool) -> Self {
        Self::through(label, unit, done, total, quiet, true)
    }

    /// Starts on `total` steps of which one may be much more work than another, so that those that are done do not tell the time that is
    /// left: the time that passed is said.
    pub fn uneven(label: &str, total: u64, quiet: bool) -> Self {
        Self::through(label, "steps", 0, total, quiet, false)
    }

    fn through(label: &str, unit: &str, done: u64, total: u64, quiet: bool, is_even: bool) -> Self {
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let left = if is_even { " < {eta_precise}" } else { "" };
            let template = format!(
                "{{prefix}} {{bar:28.cyan/blue}} {{pos}}/{{len}} {unit}  {{msg}}  {{elapsed_precise}}{left}"
            );
            let style = ProgressStyle::with_template(&template)
                .expect("the template above is well-formed")
                .progress_chars("█▉▊▋▌▍▎▏ ");
            let bar =
                ProgressBar::new(total).with_style(style).with_prefix(label.to_owned()).with_position(done);
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Self {
            bar,
            label: label.to_owned(),
            total,
            done,
            first: done,
            is_even,
            started: now,
            said: now,
            quiet,
        }
    }

    /// `units` more are done; `message` says where things stand.
    pub fn advance(&mut self, units: u64, message: impl FnOnce() -> String) {
        self.done += units;
        if let Some(bar) = &self.bar {
            bar.set_message(visible(&message()).into_owned());
            bar.set_position(self.done);
        } else if !self.quiet && self.said.elapsed() >= BETWEEN_LINES {
            self.said = Instant::now();
            errln!("{} {}/{}  {}  {}", self.label, self.done, self.total, message(), self.time());
        }
    }

    /// Says a line that stays, above the bar.
    pub fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.println(visible(line)),
            None => errln!("{line}"),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Units a second since the start.
    pub fn rate(&self) -> f64 {
        (self.done - self.first) as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// What is left at the rate so far, or what passed.
    fn time(&self) -> String {
        if self.is_even {
            let left = self.total.saturating_sub(self.done) as f64 / self.rate().max(1e-9);
            format!("{} left", duration(left))
        } else {
            format!("{} so far", duration(self.started.elapsed().as_secs_f64()))
        }
    }
}

/// Seconds in words: `42 s`, `3 min 20 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5999 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_said_of_even_steps_alone() {
        let mut even = Progress::new("reading", "images", 0, 4, true);
        let mut uneven = Progress::uneven("evaluating", 7, true);
        for progress in [&mut even, &mut uneven] {
            progress.started -= Duration::from_secs(4);
            progress.advance(1, || "raw pixels".to_owned());
        }
        assert_eq!((even.time().as_str(), uneven.time().as_str()), ("12 s left", "4 s so far"));
    }
}
