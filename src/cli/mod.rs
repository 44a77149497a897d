//! The command line: one file per command. Progress goes to stderr, the result to stdout.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands talk to whoever typed them; nothing else here does"
)]

mod admin;
mod api;
mod audit;
mod bench;
mod block;
mod call;
mod capture;
mod cdr;
pub mod check;
mod completions;
mod demo;
mod drain;
mod erase;
mod find;
pub mod key;
mod ladder;
mod man;
mod online;
mod operator;
pub mod phone;
mod pinned;
mod policy;
mod prompts;
mod reload;
mod serve;
mod show;
mod sms;
mod store;
mod tenant;
#[cfg(test)]
mod tests;
mod top;
mod trunk;
mod typed;
mod verdict;
mod verify;
mod watch;
mod webhook;

use std::io::{self, ErrorKind::BrokenPipe};
use std::panic;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::media::{Codec, Srtp};
use crate::verify::signal::Status;

/// Wrong usage or configuration.
const WRONG: u8 = 2;

/// Nobody reads what is printed: as shells have it of a program that SIGPIPE ended.
const UNREAD: u8 = 141;

/// Our fault.
const FAULT: u8 = 70;

/// Which revision this is a build of: see `build.rs`.
const BUILD: &str = env!("OCTOTHORPE_BUILD");

/// Calls a phone, says a prompt, listens for #, and reports one verdict.
#[derive(Debug, Parser)]
#[command(name = "octothorpe", version = crate::failpoint::VERSION, long_version = told(), arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch a real call on this machine: gateway and lab phone in one process.
    Demo(demo::Args),
    /// A lab phone: answers, presses keys, is busy, as told.
    Phone(phone::Args),
    /// Place one call and wait for its verdict; no configuration needed.
    Call(Box<call::Args>),
    /// Send one code by text, and wait for it to come back.
    Sms(Box<sms::Args>),
    /// Verify somebody through a running gateway: start, ask for the code, check it.
    Verify(verify::Args),
    /// Run the gateway.
    Serve(serve::Args),
    /// Have a gateway that runs read its configuration again.
    Reload(reload::Args),
    /// Have a gateway that runs take nothing new, and wait until nothing is under way there.
    Drain(drain::Args),
    /// Say what a configuration means, or everything that is wrong with it.
    Check(check::Args),
    /// The SIP peers of a configuration.
    Trunk(trunk::Args),
    /// What each rule says of a number, or would have said of a day.
    Policy(policy::Args),
    /// Block a number, a range of numbers or a country, by a gateway that runs.
    Block(block::Block),
    /// Lift a block, by a gateway that runs.
    Unblock(block::Unblock),
    /// List what is blocked, by a gateway that runs.
    Blocks(block::Blocks),
    /// Export call detail records, and sum them up, by a gateway that runs.
    Cdr(cdr::Args),
    /// Find verifications, by a gateway that runs.
    Find(find::Args),
    /// Show what happened in a verification, by a gateway that runs.
    Show(show::Args),
    /// Look on while a gateway works: calls, trunks, the last hour.
    Top(top::Args),
    /// The endpoints of tenants, and events that are sent to them once more.
    Webhook(webhook::Args),
    /// Make and judge recordings of what calls say.
    Prompts(prompts::Args),
    /// Check signed verdicts.
    Verdict(verdict::Args),
    /// Make, list, show, change and remove tenants, by a gateway that runs.
    Tenant(tenant::Args),
    /// Make, list and revoke API keys.
    Key(key::Args),
    /// Make operators, who log in with a password and a one-time code.
    Operator(operator::Args),
    /// Copy, compact or seal a store.
    Store(store::Args),
    /// Forget a number: everything that is stored of it.
    Erase(erase::Args),
    /// See whether the audit log was changed.
    Audit(audit::Args),
    /// Measure this build on this machine, against the limits it was built for.
    Bench(bench::Args),
    /// Print what a shell completes this program's commands and options by.
    Completions(completions::Args),
    /// Print the page of the manual, or write those of all commands.
    Man(man::Args),
}

/// Every command with its options.
fn tree() -> clap::Command {
    Cli::command()
}

