//! A gateway that runs, asked over HTTP as a customer or an operator of it.

use anyhow::Context as _;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{pinned, text};
use crate::http::CLI;

/// Where it is, and the key to present.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    key: Option<Zeroizing<String>>,
}

/// What it answered.
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// The body; `null` where there is none.
    pub(super) body: Value,
}

impl Answer {
    /// What a problem says, with the fields it blames.
    pub(super) fn problem(&self) -> String {
        let errors = self.body.get("errors").and_then(Value::as_array).into_iter().flatten();
        let fields: String =
            errors.map(|it| format!("\n  {}: {}", text(it, "field"), text(it, "detail"))).collect();
        let (code, detail) = (text(&self.body, "code"), text(&self.body, "detail"));
        format!("{} {code}: {detail}{fields}", self.status)
    }
}

impl Api {
    /// The one at this URL.
    pub(super) fn at(url: &str, key: Option<Zeroizing<String>>) -> anyhow::Result<Self> {
        Self::by(url, key, None)
    }

    /// The one at this URL, which must show this certificate where one is given, whatever its name is.
    pub(super) fn by(
        url: &str,
        key: Option<Zeroizing<String>>,
        certificate: Option<&CertificateDer<'static>>,
    ) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "here the program is a customer")]
        let builder = reqwest::Client::builder().user_agent(CLI);
        let client = match certificate {
            Some(certificate) => {
                builder.tls_backend_preconfigured(pinned::client(certificate.clone())?).build()?
            }
            None => builder.build()?,
        };
        Ok(Self { client, base: url.trim_end_matches('/').to_owned(), key })
    }

    /// Asks.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    /// Posts JSON.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(self.posted(path, body)).await
    }

    fn posted(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        json(self.client.post(format!("{}{path}", self.base)), body)
    }

    /// Changes something by JSON.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(json(self.client.patch(format!("{}{path}", self.base)), body)).await
    }

    /// Takes something away.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(self.client.delete(format!("{}{path}", self.base))).await
    }

    /// Gives the answer away part by part; `Some` where it is a problem.
    pub(super) async fn download(
        &self,
        path: &str,
        take: &mut impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> anyhow::Result<Option<Answer>> {
        self.parts(self.client.get(format!("{}{path}", self.base)), take).await
    }

    /// Posts JSON, and gives the answer away part by part; `Some` where it is a problem.
    pub(super) async fn exchange(
        &self,
        path: &str,
        body: &Value,
        take: &mut impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> anyhow::Result<Option<Answer>> {
        self.parts(self.posted(path, body), take).await
    }

    async fn parts(
        &self,
        request: reqwest::RequestBuilder,
        take: &mut impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> anyhow::Result<Option<Answer>> {
        let mut response = self.ask(request).await?;
        if !response.status().is_success() {
            return read(response).await.map(Some);
        }
        while let Some(part) = response.chunk().await.context("the answer broke off")? {
            take(&part)?;
        }
        Ok(None)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        read(self.ask(request).await?).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key.as_str()),
            None => request,
        };
        request.send().await.map_err(|error| {
            let why = innermost(&error);
            anyhow::anyhow!("{} does not answer: {why}{}", self.base, remedy(&self.base, &why))
        })
    }
}

/// What it comes down to, without the layers around it and the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What may help, where that can be told from the words.
fn remedy(base: &str, why: &str) -> &'static str {
    if base.starts_with("http:") && why.contains("invalid HTTP version") {
        "; it may speak TLS: write https://"
    } else if why.contains("UnknownIssuer") {
        "; SSL_CERT_FILE=FILE names the roots that its certificate comes from"
    } else if why.contains("not valid for name") {
        "; write the name that its certificate has"
    } else {
        ""
    }
}

async fn read(response: reqwest::Response) -> anyhow::Result<Answer> {
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    if body.is_empty() {
        return Ok(Answer { status, body: Value::Null });
    }
    let body = serde_json::from_slice(&body).context("the answer is not JSON")?;
    Ok(Answer { status, body })
}

fn json(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request.header("content-type", "application/json").body(body.to_string())
}
