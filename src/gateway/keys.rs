//! The gateway's keys: those that are configured, or those of a file beside the store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::StartError;
use super::settings::{Settings, StoreSettings};
use crate::ambient;
use crate::store;
use crate::verify::code::Vault;

/// The file beside the store that keeps the keys, one a line, the newest first.
const KEY_FILE: &str = "octothorpe.key";

/// The shortest text of a key: 32 bytes in base64.
const KEY_LEAST: usize = 43;

/// The keys that codes are derived from and the store is sealed by: the configured ones, or those that
/// are kept beside the store; one is made when there is none. They are not in the store itself, so that
/// a copy of that tells nothing.
///
/// # Errors
/// When the file of keys cannot be used.
pub fn vault(settings: &Settings) -> Result<Vault, StartError> {
    if let Some(secret) = &settings.secret {
        let older = settings.older_secrets.iter().map(|secret| Vault::of(secret));
        return Ok(Vault::of(secret).with_older(older));
    }
    let StoreSettings::Directory(dir) = &settings.store else {
        return Ok(Vault::new(Zeroizing::new(ambient::secret())));
    };
    store::make_folder(dir)?;
    let path = dir.join(KEY_FILE);
    let kept = match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(dir, &path),
        kept => kept,
    };
    kept.map_err(|source| StartError::Key { path, source })
}

fn read(path: &Path) -> io::Result<Vault> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let text = Zeroizing::new(fs::read_to_string(path)?);
    if fs::metadata(path)?.permissions().mode() & 0o004 != 0 {
        return Err(wrong("everybody on this machine can read it: chmod o-r the file"));
    }
    let mut keys = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let short = "a line of it is shorter than a key, which could be computed by anyone: restore it";
    if keys.peek().is_none() || keys.clone().any(|key| key.len() < KEY_LEAST) {
        return Err(wrong(short));
    }
    let newest = keys.next().map(Vault::of).ok_or_else(|| wrong(short))?;
    Ok(newest.with_older(keys.map(Vault::of)))
}

/// Makes a key. The file is there whole or not at all: a key that was cut short would be one that can be
/// guessed.
fn make(dir: &Path, path: &Path) -> io::Result<Vault> {
    let key = Zeroizing::new(URL_SAFE_NO_PAD.encode(ambient::secret::<32>()));
    let half = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&half)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    File::open(dir)?.sync_all()?;
    Ok(Vault::of(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dir: &Path) -> Settings {
        Settings { store: StoreSettings::Directory(dir.to_owned()), ..Settings::bare() }
    }

    #[test]
    fn a_key_is_made_once_and_others_may_stand_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = vault(&settings(dir.path())).unwrap().key_id();
        assert_eq!(vault(&settings(dir.path())).unwrap().key_id(), first);
        let path = dir.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{}\n{old}\n", "n".repeat(KEY_LEAST))).unwrap();
        let ring = vault(&settings(dir.path())).unwrap();
        let ids: Vec<_> = ring.live().map(|key| key.key_id()).collect();
        assert_eq!(ids, [Vault::of(&"n".repeat(KEY_LEAST)).key_id(), first]);
    }

    #[test]
    fn a_key_that_others_can_read_or_guess_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        let refusal = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            vault(&settings(dir.path())).map(|_| ()).map_err(|error| error.to_string())
        };
        let key = "k".repeat(KEY_LEAST);
        assert_eq!(refusal(&key, 0o640), Ok(()));
        assert!(refusal(&key, 0o604).unwrap_err().contains("chmod o-r"));
        for short in ["", "\n", "short", &format!("{key}\nshort")] {
            assert!(refusal(short, 0o600).unwrap_err().contains("shorter than a key"), "{short}");
        }
    }

    #[test]
    fn configured_secrets_are_newest_and_older() {
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let (secret, older_secrets) = (Some(text("new")), vec![text("old"), text("older")]);
        let ring = vault(&Settings { secret, older_secrets, ..Settings::bare() }).unwrap();
        let ids: Vec<_> = ring.live().map(|key| key.key_id()).collect();
        assert_eq!(ids, ["new", "old", "older"].map(|text| Vault::of(text).key_id()));
    }
}
