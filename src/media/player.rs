//! What is said next: phrases one after the other, 20 ms at a time.

use std::collections::VecDeque;

use crate::media::prompt::{Pack, PhraseId};
use crate::media::script::Line;
use crate::media::{FRAME_TIME, Payload};

/// The silence between what was cut short and what follows, in frames: an ear wants to know the one from
/// the other, and a decoder of G.722 is loud for so long after it was.
const AFTER_CUT: usize = 4;

/// A queue of phrases and the place reached in it.
#[derive(Clone, Debug, Default)]
pub struct Player {
    queue: VecDeque<Piece>,
    /// A phrase was cut short, and nothing was played since.
    is_cut: bool,
}

#[derive(Clone, Debug)]
struct Piece {
    phrase: Option<PhraseId>,
    /// Frames of the recording, without the pause.
    frames: usize,
    /// Frames of silence after it.
    pause: usize,
    next: usize,
}

impl Player {
    /// A player with nothing to say.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends phrases; those the pack does not have are passed over.
    pub fn play(&mut self, pack: &Pack, lines: &[Line]) {
        let pieces = lines.iter().filter_map(|line| {
            let frames = pack.phrase(line.phrase)?.frames();
            let pause = line.pause.as_millis().div_ceil(FRAME_TIME.as_millis());
            let pause = usize::try_from(pause).unwrap_or_default();
            Some(Piece { phrase: Some(line.phrase), frames, pause, next: 0 })
        });
        let is_cut = std::mem::take(&mut self.is_cut);
        let gap = Piece { phrase: None, frames: 0, pause: AFTER_CUT, next: 0 };
        self.queue.extend(is_cut.then_some(gap).into_iter().chain(pieces));
    }

    /// The next 20 ms; silence when there is nothing to say.
    pub fn next_frame(&mut self) -> Payload {
        let Some(piece) = self.queue.front_mut() else {
            return Payload::Silence;
        };
        let frame = piece.next;
        piece.next += 1;
        let phrase = piece.phrase.filter(|_| frame < piece.frames);
        if piece.next >= piece.frames + piece.pause {
            self.queue.pop_front();
        }
        phrase.map_or(Payload::Silence, |phrase| Payload::Prompt { phrase, frame })
    }

    /// Whether everything has been said.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Falls silent at once and forgets what was left.
    pub fn stop(&mut self) {
        let is_spoken = |piece: &Piece| (1..piece.frames).contains(&piece.next);
        self.is_cut |= self.queue.front().is_some_and(is_spoken);
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(phrase: PhraseId) -> Line {
        Line::plain(phrase, Duration::from_millis(250))
    }

    #[test]
    fn phrases_are_played_in_turn_with_a_pause_after_each() {
        let pack = Pack::english().expect("it is compiled in");
        let phrases = ["star", "pound"].map(|name| pack.find(name).expect("it is there"));
        let mut player = Player::new();
        assert!(player.is_idle());
        player.play(&pack, &phrases.map(line));
        for phrase in phrases {
            for frame in 0..pack.phrase(phrase).expect("it is there").frames() {
                assert_eq!(player.next_frame(), Payload::Prompt { phrase, frame });
            }
            for _ in 0..13 {
                assert!(!player.is_idle());
                assert_eq!(player.next_frame(), Payload::Silence);
            }
        }
        assert!(player.is_idle());
        assert_eq!(player.next_frame(), Payload::Silence);
    }

    #[test]
    fn a_player_that_is_stopped_is_idle_and_starts_afresh() {
        let pack = Pack::english().expect("it is compiled in");
        let star = pack.find("star").expect("it is there");
        let mut player = Player::new();
        player.play(&pack, &[line(star), line(star)]);
        let _ = player.next_frame();
        player.stop();
        assert!(player.is_idle());
        player.play(&pack, &[line(star)]);
        for _ in 0..AFTER_CUT {
            assert_eq!(player.next_frame(), Payload::Silence);
        }
        assert_eq!(player.next_frame(), Payload::Prompt { phrase: star, frame: 0 });
    }
}
