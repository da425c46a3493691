//! What the table holds of one user, for people.

use std::fmt::Write as _;

use twitter_core::record::{Kind, Latest, Pack, Row};

/// Lists a pack: a line for each contact, below it one for each tweet.
pub fn text(pack: &Pack<'_>, bytes: usize) -> String {
    let mut text = format!(
        "user {}: {} rows with {} contacts, {bytes} bytes\n",
        pack.user_id(),
        pack.row_count(),
        pack.contact_count()
    );
    let mut contact = None;
    for row in pack.rows() {
        if contact != Some(row.contact_id) {
            contact = Some(row.contact_id);
            write_contact(&row, &mut text);
        }
        write_tweet(&row, &mut text);
    }
    text
}

// Writing to a string cannot fail.
fn write_contact(row: &Row<'_>, text: &mut String) {
    let _ = writeln!(
        text,
        "\ncontact {} {:?} {:?}\n  {} replies, {} retweets, {} common tags, base score {:?}",
        row.contact_id,
        row.contact_screen_name,
        row.contact_description,
        row.reply_count,
        row.retweet_count,
        row.same_tag_count,
        row.base_score
    );
}

fn write_tweet(row: &Row<'_>, text: &mut String) {
    let kind = match row.kind {
        Kind::REPLY => "reply",
        Kind::RETWEET => "retweet",
        _ => "reply and retweet",
    };
    let marks = [
        (Latest::REPLY, "latest reply"),
        (Latest::RETWEET, "latest retweet"),
        (Latest::ANY, "latest"),
    ];
    let marks = marks.iter().filter(|(mark, _)| row.latest.has(*mark));
    let marks: Vec<_> = marks.map(|(_, name)| *name).collect();
    let tags: Vec<_> = row.hashtags.iter().map(|tag| format!("#{tag}")).collect();
    let _ = write!(
        text,
        "  tweet {} at {} ({kind}) {:?} {}",
        row.tweet_id,
        row.created_at,
        row.tweet_text,
        tags.join(" ")
    );
    if !marks.is_empty() {
        let _ = write!(text, " [{}]", marks.join(", "));
    }
    text.push('\n');
}
