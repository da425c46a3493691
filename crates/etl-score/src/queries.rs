//! The queries, in the order they run. The same files run on Spark (`crates/etl/spark`).

/// One query: its result is a table of this name for the later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Name of the result.
    pub name: &'static str,
    /// One `SELECT`.
    pub sql: &'static str,
}

macro_rules! query {
    ($number:literal, $name:literal) => {
        Query {
            name: $name,
            sql: include_str!(concat!("../../etl/sql/score/", $number, "_", $name, ".sql")),
        }
    };
}

/// The figures of what was built, one row.
pub const TALLY: &str = "tally";
/// What each input lost to earlier ones, in input order.
pub const RUN_INPUTS: &str = "run_inputs";

/// All, in order.
pub const QUERIES: [Query; 12] = [
    query!("01", "repeated"),
    query!("02", "lost"),
    query!("03", "users"),
    query!("04", "pairs"),
    query!("05", "user_tags"),
    query!("06", "tag_counts"),
    query!("07", "common"),
    query!("08", "met"),
    query!("09", "contact_users"),
    query!("10", "rows"),
    query!("11", "tally"),
    query!("12", "run_inputs"),
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_a_query() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../etl/sql/score");
        let mut found: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let expected: Vec<_> = (1..)
            .zip(QUERIES)
            .map(|(number, query)| format!("{number:02}_{}.sql", query.name))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn window_functions_and_engine_dialects_stay_out() {
        for Query { name, sql } in QUERIES {
            let sql = sql.to_ascii_uppercase();
            for word in [
                " OVER",
                "QUALIFY",
                "DISTRIBUTE BY",
                "::",
                "/*+",
                "LATERAL",
                ";",
            ] {
                assert!(!sql.contains(word), "{name} has {word}");
            }
        }
    }
}
