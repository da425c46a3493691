//! Users by number, with their latest information.

use std::collections::HashMap;

use super::Overflow;

/// All users met, numbered in the order they were met.
#[derive(Debug, Default)]
pub(super) struct Users {
    numbers: HashMap<u64, u32>,
    list: Vec<User>,
}

#[derive(Debug)]
struct User {
    id: u64,
    seen: Option<Box<Seen>>,
}

#[derive(Debug)]
struct Seen {
    /// As `zones::key::sighting_stamp` makes it.
    stamp: i128,
    /// Screen name and description.
    names: Box<str>,
    name_len: usize,
}

impl Users {
    pub(super) fn number(&mut self, id: u64) -> Result<u32, Overflow> {
        if let Some(&number) = self.numbers.get(&id) {
            return Ok(number);
        }
        let number = u32::try_from(self.list.len()).map_err(|_| Overflow { what: "users" })?;
        self.numbers.insert(id, number);
        self.list.push(User { id, seen: None });
        Ok(number)
    }

    /// Takes a sighting and returns the user's number.
    pub(super) fn see(
        &mut self,
        user_id: u64,
        stamp: i128,
        screen_name: &str,
        description: &str,
    ) -> Result<u32, Overflow> {
        let number = self.number(user_id)?;
        if let Some(user) = self.list.get_mut(number as usize) {
            let is_newer = user.seen.as_ref().is_none_or(|seen| stamp > seen.stamp);
            if is_newer {
                let names = [screen_name, description].concat();
                user.seen = Some(Box::new(Seen {
                    stamp,
                    names: names.into_boxed_str(),
                    name_len: screen_name.len(),
                }));
            }
        }
        Ok(number)
    }

    /// Screen name and description, empty for one never seen.
    pub(super) fn names(&self, number: u32) -> (&str, &str) {
        let user = self.list.get(number as usize);
        let seen = user.and_then(|user| user.seen.as_ref());
        seen.and_then(|seen| seen.names.split_at_checked(seen.name_len))
            .unwrap_or_default()
    }

    pub(super) fn id(&self, number: u32) -> u64 {
        self.list.get(number as usize).map_or(0, |user| user.id)
    }

    pub(super) fn is_seen(&self, number: u32) -> bool {
        let user = self.list.get(number as usize);
        user.is_some_and(|user| user.seen.is_some())
    }

    pub(super) fn seen_count(&self) -> u64 {
        let seen = self.list.iter().filter(|user| user.seen.is_some());
        seen.count() as u64
    }

    /// Forgets which id has which number and returns, for each number, the
    /// user's place among all ordered by id.
    pub(super) fn ranks(&mut self) -> Vec<u32> {
        self.numbers = HashMap::new();
        // `number` refused more than fit.
        let count = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|&number| self.id(number));
        let mut ranks = vec![0; order.len()];
        for (rank, &number) in (0..).zip(&order) {
            if let Some(slot) = ranks.get_mut(number as usize) {
                *slot = rank;
            }
        }
        ranks
    }
}
