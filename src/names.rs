//! Whether a name that somebody has typed is that of an account's owner: match, close match, or no match (Confirmation of
//! Payee).

use coffer_core::text;

/// How a typed name compares with the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The same but for case, accents, spaces, punctuation and the order of its words.
    Match,
    /// So like it that whoever typed it knows the person: a slip of the keys, or an initial in place of a first name.
    Close,
    None,
}

/// Letters for each slip that a close match may have.
const LETTERS_PER_SLIP: usize = 6;
/// The shortest last name that counts with an initial: shorter ones are guessed.
const SHORTEST_LAST_NAME: usize = 3;

/// Compares a typed name with the real one.
pub fn compare(typed: &str, real: &str) -> Likeness {
    let (typed, real) = (words(typed), words(real));
    if typed.is_empty() || real.is_empty() {
        return Likeness::None;
    }
    let (sorted_typed, sorted_real) = (sorted(&typed), sorted(&real));
    if sorted_typed == sorted_real {
        return Likeness::Match;
    }
    let slips_allowed = sorted_real.chars().count() / LETTERS_PER_SLIP;
    let is_misspelt = strsim::osa_distance(&sorted_typed, &sorted_real) <= slips_allowed;
    if is_misspelt || is_with_initial(&typed, &real) { Likeness::Close } else { Likeness::None }
}

/// The words of a name, folded, with nothing but letters and digits.
fn words(name: &str) -> Vec<String> {
    let plain = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let folded = text::fold(name).replace(['-', '.', ',', '’', '\''], " ");
    folded.split_whitespace().map(plain).filter(|word| !word.is_empty()).collect()
}

fn sorted(words: &[String]) -> String {
    let mut words = words.to_vec();
    words.sort_unstable();
    words.join(" ")
}

/// `A Lovelace` for Ada Lovelace, and `Ada Lovelace` for Ada Augusta Lovelace: the last name, and of the first its beginning.
fn is_with_initial(typed: &[String], real: &[String]) -> bool {
    let ([first_typed, .., last_typed], [first_real, .., last_real]) = (typed, real) else { return false };
    let is_initial =
        first_typed == first_real || first_typed.chars().count() == 1 && first_real.starts_with(&**first_typed);
    last_typed == last_real && last_real.chars().count() >= SHORTEST_LAST_NAME && is_initial
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_compare_as_people_do() {
        for (typed, real, likeness) in [
            ("Ada Lovelace", "Ada Lovelace", Likeness::Match),
            ("  lovelace, ADA ", "Ada Lovelace", Likeness::Match),
            ("Mesut Ozil", "Mesut Özil", Likeness::Match),
            ("Jean Luc Picard", "Jean-Luc Picard", Likeness::Match),
            ("Ada Lovelase", "Ada Lovelace", Likeness::Close),
            ("Ada Lovealce", "Ada Lovelace", Likeness::Close),
            ("A Lovelace", "Ada Lovelace", Likeness::Close),
            ("A. Lovelace", "Ada Augusta Lovelace", Likeness::Close),
            ("Ada Lovelace", "Ada Augusta Lovelace", Likeness::Close),
            ("Lovelace", "Ada Lovelace", Likeness::None),
            ("Ada", "Ada Lovelace", Likeness::None),
            ("B Lovelace", "Ada Lovelace", Likeness::None),
            ("Charles Babbage", "Ada Lovelace", Likeness::None),
            ("A B", "Al Bo", Likeness::None),
            ("", "Ada Lovelace", Likeness::None),
            ("...", "Ada Lovelace", Likeness::None),
        ] {
            assert_eq!(compare(typed, real), likeness, "{typed} for {real}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_every_name_matches_itself(typed in "\\PC{0,40}", real in "\\PC{0,40}") {
            let _ = compare(&typed, &real);
            let is_nothing = words(&real).is_empty();
            prop_assert_eq!(compare(&real, &real), if is_nothing { Likeness::None } else { Likeness::Match });
        }

        /// A short guess leads to no longer name.
        #[test]
        fn one_letter_is_never_close(letter in "[a-z]", real in "[A-Z][a-z]{3,10} [A-Z][a-z]{3,10}") {
            prop_assert_eq!(compare(&letter, &real), Likeness::None);
        }
    }
}
