//! What the user sees: headers, prefixed lines, the closing table.

use std::fmt::Write as _;
use std::time::Duration;

/// Starts a section. Goes to standard error, as cargo's own messages do, so
/// that both keep their order.
pub(crate) fn header(title: &str) {
    eprintln!("\n=== {title}");
}

/// One line about what is being done.
pub(crate) fn say(line: &str) {
    eprintln!("    {line}");
}

/// Minutes and seconds, as the table shows them.
pub(crate) fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// A left-aligned table without trailing spaces, one line per row.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_minutes_and_two_digits_of_seconds() {
        assert_eq!(minutes(Duration::from_millis(59_999)), "0:59");
        assert_eq!(minutes(Duration::from_secs(3_605)), "60:05");
    }

    #[test]
    fn aligns_columns_and_leaves_no_trailing_space() {
        let rows = [["step", "result"], ["clippy", "ok"]].map(|row| row.map(String::from));
        assert_eq!(table(&rows), "step    result\nclippy  ok\n");
    }
}
