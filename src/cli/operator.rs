//! `octothorpe operator`: who may log in on the operator's listener.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _};
use std::process::ExitCode;

use clap::ValueEnum;
use data_encoding::BASE32_NOPAD;
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::json;
use zeroize::Zeroizing;

use super::check::Report;
use super::{key, wrong};
use crate::access::operator::{Password, Role, Totp};
use crate::ambient;

/// The shortest password that a person may choose, in characters.
const SHORTEST: usize = 12;

/// The longest, in bytes.
const LONGEST: u64 = 1_024;

/// Who may log in on the operator's listener.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an operator: what to write in the configuration, and what to give to the person.
    #[command(after_help = "\
What goes in the configuration is on standard output; the password, and what an authenticator reads, on
standard error, this once. Nothing is written anywhere. After it stands in the configuration, reload.

Examples:
  octothorpe operator new eve --role operator >> /etc/octothorpe/octothorpe.toml
  octothorpe operator new bob --role admin --password-stdin < password
  octothorpe operator new eve --role viewer --json | jq -r .uri

Exit codes: 0 made, 2 wrong usage, 70 our fault.")]
    New {
        /// What they are called.
        #[arg(value_name = "NAME", value_parser = key::tenant_name)]
        name: String,
        /// What they may do.
        #[arg(long)]
        role: Rank,
        /// Take the password from standard input; otherwise one is made.
        #[arg(long)]
        password_stdin: bool,
        /// Print the result as one JSON object, on the last line.
        #[arg(long)]
        json: bool,
    },
}

/// A role, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rank {
    /// Looks on.
    Viewer,
    /// Blocks and lifts, sends events once more, cancels, tests.
    Operator,
    /// Everything: tenants, keys, the configuration, erasure, numbers in full.
    Admin,
}

impl From<Rank> for Role {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::Viewer => Self::Viewer,
            Rank::Operator => Self::Operator,
            Rank::Admin => Self::Admin,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// When no password can be taken, or the terminal cannot be written to.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Command::New { name, role, password_stdin, json } = args.command;
    let password = if password_stdin { read(io::stdin())? } else { fresh() };
    let secrets = Secrets { password, totp: Totp::of(&ambient::secret()) };
    new(&name, role.into(), &secrets, json, io::stderr().is_terminal())?.print()
}

/// What the person gets.
struct Secrets {
    password: Zeroizing<String>,
    totp: Totp,
}

/// A password of 80 bits, in groups that can be typed.
fn fresh() -> Zeroizing<String> {
    let bytes = Zeroizing::new(ambient::secret::<10>());
    let letters = Zeroizing::new(BASE32_NOPAD.encode(&*bytes).to_ascii_lowercase());
    let mut password = Zeroizing::new(String::new());
    for (no, letter) in letters.chars().enumerate() {
        if no > 0 && no % 4 == 0 {
            password.push('-');
        }
        password.push(letter);
    }
    password
}

/// A password that somebody has chosen; one line end behind it is none of it.
fn read(source: impl io::Read) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    source.take(LONGEST).read_to_string(&mut text)?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = Zeroizing::new(password.strip_suffix('\r').unwrap_or(password).to_owned());
    if password.chars().count() < SHORTEST || password.chars().any(char::is_control) {
        return Err(wrong(format!(
            "a password is one line of at least {SHORTEST} characters; leave out --password-stdin to have \
             one made"
        )));
    }
    Ok(password)
}

fn new(
    name: &str,
    role: Role,
    secrets: &Secrets,
    json: bool,
    draw: bool,
) -> anyhow::Result<Report> {
    let Secrets { password, totp } = secrets;
    let hash = Password::of(password, &ambient::secret());
    let hash = hash.ok_or_else(|| wrong("the password is too long"))?.phc();
    let (secret, uri) = (totp.text(), totp.uri(name));
    let toml = format!(
        "[[operators]]\nname = \"{name}\"\nrole = \"{role}\"\npassword = \"{hash}\"\ntotp = \"{}\"\n",
        secret.as_str()
    );
    if json {
        let object = json!({
            "name": name, "role": role, "password": password.as_str(), "totp": secret.as_str(),
            "uri": uri.as_str(), "toml": toml,
        });
        return Ok(Report { out: format!("{object}\n"), err: String::new(), code: 0 });
    }
    let mut err = format!(
        "The password, shown this once: {}\nFor an authenticator: {}\n",
        password.as_str(),
        uri.as_str()
    );
    if draw {
        err.push_str(&drawn(&uri));
    }
    err.push_str(
        "Write what follows in the configuration, and reload; totp better as env:NAME or file:PATH.\n",
    );
    Ok(Report { out: toml, err, code: 0 })
}

/// A QR code, two rows to a line; light on dark as terminals are, with the quiet zone that readers want.
fn drawn(text: &str) -> String {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Low) else { return String::new() };
    let (quiet, mut lines) = (2, String::new());
    let rows = -quiet..code.size() + quiet;
    for y in rows.clone().step_by(2) {
        for x in rows.clone() {
            lines.push(match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        let _ = writeln!(lines);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets { password: fresh(), totp: Totp::of(&ambient::secret()) }
    }

    #[test]
    fn what_is_printed_lets_the_person_in_and_holds_no_password() {
        let secrets = secrets();
        let report = new("eve", Role::Viewer, &secrets, false, false).unwrap();
        let read: toml::Table = toml::from_str(&report.out).unwrap();
        let operator = &read["operators"][0];
        let is = |key: &str, value: &str| operator[key].as_str() == Some(value);
        assert!(is("name", "eve") && is("role", "viewer"));
        let hash = Password::parse(operator["password"].as_str().unwrap()).unwrap();
        assert!(hash.is(&secrets.password) && !hash.is("another"));
        assert!(Totp::parse(operator["totp"].as_str().unwrap()).unwrap() == secrets.totp);
        assert!(!report.out.contains(secrets.password.as_str()));
        assert!(report.err.contains(secrets.password.as_str()));
        assert!(report.err.contains(secrets.totp.uri("eve").as_str()));
        let object = new("eve", Role::Viewer, &secrets, true, true).unwrap().out;
        let object: serde_json::Value = serde_json::from_str(&object).unwrap();
        assert_eq!(object["uri"], secrets.totp.uri("eve").as_str());
    }

    #[test]
    fn a_password_is_made_or_taken_and_never_a_short_one() {
        let made = fresh();
        assert_eq!((made.len(), made.matches('-').count()), (19, 3));
        assert_ne!(made, fresh());
        let taken = |text: &str| read(text.as_bytes()).map(|it| it.to_string());
        assert_eq!(taken("correct horse\r\n").unwrap(), "correct horse");
        for bad in ["", "hunter2\n", "correct horse\nbattery", "elevenchars"] {
            assert!(taken(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_code_is_a_square_with_a_margin() {
        let drawn = drawn(&secrets().totp.uri("eve"));
        let lines: Vec<_> = drawn.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines[0].chars().all(|it| it == '█'));
    }
}
