//! `octothorpe verdict`: checks a signed verdict, as a relying party does.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::wrong;
use crate::verify::proof::{self, Claims, Jwks};
use crate::verify::transaction::Transaction;

/// Verdicts that are signed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check that a verdict is a gateway's, and whole.
    #[command(after_help = "\
Examples:
  curl -s https://verify.example.com/.well-known/jwks.json > keys.json
  jq -r .data.verdict event.json | octothorpe verdict verify - --keys keys.json
  octothorpe verdict verify eyJhbGciOi… --keys keys.json --id vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE \\
    --amount 49.90 --currency EUR --payee ACME

Exit codes: 0 it is proved and approved, and all that was named is as it says; 1 it is not; 2 wrong usage,
or keys that cannot be read.")]
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The verdict, a compact JWS; - reads it from standard input.
    token: String,
    /// The gateway's public keys, as /.well-known/jwks.json serves them.
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// The verification it must be of.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The tenant it must be for.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The person it must be of, by the caller's name.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// The sign-in it must be of, by the caller's name.
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// The amount that must have been agreed to.
    #[arg(long, requires_all = ["currency", "payee"])]
    amount: Option<String>,
    /// Its currency.
    #[arg(long, requires = "amount")]
    currency: Option<String>,
    /// Who gets it.
    #[arg(long, requires = "amount")]
    payee: Option<String>,
    /// Print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
///
/// # Errors
/// When the keys or the verdict cannot be read.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Verify(args) = args.command;
    let file = args.keys.display();
    let text =
        std::fs::read_to_string(&args.keys).map_err(|why| wrong(format!("{file}: {why}")))?;
    let keys: Jwks = serde_json::from_str(&text).map_err(|why| {
        wrong(format!("{file}: {why}: write there what /.well-known/jwks.json serves"))
    })?;
    let token = match args.token.as_str() {
        "-" => {
            let mut text = String::new();
            let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
            read.context("cannot read the verdict")?;
            text
        }
        token => token.to_owned(),
    };
    let judged = proof::check(token.trim(), &keys).map_err(|why| why.to_string());
    let judged = judged.and_then(|claims| match args.objection(&claims) {
        Some(why) => Err(why),
        None => Ok(claims),
    });
    args.tell(&judged);
    let approved = judged.is_ok_and(|claims| claims.status == "approved");
    Ok(if approved { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Verify {
    /// What of it is not as it was hoped.
    fn objection(&self, claims: &Claims) -> Option<String> {
        let wanted = [
            ("id", &self.id, Some(&claims.jti)),
            ("tenant", &self.tenant, Some(&claims.aud)),
            ("subject", &self.subject, claims.sub.as_ref()),
            ("reference", &self.reference, claims.reference.as_ref()),
        ];
        for (name, wanted, is) in wanted {
            if wanted.is_some() && wanted.as_ref() != is {
                return Some(format!("it is of another {name}"));
            }
        }
        let (Some(amount), Some(currency), Some(payee)) =
            (&self.amount, &self.currency, &self.payee)
        else {
            return None;
        };
        match Transaction::new(amount, currency, payee) {
            Err(why) => Some(why.to_string()),
            Ok(it) if claims.transaction_hash.as_ref() == Some(&proof::transaction_hash(&it)) => {
                None
            }
            Ok(_) => Some("another payment was agreed to, or none".to_owned()),
        }
    }

    fn tell(&self, judged: &Result<Claims, String>) {
        let told = match judged {
            Ok(claims) if self.json => json!({ "proved": true, "claims": claims }).to_string(),
            Err(why) if self.json => json!({ "proved": false, "why": why }).to_string(),
            Ok(claims) => {
                let Claims { jti, status, reason, settled_at, iss, .. } = claims;
                let by = claims.assurance.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
                format!("{jti} was {status} ({reason}{by}) at {settled_at}, says {iss}")
            }
            Err(why) => format!("not proved: {why}"),
        };
        println!("{told}");
    }
}
