//! Message centres, by SMPP.

use std::num::NonZeroU32;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Built;
use super::entry::Entry;
use crate::carrier::smpp::{Alphabet, Ids, Invalid, PORT, REACH, Settings};
use crate::config::address::peer;
use crate::config::reader::Reader;
use crate::gateway::settings::By;

pub(super) fn smsc(
    reader: &mut Reader<'_>,
    entry: &Entry<'_>,
    name: &str,
    from: &str,
) -> Option<Built> {
    let raw = entry.raw;
    let address = entry.needed(reader, "address", raw.address.as_ref(), "HOST:2775");
    let address = address.and_then(|text| match peer(&text, PORT) {
        Ok(target) => Some(target),
        Err(why) => {
            let message = format!("{why}: write HOST:PORT, as smsc.example.com:{PORT}");
            entry.complain(reader, "address", message);
            None
        }
    });
    let example = "as the centre gave it";
    let system_id = entry.needed(reader, "system_id", raw.system_id.as_ref(), example);
    let password = entry.needed_secret(reader, "password", raw.password.as_ref());
    if raw.from.is_none() {
        let message = "it is missing: write from = \"+12025550100\", a short code or a name";
        entry.complain(reader, "from", message);
    }
    let mut settings = Settings::new(
        name,
        (String::new(), PORT),
        system_id.clone().unwrap_or_default(),
        password.clone().unwrap_or_else(|| Zeroizing::new(String::new())),
        from,
    );
    let alphabets =
        [("gsm7", Alphabet::Gsm7), ("latin1", Alphabet::Latin1), ("ucs2", Alphabet::Ucs2)];
    let alphabet = entry.word(reader, "alphabet", raw.alphabet.as_ref(), &alphabets);
    let ids = [
        ("same", Ids::Same),
        ("hex_in_answers", Ids::HexInAnswers),
        ("hex_in_receipts", Ids::HexInReceipts),
    ];
    let ids = entry.word(reader, "ids", raw.ids.as_ref(), &ids);
    (settings.alphabet, settings.ids) = (alphabet.unwrap_or_default(), ids.unwrap_or_default());
    if let Some(text) = &raw.system_type {
        settings.system_type.clone_from(text.get_ref());
    }
    let mut number = |name, written, least, most| entry.number(reader, name, written, least, most);
    if let Some(window) = number("window", raw.window.as_ref(), 1, 10_000) {
        settings.window = usize::try_from(window).unwrap_or(1);
    }
    let per_second = number("per_second", raw.per_second.as_ref(), 1, 100_000);
    settings.per_second = per_second.and_then(NonZeroU32::new);
    let octet = |number: Option<u32>| number.and_then(|it| u8::try_from(it).ok());
    if let Some(ton) = octet(number("source_ton", raw.source_ton.as_ref(), 0, 6)) {
        settings.source.ton = ton;
    }
    if let Some(npi) = octet(number("source_npi", raw.source_npi.as_ref(), 0, 18)) {
        settings.source.npi = npi;
    }
    for (value, name, written) in [
        (&mut settings.enquire_every, "enquire_secs", &raw.enquire_secs),
        (&mut settings.answer_within, "answer_secs", &raw.answer_secs),
        (&mut settings.patience, "patience_secs", &raw.patience_secs),
    ] {
        if let Some(seconds) = number(name, written.as_ref(), 1, 3_600) {
            *value = Duration::from_secs(u64::from(seconds));
        }
    }
    // What is missing was complained of.
    let (Some(address), Some(_), Some(_), Some(_)) = (address, system_id, password, &raw.from)
    else {
        return None;
    };
    (settings.host, settings.port) = (address.host, address.port);
    if let Err(invalid) = settings.check() {
        let key = match invalid {
            Invalid::SystemId => "system_id",
            Invalid::Password => "password",
            Invalid::SystemType => "system_type",
            Invalid::From => "from",
            Invalid::Window => "window",
        };
        entry.complain(reader, key, invalid.to_string());
        return None;
    }
    let host = &settings.host;
    let at = if host.contains(':') {
        format!("[{host}]:{}", settings.port)
    } else {
        format!("{host}:{}", settings.port)
    };
    let calls_back = REACH.calls_back;
    Some(Built { by: By::Smpp(Box::new(settings)), at, calls_back, unproven: false })
}
