//! Token rows of different lengths as one left-padded batch.

/// A batch of token rows, padded on the left to one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    /// `[batch][seq]` token ids, audio placeholders expanded to one per audio row.
    pub ids: Vec<Vec<u32>>,
    /// `[batch][seq]`, true for a real token, false for padding.
    pub mask: Vec<Vec<bool>>,
}

impl TokenBatch {
    /// Pads every row on the left to the longest. On the left, because then every row's last token is at the same place.
    pub fn left_padded(rows: &[Vec<u32>], pad_id: u32) -> Self {
        let seq = rows.iter().map(Vec::len).max().unwrap_or(0);
        let pad = |row: &Vec<u32>| seq - row.len();
        Self {
            ids: rows.iter().map(|row| [vec![pad_id; pad(row)], row.clone()].concat()).collect(),
            mask: rows.iter().map(|row| [vec![false; pad(row)], vec![true; row.len()]].concat()).collect(),
        }
    }

    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// Tokens per row, padding included.
    pub fn seq(&self) -> usize {
        self.ids.first().map_or(0, Vec::len)
    }
}

/// Position of every new token of a row: the number of real tokens before it in the row, `start` of them already cached.
///
/// Padding gets the position of the next real token; it is masked, so the value only has to be a valid one.
pub(crate) fn positions(mask: &[bool], start: usize) -> Vec<i32> {
    let mut next = start as i32;
    mask.iter()
        .map(|&real| {
            let position = next;
            next += i32::from(real);
            position
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_rows_are_padded_on_the_left_and_masked_there() {
        let batch = TokenBatch::left_padded(&[vec![5], vec![6, 7, 8]], 9);
        assert_eq!(batch.ids, [[9, 9, 5], [6, 7, 8]]);
        assert_eq!(batch.mask, [[false, false, true], [true, true, true]]);
    }

    #[test]
    fn the_first_real_token_has_the_first_free_position() {
        assert_eq!(positions(&[false, false, true, true], 0), [0, 0, 0, 1]);
        assert_eq!(positions(&[true, true, false], 7), [7, 8, 9]);
    }
}
