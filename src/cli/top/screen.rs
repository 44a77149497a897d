//! What `octothorpe top` draws: one picture of what a gateway tells.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Row, StatefulWidget, Table, TableState, Widget as _};
use serde::Deserialize;

use crate::ambient::Timestamp;

/// What a gateway tells of itself, as far as it is drawn.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    node: String,
    at: String,
    version: String,
    ready: bool,
    reasons: Vec<String>,
    live: usize,
    minutes: Vec<Minute>,
    all: Vec<Sums>,
    via: Vec<Sums>,
    trunks: Vec<Trunk>,
    calls: Calls,
}

#[derive(Clone, Debug, Deserialize)]
struct Minute {
    begun: u64,
    ended: BTreeMap<String, u64>,
}

/// What attempts came to: ratios from 0 to 1, times in milliseconds.
#[derive(Clone, Debug, Deserialize)]
struct Sums {
    name: String,
    channel: String,
    attempts: u64,
    answered: u64,
    asr: Option<f64>,
    ner: Option<f64>,
    pdd_ms: Option<u64>,
    answer_ms: Option<u64>,
    pressed: Option<f64>,
    key_ms: Option<u64>,
    machines: Option<f64>,
    conversion: Option<f64>,
    cost: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Trunk {
    name: String,
    state: String,
    why: Option<String>,
    registration: Option<String>,
    hops: Vec<Hop>,
    calls: usize,
    waiting: usize,
    max_calls: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
struct Hop {
    hop: String,
    options: Option<String>,
    options_ms: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Calls {
    cards: Vec<Card>,
}

#[derive(Clone, Debug, Deserialize)]
struct Card {
    id: String,
    tenant: String,
    number: String,
    country: String,
    channel: String,
    via: Option<String>,
    attempts: usize,
    state: String,
    status: String,
    reason: Option<String>,
    begun_at: String,
    since: String,
}

/// What is drawn, and where one has moved to.
#[derive(Debug)]
pub(super) struct Screen {
    told: Told,
    /// Why it was not told anew.
    error: Option<String>,
    calls: TableState,
}

/// One table: its title, its columns with their widths, its rows, and what stands there when there are none.
struct Part {
    title: String,
    head: &'static [(&'static str, Constraint)],
    rows: Vec<Row<'static>>,
    empty: &'static str,
}

impl Part {
    /// How many lines it takes: title, heads, and a line each.
    fn height(&self) -> u16 {
        u16::try_from(self.rows.len().max(1)).unwrap_or(u16::MAX).saturating_add(2)
    }

    fn draw(self, area: Rect, buffer: &mut Buffer, state: &mut TableState) {
        let block = Block::new().borders(Borders::TOP).title(self.title);
        if self.rows.is_empty() {
            Text::raw(self.empty).dim().render(block.inner(area), buffer);
            block.render(area, buffer);
            return;
        }
        let head = Row::new(self.head.iter().map(|(name, _)| *name));
        let table = Table::new(self.rows, self.head.iter().map(|(_, width)| *width))
            .header(head.style(Style::new().add_modifier(Modifier::BOLD)))
            .block(block);
        StatefulWidget::render(table, area, buffer, state);
    }
}

impl Screen {
    pub(super) fn new(mut told: Told) -> Self {
        in_order(&mut told.calls.cards);
        Self { told, error: None, calls: TableState::new() }
    }

    /// What the gateway tells now; or why it does not, while what it told last stays.
    pub(super) fn take(&mut self, told: anyhow::Result<Told>) {
        match told {
            Ok(told) => {
                let calls = self.calls;
                *self = Self { calls, ..Self::new(told) };
                self.move_by(0);
            }
            Err(error) => self.error = Some(format!("{error:#}")),
        }
    }

    /// So many rows further down the calls.
    pub(super) fn move_by(&mut self, rows: i32) {
        let last = self.told.calls.cards.len().saturating_sub(1);
        let rows = isize::try_from(rows).unwrap_or_default();
        let offset = self.calls.offset_mut();
        *offset = offset.saturating_add_signed(rows).min(last);
    }

