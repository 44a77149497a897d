//! The commands as a whole: what each of them must have, and that what is written of them can be typed.

use std::fs;
use std::path::Path;

use clap::{Command, Parser as _};

use super::{Cli, tree};
use crate::gateway::StartError;
use crate::sip::Hop;

/// Commands whose output is meant for a program of one kind, and is nothing else with `--json`.
const FOR_PROGRAMS: &[&str] = &["octothorpe-completions", "octothorpe-man"];

/// Every command that can be carried out, with its name.
fn leaves() -> Vec<(String, Command)> {
    fn add(command: &Command, found: &mut Vec<(String, Command)>) {
        if command.has_subcommands() {
            let visible = command.get_subcommands().filter(|it| it.get_name() != "help");
            visible.for_each(|it| add(it, found));
        } else {
            let name = command.get_display_name().unwrap_or_default().to_owned();
            found.push((name, command.clone()));
        }
    }
    let mut tree = tree();
    tree.build();
    let mut found = Vec::new();
    add(&tree, &mut found);
    found
}

/// The words of each command of this program that a shell would run, with what stands around them left out:
/// pipes, redirections, variables in front, comments.
fn commands(script: &str) -> Vec<Vec<String>> {
    let script = script.replace("\\\n", " ");
    script.lines().flat_map(of_line).filter_map(ours).collect()
}

/// A line as a shell cuts it up: commands of words; a file that something is taken from or written to is no word.
fn of_line(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quote, mut to_file) = (None, false);
    for letter in line.chars().chain(['\n']) {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '#') if word.is_none() => break,
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            (None, ' ' | '\n' | '|' | ';' | '&' | '(' | ')' | '<' | '>') => {
                if let Some(done) = word.take()
                    && !std::mem::take(&mut to_file)
                {
                    words.push(done);
                }
                to_file |= matches!(letter, '<' | '>');
                if matches!(letter, '\n' | '|' | ';' | '&' | '(' | ')') {
                    commands.push(std::mem::take(&mut words));
                }
            }
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    commands.push(words);
    commands
}

/// The command, if it is one of this program.
fn ours(words: Vec<String>) -> Option<Vec<String>> {
    let is_set = |word: &&String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|it| it.is_ascii_uppercase() || it == '_' || it.is_ascii_digit())
        })
    };
    let set = words.iter().take_while(is_set).count();
    let words = &words[set..];
    let cargo = ["cargo", "run", "--release", "--"];
    match words {
        [first, rest @ ..] if first == "octothorpe" && !rest.is_empty() => Some(words.to_vec()),
        [_, _, _, _, rest @ ..] if words[..4] == cargo => {
            Some(std::iter::once("octothorpe".to_owned()).chain(rest.iter().cloned()).collect())
        }
        _ => None,
    }
}

/// What is typed in a page: its blocks of `sh`, and what follows a `$` in its blocks of `console`.
fn typed(page: &str) -> String {
    let (mut block, mut typed) = ("", String::new());
    for line in page.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(kind), "") => block = if kind.is_empty() { "text" } else { kind },
            (Some(_), _) => block = "",
            (None, "sh") => typed.push_str(&format!("{line}\n")),
            (None, "console") => {
                let command = line.strip_prefix("$ ").unwrap_or_default();
                typed.push_str(&format!("{command}\n"));
            }
            (None, _) => {}
        }
    }
    typed
}

/// What cannot be typed as it is written, with why.
fn refused(script: &str) -> Vec<String> {
    let judged = commands(script).into_iter().filter_map(|words| {
        // Some are read with the line, and are not set here.
        let known =
            |word: &String| if word.starts_with("env:") { "secret" } else { word }.to_owned();
        let words: Vec<String> = words.iter().map(known).collect();
        // To print a version is no mistake.
        let error = Cli::try_parse_from(&words).err().filter(|it| it.exit_code() != 0)?;
        Some(format!("{}: {error}", words.join(" ")))
    });
    judged.collect()
}

#[test]
fn every_command_says_examples_and_exit_codes_and_has_json() {
    let leaves = leaves();
    assert!(leaves.len() > 40, "{}", leaves.len());
    let mut wanting = Vec::new();
    for (name, command) in &leaves {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let has_json = command.get_arguments().any(|it| it.get_long() == Some("json"));
        if has_json == FOR_PROGRAMS.contains(&name.as_str()) {
            wanting.push(format!("{name}: --json"));
        }
        for words in ["Examples:", "Exit codes: 0 "] {
            if !help.contains(words) {
                wanting.push(format!("{name}: {words}"));
            }
        }
    }
    assert!(wanting.is_empty(), "{wanting:#?}");
}

#[test]
fn what_lies_behind_an_error_is_told_once() {
    let lost = || std::io::Error::other("the wire is cut");
    let hop = Hop::udp("203.0.113.20:5060".parse().unwrap());
    let says_it = StartError::Listen { hop, source: lost() };
    let told = "cannot take SIP on udp:203.0.113.20:5060: the wire is cut";
    assert_eq!(super::whole(&says_it.into()), told);
    let wrapped = anyhow::Error::from(lost()).context("the answer broke off");
    assert_eq!(super::whole(&wrapped), "the answer broke off: the wire is cut");
}

#[test]
fn every_example_can_be_typed() {
    let mut typed = 0;
    for (name, command) in leaves() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = commands(&help);
        let own = name.replace('-', " ");
        let is_own =
            |words: &Vec<String>| format!("{} ", words.join(" ")).starts_with(&format!("{own} "));
        assert!(examples.iter().any(is_own), "{name} has no example of itself: {help}");
        let refused = refused(&help);
        assert!(refused.is_empty(), "{name}: {refused:#?}");
        typed += examples.len();
    }
    assert!(typed > 90, "{typed}");
}

#[test]
fn every_command_of_the_guides_can_be_typed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for page in ["README.md", "src/OPERATIONS.md", "src/SECURITY.md"] {
        let typed = typed(&fs::read_to_string(root.join(page)).unwrap());
        let refused = refused(&typed);
        assert!(refused.is_empty(), "{page}: {refused:#?}");
        found += commands(&typed).len();
    }
    assert!(found > 40, "{found}");
}

#[test]
fn a_line_is_cut_up_as_a_shell_does() {
    let cut =
        |line: &str| commands(line).into_iter().map(|it| it[1..].join("|")).collect::<Vec<_>>();
    assert_eq!(cut("A=1 B_2=x octothorpe show 'a b' --json | jq -r .x"), ["show|a b|--json"]);
    assert_eq!(cut("(umask 077; octothorpe key new > acme.key)   # octothorpe x"), ["key|new"]);
    assert_eq!(
        cut("jq . x | octothorpe verdict verify - --keys k < in"),
        ["verdict|verify|-|--keys|k"]
    );
    assert_eq!(cut("cargo run --release -- demo \\\n  --wav x.wav"), ["demo|--wav|x.wav"]);
    assert_eq!(
        cut("octothorpe phone --press '#' & octothorpe man && echo octothorpe"),
        ["phone|--press|#", "man"]
    );
    assert_eq!(refused("octothorpe shwo x").len(), 1);
}
