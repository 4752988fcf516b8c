//! The command `riesz`: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use riesz_lab::cli::Cli;
use riesz_lab::{Error, console};

fn main() -> ExitCode {
    riesz_lab::memory::keep_freed();
    let printed = || console::finish().map_err(|error| Error::io("standard output", &error));
    match Cli::parse().run().and_then(|()| printed()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::tell(format_args!("riesz: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
