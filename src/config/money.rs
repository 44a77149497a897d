//! `[prices]`, `[budget]` and `[tenants.budget]`: what calls and texts cost, and how much of it there may be.

use std::sync::Arc;

use toml::Spanned;

use super::complaint::quoted;
use super::raw::{self, Raw};
use super::reader::Reader;
use crate::verify::money::{Caps, Currency, Deck, DeckError, Money, NoMoney};

/// The most mistakes of a deck that are told at once.
const TOLD_MOST: usize = 20;

/// The longest deck, in bytes: the whole world by operator is a tenth of it.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The deck, where one is written.
pub(super) fn prices(reader: &mut Reader<'_>, written: &Raw) -> Option<Arc<Deck>> {
    let raw::Prices { file, currency } = &written.prices;
    let Some(file) = file else {
        if let Some(currency) = currency {
            let message = "the prices are missing: write file = \"prices.csv\"";
            reader.complain(reader.place(currency), "prices.file", None, message);
        }
        return None;
    };
    let place = reader.place(file);
    let Some(currency) = currency else {
        let message = "of which currency are they? Write currency = \"EUR\" (ISO 4217)";
        reader.complain(place, "prices.currency", None, message);
        return None;
    };
    let code = currency.get_ref();
    if let Err(why) = code.parse::<Currency>() {
        let place = reader.place(currency);
        reader.complain(place, "prices.currency", Some(quoted(code)), why.to_string());
    }
    let (path, value) = (reader.dir.join(file.get_ref()), Some(quoted(file.get_ref())));
    let shown = path.display();
    let text = std::fs::metadata(&path).and_then(|about| match about.len() {
        ..=LONGEST => std::fs::read_to_string(&path),
        _ => Err(std::io::Error::other("it is longer than 64 MiB")),
    });
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            let message = format!("{shown} cannot be read: {error}");
            reader.complain(place, "prices.file", value, message);
            return None;
        }
    };
    match Deck::read(code, &text) {
        Ok(deck) => Some(Arc::new(deck)),
        Err(errors) => {
            for DeckError { line, column, why } in errors.iter().take(TOLD_MOST) {
                let message = format!("{shown}, line {line}, column {column}: {why}");
                reader.complain(place, "prices.file", value.clone(), message);
            }
            if let Some(more) = errors.len().checked_sub(TOLD_MOST).filter(|more| *more > 0) {
                let message = format!("{shown} has {more} more mistakes");
                reader.complain(place, "prices.file", value, message);
            }
            None
        }
    }
}

/// What these two tables say together: each cap of `own` stands in the place of that of `common`.
pub(super) fn caps(
    reader: &mut Reader<'_>,
    common: &raw::Budget,
    own: Option<(&str, &raw::Budget)>,
) -> Caps {
    let mut cap = |of: fn(&raw::Budget) -> &Option<Spanned<String>>, name: &str| {
        let own = own.and_then(|(key, own)| Some((key, of(own).as_ref()?)));
        let (key, written) = own.or_else(|| Some(("budget", of(common).as_ref()?)))?;
        amount(reader, &format!("{key}.{name}"), written)
    };
    let (call, number) = (cap(|it| &it.call, "call"), cap(|it| &it.number, "number"));
    let (tenant, day) = (cap(|it| &it.tenant, "tenant"), cap(|it| &it.day, "day"));
    let record_only = own.and_then(|(_, own)| own.record_only).or(common.record_only);
    if let Some((key, own)) = own
        && let Some(written) = &own.day
    {
        let message = "this is what all tenants may spend together: write it in [budget]";
        reader.complain(reader.place(written), &format!("{key}.day"), None, message);
    }
    Caps { call, number, tenant, day, record_only: record_only.unwrap_or(false) }
}

/// Caps without prices would stand against nothing.
pub(super) fn must_be_priced(reader: &mut Reader<'_>, written: &Raw) {
    if written.prices.file.is_some() {
        return;
    }
    let tenants = written.tenants.iter().map(|tenant| &tenant.get_ref().budget);
    let all = std::iter::once(&written.budget).chain(tenants);
    let caps = all.flat_map(|it| [&it.call, &it.number, &it.tenant, &it.day]).flatten();
    if let Some(first) = caps.into_iter().next() {
        let message = "a cap needs prices: write [prices] with file = \"prices.csv\" and currency";
        let value = Some(quoted(first.get_ref()));
        reader.complain(reader.place(first), "budget", value, message);
    }
}

fn amount(reader: &mut Reader<'_>, key: &str, written: &Spanned<String>) -> Option<Money> {
    match written.get_ref().parse() {
        Ok(amount) => Some(amount),
        Err(why @ NoMoney) => {
            let place = reader.place(written);
            reader.complain(place, key, Some(quoted(written.get_ref())), why.to_string());
            None
        }
    }
}
