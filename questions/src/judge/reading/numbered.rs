//! Options that a reply names by their place: `option 3`, `the second choice`.

use crate::judge::text::Word;

const NAMES: [&str; 2] = ["option", "choice"];
const PLACES: [[&str; 3]; 5] = [
    ["1", "one", "first"],
    ["2", "two", "second"],
    ["3", "three", "third"],
    ["4", "four", "fourth"],
    ["5", "five", "fifth"],
];

/// `reply` with letters instead of places: `option 3` and `the third option` become `option C`. Where an option has a
/// number itself, nothing changes.
pub(crate) fn lettered(reply: Vec<Word>, options: &[Vec<Word>]) -> Vec<Word> {
    let is_name = |word: Option<&Word>| word.is_some_and(|word| NAMES.contains(&word.text.as_str()));
    let is_number = |word: &Word| PLACES.iter().any(|place| place.contains(&word.text.as_str()));
    if !reply.iter().any(|word| is_name(Some(word))) || options.iter().flatten().any(is_number) {
        return reply;
    }
    let mut lettered = Vec::with_capacity(reply.len());
    let mut at = 0;
    while let Some(word) = reply.get(at) {
        let place = |form: &Word| place(form, options.len());
        let number = usize::from(reply.get(at + 1).is_some_and(|word| word.text == "number"));
        let after = reply.get(at + 1 + number).and_then(|word| place(word).filter(|&(_, ordinal)| !ordinal));
        match (is_name(Some(word)), after, place(word)) {
            // `option 3`, `choice number two`
            (true, Some((choice, _)), _) if !word.ends_clause => {
                lettered.extend([word.clone(), letter(choice, &reply[at + 1 + number])]);
                at += 2 + number;
            }
            // `the third option`
            (_, _, Some((choice, true))) if is_name(reply.get(at + 1)) && !word.ends_clause => {
                let name =
                    Word { ends_clause: false, ends_sentence: false, ends_line: false, ..word.clone() };
                lettered.push(Word { text: NAMES[0].into(), ..name });
                lettered.push(letter(choice, &reply[at + 1]));
                at += 2;
            }
            _ => {
                lettered.push(word.clone());
                at += 1;
            }
        }
    }
    lettered
}

/// The option of `options` whose place `word` names, and whether it is an ordinal.
fn place(word: &Word, options: usize) -> Option<(usize, bool)> {
    if word.text == "last" && options > 0 {
        return Some((options - 1, true));
    }
    let form = |forms: &[&str; 3]| forms.iter().position(|form| *form == word.text);
    let found = PLACES.iter().take(options).enumerate();
    found.filter_map(|(choice, forms)| Some((choice, form(forms)? == 2))).next()
}

/// The letter of option `choice`, with the punctuation of `word`.
fn letter(choice: usize, word: &Word) -> Word {
    Word {
        text: crate::question::letter(choice).to_ascii_lowercase().to_string().into(),
        upper: true,
        ..word.clone()
    }
}
