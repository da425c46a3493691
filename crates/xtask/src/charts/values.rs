//! `values.yaml` read line by line, because its comments are the documentation.

/// One value of a chart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// `autoscaling.maxReplicas`.
    pub(super) path: String,
    /// As it stands there; several lines are joined.
    pub(super) default: String,
    /// Its comment, in one line.
    pub(super) meaning: String,
    /// Whether further rows stand below it.
    pub(super) group: bool,
}

/// The mark of a comment that documents the key below it.
const MARK: &str = "# -- ";

/// The documented values in order, and what is wrong with the file.
pub(super) fn parse(text: &str) -> (Vec<Row>, Vec<String>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut problems = Vec::new();
    // Keys that enclose the line, with their indentation.
    let mut parents: Vec<(usize, String)> = Vec::new();
    let mut meaning: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let depth = line.len() - line.trim_start().len();
        let content = line.trim();
        if let Some(start) = content.strip_prefix(MARK) {
            meaning = Some(start.to_owned());
        } else if let Some(more) = content.strip_prefix("# ").filter(|_| meaning.is_some()) {
            if let Some(meaning) = &mut meaning {
                meaning.push(' ');
                meaning.push_str(more);
            }
        } else if content.is_empty() || content.starts_with('#') {
            meaning = None;
        } else if let (Some(meaning), Some((key, value))) =
            (meaning.take(), content.split_once(':'))
        {
            parents.retain(|(parent, _)| *parent < depth);
            let mut path: Vec<_> = parents.iter().map(|(_, name)| name.as_str()).collect();
            path.push(key);
            let path = path.join(".");
            if let Some((parent, _)) = path.rsplit_once('.')
                && let Some(row) = rows.iter_mut().find(|row| row.path == parent)
            {
                row.group = true;
            }
            rows.push(Row {
                path,
                default: value.trim().to_owned(),
                meaning,
                group: false,
            });
            parents.push((depth, key.to_owned()));
        } else {
            let inside = parents.last().is_some_and(|(parent, _)| *parent < depth);
            match rows.last_mut().filter(|row| inside && !row.group) {
                // A list or free map as default.
                Some(row) => {
                    let gap = if row.default.is_empty() { "" } else { ", " };
                    row.default =
                        format!("{}{gap}{}", row.default, content.trim_start_matches("- "));
                }
                None => problems.push(format!(
                    "line {}: {content:?} has no comment that begins with {MARK:?}",
                    index + 1
                )),
            }
        }
    }
    (rows, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_paths_defaults_and_whole_comments() {
        let (rows, problems) = parse(
            "# Head.\n\n# -- How\n# many.\nscale:\n  # -- Most.\n  max: 3\n  # -- Who.\n  cidrs:\n    - 10.0.0.0/8\n    - \"::/0\"\n\n# -- Free.\nlabels: {}\n",
        );
        assert_eq!(problems, [""; 0]);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.path.as_str(),
                    row.default.as_str(),
                    row.meaning.as_str(),
                    row.group,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("scale", "", "How many.", true),
                ("scale.max", "3", "Most.", false),
                ("scale.cidrs", "10.0.0.0/8, \"::/0\"", "Who.", false),
                ("labels", "{}", "Free.", false),
            ]
        );
    }

    #[test]
    fn a_value_without_a_comment_is_told() {
        let (_, problems) = parse("# -- A.\na: 1\nb: 2\n");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("line 3"), "{problems:?}");
    }
}
