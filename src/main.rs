//! The program: see [`octothorpe::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    octothorpe::cli::main()
}
