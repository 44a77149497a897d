//! Connections against peers of the test's own: whom TLS believes, what comes of failures.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::stream::{Connection, connect};
use super::*;
use crate::gateway::engine;
use crate::sip::frame::Frame;

const SOON: Duration = Duration::from_secs(5);

/// Who signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: Arc<[u8]>,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem().into_bytes().into();
    Authority { issuer: Issuer::new(params, key), pem }
}

impl Authority {
    fn sign(&self, params: &CertificateParams) -> TlsIdentity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        TlsIdentity {
            chain: certificate.pem().into_bytes().into(),
            key: Arc::new(Zeroizing::new(key.serialize_pem().into_bytes())),
        }
    }

    fn of(&self, names: &[&str]) -> TlsIdentity {
        self.sign(&params(names))
    }

    fn trusted(&self) -> Tls {
        Tls { roots: Some(Arc::clone(&self.pem)), ..Tls::default() }
    }
}

/// Names as DNS or IP, and as URI where they begin with a scheme.
fn params(names: &[&str]) -> CertificateParams {
    let (uris, plain): (Vec<&str>, Vec<&str>) = names.iter().partition(|it| it.contains(':'));
    let mut params =
        CertificateParams::new(plain.iter().map(|&it| it.to_owned()).collect::<Vec<_>>()).unwrap();
    params.subject_alt_names.extend(uris.iter().map(|&uri| SanType::URI(uri.try_into().unwrap())));
    params
}

/// A TLS server that keeps what it takes open, and asks for a certificate where it has roots.
async fn peer(identity: &TlsIdentity, clients: Option<&Authority>) -> Hop {
    let mut config = tls::server(identity).unwrap();
    if let Some(clients) = clients {
        config = tls::tests::asking(identity, &clients.pem);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.read(&mut [0; 64]).await;
                }
            });
        }
    });
    Hop { transport: Transport::Tls, address }
}

async fn outcome(identity: &TlsIdentity, tls: &Tls, name: &str) -> Result<(), Unconnected> {
    connect(peer(identity, None).await, tls, name).await.map(drop)
}

fn wrong_name(wanted: &str, found: &[&str]) -> Result<(), Unconnected> {
    let found = found.iter().map(|&it| it.to_owned()).collect();
    Err(Unconnected::WrongName { wanted: wanted.to_owned(), found })
}

#[tokio::test]
async fn a_certificate_must_be_for_the_name_of_the_trunk() {
    let ours = authority("ours");
    let trusted = ours.trusted();
    let dns = "sbc.example.net";
    for (names, wanted, expected) in [
        (&["sbc.example.net"][..], "sbc.example.net", Ok(())),
        (&["sbc.example.net"], "SBC.Example.NET", Ok(())),
        (&["127.0.0.1"], "127.0.0.1", Ok(())),
        (&["sip:example.net"], "example.net", Ok(())),
        (&["SIP:Example.net"], "example.net", Ok(())),
        (&["*.pstn.example.net"], "de1.pstn.example.net", Ok(())),
        (&["sbc.example.net"], "example.net", wrong_name("example.net", &[dns])),
        (&["sbc.example.net"], "127.0.0.1", wrong_name("127.0.0.1", &[dns])),
        // Of a SIP identity and a DNS name, only the first counts.
        (
            &["sbc.example.net", "sip:example.org"],
            "sbc.example.net",
            wrong_name("sbc.example.net", &["sip:example.org"]),
        ),
        // The certificate of a person is not that of a domain; other schemes are nothing to us.
        (
            &["sip:bob@sbc.example.net", "https://sbc.example.net", "sbc.example.net"],
            "sbc.example.net",
            Ok(()),
        ),
        (&["*.example.net"], "a.b.example.net", wrong_name("a.b.example.net", &["*.example.net"])),
    ] {
        assert_eq!(
            outcome(&ours.of(names), &trusted, wanted).await,
            expected,
            "{names:?} {wanted}"
        );
    }
    let named = Tls { name: Some("sbc.example.net".to_owned()), ..trusted };
    assert_eq!(outcome(&ours.of(&["sbc.example.net"]), &named, "127.0.0.1").await, Ok(()));
}

