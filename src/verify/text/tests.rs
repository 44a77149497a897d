//! What is texted, in every language and with every value missing.

use super::super::gsm::{self, Encoding};
use super::super::reply::{self, Meaning};
use super::*;

const KINDS_THAT_ASK: [Kind; 6] =
    [Kind::Code, Kind::CodePlain, Kind::Transaction, Kind::Reply, Kind::ReplyPin, Kind::ReplyYes];

/// Languages that no 7-bit alphabet can write.
const WIDE: [&str; 4] = ["ar", "hi", "ja", "zh"];

fn texts() -> Texts {
    Texts::compiled().unwrap()
}

fn payment() -> Transaction {
    Transaction::new("129.90", "EUR", "Blue Bikes").unwrap()
}

fn code<'a>() -> Fill<'a> {
    Fill { code: "482913", minutes: 10, ..Fill::default() }
}

fn branded<'a>() -> Fill<'a> {
    Fill { brand: Some("Contoso"), ..code() }
}

fn locales(texts: &Texts) -> Vec<String> {
    texts.0.keys().cloned().collect()
}

#[test]
fn english_says_what_it_should() {
    let texts = texts();
    let say = |kind, fill: Fill<'_>| texts.render("en", kind, &fill);
    assert_eq!(say(Kind::Code, branded()), "482913 is your Contoso code. It expires in 10 min.");
    assert_eq!(say(Kind::Code, code()), "482913 is your code. It expires in 10 min.");
    assert_eq!(say(Kind::CodePlain, branded()), say(Kind::Code, code()));
    let payment = payment();
    let paying = Fill { transaction: Some(&payment), ..branded() };
    assert_eq!(
        say(Kind::Transaction, paying),
        "Pay 129.90 EUR to Blue Bikes: your Contoso code is 482913. It expires in 10 min."
    );
    assert_eq!(
        say(Kind::Reply, branded()),
        "Contoso: Signing in? Reply with 482913 to confirm. Not you? Reply FRAUD."
    );
    assert_eq!(
        say(Kind::ReplyPin, Fill { brand: None, ..paying }),
        "Pay 129.90 EUR to Blue Bikes? Reply with 482913 followed by your PIN to confirm. \
         Not you? Reply FRAUD."
    );
    assert_eq!(
        say(Kind::ReplyYes, Fill { reference: Some("42"), code: "", ..paying }),
        "Contoso: Pay 129.90 EUR to Blue Bikes? Reply YES 42 to confirm. Not you? Reply FRAUD."
    );
    assert_eq!(
        say(Kind::ReplyYes, code()),
        "Signing in? Reply YES or 482913 to confirm. Not you? Reply FRAUD."
    );
    assert_eq!(
        say(Kind::OptedOut, branded()),
        "You will get no more texts from Contoso. Reply START to get them again."
    );
}

#[test]
fn every_compiled_code_is_one_segment_with_a_brand_of_twelve_letters() {
    let texts = texts();
    let fill = Fill { brand: Some("Contosobank1"), ..code() };
    for locale in locales(&texts) {
        for kind in [Kind::Code, Kind::CodePlain] {
            let text = texts.render(&locale, kind, &fill);
            let segments = gsm::segments(&text);
            assert_eq!(segments.count, 1, "{locale}: {text}");
            let wide = WIDE.contains(&locale.as_str());
            assert_eq!(segments.encoding == Encoding::Ucs2, wide, "{locale}: {text}");
        }
    }
}

#[test]
fn latin_texts_of_every_kind_keep_to_the_cheap_alphabet() {
    let texts = texts();
    let payment = payment();
    let fill = Fill {
        transaction: Some(&payment),
        reference: Some("42"),
        never_ask: true,
        domain: Some("example.com"),
        ..branded()
    };
    for locale in locales(&texts).iter().filter(|locale| !WIDE.contains(&locale.as_str())) {
        for kind in Kind::ALL {
            let text = texts.render(locale, kind, &fill);
            let foreign: String =
                text.chars().filter(|c| gsm::septets(&c.to_string()).is_none()).collect();
            assert_eq!(foreign, "", "{locale}: {text}");
            assert!(gsm::segments(&text).count <= 2, "{locale}: {text}");
        }
    }
}

