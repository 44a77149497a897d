//! Recordings of one's own, as the configuration names them.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

use super::*;

/// A second of a tone as loud as this, as `folder/file`.
pub(super) fn recorded(folder: &Path, file: &str, amplitude: f64) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..8_000 {
        wav.write_sample((amplitude * (TAU * f64::from(n) / 20.0).sin()) as i16).unwrap();
    }
    wav.finalize().unwrap();
}

fn loaded(folder: &Path, line: &str) -> Result<Loaded, Complaints> {
    parse(&format!("{}{line}\n", good()), "o.toml", folder, |_| None)
}

#[test]
fn recordings_are_for_all_or_for_one_tenant() {
    let folder = tempfile::tempdir().unwrap();
    recorded(&folder.path().join("all"), "es-MX/greeting.wav", 3_600.0);
    recorded(&folder.path().join("acme"), "en-US/brand_acme.wav", 3_600.0);
    fs::write(folder.path().join("acme/en-US/README.md"), "who spoke").unwrap();
    let line = "prompts = 'acme'\n[prompts]\nfolder = 'all'";
    let prompts = loaded(folder.path(), line).unwrap().config.gateway.prompts;
    let opens = |tenant, locale: &str| {
        let pack = prompts.speaking(Some(tenant), locale).unwrap();
        pack.phrase(pack.greeting(Some("Acme")).unwrap()).unwrap().text.clone()
    };
    assert_eq!(opens("acme", "en-US"), "brand_acme");
    assert_eq!(opens("two", "en-US"), "This is your sign-in call.");
    assert_eq!(opens("two", "es-MX"), "greeting");
    assert_eq!(opens("two", "es-AR"), "Esta es su llamada de inicio de sesión.");
}

#[test]
fn what_cannot_be_spoken_is_told_with_its_file_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let all = folder.path().join("all");
    recorded(&all, "en-US/ask.wav", 20_000.0);
    recorded(&all, "en-US/gretting.wav", 3_600.0);
    recorded(&all, "ja-JP/ask.wav", 3_600.0);
    recorded(&folder.path().join("flat"), "ask.wav", 3_600.0);
    recorded(&folder.path().join("named"), "english/ask.wav", 3_600.0);
    recorded(&folder.path().join("mixed"), "en-US/ask.wav", 3_600.0);
    fs::write(folder.path().join("mixed/en-US/again.mp3"), "ID3").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (line, expected) in [
        ("prompts = 'all'", "o.toml:8: tenants[0].prompts = \"all\": en-US: ask.wav: too loud"),
        ("prompts = 'all'", "en-US: gretting.wav: no phrase is called so"),
        ("prompts = 'all'", "ja-JP: there is no pack of ja-JP"),
        ("prompts = 'none'", "none cannot be read"),
        ("[prompts]\nfolder = 'flat'", "o.toml:9: prompts.folder = \"flat\": "),
        ("[prompts]\nfolder = 'flat'", "flat/en-US/ask.wav: move it there"),
        ("prompts = 'named'", "a folder of recordings is called by its language"),
        ("prompts = 'mixed'", "again.mp3: a recording is .wav or .flac"),
        ("prompts = 'empty'", "empty is empty: put recordings"),
    ] {
        let told = loaded(folder.path(), line).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
}
