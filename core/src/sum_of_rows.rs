//! Whether two tables of any length have the same rows.

use std::fmt;

use sha2::{Digest, Sha256};

/// A sum over hashes of rows, in any order: two tables of any length have the same rows if they have the same sum.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SumOfRows {
    rows: u64,
    hashes: [u128; 2],
}

impl SumOfRows {
    /// A row that is known by how it is debugged.
    pub fn add(&mut self, row: &impl fmt::Debug) {
        self.add_bytes(format!("{row:?}").as_bytes());
    }

    /// A row that is known by these bytes.
    pub fn add_bytes(&mut self, row: &[u8]) {
        self.rows += 1;
        let hash: [u8; 32] = Sha256::digest(row).into();
        for (sum, half) in self.hashes.iter_mut().zip(hash.chunks_exact(16)) {
            let half = half.first_chunk().copied().map(u128::from_be_bytes).unwrap_or_default();
            *sum = sum.wrapping_add(half);
        }
    }
}
