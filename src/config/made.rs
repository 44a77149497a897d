//! Tenants that are made while the gateway runs: read as those of the file are, by the same code.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::address::shown;
use super::complaint::{Complaint, Complaints};
use super::raw::{self, Raw};
use super::reader::{At, Reader};
use super::{money, tenants};
use crate::gateway::settings::Calling;
use crate::gateway::settings::tenancy::{self, Mistake, Read, Written};
use crate::verify::block::Fraud;
use crate::verify::number::PhoneNumber;

/// What stands for a secret that is not shown.
const HIDDEN: &str = "…";

/// Before each key of the one tenant that is read.
const TENANT: &str = "tenants[0].";

/// What the configuration says of all tenants.
pub(super) struct Form {
    limits: raw::Limits,
    budget: raw::Budget,
    prices: raw::Prices,
    calling: Calling,
    fraud: Fraud,
    certified: bool,
    api_listen: At<SocketAddr>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form").finish_non_exhaustive()
    }
}

impl Form {
    pub(super) fn new(
        file: &Raw,
        api_listen: &At<SocketAddr>,
        common: tenants::Common<'_>,
    ) -> Self {
        Self {
            limits: file.limits.clone(),
            budget: file.budget.clone(),
            prices: file.prices.clone(),
            calling: common.calling.clone(),
            fraud: common.fraud.clone(),
            certified: common.certified,
            api_listen: api_listen.clone(),
        }
    }

    /// The tenants of a file that has this one alone.
    fn tenants(&self, text: &str) -> Result<Read, Vec<Complaint>> {
        let mut file = raw::read(text, "").map_err(|Complaints(complaints)| complaints)?;
        file.limits = self.limits.clone();
        file.budget = self.budget.clone();
        file.prices = self.prices.clone();
        let mut reader = Reader::of_request(text);
        of_the_file_alone(&mut reader, &mut file);
        let Self { calling, fraud, certified, .. } = self;
        let common = tenants::Common { calling, fraud, certified: *certified };
        let (tenants, _) = tenants::tenants(&mut reader, &file, &self.api_listen, common);
        money::must_be_priced(&mut reader, &file);
        let warnings = reader.done()?.into_iter().map(mistake).collect();
        let tenant = tenants.into_iter().next().ok_or_else(Vec::new)?;
        Ok(Read { tenant, warnings })
    }
}

impl tenancy::Form for Form {
    fn read(&self, written: &Written) -> Result<Read, Vec<Mistake>> {
        let file = json!({ "tenants": [without_nulls(&Value::Object(written.clone()))] });
        let text = toml::to_string(&file).map_err(|error| {
            vec![Mistake { key: String::new(), told: format!("this cannot be kept: {error}") }]
        })?;
        self.tenants(&text).map_err(|all| all.into_iter().map(mistake).collect())
    }

    fn masked(&self, written: &Written) -> Written {
        let masked = written.iter().map(|(key, value)| (key.clone(), masked(key, value)));
        masked.collect()
    }
}

/// What a request cannot say.
fn of_the_file_alone(reader: &mut Reader<'_>, file: &mut Raw) {
    let Some(tenant) = file.tenants.first_mut() else { return };
    if let Some(keys) = &tenant.get_mut().api_keys.take() {
        let message = "keys of such a tenant are made apart: `octothorpe key new --tenant NAME --admin \
                       URL`, or POST /admin/v1/tenants/NAME/keys";
        reader.complain(reader.place(keys), &format!("{TENANT}api_keys"), None, message);
    }
    if let Some(prompts) = &tenant.get_ref().prompts {
        let message = "recordings are files of the gateway's machine: write [prompts] folder in its \
                       configuration, or the whole tenant there";
        reader.complain(reader.place(prompts), &format!("{TENANT}prompts"), None, message);
    }
}

fn mistake(complaint: Complaint) -> Mistake {
    let Complaint { key, value, message, .. } = complaint;
    let key = key.strip_prefix(TENANT).unwrap_or(&key).to_owned();
    let told = match value {
        Some(value) => format!("{value}: {message}"),
        None => message,
    };
    Mistake { key, told }
}

/// TOML has no `null`: what is `null` is not there.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let given = object.iter().filter(|(_, value)| !value.is_null());
            Value::Object(given.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// What stands at this path, of names with points between them, as it may be shown.
fn masked(path: &str, value: &Value) -> Value {
    let hidden = |text: &str| match path {
        "webhooks.secret"
        | "webhooks.previous_secret"
        | "risk.secret"
        | "risk.previous_secret"
        | "api_keys"
        | "api_keys.key" => Some(HIDDEN.to_owned()),
        "webhooks.url" | "risk.url" => Some(shown(text).trim_matches('"').to_owned()),
        "safe_numbers.number" => {
            let number = text.parse::<PhoneNumber>();
            Some(number.map_or_else(|_| HIDDEN.to_owned(), |number| number.masked()))
        }
        _ => None,
    };
    match value {
        Value::String(text) => hidden(text).map_or_else(|| value.clone(), Value::String),
        Value::Array(list) => list.iter().map(|value| masked(path, value)).collect(),
        Value::Object(object) => {
            let of = |(key, value): (&String, &Value)| {
                (key.clone(), masked(&format!("{path}.{key}"), value))
            };
            Value::Object(object.iter().map(of).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
