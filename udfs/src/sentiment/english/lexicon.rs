//! The words that the English rules know: rated words, degree words, negations, and the words that a rule names.
//!
//! Source: the two lexicon files beside this module and the word lists of the PyPI package vaderSentiment 3.3.2 (MIT).

use std::sync::LazyLock;

use datafusion::common::HashMap;

/// What a degree word ("very", "hardly") adds to or takes from the word that follows it.
const DEGREE: f64 = 0.293;

const NEGATIONS: &str = "\
    ain't aint aren't arent can't cannot cant couldn't couldnt daren't darent despite didn't didnt doesn't doesnt don't \
    dont hadn't hadnt hasn't hasnt haven't havent isn't isnt mightn't mightnt mustn't mustnt needn't neednt neither never \
    none nope nor not nothing nowhere oughtn't oughtnt rarely seldom shan't shant shouldn't shouldnt uh-uh uhuh wasn't \
    wasnt weren't werent without won't wont wouldn't wouldnt";

const INTENSIFIERS: &str = "\
    absolutely amazingly awfully completely considerable considerably decidedly deeply effing enormous enormously entirely \
    especially exceptional exceptionally extreme extremely fabulously flippin flipping frackin fracking frickin fricking \
    friggin frigging fuckin fucking fuggin fugging fully greatly hella highly hugely incredible incredibly intensely \
    major majorly more most particularly purely quite really remarkably so substantially thoroughly total totally \
    tremendous tremendously uber unbelievably unusually utter utterly very";

const DAMPENERS: &str = "\
    almost barely hardly kind-of kinda kindof less little marginal marginally occasional occasionally partly scarce \
    scarcely slight slightly somewhat sort-of sorta sortof";

/// A word that a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Other,
    Ass,
    At,
    Bad,
    Beating,
    Bomb,
    Bus,
    But,
    Death,
    Die,
    Doubt,
    Enough,
    For,
    Heart,
    Just,
    Kind,
    Kiss,
    Least,
    Never,
    No,
    Nor,
    Of,
    Or,
    Right,
    Shit,
    So,
    Sort,
    Stop,
    The,
    This,
    To,
    Very,
    Without,
    Yeah,
}

const KEYS: [(&str, Key); 33] = [
    ("ass", Key::Ass),
    ("at", Key::At),
    ("bad", Key::Bad),
    ("beating", Key::Beating),
    ("bomb", Key::Bomb),
    ("bus", Key::Bus),
    ("but", Key::But),
    ("death", Key::Death),
    ("die", Key::Die),
    ("doubt", Key::Doubt),
    ("enough", Key::Enough),
    ("for", Key::For),
    ("heart", Key::Heart),
    ("just", Key::Just),
    ("kind", Key::Kind),
    ("kiss", Key::Kiss),
    ("least", Key::Least),
    ("never", Key::Never),
    ("no", Key::No),
    ("nor", Key::Nor),
    ("of", Key::Of),
    ("or", Key::Or),
    ("right", Key::Right),
    ("shit", Key::Shit),
    ("so", Key::So),
    ("sort", Key::Sort),
    ("stop", Key::Stop),
    ("the", Key::The),
    ("this", Key::This),
    ("to", Key::To),
    ("very", Key::Very),
    ("without", Key::Without),
    ("yeah", Key::Yeah),
];

/// Valence of a phrase, in place of the valence of the rated word in or after it.
const IDIOMS: [(&[Key], f64); 8] = [
    (&[Key::The, Key::Shit], 3.0),
    (&[Key::The, Key::Bomb], 3.0),
    (&[Key::Bad, Key::Ass], 1.5),
    (&[Key::Bus, Key::Stop], 0.0),
    (&[Key::Yeah, Key::Right], -2.0),
    (&[Key::Kiss, Key::Of, Key::Death], -1.5),
    (&[Key::To, Key::Die, Key::For], 3.0),
    (&[Key::Beating, Key::Heart], 3.5),
];

/// The valence of the idiom made of exactly these words.
pub(super) fn idiom(words: &[Key]) -> Option<f64> {
    IDIOMS.iter().find(|(idiom, _)| *idiom == words).map(|(_, valence)| *valence)
}

/// What a degree phrase of two words adds to the valence that follows it: all of them dampen, whatever the sign.
pub(super) fn degree_phrase(first: Key, second: Key) -> f64 {
    match (first, second) {
        (Key::Just, Key::Enough) | (Key::Kind | Key::Sort, Key::Of) => -DEGREE,
        _ => 0.0,
    }
}

