//! All packs there are, and which of them a call speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::compiled::SOURCES;
use super::{About, Manifest, PHRASES, Pack, PackError, Phrase, Row, is_phrase, master, sha256};

/// The voice and the licence of recordings of which nothing is written.
const OWN: &str = "own";

/// Every pack: those compiled in, and one's own.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    shelves: Vec<Shelf>,
}

/// The place of a pack.
#[derive(Clone, Debug)]
struct Shelf {
    /// Whose recordings these are, where they are one tenant's alone.
    tenant: Option<String>,
    /// What is written of the pack. One that is compiled in is decoded when it is first spoken: most
    /// gateways speak few languages.
    manifest: Manifest,
    pack: OnceLock<Arc<Pack>>,
}

/// Recordings of one's own in one language, as they were found.
#[derive(Clone, Debug, Default)]
pub struct Recordings {
    /// The language (BCP 47).
    pub locale: String,
    /// `manifest.toml`, if there is one: then exactly what it names is spoken.
    pub manifest: Option<String>,
    /// Files by name: what comes before `.wav` or `.flac` is the phrase.
    pub files: Vec<(String, Vec<u8>)>,
}

/// A phrase with its name.
type Named = (String, Phrase);

impl Prompts {
    /// The packs that are compiled in.
    ///
    /// # Errors
    /// When a manifest in the source tree is not one, which a test rules out.
    pub fn compiled() -> Result<Arc<Self>, PackError> {
        static COMPILED: OnceLock<Arc<Prompts>> = OnceLock::new();
        if let Some(prompts) = COMPILED.get() {
            return Ok(Arc::clone(prompts));
        }
        let shelf = |text| {
            let manifest = Manifest::parse(text)?;
            Ok(Shelf { tenant: None, manifest, pack: OnceLock::new() })
        };
        let shelves: Result<_, PackError> = SOURCES.iter().map(|it| shelf(it.manifest)).collect();
        let shelves = shelves?;
        Ok(Arc::clone(COMPILED.get_or_init(|| Arc::new(Self { shelves }))))
    }

    /// Whose voices these are, in which languages; with the tenant whose alone they are.
    pub fn about(&self) -> impl Iterator<Item = (Option<&str>, &About)> {
        self.shelves.iter().map(|shelf| (shelf.tenant.as_deref(), &shelf.manifest.about))
    }

    /// The pack that a call of this tenant speaks in this language (a BCP 47 tag): the one for the
    /// region, else the first of the language, else the first of all. Of two that fit alike, the
    /// tenant's.
    ///
    /// # Errors
    /// When it cannot be decoded, which a test rules out.
    pub fn speaking(&self, tenant: Option<&str>, locale: &str) -> Result<Arc<Pack>, PackError> {
        self.pack(self.place(tenant, locale).unwrap_or_default())
    }

    /// Whether calls of this tenant can be held in this language, of whatever region.
    #[must_use]
    pub fn knows(&self, tenant: Option<&str>, locale: &str) -> bool {
        self.place(tenant, locale).is_some()
    }

    /// The first pack, which is spoken when no other fits.
    ///
    /// # Errors
    /// When it cannot be decoded, which a test rules out.
    pub fn first(&self) -> Result<Arc<Pack>, PackError> {
        self.pack(0)
    }

    /// Puts recordings over the pack of their language: for one tenant, or for all of them. In a
    /// language that no pack has they must be whole.
    ///
    /// # Errors
    /// Everything that is wrong with them; nothing is changed then.
    pub fn record(
        &mut self,
        tenant: Option<&str>,
        recordings: &Recordings,
    ) -> Result<(), Vec<PackError>> {
        let (manifest, phrases) = recordings.read()?;
        let locale = &manifest.about.locale;
        let base = self.place(None, locale).map(|place| self.pack(place));
        let base =
            base.transpose().map_err(|fault| vec![fault])?.filter(|it| it.about.speaks(locale));
        let same = |shelf: &Shelf| {
            shelf.tenant.as_deref() == tenant
                && shelf.manifest.about.locale.eq_ignore_ascii_case(locale)
        };
        let place = self.shelves.iter().position(same).unwrap_or(self.shelves.len());
        let mut about = manifest.about.clone();
        if let Some(base) =
            base.as_ref().filter(|base| base.about.locale.eq_ignore_ascii_case(locale))
        {
            about.also.clone_from(&base.about.also);
        }
        let mut pack = Pack::empty(about.clone());
        for name in base.iter().flat_map(|base| base.names()) {
            if let Some(phrase) = base.as_ref().and_then(|base| base.get(name)) {
                pack.put(name, phrase.clone());
            }
        }
        for (name, phrase) in phrases {
            pack.put(&name, phrase);
        }
        let lacks: Vec<_> = PHRASES.into_iter().filter(|name| pack.get(name).is_none()).collect();
        if !lacks.is_empty() {
            return Err(vec![PackError::NotWhole { locale: locale.clone(), lacks }]);
        }
        let shelf = Shelf {
            tenant: tenant.map(str::to_owned),
            manifest: Manifest { about, prompt: Vec::new() },
            pack: OnceLock::from(Arc::new(pack)),
        };
        match self.shelves.get_mut(place) {
            Some(there) => *there = shelf,
            None => self.shelves.push(shelf),
        }
        Ok(())
    }

    fn place(&self, tenant: Option<&str>, locale: &str) -> Option<usize> {
        let fits: [fn(&About, &str) -> bool; 2] = [About::is_for, About::speaks];
        let whose = [tenant, None];
        let ranks = fits.iter().flat_map(|fits| whose.map(|tenant| (fits, tenant)));
        ranks
            .filter_map(|(fits, tenant)| {
                self.shelves.iter().position(|shelf| {
                    shelf.tenant.as_deref() == tenant && fits(&shelf.manifest.about, locale)
                })
            })
            .next()
    }

