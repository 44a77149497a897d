//! What machines do: disks that are full or fail, too few descriptors, clocks that step. Nothing is
//! approved late or told and then lost, and nothing needs a restart.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::request;
use crate::phone::{Manner, Phone};
use crate::serve::{BEARER, Gateway, SOON};
use crate::tools::{Process, faketime, is_root, octothorpe, ports, side_by_side, wait_for};
use crate::webhook::{Receiver, Reply};

/// A person, a call that is up, and somebody who is told.
struct Scene {
    phone: Phone,
    receiver: Receiver,
    gateway: Gateway,
}

impl Scene {
    fn under(command: &[&str]) -> Self {
        let phone = Phone::start(Manner::Answer);
        let receiver = Receiver::start(&[]);
        let gateway = Gateway::under(command, phone.port(), Some(receiver.url()));
        Self { phone, receiver, gateway }
    }

    /// A verification whose call listens.
    fn listening(&self, body: &Value) -> String {
        let id = self.gateway.begin(body);
        self.phone.speak();
        self.gateway.reaches(&id, "listening");
        id
    }

    /// A verification is approved, and told once.
    fn approves(&self) {
        let id = self.listening(&json!({"to": crate::tools::NUMBER}));
        self.phone.press();
        let settled = self.gateway.settles(&id, SOON);
        assert_eq!(settled["status"], "approved", "{settled}");
        self.told_once(&settled);
    }

    /// What became of it is told once, as it is.
    fn told_once(&self, settled: &Value) {
        let tells = || {
            let tries = self.receiver.tries().into_iter();
            let of = tries.filter(|one| one.json()["data"]["id"] == settled["id"]);
            of.filter(|one| one.reply == Reply::Status(204)).collect::<Vec<_>>()
        };
        wait_for("the verdict is told", Duration::from_secs(20), || {
            (!tells().is_empty()).then_some(())
        });
        std::thread::sleep(Duration::from_secs(1));
        let tells = tells();
        assert_eq!(tells.len(), 1, "{tells:?}");
        tells[0].is_genuine();
        assert_eq!(&tells[0].resource(), settled);
    }

    /// What it answers to the reader of a verification.
    fn reads(&self, id: &str) -> (u16, Value) {
        let path = format!("/v1/verifications/{id}");
        let answer = request(self.gateway.api(), "GET", &path, &[("Authorization", BEARER)], b"");
        (answer.status, answer.json())
    }

    fn is_ready(&self, within: Duration) {
        wait_for("ready again", within, || (self.gateway.readiness().0 == 200).then_some(()));
    }
}

#[test]
fn a_full_disk_finishes_what_is_under_way_and_refuses_what_is_new() {
    let mount = "mount -t tmpfs -o size=8m,mode=700 tmpfs data && exec \"$@\"";
    let mut under = vec!["unshare", "--mount"];
    if !is_root() {
        under.extend(["--user", "--map-root-user"]);
    }
    under.extend(["sh", "-c", mount, "sh"]);
    let scene = Scene::under(&under);
    let gateway = &scene.gateway;
    scene.approves();
    let id = scene.listening(&json!({"to": crate::tools::NUMBER}));

    let data = gateway.data();
    let inside = format!("/proc/{}/root{}", gateway.process(), data.display());
    let filler = Path::new(&inside).join("filler");
    let mut file = fs::File::create(&filler).expect("the disk of the store");
    while file.write_all(&[7; 4096]).is_ok() {}
    drop(file);
    let began = Instant::now();
    let new = |n: u32| json!({"to": format!("+12025550{n}")});
    let mut answers = (140..180).map(|n| gateway.post("/v1/verifications", &new(n)));
    let mut begun = vec![id.clone()];
    let refused = answers.find(|answer| {
        let is_begun = answer.status == 201;
        begun.extend(is_begun.then(|| answer.json()["id"].as_str().unwrap().to_owned()));
        !is_begun
    });
    let refused = refused.expect("a full disk");
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("store_full")));
    assert_eq!(refused.header("retry-after"), Some("5"));
    let (status, told) = gateway.readiness();
    assert_eq!(status, 503);
    assert!(told.contains("disk is full"), "{told}");
    println!("refused {:.0?} after the disk was full", began.elapsed());

    // Reading and cancelling go on, and what follows from them.
    assert_eq!(scene.reads(&id).1["status"], "pending");
    for id in &begun {
        let canceled = gateway.post(&format!("/v1/verifications/{id}/cancel"), &json!({}));
        assert_eq!((canceled.status, &canceled.json()["status"]), (200, &json!("canceled")));
        scene.told_once(&gateway.read(id, ""));
    }
    let ended = || scene.phone.count("BYE") + scene.phone.count("CANCEL");
    wait_for("the calls end", SOON, || (ended() > begun.len()).then_some(()));
    for n in 140..150 {
        let answer = gateway.post("/v1/verifications", &new(n));
        assert_eq!(answer.status, 503, "it stays full: {answer:?}");
    }

    let began = Instant::now();
    fs::remove_file(&filler).unwrap();
    scene.is_ready(Duration::from_secs(5));
    println!("ready {:.0?} after there was room", began.elapsed());
    scene.approves();
    assert!(gateway.log().contains("its disk is full"), "the log tells it");
}

