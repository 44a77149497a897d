//! `[[carriers]]`.

use toml::Spanned;

use super::raw;
use super::reader::Reader;
use super::routing::{names, table_of};
use crate::gateway::settings::Provider;

pub(super) fn carriers(
    reader: &mut Reader<'_>,
    written: &[Spanned<raw::Carrier>],
    _public_url: Option<&str>,
) -> Vec<Provider> {
    names(reader, "carriers", written.iter().map(|it| (table_of(it), it.get_ref().name.as_ref())));
    Vec::new()
}
