//! `octothorpe top`: how a gateway that runs does, while it does it.

mod screen;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::screen::{Screen, Told};
use super::admin::At;

/// How often it is asked anew.
const EVERY: Duration = Duration::from_secs(1);

/// How many columns are printed where there is no terminal.
const COLUMNS: u16 = 160;

/// How many rows a page has by which one leafs.
const PAGE: i32 = 10;

/// Look on, every second: who is being asked now, the trunks, and what the last hour came to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: up, down, page up, page down move through the calls; q ends it. It shows one node: the one that is asked.

Examples:
  octothorpe top
  octothorpe top --once                        # the same as text, once; so it is when it is piped, too
  octothorpe top --json | jq -c '.trunks[] | {name, state, why}'

Exit codes: 0 it was looked at, 2 wrong usage, 70 our fault, or it does not answer.")]
pub(super) struct Args {
    /// Look once, and end. Without a terminal it is always so.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    at: At,
    /// Print a JSON object a line, every second until it is stopped (with --once, one).
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let first = board(&args.at).await?;
    if args.json {
        println!("{first}");
        return if args.once { Ok(ExitCode::SUCCESS) } else { print(&args.at).await };
    }
    let first = told(first)?;
    if args.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        print!("{}", Screen::new(first).text(COLUMNS));
        return Ok(ExitCode::SUCCESS);
    }
    let mut terminal = ratatui::try_init().context("the terminal cannot be drawn on")?;
    let ended = watch(&mut terminal, &args.at, Screen::new(first)).await;
    ratatui::restore();
    ended
}

/// What the gateway tells of itself.
async fn board(at: &At) -> anyhow::Result<Value> {
    at.get("/admin/v1/board", &[]).await
}

fn told(board: Value) -> anyhow::Result<Told> {
    serde_json::from_value(board).context("the gateway tells something else")
}

/// A line every second. Whoever reads them ends it.
async fn print(at: &At) -> anyhow::Result<ExitCode> {
    let mut ticks = interval(EVERY);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        println!("{}", board(at).await?);
    }
}

/// Draws it until somebody wants it to end. A gateway that cannot be asked is asked again.
async fn watch(
    terminal: &mut DefaultTerminal,
    at: &At,
    mut screen: Screen,
) -> anyhow::Result<ExitCode> {
    let mut events = typed();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopped = signal(SignalKind::terminate())?;
    loop {
        terminal.draw(|frame| screen.draw(frame.area(), frame.buffer_mut()))?;
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Key(key)) => match meant(key) {
                    Meant::End => return Ok(ExitCode::SUCCESS),
                    Meant::Move(rows) => screen.move_by(rows),
                    Meant::Nothing => {}
                },
                // It is another size now, and is drawn anew.
                Some(_) => {}
                None => return Ok(ExitCode::SUCCESS),
            },
            _ = ticks.tick() => screen.take(board(at).await.and_then(told)),
            _ = stopped.recv() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// What happens at the terminal. It waits in a thread of its own, which ends with the process.
fn typed() -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    events
}

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant {
    End,
    Move(i32),
    Nothing,
}

const KEYS: [(KeyCode, Meant); 8] = [
    (KeyCode::Char('q'), Meant::End),
    (KeyCode::Esc, Meant::End),
    (KeyCode::Down, Meant::Move(1)),
    (KeyCode::Char('j'), Meant::Move(1)),
    (KeyCode::Up, Meant::Move(-1)),
    (KeyCode::Char('k'), Meant::Move(-1)),
    (KeyCode::PageDown, Meant::Move(PAGE)),
    (KeyCode::PageUp, Meant::Move(-PAGE)),
];

fn meant(key: KeyEvent) -> Meant {
    if key.kind == KeyEventKind::Release {
        return Meant::Nothing;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return if key.code == KeyCode::Char('c') { Meant::End } else { Meant::Nothing };
    }
    KEYS.iter().find(|(code, _)| *code == key.code).map_or(Meant::Nothing, |(_, meant)| *meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_and_end_it() {
        let none = KeyModifiers::NONE;
        let of = |code, modifiers| meant(KeyEvent::new(code, modifiers));
        assert_eq!(of(KeyCode::Char('q'), none), Meant::End);
        assert_eq!(of(KeyCode::Char('c'), KeyModifiers::CONTROL), Meant::End);
        assert_eq!(of(KeyCode::Char('c'), none), Meant::Nothing);
        assert_eq!(of(KeyCode::Up, none), Meant::Move(-1));
        assert_eq!(of(KeyCode::PageDown, none), Meant::Move(PAGE));
    }
}
