//! The contract as one page: written from the OpenAPI document, without scripts, with nothing from
//! elsewhere.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h2{margin-top:2.5rem;border-bottom:1px solid #8886}\
h3{margin-top:2rem}\
code,pre{font:14px/1.45 ui-monospace,monospace}\
pre{padding:.75rem;overflow:auto;background:#8882;border-radius:4px}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #8883}\
.method{text-transform:uppercase}\
:target{background:#fd04}";

/// The page and the policy it is served under.
pub(super) struct Page {
    /// The page.
    pub(super) html: String,
    /// Its Content-Security-Policy: its own style, and nothing else.
    pub(super) policy: String,
}

/// Writes the page.
pub(super) fn write(contract: &Value, problems: &[[String; 4]]) -> Page {
    let info = at(contract, &["info"]);
    let title = escaped(text(at(info, &["title"])));
    let mut html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><h1>{title} {}</h1>{}",
        escaped(text(at(info, &["version"]))),
        prose(text(at(info, &["description"]))),
    );
    let key = at(contract, &["components", "securitySchemes", "key", "description"]);
    html += &format!("<h2>Authentication</h2>{}", prose(text(key)));
    for tag in items(contract, &["tags"]) {
        let name = text(at(tag, &["name"]));
        html += &format!("<h2>{}</h2>{}", escaped(name), prose(text(at(tag, &["description"]))));
        for (path, methods) in members(contract, &["paths"]) {
            for (method, operation) in members(methods, &[]) {
                if items(operation, &["tags"]).iter().any(|tag| tag == name) {
                    self::operation(&mut html, contract, method, path, operation);
                }
            }
        }
    }
    html += "<h2>Objects</h2>";
    for (name, schema) in members(contract, &["components", "schemas"]) {
        object(&mut html, name, schema);
    }
    html += "<h2>Problems</h2><table><tr><th>Code<th>Status<th>What it is<th>What to do</tr>";
    for [code, status, title, detail] in problems {
        let (code, title, detail) = (escaped(code), escaped(title), inline(detail));
        html += &format!(
            "<tr id=\"{code}\"><td><code>{code}</code><td>{status}<td>{title}<td>{detail}</tr>"
        );
    }
    html += "</table></body></html>";
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    Page { html, policy }
}

fn operation(html: &mut String, contract: &Value, method: &str, path: &str, operation: &Value) {
    let _ = write!(
        html,
        "<h3>{}</h3><p><code><span class=\"method\">{}</span> {}</code></p>{}",
        escaped(text(at(operation, &["summary"]))),
        escaped(method),
        escaped(path),
        prose(text(at(operation, &["description"]))),
    );
    let parameters = items(operation, &["parameters"]);
    if !parameters.is_empty() {
        *html += "<table><tr><th>Parameter<th>Where<th>Type<th>Meaning</tr>";
        for parameter in parameters {
            row(
                html,
                text(at(parameter, &["name"])),
                at(parameter, &["required"]).as_bool() == Some(true),
                &[text(at(parameter, &["in"])).to_owned(), kind(at(parameter, &["schema"]))],
                text(at(parameter, &["description"])),
            );
        }
        *html += "</table>";
    }
    let body = at(operation, &["requestBody", "content", "application/json", "schema"]);
    if let Some(name) = reference(body) {
        let _ = write!(html, "<p>Body: {}</p>", link(name));
        example(html, at(contract, &["components", "schemas", name, "example"]));
    }
    *html += "<table><tr><th>Status<th>Body<th>Meaning</tr>";
    for (status, response) in members(operation, &["responses"]) {
        let mut contents = members(response, &["content"]);
        let body = contents.next().map_or_else(String::new, |(content_type, content)| {
            reference(at(content, &["schema"])).map_or_else(|| escaped(content_type), link)
        });
        let _ = write!(
            html,
            "<tr><td>{}<td>{body}<td>{}</tr>",
            escaped(status),
            inline(text(at(response, &["description"]))),
        );
    }
    *html += "</table>";
}

fn object(html: &mut String, name: &str, schema: &Value) {
    let shown = escaped(name);
    let _ = write!(
        html,
        "<h3 id=\"{shown}\">{shown}</h3>{}",
        prose(text(at(schema, &["description"])))
    );
    *html += "<table><tr><th>Field<th>Type<th>Meaning</tr>";
    let required = items(schema, &["required"]);
    for (field, property) in members(schema, &["properties"]) {
        let must = required.iter().any(|one| one == field);
        row(html, field, must, &[kind(property)], text(at(property, &["description"])));
    }
    *html += "</table>";
}

fn row(html: &mut String, name: &str, required: bool, middle: &[String], meaning: &str) {
    let must = if required { "" } else { " (optional)" };
    let _ = write!(html, "<tr><td><code>{}</code>{must}", escaped(name));
    for cell in middle {
        let _ = write!(html, "<td>{cell}");
    }
    let _ = write!(html, "<td>{}</tr>", inline(meaning));
}

/// The type of a schema, its words and its bounds, in HTML.
fn kind(schema: &Value) -> String {
    if let Some(name) = reference(schema) {
        return link(name);
    }
    if let Some(choices) = at(schema, &["oneOf"]).as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(words) = at(schema, &["enum"]).as_array() {
        let words = words.iter().map(|word| match word.as_str() {
            Some(word) => format!("<code>{}</code>", escaped(word)),
            None => escaped(&word.to_string()),
        });
        return words.collect::<Vec<_>>().join(", ");
    }
    if text(at(schema, &["type"])) == "array" {
        return format!("list of {}", kind(at(schema, &["items"])));
    }
    let mut types = vec![text(at(schema, &["type"]))];
    types.extend(items(schema, &["type"]).iter().map(text));
    types.retain(|name| !name.is_empty());
    let mut kind = escaped(&types.join(" or "));
    for (bound, words) in [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "length at least"),
        ("maxLength", "length at most"),
        ("default", "default"),
    ] {
        let value = at(schema, &[bound]);
        if !value.is_null() {
            kind += &escaped(&format!(", {words} {value}"));
        }
    }
    kind
}

