//! Where a key ends and speech begins.
//!
//! What an administration demands of a receiver is listed in ITU-T Q.24; the limits here lie
//! between what must be taken and what must not, and where neither binds, where speech is rare.

/// How much of the power in a window belongs to the two tones of a key: speech has other tones too.
pub(super) const CLEAR: f32 = 0.88;

/// The same of a worn key, and of the first window of a clear one, which may begin before it.
pub(super) const WORN: f32 = 0.80;

/// How much of it belongs to them in any case, before what lies below the keys is taken away.
pub(super) const LEAST: f32 = 0.35;

/// How far the frequencies may be off, as the mean of a press: 1.5 % is in, 3.5 % is out.
pub(super) const DEVIATION: f32 = 0.020;

/// The same of a worn key.
pub(super) const WORN_DEVIATION: f32 = 0.012;

/// The same in a single window.
pub(super) const WINDOW_DEVIATION: f32 = 0.040;

/// How far the frequencies of two windows of a press may differ: those of a voice wander.
pub(super) const SPREAD: f32 = 0.015;

/// The same of a worn key.
pub(super) const WORN_SPREAD: f32 = 0.030;

/// How many times as strong a tone may be in one window of a press as in another: 6 dB.
pub(super) const FLATNESS: f32 = 3.981;

/// How many times as strong as the low tone the high one may be: 6 dB, of which 4 must be.
pub(super) const TWIST: f32 = 3.981;

/// How many times as strong as the high tone the low one may be: 10 dB, of which 8 must be.
pub(super) const REVERSE_TWIST: f32 = 10.0;

/// The power of the weaker tone, as a mean of squares: -42 dBm0. -25 must be heard, -55 must not.
pub(super) const FLOOR: f32 = 15_600.0;

/// How much of the power in a window may be noise that was there before it, and is not counted.
pub(super) const NOISE: f32 = 0.10;

/// The windows in a row that make a press. The first and the last may lie over its ends by a
/// quarter: 40 ms are always enough, and 23 ms never.
pub(super) const WINDOWS: usize = 5;

/// The windows in a row, 61 ms, after which a worn key is believed that nobody waits for.
pub(super) const LASTING: usize = 10;

/// The windows in a row without the key, after which it is up: 10 ms are bridged, and so is a
/// frame of zeros in the place of a lost one; 40 ms are a pause.
pub(super) const RELEASE: u32 = 7;