#[test]
fn a_backup_is_written_while_it_runs_and_restored() {
    let mut scene = Scene::under(&[]);
    scene.approves();
    let id = scene.listening(&json!({"to": crate::tools::NUMBER}));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.redb");
    let (kept, admin) = (file.display().to_string(), scene.gateway.admin_url());
    let done = |words: &[&str], gateway: &Gateway| -> Value {
        let done = gateway.command(words).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let told = done(&["store", "backup", &kept, "--json", "--admin", &admin], &scene.gateway);
    let bytes = fs::metadata(&file).unwrap().len();
    assert_eq!(told, json!({"file": kept, "bytes": bytes}));
    assert!(!scene.gateway.data().join("octothorpe.backup").exists(), "it was taken from there");
    let told = done(&["store", "compact", "--json", "--admin", &admin], &scene.gateway);
    assert!(told["after"].as_u64().unwrap() > 0, "{told}");
    scene.phone.press();
    assert_eq!(scene.gateway.settles(&id, SOON)["status"], "approved", "its call went on");

    // What came after the backup is forgotten when it is restored.
    scene.gateway.terminate();
    fs::copy(&file, scene.gateway.data().join("octothorpe.redb")).unwrap();
    scene.gateway.restart();
    let settled = scene.gateway.settles(&id, SOON);
    assert_eq!((&settled["status"], &settled["reason"]), (&"failed".into(), &"node_lost".into()));
    scene.approves();

    // And without a gateway.
    scene.gateway.terminate();
    for words in [&["store", "backup", &kept, "--json"][..], &["store", "compact", "--json"]] {
        done(words, &scene.gateway);
    }
    scene.gateway.restart();
    assert_eq!(scene.gateway.read(&id, ""), settled);
}

/// Has syncs of the store's file fail from now on.
struct FailingSyncs(Child);

impl FailingSyncs {
    /// `when` is strace's: `1` fails once, `1+` always.
    fn of(gateway: &Gateway, when: &str) -> Self {
        let strace = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e"])
            .arg(format!("inject=fdatasync,fsync:error=EIO:when={when}"))
            .arg("-P")
            .arg(gateway.data().join("octothorpe.redb"))
            .args(["-p", &gateway.process().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("apt-get install strace");
        let traced = || {
            let status = fs::read_to_string(format!("/proc/{}/status", gateway.process())).unwrap();
            let line = status.lines().find(|line| line.starts_with("TracerPid:")).unwrap();
            (!line.ends_with("\t0")).then_some(())
        };
        wait_for("strace looks on", SOON, traced);
        std::thread::sleep(Duration::from_millis(300));
        Self(strace)
    }

    /// The disk works again.
    fn end(mut self) {
        let (name, process) = ("-INT", self.0.id().to_string());
        assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

#[test]
fn nothing_is_told_while_the_disk_fails_and_all_goes_on_when_it_does_not() {
    side_by_side(
        3,
        &["1", "1+", "killed"],
        |when| format!("syncs fail: {when}"),
        |&when| {
            let mut scene = Scene::under(&[]);
            scene.approves();
            let told = scene.receiver.tries().len();
            let id = scene.listening(&json!({"to": crate::tools::NUMBER, "expires_in": 30}));
            let failing = FailingSyncs::of(&scene.gateway, if when == "1" { "1" } else { "1+" });
            scene.phone.press();
            if when != "1" {
                wait_for("it says that it is not ready", SOON, || {
                    (scene.gateway.readiness().0 == 503).then_some(())
                });
                let until = Instant::now() + Duration::from_secs(4);
                while Instant::now() < until {
                    let (status, found) = scene.reads(&id);
                    assert_ne!(found["status"], "approved", "{found}");
                    assert!(
                        status == 200 || (status, &found["code"]) == (503, &json!("store_unsafe")),
                        "{status} {found}"
                    );
                    let refused =
                        scene.gateway.post("/v1/verifications", &json!({"to": "+12025550140"}));
                    assert_eq!(refused.json()["code"], "store_unsafe", "{refused:?}");
                    assert_eq!(scene.receiver.tries().len(), told, "nobody is told");
                    std::thread::sleep(Duration::from_millis(200));
                }
            } else {
                std::thread::sleep(Duration::from_secs(1));
            }
            let began = Instant::now();
            if when == "killed" {
                scene.gateway.kill();
                scene.gateway.restart();
            } else {
                failing.end();
            }
            scene.is_ready(Duration::from_secs(5));
            println!("{when}: ready {:.1?} after the disk worked again", began.elapsed());
            // Whether the press came to be or not, all say the same of it, and it is over in time.
            let settled = wait_for("settled", Duration::from_secs(45), || {
                let (status, found) = scene.reads(&id);
                (status == 200 && found["status"] != "pending").then_some(found)
            });
            println!("{when}: {} ({})", settled["status"], settled["reason"]);
            scene.told_once(&settled);
            scene.approves();
        },
    );
}

#[test]
fn too_few_descriptors_refuse_some_and_lose_nothing() {
    // Who answers all calls at once, and keeps each until the last is begun.
    let port = ports(2);
    let mut phone = octothorpe();
    phone.args(["phone", "--listen", &format!("udp:127.0.0.1:{port}"), "--json"]);
    phone.args(["--ring", "0.1", "--answer-after", "0.3", "--press", "#", "--press-after", "6"]);
    let phone = Process::phone(phone, "nothing: it is ours");
    wait_for("the phone listens", SOON, || phone.stdout().contains("\"listening\"").then_some(()));
    let receiver = Receiver::start(&[]);
    let under = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];
    let gateway = Gateway::under(&under, port, Some(receiver.url()));

    // More calls than there are descriptors for.
    let numbers = (100..160).map(|n| json!({"to": format!("+12025550{n}")}));
    let answers: Vec<_> = numbers.map(|body| gateway.post("/v1/verifications", &body)).collect();
    let begun: Vec<String> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| answer.json()["id"].as_str().unwrap().to_owned())
        .collect();
    let refused: Vec<u16> =
        answers.iter().map(|answer| answer.status).filter(|status| *status != 201).collect();
    assert!(refused.iter().all(|status| [429, 503].contains(status)), "{refused:?}");
    let verdicts: Vec<Value> =
        begun.iter().map(|id| gateway.settles(id, Duration::from_secs(60))).collect();
    let of = |status: &str| verdicts.iter().filter(|it| it["status"] == status).count();
    println!("{} begun: {} approved, {} failed", begun.len(), of("approved"), of("failed"));
    assert_eq!(of("approved") + of("failed"), begun.len(), "{verdicts:?}");
    assert!(of("approved") > 0 && of("failed") > 0, "{verdicts:?}");

    // More clients than there are descriptors for, who say nothing.
    let crowd: Vec<TcpStream> =
        (0..200).filter_map(|_| TcpStream::connect(gateway.api()).ok()).collect();
    std::thread::sleep(Duration::from_secs(2));
    drop(crowd);
    let began = Instant::now();
    wait_for("it takes connections again", SOON, || (gateway.readiness().0 == 200).then_some(()));
    println!("back {:.1?} after the crowd", began.elapsed());
    let id = gateway.begin(&json!({"to": "+12025550199"}));
    assert_eq!(gateway.settles(&id, Duration::from_secs(30))["status"], "approved");
    let wanted: BTreeSet<String> = begun.into_iter().chain([id]).collect();
    // Whoever found no descriptor three times is tried again after 1, 5, 30 and 120 s, give or take a fifth.
    wait_for("every verdict is told", Duration::from_secs(200), || {
        let tries = receiver.tries().into_iter();
        let taken = tries.filter(|one| one.reply == Reply::Status(204));
        let told: BTreeSet<String> =
            taken.map(|one| one.json()["data"]["id"].as_str().unwrap().to_owned()).collect();
        (told == wanted).then_some(())
    });
}

#[test]
fn a_clock_that_steps_approves_nothing_late_and_ends_nothing_early() {
    side_by_side(
        2,
        &["-15m", "+2h"],
        |step| format!("the clock steps by {step}"),
        |&step| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("time");
            let set = |step: &str| fs::write(&file, step).unwrap();
            set("+0");
            let (library, told) = (faketime(), file.display());
            let under = [
                "env",
                &format!("LD_PRELOAD={library}"),
                &format!("FAKETIME_TIMESTAMP_FILE={told}"),
                "FAKETIME_NO_CACHE=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
            ];
            let scene = Scene::under(&under);
            // What was begun before is approved after.
            let id = scene.listening(&json!({"to": crate::tools::NUMBER}));
            let before = scene.gateway.read(&id, "");
            set(step);
            std::thread::sleep(Duration::from_secs(1));
            scene.phone.press();
            let settled = scene.gateway.settles(&id, SOON);
            assert_eq!(settled["status"], "approved", "{settled}");
            assert_eq!(settled["expires_at"], before["expires_at"]);
            scene.told_once(&settled);

            // And what is over is over, whichever way the clock goes meanwhile.
            let began = Instant::now();
            let id = scene.listening(&json!({"to": crate::tools::NUMBER, "expires_in": 20}));
            set("+0");
            let settled = wait_for("it is over", Duration::from_secs(30), || {
                let found = scene.gateway.read(&id, "");
                (found["status"] != "pending").then_some(found)
            });
            let took = began.elapsed();
            scene.phone.press();
            println!("{step}: {} after {took:.1?}", settled["status"]);
            assert_ne!(settled["status"], "approved");
            assert!(took >= Duration::from_millis(19_500), "it was over after {took:?}");
            std::thread::sleep(Duration::from_secs(1));
            assert_eq!(scene.gateway.read(&id, ""), settled, "a press that comes late");
            scene.told_once(&settled);
            // The machine's clock has really stepped, and the gateway noticed nothing.
            set(step);
            scene.approves();
        },
    );
}