fn example(html: &mut String, value: &Value) {
    if let Ok(shown) = serde_json::to_string_pretty(value)
        && !value.is_null()
    {
        let _ = write!(html, "<pre>{}</pre>", escaped(&shown));
    }
}

/// The name of the schema that is referred to.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn link(name: &str) -> String {
    let name = escaped(name);
    format!("<a href=\"#{name}\">{name}</a>")
}

/// The value at the end of these names; null where there is none.
fn at<'a>(value: &'a Value, names: &[&str]) -> &'a Value {
    static NULL: Value = Value::Null;
    names.iter().try_fold(value, |value, name| value.get(name)).unwrap_or(&NULL)
}

fn members<'a>(
    value: &'a Value,
    names: &[&str],
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    at(value, names).as_object().into_iter().flatten()
}

fn items<'a>(value: &'a Value, names: &[&str]) -> &'a [Value] {
    at(value, names).as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Paragraphs of text.
fn prose(text: &str) -> String {
    text.split("\n\n").map(|paragraph| format!("<p>{}</p>", inline(paragraph))).collect()
}

/// Text with `code` in it.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (place, part) in text.split('`').enumerate() {
        if place % 2 == 0 {
            html += &escaped(part);
        } else {
            html += &format!("<code>{}</code>", escaped(part));
        }
    }
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(inline("a `b<c>` & \"d\""), "a <code>b&lt;c&gt;</code> &amp; &quot;d&quot;");
    }

    #[test]
    fn the_page_needs_nothing_but_its_own_style() {
        let contract = serde_json::json!({"info": {"title": "<script>", "version": "1"}});
        let page = write(&contract, &[]);
        assert!(!page.html.contains("<script"));
        for outside in ["src=", "url(", "@import", "http:", "https:", "style=\""] {
            assert!(!page.html.contains(outside), "{outside}");
        }
        assert!(page.policy.starts_with("default-src 'none'; style-src 'sha256-"));
    }
}
