//! What synthetic people write: words by language, awkward pieces, hashtags.

use super::random::{Random, Stream};

/// The eight languages of valid tweets with words in each. English and Japanese stand more than once,
/// as they are seen more often.
pub(super) const LANGUAGES: [(&str, &[&str]); 12] = [
    ("en", ENGLISH),
    ("en", ENGLISH),
    ("en", ENGLISH),
    ("en", ENGLISH),
    ("ja", JAPANESE),
    ("ja", JAPANESE),
    ("es", SPANISH),
    ("pt", PORTUGUESE),
    ("fr", FRENCH),
    ("tr", TURKISH),
    ("in", INDONESIAN),
    ("ar", ARABIC),
];

const ENGLISH: &[&str] = &[
    "the",
    "cloud",
    "computing",
    "hello",
    "cc",
    "today",
    "great",
    "life",
    "york",
    "morning",
    "coffee",
    "re-run",
    "don't",
    "cats",
    "Monday",
    "I",
    "love",
    "this",
    "song",
    "team",
    "project",
    "finally",
    "haha",
    "lol",
    "what",
    "see you",
    "tonight",
    "never",
    "again",
    "data",
    "Straße",
    "naïve",
    "café",
];
const JAPANESE: &[&str] = &[
    "こんにちは",
    "今日",
    "東京",
    "人生",
    "ありがとう",
    "猫かわいい",
    "ああああああ",
    "笑笑笑",
    "おはよう",
    "ございます",
    "です",
    "明日",
    "電車",
    "写真",
    "ｗｗｗ",
    "ﾊﾝｶｸ",
    "カメラ",
];
const SPANISH: &[&str] = &[
    "hola", "gracias", "una", "mejor", "¿qué?", "niño", "sol", "jajaja", "mañana", "vida",
    "amigos", "siempre", "corazón", "feliz", "día",
];
const PORTUGUESE: &[&str] = &[
    "bom",
    "dia",
    "não",
    "você",
    "saudade",
    "coração",
    "kkkkkk",
    "amanhã",
    "hoje",
    "muito",
    "obrigado",
];
const FRENCH: &[&str] = &[
    "merci",
    "vie",
    "bonjour",
    "déjà",
    "mdrmdr",
    "œuvre",
    "aujourd'hui",
    "être",
    "ça",
    "Noël",
    "demain",
];
const TURKISH: &[&str] = &[
    "merhaba",
    "günaydın",
    "İstanbul",
    "çok",
    "şehir",
    "IŞIK",
    "ışık",
    "bugün",
    "güzel",
    "DİYARBAKIR",
];
const INDONESIAN: &[&str] = &[
    "selamat",
    "pagi",
    "wkwkwk",
    "terima",
    "kasih",
    "aku",
    "kamu",
    "besok",
    "teman-teman",
    "hari",
];
const ARABIC: &[&str] = &[
    "مرحبا",
    "شكرا",
    "الحياة",
    "اليوم",
    "صباح",
    "الخير",
    "ههههه",
    "قلبي",
    "السلام عليكم",
    "٢٠١٤",
];

/// Pieces that searching, escaping or lower-casing stumbles over.
const AWKWARD: &[&str] = &[
    "hello cc",
    "hello cc hello cc",
    "haha",
    "hahaha",
    "hahahahaha",
    "haHaha Haha bahaha",
    "&amp;",
    "&amp;amp;",
    "&lt;3",
    "a\tb",
    "\t",
    "one\ntwo",
    "\n\n",
    "\r\n",
    "\r",
    "\"quoted\"",
    "\"",
    "C:\\new",
    "\\",
    "\\n",
    "\\u0041",
    "\0",
    "nul\0inside",
    "\u{8}\u{c}\u{1b}",
    "\u{7f}",
    "😀",
    "👍🏽",
    "👨‍👩‍👧",
    "🇯🇵",
    "👍👍👍👍",
    "\u{200f}RTL mark",
    "\u{202e}turned\u{202c}",
    "עברית",
    "ＷＩＤＥ",
    "Ｈｅｌｌｏ",
    "İ",
    "İIıi",
    "ß",
    "ẞ STRASSE",
    "ΟΔΥΣΣΕΥΣ",
    "Σ",
    "ΣΑΣ_",
    "e\u{301}",
    "ﬁne",
    "\u{feff}",
    "\u{2028}",
    "\u{a0}",
    "\u{10ffff}",
    "\u{ffff}",
    "100%",
    "a+b=c",
    "#",
    "@",
    "  ",
    "/r/n",
    "ǅ",
    "𝒞𝓁ℴ𝓊𝒹",
    "'; --",
    "<b>",
    "{\"id\":1}",
    "}{",
    "[]",
    "x,y;z|",
    "NULL",
    "\\N",
];

