//! `[telemetry.otlp]`: who is told of settled verifications as traces.

use zeroize::Zeroizing;

use super::address::{is_loopback, shown, web};
use super::raw::{self, Raw};
use super::reader::Reader;
use super::routing::secret;
use crate::gateway::settings::OtlpSettings;

const ENDPOINT: &str = "telemetry.otlp.endpoint";

/// Headers that each request has anyway.
const OURS: [&str; 5] =
    ["content-type", "content-length", "host", "transfer-encoding", "user-agent"];

/// Where traces go, if they go anywhere.
pub(super) fn otlp(reader: &mut Reader<'_>, written: &Raw, defaults: &Raw) -> Option<OtlpSettings> {
    let (raw, default) = (&written.telemetry.otlp, &defaults.telemetry.otlp);
    let headers = headers(reader, raw);
    let to = reader.text(ENDPOINT, raw.endpoint.as_ref(), default.endpoint.as_ref());
    let to = to.filter(|it| !it.value.is_empty())?;
    let mut complain = |message: String| {
        reader.complain(to.place, ENDPOINT, Some(shown(&to.value)), message);
    };
    if !cfg!(feature = "otlp") {
        let message = "this octothorpe is built without OTLP and would tell no trace: take the key out, \
                       or build it with `--features otlp`";
        complain(message.to_owned());
        return None;
    }
    let address = match web(&to.value) {
        Ok(address) if address.has_query => {
            complain("leave out the query: /v1/traces is put behind it".to_owned());
            return None;
        }
        Ok(address) => address,
        Err(why) => {
            complain(format!("{why}, as https://collector.example:4318"));
            return None;
        }
    };
    if !address.encrypted && !headers.is_empty() && !is_loopback(&address.host) {
        let message = "what the headers hold goes there in the clear: write an address that begins \
                       with https://";
        reader.warn(to.place, ENDPOINT, Some(shown(&to.value)), message);
    }
    Some(OtlpSettings { endpoint: to.value.trim_end_matches('/').to_owned(), headers })
}

fn headers(reader: &mut Reader<'_>, raw: &raw::Otlp) -> Vec<(String, Zeroizing<String>)> {
    let mut headers = Vec::new();
    for (name, written) in &raw.headers {
        let (key, place) = (format!("telemetry.otlp.headers.{name}"), reader.place(written));
        // RFC 9110 § 5.6.2: a name is a token.
        let is_tchar =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_tchar) {
            let message = "a header's name has letters, digits and \"-\" alone";
            reader.complain(place, &key, None, message);
            continue;
        }
        if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            reader.complain(place, &key, None, "leave it out: each request has its own");
            continue;
        }
        let Some(value) = secret(reader, place, &key, written.get_ref().expose()) else { continue };
        if value.is_ascii() {
            headers.push((name.clone(), value));
        } else {
            reader.complain(place, &key, None, "write ASCII only: it goes into a header");
        }
    }
    headers
}