    /// Draws it.
    pub(super) fn draw(&mut self, area: Rect, buffer: &mut Buffer) {
        let [trunks, sums, calls] = self.parts();
        let heights = [
            Constraint::Length(self.head().height().try_into().unwrap_or(u16::MAX)),
            Constraint::Max(trunks.height()),
            Constraint::Max(sums.height()),
            Constraint::Min(3),
        ];
        let [top, at_trunks, at_sums, at_calls] = Layout::vertical(heights).areas(area);
        self.head().render(top, buffer);
        trunks.draw(at_trunks, buffer, &mut TableState::new());
        sums.draw(at_sums, buffer, &mut TableState::new());
        calls.draw(at_calls, buffer, &mut self.calls);
    }

    /// The same as text, all of it, in so many columns.
    pub(super) fn text(&mut self, columns: u16) -> String {
        let parts = self.parts();
        let head = u16::try_from(self.head().height()).unwrap_or(u16::MAX);
        let rows = parts.iter().fold(head, |sum, part| sum.saturating_add(part.height()));
        let area = Rect::new(0, 0, columns, rows);
        let mut buffer = Buffer::empty(area);
        self.draw(area, &mut buffer);
        let mut text = String::new();
        for y in area.rows() {
            let cells = y.columns().filter_map(|at| buffer.cell(at.as_position()));
            let line: String = cells.map(ratatui::buffer::Cell::symbol).collect();
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// Who it is, how it is, and what the last hour came to in a line.
    fn head(&self) -> Text<'static> {
        let Told { node, at, version, ready, reasons, live, minutes, .. } = &self.told;
        let ready = if *ready {
            "ready".green()
        } else {
            format!("not ready: {}", reasons.join("; ")).red()
        };
        let clock = at.get(11..19).unwrap_or(at);
        let mut lines = vec![Line::from(vec![
            format!("octothorpe {version} on {node}, {clock} UTC: ").bold(),
            ready,
            format!("; {live} being asked").into(),
        ])];
        let mut ended = BTreeMap::<&str, u64>::new();
        for (status, count) in minutes.iter().flat_map(|minute| &minute.ended) {
            *ended.entry(status).or_default() += count;
        }
        let begun: u64 = minutes.iter().map(|minute| minute.begun).sum();
        let mut hour = vec![Span::raw(format!("Within the last hour {begun} began"))];
        for (status, count) in ended {
            hour.push(Span::raw(", "));
            hour.push(Span::styled(format!("{count} {status}"), colour(status)));
        }
        lines.push(Line::from(hour));
        if let Some(error) = &self.error {
            lines.push(Line::from(format!("Not told anew: {error}")).red().bold());
        }
        Text::from(lines)
    }

    fn parts(&self) -> [Part; 3] {
        let Told { at, all, via, trunks, calls, .. } = &self.told;
        let now = Timestamp::from_rfc3339(at).unwrap_or_default();
        [
            Part {
                title: "Trunks".to_owned(),
                head: &TRUNKS,
                rows: trunks.iter().map(trunk).collect(),
                empty: "No trunk is configured.",
            },
            Part {
                title: "The last hour, by trunk and carrier".to_owned(),
                head: &SUMS,
                rows: all.iter().chain(via).map(sums).collect(),
                empty: "Nothing has ended within the last hour.",
            },
            Part {
                title: format!("Verifications ({})", calls.cards.len()),
                head: &CALLS,
                rows: calls.cards.iter().map(|card| call(now, card)).collect(),
                empty: "Nobody is being asked.",
            },
        ]
    }
}

/// Those that are being asked first, and of each kind the latest first.
fn in_order(cards: &mut [Card]) {
    cards.sort_by(|a, b| (a.reason.is_some(), &b.begun_at).cmp(&(b.reason.is_some(), &a.begun_at)));
}

const fn wide(columns: u16) -> Constraint {
    Constraint::Length(columns)
}

const TRUNKS: [(&str, Constraint); 5] = [
    ("trunk", wide(16)),
    ("state", wide(8)),
    ("calls", wide(12)),
    ("last OPTIONS", wide(44)),
    ("why", Constraint::Fill(1)),
];

fn trunk(trunk: &Trunk) -> Row<'static> {
    let most = trunk.max_calls.map(|most| format!("/{most}")).unwrap_or_default();
    let waits = if trunk.waiting > 0 { format!(" +{}", trunk.waiting) } else { String::new() };
    let asked: Vec<_> = trunk
        .hops
        .iter()
        .filter_map(|hop| {
            let said = hop.options.as_ref()?;
            let took = hop.options_ms.map(|ms| format!(" {ms:.1} ms")).unwrap_or_default();
            Some(format!("{} {said}{took}", hop.hop))
        })
        .collect();
    let registration = trunk.registration.as_ref().map(|state| format!("registration {state}"));
    let why: Vec<_> = trunk.why.clone().into_iter().chain(registration).collect();
    Row::new([
        Cell::from(trunk.name.clone()),
        Cell::from(trunk.state.clone()).style(colour(&trunk.state)),
        Cell::from(format!("{}{most}{waits}", trunk.calls)),
        Cell::from(asked.join(", ")),
        Cell::from(why.join("; ")),
    ])
}

const SUMS: [(&str, Constraint); 12] = [
    ("name", wide(16)),
    ("", wide(5)),
    ("attempts", wide(8)),
    ("answered", wide(8)),
    ("ASR", wide(5)),
    ("NER", wide(5)),
    ("PDD", wide(7)),
    ("answer", wide(7)),
    ("key", wide(13)),
    ("machine", wide(7)),
    ("conversion", wide(10)),
    ("cost", Constraint::Fill(1)),
];

fn sums(sums: &Sums) -> Row<'static> {
    let share =
        |percent: Option<f64>| percent.map_or_else(|| "-".to_owned(), |it| format!("{it:.0} %"));
    // Milliseconds that fit into 53 bits are 285,000 years.
    #[expect(clippy::cast_precision_loss, reason = "a time to read")]
    let secs = |ms: Option<u64>| {
        ms.map_or_else(|| "-".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1_000.0))
    };
    let key = match sums.key_ms {
        Some(_) => format!("{} {}", share(sums.pressed), secs(sums.key_ms)),
        None => share(sums.pressed),
    };
    let cost: Vec<_> = sums.cost.iter().map(|(unit, sum)| format!("{sum} {unit}")).collect();
    Row::new([
        sums.name.clone(),
        sums.channel.clone(),
        sums.attempts.to_string(),
        sums.answered.to_string(),
        share(sums.asr),
        share(sums.ner),
        secs(sums.pdd_ms),
        secs(sums.answer_ms),
        key,
        share(sums.machines),
        share(sums.conversion),
        cost.join(", "),
    ])
}