/// Everything the rules ask of a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Word {
    /// Mean human rating from -4 to 4; `None` for a word without one.
    pub(super) valence: Option<f64>,
    /// What it adds to a positive word that follows; 0 for a word that is no degree word.
    pub(super) degree: f64,
    pub(super) negates: bool,
    pub(super) key: Key,
}

/// A word that no rule knows.
static PLAIN: Word = Word { valence: None, degree: 0.0, negates: false, key: Key::Other };

/// A word that no rule knows, but for its "n't".
static CONTRACTED_NOT: Word = Word { valence: None, degree: 0.0, negates: true, key: Key::Other };

static WORDS: LazyLock<HashMap<&'static str, Word>> = LazyLock::new(|| {
    let mut words: HashMap<&'static str, Word> = HashMap::default();
    for line in include_str!("../vader/vader_lexicon.txt").lines() {
        let mut columns = line.split('\t');
        if let (Some(word), Some(Ok(valence))) = (columns.next(), columns.next().map(str::parse)) {
            entry(&mut words, word).valence = Some(valence);
        }
    }
    for (list, degree) in [(INTENSIFIERS, DEGREE), (DAMPENERS, -DEGREE)] {
        for word in list.split_ascii_whitespace() {
            entry(&mut words, word).degree = degree;
        }
    }
    for word in NEGATIONS.split_ascii_whitespace() {
        entry(&mut words, word).negates = true;
    }
    for (word, key) in KEYS {
        entry(&mut words, word).key = key;
    }
    words
});

fn entry<'a>(words: &'a mut HashMap<&'static str, Word>, word: &'static str) -> &'a mut Word {
    words.entry(word).or_insert_with(|| *unlisted(word))
}

fn unlisted(lower: &str) -> &'static Word {
    if lower.contains("n't") { &CONTRACTED_NOT } else { &PLAIN }
}

/// Emojis of one code point and the words that stand for them. Longer sequences are read code point by code point, as
/// the reference does.
static EMOJIS: LazyLock<HashMap<char, &'static str>> = LazyLock::new(|| {
    let mut emojis = HashMap::default();
    for line in include_str!("../vader/emoji_utf8_lexicon.txt").lines() {
        if let Some((emoji, description)) = line.split_once('\t') {
            let mut characters = emoji.chars();
            if let (Some(character), None) = (characters.next(), characters.next()) {
                emojis.insert(character, description.split('\t').next().unwrap_or_default().trim_end());
            }
        }
    }
    emojis
});

/// Looks up a word given in lower case.
pub(super) fn word(lower: &str) -> &'static Word {
    WORDS.get(lower).unwrap_or_else(|| unlisted(lower))
}

/// The words that stand for an emoji.
pub(super) fn emoji(character: char) -> Option<&'static str> {
    EMOJIS.get(&character).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Counts from the reference program: len(analyzer.lexicon), len(NEGATE), the one-word keys of BOOSTER_DICT,
    // the one-character keys of analyzer.emojis.
    #[test]
    fn lists_have_the_sizes_of_the_reference() {
        assert_eq!(WORDS.values().filter(|word| word.valence.is_some()).count(), 7506);
        assert_eq!(NEGATIONS.split_ascii_whitespace().count(), 59);
        assert_eq!(INTENSIFIERS.split_ascii_whitespace().count(), 60);
        assert_eq!(DAMPENERS.split_ascii_whitespace().count(), 21);
        assert_eq!(EMOJIS.len(), 1212);
    }

    // The rules rely on it: a degree word, a negation or "but" has no valence of its own. (The list has phrases such as
    // "can't stand", which no token equals.)
    #[test]
    fn no_modifier_is_rated() {
        for (name, word) in WORDS.iter().filter(|(name, _)| !name.contains(' ')) {
            let modifies = word.degree != 0.0 || word.negates || matches!(word.key, Key::But | Key::Least);
            assert!(!modifies || word.valence.is_none(), "{name}");
        }
    }

    #[test]
    fn a_word_rated_twice_has_its_last_rating() {
        assert_eq!(word("lol").valence, Some(1.8));
    }

    #[test]
    fn every_key_is_listed_once() {
        for (name, key) in KEYS {
            assert_eq!(word(name).key, key);
            assert_eq!(KEYS.iter().filter(|(_, other)| *other == key).count(), 1, "{name}");
        }
    }

    #[test]
    fn an_unlisted_contraction_negates() {
        assert!(word("mayn't").negates);
        assert!(!word("maynt").negates);
    }
}
