//! Text that people write and other people read: names, labels, descriptions, reasons, and what is searched for.
//!
//! One policy for all of it, applied once, when a field is parsed:
//!
//! - Every character that shows as an empty space (Unicode's `White_Space`, the empty Braille cell) becomes a plain
//!   space. Spaces at either end go.
//! - The text is in normalization form C (UAX #15): what looks the same and means the same is stored, compared and
//!   hashed as the same, whichever keyboard it came from. Its length is counted in characters after that.
//! - At least one character is visible by itself: not a space, not a combining mark.
//! - Nothing hides: no control characters and line breaks, no format characters, among them those that reorder what
//!   follows (Trojan Source, CVE-2021-42574), no other character that shows nothing, no private use, no noncharacters.
//!   Two kinds of invisible characters are needed for writing and stay where they do what they are for: a joiner
//!   between two visible characters or behind a virama (Persian, Hindi, Malayalam, emoji), and one variation selector
//!   behind a visible character.
//!
//! Characters that Unicode has yet to assign pass, because the next phones will send them; they show as a box.
//!
//! [`fold`] makes of a text what searches compare. Passwords are no text in this sense: nothing changes them.

use std::borrow::Cow;
use std::fmt;

use icu_normalizer::properties::CanonicalCombiningClassMap;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, NoncharacterCodePoint, VariationSelector};
use icu_properties::{CodePointMapData, CodePointSetData};
use serde::{Deserialize, Deserializer, de};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::problem_code::ProblemCode;

/// In characters, as all of these. The longest name of a person in the passports of ICAO 9303 has 39.
pub const MAX_NAME_LENGTH: usize = 100;
const MAX_LABEL_LENGTH: usize = 50;
/// As long as the unstructured remittance information of a SEPA credit transfer (pain.001 `Ustrd`).
pub const MAX_DESCRIPTION_LENGTH: usize = 140;
/// A UUID fits, and so does the number of an invoice with what comes before it.
pub const MAX_REFERENCE_LENGTH: usize = 64;
/// Of a note on a customer.
pub const MAX_NOTE_LENGTH: usize = 1_000;

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const EMPTY_BRAILLE_CELL: char = '\u{2800}';
/// The canonical combining class of a virama, which makes conjuncts of the letters around it.
const VIRAMA: u8 = 9;

/// Declares types of text: what each is for, its length, its codes for [`Fault`], and an example.
macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident, $max:expr, [$($code:ident),+], $example:literal;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: String) -> Result<Self, TextError> {
                match clean(&text, $max).map_err(|fault| TextError { codes: [$(ProblemCode::$code),+], fault })? {
                    Cow::Borrowed(same) if same.len() == text.len() => Ok(Self(text)),
                    cleaned => Ok(Self(cleaned.into_owned())),
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                schema($max, concat!($($doc,)+), $example).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )*};
}

texts! {
    /// The name of a person.
    Name, MAX_NAME_LENGTH, [NameBlank, NameTooLong, NameControlCharacters], "Ada Lovelace";
    /// The name that its owner gives an account.
    Label, MAX_LABEL_LENGTH, [LabelBlank, LabelTooLong, LabelControlCharacters], "Savings";
    /// The name of an account of the bank's own.
    BankAccountName, MAX_NAME_LENGTH, [NameBlank, NameTooLong, NameControlCharacters], "Fees earned";
    /// The name of an API key, by which its owner tells it from others.
    ApiKeyName, MAX_NAME_LENGTH, [NameBlank, NameTooLong, NameControlCharacters], "Web shop";
    /// The description of a movement, as statements show it.
    Description, MAX_DESCRIPTION_LENGTH,
    [DescriptionBlank, DescriptionTooLong, DescriptionControlCharacters], "Salary";
    /// What staff note on a customer.
    NoteText, MAX_NOTE_LENGTH, [NoteBlank, NoteTooLong, NoteControlCharacters], "Called about a lost card; identity checked.";
    /// Why somebody of the staff did something.
    Reason, MAX_DESCRIPTION_LENGTH, [ReasonBlank, ReasonTooLong, ReasonControlCharacters], "Booked twice";
    /// The reference of a movement, which names one of the requester's for good.
    Reference, MAX_REFERENCE_LENGTH, [ReferenceBlank, ReferenceTooLong, ReferenceControlCharacters], "INV-2026-0042";
    /// The group that the movements of a batch share.
    Group, MAX_REFERENCE_LENGTH, [GroupBlank, GroupTooLong, GroupControlCharacters], "PAYROLL-2026-01";
    /// The value of a pair of metadata.
    MetadataValue, MAX_DESCRIPTION_LENGTH,
    [MetadataBlank, MetadataTooLong, MetadataControlCharacters], "42";
    /// Part of a name or of an address, or the number of an account.
    UserSearch, MAX_NAME_LENGTH, [SearchBlank, SearchTooLong, SearchControlCharacters], "ada";
    /// Part of a description.
    DescriptionSearch, MAX_DESCRIPTION_LENGTH, [TextBlank, TextTooLong, TextControlCharacters], "rent";
}

