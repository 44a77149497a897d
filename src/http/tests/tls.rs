//! The API under TLS, by HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::login::{people, totp};
use super::*;
use crate::access::operator::Role;
use crate::gateway::settings::TlsIdentity;

/// A certificate for `localhost`, its own root.
fn identity() -> (TlsIdentity, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = made.cert.pem().into_bytes().into();
    let key = Arc::new(Zeroizing::new(made.signing_key.serialize_pem().into_bytes()));
    (TlsIdentity { chain, key }, made.cert.der().clone())
}

async fn secured(settings: Settings) -> (Site, Listening, CertificateDer<'static>) {
    secured_for(settings, gateway()).await
}

async fn secured_for(
    settings: Settings,
    gateway: Gateway,
) -> (Site, Listening, CertificateDer<'static>) {
    let (identity, root) = identity();
    let tls = Some(Tls { identity, client_roots: None });
    let listening = Listening::new(Settings { tls, ..settings }).unwrap();
    let server = Server::bind(listening.clone(), gateway, metrics()).await.unwrap();
    let (api, admin) = (server.api_address(), server.admin_address().unwrap());
    let (close, closed) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = closed.await;
    }));
    (Site { api, admin, close, running }, listening, root)
}

async fn connect(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn both_listeners_speak_http_1_1_under_tls_and_nothing_in_clear() {
    let (site, _, root) = secured(hasty()).await;
    for address in [site.api, site.admin] {
        let mut stream = connect(address, &root, b"http/1.1").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut reply = Vec::new();
        // An end without close_notify would be an error.
        stream.read_to_end(&mut reply).await.unwrap();
        assert_eq!(Reply::parse(&reply).json(), json!({"status": "ok"}));
    }
    let clear = raw(site.api, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!clear.starts_with(b"HTTP"), "{clear:?}");
    let (took, _) = closed_after(site.api, b"\x16\x03").await;
    assert!(took < Duration::from_secs(4), "half a greeting: {took:?}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_after_a_reload_and_old_connections_go_on() {
    let (site, listening, root) = secured(hasty()).await;
    let mut before = connect(site.api, &root, b"http/1.1").await.unwrap();
    let (identity, other) = identity();
    let tls = Some(Tls { identity, client_roots: None });
    let settings = Settings { tls, ..listening.settings().clone() };
    assert_eq!(listening.reload(&settings), [""; 0]);
    assert!(connect(site.api, &root, b"http/1.1").await.is_err());
    assert!(connect(site.api, &other, b"http/1.1").await.is_ok());
    before.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(before.read(&mut [0; 1024]).await.unwrap() > 0);
    // What cannot be used changes nothing.
    let broken = TlsIdentity { chain: Arc::from(*b"-"), key: Arc::default() };
    let tls = Some(Tls { identity: broken, client_roots: None });
    let settings = Settings { tls, ..settings };
    assert_eq!(listening.reload(&settings), ["server.tls_certificate"]);
    assert!(connect(site.api, &other, b"http/1.1").await.is_ok());
}

type Http2 = http2::SendRequest<Body>;

/// A client, and the task that keeps its connection going.
async fn http2(site: &Site, root: &CertificateDer<'static>) -> (Http2, JoinHandle<()>) {
    http2_at(site.api, root).await
}

async fn http2_at(address: SocketAddr, root: &CertificateDer<'static>) -> (Http2, JoinHandle<()>) {
    let stream = connect(address, root, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = Box::pin(connection) as Pin<Box<dyn Future<Output = _> + Send>>;
    let lives = tokio::spawn(async move {
        let _ = connection.await;
    });
    (client, lives)
}

fn ask(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> hyper::Request<Body> {
    let uri = format!("https://localhost{path}");
    let mut request = hyper::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

async fn answer(client: &mut Http2, request: hyper::Request<Body>) -> (u16, Value) {
    let response = client.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn http_2_is_the_same_api() {
    let (site, _, root) = secured(hasty()).await;
    let (mut client, _lives) = http2(&site, &root).await;
    let key = bearer(ACME);
    let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
    let (status, begun) = answer(&mut client, ask("POST", "/v1/verifications", &headers, TO)).await;
    assert_eq!((status, &begun["status"]), (201, &json!("pending")));
    let large = "x".repeat(70 * 1024);
    let (status, problem) =
        answer(&mut client, ask("POST", "/v1/verifications", &headers, &large)).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")));
    let names: Vec<String> = (0..101).map(|i| format!("x-{i}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let (status, problem) = answer(&mut client, ask("GET", "/healthz", &many, "")).await;
    assert_eq!((status, &problem["code"]), (431, &json!("head_too_large")));
    let long = "x".repeat(17 * 1024);
    let (status, problem) = answer(&mut client, ask("GET", "/healthz", &[("x", &long)], "")).await;
    assert_eq!((status, &problem["code"]), (431, &json!("head_too_large")));
}

#[tokio::test]
async fn an_answer_that_needs_no_body_waits_for_one_that_is_on_its_way() {
    let (site, _, root) = secured(hasty()).await;
    let (mut client, _lives) = http2(&site, &root).await;
    for (ms, most) in [(300, 900), (3_000, 2_000)] {
        let text = futures_util::stream::once(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok::<_, Infallible>("{}")
        });
        let request = hyper::Request::post("https://localhost/v1/verifications");
        let begun = Instant::now();
        let (status, problem) =
            answer(&mut client, request.body(Body::from_stream(text)).unwrap()).await;
        assert_eq!((status, &problem["code"]), (401, &json!("unauthorized")));
        let took = begun.elapsed().as_millis();
        assert!((300..most).contains(&took), "{ms}: {took}");
    }
}

#[tokio::test]
async fn whose_page_asks_is_known_by_the_authority_of_http_2() {
    let (site, _, root) = secured_for(hasty(), gateway_of(people())).await;
    let (mut client, _lives) = http2_at(site.admin, &root).await;
    // There is no `Host`, and where there is one it says nothing.
    for host in [&[] as &[_], &[("host", "evil.example")]] {
        let trunks = ask("GET", "/admin/v1/trunks", host, "");
        assert_eq!(answer(&mut client, trunks).await.0, 200, "{host:?}");
    }
    let foreign = hyper::Request::get("https://evil.example/admin/v1/trunks");
    let foreign = foreign.header("host", "localhost").body(Body::empty()).unwrap();
    assert_eq!(answer(&mut client, foreign).await.0, 401);

    let (name, code) = (Role::Viewer.as_str(), totp(Role::Viewer).code(Clock::system().now()));
    let body = json!({"name": name, "password": name, "code": code}).to_string();
    let mut log_in = async |origin: &str| {
        let headers = [("origin", origin), ("content-type", "application/json")];
        let login = ask("POST", "/admin/v1/login", &headers, &body);
        client.send_request(login).await.unwrap()
    };
    assert_eq!(log_in("https://evil.example").await.status(), 403);
    let entered = log_in("https://localhost").await;
    assert_eq!(entered.status(), 200);
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-octothorpe=") && cookie.ends_with("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let (status, me) =
        answer(&mut client, ask("GET", "/admin/v1/me", &[("cookie", cookie)], "")).await;
    assert_eq!((status, &me["name"]), (200, &json!(name)));
}

#[tokio::test]
async fn http_2_clients_that_dawdle_are_closed() {
    let (site, _, root) =
        secured(Settings { idle_timeout: Duration::from_secs(1), ..hasty() }).await;
    let (mut client, lives) = http2(&site, &root).await;
    assert_eq!(answer(&mut client, ask("GET", "/healthz", &[], "")).await.0, 200);
    let idle = Instant::now();
    tokio::time::timeout(Duration::from_secs(8), lives).await.expect("it ends").unwrap();
    assert!(idle.elapsed() > Duration::from_millis(800), "{:?}", idle.elapsed());
    // Nothing is asked at all.
    let (_client, lives) = http2(&site, &root).await;
    tokio::time::timeout(Duration::from_secs(4), lives).await.expect("it ends").unwrap();
    // An answer is never fetched: the client opens no window for it.
    let stream = connect(site.api, &root, b"h2").await.unwrap();
    let handshake = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    let lives = tokio::spawn(connection);
    let response = client.send_request(ask("GET", "/docs", &[], "")).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(4), lives).await;
    assert!(ended.is_ok(), "an answer that nobody fetches is kept for ever");
    drop(response);
}

#[tokio::test]
async fn a_storm_of_resets_ends_the_connection_alone() {
    let (site, _, root) = secured(hasty()).await;
    let (mut client, lives) = http2(&site, &root).await;
    let key = bearer(ACME);
    let id = {
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let begun = answer(&mut client, ask("POST", "/v1/verifications", &headers, TO)).await;
        begun.1["id"].as_str().unwrap().to_owned()
    };
    let path = format!("/v1/verifications/{id}?wait=60");
    for _ in 0..2_000 {
        if client.ready().await.is_err() {
            break;
        }
        // Sent, and reset before it is answered.
        let sent = client.send_request(ask("GET", &path, &[("authorization", &key)], ""));
        let _ = tokio::time::timeout(Duration::from_micros(50), sent).await;
    }
    drop(client);
    let _ = tokio::time::timeout(Duration::from_secs(5), lives).await;
    let (mut other, _lives) = http2(&site, &root).await;
    assert_eq!(answer(&mut other, ask("GET", "/healthz", &[], "")).await.0, 200);
}
