//! Texts with places for what a gateway is told: `{to}`, `{body}`, …

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

/// A text with placeholders. Braces that are meant as such are doubled: `{{`, `}}`.
///
/// It may hold a key of the account, so only its placeholders are ever shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Literal(Zeroizing<String>),
    Field(Field),
}

/// What can stand in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `{to}`: the phone in E.164, with the plus.
    To,
    /// `{to_digits}`: the same without the plus.
    ToDigits,
    /// `{from}`: the sender.
    From,
    /// `{body}`: the text.
    Body,
    /// `{reference}`: our name for the attempt.
    Reference,
    /// `{callback}`: where receipts of this text go.
    Callback,
    /// `{valid_seconds}`: how long the text is worth delivering, in whole seconds.
    ValidSeconds,
}

impl Field {
    const ALL: [(&'static str, Self); 7] = [
        ("to", Self::To),
        ("to_digits", Self::ToDigits),
        ("from", Self::From),
        ("body", Self::Body),
        ("reference", Self::Reference),
        ("callback", Self::Callback),
        ("valid_seconds", Self::ValidSeconds),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

/// What stands for the placeholders of one text.
pub(super) struct Values<'a> {
    pub(super) to: &'a str,
    pub(super) from: &'a str,
    pub(super) body: &'a str,
    pub(super) reference: &'a str,
    pub(super) callback: &'a str,
    pub(super) valid_seconds: &'a str,
}

impl<'a> Values<'a> {
    fn of(&self, field: Field) -> &'a str {
        match field {
            Field::To => self.to,
            Field::ToDigits => self.to.strip_prefix('+').unwrap_or(self.to),
            Field::From => self.from,
            Field::Body => self.body,
            Field::Reference => self.reference,
            Field::Callback => self.callback,
            Field::ValidSeconds => self.valid_seconds,
        }
    }
}

/// Where a template stands, and so how the values in it are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// As they are: what holds the text writes it whole in its own way.
    Plain,
    /// In a URL (RFC 3986 section 2): all but unreserved characters percent-encoded.
    Url,
    /// In XML.
    Xml,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is no such placeholder.
    #[error(
        "{{{0}}} is no placeholder; there are {{to}}, {{to_digits}}, {{from}}, {{body}}, \
         {{reference}}, {{callback}} and {{valid_seconds}}; write {{{{ and }}}} for braces"
    )]
    Unknown(String),
    /// A brace is opened and not closed.
    #[error("a {{ is not closed; write {{{{ for a brace")]
    Open,
    /// A brace is closed that was not opened.
    #[error("a }} closes nothing; write }}}} for a brace")]
    Close,
}

impl Template {
    /// Reads a text with placeholders.
    ///
    /// # Errors
    /// Which placeholder is unknown, and which there are; or which brace stands alone.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = Zeroizing::new(String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
            literal.push_str(before);
            if let Some(behind) = behind.strip_prefix("{{") {
                literal.push('{');
                rest = behind;
            } else if let Some(behind) = behind.strip_prefix("}}") {
                literal.push('}');
                rest = behind;
            } else if let Some(behind) = behind.strip_prefix('{') {
                let (name, behind) = behind.split_once('}').ok_or(TemplateError::Open)?;
                let field = Field::ALL.iter().find(|(known, _)| *known == name);
                let (_, field) = field.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Field(*field));
                rest = behind;
            } else {
                return Err(TemplateError::Close);
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// Whether it holds this placeholder.
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Field(known) if *known == field))
    }

    /// Whether it has no placeholder.
    pub(super) fn is_fixed(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// What stands before the first placeholder.
    pub(super) fn start(&self) -> &str {
        match self.0.first() {
            Some(Part::Literal(text)) => text,
            Some(Part::Field(_)) | None => "",
        }
    }

    /// Whether anything but placeholders satisfies this.
    pub(super) fn literals(&self, all: impl Fn(char) -> bool) -> bool {
        self.0.iter().all(|part| match part {
            Part::Literal(text) => text.chars().all(&all),
            Part::Field(_) => true,
        })
    }

    /// The text with the values.
    pub(super) fn render(&self, values: &Values<'_>, place: Place) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Field(field) => {
                    let value = values.of(*field);
                    match place {
                        Place::Plain => text.push_str(value),
                        Place::Url => percent_encode(value, &mut text),
                        Place::Xml => escape(value, &mut text),
                    }
                }
            }
        }
        text
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        Self::parse(&text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(")?;
        for part in &self.0 {
            match part {
                Part::Literal(_) => f.write_str("…")?,
                Part::Field(field) => write!(f, "{{{}}}", field.name())?,
            }
        }
        f.write_str(")")
    }
}

fn percent_encode(value: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('0', char::from);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }
}

fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' => out.push(c),
            // XML 1.0 section 2.2 forbids them, escaped or not.
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
}

/// JSON whose strings are templates. A string that is `{valid_seconds}` and nothing else becomes
/// a number; names of members are what they are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct JsonTemplate(Node);

#[derive(Clone, PartialEq, Eq)]
enum Node {
    Fixed(Value),
    Text(Template),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("…"),
            Self::Text(template) => template.fmt(f),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Object(members) => {
                f.debug_map().entries(members.iter().map(|(name, node)| (name, node))).finish()
            }
        }
    }
}

