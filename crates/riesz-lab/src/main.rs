//! The command `riesz`: parse, run, exit code.

#![expect(clippy::print_stderr, reason = "the one place where an error is told")]

use std::process::ExitCode;

use clap::Parser;
use riesz_lab::cli::Cli;

fn main() -> ExitCode {
    riesz_lab::memory::keep_freed();
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("riesz: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
