//! Carriers that other people's programs play: processes of `tests/peers` that take commands and
//! tell what they see, one JSON object a line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::tools::wait_for;

/// How long a peer may take for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A peer, which does not outlive the test.
pub(crate) struct Peer {
    child: Child,
    input: Mutex<Input>,
    lines: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

struct Input {
    stdin: ChildStdin,
    /// How many commands were given.
    given: u64,
}

impl Peer {
    /// Starts one.
    ///
    /// # Panics
    /// When its program is not installed, with what to type.
    pub(crate) fn start(mut command: Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let program = command.get_program().display();
        let mut child = child
            .unwrap_or_else(|error| panic!("{program} does not start ({error}): {}", how_to()));
        let stdin = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("a line is JSON");
                kept.lock().unwrap().push(line);
            }
        });
        let input = Mutex::new(Input { stdin, given: 0 });
        Self { child, input, lines, reader: Some(reader) }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        let line = self.line("it listens", |line| line["port"].is_u64());
        line["port"].as_u64().unwrap().try_into().unwrap()
    }

    /// The first line that is wanted, of all that it has printed or is about to.
    pub(crate) fn line(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, PATIENCE, || {
            self.lines.lock().unwrap().iter().find(|it| wanted(it)).cloned()
        })
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// How many lines so far are so.
    pub(crate) fn count(&self, so: impl Fn(&Value) -> bool) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| so(line)).count()
    }

    /// Gives it a command, and waits for the line that answers it.
    ///
    /// # Panics
    /// When it cannot be carried out.
    pub(crate) fn ask(&self, mut command: Value) -> Value {
        let id = {
            let mut input = self.input.lock().unwrap();
            input.given += 1;
            command["id"] = json!(input.given);
            input.stdin.write_all(format!("{command}\n").as_bytes()).unwrap();
            input.given
        };
        let answer = self.line("an answer of the peer", |line| line["id"] == id);
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer
    }

    /// Gives it a command that no line answers but the word that it was taken.
    pub(crate) fn tell(&self, command: &Value) {
        let done = |line: &Value| line["event"] == "done";
        let before = self.count(done);
        let mut input = self.input.lock().unwrap();
        input.stdin.write_all(format!("{command}\n").as_bytes()).unwrap();
        wait_for("the peer takes it", PATIENCE, || (self.count(done) > before).then_some(()));
    }

    /// `kill -9`; everything that it has printed.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.end();
        self.lines()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The folder of the peers.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// A script for Node, whose libraries are in that folder.
pub(crate) fn node(script: &str) -> Command {
    let script = folder().join(script);
    assert!(script.exists(), "{} is missing: {}", script.display(), how_to());
    assert!(folder().join("node_modules/smpp").exists(), "libraries are missing: {}", how_to());
    let mut command = Command::new("node");
    command.arg(script);
    command
}

/// A script for Python, whose libraries are beside what Cargo builds.
pub(crate) fn python(script: &str) -> Command {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers-venv/bin/python");
    assert!(python.exists(), "{} is missing: {}", python.display(), how_to());
    let mut command = Command::new(python);
    command.arg(folder().join(script));
    command
}

fn how_to() -> &'static str {
    "install nodejs, npm, python3 and python3-venv, then run `tests/run peers`"
}