/// Tags that many use, each in the spellings that occur; [`EXCLUDED`] names the ones that do not count.
const FAMOUS: &[&[&str]] = &[
    &["gameinsight", "GameInsight", "GAMEINSIGHT"],
    &["cloud", "Cloud", "CLOUD", "cLOUD"],
    &["android", "Android", "ANDROID"],
    &["cmu", "CMU", "Cmu"],
    &["rtした人全員フォローする", "RTした人全員フォローする"],
    &["aws", "AWS", "Aws"],
    &["السعودية"],
    &["hello", "Hello", "HELLO"],
    &["rt", "RT", "Rt"],
    &["москва", "МОСКВА", "мОСКВА", "Москва"],
    &["相互フォロー"],
    &[
        "İstanbul",
        "istanbul",
        "ISTANBUL",
        "i\u{307}stanbul",
        "ıstanbul",
    ],
    &["nowplaying", "NowPlaying", "NOWPLAYING"],
    &["straße", "Straße", "STRASSE", "STRAẞE"],
    &["ipad", "iPad", "IPAD"],
    &["ΟΔΟΣ", "οδος", "οδοσ", "Οδός", "ΟΔΟΣ_1", "Σ"],
    &["love", "Love", "LOVE", "ＬＯＶＥ"],
    &["ｔａｇ", "ＴＡＧ", "Ｔａｇ", "tag"],
    &["الهلال"],
    &["ışık", "IŞIK", "Işık", "ışIk"],
    &["拡散希望"],
    &["été", "ÉTÉ", "Été", "e\u{301}te\u{301}"],
    &["mtvhottest", "MTVHottest"],
    &["haha", "HAHA", "haHa"],
    &["ﷺ"],
    &["ǆ", "ǅ", "Ǆ"],
    &["follow", "Follow", "FOLLOW"],
    &[
        "hashtag_with_many_letters_that_would_not_fit_into_a_column_of_a_hundred_characters_as_some_had_it_Once",
    ],
    &["news", "News", "NEWS"],
    &["2014", "２０１４"],
    &["lol", "LOL", "LoL"],
    &["👍"],
    &["quote\"d", "QUOTE\"D"],
    &["back\\slash"],
    &["tab\there", "new\nline"],
];

/// Which of the well-known tags stand on the usual list of excluded ones, lower-cased.
pub(super) const EXCLUDED: &[&str] = &[
    "gameinsight",
    "android",
    "rtした人全員フォローする",
    "السعودية",
    "rt",
    "相互フォロー",
    "nowplaying",
    "ipad",
    "love",
    "الهلال",
    "拡散希望",
    "mtvhottest",
    "ﷺ",
    "follow",
    "news",
    "lol",
];

/// Elements of a hashtag list that hold no tag.
pub(super) const UNUSABLE: &[&str] = &[
    "null",
    "7",
    "\"cmu\"",
    "[]",
    "{}",
    "{\"text\":null}",
    "{\"text\":\"\"}",
    "{\"text\":42,\"indices\":[0,3]}",
    "{\"text\":[\"cmu\"]}",
    "{\"indices\":[0,4]}",
];

/// Adds between `least` and `most` words of a language, one in ten of them awkward.
pub(super) fn sentence(
    words: &[&str],
    least: u64,
    most: u64,
    random: &mut Random,
    out: &mut String,
) {
    let count = least + random.below(most - least + 1);
    for place in 0..count {
        if place > 0 {
            out.push(' ');
        }
        let list = if random.one_in(10) { AWKWARD } else { words };
        out.push_str(random.pick(list));
    }
}

/// Adds a short link.
pub(super) fn link(random: &mut Random, out: &mut String) {
    out.push_str("https://t.co/");
    letters(random.next() >> 14, out);
}

/// Adds a number in letters, the same for the same number.
pub(super) fn letters(mut number: u64, out: &mut String) {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    loop {
        out.push(char::from(LETTERS[(number & 31) as usize]));
        number >>= 5;
        if number == 0 {
            return;
        }
    }
}

/// The rank of a tag for a tweet from this circle: half of the time one of four that the circle likes.
pub(super) fn tag_rank(seed: u64, count: u64, circle: u64, random: &mut Random) -> u64 {
    if random.one_in(2) {
        let place = circle * 4 + random.below(4);
        Random::new(seed, Stream::Habit, place).zipf(count, 4)
    } else {
        random.zipf(count, 4)
    }
}

/// The tag of a rank in one of its spellings. Only ASCII changes case by rule; all else is spelled out
/// above, as the letters known to a compiler grow with its version.
pub(super) fn tag(rank: u64, random: &mut Random) -> String {
    if let Some(spellings) = usize::try_from(rank).ok().and_then(|at| FAMOUS.get(at)) {
        return random.pick(spellings).to_owned();
    }
    let mut tag = String::from(match rank % 8 {
        1 => "東京",
        2 => "وسم_",
        3 => "день",
        4 => "año",
        5 => "_",
        _ => "",
    });
    letters(rank, &mut tag);
    match random.below(8) {
        0 => tag.make_ascii_uppercase(),
        1 | 2 => {
            if let Some(first) = tag.get_mut(..1) {
                first.make_ascii_uppercase();
            }
        }
        _ => {}
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excluded_tags_are_lower_case_spellings_in_use() {
        for tag in EXCLUDED {
            assert_eq!(*tag, tag.to_lowercase());
            assert!(
                FAMOUS.iter().any(|spellings| spellings.contains(tag)),
                "{tag}"
            );
        }
    }

    #[test]
    fn tags_of_different_ranks_differ_whatever_their_case() {
        let mut random = Random::new(1, Stream::Content, 0);
        let first = FAMOUS.len() as u64;
        let tags: std::collections::HashSet<String> = (first..first + 5_000)
            .map(|rank| tag(rank, &mut random).to_lowercase())
            .collect();
        assert_eq!(tags.len(), 5_000);
    }
}
