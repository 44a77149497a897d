//! Which revision a build is of, for those who run it: `OCTOTHORPE_BUILD` where it is set, as whoever packages a
//! source tree without its repository does; otherwise what git says of the tree. Without either the build goes on,
//! and says that it is not known. Only builds for use ask git: each commit would build a developer's tree anew.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=OCTOTHORPE_BUILD");
    let written = env::var("OCTOTHORPE_BUILD").ok().filter(|it| !it.is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let build = match written {
        Some(build) => build,
        None if is_release => revision().unwrap_or_else(|| "unknown".to_owned()),
        None => "debug".to_owned(),
    };
    println!("cargo::rustc-env=OCTOTHORPE_BUILD={build}");
}

/// The commit, with `-dirty` behind it where the tree differs from it.
fn revision() -> Option<String> {
    // A checkout and a commit write there, and what makes a tree dirty stands under the others.
    for path in ["HEAD", "logs/HEAD"] {
        println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--git-path", path])?);
    }
    for path in ["src", "prompts", "config", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
}

fn git(words: &[&str]) -> Option<String> {
    let told = Command::new("git").args(words).output().ok()?;
    let line = String::from_utf8(told.stdout).ok()?.trim().to_owned();
    (told.status.success() && !line.is_empty()).then_some(line)
}