/// Why a text was refused. Prints as `code: what to send instead`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {fault}", fault.code(*codes))]
pub struct TextError {
    codes: [ProblemCode; 3],
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("send at least one visible character")]
    Blank,
    #[error("send at most {max} characters")]
    TooLong { max: usize },
    #[error("leave out {}", Named(*.0))]
    Hidden(char),
}

impl Fault {
    fn code(self, [blank, too_long, hidden]: [ProblemCode; 3]) -> ProblemCode {
        match self {
            Self::Blank => blank,
            Self::TooLong { .. } => too_long,
            Self::Hidden(_) => hidden,
        }
    }
}

/// The text as the policy has it, or why it cannot be had.
fn clean(text: &str, max: usize) -> Result<Cow<'_, str>, Fault> {
    // Most texts are plain ASCII, about which there is nothing to look up.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let cleaned = if is_plain { Cow::Borrowed(text.trim_matches(' ')) } else { Cow::Owned(composed(text)) };
    let is_blank = if is_plain { cleaned.is_empty() } else { !cleaned.chars().any(is_visible_alone) };
    if is_blank {
        return Err(Fault::Blank);
    }
    if cleaned.chars().count() > max {
        return Err(Fault::TooLong { max });
    }
    match hidden_character(&cleaned).filter(|_| !is_plain) {
        Some(character) => Err(Fault::Hidden(character)),
        None => Ok(cleaned),
    }
}

/// In normalization form C, with plain spaces, and none at either end.
fn composed(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if is_empty_space(c) { ' ' } else { c }).collect();
    ComposingNormalizer::new_nfc().normalize(&spaced).trim_matches(' ').to_owned()
}

/// The first character that may not stand where it does.
fn hidden_character(text: &str) -> Option<char> {
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let may_stand = if is_joiner(c) {
            let is_between = has_shape(before) && characters.peek().is_some_and(|next| has_shape(*next));
            is_between || (c == ZERO_WIDTH_JOINER && is_virama(before))
        } else if is_variation_selector(c) {
            has_shape(before)
        } else {
            !is_hidden(c)
        };
        if !may_stand {
            return Some(c);
        }
        // A joiner looks past a selector at the character that it varies, but a second selector does not.
        let is_looked_past =
            is_variation_selector(c) && !characters.peek().is_some_and(|next| is_variation_selector(*next));
        if !is_looked_past {
            before = c;
        }
    }
    None
}

/// Seen by itself, on an empty line.
fn is_visible_alone(c: char) -> bool {
    has_shape(c) && !is_mark(c)
}

/// Seen, if perhaps only with the character that it is on.
fn has_shape(c: char) -> bool {
    !(is_empty_space(c) || is_joiner(c) || is_variation_selector(c) || is_hidden(c))
}

/// As wide as a letter and empty. Line breaks and tabs are control characters.
fn is_empty_space(c: char) -> bool {
    c == EMPTY_BRAILLE_CELL || (c.is_whitespace() && !is_hidden(c))
}

