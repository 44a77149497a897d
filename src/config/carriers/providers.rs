//! The providers whose adapters are of their own: Twilio and its like, Telnyx, Vonage.

use toml::Spanned;
use zeroize::Zeroizing;

use super::entry::Entry;
use super::{Built, signed};
use crate::carrier::twilio::{self, Dialect, Twilio, Voice};
use crate::carrier::{telnyx, vonage};
use crate::config::address::web;
use crate::config::raw::Hidden;
use crate::config::reader::Reader;
use crate::config::secret;

/// Twilio, and those who speak its language.
pub(super) fn family(
    reader: &mut Reader<'_>,
    entry: &Entry<'_>,
    dialect: Dialect,
    from: &str,
) -> Option<Built> {
    let raw = entry.raw;
    let (base_example, account_example) = match dialect {
        Dialect::Twilio => ("https://api.twilio.com", "AC…"),
        Dialect::SignalWire => ("https://SPACE.signalwire.com", "the id of the project"),
        Dialect::TelnyxTexml => ("https://api.telnyx.com", "the id of the organisation"),
    };
    let base_url = entry.base_url(reader, dialect.default_base_url(), base_example);
    let account = entry.needed(reader, "account", raw.account.as_ref(), account_example);
    let token = entry.needed_secret(reader, "token", raw.token.as_ref());
    let signing_key = match dialect {
        Dialect::Twilio | Dialect::SignalWire => {
            entry.secret(reader, "signing_key", raw.signing_key.as_ref())
        }
        Dialect::TelnyxTexml => open(reader, entry, "signing_key", raw.signing_key.as_ref()),
    };
    let unread = raw.signing_key.is_some() && signing_key.is_none();
    let voice = voice(reader, entry);
    let settings = twilio::Settings {
        base_url: base_url?,
        account: account?,
        token: token?,
        from: from.to_owned(),
        messaging_service: raw.messaging_service.as_ref().map(|it| it.get_ref().clone()),
        application: raw.application.as_ref().map(|it| it.get_ref().clone()),
        dialect,
        machine_detection: raw.machine_detection.as_ref().is_some_and(|it| *it.get_ref()),
        voice: voice?,
        signing_key,
    };
    if unread {
        return None;
    }
    let at = settings.base_url.clone();
    match Twilio::new(settings) {
        Ok(carrier) => Some(signed(carrier, at)),
        Err(error) => {
            entry.refused(reader, &error.to_string());
            None
        }
    }
}