#[tokio::test]
async fn each_failure_of_tls_has_its_own_words() {
    let (ours, other) = (authority("ours"), authority("other"));
    let (name, trusted) = ("sbc.example.net", ours.trusted());
    let mut expired = params(&[name]);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let mut early = params(&[name]);
    early.not_before = date_time_ymd(2090, 1, 1);
    for (identity, expected) in [
        (ours.sign(&expired), Unconnected::Expired),
        (ours.sign(&early), Unconnected::NotYetValid),
        (other.of(&[name]), Unconnected::UnknownIssuer),
        (authority("ours").of(&[name]), Unconnected::UnknownIssuer),
    ] {
        assert_eq!(outcome(&identity, &trusted, name).await, Err(expected));
    }
    let junk = Tls { roots: Some(Arc::from(&b"junk"[..])), ..Tls::default() };
    let unusable = outcome(&ours.of(&[name]), &junk, name).await;
    assert!(matches!(unusable, Err(Unconnected::Unusable(_))), "{unusable:?}");
}

#[tokio::test]
async fn who_does_not_speak_tls_or_is_not_there_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SIP/2.0 400 Bad Request\r\n\r\n").await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 64]).await;
        drop(stream);
        let _silent = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    });
    let hop = Hop { transport: Transport::Tls, address };
    let trusted = authority("ours").trusted();
    for expected in [Unconnected::NotTls, Unconnected::Closed, Unconnected::NotTls] {
        assert_eq!(connect(hop, &trusted, "localhost").await.err(), Some(expected));
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for transport in [Transport::Tcp, Transport::Tls] {
        let hop = Hop { transport, address: gone };
        assert_eq!(connect(hop, &trusted, "localhost").await.err(), Some(Unconnected::Refused));
    }
}

#[tokio::test]
async fn a_peer_that_asks_for_our_certificate_takes_the_right_one_only() {
    let (ours, other) = (authority("ours"), authority("other"));
    let hop = peer(&ours.of(&["localhost"]), Some(&ours)).await;
    let greet = async |identity: Option<TlsIdentity>| {
        let tls = Tls { identity, ..ours.trusted() };
        let mut connection = connect(hop, &tls, "localhost").await?;
        connection.send(b"\r\n\r\n").await?;
        // TLS 1.3 tells only now; a peer that is content says nothing, and closes.
        connection.read(&mut Vec::new()).await
    };
    assert_eq!(greet(Some(ours.of(&["us"]))).await, Err(Unconnected::Closed));
    assert_eq!(greet(None).await, Err(Unconnected::Unwelcome));
    assert_eq!(greet(Some(other.of(&["us"]))).await, Err(Unconnected::Unwelcome));
}

/// A node with one engine that only listens.
struct Node {
    net: Net,
    exit: Exit,
    commands: std::sync::mpsc::Receiver<Command>,
    _tasks: JoinSet<()>,
}

fn node(listen: &[&str], identity: Option<&TlsIdentity>, tls: &Tls) -> Node {
    let listen: Vec<Hop> = listen.iter().map(|it| hop(it)).collect();
    let (net, listeners) = Net::bind(&listen, identity, Clock::system()).unwrap();
    let (engine, commands) = engine::deaf();
    let known = Known::default();
    known.learn("peer", [127, 0, 0, 1].into());
    known.learn("peer", std::net::Ipv6Addr::LOCALHOST.into());
    let guard = Guard::new(Clock::system(), known);
    let mut tasks = JoinSet::new();
    listeners.serve(
        &Arc::new(Calls::new(vec![engine], guard, mpsc::unbounded_channel().0)),
        &mut Entropy::from_number(1),
        &mut tasks,
    );
    let exit = net.exit(tls, "localhost");
    Node { net, exit, commands, _tasks: tasks }
}

fn hop(text: &str) -> Hop {
    let (transport, address) = text.split_once(':').unwrap();
    let transport = Transport::from_param(transport).unwrap();
    Hop { transport, address: address.parse().unwrap() }
}

