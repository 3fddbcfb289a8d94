//! Whether two tables of any length have the same rows.

use sha2::{Digest, Sha256};

/// A sum over hashes of rows, in any order: two tables of any length have the same rows if they have the same sum.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SumOfRows {
    rows: u64,
    hashes: [u128; 2],
}

impl SumOfRows {
    pub fn add(&mut self, row: &impl std::fmt::Debug) {
        self.rows += 1;
        let hash: [u8; 32] = Sha256::digest(format!("{row:?}")).into();
        for (sum, half) in self.hashes.iter_mut().zip(hash.chunks_exact(16)) {
            let half = half.first_chunk().copied().map(u128::from_be_bytes).unwrap_or_default();
            *sum = sum.wrapping_add(half);
        }
    }
}
