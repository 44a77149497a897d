//! One trunk's table, and its values that are read in one way wherever they stand.

use toml::Spanned;
use zeroize::Zeroizing;

use super::unquotable;
use crate::config::address::{host_alone, sip_target};
use crate::config::complaint::{did_you_mean, quoted};
use crate::config::raw::Hidden;
use crate::config::reader::{At, Place, Reader};
use crate::config::routing;
use crate::gateway::settings::Target;

/// One trunk's table.
pub(super) struct Entry<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) i: usize,
    pub(super) table: Place,
}

impl Entry<'_, '_> {
    /// A key as complaints name it.
    pub(super) fn key(&self, name: &str) -> String {
        format!("trunks[{}].{name}", self.i)
    }

    /// A key is wrong, and what is written here is why.
    pub(super) fn wrong<T>(
        &mut self,
        name: &str,
        at: &Spanned<T>,
        value: Option<String>,
        message: impl Into<String>,
    ) {
        let (place, key) = (self.reader.place(at), self.key(name));
        self.reader.complain(place, &key, value, message);
    }

    /// A key is not written that should be.
    pub(super) fn missing(&mut self, name: &str, message: impl Into<String>) {
        let key = self.key(name);
        self.reader.complain(self.table, &key, None, message);
    }

    /// What is written here should be looked at.
    pub(super) fn doubtful<T>(
        &mut self,
        name: &str,
        at: &Spanned<T>,
        value: Option<String>,
        message: impl Into<String>,
    ) {
        let (place, key) = (self.reader.place(at), self.key(name));
        self.reader.warn(place, &key, value, message);
    }

    /// A place that calls are sent to.
    pub(super) fn target(
        &mut self,
        name: &str,
        written: Option<&Spanned<String>>,
    ) -> Option<Target> {
        let written = written?;
        let text = written.get_ref();
        match sip_target(text) {
            Ok(target) => Some(target),
            Err(why) => {
                // What stands before an "@" may hold a password.
                let value = match text.rsplit_once('@') {
                    Some((_, host)) => quoted(&format!("sip:…@{host}")),
                    None => quoted(text),
                };
                self.wrong(name, written, Some(value), why);
                None
            }
        }
    }

    /// A host that stands alone.
    pub(super) fn host(&mut self, name: &str, written: &Spanned<String>) -> Option<String> {
        match host_alone(written.get_ref()) {
            Ok(host) => Some(host),
            Err(why) => {
                self.wrong(name, written, Some(quoted(written.get_ref())), why);
                None
            }
        }
    }

    /// What a carrier calls an account.
    pub(super) fn account(
        &mut self,
        name: &str,
        written: Option<&Spanned<String>>,
    ) -> Option<String> {
        let text = written?.get_ref();
        if !text.is_empty() && !text.contains(unquotable) {
            return Some(text.clone());
        }
        let message = "write the user name the carrier gave, without quotes, backslashes and \
                       control characters";
        self.wrong(name, written?, Some(quoted(text)), message);
        None
    }

    /// A secret.
    pub(super) fn secret(
        &mut self,
        name: &str,
        written: &Spanned<Hidden>,
    ) -> Option<Zeroizing<String>> {
        let (place, key) = (self.reader.place(written), self.key(name));
        routing::secret(self.reader, place, &key, written.get_ref().expose())
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &str,
        written: Option<&Spanned<String>>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let written = written?;
        let text = written.get_ref().as_str();
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
            let hint = did_you_mean(text, known.iter().copied());
            let message = format!("write one of {}{hint}", known.join(", "));
            self.wrong(name, written, Some(quoted(text)), message);
        }
        found.map(|&(_, value)| value)
    }

    /// A whole number.
    pub(super) fn number(
        &mut self,
        name: &str,
        written: Option<&Spanned<i64>>,
        least: u32,
        most: u32,
    ) -> Option<u32> {
        let written = written?;
        let number = u32::try_from(*written.get_ref()).ok();
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let message = format!("write a whole number from {least} to {most}");
            self.wrong(name, written, Some(written.get_ref().to_string()), message);
        }
        number
    }

    /// A text and where it stands.
    pub(super) fn at(&self, written: Option<&Spanned<String>>) -> Option<At<String>> {
        written.map(|it| At { value: it.get_ref().clone(), place: self.reader.place(it) })
    }
}
