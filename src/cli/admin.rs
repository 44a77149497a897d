//! The operators' listener of a gateway that runs, as commands ask it.

use std::path::Path;

use serde_json::Value;

use super::api::{Answer, Api};
use super::check::environment;
use super::wrong;
use crate::config;

/// Which gateway.
#[derive(Debug, clap::Args)]
pub(super) struct At {
    /// Where the operators' listener of the running gateway is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    admin: String,
    /// The key to present there, of scope admin: env:NAME or file:PATH keep it out of the process list.
    /// None is needed on the gateway's own machine.
    #[arg(long, value_name = "KEY")]
    admin_key: Option<String>,
}

impl At {
    /// The listener at this address, by this key.
    pub(super) fn of(admin: &str, admin_key: Option<&str>) -> Self {
        Self { admin: admin.to_owned(), admin_key: admin_key.map(str::to_owned) }
    }

    /// Reads a page of this query.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params("http://localhost/", query)?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        done(self.api()?.get(&format!("{path}{query}")).await?)
    }

    /// Posts JSON.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        done(self.api()?.post(path, body).await?)
    }

    /// Takes something away.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        done(self.api()?.delete(path).await?)
    }

    fn api(&self) -> anyhow::Result<Api> {
        let read = |text: &String| config::read_secret(text, Path::new("."), &environment);
        let key = self.admin_key.as_ref().map(read).transpose();
        let key = key.map_err(|why| wrong(format!("--admin-key: {why}")))?;
        Api::at(&self.admin, key.map(|(key, _)| key))
    }
}

/// What was answered; a problem is an error of whoever typed the command.
fn done(answer: Answer) -> anyhow::Result<Value> {
    match answer.status {
        200..=299 => Ok(answer.body),
        _ => Err(wrong(answer.problem())),
    }
}
