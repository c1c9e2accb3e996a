//! Scripts that are written without spaces: where their words begin and end.
//!
//! A character of Han, Hiragana or Thai is a word of its own, a run of Katakana is one word, and Hangul, which has spaces,
//! is only split from other scripts (`B입니다`). An option of a few such characters counts only where its neighbours
//! cannot belong to the same word: the owl `猫头鹰` is no cat, `猫`.

/// The kinds of characters that words are split between.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Han,
    Hiragana,
    Katakana,
    Thai,
    Hangul,
    Other,
}

fn script(c: char) -> Script {
    match c {
        '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' | '々' | '〇' => {
            Script::Han
        }
        '\u{3041}'..='\u{309f}' => Script::Hiragana,
        '\u{30a1}'..='\u{30ff}' => Script::Katakana,
        '\u{e01}'..='\u{e4d}' => Script::Thai,
        '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}' => Script::Hangul,
        _ => Script::Other,
    }
}

/// Whether a character of `word` is of a script where words are not set apart by spaces, or have endings as in Korean.
pub(crate) fn is_unspaced(word: &str) -> bool {
    !word.is_ascii() && word.chars().any(|c| script(c) != Script::Other)
}

/// Splits `chunk`, which has no spaces, where its scripts change. Punctuation stays with the word that it is nearest to:
/// opening brackets with the next one, everything else with the one before.
pub(super) fn split(chunk: &str) -> Vec<&str> {
    if !is_unspaced(chunk) {
        return vec![chunk];
    }
    let mut pieces = Vec::new();
    let (mut start, mut last, mut opening): (usize, Option<Script>, Option<usize>) = (0, None, None);
    for (at, c) in chunk.char_indices() {
        if !c.is_alphanumeric() && script(c) == Script::Other {
            if "([{<\"'".contains(c) {
                opening = opening.or(Some(at));
            } else {
                opening = None;
            }
            continue;
        }
        let next = script(c);
        let alone = matches!(next, Script::Han | Script::Hiragana | Script::Thai);
        if last.is_some_and(|last| last != next || alone) {
            let cut = opening.unwrap_or(at);
            pieces.push(&chunk[start..cut]);
            start = cut;
        }
        (last, opening) = (Some(next), None);
    }
    pieces.push(&chunk[start..]);
    pieces
}

/// Characters that may stand right before a word of a few characters without being part of it.
const BEFORE: &str = "是为為有的像听聽见見到个個只隻种種条條头頭位名台部把首声聲音种于於似在和与與或用了这這那弹彈奏吹拉敲打类類即选選项項\
    案叫唱出现現含括以及非不没沒无無能定该該者为是在很更最太十分常挺比较較得";
/// Characters that may stand right after one.
const AFTER: &str = "的声聲音叫在吠鸣鳴了吗嗎吧呢啊哦和与與或而但因所是里裡中上弹彈演奏响響曲发發不没沒可正也都就，从從比之类類说說話话";

/// Characters that make another word of one of two characters: `钢琴家` is a person.
const SUFFIXES: &str = "家手师師员員队隊迷症化性学學器店式";

/// Whether the characters around words `start..end` of `text` cannot belong to the same word as those.
///
/// Only Han is looked at, and only options of one or two characters: in other scripts a word ends where the script or
/// the particle changes, and longer options are hardly ever part of another word.
pub(crate) fn is_bounded(words: &[super::Word], start: usize, end: usize) -> bool {
    let is_han = |word: &super::Word| word.text.chars().next().is_some_and(|c| script(c) == Script::Han);
    if end - start > 2 || !words[start..end].iter().all(is_han) {
        return true;
    }
    let goes_on = end < words.len() && !words[end - 1].ends_clause;
    if end - start == 2 {
        return !goes_on || !SUFFIXES.contains(words[end].text.as_str());
    }
    let allows = |word: &super::Word, allowed: &str| !is_han(word) || allowed.contains(word.text.as_str());
    let before = start == 0 || words[start - 1].ends_clause || allows(&words[start - 1], BEFORE);
    let after = end == words.len() || words[end - 1].ends_clause || allows(&words[end], AFTER);
    before && after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::text::words;

    #[test]
    fn a_chunk_is_split_where_scripts_change() {
        assert_eq!(split("答案是A"), ["答", "案", "是", "A"]);
        assert_eq!(split("(A)狗"), ["(A)", "狗"]);
        assert_eq!(split("答案:(A)狗"), ["答", "案:", "(A)", "狗"]);
        assert_eq!(split("ギターの音"), ["ギター", "の", "音"]);
        assert_eq!(split("B입니다."), ["B", "입니다."]);
        assert_eq!(split("R&B-F#"), ["R&B-F#"]);
        assert_eq!(split("ветер,"), ["ветер,"]);
    }

    #[test]
    fn a_short_word_of_han_is_none_inside_a_longer_one() {
        let bounded = |text: &str, option: &str| {
            let (text, option) = (words(text), words(option));
            let start = (0..text.len()).find(|&at| text[at].text == option[0].text).unwrap();
            is_bounded(&text, start, start + option.len())
        };
        for text in ["猫", "这是猫的叫声。", "有一只猫在叫", "猫、狗", "我认为是猫。"]
        {
            assert!(bounded(text, "猫"), "{text}");
        }
        for text in ["猫头鹰", "熊猫", "是猫头鹰的声音"] {
            assert!(!bounded(text, "猫"), "{text}");
        }
    }
}
