//! The program: see [`octothorpe::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, and whoever is the first to touch one waits until all of it is cleared:
    // 7 to 9 ms have been measured, several times a second while starts come in, on the one thread that answers
    // them. Where the kernel knows no such setting, it has no such pages either.
    let _ = nix::sys::prctl::set_thp_disable(true);
    octothorpe::cli::main()
}
