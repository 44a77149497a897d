//! Recordings of one's own: `[prompts] folder`, and `prompts` of a tenant.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::complaint::quoted;
use super::is_tag;
use super::raw::{self, Raw};
use super::reader::{At, Reader};
use crate::media::prompt::{Prompts, Recordings};

/// The longest file that is read, in bytes: a minute of 16 bits at 48 kHz.
const LARGEST: u64 = 6 * 1024 * 1024;

/// All packs, with the recordings for everybody over them.
pub(super) fn prompts(reader: &mut Reader<'_>, written: &Raw) -> Prompts {
    let mut prompts = match Prompts::compiled() {
        Ok(prompts) => Arc::unwrap_or_clone(prompts),
        Err(error) => {
            let message = format!("the prompts compiled in are damaged: {error}");
            reader.complain_of_file("prompts", message);
            Prompts::default()
        }
    };
    let folder = reader.text("prompts.folder", written.prompts.folder.as_ref(), None);
    if let Some(folder) = folder {
        record(reader, &mut prompts, None, "prompts.folder", &folder);
    }
    prompts
}

/// Puts each tenant's recordings over the packs.
pub(super) fn of_tenants(
    reader: &mut Reader<'_>,
    prompts: &mut Prompts,
    tenants: &[Spanned<raw::Tenant>],
) {
    for (i, tenant) in tenants.iter().enumerate() {
        let raw::Tenant { name, prompts: folder, .. } = tenant.get_ref();
        if let (Some(name), Some(folder)) = (name, folder) {
            let at = At { value: folder.get_ref().clone(), place: reader.place(folder) };
            record(reader, prompts, Some(name.get_ref()), &format!("tenants[{i}].prompts"), &at);
        }
    }
}

/// Warns of the languages of tenants that no call can be held in.
pub(super) fn unrecorded(
    reader: &mut Reader<'_>,
    prompts: &Prompts,
    tenants: &[Spanned<raw::Tenant>],
) {
    let first = prompts.about().next().map_or("", |(_, about)| about.locale.as_str());
    for (i, tenant) in tenants.iter().enumerate() {
        let raw::Tenant { name, locale, languages, voice_countries, .. } = tenant.get_ref();
        let name = name.as_ref().map(|name| name.get_ref().as_str());
        let mut warn = |key: String, written: &Spanned<String>, but: &str| {
            let text = written.get_ref();
            if is_tag(text) && !prompts.knows(name, text) {
                let message = format!(
                    "nobody has recorded this language, and {but}: put recordings into a folder \
                     {text} of tenants[{i}].prompts (`octothorpe prompts build` makes them), or \
                     take it out; `octothorpe prompts check` lists the languages there are"
                );
                reader.warn(reader.place(written), &key, Some(quoted(text)), message);
            }
        };
        // Who calls nobody only texts in it.
        if let Some(locale) = locale.as_ref().filter(|_| !voice_countries.is_empty()) {
            let but = format!("calls are held in {first}");
            warn(format!("tenants[{i}].locale"), locale, &but);
        }
        for (j, language) in languages.iter().enumerate() {
            warn(format!("tenants[{i}].languages[{j}]"), language, "calls do not offer it");
        }
    }
}

fn record(
    reader: &mut Reader<'_>,
    prompts: &mut Prompts,
    tenant: Option<&str>,
    key: &str,
    folder: &At<String>,
) {
    let found = recordings(&reader.dir.join(&folder.value));
    let mut complain =
        |why: String| reader.complain(folder.place, key, Some(quoted(&folder.value)), why);
    match found {
        Ok(found) => {
            for recordings in found {
                let faults = prompts.record(tenant, &recordings).err().unwrap_or_default();
                for fault in faults {
                    complain(format!("{}: {fault}", recordings.locale));
                }
            }
        }
        Err(why) => complain(why),
    }
}

/// The recordings in a folder, which has a folder for each language, called by its BCP 47 tag.
///
/// # Errors
/// What cannot be read, or is no recording.
pub fn recordings(folder: &Path) -> Result<Vec<Recordings>, String> {
    let mut found = Vec::new();
    for (name, path) in listed(folder)? {
        if !path.is_dir() {
            return Err(format!(
                "{}: recordings stand in a folder for each language, as {}: move it there",
                path.display(),
                folder.join("en-US").join(&name).display()
            ));
        }
        if !is_tag(&name) {
            return Err(format!(
                "{}: a folder of recordings is called by its language, as en-US or es-419",
                path.display()
            ));
        }
        found.push(of_language(name, &path)?);
    }
    if found.is_empty() {
        return Err(format!(
            "{} is empty: put recordings into a folder for each language in it, as {}",
            folder.display(),
            folder.join("en-US").join("greeting.wav").display()
        ));
    }
    Ok(found)
}

fn of_language(locale: String, folder: &Path) -> Result<Recordings, String> {
    let mut recordings = Recordings { locale, ..Recordings::default() };
    for (name, path) in listed(folder)? {
        let kind = Path::new(&name).extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if name == "manifest.toml" {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            recordings.manifest = Some(text);
        } else if ["wav", "flac"].contains(&kind) {
            recordings.files.push((name, contents(&path)?));
        } else if !["LICENSE", "NOTICE", "README"].iter().any(|known| name.starts_with(known)) {
            return Err(format!(
                "{}: a recording is .wav or .flac: `octothorpe prompts build --from` makes one, or \
                 take the file away",
                path.display()
            ));
        }
    }
    Ok(recordings)
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("{} has more than {LARGEST} bytes: shorten it", path.display()));
    }
    Ok(bytes)
}

/// What a folder has, in alphabetical order, without what is hidden.
fn listed(folder: &Path) -> Result<Vec<(String, std::path::PathBuf)>, String> {
    let unreadable = |error| format!("the folder {} cannot be read: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