fn is_joiner(c: char) -> bool {
    matches!(c, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER)
}

/// Chooses between the looks of the character before: text or emoji, one form of an ideograph or another.
fn is_variation_selector(c: char) -> bool {
    CodePointSetData::new::<VariationSelector>().contains(c)
}

fn is_virama(c: char) -> bool {
    CanonicalCombiningClassMap::new().get_u8(c) == VIRAMA
}

/// Shows nothing, or changes how other characters show. Joiners and variation selectors are among them.
fn is_hidden(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator, PrivateUse};
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, Control | Format | LineSeparator | ParagraphSeparator | PrivateUse)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
        // Stands for what was not copied along; and a note without a head, which no property tells of.
        || matches!(c, '\u{fffc}' | '\u{1d159}')
}

fn is_mark(c: char) -> bool {
    use GeneralCategory::{EnclosingMark, NonspacingMark, SpacingMark};
    matches!(CodePointMapData::<GeneralCategory>::new().get(c), NonspacingMark | SpacingMark | EnclosingMark)
}

/// A character that cannot be seen, for people: `U+202E (RIGHT-TO-LEFT OVERRIDE)`.
struct Named(char);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.0;
        let name = match c {
            '\0' => "NULL",
            '\t' => "TAB",
            '\n' => "LINE FEED",
            '\r' => "CARRIAGE RETURN",
            '\u{1b}' => "ESCAPE",
            '\u{85}' => "NEXT LINE",
            '\u{ad}' => "SOFT HYPHEN",
            '\u{61c}' => "ARABIC LETTER MARK",
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => "HANGUL FILLER",
            '\u{200b}' => "ZERO WIDTH SPACE",
            ZERO_WIDTH_NON_JOINER => "ZERO WIDTH NON-JOINER",
            ZERO_WIDTH_JOINER => "ZERO WIDTH JOINER",
            '\u{200e}' => "LEFT-TO-RIGHT MARK",
            '\u{200f}' => "RIGHT-TO-LEFT MARK",
            '\u{2028}' => "LINE SEPARATOR",
            '\u{2029}' => "PARAGRAPH SEPARATOR",
            '\u{202a}' => "LEFT-TO-RIGHT EMBEDDING",
            '\u{202b}' => "RIGHT-TO-LEFT EMBEDDING",
            '\u{202c}' => "POP DIRECTIONAL FORMATTING",
            '\u{202d}' => "LEFT-TO-RIGHT OVERRIDE",
            '\u{202e}' => "RIGHT-TO-LEFT OVERRIDE",
            '\u{2060}' => "WORD JOINER",
            '\u{2066}' => "LEFT-TO-RIGHT ISOLATE",
            '\u{2067}' => "RIGHT-TO-LEFT ISOLATE",
            '\u{2068}' => "FIRST STRONG ISOLATE",
            '\u{2069}' => "POP DIRECTIONAL ISOLATE",
            '\u{feff}' => "BYTE ORDER MARK",
            c if c.is_control() => "a control character",
            c if is_variation_selector(c) => "a variation selector without a character to vary",
            _ => "a character that cannot be seen",
        };
        write!(f, "U+{:04X} ({name})", u32::from(c))
    }
}

