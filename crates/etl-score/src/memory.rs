//! How much memory a run may use, and how it is dealt out.

use std::fmt;
use std::fs;
use std::str::FromStr;

const MIB: u64 = 1 << 20;

/// Least limit that a run starts with: below this, what no operator accounts for is most of it.
pub const MIN_MEMORY: MemorySize = MemorySize(512 * MIB);

/// An amount of memory: bytes, or a number with `K`, `M`, `G`, `T` and an optional `iB` (powers of
/// 1024) or `B` (powers of 1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(u64);

impl MemorySize {
    /// So many bytes.
    pub const fn of_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Half of what this machine, or the container around us, has in all.
    pub fn half_of_machine() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let machine = read("/proc/meminfo").and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            let kib = line.split_whitespace().nth(1)?.parse::<u64>().ok()?;
            kib.checked_mul(1024)
        });
        let container =
            read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<u64>().ok());
        let all = [machine, container].into_iter().flatten().min();
        Self(all.map_or(1 << 30, |all| all / 2)).max(MIN_MEMORY)
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0 / MIB)
    }
}

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit_at = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor = factor(unit.trim()).ok_or_else(|| {
            format!("`{unit}` is no unit; write 4G, 4GiB, 4GB, 512M or a number of bytes")
        })?;
        let bytes = scaled(number, factor)
            .ok_or_else(|| format!("`{number}` is no number of bytes within 64 bits"))?;
        let size = Self(bytes);
        if size < MIN_MEMORY {
            return Err(format!("{size} is too little, at least {MIN_MEMORY}"));
        }
        Ok(size)
    }
}

fn factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let (prefix, base) = match unit.strip_suffix("ib") {
        Some(prefix) => (prefix, 1024u64),
        None => match unit.strip_suffix('b') {
            Some(prefix) => (prefix, 1000),
            None => (&*unit, 1024),
        },
    };
    let power = match prefix {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    base.checked_pow(power)
}

/// `12.5` times a factor, rounded down, without floats.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if part.is_empty() {
        return Some(whole);
    }
    let digits = u32::try_from(part.len()).ok()?;
    let part = u128::from(part.parse::<u64>().ok()?) * u128::from(factor);
    let part = part / 10u128.checked_pow(digits)?;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// What a limit means for the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes that operators account for: sorts, groups, tables of joins.
    pub pool_bytes: usize,
    /// Bytes that all tables of hash joins in one query may come to.
    pub join_bytes: usize,
    /// Rows that travel together.
    pub batch_rows: usize,
    /// Bytes of a row group while it is written.
    pub row_group_bytes: usize,
}

impl MemoryPlan {
    /// Deals out a limit among `partitions` threads.
    ///
    /// What operators do not account for is the program itself, batches on their way between
    /// operators, pages and row groups of Parquet being read and written, and what the allocator
    /// keeps back: a fixed part, a part for each thread, and half of the rest.
    pub fn new(limit: MemorySize, partitions: usize) -> Self {
        let partitions = u64::try_from(partitions).unwrap_or(u64::MAX).max(1);
        let limit = limit.bytes();
        let fixed = 64 * MIB;
        let each = (16 * MIB).saturating_mul(partitions).min(limit / 4);
        let pool = limit.saturating_sub(fixed + each) / 2;
        let small = limit < 1024 * MIB;
        Self {
            pool_bytes: saturated(pool),
            join_bytes: saturated(pool / 2),
            batch_rows: if small { 2048 } else { 8192 },
            row_group_bytes: if small { 4 << 20 } else { 16 << 20 },
        }
    }
}

fn saturated(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The most memory this process ever held, in bytes, where the system tells.
pub fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib = line.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_as_people_write_them() {
        for (text, bytes) in [
            ("536870912", 1 << 29),
            ("512M", 512 << 20),
            ("512MiB", 512 << 20),
            ("800MB", 800_000_000),
            ("4G", 4 << 30),
            ("1.5g", 3 << 29),
            ("2 GB", 2_000_000_000),
            ("1T", 1 << 40),
        ] {
            assert_eq!(
                text.parse::<MemorySize>().map(MemorySize::bytes),
                Ok(bytes),
                "{text}"
            );
        }
        for text in [
            "",
            "G",
            "4X",
            "-1G",
            "4 G B",
            "99999999T",
            "1.G5",
            "100M",
            "1..5G",
        ] {
            assert!(text.parse::<MemorySize>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_pool_stays_well_below_the_limit() {
        for (limit, partitions) in [("512M", 1), ("512M", 64), ("4G", 2), ("64G", 32)] {
            let limit: MemorySize = limit.parse().unwrap();
            let plan = MemoryPlan::new(limit, partitions);
            let pool = plan.pool_bytes as u64;
            assert!(
                pool >= limit.bytes() / 4 && pool < limit.bytes() / 2,
                "{plan:?}"
            );
        }
    }
}
