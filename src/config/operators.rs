//! `[[operators]]`: who may log in on the operator's listener.

use std::sync::Arc;

use toml::Spanned;

use super::complaint::quoted;
use super::raw::{self, Hidden};
use super::reader::Reader;
use super::routing::{names, secret, table_of};
use super::secret::{read, shown};
use crate::access::operator::{Operator, Password, Role, Totp};

/// The operators of a file.
pub(super) fn operators(reader: &mut Reader<'_>, file: &raw::Raw) -> Arc<[Arc<Operator>]> {
    let written = &file.operators;
    names(reader, "operators", written.iter().map(|it| (table_of(it), it.get_ref().name.as_ref())));
    let each = written.iter().enumerate();
    each.filter_map(|(i, written)| operator(reader, i, written).map(Arc::new)).collect()
}

fn operator(
    reader: &mut Reader<'_>,
    i: usize,
    written: &Spanned<raw::Operator>,
) -> Option<Operator> {
    let raw::Operator { name, role, password, totp } = written.get_ref();
    let role = role_of(reader, i, written, role.as_ref());
    let missing = "it is missing: `octothorpe operator new NAME` prints it";
    let key = format!("operators[{i}].password");
    let password = match password {
        None => {
            reader.complain(reader.place(written), &key, None, missing);
            None
        }
        Some(it) => password_of(reader, &key, it),
    };
    let key = format!("operators[{i}].totp");
    let totp = match totp {
        None => {
            reader.complain(reader.place(written), &key, None, missing);
            None
        }
        Some(it) => totp_of(reader, &key, it),
    };
    let name = name.as_ref()?.get_ref().clone();
    Some(Operator { name, role: role?, password: password?, totp: totp? })
}

fn role_of(
    reader: &mut Reader<'_>,
    i: usize,
    written: &Spanned<raw::Operator>,
    role: Option<&Spanned<String>>,
) -> Option<Role> {
    let (place, text) = match role {
        Some(role) => (reader.place(role), Some(role.get_ref())),
        None => (reader.place(written), None),
    };
    let found = text.and_then(|text| Role::parse(text));
    if found.is_none() {
        let message = "write role = \"viewer\" (looks on), \"operator\" (blocks, sends once more, cancels, \
                       tests) or \"admin\" (everything)";
        reader.complain(place, &format!("operators[{i}].role"), text.map(|it| quoted(it)), message);
    }
    found
}

/// A hash may stand in the configuration itself: it is no secret that opens anything.
fn password_of(reader: &mut Reader<'_>, key: &str, written: &Spanned<Hidden>) -> Option<Password> {
    let (place, text) = (reader.place(written), written.get_ref().expose());
    let found = read(text, reader.dir, reader.env)
        .and_then(|(phc, _)| Password::parse(&phc).map_err(str::to_owned));
    found.map_err(|why| reader.complain(place, key, shown(text), why)).ok()
}

fn totp_of(reader: &mut Reader<'_>, key: &str, written: &Spanned<Hidden>) -> Option<Totp> {
    let (place, text) = (reader.place(written), written.get_ref().expose());
    let found = Totp::parse(&secret(reader, place, key, text)?);
    found.map_err(|why| reader.complain(place, key, shown(text), why)).ok()
}
