//! Eight numbers at once, with the instructions that the processor has.

use std::sync::LazyLock;

use pulp::{Simd, cast, f32x8};

/// With which instructions it is computed. The results differ by rounding only.
#[derive(Clone, Copy, Debug)]
pub enum Processor {
    /// Those that every processor of this build has.
    Plain,
    /// AVX2 and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
}

impl Processor {
    /// The best that this processor has.
    #[must_use]
    pub fn best() -> Self {
        *BEST
    }

    /// Computes something: where the compiler makes vectors of arrays, and of what it inlines into
    /// `work`, it has these instructions for them.
    #[inline(always)]
    pub fn compute<T>(self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Plain => work(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.vectorize(work),
        }
    }
}

static BEST: LazyLock<Processor> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        return Processor::Avx2(avx2);
    }
    Processor::Plain
});

/// Arithmetic of eight numbers at once.
pub(in crate::media) trait Lanes: Copy {
    /// Eight numbers.
    type Eight: Copy;

    fn load(self, eight: &[f32; 8]) -> Self::Eight;
    fn store(self, eight: Self::Eight) -> [f32; 8];
    fn splat(self, one: f32) -> Self::Eight;
    fn add(self, a: Self::Eight, b: Self::Eight) -> Self::Eight;
    fn subtract(self, a: Self::Eight, b: Self::Eight) -> Self::Eight;
    /// `a · b + c`
    fn multiply_add(self, a: Self::Eight, b: Self::Eight, c: Self::Eight) -> Self::Eight;
}

/// What the compiler makes of arrays: on x86-64, SSE2.
#[derive(Clone, Copy)]
pub(in crate::media) struct Arrays;

impl Lanes for Arrays {
    type Eight = [f32; 8];

    #[inline(always)]
    fn load(self, eight: &[f32; 8]) -> [f32; 8] {
        *eight
    }

    #[inline(always)]
    fn store(self, eight: [f32; 8]) -> [f32; 8] {
        eight
    }

    #[inline(always)]
    fn splat(self, one: f32) -> [f32; 8] {
        [one; 8]
    }

    #[inline(always)]
    fn add(self, mut a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
        a
    }

    #[inline(always)]
    fn subtract(self, mut a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        for (a, b) in a.iter_mut().zip(b) {
            *a -= b;
        }
        a
    }

    #[inline(always)]
    fn multiply_add(self, a: [f32; 8], b: [f32; 8], mut c: [f32; 8]) -> [f32; 8] {
        for ((a, b), c) in a.into_iter().zip(b).zip(&mut c) {
            *c += a * b;
        }
        c
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for pulp::x86::V3 {
    type Eight = f32x8;

    #[inline(always)]
    fn load(self, eight: &[f32; 8]) -> f32x8 {
        cast(*eight)
    }

    #[inline(always)]
    fn store(self, eight: f32x8) -> [f32; 8] {
        cast(eight)
    }

    #[inline(always)]
    fn splat(self, one: f32) -> f32x8 {
        self.splat_f32s(one)
    }

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        self.add_f32s(a, b)
    }

    #[inline(always)]
    fn subtract(self, a: f32x8, b: f32x8) -> f32x8 {
        self.sub_f32s(a, b)
    }

    #[inline(always)]
    fn multiply_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        self.mul_add_e_f32s(a, b, c)
    }
}