/// The text on one line of at most `max` characters, with whatever hides written out as `\u{202e}`. For what anybody
/// may have sent and the audit log quotes.
pub fn quoted(text: &str, max: usize) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars().take(max) {
        if is_hidden(c) && !is_joiner(c) && !is_variation_selector(c) {
            quoted.extend(c.escape_unicode());
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// The form of a text that searches compare: the same for texts that differ only in upper and lower case, accents,
/// ligatures, widths or spaces, so that `ozil` finds Özil, `lukasz` Łukasz and `STRASSE` Straße. Made here and not in
/// SQL, because SQLite folds ASCII alone and PostgreSQL by its locale. Texts from before the policy fold as if they had
/// followed it.
pub fn fold(text: &str) -> String {
    let decomposed = DecomposingNormalizer::new_nfkd().normalize(text);
    let mut plain = String::with_capacity(decomposed.len());
    // By way of upper case, so that ß and SS are one, and final sigma is a sigma; lower case first, because of ẞ.
    let lower = decomposed.chars().filter(|c| counts_in_searches(*c)).flat_map(char::to_lowercase);
    for c in lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase) {
        match plain_letters(c) {
            Some(letters) => plain.push_str(letters),
            None => plain.push(if is_empty_space(c) { ' ' } else { c }),
        }
    }
    // Marks that are part of a letter, such as が, and the syllables of Korean belong together again.
    let composed = ComposingNormalizer::new_nfc().normalize(&plain);
    composed.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Not an accent of Latin, Greek or Cyrillic, and nothing that cannot be seen.
fn counts_in_searches(c: char) -> bool {
    const COMBINING_DIACRITICAL_MARKS: std::ops::RangeInclusive<char> = '\u{300}'..='\u{36f}';
    !(COMBINING_DIACRITICAL_MARKS.contains(&c) || is_hidden(c))
}

/// Letters that Unicode does not decompose and keyboards elsewhere lack, and signs that are typed in several ways.
fn plain_letters(c: char) -> Option<&'static str> {
    Some(match c {
        'ł' => "l",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ŧ' => "t",
        'þ' => "th",
        'æ' => "ae",
        'œ' => "oe",
        '‘' | '’' | 'ʼ' | '`' | '´' => "'",
        '‐' | '‑' | '‒' | '–' | '—' => "-",
        _ => return None,
    })
}

impl UserSearch {
    pub fn folded(&self) -> String {
        fold_search(&self.0)
    }
}

impl DescriptionSearch {
    pub fn folded(&self) -> String {
        fold_search(&self.0)
    }
}

/// Accents alone fold to nothing, which every text has in it; they stay, and are found nowhere.
fn fold_search(text: &str) -> String {
    let folded = fold(text);
    if folded.is_empty() { text.to_owned() } else { folded }
}

/// The hidden characters of the Basic Multilingual Plane but joiners and variation selectors, as a class of a regular
/// expression. Beyond that plane, ECMA-262 and other dialects have no common way to write a character without showing
/// it.
macro_rules! hidden_class {
    () => {
        r"\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ue000-\uf8ff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff"
    };
}

/// True of every text that the policy lets through, and of few others: it cannot tell where a joiner or a variation
/// selector may stand, a mark from a letter, or what hides beyond the Basic Multilingual Plane.
const PATTERN: &str = concat!(
    "^[^",
    hidden_class!(),
    r"]*[^\s\u180b-\u180f\u200c\u200d\u2800\ufe00-\ufe0f",
    hidden_class!(),
    "][^",
    hidden_class!(),
    "]*$"
);

fn schema(max: usize, description: &str, example: &str) -> Object {
    let rules = format!(
        "{} Up to {max} characters after normalization (NFC), at least one of them visible; no control and format \
         characters and nothing else that cannot be seen, but joiners within words and variation selectors.",
        description.trim()
    );
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(rules))
        .min_length(Some(1))
        .max_length(Some(max))
        .pattern(Some(PATTERN))
        .examples([example])
        .build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Result<String, String> {
        Name::parse(text.to_owned()).map(String::from).map_err(|error| error.fault.code(error.codes).name().to_owned())
    }

    #[test]
    fn texts_of_every_script_pass_as_they_are() {
        for text in [
            "Ada Lovelace",
            "Özil",
            "Анна Каренина",
            "Ωμέγα",
            "山田 太郎",
            "김철수",
            "محمد علی",
            "می\u{200c}خواهم",
            "क\u{94d}\u{200d}ष",
            "മോഹന\u{d4d}\u{200d}",
            "র\u{200d}\u{9cd}যাব",
            "葛\u{e0100}城市",
            "Nguyễn Thị Ánh",
            "👩\u{200d}💻",
            "❤\u{fe0f}\u{200d}🔥",
            "🏳\u{fe0f}\u{200d}🌈 1\u{fe0f}\u{20e3}",
            "\u{378}",
            "O’Brien — 100 %",
            "+",
        ] {
            assert_eq!(name(text), Ok(text.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn spaces_and_compositions_are_made_one() {
        for (text, parsed) in [
            ("  Ada \u{3000}", "Ada"),
            ("山田\u{3000}太郎", "山田 太郎"),
            ("100\u{202f}%\u{a0}", "100 %"),
            ("\u{2800}Ada\u{2800}L", "Ada L"),
            ("O\u{308}zil", "Özil"),
            ("\u{212b}\u{212a}\u{2126}", "ÅKΩ"),
            ("Nguye\u{302}\u{303}n", "Nguyễn"),
        ] {
            assert_eq!(name(text), Ok(parsed.to_owned()), "{text:?}");
        }
        let (composed, decomposed) = ("é".repeat(MAX_NAME_LENGTH), "e\u{301}".repeat(MAX_NAME_LENGTH));
        assert_eq!(name(&decomposed), Ok(composed.clone()));
        assert_eq!(name(&format!("{composed}e")), Err("name_too_long".to_owned()));
        assert_eq!(name(&"𝒳".repeat(MAX_NAME_LENGTH)), Ok("𝒳".repeat(MAX_NAME_LENGTH)));
    }

    #[test]
    fn texts_that_show_nothing_are_blank() {
        let nothing = [
            "",
            " ",
            "\u{a0}",
            "\u{3000}\u{2003}",
            "\u{2800}",
            "\u{200b}",
            "\u{200d}",
            "\u{feff}",
            "\u{3164}",
            "\u{115f}",
            "\u{ad}",
            "\u{301}",
            "\u{903}",
            "\u{fe0f}",
            "\u{e0001}",
            "\u{202e}",
            "\n",
            "\0",
            "\u{fffc}",
            "\u{e000}",
            "\u{2028}\u{200b} \u{2060}",
        ];
        for text in nothing {
            assert_eq!(name(text), Err("name_blank".to_owned()), "{text:?}");
        }
    }

    #[test]
    fn texts_that_hide_something_are_refused_by_name() {
        for hidden in (0..=0x0010_ffff).filter_map(char::from_u32).filter(|c| is_hidden(*c) && !c.is_control()) {
            let (inside, behind) = (name(&format!("Ada{hidden}L")), name(&format!("Ada{hidden}")));
            let may_stand = is_joiner(hidden) || is_variation_selector(hidden);
            assert_eq!(inside.is_ok(), may_stand, "{hidden:?}");
            assert_eq!(behind.is_ok(), is_variation_selector(hidden), "{hidden:?}");
        }
        for (text, detail) in [
            ("Rent\u{202e}001", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
            ("a\nb", "U+000A (LINE FEED)"),
            ("a\u{2028}b", "U+2028 (LINE SEPARATOR)"),
            ("a\u{200d}", "U+200D (ZERO WIDTH JOINER)"),
            ("a\u{200c}\u{200c}b", "U+200C (ZERO WIDTH NON-JOINER)"),
            ("\u{fe0f}a", "U+FE0F (a variation selector without a character to vary)"),
            ("a\u{fe0f}\u{fe0f}", "U+FE0F (a variation selector without a character to vary)"),
            ("a\u{e000}", "U+E000 (a character that cannot be seen)"),
            ("a\u{7}", "U+0007 (a control character)"),
        ] {
            let refused = Name::parse(text.to_owned()).map_err(|error| error.to_string());
            assert_eq!(refused, Err(format!("name_control_characters: leave out {detail}")), "{text:?}");
        }
    }

    #[test]
    fn what_the_audit_log_quotes_is_one_line_in_order() {
        assert_eq!(quoted("a\u{202e}b\nc", 300), "a\\u{202e}b\\u{a}c");
        assert_eq!(quoted("می\u{200c}خواهم", 3), "می\u{200c}");
    }

    #[test]
    fn people_are_found_however_their_names_are_typed() {
        for (stored, typed) in [
            ("Mesut Özil", "ozil"),
            ("Mesut Özil", "O\u{308}ZIL"),
            ("Анна", "анна"),
            ("Фёдор", "Федор"),
            ("Élodie", "elodie"),
            ("Ωμέγα", "ΩΜΕΓΑ"),
            ("Ωμέγα", "\u{2126}μεγα"),
            ("Οδυσσεύς", "ΟΔΥΣΣΕΥΣ"),
            ("Łukasz", "lukasz"),
            ("Straße", "STRASSE"),
            ("GROẞ", "gross"),
            ("İbrahim Işık", "ibrahim isik"),
            ("Søren Ærø", "soren aero"),
            ("Ðorđe", "dorde"),
            ("Nguyễn", "nguyen"),
            ("O’Brien", "o'brien"),
            ("Jean–Luc", "jean-luc"),
            ("ＡＤＡ　Ｌ", "ada l"),
            ("Ada \u{200b} Lovelace", "ada lovelace"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("김철수", "김철"),
            ("ﬁnance", "FINANCE"),
        ] {
            assert!(fold(stored).contains(&fold(typed)), "{stored} and {typed}: {:?}, {:?}", fold(stored), fold(typed));
        }
        assert!(!fold("がく").contains(&fold("か")));
        assert_eq!(UserSearch::parse("¨".to_owned()).expect("a search").folded(), "¨");
    }

    /// The class that the OpenAPI document has, read as the ranges that it is.
    #[test]
    fn the_pattern_names_what_hides_in_the_basic_plane() {
        let escapes = hidden_class!().replace(r"\x", r"\u00");
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for part in escapes.split(r"\u").skip(1) {
            let code = u32::from_str_radix(&part[..4], 16).expect("four digits");
            match ranges.last_mut().filter(|(_, end)| *end == u32::MAX) {
                Some(open) => open.1 = code,
                None => ranges.push((code, code)),
            }
            if part.ends_with('-') {
                ranges.last_mut().expect("a range").1 = u32::MAX;
            }
        }
        for c in (0..=0xffff).filter_map(char::from_u32).filter(|c| !is_joiner(*c) && !is_variation_selector(*c)) {
            let is_named = ranges.iter().any(|(from, to)| (*from..=*to).contains(&u32::from(c)));
            assert_eq!(is_named, is_hidden(c), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_normal_and_parses_to_itself(text in "\\PC{0,60}|[a-z \u{a0}\u{301}\u{200d}\u{fe0f}👩क\u{94d}]{0,12}|.{0,20}") {
            if let Ok(parsed) = name(&text) {
                prop_assert!(ComposingNormalizer::new_nfc().is_normalized(&parsed));
                prop_assert_eq!(name(&parsed), Ok(parsed.clone()));
                prop_assert!(parsed.chars().count() <= MAX_NAME_LENGTH);
                prop_assert_eq!(parsed.trim(), &parsed);
                prop_assert_eq!(quoted(&parsed, MAX_NAME_LENGTH), parsed);
            }
        }

        #[test]
        fn folding_twice_is_folding_once_and_finds_each_word(text in "\\PC{0,40}|[a-zA-ZßẞİıçöÅΣςŁøÆ\u{301}\u{3099}か \u{a0}']{0,16}") {
            let folded = fold(&text);
            prop_assert_eq!(fold(&folded), folded.clone());
            for word in text.split_whitespace() {
                prop_assert!(folded.contains(&fold(word)), "{:?} in {:?}", word, folded);
            }
        }

        #[test]
        fn normal_forms_are_one_text_and_found_as_one(text in "\\PC{1,30}") {
            let decomposed = DecomposingNormalizer::new_nfd().normalize(&text).into_owned();
            prop_assert_eq!(name(&text), name(&decomposed));
            prop_assert_eq!(fold(&text), fold(&decomposed));
        }
    }
}
