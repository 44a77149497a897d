//! The limits of what is a key.

/// A key, and what is not.
pub(super) struct Limits {
    /// How much of the power in a window the two tones of a clear key have.
    pub(super) clear: f32,
    /// And in the first window of a press, which its tones fill in part.
    pub(super) first: f32,
    /// And of a worn key.
    pub(super) worn: f32,
    /// With less than this, what lies below the keys is not even looked at.
    pub(super) least: f32,
    /// How far the frequency of a clear key may be off, as the mean of its windows.
    pub(super) deviation: f32,
    /// And of a worn key.
    pub(super) worn_deviation: f32,
    /// And in any one window.
    pub(super) window_deviation: f32,
    /// The power of the high tone by that of the low one, at most.
    pub(super) twist: f32,
    /// The power of the low tone by that of the high one, at most.
    pub(super) reverse_twist: f32,
    /// The power of the weaker tone, at least.
    pub(super) floor: f32,
    /// The windows in a row of a clear key.
    pub(super) windows: usize,
    /// And of a worn one.
    pub(super) worn_windows: usize,
    /// How much the power of a tone may vary in the windows of a clear key but the first.
    pub(super) flat: f32,
    /// And in those of a worn one.
    pub(super) worn_flat: f32,
    /// The windows in a row without a key that is down, until it is up.
    pub(super) release: u8,
    /// How much of the power in a window may be taken for noise that was there before.
    pub(super) noise: f32,
}

const LIMITS: Limits = Limits {
    clear: 0.90,
    first: 0.80,
    worn: 0.65,
    least: 0.2,
    deviation: 0.020,
    worn_deviation: 0.022,
    window_deviation: 0.030,
    // 5.5 dB
    twist: 3.548,
    // 9.5 dB
    reverse_twist: 8.913,
    // -39 dBm0
    floor: 31_302.0,
    windows: 5,
    worn_windows: 10,
    // 2 dB
    flat: 1.585,
    // 3 dB
    worn_flat: 1.995,
    release: 5,
    noise: 0.10,
};

pub(super) const fn limits() -> &'static Limits {
    &LIMITS
}