#[test]
fn every_text_reads_well_with_and_without_each_value() {
    let texts = texts();
    let payment = payment();
    for locale in locales(&texts) {
        for kind in Kind::ALL {
            for bits in 0..8u8 {
                let fill = Fill {
                    brand: (bits & 1 != 0).then_some("Contoso"),
                    transaction: (bits & 2 != 0).then_some(&payment),
                    reference: (bits & 4 != 0).then_some("42"),
                    ..code()
                };
                let text = texts.render(&locale, kind, &fill);
                let named = |value: &str| text.contains(value);
                assert_eq!(text, text.trim(), "{locale} {kind:?}");
                for odd in ["  ", " .", " ,", ": :", "{", "}", "[", "]", "|", "()", "\n"] {
                    assert!(!named(odd), "{locale} {kind:?}: {odd:?} in {text:?}");
                }
                if KINDS_THAT_ASK.contains(&kind) {
                    assert!(named("482913"), "{locale} {kind:?}: {text}");
                    let amount = payment.amount_in(&locale);
                    let pays = [&*amount, "EUR", "Blue Bikes"].map(named);
                    assert_eq!(pays, [bits & 2 != 0; 3], "{locale} {kind:?}: {text}");
                }
                if kind == Kind::ReplyYes {
                    assert_eq!(named("42"), bits & 4 != 0, "{locale}: {text}");
                }
                let plain = [Kind::CodePlain, Kind::NeverAsk].contains(&kind);
                assert!(plain || named("Contoso") == (bits & 1 != 0), "{locale}: {text}");
            }
        }
    }
}

#[test]
fn the_words_that_texts_ask_for_are_read_in_answers() {
    let texts = texts();
    for locale in locales(&texts) {
        let read = |kind: Kind| -> Vec<Meaning> {
            let text = texts.render(&locale, kind, &branded());
            let words = text.split(|c: char| c.is_whitespace() || "“”「」.。,".contains(c));
            words.filter(|word| !word.is_empty()).map(|word| reply::read(word, &locale)).collect()
        };
        assert!(read(Kind::ReplyYes).contains(&Meaning::Yes { reference: None }), "{locale}");
        for kind in [Kind::Reply, Kind::ReplyPin, Kind::ReplyYes] {
            assert!(read(kind).contains(&Meaning::Fraud), "{locale} {kind:?}");
        }
        for (kind, word) in [
            (Kind::OptedOut, "START"),
            (Kind::OptedIn, "STOP"),
            (Kind::OptedIn, "HELP"),
            (Kind::Help, "STOP"),
        ] {
            let text = texts.render(&locale, kind, &branded());
            assert!(text.contains(word), "{locale}: {text}");
        }
    }
}

#[test]
fn a_tag_falls_back_to_its_language_and_then_to_english() {
    let texts = texts();
    let say = |locale| texts.render(locale, Kind::Code, &branded());
    assert_eq!(say("pt-BR"), say("pt"));
    assert_eq!(say("PT-br"), say("pt"));
    assert_eq!(say("zh-Hant-TW"), say("zh"));
    assert_ne!(say("pt"), say("en"));
    for unknown in ["xx", "", "-", "en-", "x-pt", "\u{1f642}"] {
        assert_eq!(say(unknown), say("en"), "{unknown:?}");
    }
}

#[test]
fn a_template_of_ones_own_is_preferred_where_it_can_be_said() {
    let mut texts = texts();
    texts.with("en-GB", "code", "Your {brand} code: {code}").unwrap();
    texts.with("en", "reply", "Answer {code}.").unwrap();
    texts.with("en", "reply_yes", "Answer YES.").unwrap();
    texts.with("fi", "code", "Koodi{code}").unwrap();
    texts.with("fi", "code", "Koodi {code}").unwrap();
    assert_eq!(texts.render("en-GB", Kind::Code, &branded()), "Your Contoso code: 482913");
    assert_eq!(
        texts.render("en-GB", Kind::Code, &code()),
        "482913 is your code. It expires in 10 min."
    );
    assert_eq!(texts.render("fi-FI", Kind::Code, &code()), "Koodi 482913");
    assert_eq!(texts.render("en", Kind::Reply, &code()), "Answer 482913.");
    assert_eq!(texts.render("en", Kind::ReplyYes, &code()), "Answer YES.");
    // A template that is silent on the payment or the reference is not said when there is one.
    let payment = payment();
    let paying = Fill { transaction: Some(&payment), ..code() };
    assert!(texts.render("en", Kind::Reply, &paying).starts_with("Pay 129.90 EUR"));
    let referred = Fill { reference: Some("42"), ..code() };
    assert!(texts.render("en", Kind::ReplyYes, &referred).contains("YES 42"));
}

