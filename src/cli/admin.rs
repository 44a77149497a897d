//! The operators' listener of a gateway that runs, as commands ask it.

use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::api::{Answer, Api};
use super::check::environment;
use super::wrong;
use crate::config;

/// What `--admin-key` is, wherever it stands.
pub(super) const KEY_HELP: &str = "The key to present there, of scope admin: env:NAME or file:PATH \
    keep it out of the process list. None is needed on the gateway's own machine";

/// Which gateway.
#[derive(Debug, clap::Args)]
pub(super) struct At {
    /// Where the operators' listener of the running gateway is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    admin: String,
    #[arg(long, value_name = "KEY", help = KEY_HELP)]
    admin_key: Option<String>,
    /// What it must show, where the configuration says that.
    #[arg(skip)]
    certificate: Option<CertificateDer<'static>>,
}

impl At {
    /// The listener at this address, by this key.
    pub(super) fn of(admin: &str, admin_key: Option<&str>) -> Self {
        Self { admin: admin.to_owned(), admin_key: admin_key.map(str::to_owned), certificate: None }
    }

    /// The listener at this address, or else where a configuration has it.
    pub(super) fn configured(
        config: &Path,
        admin: Option<&str>,
        admin_key: Option<&str>,
    ) -> anyhow::Result<Self> {
        if let Some(admin) = admin {
            return Ok(Self::of(admin, admin_key));
        }
        let listener = || {
            let http = config::load(config, environment).ok()?.config.http;
            let address = http.admin_listen.filter(|address| address.port() != 0)?;
            let certificate = match &http.tls {
                Some(tls) => Some(CertificateDer::from_pem_slice(&tls.identity.chain).ok()?),
                None => None,
            };
            Some((address, certificate))
        };
        let (address, certificate) = listener().ok_or_else(|| {
            wrong("a gateway has the store open: say by --admin where its operator's listener is")
        })?;
        let scheme = if certificate.is_some() { "https" } else { "http" };
        Ok(Self { certificate, ..Self::of(&format!("{scheme}://{address}"), admin_key) })
    }

    /// Reads a page of this query.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        done(self.api()?.get(&asked(path, query)?).await?)
    }

    /// Reads a page that may be long, part by part.
    pub(super) async fn download(
        &self,
        path: &str,
        query: &[(&str, &str)],
        take: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        taken(self.api()?.download(&asked(path, query)?, take).await?)
    }

    /// Posts JSON, and takes what comes back part by part.
    pub(super) async fn exchange(
        &self,
        path: &str,
        body: &Value,
        take: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        taken(self.api()?.exchange(path, body, take).await?)
    }

    /// Posts JSON.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        done(self.api()?.post(path, body).await?)
    }

    /// Changes something.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        done(self.api()?.patch(path, body).await?)
    }

    /// Takes something away.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        done(self.api()?.delete(path).await?)
    }

    /// The listener itself.
    pub(super) fn api(&self) -> anyhow::Result<Api> {
        let read = |text: &String| config::read_secret(text, Path::new("."), &environment);
        let key = self.admin_key.as_ref().map(read).transpose();
        let key = key.map_err(|why| wrong(format!("--admin-key: {why}")))?;
        Api::by(&self.admin, key.map(|(key, _)| key), self.certificate.as_ref())
    }
}

/// What takes a text part by part, and gives its lines away as they are whole.
pub(super) fn lines(
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> impl FnMut(&[u8]) -> io::Result<()> {
    let mut rest = Vec::new();
    move |part| {
        rest.extend_from_slice(part);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let whole: Vec<u8> = rest.drain(..whole).collect();
        let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.into_iter().try_for_each(&mut take)
    }
}

fn taken(problem: Option<Answer>) -> anyhow::Result<()> {
    problem.map_or(Ok(()), |answer| Err(wrong(answer.problem())))
}

fn asked(path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
    let url = reqwest::Url::parse_with_params("http://localhost/", query)?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{path}{query}"))
}

/// What was answered; a problem is an error of whoever typed the command.
fn done(answer: Answer) -> anyhow::Result<Value> {
    match answer.status {
        200..=299 => Ok(answer.body),
        _ => Err(wrong(answer.problem())),
    }
}