    fn pack(&self, place: usize) -> Result<Arc<Pack>, PackError> {
        let none = || PackError::Manifest("there is no pack at all".to_owned());
        let shelf = self.shelves.get(place).ok_or_else(none)?;
        if let Some(pack) = shelf.pack.get() {
            return Ok(Arc::clone(pack));
        }
        // What is not decoded yet is compiled in, and keeps its place.
        let files = SOURCES.get(place).map(|source| source.files).unwrap_or_default();
        let file = |name: &str| files.iter().find(|(it, _)| *it == name).map(|(_, bytes)| *bytes);
        let pack = Arc::new(Pack::load(&shelf.manifest, file)?);
        Ok(Arc::clone(shelf.pack.get_or_init(|| pack)))
    }
}

impl Recordings {
    /// What they are and say: by their manifest, or each file by its name.
    fn read(&self) -> Result<(Manifest, Vec<Named>), Vec<PackError>> {
        let manifest = self.manifest.as_ref().map(|text| self.listed(text)).transpose();
        let manifest = manifest.map_err(|fault| vec![fault])?;
        let about = || About {
            locale: self.locale.clone(),
            also: Vec::new(),
            voice: OWN.to_owned(),
            licence: OWN.to_owned(),
            engine: "recorded".to_owned(),
            note: None,
        };
        let read = self.each(manifest.as_ref());
        let mut phrases = Vec::new();
        let mut faults = Vec::new();
        for read in read {
            match read {
                Ok(phrase) => phrases.push(phrase),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok((manifest.unwrap_or_else(|| Manifest { about: about(), prompt: Vec::new() }), phrases))
    }

    /// Each recording by the name of its phrase, or why it is none.
    ///
    /// # Errors
    /// Why their manifest is none.
    pub fn phrases(&self) -> Result<Vec<Result<Named, PackError>>, PackError> {
        let manifest = self.manifest.as_ref().map(|text| self.listed(text)).transpose()?;
        Ok(self.each(manifest.as_ref()))
    }

    fn each(&self, manifest: Option<&Manifest>) -> Vec<Result<Named, PackError>> {
        match manifest {
            Some(manifest) => self.by_manifest(manifest),
            None => self.by_name(),
        }
    }

    /// A manifest of these recordings as they are, whatever the present one says of them; what is said
    /// in each is in `texts`, else in the present one.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn write_manifest(
        &self,
        engine: &str,
        texts: &BTreeMap<String, String>,
    ) -> Result<String, Vec<PackError>> {
        let present = self.manifest.as_ref().and_then(|text| self.listed(text).ok());
        let said = |name: &str| {
            let rows = present.iter().flat_map(|manifest| &manifest.prompt);
            let known = rows.filter(|row| row.name == name).map(|row| &row.text).next();
            texts.get(name).or(known).cloned().unwrap_or_else(|| name.to_owned())
        };
        let own = || About {
            locale: self.locale.clone(),
            also: Vec::new(),
            voice: OWN.to_owned(),
            licence: OWN.to_owned(),
            engine: engine.to_owned(),
            note: None,
        };
        let about = present.as_ref().map_or_else(own, |manifest| manifest.about.clone());
        let (mut rows, mut faults) = (Vec::new(), Vec::new());
        for (read, (file, bytes)) in self.by_name().into_iter().zip(&self.files) {
            match read {
                Ok((name, phrase)) => rows.push(Row {
                    text: said(&name),
                    name,
                    file: file.clone(),
                    sha256: sha256(bytes),
                    milliseconds: phrase.length.as_millis() as u64,
                }),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(Manifest { about, prompt: rows }.write()) } else { Err(faults) }
    }

    fn listed(&self, text: &str) -> Result<Manifest, PackError> {
        let manifest = Manifest::parse(text)?;
        let (is, folder) = (&manifest.about.locale, &self.locale);
        if !is.eq_ignore_ascii_case(folder) {
            let why = format!("locale is {is}, and the folder is called {folder}: make them one");
            return Err(PackError::Manifest(why));
        }
        Ok(manifest)
    }

    fn by_manifest(&self, manifest: &Manifest) -> Vec<Result<Named, PackError>> {
        let listed: BTreeSet<&str> = manifest.prompt.iter().map(|row| row.file.as_str()).collect();
        let unlisted = self.files.iter().filter(|(file, _)| !listed.contains(file.as_str()));
        let unlisted = unlisted.map(|(file, _)| Err(PackError::Unlisted { file: file.clone() }));
        let rows = manifest.prompt.iter().map(|row| {
            let bytes = self.files.iter().find(|(file, _)| *file == row.file);
            let (_, bytes) = bytes.ok_or_else(|| PackError::Missing { file: row.file.clone() })?;
            Ok((row.name.clone(), row.phrase(bytes)?))
        });
        rows.chain(unlisted).collect()
    }

    fn by_name(&self) -> Vec<Result<Named, PackError>> {
        let stem = |file: &str| file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned();
        let mut seen = BTreeSet::new();
        let files = self.files.iter().map(|(file, bytes)| {
            let (name, file) = (stem(file), file.clone());
            if !is_phrase(&name) {
                return Err(PackError::Name { file });
            }
            if !seen.insert(name.clone()) {
                return Err(PackError::Twice { file });
            }
            let samples = master::read(&name, &file, bytes)?;
            // Nobody wrote down what is said in it.
            Ok((name.clone(), Phrase::new(&samples, name)))
        });
        files.collect()
    }
}
