//! Forms of a word that change nothing: possessives, plurals, Korean particles, hyphens.

use super::is_unspaced;

/// The parts of a word that is joined with hyphens; numbers stay whole.
pub(crate) fn hyphenated(word: &str) -> impl Iterator<Item = &str> {
    let splits = word.contains('-') && !word.contains(|c: char| c.is_ascii_digit()) && !word.starts_with('-');
    let whole = Some(word).filter(|_| !splits);
    whole.into_iter().chain(word.split('-').filter(move |part| splits && !part.is_empty()))
}

/// Whether `said` is `wanted` (`Some(true)`) or a form of it (`Some(false)`).
pub(crate) fn fits(said: &str, wanted: &str) -> Option<bool> {
    let can_not = |word: &str| matches!(word, "cannot" | "can't" | "cant");
    let is_not = wanted == "not" && (said.ends_with("n't") || said == "cannot");
    if said == wanted || is_not || (can_not(said) && can_not(wanted)) {
        return Some(true);
    }
    let possessive =
        said.strip_suffix("'s").or_else(|| said.strip_suffix('\'')).is_some_and(|stem| stem == wanted);
    (possessive
        || is_plural(said, wanted)
        || is_plural(wanted, said)
        || has_ending(said, wanted)
        || without_arabic_article(said) == without_arabic_article(wanted))
    .then_some(false)
}

/// Whether `plural` is an English plural of `word`, or its possessive.
fn is_plural(plural: &str, word: &str) -> bool {
    /// Words that only look like the singular of another one.
    const OTHERS: [&str; 4] = ["new", "mean", "mas", "doe"];
    let plural = plural.strip_suffix('\'').unwrap_or(plural);
    let Some(ending) = plural.strip_prefix(word) else { return false };
    let is_word = word.len() >= 3 && word.chars().all(|c| c.is_ascii_alphabetic()) && !OTHERS.contains(&word);
    let hisses = ["s", "x", "ch", "sh"].iter().any(|end| word.ends_with(end));
    is_word && ending == if hisses { "es" } else { "s" }
}

/// Whether `said` is the Korean word `wanted` with particles.
fn has_ending(said: &str, wanted: &str) -> bool {
    const PARTICLES: &str = "은 는 이 가 을 를 의 와 과 도 만 로 으로 에 에서 인 이나 나 랑 이랑 이다 입니다 입니다만 이에요 예요 이예요 이며 이고 이라고 라고 이라는 라는 인데 였습니다 이었습니다 일 \
        네요 이네요 죠 이죠 요 처럼 같은 같습니다 소리 소리가 소리를 소리는 소리입니다";
    is_unspaced(wanted)
        && said
            .strip_prefix(wanted)
            .is_some_and(|ending| PARTICLES.split(' ').any(|particle| particle == ending))
}

/// `word` without the Arabic article that is written together with it.
fn without_arabic_article(word: &str) -> &str {
    /// Shorter words may begin with these letters by themselves.
    const SHORTEST: usize = 3;
    word.strip_prefix("ال").filter(|stem| stem.chars().count() >= SHORTEST).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_a_word_is_told_from_another_word() {
        for (said, wanted) in [
            ("woman's", "woman"),
            ("dogs", "dog"),
            ("dog", "dogs"),
            ("dogs'", "dog"),
            ("boxes", "box"),
            ("기타입니다", "기타"),
            ("الكمان", "كمان"),
        ] {
            assert_eq!(fits(said, wanted), Some(false), "{said}");
        }
        assert_eq!(fits("dog", "dog"), Some(true));
        assert_eq!(fits("isn't", "not"), Some(true));
        for (said, wanted) in [
            ("news", "new"),
            ("bass", "bas"),
            ("as", "a"),
            ("f#", "f"),
            ("woman", "man"),
            ("기타리스트", "기타"),
        ] {
            assert_eq!(fits(said, wanted), None, "{said}");
        }
    }

    #[test]
    fn words_are_split_at_hyphens_and_numbers_are_not() {
        let parts = |word| hyphenated(word).collect::<Vec<_>>();
        assert_eq!(parts("dog-barking"), ["dog", "barking"]);
        assert_eq!(parts("-5"), ["-5"]);
        assert_eq!(parts("4-5"), ["4-5"]);
        assert_eq!(parts("dog"), ["dog"]);
    }
}