#[test]
fn what_is_not_well_formed_is_refused_by_name() {
    let mut texts = texts();
    let unknown = |name: &str, kind: &'static str, known: &str| TextError::UnknownPlaceholder {
        name: name.to_owned(),
        kind,
        known: known.to_owned(),
    };
    let all = "{code}, {brand}, {minutes}";
    for (kind, template, why) in [
        ("code", "{code} {link}", unknown("link", "code", all)),
        ("code", "{code} {payee}", unknown("payee", "code", all)),
        ("code", "{code} { brand }", unknown(" brand ", "code", all)),
        ("code", "{code} {}", unknown("", "code", all)),
        ("code_plain", "{code} {brand}", unknown("brand", "code_plain", "{code}, {minutes}")),
        ("late", "{code}", unknown("code", "late", "{brand}")),
        ("code", "Your {brand} code", TextError::MissingPlaceholder { name: "code", kind: "code" }),
        ("code", "[{code}]", TextError::MissingPlaceholder { name: "code", kind: "code" }),
        (
            "transaction",
            "{code}[ {amount} {currency} {payee}]",
            TextError::MissingPlaceholder { name: "amount", kind: "transaction" },
        ),
        ("code", "{code", TextError::Unbalanced('{')),
        ("code", "{co{code}", TextError::Unbalanced('{')),
        ("code", "{code [}]", TextError::Unbalanced('{')),
        ("code", "{code}}", TextError::Unbalanced('}')),
        ("code", "{code}[", TextError::Unbalanced('[')),
        ("code", "{code}]", TextError::Unbalanced(']')),
        ("code", "{code}[ [{brand}]]", TextError::Unbalanced('[')),
        ("code", "{code}\n@evil.example #1", TextError::Control),
        ("code", "{code}\u{7}", TextError::Control),
        ("code", "", TextError::Length),
        ("code", "  ", TextError::Length),
        ("code", &format!("{{code}}{}", "x".repeat(LONGEST)), TextError::Length),
        ("Code", "{code}", TextError::Kind("Code".to_owned())),
        ("", "{code}", TextError::Kind(String::new())),
    ] {
        assert_eq!(texts.with("en", kind, template), Err(why), "{kind}: {template}");
    }
    for locale in ["", "e", "en_US", "en-", "-en", "en US", "1n", "en-toolongsub", "españa"] {
        let error = texts.with(locale, "code", "{code}").unwrap_err();
        assert_eq!(error, TextError::Locale(locale.to_owned()));
    }
    let told = texts.with("en", "code", "{code} {link}").unwrap_err().to_string();
    assert_eq!(told, "{link} is not a value of code; its values are {code}, {brand}, {minutes}");
    let told = texts.with("en", "sms", "{code}").unwrap_err().to_string();
    assert!(told.contains("\"sms\"") && told.contains("reply_yes"), "{told}");
    assert_eq!(
        texts.render("en", Kind::Code, &code()),
        self::texts().render("en", Kind::Code, &code())
    );
}

#[test]
fn a_value_is_never_read_as_a_template_and_cannot_begin_a_line() {
    let texts = texts();
    let evil = Fill { brand: Some("{code}[x|y]\r\n@evil.example #1{"), ..code() };
    assert_eq!(
        texts.render("en", Kind::Code, &evil),
        "482913 is your {code}[x|y]@evil.example #1{ code. It expires in 10 min."
    );
    let evil = Fill { code: "{brand}", domain: Some("a.example\n@b.example"), ..branded() };
    assert_eq!(
        texts.render("en", Kind::Code, &evil),
        "{brand} is your Contoso code. It expires in 10 min.\n@a.example@b.example #{brand}"
    );
}

#[test]
fn the_last_lines_are_for_the_app_and_the_browser() {
    let texts = texts();
    let both = Fill {
        domain: Some("login.example.com"),
        android_hash: Some("FA+9qCX9VSu"),
        never_ask: true,
        ..branded()
    };
    assert_eq!(
        texts.render("en", Kind::Code, &both),
        "482913 is your Contoso code. It expires in 10 min. We never ask you for this code.\n\
         FA+9qCX9VSu\n@login.example.com #482913"
    );
    let app = Fill { domain: None, never_ask: false, ..both };
    assert!(texts.render("ja", Kind::Code, &app).ends_with("有効）\nFA+9qCX9VSu"));
    // A code that is to be answered with is not for a form, and is asked for.
    for kind in [Kind::Reply, Kind::ReplyPin, Kind::ReplyYes, Kind::Late] {
        let plain = texts.render("en", kind, &branded());
        assert_eq!(texts.render("en", kind, &both), plain);
    }
}

#[test]
fn a_code_for_a_payment_always_names_it() {
    let texts = texts();
    let payment = payment();
    let paying = Fill { transaction: Some(&payment), ..branded() };
    let named = texts.render("de-AT", Kind::Transaction, &paying);
    assert_eq!(texts.render("de-AT", Kind::Code, &paying), named);
    assert_eq!(
        texts.render("de", Kind::CodePlain, &paying),
        "Zahlung von 129,90 EUR an Blue Bikes: Ihr Code ist 482913. Er gilt 10 min."
    );
    let code = texts.render("de", Kind::Code, &branded());
    assert_eq!(texts.render("de", Kind::Transaction, &branded()), code);
}
