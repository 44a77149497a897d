//! Our documents against those that Twilio's own Python library writes for the same verbs, both as
//! an XML parser reads them. The documents come from the real binary, on the air.

use serde_json::{Value, json};

use crate::serve::{Gateway, PUBLIC};
use crate::twilio::Twilio;

/// The language of a call, a part of its page in `prompts/speech.toml`, and the voice it asks for.
struct Page {
    locale: &'static str,
    say: Value,
    greeting: &'static str,
    ask: &'static str,
    again: &'static str,
    wrong_key: &'static str,
    thanks: &'static str,
    fraud: &'static str,
    goodbye: &'static str,
}

/// A call, one document after the other.
struct Call<'a> {
    twilio: &'a Twilio,
    page: &'a Page,
    sid: String,
    /// Where its keys go, without the state of the dialogue.
    keys: String,
    document: String,
}

impl<'a> Call<'a> {
    fn start(twilio: &'a Twilio, gateway: &Gateway, phone: &str, page: &'a Page) -> Self {
        gateway.hide(phone.trim_start_matches("+1"));
        gateway.begin(&json!({"to": phone, "locale": page.locale, "brand": "Smith & Sons' Co"}));
        let call = twilio.order(phone, 1);
        let voice = call.params["Url"].as_str().unwrap();
        let keys = format!("{}/keys", voice.strip_suffix("/voice").unwrap());
        assert!(keys.starts_with(PUBLIC), "{keys}");
        let answer = twilio.tell(json!({"do": "answer", "sid": call.sid}));
        let document = answer["body"].as_str().unwrap().to_owned();
        Self { twilio, page, sid: call.sid, keys, document }
    }

    fn press(&mut self, key: Option<char>) {
        let answer = self.twilio.tell(json!({"do": "press", "sid": self.sid, "key": key}));
        answer["body"].as_str().unwrap().clone_into(&mut self.document);
    }

    /// What the library writes for a question in this state of the dialogue.
    fn asks(&self, state: &str, said: &[&str]) -> Value {
        let action = format!("{}?s={state}", self.keys);
        let said: Vec<Value> =
            said.iter().map(|text| json!(["Say", self.page.say, text])).collect();
        let gather = json!({
            "input": "dtmf", "finish_on_key": "", "num_digits": 1, "action_on_empty_result": true,
            "timeout": 10, "method": "POST", "action": action,
        });
        json!([
            ["Gather", gather, said],
            ["Redirect", {"method": "POST"}, action],
            ["Hangup", {}, null],
        ])
    }

    /// The same for words at the end of a call.
    fn closes(&self, said: &str) -> Value {
        json!([["Say", self.page.say, said], ["Hangup", {}, null]])
    }

    fn is(&self, verbs: &Value) {
        assert_eq!(read(self.twilio, &self.document), wanted(self.twilio, verbs));
    }
}

/// A document as the parser reads it.
fn read(twilio: &Twilio, document: &str) -> Value {
    twilio.ask(json!({"do": "tree", "xml": document}))["tree"].take()
}

/// The document of the library.
fn wanted(twilio: &Twilio, verbs: &Value) -> Value {
    twilio.ask(json!({"do": "twiml", "verbs": verbs}))["tree"].take()
}

fn pages() -> [Page; 2] {
    [
        Page {
            locale: "en-US",
            say: json!({"language": "en-US"}),
            greeting: "This is Smith & Sons' Co, calling to verify your sign-in.",
            ask: "If you are signing in now, press the pound key. If you are not, press zero, then \
                  pound.",
            again: "Let me say that again.",
            wrong_key: "That was not the pound key.",
            thanks: "Thank you. Goodbye.",
            fraud: "Thank you for telling us. This sign-in has been reported. Goodbye.",
            goodbye: "We did not hear from you. Goodbye.",
        },
        Page {
            locale: "es-MX",
            say: json!({"language": "es-MX"}),
            greeting: "Le llama Smith & Sons' Co para verificar su inicio de sesión.",
            ask: "Si está iniciando sesión ahora, presione la tecla gato. Si no es usted, presione \
                  cero y después gato.",
            again: "Se lo repito.",
            wrong_key: "Esa no era la tecla gato.",
            thanks: "Gracias. Adiós.",
            fraud: "Gracias por avisarnos. Este inicio de sesión ha sido reportado. Adiós.",
            goodbye: "No recibimos respuesta. Adiós.",
        },
    ]
}

#[test]
fn every_document_is_the_one_that_twilios_library_writes() {
    let twilio = Twilio::start();
    let gateway = twilio.gateway(twilio.port(), "");
    for (at, page) in pages().iter().enumerate() {
        let phone = |number: usize| format!("+120255502{:02}", 10 * at + number);
        let call = |number| Call::start(&twilio, &gateway, &phone(number), page);

        let mut confirmed = call(0);
        confirmed.is(&confirmed.asks("r1w0z0", &[page.greeting, page.ask]));
        confirmed.press(Some('5'));
        confirmed.is(&confirmed.asks("r1w1z0", &[page.wrong_key, page.ask]));
        confirmed.press(Some('#'));
        confirmed.is(&confirmed.closes(page.thanks));

        let mut reported = call(1);
        reported.press(Some('0'));
        reported.is(&reported.asks("r1w0z1", &[]));
        reported.press(Some('#'));
        reported.is(&reported.closes(page.fraud));

        let mut silent = call(2);
        silent.press(None);
        silent.is(&silent.asks("r2w0z0", &[page.again, page.ask]));
        silent.press(None);
        silent.is(&silent.closes(page.goodbye));
    }
}

#[test]
fn a_document_that_would_lose_the_pound_key_is_not_the_same() {
    let twilio = Twilio::start();
    let gateway = twilio.gateway(twilio.port(), "");
    let [page, _] = pages();
    let mut call = Call::start(&twilio, &gateway, "+12025550240", &page);
    let verbs = call.asks("r1w0z0", &[page.greeting, page.ask]);
    call.is(&verbs);
    let good = call.document.clone();
    for (what, with) in [
        (" finishOnKey=\"\"", ""),
        (" finishOnKey=\"\"", " finishOnKey=\"#\""),
        ("numDigits=\"1\"", "numDigits=\"2\""),
        ("<Hangup/>", ""),
        ("pound", "hash"),
    ] {
        let broken = good.replacen(what, with, 1);
        assert_ne!(broken, good, "{what} was there");
        assert_ne!(read(&twilio, &broken), wanted(&twilio, &verbs), "without {what}");
    }
    // What is only written otherwise is the same.
    call.document = good.replace("<Hangup/>", "<Hangup></Hangup>").replace("&apos;", "'");
    call.is(&verbs);
}
