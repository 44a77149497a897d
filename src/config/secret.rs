//! Secrets, wherever they are written.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::SecretSource;
use super::complaint::quoted;

/// The longest secret read from a file, in bytes.
const LONGEST: u64 = 64 * 1024;

/// How a secret is read.
pub(super) type Read = fn(
    &str,
    &Path,
    &dyn Fn(&str) -> Option<String>,
) -> Result<(Zeroizing<String>, SecretSource), String>;

/// Reads a secret written as `env:NAME`, as `file:PATH` (relative to `dir`; one line end at its
/// end is left out) or as it is.
///
/// # Errors
/// What is wrong and what would be right; never the secret.
pub fn read(
    written: &str,
    dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Zeroizing<String>, SecretSource), String> {
    let (text, source) = find(written, dir, env)?;
    if text.chars().any(char::is_control) {
        return Err(
            "the secret holds a line end or another control character: take it out".to_owned()
        );
    }
    Ok((text, source))
}

/// The same for a secret that has several lines, as a key in PEM.
pub(super) fn read_lines(
    written: &str,
    dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Zeroizing<String>, SecretSource), String> {
    find(written, dir, env)
}

fn find(
    written: &str,
    dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Zeroizing<String>, SecretSource), String> {
    let (text, source) = if let Some(name) = written.strip_prefix("env:") {
        if !is_variable_name(name) {
            return Err("write env: and the name of an environment variable: letters, digits \
                        and _"
                .to_owned());
        }
        let text = env(name).map(Zeroizing::new).ok_or_else(|| {
            format!("the environment variable {name} is not set: set it before starting")
        })?;
        (text, SecretSource::Variable(name.to_owned()))
    } else if let Some(path) = written.strip_prefix("file:") {
        let path = dir.join(path);
        (read_file(&path)?, SecretSource::File(path))
    } else {
        (Zeroizing::new(written.to_owned()), SecretSource::Literal)
    };
    if text.is_empty() {
        return Err("the secret is empty: write env:NAME or file:PATH, and put it there".to_owned());
    }
    if text.starts_with("change-me") {
        return Err(
            "this is the example's secret, which everybody knows: put your own there".to_owned()
        );
    }
    Ok((text, source))
}

/// What of a written secret may be shown: where it stands, never what it is.
pub(super) fn shown(written: &str) -> Option<String> {
    let named = written.strip_prefix("env:").is_some_and(is_variable_name);
    (named || written.starts_with("file:")).then(|| quoted(written))
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) fn read_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let unreadable = |error: io::Error| format!("the file {shown} cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(format!(
            "{shown} is not a file: write the path of a file that holds the secret"
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if about.permissions().mode() & 0o004 != 0 {
            return Err(format!("everybody on this machine can read {shown}: chmod o-r {shown}"));
        }
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
