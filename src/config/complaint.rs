//! What is wrong with a configuration: where, which key, what was written, what would be right.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong, or (as a warning) that should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// The file it stands in; `None` when it comes from the environment.
    pub file: Option<String>,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// The environment variable it comes from.
    pub variable: Option<String>,
    /// The key: `trunks[1].target`.
    pub key: String,
    /// What was written there; never a secret.
    pub value: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Complaint {
    pub(super) fn of_file(
        file: &str,
        line: Option<usize>,
        key: &str,
        value: Option<String>,
        message: impl Into<String>,
    ) -> Self {
        let (file, message) = (Some(file.to_owned()), message.into());
        Self { file, line, variable: None, key: inert(key), value, message }
    }

    pub(super) fn of_variable(
        variable: String,
        key: &str,
        value: Option<String>,
        message: impl Into<String>,
    ) -> Self {
        let (variable, message) = (Some(variable), message.into());
        Self { file: None, line: None, variable, key: inert(key), value, message }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            f.write_str(file)?;
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(variable) = &self.variable {
            write!(f, "environment {variable}")?;
        }
        f.write_str(": ")?;
        match (self.key.as_str(), &self.value) {
            ("", _) => {}
            (key, None) => write!(f, "{key}: ")?,
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration; its `Display` is what the terminal shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Complaints(pub Vec<Complaint>);

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, complaint) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            complaint.fmt(f)?;
        }
        Ok(())
    }
}

/// A value as a complaint shows it: in quotes, without controls, not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{:?}", start + "…")
}

/// Text that cannot steer a terminal.
fn inert(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// The word nearest to a mistyped one, where one is near.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(edits, _)| edits <= near)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "…"?`, or nothing.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"))
}

/// How many letters must be put in, taken out, exchanged or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX - 1);
            let exchanged = at(&row, j) + usize::from(from != to);
            let mut least = exchanged.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped =
                i > 0 && j > 0 && a.get(i - 1) == Some(&to) && b.get(j - 1) == Some(&from);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("listen", "listen", 0),
            ("lisen", "listen", 1),
            ("lsiten", "listen", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn only_a_near_word_is_offered() {
        let known = ["api_listen", "admin_listen", "public_url"];
        assert_eq!(nearest("api_lisen", known), Some("api_listen"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn a_complaint_cannot_steer_a_terminal() {
        let complaint =
            Complaint::of_file("a.toml", Some(3), "x\u{1b}[2J", Some(quoted("\u{7}")), "no");
        assert_eq!(complaint.to_string(), "a.toml:3: x\\u{1b}[2J = \"\\u{7}\": no");
    }
}
