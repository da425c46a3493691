//! The keyed cell mask: a logistic map in IEEE doubles.
//!
//! Cell `k` of a matrix, counted row by row, is XORed with bit `k % 8`, least
//! significant first, of key byte `k / 8`. The stream starts afresh for every
//! matrix and depends on its side only through `k`, so one table of 32-bit
//! words serves the 32 by 32 image and, cut short, both symbols.

use crate::matrix::FIELD_SIDE;

const KEY_BYTES: usize = FIELD_SIDE * FIELD_SIDE / 8;

/// The mask as 32-bit words, first cell in the top bit: the rows of an image,
/// and the consecutive 32-cell groups of a symbol.
pub(crate) const MASK: [u32; FIELD_SIDE] = words(&key());

/// Computed by the compiler, whose double arithmetic is exact IEEE 754 on every
/// host. The map is chaotic: `x - x * x` differs from byte 44 on, and single
/// precision from byte 16, so the form of the expression must stay.
const fn key() -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let mut x = 0.1_f64;
    let mut i = 0;
    while i < KEY_BYTES {
        // x is in 0..=1, where the conversion is the floor.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 <= x <= 1, so the product fits a byte"
        )]
        {
            key[i] = (x * 255.0) as u8;
        }
        x = 4.0 * x * (1.0 - x);
        i += 1;
    }
    key
}

const fn words(key: &[u8; KEY_BYTES]) -> [u32; FIELD_SIDE] {
    let mut words = [0; FIELD_SIDE];
    let mut i = 0;
    while i < FIELD_SIDE {
        let at = 4 * i;
        // Reversing the four bytes and then all bits puts bit 0 of the first
        // byte on top.
        words[i] =
            u32::from_le_bytes([key[at], key[at + 1], key[at + 2], key[at + 3]]).reverse_bits();
        i += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words() {
        assert_eq!(
            MASK[..4],
            [0x98da_d792, 0x8ba9_ef38, 0x66af_a401, 0x7f00_0080]
        );
        assert_eq!(
            MASK[28..],
            [0x3ced_b3f9, 0x77bc_dde3, 0xb5bb_2ebf, 0xe038_26cf]
        );
    }

    #[test]
    fn known_key_bytes() {
        let key = key();
        assert_eq!(key[..8], [0x19, 0x5b, 0xeb, 0x49, 0xd1, 0x95, 0xf7, 0x1c]);
        assert_eq!(key[120..], [0xad, 0xdd, 0x74, 0xfd, 0x07, 0x1c, 0x64, 0xf3]);
    }

    #[test]
    fn the_machine_computes_what_the_compiler_computed() {
        let mut x = std::hint::black_box(0.1_f64);
        let mut bytes = Vec::new();
        for _ in 0..KEY_BYTES {
            bytes.push((x * 255.0).floor());
            x = 4.0 * x * (1.0 - x);
        }
        assert!(key().iter().map(|&byte| f64::from(byte)).eq(bytes));
    }
}
