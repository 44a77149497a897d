//! Packs that are as they should be, and each way in which they are not.

use std::f64::consts::TAU;
use std::io::Cursor;

use super::*;
use crate::media::codec::Decoder;

/// A second of a voice, or something as loud.
fn voice(ms: usize, amplitude: f64) -> Vec<i16> {
    let wave = |n: usize| amplitude * (TAU * 400.0 * n as f64 / f64::from(RATE)).sin();
    (0..ms * 8).map(|n| wave(n) as i16).collect()
}

/// Of an amplitude that is −16 dBm0.
fn good() -> Vec<i16> {
    voice(1_000, 3_600.0)
}

fn wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("a writer");
    for sample in samples {
        writer.write_sample(*sample).expect("a sample");
    }
    writer.finalize().expect("a file");
    file.into_inner()
}

fn manifest(bytes: &[u8], milliseconds: u64) -> String {
    let hash = sha256(bytes);
    format!(
        "locale = \"en-US\"\nvoice = \"v\"\nlicence = \"CC0-1.0\"\nengine = \"e\"\n\
         sample_rate = 8000\nlevel_dbm0 = -16\n[[prompt]]\nname = \"ask\"\n\
         file = \"ask.wav\"\ntext = \"Press.\"\nsha256 = \"{hash}\"\n\
         milliseconds = {milliseconds}\n"
    )
}

/// The pack of English, with these recordings over it for a tenant.
fn recorded(recordings: &Recordings) -> Result<Prompts, Vec<PackError>> {
    let mut prompts = Arc::unwrap_or_clone(Prompts::compiled().expect("they are compiled in"));
    prompts.record(Some("acme"), recordings)?;
    Ok(prompts)
}

fn file(name: &str, bytes: Vec<u8>) -> Recordings {
    let files = vec![(name.to_owned(), bytes)];
    Recordings { locale: "en-US".to_owned(), manifest: None, files }
}

#[test]
fn a_phrase_is_whole_frames_in_each_codec() {
    let mut samples = good();
    samples.truncate(7_840 + 40);
    let prompts = recorded(&file("ask.wav", wav(8_000, 1, &samples))).expect("it is good");
    let pack = prompts.speaking(Some("acme"), "en-US").expect("there is one");
    let ask = pack.find("ask").expect("it is there");
    let phrase = pack.phrase(ask).expect("it is there");
    assert_eq!((phrase.frames(), phrase.length), (50, Duration::from_millis(985)));
    for codec in Codec::ALL {
        let first = pack.frame(ask, codec, 0).expect("a frame");
        assert_eq!(first, codec.encoded(samples.iter().copied().take(160)));
        assert_eq!(pack.frame(ask, codec, 49).map(<[u8]>::len), Some(160));
        assert_eq!(pack.frame(ask, codec, 50), None);
        let heard = Decoder::default().all(codec, phrase.codes(codec));
        assert!(heard[7_880 + 80..].iter().all(|sample| sample.abs() <= 32), "{codec}");
    }
    assert_eq!(pack.find("sing"), Err(PackError::NoPhrase("sing".into())));
}

