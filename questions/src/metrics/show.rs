//! How a number that may be undefined is written for people.

/// What stands for a number that is not defined.
pub const UNDEFINED: &str = "-";

/// The number with so many decimals, or [`UNDEFINED`].
#[must_use]
pub fn show(value: Option<f64>, decimals: usize) -> String {
    show_with(value, |value| format!("{value:.decimals$}"))
}

/// As [`show`], always with a sign.
#[must_use]
pub fn show_signed(value: Option<f64>, decimals: usize) -> String {
    show_with(value, |value| format!("{value:+.decimals$}"))
}

/// The value as `text` writes it, or [`UNDEFINED`].
#[must_use]
pub fn show_with<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_decimals_and_its_sign_and_an_undefined_one_is_a_dash() {
        assert_eq!([show(Some(12.345), 1), show(Some(-0.5), 2), show(None, 3)], ["12.3", "-0.50", "-"]);
        assert_eq!([show_signed(Some(0.2), 2), show_signed(None, 2)], ["+0.20", "-"]);
        assert_eq!(show_signed(Some(f64::INFINITY), 2), "+inf");
        assert_eq!(show_with(Some([1, 2]), |pair| format!("{pair:?}")), "[1, 2]");
    }
}
