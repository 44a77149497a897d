//! Reads values layer by layer and collects the complaints.

use std::path::Path;

use toml::Spanned;

use super::Loaded;
use super::complaint::{Complaint, Complaints};
use super::raw::line_of;
use crate::ambient::{Clock, Timestamp};

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file, on this line.
    File(usize),
    /// In the environment, for this key.
    Variable(&'static str),
    /// In the compiled-in defaults, on this line.
    Default(usize),
}

impl Place {
    /// The place of the two that its author can change.
    pub(super) const fn or(self, other: Self) -> Self {
        match self {
            Self::Default(_) => other,
            Self::File(_) | Self::Variable(_) => self,
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// The layers and the complaints so far.
pub(super) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    pub(super) dir: &'a Path,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// By which certificates are judged.
    pub(super) now: Timestamp,
    /// What is written comes from afar: it names no file and no variable of this machine.
    pub(super) remote: bool,
    complaints: Vec<Complaint>,
    warnings: Vec<Complaint>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        file: &'a str,
        text: &'a str,
        dir: &'a Path,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let now = Clock::system().now();
        let (complaints, warnings) = (Vec::new(), Vec::new());
        Self { file, text, dir, env, now, remote: false, complaints, warnings }
    }

    /// For what a request says.
    pub(super) fn of_request(text: &'a str) -> Self {
        Self { remote: true, ..Self::new("", text, Path::new(""), &|_| None) }
    }

    /// Where this stands in the file.
    pub(super) fn place<T>(&self, written: &Spanned<T>) -> Place {
        Place::File(self.line(written))
    }

    /// On which line this stands in the file.
    pub(super) fn line<T>(&self, written: &Spanned<T>) -> usize {
        line_of(self.text, written.span().start)
    }

    /// What the last layer that has it says: environment, file, defaults.
    pub(super) fn layered<T: Clone>(
        &mut self,
        key: &'static str,
        written: Option<&Spanned<T>>,
        default: Option<&Spanned<T>>,
        from_text: impl Fn(&str) -> Option<T>,
        fitting: &str,
    ) -> Option<At<T>> {
        if let Some(text) = (self.env)(&variable(key)).filter(|text| !text.is_empty()) {
            let place = Place::Variable(key);
            match from_text(&text) {
                Some(value) => return Some(At { value, place }),
                None => {
                    self.complain(place, key, Some(super::complaint::quoted(&text)), fitting);
                }
            }
        }
        self.in_files(written, default)
    }

    /// What the file says, or else the defaults; for lists, which the environment cannot write.
    pub(super) fn in_files<T: Clone>(
        &self,
        written: Option<&Spanned<T>>,
        default: Option<&Spanned<T>>,
    ) -> Option<At<T>> {
        let from_file = written.map(|it| At { value: it.get_ref().clone(), place: self.place(it) });
        from_file.or_else(|| {
            default.map(|it| At {
                value: it.get_ref().clone(),
                place: Place::Default(line_of(super::DEFAULTS, it.span().start)),
            })
        })
    }

    /// [`layered`](Self::layered) for a text.
    pub(super) fn text(
        &mut self,
        key: &'static str,
        written: Option<&Spanned<String>>,
        default: Option<&Spanned<String>>,
    ) -> Option<At<String>> {
        self.layered(key, written, default, |text| Some(text.to_owned()), "")
    }

    /// [`layered`](Self::layered) for a whole number between `least` and `most`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        written: Option<&Spanned<i64>>,
        default: Option<&Spanned<i64>>,
        least: u32,
        most: u32,
    ) -> Option<u32> {
        let fitting = format!("write a whole number from {least} to {most}");
        let found = self.layered(key, written, default, |text| text.parse().ok(), &fitting)?;
        let fits = u32::try_from(found.value).ok().filter(|n| (least..=most).contains(n));
        if fits.is_none() {
            self.complain(found.place, key, Some(found.value.to_string()), fitting);
        }
        fits
    }

    /// Something is wrong.
    pub(super) fn complain(
        &mut self,
        place: Place,
        key: &str,
        value: Option<String>,
        message: impl Into<String>,
    ) {
        let complaint = self.word(place, key, value, message.into());
        self.complaints.push(complaint);
    }

    /// Something should be looked at.
    pub(super) fn warn(
        &mut self,
        place: Place,
        key: &str,
        value: Option<String>,
        message: impl Into<String>,
    ) {
        let complaint = self.word(place, key, value, message.into());
        self.warnings.push(complaint);
    }

    fn word(&self, place: Place, key: &str, value: Option<String>, message: String) -> Complaint {
        match place {
            Place::File(line) => Complaint::of_file(self.file, Some(line), key, value, message),
            Place::Variable(name) => Complaint::of_variable(variable(name), key, value, message),
            Place::Default(line) => {
                let file = "config/default.toml (compiled in)";
                Complaint::of_file(file, Some(line), key, value, message)
            }
        }
    }

    /// The whole file, for what is missing from it.
    pub(super) fn complain_of_file(&mut self, key: &str, message: impl Into<String>) {
        self.complaints.push(Complaint::of_file(self.file, None, key, None, message));
    }

    /// The whole file, for what should be looked at.
    pub(super) fn warn_of_file(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(Complaint::of_file(self.file, None, key, None, message));
    }

    /// The configuration with its warnings, or everything that is wrong with it.
    pub(super) fn finish(self, loaded: Loaded) -> Result<Loaded, Complaints> {
        self.done().map(|warnings| Loaded { warnings, ..loaded }).map_err(Complaints)
    }

    /// What should be looked at, or everything that is wrong.
    pub(super) fn done(mut self) -> Result<Vec<Complaint>, Vec<Complaint>> {
        let order = |it: &Complaint| (it.line.is_none(), it.line, it.variable.clone());
        self.complaints.sort_by_key(order);
        self.warnings.sort_by_key(order);
        if self.complaints.is_empty() { Ok(self.warnings) } else { Err(self.complaints) }
    }
}

/// The environment variable of a key: `OCTOTHORPE_SERVER__API_LISTEN` for `server.api_listen`.
pub(super) fn variable(key: &str) -> String {
    format!("OCTOTHORPE_{}", key.to_ascii_uppercase().replace('.', "__"))
}
