//! What a session seals and opens with, through all its offers and answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::media::sdes::Crypto;
use crate::media::srtp::{Opener, Protection, Rejected, Sealer, Suite};

/// The encryption of one session's media. Once they are encrypted they stay so.
#[derive(Debug)]
pub struct Secured {
    protection: Protection,
    agreed: Option<Crypto>,
    /// By the suites that were ever agreed on: a key and its indices are never begun again.
    sealers: BTreeMap<Suite, Sealer>,
    opener: Option<Opener>,
    /// For their key before this one, until this one is first used: what is under way when they
    /// change it may be a key press.
    retiring: Option<Opener>,
}

impl Secured {
    /// Nothing is agreed on yet.
    #[must_use]
    pub const fn new(protection: Protection) -> Self {
        let sealers = BTreeMap::new();
        Self { protection, agreed: None, sealers, opener: None, retiring: None }
    }

    /// What may be offered and answered now.
    #[must_use]
    pub const fn protection(&self) -> &Protection {
        &self.protection
    }

    /// Takes what an offer and its answer say.
    pub fn agree(&mut self, crypto: Option<Crypto>) {
        if let Some(crypto) = &crypto {
            self.protection = std::mem::take(&mut self.protection).required();
            self.sealers
                .entry(crypto.suite)
                .or_insert_with(|| Sealer::new(crypto.suite, &crypto.ours));
            // A key that stays, as when a call is held, keeps what it has let in.
            let stays =
                |before: &Crypto| (before.suite, &before.theirs) == (crypto.suite, &crypto.theirs);
            if !self.agreed.as_ref().is_some_and(stays) {
                self.retiring = self.opener.replace(Opener::new(crypto.suite, &crypto.theirs));
            }
        }
        self.agreed = crypto;
    }

    /// Seals an RTP packet of ours, if anything is to be sealed.
    pub fn seal_rtp(&mut self, packet: &mut Vec<u8>) {
        self.seal(packet, Sealer::seal_rtp);
    }

    /// Seals an RTCP packet of ours, if anything is to be sealed.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) {
        self.seal(packet, Sealer::seal_rtcp);
    }

    fn seal(&mut self, packet: &mut Vec<u8>, seal: fn(&mut Sealer, &mut Vec<u8>)) {
        let Some(crypto) = &self.agreed else { return };
        match self.sealers.get_mut(&crypto.suite) {
            Some(sealer) => seal(sealer, packet),
            // Nothing goes out in the clear.
            None => packet.clear(),
        }
    }

    /// Opens an RTP packet of theirs, if it is to be sealed.
    ///
    /// # Errors
    /// When it is not to be heard.
    pub fn open_rtp<'a>(&mut self, datagram: &'a [u8]) -> Result<Cow<'a, [u8]>, Rejected> {
        self.open(datagram, Opener::open_rtp)
    }

    /// Opens an RTCP packet of theirs, if it is to be sealed.
    ///
    /// # Errors
    /// When it is not to be read.
    pub fn open_rtcp<'a>(&mut self, datagram: &'a [u8]) -> Result<Cow<'a, [u8]>, Rejected> {
        self.open(datagram, Opener::open_rtcp)
    }

    fn open<'a>(
        &mut self,
        datagram: &'a [u8],
        open: fn(&mut Opener, &[u8]) -> Result<Vec<u8>, Rejected>,
    ) -> Result<Cow<'a, [u8]>, Rejected> {
        let Some(opener) = &mut self.opener else { return Ok(Cow::Borrowed(datagram)) };
        let rejected = match open(opener, datagram) {
            Ok(packet) => {
                self.retiring = None;
                return Ok(Cow::Owned(packet));
            }
            Err(rejected) => rejected,
        };
        let retiring = self.retiring.as_mut().ok_or(rejected)?;
        open(retiring, datagram).map(Cow::Owned).map_err(|_| rejected)
    }
}
