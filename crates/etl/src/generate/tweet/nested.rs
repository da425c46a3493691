//! The statuses within a tweet: what it retweets and what it quotes.

use super::super::json::Json;
use super::super::random::Random;
use super::super::{damage, user, words};
use super::{SOURCES, Tweet, UNREAD, created_at, hashtag, id_fields};

impl Tweet {
    /// The retweeted status: only its user counts, all else is there to mislead.
    pub(super) fn retweet(&mut self, json: &mut Json) {
        let random = &mut self.random;
        let Some((rank, with_id)) = self.retweet else {
            if random.one_in(10) {
                json.name("retweeted_status").raw("null");
            }
            return;
        };
        json.name("retweeted_status").open(b'{');
        let age_ms = random.below(30 * 86_400_000);
        created_at(self.ms - age_ms, 0, json);
        let id = self.id - (age_ms << 22).min(self.id / 2);
        id_fields("id", "id_str", id, random, json);
        let tail = unread_tail(random);
        json.name("text").string_with_tail(&self.inner, tail);
        json.name("source").string(random.pick(SOURCES));
        json.name("truncated").raw("false");
        if random.one_in(5) {
            let other = user::id(random.below(self.world.users));
            id_fields(
                "in_reply_to_user_id",
                "in_reply_to_user_id_str",
                other,
                random,
                json,
            );
        } else {
            json.name("in_reply_to_user_id").raw("null");
            json.name("in_reply_to_user_id_str").raw("null");
        }
        if with_id {
            json.name("user").open(b'{');
            id_fields("id", "id_str", user::id(rank), random, json);
        }
        if with_id || damage::user(random, json) {
            user::write_profile(self.world.seed, rank, self.ms, random, b"", json);
            json.close(b'}');
        }
        if random.one_in(20) {
            json.name("retweeted_status")
                .raw(r#"{"id":1,"user":{"id":2}}"#);
        }
        json.name("retweet_count").number(random.below(5_000));
        json.name("favorite_count").number(random.below(5_000));
        self.other_entities(json);
        for (name, value) in UNREAD {
            json.name(name).raw(value);
        }
        json.name("lang").string(self.language);
        json.close(b'}');
    }

    pub(super) fn quote(&mut self, json: &mut Json) {
        let random = &mut self.random;
        if !random.one_in(20) {
            return;
        }
        let rank = user::anybody(self.world.users, random);
        let id = self.id - random.below(self.id / 16);
        json.name("quoted_status_id").number(id);
        json.name("quoted_status_id_str").quoted(id);
        json.name("quoted_status").open(b'{');
        created_at(self.ms - 86_400_000, 0, json);
        id_fields("id", "id_str", id, random, json);
        let mut text = String::new();
        words::sentence(self.words, 3, 12, random, &mut text);
        json.name("text").string(&text);
        json.name("in_reply_to_user_id").number(user::id(0));
        json.name("user").open(b'{');
        id_fields("id", "id_str", user::id(rank), random, json);
        let tail = unread_tail(random);
        user::write_profile(self.world.seed, rank, self.ms, random, tail, json);
        json.close(b'}');
        self.other_entities(json);
        json.name("lang").raw("\"und\"");
        json.close(b'}');
    }

    /// The entities of a status within: tags that must not be counted.
    fn other_entities(&mut self, json: &mut Json) {
        let random = &mut self.random;
        json.name("entities").open(b'{');
        json.name("hashtags").open(b'[');
        for tag in &self.tags {
            hashtag(tag, b"", random, json);
        }
        if random.one_in(4) {
            hashtag("cmu", b"", random, json);
        }
        json.close(b']');
        json.name("urls").raw("[]");
        json.name("user_mentions").raw("[]");
        json.close(b'}');
    }
}

/// At times half of a surrogate pair, in a string that nobody reads: the line is fine.
fn unread_tail(random: &mut Random) -> &'static [u8] {
    if random.one_in(50) {
        br"\ud83d (cut)"
    } else {
        b""
    }
}