impl Node {
    /// What became unreachable.
    async fn unreachable(&self) -> Hop {
        for _ in 0..500 {
            if let Ok(Command::Unreachable { hop }) = self.commands.try_recv() {
                return hop;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing is unreachable");
    }
}

async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut buffer = vec![0; 1_024];
    let length = timeout(SOON, stream.read(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(length);
    buffer
}

#[tokio::test]
async fn a_connection_is_shared_and_opened_again_after_it_broke() {
    for ip in ["127.0.0.1", "[::1]"] {
        let node = node(&[], None, &Tls::default());
        let listener = TcpListener::bind(format!("{ip}:0")).await.unwrap();
        let peer = Hop { transport: Transport::Tcp, address: listener.local_addr().unwrap() };
        let way = node.exit.way(peer).await.unwrap();
        let (mut first, from) = listener.accept().await.unwrap();
        assert_eq!(way, Way { hop: peer, local: from });
        assert_eq!(node.net.exit(&Tls::default(), "another trunk").way(peer).await, Ok(way));
        node.exit.send(peer, b"INVITE").unwrap();
        assert_eq!(read(&mut first).await, b"INVITE");
        // What it was told it never answered.
        drop(first);
        assert_eq!(node.unreachable().await, peer);
        tokio::time::sleep(Duration::from_millis(600)).await;
        node.exit.send(peer, b"BYE").unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        assert_eq!(read(&mut second).await, b"BYE");
    }
}

#[tokio::test]
async fn after_a_failure_it_is_not_tried_again_at_once() {
    let node = node(&[], None, &Tls::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Hop { transport: Transport::Tcp, address: listener.local_addr().unwrap() };
    drop(listener);
    node.exit.send(peer, b"INVITE").unwrap();
    assert_eq!(node.unreachable().await, peer, "what could not be sent is told");
    let _listener = TcpListener::bind(peer.address).await.unwrap();
    assert_eq!(node.exit.way(peer).await, Err(Unconnected::Refused));
    assert!(node.exit.send(peer, b"INVITE").is_err());
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(node.exit.way(peer).await.is_ok());
}

fn options(length: &str) -> String {
    format!(
        "OPTIONS sip:us@h SIP/2.0\r\nVia: SIP/2.0/TCP them;branch=z9hG4bK2\r\nMax-Forwards: 9\r\n\
         From: <sip:them@h>;tag=you\r\nTo: <sip:us@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n{length}\r\n"
    )
}

#[tokio::test]
async fn a_trunk_is_answered_over_the_connection_that_it_opened() {
    let ours = authority("ours");
    let identity = ours.of(&["localhost"]);
    let listen = ["tcp:127.0.0.1:0", "tls:[::1]:0"];
    let node = node(&listen, Some(&identity), &Tls::default());
    for listener in node.net.bound() {
        let mut peer = connect(listener, &ours.trusted(), "localhost").await.unwrap();
        peer.send(options("Content-Length: 0\r\n").as_bytes()).await.unwrap();
        assert!(message_from(&mut peer).await.starts_with("SIP/2.0 200 OK\r\n"));
        // And so is whatever we send to where they came from.
        let back = Hop { address: peer.local, ..listener };
        node.exit.send(back, b"X y\r\nl: 0\r\n\r\n").unwrap();
        assert_eq!(message_from(&mut peer).await, "X y\r\nl: 0\r\n\r\n");
        peer.send(b"\r\n\r\n").await.unwrap();
        let mut frames = Vec::new();
        timeout(SOON, peer.read(&mut frames)).await.unwrap().unwrap();
        assert_eq!(frames, [Frame::Pong]);
    }
}

async fn message_from(peer: &mut Connection) -> String {
    let mut frames = Vec::new();
    while frames.is_empty() {
        timeout(SOON, peer.read(&mut frames)).await.unwrap().unwrap();
    }
    let Frame::Message(bytes) = frames.remove(0) else { panic!("{frames:?}") };
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn what_cannot_be_cut_closes_the_stream_after_what_could() {
    let node = node(&["tcp:127.0.0.1:0"], None, &Tls::default());
    let mut peer = connect(node.net.bound()[0], &Tls::default(), "").await.unwrap();
    let both = [options("Content-Length: 0\r\n"), options("")].concat();
    peer.send(both.as_bytes()).await.unwrap();
    assert!(message_from(&mut peer).await.starts_with("SIP/2.0 200 OK\r\n"));
    assert_eq!(peer.read(&mut Vec::new()).await, Err(Unconnected::Closed));
}

#[tokio::test]
async fn half_a_message_is_not_waited_for_for_ever() {
    let node = node(&["tcp:127.0.0.1:0"], None, &Tls::default());
    let mut peer = connect(node.net.bound()[0], &Tls::default(), "").await.unwrap();
    let clock = Clock::system();
    let start = clock.now();
    let trickle = async {
        for byte in options("").bytes() {
            peer.send(&[byte]).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok::<_, Unconnected>(())
    };
    let ended = timeout(Duration::from_secs(20), trickle).await.unwrap();
    assert!(ended.is_err());
    assert!(clock.now().since(start) >= Duration::from_secs(10));
}

#[tokio::test]
async fn our_own_address_is_that_of_the_listener_of_the_same_kind() {
    let node = node(&["udp:127.0.0.1:0", "tcp:0.0.0.0:0"], None, &Tls::default());
    let ours = node.net.bound()[1].address;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Hop { transport: Transport::Tcp, address: listener.local_addr().unwrap() };
    let way = node.exit.way(peer).await.unwrap();
    assert_eq!(way.local, SocketAddr::new([127, 0, 0, 1].into(), ours.port()));
}
