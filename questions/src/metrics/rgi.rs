//! The reliability gain index: `log10(dHum / dCon)` ("Towards Reliable Large Audio Language Model", arXiv 2505.19294).
//!
//! `dCon` and `dHum` are the shares of ALL items that were correct, or wrong, and no longer are. That, and not shares
//! of the correct and of the wrong items, gives the values that the paper prints.

/// RGI, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rgi {
    /// The value.
    Value(f64),
    /// Wrong answers went away and no correct one did: plus infinity.
    LostNothing,
    /// Correct answers went away and no wrong one did: minus infinity.
    GainedNothing,
    /// Neither: no value at all.
    ChangedNothing,
}

impl Rgi {
    /// RGI from the numbers of correct answers lost and of wrong answers that went away.
    #[must_use]
    pub fn of(lost: usize, gained: usize) -> Self {
        match (lost, gained) {
            (0, 0) => Self::ChangedNothing,
            (0, _) => Self::LostNothing,
            (_, 0) => Self::GainedNothing,
            (lost, gained) => Self::Value((gained as f64 / lost as f64).log10()),
        }
    }

    /// The value, if it is finite.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Why there is no value: `lost nothing` (plus infinity), `gained nothing` (minus infinity), `changed nothing`.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Value(_) => None,
            Self::LostNothing => Some("lost nothing"),
            Self::GainedNothing => Some("gained nothing"),
            Self::ChangedNothing => Some("changed nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rgi_has_a_value_or_a_reason() {
        assert_eq!(Rgi::of(1, 10).value(), Some(1.0));
        assert_eq!(Rgi::of(100, 1).value(), Some(-2.0));
        assert_eq!(Rgi::of(7, 7).value(), Some(0.0));
        for (lost, gained, reason) in
            [(0, 3, "lost nothing"), (3, 0, "gained nothing"), (0, 0, "changed nothing")]
        {
            let rgi = Rgi::of(lost, gained);
            assert_eq!((rgi.value(), rgi.reason()), (None, Some(reason)));
        }
    }
}
