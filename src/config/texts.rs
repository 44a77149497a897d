//! `[texts.LOCALE]`: what texts say, in place of what is compiled in.

use std::collections::BTreeMap;

use toml::Spanned;

use super::complaint::quoted;
use super::reader::Reader;
use crate::verify::gsm;
use crate::verify::text::{Fill, Kind, Texts, Transaction};

/// A brand of usual length, for counting.
const BRAND: &str = "Example Bank";

pub(super) fn texts(
    reader: &mut Reader<'_>,
    written: &BTreeMap<String, BTreeMap<String, Spanned<String>>>,
) -> Texts {
    let mut texts = match Texts::compiled() {
        Ok(texts) => texts,
        Err(error) => {
            reader.complain_of_file("texts", format!("the texts compiled in are damaged: {error}"));
            Texts::default()
        }
    };
    for (locale, kinds) in written {
        for (kind, template) in kinds {
            let key = format!("texts.{locale}.{kind}");
            let place = reader.place(template);
            if let Err(error) = texts.with(locale, kind, template.get_ref()) {
                let value = Some(quoted(template.get_ref()));
                reader.complain(place, &key, value, error.to_string());
                continue;
            }
            let (_, count) = counted(&texts, locale, kind);
            if count > 1 {
                let message = format!("this text takes {count} segments, each of which is paid");
                reader.warn(place, &key, None, message);
            }
        }
    }
    texts
}

/// An example of a text, and how many segments it takes.
#[must_use]
pub(super) fn counted(texts: &Texts, locale: &str, kind: &str) -> (String, usize) {
    let Some(kind) = Kind::ALL.iter().copied().find(|it| it.as_str() == kind) else {
        return (String::new(), 0);
    };
    let payment = Transaction::new("49.90", "EUR", "ACME").ok();
    let fill = Fill {
        code: "123456",
        brand: Some(BRAND),
        minutes: 5,
        transaction: payment.as_ref().filter(|_| kind == Kind::Transaction),
        ..Fill::default()
    };
    let text = texts.render(locale, kind, &fill);
    let count = gsm::segments(&text).count;
    (text, count)
}
