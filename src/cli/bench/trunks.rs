//! `octothorpe bench trunks`: what trunks cost that carry nothing: each is asked whether it lives, and
//! registered at.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::child::{Folder, Gateway, SECRET, Store};
use super::figures::{Figure, number};
use super::machine::{self, Used};
use crate::ambient::{self, Clock, Entropy};
use crate::sip::message::{self, Incoming};
use crate::sip::{Method, Response};

/// What all idle trunks together may take of a core, in percent.
const CORE: f64 = 1.0;

/// After the start: connections and first registrations are no idleness.
const SETTLE: Duration = Duration::from_secs(15);

/// How often the carriers look whether they are to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// The largest datagram that is read.
const DATAGRAM: usize = 4_096;

/// Idle trunks: what asking each of them whether it lives costs, and being registered there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe bench trunks
  octothorpe bench trunks --trunks 500 --seconds 10 --json

Every trunk is asked by OPTIONS every 10 s. Build with --release. Exit codes: 0 every limit was kept, 1 one
was missed, 70 our fault.")]
pub(super) struct Args {
    /// How many trunks.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    trunks: u32,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(10..=600))]
    seconds: u32,
    /// Where the configuration is put; a folder of this bench's own is made in it, and removed.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::warn_of_debug();
    let mut figures = Vec::new();
    for registered in [false, true] {
        figures.extend(idle(&args, registered).await?);
    }
    Ok(super::report(&figures, args.json))
}

async fn idle(args: &Args, registered: bool) -> anyhow::Result<Vec<Figure>> {
    let folder = Folder::create(&args.folder)?;
    let carrier = Carrier::start()?;
    let key = format!("otk_{}", Entropy::from_seed(ambient::secret()).token(40));
    let rest = configuration(args.trunks, carrier.address, registered);
    let gateway =
        Gateway::start(folder.path(), Store::Memory, &rest, &key, machine::divide()).await?;
    let what = if registered { "registered" } else { "idle" };
    eprintln!("{} {what} trunks for {} s …", args.trunks, args.seconds);
    tokio::time::sleep(SETTLE).await;
    let clock = Clock::system();
    let (before, asked, began) = (Used::now(gateway.id())?, carrier.asked(), clock.now());
    tokio::time::sleep(Duration::from_secs(u64::from(args.seconds))).await;
    let used = Used::now(gateway.id())?.since(before).gateway;
    let span = clock.now().since(began).as_secs_f64();
    for complaint in gateway.complaints() {
        eprintln!("the gateway: {complaint}");
    }
    let figure = |name, text: String, value, unit| {
        Figure::new("trunks", Store::Memory.name(), name, text, value, unit)
    };
    let (cost, rate) = match registered {
        false => ("idle", "idle_asked"),
        true => ("registered", "registered_asked"),
    };
    let all = format!("{} {what} trunks, of a core", args.trunks);
    let requests = number(carrier.asked() - asked) / span;
    Ok(vec![
        figure(cost, all, 100.0 * used / span, "%").at_most(CORE),
        figure(rate, "of it requests".to_owned(), requests, "/s"),
    ])
}

fn configuration(trunks: u32, carrier: SocketAddr, registered: bool) -> String {
    let mut text = String::new();
    let account = match registered {
        false => String::new(),
        true => format!("username = \"acme\"\npassword = {SECRET:?}\nregister = true\n"),
    };
    for trunk in 0..trunks {
        text.push_str(&format!(
            "[[trunks]]\nname = \"t{trunk}\"\ntarget = \"sip:{carrier};transport=udp\"\n{account}"
        ));
    }
    text + &format!(
        "[[tenants]]\nname = \"bench\"\napi_keys = [{SECRET:?}]\nvoice_countries = [\"US\"]\n"
    )
}

/// All carriers in one thread: whoever asks is answered with 200.
struct Carrier {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let address = socket.local_addr()?;
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, over) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("carriers".to_owned()).spawn(move || {
            let mut buffer = [0; DATAGRAM];
            while !over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let Some(answer) = answer(buffer.get(..length).unwrap_or_default(), from) else {
                    continue;
                };
                count.fetch_add(1, Ordering::Relaxed);
                // What is lost is asked for again.
                let _ = socket.send_to(&answer, from);
            }
        })?;
        Ok(Self { address, asked, stop, thread: Some(thread) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let Ok(Incoming::Message(request)) = message::read(datagram) else { return None };
    let answer = Response::to(&request, 200).received_from(from).to_tag("carrier");
    // RFC 3261 section 10.3: a registrar tells what it has bound, and for how long.
    let bound = request.contact_uri().filter(|_| *request.method() == Method::Register);
    let answer = match bound {
        Some(contact) => answer.contact(&contact).header("Expires", "600"),
        None => answer,
    };
    Some(answer.to_bytes())
}
