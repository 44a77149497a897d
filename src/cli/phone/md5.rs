//! MD5 (RFC 1321), for digest authentication as most trunks still speak it. Not for secrets of
//! one's own.

/// The hash of `message`.
pub(super) fn md5(message: &[u8]) -> [u8; 16] {
    let mut padded = message.to_vec();
    // RFC 1321, Sections 3.1 and 3.2: a one bit, zeros, and the length in bits.
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() < message.len() + 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let bits = (message.len() as u64).wrapping_mul(8).to_le_bytes();
    padded.truncate(padded.len() - bits.len());
    padded.extend(bits);
    let start = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let end = padded.as_chunks::<64>().0.iter().fold(start, block);
    end.map(u32::to_le_bytes).as_flattened().try_into().unwrap_or_default()
}

/// One block of 16 words (RFC 1321, Section 3.4).
fn block(state: [u32; 4], octets: &[u8; 64]) -> [u32; 4] {
    const SHIFTS: [[u32; 4]; 4] =
        [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let words: Vec<u32> =
        octets.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let [mut a, mut b, mut c, mut d] = state;
    let rounds = SHIFTS.iter().enumerate().flat_map(|(round, shifts)| {
        shifts.iter().cycle().take(16).enumerate().map(move |(step, shift)| (round, step, *shift))
    });
    for (round, step, shift) in rounds {
        let (mixed, word) = match round {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        // "Let T[i] denote the i-th element of the table, which is equal to the integer part of
        // 4294967296 times abs(sin(i)), where i is in radians."
        let angle = (16 * round + step + 1) as f64;
        let sine = (angle.sin().abs() * 4_294_967_296.0) as u32;
        let word = words.get(word % 16).copied().unwrap_or(0);
        let sum = a.wrapping_add(mixed).wrapping_add(word).wrapping_add(sine);
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
    }
    let [a0, b0, c0, d0] = state;
    [a0.wrapping_add(a), b0.wrapping_add(b), c0.wrapping_add(c), d0.wrapping_add(d)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_suite_of_rfc_1321() {
        let digits = "1234567890".repeat(8);
        for (text, expected) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (&digits, "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            let hash: String = md5(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hash, expected, "{text}");
        }
    }

    #[test]
    fn every_length_of_the_last_block_is_padded() {
        for (length, expected) in [(55, "ef"), (56, "3b"), (63, "b0"), (64, "01")] {
            let first = md5(&vec![b'a'; length]).first().map(|byte| format!("{byte:02x}"));
            assert_eq!(first.as_deref(), Some(expected), "{length}");
        }
    }
}
