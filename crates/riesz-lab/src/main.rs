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
    ended(|| asked().map_or(Ok(()), |asked| asked.run()).and_then(|()| printed()))
}

/// What the command line asks for; `None` if that is help or the version, which is printed. Bad use ends the program.
fn asked() -> Option<Cli> {
    match Cli::try_parse() {
        Ok(asked) => Some(asked),
        Err(refused) if refused.use_stderr() => refused.exit(),
        Err(help) => {
            console::note(help.print());
            None
        }
    }
}
