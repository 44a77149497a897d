//! The eight frequencies of the keys, looked for in four windows at once.
//!
//! A Hann window is the same read backwards. Seen from its middle, the real part of a transform
//! therefore needs only the sums of samples that lie as far before the middle as after it, and the
//! imaginary part only their differences: half the multiplications, and nothing approximated. Four
//! windows are transformed together, so that a coefficient is loaded once for four of them; they
//! are a frame of 20 ms. The lanes of a vector are the eight frequencies.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use crate::media::lanes::{Arrays, Lanes, Processor};

/// From one window to the next: 5 ms.
pub(super) const HOP: usize = 40;

/// The length of a window: 16 ms.
pub(super) const WINDOW: usize = 128;

/// The windows that are transformed together.
pub(super) const TOGETHER: usize = 4;

/// The samples under so many windows.
pub(super) const SPAN: usize = WINDOW + (TOGETHER - 1) * HOP;

const HALF: usize = WINDOW / 2;

/// The sum of a window.
pub(super) const WINDOW_SUM: f32 = 64.0;

/// The sum of its squares.
pub(super) const WINDOW_SQUARES: f32 = 48.0;

/// The low and the high group (ITU-T Q.23), in Hz.
pub(super) const FREQUENCIES: [f32; 8] =
    [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];

/// What lies under the keys, in the steps of a transform of this length: hum and dial tones.
const BELOW: [f32; 8] = [0.0, 62.5, 125.0, 187.5, 250.0, 312.5, 375.0, 437.5];

/// What one window holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spectrum {
    /// The real parts at the eight frequencies, seen from the middle of the window.
    pub(super) real: [f32; 8],
    /// The imaginary parts.
    pub(super) imaginary: [f32; 8],
    /// The squares of their sizes.
    pub(super) squares: [f32; 8],
    /// The energy of the windowed samples, of whatever frequency.
    pub(super) energy: f32,
}

impl Spectrum {
    /// The mean of the squares of the samples.
    pub(super) fn power(&self) -> f32 {
        self.energy / WINDOW_SQUARES
    }
}

/// The right half of the window, and what it makes of cosines and sines.
struct Table {
    squares: [[f32; 8]; HALF / 8],
    keys: Waves,
    below: Waves,
}

/// Cosines and sines of eight frequencies, sample by sample from the middle outwards.
type Waves = [[[f32; 8]; 2]; HALF];

static TABLE: LazyLock<Box<Table>> = LazyLock::new(|| {
    let weight = |n: u8| 0.5 + 0.5 * (TAU * (f64::from(n) + 0.5) / 128.0).cos();
    let mut squares = [[0.0; 8]; HALF / 8];
    for (n, square) in (0..).zip(squares.as_flattened_mut()) {
        // The sum and the difference of two samples have twice their energy.
        *square = (weight(n) * weight(n) / 2.0) as f32;
    }
    let waves = |frequencies: &[f32; 8]| {
        let mut waves = [[[0.0; 8]; 2]; HALF];
        for (n, [cosines, sines]) in (0..).zip(&mut waves) {
            for ((cosine, sine), frequency) in cosines.iter_mut().zip(sines).zip(frequencies) {
                let angle = TAU * f64::from(*frequency) * (f64::from(n) + 0.5) / 8_000.0;
                *cosine = (weight(n) * angle.cos()) as f32;
                *sine = (-weight(n) * angle.sin()) as f32;
            }
        }
        waves
    };
    Box::new(Table { squares, keys: waves(&FREQUENCIES), below: waves(&BELOW) })
});

/// Transforms the four windows of a span; nothing if in none of them two tones of `floor` fit.
pub(super) fn transform(
    processor: Processor,
    span: &[i16; SPAN],
    floor: f32,
) -> Option<[Spectrum; TOGETHER]> {
    let table: &Table = &TABLE;
    match processor {
        Processor::Plain => together(Arrays, span, floor, table),
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2(avx2) => avx2.vectorize(
            #[inline(always)]
            || together(avx2, span, floor, table),
        ),
    }
}

/// The energy of one window below the keys: under 470 Hz.
pub(super) fn energy_below(window: &[i16; WINDOW]) -> f32 {
    let table: &Table = &TABLE;
    let folded = fold(Arrays, &window.map(f32::from), table);
    let mut real = [0.0; 8];
    let mut imaginary = [0.0; 8];
    for ([cosines, sines], (sum, difference)) in table.below.iter().zip(folded.pairs()) {
        real = Arrays.multiply_add([sum; 8], *cosines, real);
        imaginary = Arrays.multiply_add([difference; 8], *sines, imaginary);
    }
    let mut both = real.iter().zip(&imaginary).map(|(re, im)| re * re + im * im);
    // Parseval: each frequency but zero stands for its negative too.
    let constant = both.next().unwrap_or(0.0);
    (constant + 2.0 * both.sum::<f32>()) / WINDOW as f32
}

