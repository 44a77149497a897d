//! Who is told of traces.

use super::*;

const MISTAKES: &[Row] = if cfg!(feature = "otlp") {
    &[
        (
            "[telemetry.otlp]\nendpoint = 'collector:4317'",
            &[
                "o.toml:9: telemetry.otlp.endpoint = \"…\": write an address that begins with https://",
            ],
        ),
        (
            "[telemetry.otlp]\nendpoint = 'https://collector.example/?key=canary'",
            &[
                "o.toml:9: telemetry.otlp.endpoint = \"https://collector.example/…\": leave out the query",
            ],
        ),
        (
            "[telemetry.otlp]\nendpoint = 'https://u:canary@collector.example'",
            &["o.toml:9: telemetry.otlp.endpoint = \"https://…\": leave out the user and password"],
        ),
        (
            "[telemetry.otlp]\nheaders = { 'a b' = 'canary', Content-Type = 'canary', x = 'env:NONE' }",
            &[
                "o.toml:9: telemetry.otlp.headers.a b: a header's name has letters",
                "o.toml:9: telemetry.otlp.headers.Content-Type: leave it out",
                "o.toml:9: telemetry.otlp.headers.x = \"env:NONE\": the environment variable NONE is not set",
            ],
        ),
        (
            "[telemetry.otlp]\nheaders = { x = 'canary é' }",
            &["telemetry.otlp.headers.x: write ASCII"],
        ),
        ("[telemetry]\notlp = true", &["o.toml:9: telemetry.otlp"]),
    ]
} else {
    &[(
        "[telemetry.otlp]\nendpoint = 'https://collector.example:4318/canary'",
        &[
            "o.toml:9: telemetry.otlp.endpoint = \"https://collector.example:4318/…\": this octothorpe is built without OTLP",
        ],
    )]
};

#[test]
fn mistakes_are_told() {
    each_is_told(MISTAKES);
}

#[cfg(feature = "otlp")]
#[test]
fn traces_go_where_is_written_with_what_the_receiver_wants() {
    let of = |telemetry: &str| parsed(&format!("{}[telemetry.otlp]\n{telemetry}\n", good()));
    let loaded = of("endpoint = 'http://127.0.0.1:4318/'\nheaders = { x = 'canary' }").unwrap();
    let otlp = loaded.config.gateway.otlp.as_ref().unwrap();
    assert_eq!(otlp.endpoint, "http://127.0.0.1:4318");
    let headers: Vec<_> =
        otlp.headers.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
    assert_eq!(headers, [("x", "canary")]);
    let spoken = Complaints(loaded.warnings.clone()).to_string();
    let literal = "o.toml:10: telemetry.otlp.headers.x: the secret stands in the configuration";
    assert!(spoken.contains(literal), "{spoken}");
    assert_eq!(loaded.warnings.len(), 2, "{spoken}");
    assert!(!seen(&Ok(loaded)).contains("canary"));
    let clear = of("endpoint = 'http://collector.example'\nheaders = { x = 'canary' }").unwrap();
    let spoken = Complaints(clear.warnings.clone()).to_string();
    assert!(
        spoken.contains(
            "telemetry.otlp.endpoint = \"http://collector.example\": what the headers hold"
        )
    );
    assert_eq!(parsed(&good()).unwrap().config.gateway.otlp, None);
    assert_eq!(of("endpoint = ''").unwrap().config.gateway.otlp, None);
}