#[test]
fn a_file_that_cannot_be_spoken_is_refused_by_its_name_and_a_remedy() {
    let refusal = |name: &str, bytes: Vec<u8>| {
        let faults = recorded(&file(name, bytes)).expect_err("it is refused");
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let whole = wav(8_000, 1, &good());
    let mut flac = crate::media::prompt::compiled::SOURCES[0].files[0].1.to_vec();
    flac.truncate(flac.len() / 2);
    let faults = [
        (refusal("ask.wav", wav(16_000, 1, &good())), "ask.wav: 16000 Hz, 1 channel(s)"),
        (refusal("ask.wav", wav(8_000, 2, &good())), "ask.wav: 8000 Hz, 2 channel(s)"),
        (refusal("ask.wav", whole[..500].to_vec()), "ask.wav: "),
        (refusal("ask.wav", b"RIFF".to_vec()), "ask.wav: "),
        (refusal("ask.flac", flac), "ask.flac: "),
        (
            refusal("ask.wav", wav(8_000, 1, &voice(900, 30_000.0))),
            "ask.wav: too loud: it peaks at 30000",
        ),
        (
            refusal("ask.wav", wav(8_000, 1, &voice(900, 9_000.0))),
            "ask.wav: too loud: speech is at -8",
        ),
        (
            refusal("ask.wav", wav(8_000, 1, &voice(900, 1_200.0))),
            "ask.wav: too quiet: speech is at -25",
        ),
        (refusal("ask.wav", wav(8_000, 1, &[0; 8_000])), "ask.wav: nobody speaks in it"),
        (refusal("ask.wav", wav(8_000, 1, &[])), "ask.wav: nobody speaks in it"),
        (
            refusal("ask.wav", wav(8_000, 1, &voice(20_001, 3_600.0))),
            "ask.wav: 20001 ms long, 20000 ms",
        ),
        (
            refusal("digit_7.wav", wav(8_000, 1, &voice(2_500, 3_600.0))),
            "digit_7.wav: 2001 ms long, 2000 ms",
        ),
        (refusal("gretting.wav", whole), "gretting.wav: no phrase is called so"),
    ];
    for (refusal, expected) in faults {
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn a_manifest_and_its_files_must_be_of_one_mind() {
    let good = wav(8_000, 1, &good());
    let row = manifest(&good, 1_000);
    let refusal = |name: &str, manifest: String| {
        let recordings = Recordings { manifest: Some(manifest), ..file(name, good.clone()) };
        let faults = recorded(&recordings).expect_err("it is refused");
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let whole = Recordings { manifest: Some(row.clone()), ..file("ask.wav", good.clone()) };
    let prompts = recorded(&whole).expect("it is good");
    let pack = prompts.speaking(Some("acme"), "en-US").expect("there is one");
    assert_eq!(pack.get("ask").map(|phrase| phrase.text.as_str()), Some("Press."));
    let (_, prompt) = row.split_once("[[").expect("a row");
    let twice = format!("{row}[[{prompt}");
    let of_hash = row.replace("sha256 = \"", "sha256 = \"0");
    let faults = [
        (refusal("ask.wav", of_hash), "ask.wav: SHA-256 is "),
        (refusal("ask.wav", manifest(&good, 999)), "ask.wav: 1000 ms long, the manifest says 999"),
        (refusal("b.wav", row.clone()), "ask.wav: the file is missing; "),
        (
            refusal("b.wav", row.clone()),
            "ask.wav: the file is missing; put it beside manifest.toml, or take its row out\nb.wav: manifest.toml has no row for it",
        ),
        (refusal("ask.wav", row.replace("voice", "vice")), "manifest.toml: "),
        (refusal("ask.wav", row.replace("8000", "16000")), "manifest.toml: sample_rate is 16000"),
        (refusal("ask.wav", row.replace("\"ask\"", "\"asks\"")), "ask.wav: no phrase is called so"),
        (
            refusal("ask.wav", row.replace("en-US", "de-DE")),
            "manifest.toml: locale is de-DE, and the folder is called en-US",
        ),
        (refusal("ask.wav", String::new()), "manifest.toml: "),
        (refusal("ask.wav", twice), "manifest.toml: `ask` is there twice"),
    ];
    for (refusal, expected) in faults {
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn every_pack_is_whole() {
    let prompts = Prompts::compiled().expect("they are compiled in");
    assert_eq!(prompts.about().count(), compiled::SOURCES.len());
    for (n, (_, about)) in prompts.about().enumerate() {
        let pack = prompts.speaking(None, &about.locale).expect("it can be decoded");
        assert_eq!(&pack.about, about);
        for name in PHRASES {
            assert!(pack.get(name).is_some(), "{} has no {name}", about.locale);
        }
        assert_eq!(pack.names().count(), compiled::SOURCES[n].files.len(), "{}", about.locale);
    }
}

#[test]
fn a_call_speaks_the_pack_of_its_region_its_language_or_the_first() {
    let prompts = Prompts::compiled().expect("they are compiled in");
    let spoken =
        |locale| prompts.speaking(Some("acme"), locale).expect("there is one").about.locale.clone();
    for (locale, expected) in [
        ("en-US", "en-US"),
        ("en-us", "en-US"),
        ("en-AU", "en-GB"),
        ("en", "en-US"),
        ("en-XX", "en-US"),
        ("es-ES", "es-ES"),
        ("es-AR", "es-419"),
        ("es-MX", "es-419"),
        ("es", "es-419"),
        ("fr-CA", "fr-FR"),
        ("pt-PT", "pt-BR"),
        ("ru-KZ", "ru-RU"),
        ("de-AT", "de-DE"),
        ("ja-JP", "en-US"),
        ("", "en-US"),
    ] {
        assert_eq!(spoken(locale), expected, "{locale}");
    }
}

#[test]
fn recordings_stand_over_the_pack_of_their_language_for_their_tenant_alone() {
    let mut prompts = Arc::unwrap_or_clone(Prompts::compiled().expect("they are compiled in"));
    let of = |locale: &str, name: &str| Recordings {
        locale: locale.to_owned(),
        ..file(name, wav(8_000, 1, &good()))
    };
    prompts.record(Some("acme"), &of("en-US", "brand_acme.wav")).expect("it is good");
    prompts.record(None, &of("es-MX", "ask.wav")).expect("it is good");
    let greets = |tenant, locale: &str, brand| {
        let pack = prompts.speaking(tenant, locale).expect("there is one");
        let id = pack.greeting(Some(brand)).expect("there is one");
        pack.phrase(id).expect("it is there").text.clone()
    };
    assert_eq!(greets(Some("acme"), "en-US", "Acme"), "brand_acme");
    assert_eq!(greets(Some("acme"), "en-US", "Octothorpe").split(' ').next(), Some("This"));
    assert_eq!(greets(Some("acme"), "en-GB", "Acme"), "This is your sign-in call.");
    assert_eq!(greets(Some("other"), "en-US", "Acme"), "This is your sign-in call.");
    let asks = |tenant, locale: &str| {
        let pack = prompts.speaking(tenant, locale).expect("there is one");
        pack.get("ask").expect("it is there").text.len()
    };
    assert_eq!(asks(Some("acme"), "es-MX"), "ask".len());
    assert!(asks(None, "es-AR") > 20 && asks(None, "es") > 20);
    // A language that no pack has must be whole.
    let alone = prompts.clone().record(None, &of("ja-JP", "ask.wav")).expect_err("it lacks all");
    let told = alone.iter().map(ToString::to_string).collect::<String>();
    assert!(told.starts_with("there is no pack of ja-JP") && told.contains("again, wrong_key"));
}

#[test]
fn a_brand_has_its_own_greeting_when_it_was_recorded() {
    let prompts = Prompts::compiled().expect("they are compiled in");
    let pack = prompts.first().expect("it can be decoded");
    assert_eq!(pack.greeting(Some("Octothorpe")), pack.find("brand_octothorpe"));
    assert_eq!(pack.greeting(Some("No/such.Brand")), pack.find("greeting"));
    assert_eq!(pack.greeting(None), pack.find("greeting"));
    assert_eq!(brand_name("A&B Bänk 7"), "brand_a_b_b_nk_7");
}

#[test]
fn a_master_is_level_trimmed_and_telephone_band() {
    // Two seconds of silence, a loud hum, a voice, and a tone that no telephone carries.
    let rate = 44_100;
    let part = |seconds: f64, hz: f64, amplitude: f64| {
        let count = (seconds * f64::from(rate)) as usize;
        (0..count).map(move |n| amplitude * (TAU * hz * n as f64 / f64::from(rate)).sin())
    };
    let voice = part(1.0, 500.0, 0.9).zip(part(1.0, 6_000.0, 0.5)).map(|(a, b)| (a + b) * 0.6);
    let recording: Vec<f64> = part(2.0, 0.0, 0.0)
        .chain(voice)
        .chain(part(1.5, 0.0, 0.0))
        .chain(part(0.5, 500.0, 0.5))
        .collect();
    let made = master(&recording, rate).expect("it can be mastered");
    let level = active_level(&made).expect("somebody speaks");
    assert!((level + 16.0).abs() < 0.1, "{level}");
    assert!(made.iter().all(|sample| sample.unsigned_abs() < PEAK));
    // 20 ms, the voice, a pause of 600 ms instead of 1500, half a second, 50 ms.
    let ms = master::milliseconds(&made);
    assert!((2_160..=2_180).contains(&ms), "{ms} ms");
    // What lay at 6 kHz would now lie at 2 kHz.
    let image: f64 = made
        .iter()
        .skip(1_000)
        .take(6_000)
        .enumerate()
        .map(|(n, x)| f64::from(*x) * (TAU * 0.25 * n as f64).sin())
        .sum();
    assert!((image / 3_000.0).abs() < 10.0, "{image}");
    assert_eq!(master(&recording, 6_000), Err(Unusable::Narrow(6_000)));
    assert_eq!(master(&[0.0; 9_000], 8_000), Err(Unusable::Silent));
}