/// The version, with its build.
fn told() -> &'static str {
    static TOLD: LazyLock<String> =
        LazyLock::new(|| format!("{} (build {BUILD})", crate::failpoint::VERSION));
    &TOLD
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    end_with_reader();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Store(args) => in_runtime(store::run(args)),
        Command::Audit(args) => audit::run(args),
        Command::Erase(args) => in_runtime(erase::run(args)),
        Command::Operator(args) => operator::run(args),
        Command::Prompts(args) => prompts::run(args),
        Command::Verdict(args) => verdict::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Tenant(args) => in_runtime(tenant::run(args)),
        Command::Key(args) => in_runtime(key::run(args)),
        Command::Demo(args) => in_runtime(demo::run(args)),
        Command::Phone(args) => in_runtime(phone::run(args)),
        Command::Check(args) => in_runtime(check::run(args)),
        Command::Trunk(args) => in_runtime(trunk::run(args)),
        Command::Policy(args) => in_runtime(policy::run(args)),
        Command::Cdr(args) => in_runtime(cdr::run(args)),
        Command::Find(args) => in_runtime(find::run(args)),
        Command::Show(args) => in_runtime(show::run(args)),
        Command::Top(args) => in_runtime(top::run(args)),
        Command::Webhook(args) => in_runtime(webhook::run(args)),
        Command::Block(args) => in_runtime(block::block(args)),
        Command::Unblock(args) => in_runtime(block::unblock(args)),
        Command::Blocks(args) => in_runtime(block::blocks(args)),
        Command::Call(args) => in_runtime(call::run(*args)),
        Command::Sms(args) => in_runtime(sms::run(*args)),
        Command::Verify(args) => in_runtime(verify::run(args)),
        Command::Serve(args) => in_runtime(serve::run(args)),
        Command::Reload(args) => in_runtime(reload::run(args)),
        Command::Drain(args) => in_runtime(drain::run(args)),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    done.unwrap_or_else(|error| {
        if error.downcast_ref().is_some_and(|error| io::Error::kind(error) == BrokenPipe) {
            return ExitCode::from(UNREAD);
        }
        eprintln!("octothorpe: {}", whole(&error));
        match error.downcast_ref::<Wrong>() {
            Some(_) => ExitCode::from(WRONG),
            None => ExitCode::from(FAULT),
        }
    })
}

/// An error and what lies behind it, each thing once: some say theirs themselves.
fn whole(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |said, cause| {
        if said.contains(&cause) { said } else { format!("{said}: {cause}") }
    })
}

/// Has the program end without a word when nobody reads what it prints any more, as after `| head`: `println!` panics
/// then.
fn end_with_reader() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        if panicked.payload().downcast_ref().is_some_and(|said: &String| unread(said)) {
            std::process::exit(UNREAD.into());
        }
        usual(panicked);
    }));
}

/// Whether this is what `println!` says when nobody reads it.
fn unread(said: &str) -> bool {
    said.starts_with("failed printing to std") && said.contains("Broken pipe")
}

fn in_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    // TLS of the outbound client; set once, before anything could connect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}

/// Whether media are encrypted, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encrypt {
    /// Never.
    Off,
    /// Where the other side does it too.
    Preferred,
    /// Always: a call in the clear ends.
    Required,
}

impl From<Encrypt> for Srtp {
    fn from(how: Encrypt) -> Self {
        match how {
            Encrypt::Off => Self::Off,
            Encrypt::Preferred => Self::Preferred,
            Encrypt::Required => Self::Required,
        }
    }
}

/// A codec, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Coding {
    /// G.711, µ-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// G.722.
    G722,
}

impl From<Coding> for Codec {
    fn from(coding: Coding) -> Self {
        match coding {
            Coding::Pcmu => Self::PCMU,
            Coding::Pcma => Self::PCMA,
            Coding::G722 => Self::G722,
        }
    }
}

/// Wrong usage: the person who typed it can mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

/// An error that the person who typed the command can mend.
fn wrong(why: impl Into<String>) -> anyhow::Error {
    Wrong(why.into()).into()
}

/// Lets this process have as many files open as its hard limit allows, a call takes two of them; how
/// many that is.
fn open_files() -> anyhow::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// A text of a JSON object; empty where there is none.
fn text<'a>(value: &'a serde_json::Value, key: &str) -> &'a str {
    value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// How many of something, in words for people.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How often a code may still be compared.
fn checks_left(count: u64) -> String {
    counted(count, "check left", "checks left")
}

/// The exit code of a verdict.
fn verdict_code(status: Status) -> ExitCode {
    ExitCode::from(match status {
        Status::Approved => 0,
        Status::Denied => 1,
        Status::Expired => 3,
        Status::Failed => 4,
        Status::Canceled => 5,
        Status::Pending => FAULT,
    })
}