const CALLS: [(&str, Constraint); 8] = [
    ("verification", wide(29)),
    ("tenant", wide(12)),
    ("number", wide(15)),
    ("", wide(2)),
    ("by", wide(16)),
    ("state", wide(12)),
    ("for", wide(7)),
    ("", Constraint::Fill(1)),
];

fn call(now: Timestamp, card: &Card) -> Row<'static> {
    let state = if card.reason.is_some() { &card.status } else { &card.state };
    let since = Timestamp::from_rfc3339(&card.since).map(|since| now.since(since).as_secs());
    let since = since.map(|secs| format!("{}:{:02}", secs / 60, secs % 60)).unwrap_or_default();
    let by = card.via.clone().unwrap_or_else(|| card.channel.clone());
    let more = if card.attempts > 1 { format!("attempt {}", card.attempts) } else { String::new() };
    let last = card.reason.as_ref().map(|reason| reason.replace('_', " ")).unwrap_or(more);
    Row::new([
        Cell::from(card.id.clone()),
        Cell::from(card.tenant.clone()),
        Cell::from(card.number.clone()),
        Cell::from(card.country.clone()),
        Cell::from(by),
        Cell::from(state.clone()).style(colour(state)),
        Cell::from(since),
        Cell::from(last),
    ])
}

