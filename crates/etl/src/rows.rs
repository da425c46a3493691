//! The interchange form of the table: tab-separated lines under a header.
//!
//! `\\ \t \n \r \0` stand for backslash, tab, newline, return and NUL; hashtags
//! are a compact JSON array, escaped once more like any text; scores have the
//! fewest digits that give the same double back.

use std::io::{self, Write};

use twitter_core::record::Row;

use crate::score::Table;

/// The columns, in order.
pub const HEADER: &str = "user_id\tcontact_id\ttweet_id\tcreated_at\tkind\ttweet_text\thashtags\t\
contact_screen_name\tcontact_description\treply_count\tretweet_count\tsame_tag_count\tbase_score\t\
latest";

/// Writes the header and all rows, sorted by key.
///
/// # Errors
///
/// `out` fails; what was written stays.
pub fn write_table(table: &impl Table, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{HEADER}")?;
    let mut result = Ok(());
    for number in 0..table.users() {
        table.with_user(number, &mut |rows| {
            result = rows.iter().try_for_each(|row| write_row(row, out));
        });
        std::mem::replace(&mut result, Ok(()))?;
    }
    Ok(())
}

/// Writes one line.
///
/// # Errors
///
/// `out` fails.
pub fn write_row(row: &Row<'_>, out: &mut impl Write) -> io::Result<()> {
    let Row {
        user_id,
        contact_id,
        tweet_id,
        created_at,
        ..
    } = row;
    let kind = row.kind.bits();
    write!(
        out,
        "{user_id}\t{contact_id}\t{tweet_id}\t{created_at}\t{kind}\t"
    )?;
    write_escaped(row.tweet_text, out)?;
    out.write_all(b"\t")?;
    let tags: Vec<&str> = row.hashtags.iter().collect();
    write_escaped(&serde_json::to_string(&tags)?, out)?;
    for text in [row.contact_screen_name, row.contact_description] {
        out.write_all(b"\t")?;
        write_escaped(text, out)?;
    }
    let (replies, retweets) = (row.reply_count, row.retweet_count);
    let (same_tags, latest) = (row.same_tag_count, row.latest.bits());
    // `{:?}` is the shortest form that reads back, with a decimal point.
    let score = row.base_score;
    writeln!(
        out,
        "\t{replies}\t{retweets}\t{same_tags}\t{score:?}\t{latest}"
    )
}

fn write_escaped(text: &str, out: &mut impl Write) -> io::Result<()> {
    let mut rest = text.as_bytes();
    let is_special = |byte: &u8| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r' | 0);
    while let Some(at) = rest.iter().position(is_special) {
        let (plain, special) = rest.split_at(at);
        out.write_all(plain)?;
        let Some((special, tail)) = special.split_first() else {
            break;
        };
        out.write_all(match special {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            0 => b"\\0",
            _ => b"\\\\",
        })?;
        rest = tail;
    }
    out.write_all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_break_a_line() {
        let mut out = Vec::new();
        write_escaped("a\tb\nc\rd\\e\0é", &mut out).unwrap();
        assert_eq!(out, "a\\tb\\nc\\rd\\\\e\\0é".as_bytes());
    }
}
