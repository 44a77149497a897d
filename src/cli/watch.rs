//! Looks on while one verification runs: draws its ladder, and keeps what the callee heard and
//! what was on the wire, if that is wanted.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::capture::Capture;
use super::ladder::Ladder;
use super::wrong;
use crate::ambient::Timestamp;
use crate::gateway::tap::{Act, Scene};
use crate::media::Codec;
use crate::media::codec::Decoder;
use crate::media::g711::{FRAME, RATE};

/// What to keep.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Keep {
    /// Write what the callee hears to this WAV file (8 kHz, 16 bit).
    #[arg(long, value_name = "FILE")]
    pub(super) wav: Option<PathBuf>,
    /// Write what was on the wire to this capture file: SIP, RTP headers, telephone-events; audio
    /// is left out.
    #[arg(long, value_name = "FILE")]
    pub(super) pcap: Option<PathBuf>,
}

/// Whoever looks on.
pub(super) struct Watch {
    ladder: Ladder,
    heard: Option<(PathBuf, Heard)>,
    capture: Option<Capture>,
}

impl Watch {
    /// Opens the files that are wanted, before any phone rings.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn open(start: Timestamp, keep: &Keep) -> anyhow::Result<Self> {
        let refused = |path: &Path, error: &dyn std::fmt::Display| {
            wrong(format!("cannot write {}: {error}", path.display()))
        };
        let heard = match &keep.wav {
            Some(path) => {
                std::fs::File::create(path).map_err(|error| refused(path, &error))?;
                Some((path.clone(), Heard::default()))
            }
            None => None,
        };
        let capture = match &keep.pcap {
            Some(path) => Some(Capture::create(path).map_err(|error| refused(path, &error))?),
            None => None,
        };
        Ok(Self { ladder: Ladder::new(start), heard, capture })
    }

    /// Watches until the gateway is gone; then writes the files.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) async fn run(
        mut self,
        mut scenes: mpsc::UnboundedReceiver<Scene>,
    ) -> anyhow::Result<()> {
        while let Some(scene) = scenes.recv().await {
            for line in self.ladder.lines(&scene) {
                eprintln!("{line}");
            }
            match (&scene.act, &mut self.heard, &mut self.capture) {
                (Act::Spoken { timestamp, codec, codes }, Some((_, heard)), _) => {
                    heard.take(*timestamp, *codec, codes);
                }
                (Act::Packet(packet), _, Some(capture)) => capture.write(scene.at, packet)?,
                (
                    Act::Packet(_)
                    | Act::Spoken { .. }
                    | Act::Dialling
                    | Act::Saying(_)
                    | Act::Key { .. }
                    | Act::Label { .. },
                    _,
                    _,
                ) => {}
            }
        }
        if let Some((path, heard)) = &self.heard {
            heard.save(path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// What was said to the callee, by the RTP timestamps of what we sent.
#[derive(Default)]
struct Heard {
    first: Option<u32>,
    decoder: Decoder,
    samples: Vec<i16>,
}

impl Heard {
    fn take(&mut self, timestamp: u32, codec: Codec, codes: &[u8]) {
        let first = *self.first.get_or_insert(timestamp);
        let at = usize::try_from(timestamp.wrapping_sub(first)).unwrap_or(usize::MAX);
        // Ten minutes are longer than any call: a timestamp beyond is not ours.
        if at > 600 * usize::try_from(RATE).unwrap_or(FRAME) {
            return;
        }
        let end = at + codes.len();
        if self.samples.len() < end {
            self.samples.resize(end, 0);
        }
        let heard = self.decoder.all(codec, codes);
        for (sample, heard) in self.samples.iter_mut().skip(at).zip(heard) {
            *sample = heard;
        }
    }

    fn save(&self, path: &Path) -> anyhow::Result<()> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(path, spec)?;
        for sample in &self.samples {
            file.write_sample(*sample)?;
        }
        file.finalize()?;
        Ok(())
    }
}
