//! The command `riesz`: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use riesz_lab::cli::Cli;
use riesz_lab::{Error, console, ended};

/// musl's own gives each large tensor back to the system, which clears it again.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    riesz_lab::memory::keep_freed();
    riesz_lab::interrupt::refuse_large_files();
    let printed = || console::finish().map_err(|error| Error::io("standard output", &error));
    ended(|| Cli::parse().run().and_then(|()| printed()))
}