impl JsonTemplate {
    /// Reads JSON with placeholders in its strings.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse(value: &Value) -> Result<Self, TemplateError> {
        Node::parse(value).map(Self)
    }

    pub(super) fn render(&self, values: &Values<'_>) -> Value {
        self.0.render(values)
    }

    /// Every template in it.
    pub(super) fn templates(&self) -> Vec<&Template> {
        let mut found = Vec::new();
        self.0.collect(&mut found);
        found
    }
}

impl TryFrom<Value> for JsonTemplate {
    type Error = TemplateError;

    fn try_from(value: Value) -> Result<Self, TemplateError> {
        Self::parse(&value)
    }
}

impl Node {
    fn parse(value: &Value) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text)?),
            Value::Array(items) => {
                Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let members = members.iter();
                let read = members.map(|(name, value)| Ok((name.clone(), Self::parse(value)?)));
                Self::Object(read.collect::<Result<_, _>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Fixed(value.clone()),
        })
    }

    fn render(&self, values: &Values<'_>) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(Template(parts)) if parts == &[Part::Field(Field::ValidSeconds)] => {
                values.valid_seconds.parse::<u64>().map_or(Value::Null, Value::from)
            }
            Self::Text(template) => {
                Value::String(template.render(values, Place::Plain).as_str().to_owned())
            }
            Self::List(items) => items.iter().map(|item| item.render(values)).collect(),
            Self::Object(members) => {
                let members = members.iter();
                Value::Object(members.map(|(name, it)| (name.clone(), it.render(values))).collect())
            }
        }
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Template>) {
        match self {
            Self::Fixed(_) => {}
            Self::Text(template) => found.push(template),
            Self::List(items) => items.iter().for_each(|item| item.collect(found)),
            Self::Object(members) => members.iter().for_each(|(_, item)| item.collect(found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const VALUES: Values<'static> = Values {
        to: "+14155550132",
        from: "Bank & Co",
        body: "code \"1\"\n<ü>",
        reference: "at_1",
        callback: "https://gw.example/h?x=1&y=#",
        valid_seconds: "300",
    };

    fn rendered(text: &str, place: Place) -> String {
        Template::parse(text).unwrap().render(&VALUES, place).as_str().to_owned()
    }

    #[test]
    fn every_placeholder_is_filled() {
        let all = "{to}|{to_digits}|{from}|{body}|{reference}|{callback}|{valid_seconds}|{{x}}";
        assert_eq!(
            rendered(all, Place::Plain),
            "+14155550132|14155550132|Bank & Co|code \"1\"\n<ü>|at_1|\
             https://gw.example/h?x=1&y=#|300|{x}"
        );
    }

    #[test]
    fn values_are_written_as_their_place_wants_them() {
        assert_eq!(
            rendered("https://a/b?t={to}&b={body}&c={callback}", Place::Url),
            "https://a/b?t=%2B14155550132&b=code%20%221%22%0A%3C%C3%BC%3E\
             &c=https%3A%2F%2Fgw.example%2Fh%3Fx%3D1%26y%3D%23"
        );
        assert_eq!(
            rendered("<m f=\"{from}\">{body}</m>", Place::Xml),
            "<m f=\"Bank &amp; Co\">code &quot;1&quot;\n&lt;ü&gt;</m>"
        );
        let template = json!({"to": ["{to}"], "b": {"t": "{body}"}, "ttl": "{valid_seconds}",
                              "note": "{valid_seconds} s", "n": 1, "flag": true});
        assert_eq!(
            JsonTemplate::parse(&template).unwrap().render(&VALUES).to_string(),
            json!({"to": ["+14155550132"], "b": {"t": "code \"1\"\n<ü>"}, "ttl": 300,
                   "note": "300 s", "n": 1, "flag": true})
            .to_string()
        );
    }

    #[test]
    fn an_error_names_the_placeholder_and_those_there_are() {
        let fault = |text: &str| Template::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(fault("https://a/{phone}"), @"{phone} is no placeholder; there are {to}, {to_digits}, {from}, {body}, {reference}, {callback} and {valid_seconds}; write {{ and }} for braces");
        insta::assert_snapshot!(fault("a{to"), @"a { is not closed; write {{ for a brace");
        insta::assert_snapshot!(fault("a}b"), @"a } closes nothing; write }} for a brace");
        let nested = json!({"a": [{"b": "{nope}"}]});
        assert_eq!(JsonTemplate::parse(&nested), Err(TemplateError::Unknown("nope".into())));
        let read: Result<Template, _> = serde_json::from_value(json!("{To}"));
        assert!(read.unwrap_err().to_string().contains("{To} is no placeholder"));
    }

    #[test]
    fn a_template_shows_its_placeholders_only() {
        let template = Template::parse("https://u:secret@a/{to}?key=secret").unwrap();
        assert_eq!(format!("{template:?}"), "Template(…{to}…)");
        let json = JsonTemplate::parse(&json!({"key": "secret", "to": "{to}", "pin": 1})).unwrap();
        let shown = format!("{json:?}");
        assert!(shown.contains("{to}") && !shown.contains("secret"), "{shown}");
    }
}