/// Who speaks in a call.
fn voice(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Voice> {
    let raw = entry.raw;
    let words = [("say", false), ("audio", true)];
    let audio = entry.word(reader, "prompt", raw.prompt.as_ref(), &words)?;
    match (audio, &raw.audio_url) {
        (false, None) => Some(Voice::Say),
        (false, Some(_)) => {
            let message = "it is used by prompt = \"audio\" alone: write that, or leave it out";
            entry.complain(reader, "audio_url", message);
            None
        }
        (true, None) => {
            let message = "it is missing: prompt = \"audio\" plays recordings, write where they \
                           are, as audio_url = \"https://static.example.com/prompts\"";
            entry.complain(reader, "audio_url", message);
            None
        }
        (true, Some(url)) => match web(url.get_ref()) {
            Ok(web) if web.has_query => {
                let message = "leave out \"?\" and what follows: paths are added to this address";
                entry.complain(reader, "audio_url", message);
                None
            }
            Ok(_) => Some(Voice::Play(url.get_ref().clone())),
            Err(why) => {
                entry.complain(reader, "audio_url", why);
                None
            }
        },
    }
}

pub(super) fn telnyx(reader: &mut Reader<'_>, entry: &Entry<'_>, from: &str) -> Option<Built> {
    let raw = entry.raw;
    let base_url = entry.base_url(reader, Some(telnyx::BASE_URL), telnyx::BASE_URL);
    let api_key = entry.needed_secret(reader, "api_key", raw.api_key.as_ref());
    let example = "the key for webhooks, in base64, as the portal shows it";
    let public_key = entry.needed(reader, "public_key", raw.public_key.as_ref(), example);
    needs_from(reader, entry, from)?;
    if raw.connection_id.is_some() && !is_number(from) {
        let message = "with connection_id this carrier calls, and only a number can: write it in \
                       E.164, as +12025550100";
        entry.complain(reader, "from", message);
        return None;
    }
    let settings = telnyx::Settings {
        base_url: base_url?,
        api_key: api_key?,
        public_key: public_key?,
        connection_id: raw.connection_id.as_ref().map(|it| it.get_ref().clone()),
        messaging_profile: raw.messaging_profile.as_ref().map(|it| it.get_ref().clone()),
        from: from.to_owned(),
        machine_detection: raw.machine_detection.as_ref().is_some_and(|it| *it.get_ref()),
    };
    let at = settings.base_url.clone();
    match telnyx::Telnyx::new(settings) {
        Ok(carrier) => Some(signed(carrier, at)),
        Err(words) => {
            entry.refused(reader, words);
            None
        }
    }
}

pub(super) fn vonage(reader: &mut Reader<'_>, entry: &Entry<'_>, from: &str) -> Option<Built> {
    let raw = entry.raw;
    let base_url = entry.base_url(reader, Some(vonage::BASE_URL), vonage::BASE_URL);
    let example = "the id of the application";
    let application_id =
        entry.needed(reader, "application_id", raw.application_id.as_ref(), example);
    let private_key = entry.needed_lines(reader, "private_key", raw.private_key.as_ref());
    let api_key = account_key(reader, entry);
    let signature_secret =
        entry.needed_secret(reader, "signature_secret", raw.signature_secret.as_ref());
    needs_from(reader, entry, from)?;
    let settings = vonage::Settings {
        base_url: base_url?,
        application_id: application_id?,
        private_key: private_key?,
        api_key: api_key?,
        signature_secret: signature_secret?,
        from: from.to_owned(),
    };
    let at = settings.base_url.clone();
    match vonage::Vonage::new(settings) {
        Ok(carrier) => {
            if from.chars().any(char::is_alphabetic) {
                let message = "calls cannot come from a name: leave this carrier out of routes of \
                               voice, or write a number";
                entry.warn(reader, "from", message);
            }
            Some(signed(carrier, at))
        }
        Err(words) => {
            entry.refused(reader, words);
            None
        }
    }
}

/// The name of Vonage's account, which is called a key there.
fn account_key(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<String> {
    if entry.raw.api_key.is_none() {
        let message = "it is missing: write api_key = \"…\", as the dashboard shows it";
        entry.complain(reader, "api_key", message);
    }
    let text = open(reader, entry, "api_key", entry.raw.api_key.as_ref())?;
    Some(text.as_str().to_owned())
}

/// What other kinds have as a secret and this one has as none: it may stand in the configuration.
fn open(
    reader: &mut Reader<'_>,
    entry: &Entry<'_>,
    name: &str,
    written: Option<&Spanned<Hidden>>,
) -> Option<Zeroizing<String>> {
    match secret::read(written?.get_ref().expose(), reader.dir, reader.env) {
        Ok((text, _)) => Some(text),
        Err(why) => {
            entry.complain(reader, name, why);
            None
        }
    }
}

/// Complains when nobody would be calling or writing.
fn needs_from(reader: &mut Reader<'_>, entry: &Entry<'_>, from: &str) -> Option<()> {
    if from.is_empty() && entry.raw.from.is_none() {
        let message = "it is missing: write from = \"+12025550100\", the number that calls and \
                       writes";
        entry.complain(reader, "from", message);
    }
    (!from.is_empty()).then_some(())
}

fn is_number(from: &str) -> bool {
    let digits = from.strip_prefix('+').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}
