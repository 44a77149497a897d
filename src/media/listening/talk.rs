//! When somebody begins to speak, and falls silent.
//!
//! Said only of voices that are not our own: what is heard is compared with what was sent, for half a
//! second, before it is somebody.

use crate::ambient::Timestamp;

/// How much of a voice is judged, in frames: 0.5 s.
pub(super) const JUDGED: usize = 25;

/// The silence behind which somebody has said it, in frames: 0.3 s.
const OVER: u32 = 15;

/// That somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Somebody began to.
    Begun {
        /// When; that they did is known half a second later.
        at: Timestamp,
    },
    /// And has fallen silent.
    Over,
}

/// What is known of the voice in hand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    is_judged: bool,
    is_told: bool,
}

/// What a frame has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Somebody began to speak, so many frames ago.
    Begun(u32),
    /// And has fallen silent.
    Over,
}

impl Turn {
    /// Takes what is being said after one more frame, as [`Line::saying`](super::line::Line::saying)
    /// tells of it; `is_ours` is asked once for each voice.
    pub(super) fn heard(
        &mut self,
        saying: Option<(u32, u32)>,
        is_ours: impl FnOnce() -> bool,
    ) -> Option<Change> {
        let Some((since, quiet)) = saying else {
            let before = std::mem::take(self);
            return before.is_told.then_some(Change::Over);
        };
        if !self.is_judged && since as usize >= JUDGED {
            self.is_judged = true;
            self.is_told = !is_ours();
            return self.is_told.then_some(Change::Begun(since));
        }
        let is_over = self.is_told && quiet >= OVER;
        self.is_told &= !is_over;
        is_over.then_some(Change::Over)
    }
}