/// Sums and differences around the middle of a window, from there outwards.
#[derive(Clone, Copy)]
struct Folded {
    sums: [[f32; 8]; HALF / 8],
    differences: [[f32; 8]; HALF / 8],
    energy: f32,
}

impl Folded {
    const EMPTY: Self =
        Self { sums: [[0.0; 8]; HALF / 8], differences: [[0.0; 8]; HALF / 8], energy: 0.0 };

    #[inline(always)]
    fn pairs(&self) -> impl Iterator<Item = (f32, f32)> {
        let (sums, differences) = (self.sums.as_flattened(), self.differences.as_flattened());
        sums.iter().copied().zip(differences.iter().copied())
    }
}

#[inline(always)]
fn fold<L: Lanes>(lanes: L, window: &[f32; WINDOW], table: &Table) -> Folded {
    let mut folded = Folded::EMPTY;
    let mut energy = lanes.splat(0.0);
    let (eights, _) = window.as_chunks::<8>();
    let (left, right) = eights.split_at(HALF / 8);
    let out = folded.sums.iter_mut().zip(&mut folded.differences).zip(&table.squares);
    for (((sums, differences), square), (before, after)) in out.zip(left.iter().rev().zip(right)) {
        let mut before = *before;
        before.reverse();
        let (before, after) = (lanes.load(&before), lanes.load(after));
        let sum = lanes.add(after, before);
        let difference = lanes.subtract(after, before);
        let zero = lanes.splat(0.0);
        let both = lanes.multiply_add(difference, difference, lanes.multiply_add(sum, sum, zero));
        energy = lanes.multiply_add(both, lanes.load(square), energy);
        *sums = lanes.store(sum);
        *differences = lanes.store(difference);
    }
    folded.energy = lanes.store(energy).iter().sum();
    folded
}

#[inline(always)]
fn together<L: Lanes>(
    lanes: L,
    span: &[i16; SPAN],
    floor: f32,
    table: &Table,
) -> Option<[Spectrum; TOGETHER]> {
    let span = span.map(f32::from);
    let mut energy = lanes.splat(0.0);
    for eight in span.as_chunks::<8>().0 {
        let eight = lanes.load(eight);
        energy = lanes.multiply_add(eight, eight, energy);
    }
    if lanes.store(energy).iter().sum::<f32>() < 2.0 * floor * WINDOW_SQUARES {
        return None;
    }
    let mut folded = [Folded::EMPTY; TOGETHER];
    let mut rest: &[f32] = &span;
    for folded in &mut folded {
        if let Some(window) = rest.first_chunk::<WINDOW>() {
            *folded = fold(lanes, window, table);
        }
        rest = rest.get(HOP..).unwrap_or(&[]);
    }
    let [a, b, c, d] = &folded;
    let mut real = [lanes.splat(0.0); TOGETHER];
    let mut imaginary = real;
    for (((([cosines, sines], a), b), c), d) in
        table.keys.iter().zip(a.pairs()).zip(b.pairs()).zip(c.pairs()).zip(d.pairs())
    {
        let (cosines, sines) = (lanes.load(cosines), lanes.load(sines));
        let parts = real.iter_mut().zip(&mut imaginary);
        for ((real, imaginary), (sum, difference)) in parts.zip([a, b, c, d]) {
            *real = lanes.multiply_add(lanes.splat(sum), cosines, *real);
            *imaginary = lanes.multiply_add(lanes.splat(difference), sines, *imaginary);
        }
    }
    let mut spectra = [Spectrum::default(); TOGETHER];
    let parts = real.into_iter().zip(imaginary).zip(&folded);
    for (spectrum, ((real, imaginary), folded)) in spectra.iter_mut().zip(parts) {
        let zero = lanes.splat(0.0);
        let squares = lanes.multiply_add(imaginary, imaginary, zero);
        let squares = lanes.store(lanes.multiply_add(real, real, squares));
        let (real, imaginary) = (lanes.store(real), lanes.store(imaginary));
        *spectrum = Spectrum { real, imaginary, squares, energy: folded.energy };
    }
    Some(spectra)
}
