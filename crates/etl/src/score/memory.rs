//! The engine that holds everything in memory.
//!
//! Only contact tweets keep their text. Users, tags and tweets are numbered by
//! `u32`; texts stand one behind the other in one string. Counts, scores and
//! latest marks are not stored: all rows of a pair stand together under either
//! user, so they are worked out as the rows are handed out.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde_json::from_str;
use twitter_core::record::{Hashtags, Kind, Latest, Row};
use twitter_core::score::base_score;

use super::tags::{Tags, UseCounts, Uses};
use super::users::Users;
use super::{Excluded, Lost, Overflow, Table, Tally};
use crate::zones::facts::Fact;

/// Same tag counts above this earn a bonus.
const BONUS_ABOVE: u32 = 10;

/// Collects facts in memory. About 50 bytes for each row, plus the texts of
/// contact tweets once, the latest names of each user, 8 bytes for each
/// hashtag and some 16 for each tweet id.
#[derive(Debug)]
pub struct MemoryEngine {
    excluded: Excluded,
    ids: HashSet<u64>,
    /// Of the input at hand, the tweets that earlier inputs have too.
    repeated: HashSet<u64>,
    lost: Lost,
    users: Users,
    tags: Tags,
    uses: Uses,
    contacts: Contacts,
    /// Here users and tweets still have the numbers they got when met.
    sides: Vec<Side>,
    tally: Tally,
}

/// Contact tweets.
#[derive(Debug, Default)]
struct Contacts {
    list: Vec<Contact>,
    texts: String,
    tags: Vec<u32>,
}

/// One contact tweet. Text and tags end where the next one's begin.
#[derive(Debug, Clone, Copy)]
struct Contact {
    id: u64,
    created_at: i64,
    text_start: usize,
    tags_start: usize,
}

/// One row: a contact tweet seen from one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Side {
    user: u32,
    contact: u32,
    tweet: u32,
    kind: Kind,
}

