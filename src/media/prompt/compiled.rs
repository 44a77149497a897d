//! The packs that are compiled in.

/// A pack as it stands in the source tree.
pub(super) struct Source {
    /// Its manifest.
    pub(super) manifest: &'static str,
    /// Its masters by file name.
    pub(super) files: &'static [(&'static str, &'static [u8])],
}

macro_rules! source {
    ($folder:literal $($more:literal)*) => {
        Source {
            manifest: include_str!(concat!("../../../prompts/", $folder, "/manifest.toml")),
            files: masters!($folder:
                "greeting" "ask" "again" "wrong_key" "thanks" "fraud" "denied" "goodbye" "sorry"
                "ask_pin" "wrong_pin" "pin_expires" "ask_match" "wrong_match"
                "ask_code" "code_is" "code_again" "code_end" "confirm_fraud" "choose"
                "digit_0" "digit_1" "digit_2" "digit_3" "digit_4"
                "digit_5" "digit_6" "digit_7" "digit_8" "digit_9"
                "digit_0_f" "digit_1_f" "digit_2_f" "digit_3_f" "digit_4_f"
                "digit_5_f" "digit_6_f" "digit_7_f" "digit_8_f" "digit_9_f"
                "pound" "star" $($more)*
            ),
        }
    };
}

macro_rules! masters {
    ($folder:literal: $($name:literal)*) => {
        &[$((
            concat!($name, ".flac"),
            include_bytes!(concat!("../../../prompts/", $folder, "/", $name, ".flac")),
        )),*]
    };
}

/// All of them. The first is spoken when no other fits; of several of one language, the first where
/// none is for the region.
pub(super) const SOURCES: [Source; 11] = [
    source!("en-US/hibari" "brand_octothorpe"),
    source!("en-GB/hibari"),
    source!("es-419/kokoro"),
    source!("es-ES/kokoro"),
    source!("fr-FR/kokoro"),
    source!("it-IT/kokoro"),
    source!("ru-RU/festvox"),
    source!("de-DE/espeak-ng"),
    source!("pt-BR/espeak-ng"),
    source!("nl-NL/espeak-ng"),
    source!("pl-PL/espeak-ng"),
];