/// Green is well, red is not, yellow is on its way.
fn colour(word: &str) -> Style {
    match word {
        "approved" | "up" => Style::new().fg(Color::Green),
        "denied" | "failed" | "down" | "lost" | "open" => Style::new().fg(Color::Red),
        "expired" | "ringing" | "paused" | "unknown" => Style::new().fg(Color::Yellow),
        "prompting" | "listening" => Style::new().fg(Color::Cyan),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn card(no: u32, state: &str, reason: Option<&str>) -> Value {
        json!({
            "id": format!("vf_{no:026}"), "tenant": "acme", "number": "+1******0132", "country": "US",
            "channel": "voice", "mode": "confirm", "via": "main", "attempts": 1, "state": state,
            "status": if reason.is_some() { "approved" } else { "pending" }, "reason": reason,
            "begun_at": format!("2026-11-27T08:00:{no:02}Z"), "since": "2026-11-27T08:01:00Z",
        })
    }

    fn told(cards: Vec<Value>) -> Told {
        serde_json::from_value(json!({
            "node": "n1", "at": "2026-11-27T08:01:07Z", "version": "1.2.3", "ready": true, "reasons": [],
            "live": 2, "most_live": 1000,
            "minutes": [{"minute": "2026-11-27T08:00:00Z", "begun": 3, "ended": {"approved": 1}}],
            "all": [{
                "name": "all", "channel": "voice", "attempts": 4, "placed": 4, "answered": 2, "asr": 50.0,
                "ner": 100.0, "pdd_ms": 1_240, "answer_ms": 4_000, "duration_ms": 9_000, "pressed": 50.0,
                "key_ms": 2_345, "machines": 0.0, "approved": 1, "conversion": 25.0,
                "cost": {"USD": "0.0132"},
            }],
            "via": [], "country": [], "prefix": [],
            "trunks": [{
                "name": "main", "target": "sip:192.0.2.1", "state": "down", "why": "no answer to OPTIONS",
                "hops": [{
                    "hop": "udp:192.0.2.1:5060", "options": "silent", "options_ms": null, "options_at": null,
                }],
                "dns": null, "registration": null, "registered_until": null, "registration_error": null,
                "steps": [], "calls": 2, "waiting": 1, "max_calls": 10, "calls_per_second": null,
            }],
            "calls": {"revision": 3, "whole": true, "cards": cards},
        }))
        .unwrap()
    }

    #[test]
    fn everything_is_there_and_those_that_are_asked_come_first() {
        let cards = vec![card(1, "ended", Some("key_pressed")), card(2, "ringing", None)];
        let text = Screen::new(told(cards)).text(160);
        for words in [
            "octothorpe 1.2.3 on n1, 08:01:07 UTC: ready; 2 being asked",
            "Within the last hour 3 began, 1 approved",
            "main             down     2/10 +1      udp:192.0.2.1:5060 silent",
            "no answer to OPTIONS",
            "50 %  100 %",
            "25 %",
            "1.2 s",
            "0.0132 USD",
            "Verifications (2)",
            "+1******0132    US main             ringing      0:07",
            "key pressed",
        ] {
            assert!(text.contains(words), "{words} in\n{text}");
        }
        assert!(text.find("ringing") < text.find("key pressed"), "{text}");
    }

    #[test]
    fn what_is_empty_says_so_and_what_was_told_stays_when_nothing_is_told() {
        let mut screen = Screen::new(told(Vec::new()));
        assert!(screen.text(100).contains("Nobody is being asked."));
        screen.take(Err(anyhow::anyhow!("nobody is there")));
        let text = screen.text(100);
        assert!(
            text.contains("Not told anew: nobody is there") && text.contains("on n1"),
            "{text}"
        );
        screen.take(Ok(told(Vec::new())));
        assert!(!screen.text(100).contains("Not told anew"));
    }

    #[test]
    fn one_moves_through_the_calls_and_no_further() {
        let cards = (0..40).map(|no| card(no, "ringing", None)).collect();
        let mut screen = Screen::new(told(cards));
        let area = Rect::new(0, 0, 100, 16);
        let first = |screen: &mut Screen| {
            let mut buffer = Buffer::empty(area);
            screen.draw(area, &mut buffer);
            let cells = area.rows().flat_map(|row| row.columns()).map(|at| at.as_position());
            let text: String = cells.filter_map(|at| Some(buffer.cell(at)?.symbol())).collect();
            text.find("vf_").and_then(|at| text.get(at..at + 29)).map(str::to_owned)
        };
        assert_eq!(first(&mut screen), Some(format!("vf_{:026}", 39)));
        screen.move_by(3);
        assert_eq!(first(&mut screen), Some(format!("vf_{:026}", 36)));
        screen.move_by(1_000);
        assert_eq!(first(&mut screen), Some(format!("vf_{:026}", 0)));
        screen.move_by(-1_000);
        assert_eq!(first(&mut screen), Some(format!("vf_{:026}", 39)));
        // However small it is, it is drawn.
        for (columns, rows) in [(1, 1), (20, 4), (0, 0), (300, 3)] {
            let area = Rect::new(0, 0, columns, rows);
            screen.draw(area, &mut Buffer::empty(area));
        }
    }
}