impl MemoryEngine {
    /// An engine without facts.
    pub fn new(excluded: Excluded) -> Self {
        Self {
            excluded,
            ids: HashSet::new(),
            repeated: HashSet::new(),
            lost: Lost::default(),
            users: Users::default(),
            tags: Tags::default(),
            uses: Uses::default(),
            contacts: Contacts::default(),
            sides: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn relate(&mut self, sender: u32, other: u32, tweet: u32, kind: Kind) {
        let mut add = |user, contact| {
            self.sides.push(Side {
                user,
                contact,
                tweet,
                kind,
            });
        };
        add(sender, other);
        if sender != other {
            add(other, sender);
        }
    }

    /// Begins the next input, in input order.
    pub fn begin_input(&mut self) {
        self.repeated = HashSet::new();
        self.lost = Lost::default();
    }

    /// Takes a fact of the input: first all of its tweets, then the others in any order. What is of a
    /// tweet that an earlier input has too is dropped.
    ///
    /// # Errors
    ///
    /// The engine's limits are passed; it is then of no further use.
    pub fn take(&mut self, fact: Fact<'_>) -> Result<(), Overflow> {
        match fact {
            Fact::Tweet { tweet_id, hashtags } => {
                if self.ids.insert(tweet_id) {
                    self.tally.hashtag_occurrences += u64::from(hashtags);
                } else {
                    self.repeated.insert(tweet_id);
                    self.lost.tweets += 1;
                }
            }
            Fact::ContactTweet {
                tweet_id,
                sender,
                reply_to,
                retweeted,
                created_at,
                text,
                hashtags,
            } => {
                if self.repeated.contains(&tweet_id) {
                    self.lost.relations.add(sender, reply_to, retweeted);
                    return Ok(());
                }
                let contact = Contact {
                    id: tweet_id,
                    created_at,
                    text_start: self.contacts.texts.len(),
                    tags_start: self.contacts.tags.len(),
                };
                self.add_contact(contact, text, hashtags)?;
                self.add_relations(sender, reply_to, retweeted)?;
            }
            Fact::TagUse {
                tweet_id,
                user_id,
                tag,
                uses,
            } => {
                if self.repeated.contains(&tweet_id) {
                    return Ok(());
                }
                let user = self.users.number(user_id)?;
                let (tag, is_excluded) = self.tags.number(tag, &self.excluded)?;
                if !is_excluded {
                    (0..uses).for_each(|_| self.uses.add(user, tag));
                }
            }
            Fact::Sighting {
                tweet_id,
                user_id,
                stamp,
                screen_name,
                description,
            } => {
                if !self.repeated.contains(&tweet_id) {
                    self.users.see(user_id, stamp, screen_name, description)?;
                }
            }
        }
        Ok(())
    }

    /// What the input has lost to earlier ones so far.
    pub fn lost(&self) -> Lost {
        self.lost
    }

    fn add_contact(
        &mut self,
        contact: Contact,
        text: &str,
        hashtags: &str,
    ) -> Result<(), Overflow> {
        self.contacts.list.push(contact);
        self.contacts.texts.push_str(text);
        // Written by the clean step, whose lists are JSON; a damaged file is told by its checksums.
        let tags: Vec<Cow<'_, str>> = from_str(hashtags).unwrap_or_default();
        for tag in tags {
            let (tag, _) = self.tags.number(&tag, &self.excluded)?;
            self.contacts.tags.push(tag);
        }
        Ok(())
    }

    /// The relations of the contact tweet that was added last.
    fn add_relations(
        &mut self,
        sender: u64,
        reply_to: Option<u64>,
        retweeted: Option<u64>,
    ) -> Result<(), Overflow> {
        let number = self.contacts.list.len().saturating_sub(1);
        let number = u32::try_from(number).map_err(|_| Overflow { what: "tweets" })?;
        let sender = self.users.number(sender)?;
        let mut user = |id: Option<u64>| id.map(|id| self.users.number(id)).transpose();
        let (reply_to, retweeted) = (user(reply_to)?, user(retweeted)?);
        match (reply_to, retweeted) {
            (Some(a), Some(b)) if a == b => self.relate(sender, a, number, Kind::BOTH),
            _ => {
                for (other, kind) in [(reply_to, Kind::REPLY), (retweeted, Kind::RETWEET)] {
                    if let Some(other) = other {
                        self.relate(sender, other, number, kind);
                    }
                }
            }
        }
        self.tally.contact_tweets += 1;
        self.tally.reply_tweets += u64::from(reply_to.is_some());
        self.tally.retweet_tweets += u64::from(retweeted.is_some());
        Ok(())
    }

    /// Ends the input.
    pub fn finish(mut self) -> MemoryTable {
        self.ids = HashSet::new();
        self.repeated = HashSet::new();
        self.tags.forget_numbers();
        let ranks = self.users.ranks();
        let rank = |number: u32| ranks.get(number as usize).copied().unwrap_or_default();
        let contacts = &self.contacts.list;
        let tweet_id = |number: u32| contacts.get(number as usize).map_or(0, |tweet| tweet.id);
        self.sides.sort_unstable_by_key(|side| {
            (rank(side.user), rank(side.contact), tweet_id(side.tweet))
        });
        let mut ends = Vec::new();
        let mut end = 0;
        for rows in self.sides.chunk_by(|a, b| a.user == b.user) {
            end += rows.len();
            ends.push(end);
        }
        let mut table = MemoryTable {
            users: self.users,
            tags: self.tags,
            uses: self.uses.count(),
            contacts: self.contacts,
            sides: self.sides,
            ends,
            tally: self.tally,
        };
        table.tally = table.count();
        table
    }
}

/// The table in memory.
#[derive(Debug)]
pub struct MemoryTable {
    users: Users,
    tags: Tags,
    uses: UseCounts,
    contacts: Contacts,
    /// Sorted by user id, contact id, tweet id.
    sides: Vec<Side>,
    /// Where each user's rows end.
    ends: Vec<usize>,
    tally: Tally,
}

/// What the rows of a pair have in common.
struct Pair {
    reply_count: u32,
    retweet_count: u32,
    same_tag_count: u32,
    /// The latest reply, retweet and any.
    latest: [Option<u32>; 3],
}

const SETS: [(Kind, Latest); 3] = [
    (Kind::REPLY, Latest::REPLY),
    (Kind::RETWEET, Latest::RETWEET),
    (Kind::BOTH, Latest::ANY),
];

impl MemoryTable {
    fn count(&self) -> Tally {
        let mut tally = self.tally;
        tally.distinct_hashtags = self.tags.count();
        tally.users_with_info = self.users.seen_count();
        tally.users_with_contacts = self.ends.len() as u64;
        tally.table_rows = self.sides.len() as u64;
        for rows in self.sides.chunk_by(|a, b| a.user == b.user) {
            let is_unseen = rows
                .first()
                .is_some_and(|row| !self.users.is_seen(row.user));
            tally.contacted_users_without_info += u64::from(is_unseen);
        }
        for rows in self.sides.chunk_by(same_pair) {
            let Some(row) = rows.first() else { continue };
            // Each pair once, from the side met first.
            if row.user <= row.contact {
                tally.pairs += 1;
                tally.self_pairs += u64::from(row.user == row.contact);
                let has_bonus = self.same_tag_count(row.user, row.contact) > BONUS_ABOVE;
                tally.pairs_with_hashtag_bonus += u64::from(has_bonus);
            }
        }
        tally
    }

    fn range(&self, number: usize) -> Range<usize> {
        let end = self.ends.get(number).copied().unwrap_or_default();
        let before = number.checked_sub(1).and_then(|last| self.ends.get(last));
        before.copied().unwrap_or_default().min(end)..end
    }

    fn contact(&self, number: u32) -> Option<&Contact> {
        self.contacts.list.get(number as usize)
    }

    fn text(&self, number: u32) -> &str {
        let all = &self.contacts.texts;
        let start = self.contact(number).map_or(0, |tweet| tweet.text_start);
        let next = self.contacts.list.get(number as usize + 1);
        all.get(start..next.map_or(all.len(), |tweet| tweet.text_start))
            .unwrap_or_default()
    }

    fn tags(&self, number: u32) -> impl Iterator<Item = &str> {
        let all = &self.contacts.tags;
        let start = self.contact(number).map_or(0, |tweet| tweet.tags_start);
        let next = self.contacts.list.get(number as usize + 1);
        let tags = all.get(start..next.map_or(all.len(), |tweet| tweet.tags_start));
        let tags = tags.unwrap_or_default().iter();
        tags.map(|&tag| self.tags.get(tag))
    }

    /// Uses of common tags; a count beyond 32 bits stays at the greatest.
    fn same_tag_count(&self, a: u32, b: u32) -> u32 {
        if a == b {
            return 0;
        }
        u32::try_from(self.uses.common(a, b)).unwrap_or(u32::MAX)
    }

    fn pair(&self, rows: &[Side], a: u32, b: u32) -> Pair {
        let stamp = |row: &&Side| {
            let tweet = self.contact(row.tweet);
            tweet.map(|tweet| (tweet.created_at, tweet.id))
        };
        let of = |kind: Kind| rows.iter().filter(move |row| row.kind.meets(kind));
        let count = |kind| u32::try_from(of(kind).count()).unwrap_or(u32::MAX);
        Pair {
            reply_count: count(Kind::REPLY),
            retweet_count: count(Kind::RETWEET),
            same_tag_count: self.same_tag_count(a, b),
            latest: SETS.map(|(kind, _)| of(kind).max_by_key(stamp).map(|row| row.tweet)),
        }
    }
}

fn same_pair(a: &Side, b: &Side) -> bool {
    (a.user, a.contact) == (b.user, b.contact)
}

impl Table for MemoryTable {
    fn tally(&self) -> Tally {
        self.tally
    }

    fn users(&self) -> usize {
        self.ends.len()
    }

    fn with_user(&self, number: usize, visit: &mut dyn FnMut(&[Row<'_>])) {
        let sides = self.sides.get(self.range(number)).unwrap_or_default();
        let mut tags = Vec::new();
        let mut tag_ends = Vec::with_capacity(sides.len());
        for side in sides {
            tags.extend(self.tags(side.tweet));
            tag_ends.push(tags.len());
        }
        let mut tag_start = 0;
        let mut tag_ends = tag_ends.into_iter();
        let mut rows = Vec::with_capacity(sides.len());
        for sides in sides.chunk_by(same_pair) {
            let Some(&Side { user, contact, .. }) = sides.first() else {
                continue;
            };
            let pair = self.pair(sides, user, contact);
            let (contact_screen_name, contact_description) = self.users.names(contact);
            let (user_id, contact_id) = (self.users.id(user), self.users.id(contact));
            for (side, tag_end) in sides.iter().zip(&mut tag_ends) {
                let Some(tweet) = self.contact(side.tweet) else {
                    continue;
                };
                let hashtags = tags.get(tag_start..tag_end).unwrap_or_default();
                tag_start = tag_end;
                let mut latest = Latest::NONE;
                for (tweet, (_, mark)) in pair.latest.iter().zip(SETS) {
                    if *tweet == Some(side.tweet) {
                        latest = latest.with(mark);
                    }
                }
                rows.push(Row {
                    user_id,
                    contact_id,
                    tweet_id: tweet.id,
                    created_at: tweet.created_at,
                    kind: side.kind,
                    tweet_text: self.text(side.tweet),
                    hashtags: Hashtags::from(hashtags),
                    contact_screen_name,
                    contact_description,
                    reply_count: pair.reply_count,
                    retweet_count: pair.retweet_count,
                    same_tag_count: pair.same_tag_count,
                    base_score: base_score(
                        pair.reply_count,
                        pair.retweet_count,
                        pair.same_tag_count,
                    ),
                    latest,
                });
            }
        }
        visit(&rows);
    }
}
