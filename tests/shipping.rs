//! What is shipped with the program: the manual, completions, the unit of systemd, the package, images.
//! It needs `mandoc`, `zsh`, `fish` and `systemd-analyze` (`tests/run peers` installs them).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What `package/build` writes, and the package takes from there.
const MADE: &str = "target/";

fn octothorpe(words: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_octothorpe")).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    output.stdout
}

/// What a program says of this input.
fn judged(program: &str, package: &str, words: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = command.spawn();
    let mut child = spawned.unwrap_or_else(|_| panic!("apt-get install {package}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn root(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The assets of the package: where they are, and where they go.
fn assets() -> Vec<(String, String)> {
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let part = |asset: &toml::Value, no: usize| asset[no].as_str().unwrap().to_owned();
    assets.iter().map(|asset| (part(asset, 0), part(asset, 1))).collect()
}

#[test]
fn every_page_of_the_manual_is_well_formed() {
    let folder = tempfile::tempdir().unwrap();
    octothorpe(&["man", "--out", &folder.path().display().to_string()]);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read(&path).unwrap();
        names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        let said = judged("mandoc", "mandoc", &["-T", "lint", "-W", "error"], &page);
        assert!(said.status.success(), "{}: {}", path.display(), text(&said.stdout));
        let shown = judged("mandoc", "mandoc", &["-T", "utf8", "-W", "error"], &page);
        // What is bold is struck twice.
        let shown: String = text(&shown.stdout).split('\u{8}').map(once).collect();
        // An example has a line of its own.
        let lines = shown.lines().filter(|line| line.trim_start().starts_with("octothorpe "));
        assert!(lines.count() > 0 || shown.contains("SUBCOMMANDS"), "{}: {shown}", path.display());
    }
    for name in ["octothorpe.1", "octothorpe-serve.1", "octothorpe-trunk-test.1"] {
        assert!(names.contains(name), "{names:?}");
    }
    assert_eq!(octothorpe(&["man"]), fs::read(folder.path().join("octothorpe.1")).unwrap());
}

#[test]
fn shells_take_the_completions() {
    for (shell, words) in
        [("bash", &["-n"] as &[&str]), ("zsh", &["-n"]), ("fish", &["--no-execute"])]
    {
        let script = octothorpe(&["completions", shell]);
        let said = judged(shell, shell, words, &script);
        assert!(said.status.success() && said.stderr.is_empty(), "{shell}: {}", text(&said.stderr));
    }
    // What bash offers behind `octothorpe tru` and `octothorpe trunk `.
    let script = text(&octothorpe(&["completions", "bash"]));
    let offers = |words: &str, last: usize| {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}) COMP_CWORD={last}; _octothorpe octothorpe \
             \"${{COMP_WORDS[{last}]}}\" x; echo \"${{COMPREPLY[@]}}\""
        );
        text(&judged("bash", "bash", &[], ask.as_bytes()).stdout)
    };
    assert_eq!(offers("octothorpe tru", 1).trim(), "trunk");
    let trunk = offers("octothorpe trunk ''", 2);
    assert!(trunk.contains("list") && trunk.contains("test"), "{trunk}");
}

#[test]
fn what_the_package_takes_is_there() {
    for (from, to) in assets() {
        assert!(!to.starts_with('/'), "{to}");
        if from.starts_with(MADE) {
            let script = read("package/build");
            let name = from.rsplit('/').next().unwrap_or_default();
            let stem = name.split(['.', '*']).next().unwrap_or_default();
            assert!(script.contains(stem), "package/build makes no {from}");
            continue;
        }
        let (folder, pattern) = from.rsplit_once('/').unwrap_or((".", &from));
        let ends = pattern.strip_prefix('*');
        let found = fs::read_dir(root(folder)).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name().to_string_lossy().into_owned();
            ends.map_or(name == pattern, |ends| name.ends_with(ends))
        });
        assert!(found.count() > 0, "{from}");
    }
}

#[test]
fn the_unit_is_sound_and_shut() {
    let unit = read("package/octothorpe.service");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("octothorpe.service");
    // The program is not installed here.
    let here = unit.replace("/usr/bin/octothorpe", env!("CARGO_BIN_EXE_octothorpe"));
    fs::write(&file, here.replace("Documentation=", "#Documentation=")).unwrap();
    let analyze = |words: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(words).arg(&file).output();
        output.unwrap_or_else(|_| panic!("apt-get install systemd"))
    };
    let said = analyze(&["verify"]);
    assert!(said.status.success() && said.stderr.is_empty(), "{}", text(&said.stderr));
    // Of 10.0, in tenths: the less, the better.
    let said = analyze(&["security", "--offline=true", "--threshold=15"]);
    assert!(said.status.success(), "{}", text(&said.stdout));
    // It starts what the package installs, with what the package installs.
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/")).unwrap();
    let (program, rest) = start.split_once(" serve --config /").unwrap();
    let goes_to = |wanted: &str| {
        assets().iter().any(|(from, to)| {
            let name = from.rsplit('/').next().unwrap_or_default();
            to == wanted || (to.ends_with('/') && format!("{to}{name}") == wanted)
        })
    };
    assert!(goes_to(program) && goes_to(rest), "{start}");
}

#[test]
fn the_image_has_what_a_build_needs() {
    let file = read("docker/Dockerfile");
    let copied: Vec<&str> = file
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| line.split_whitespace())
        .collect();
    let mut needed = vec!["Cargo.toml", "Cargo.lock", "build.rs", "src"];
    needed.extend(["prompts", "config"]);
    for path in needed {
        assert!(copied.contains(&path), "{path}: {copied:?}");
        assert!(Path::new(&root(path)).exists());
    }
    let user = file.lines().position(|line| line.starts_with("USER octothorpe"));
    let start = file.lines().position(|line| line.starts_with("ENTRYPOINT"));
    assert!(user.is_some() && user < start && file.contains("\nHEALTHCHECK "), "{file}");
}

/// What was struck, without its last letter: a backspace follows, or nothing but a line end.
fn once(part: &str) -> &str {
    part.char_indices().next_back().map_or(part, |(last, _)| &part[..last])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
