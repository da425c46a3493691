//! The report as one page of HTML: no script, no other file, plots as SVG.

use std::fmt::Write as _;

use super::run::{Run, Verdict};
use crate::checks::Rule;
use crate::clean::Reason;

const WIDTH: u64 = 900;
/// Height of a plot with columns.
const HEIGHT: u64 = 180;
/// Most files that have a column of their own.
const MAX_COLUMNS: usize = 300;

/// Valid lines first, then the reasons in their order.
const COLOURS: [&str; 9] = [
    "#2e7d32", "#b71c1c", "#e65100", "#f9a825", "#6a1b9a", "#283593", "#00838f", "#90a4ae",
    "#5d4037",
];

const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em auto;max-width:960px;padding:0 1em;\
color:#222;background:#fff}h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}\
table{border-collapse:collapse}td,th{padding:2px 10px 2px 0;text-align:left;vertical-align:top}\
.held{color:#2e7d32}.broken{color:#b71c1c;font-weight:bold}.not_done{color:#757575}\
svg{max-width:100%;height:auto}text{font:11px sans-serif;fill:#333}\
.key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}";

/// Writing to a string cannot fail.
macro_rules! put {
    ($page:expr, $($text:tt)*) => {
        let _ = writeln!($page, $($text)*);
    };
}

impl Run {
    /// As a page that needs nothing else.
    pub fn to_html(&self) -> String {
        let mut page = String::new();
        put!(
            page,
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
        );
        put!(page, "<title>etl report</title><style>{STYLE}</style>");
        let json = self.to_json();
        let field = |name: &str| match json.get(name) {
            Some(serde_json::Value::String(text)) => escape(text),
            Some(serde_json::Value::Null) | None => String::from("–"),
            Some(other) => escape(&other.to_string()),
        };
        put!(
            page,
            "<h1>Load of {}: {}</h1>",
            field("database"),
            field("outcome")
        );
        if json
            .get("failure")
            .is_some_and(|failure| !failure.is_null())
        {
            put!(page, "<p class=\"broken\">{}</p>", field("failure"));
        }
        if let Some(published) = json.get("published").and_then(|it| it.as_object()) {
            table(
                &mut page,
                published.iter().map(|(name, value)| (&**name, value)),
            );
        }
        self.checks(&mut page);
        put!(page, "<h2>Watched figures</h2>");
        let figures = self.figures();
        table(
            &mut page,
            figures.iter().map(|(name, value)| (*name, value)),
        );
        if let Some(same) = self.repeated() {
            let said = if same { "the same" } else { "OTHER" };
            put!(
                page,
                "<p>The same inputs as last time gave {said} content.</p>"
            );
        }
        self.reasons_per_file(&mut page);
        let rows = self.watch.map(|watch| watch.rows_per_user.classes());
        histogram(
            &mut page,
            "Rows per user",
            "rows",
            &rows.unwrap_or_default(),
        );
        let packs = self.published.as_ref().map(|it| it.pack_bytes.classes());
        histogram(&mut page, "Pack sizes", "bytes", &packs.unwrap_or_default());
        self.times(&mut page);
        put!(page, "</html>");
        page
    }

    fn checks(&self, page: &mut String) {
        put!(page, "<h2>Checks</h2><table>");
        for rule in Rule::ALL {
            let verdict: Verdict = self.verdict(rule);
            put!(
                page,
                "<tr><td class=\"{0}\">{1}</td><td>{2}</td><td>{3}</td><td>{4}</td></tr>",
                verdict.name(),
                verdict.name().replace('_', " "),
                rule.name(),
                escape(rule.demand()),
                escape(&self.rule_detail(rule))
            );
        }
        put!(page, "</table>");
    }

    fn reasons_per_file(&self, page: &mut String) {
        let Some((files, _)) = &self.source else {
            return;
        };
        put!(page, "<h2>Lines by reason, for each file</h2><p>");
        let names = std::iter::once("valid").chain(Reason::ALL.map(Reason::name));
        for (name, colour) in names.clone().zip(COLOURS) {
            put!(
                page,
                "<span class=\"key\" style=\"background:{colour}\"></span>{name}"
            );
        }
        put!(
            page,
            "</p><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">"
        );
        // With very many files each column stands for a few neighbours.
        let each = files.len().div_ceil(MAX_COLUMNS).max(1);
        let columns = files.chunks(each);
        let width = WIDTH / (columns.len() as u64).max(1);
        for (number, files) in (0..).zip(columns) {
            let mut counts = super::Counts::default();
            for file in files {
                counts.add(&file.counts);
            }
            let parts = std::iter::once(counts.valid)
                .chain(Reason::ALL.map(|reason| counts.rejected(reason)));
            let first = files.first().map(|file| file.path.display().to_string());
            let title = escape(&first.unwrap_or_default());
            put!(page, "<g><title>{title}: {} lines</title>", counts.lines);
            let mut below = 0;
            for (part, colour) in parts.zip(COLOURS) {
                let from = below * HEIGHT / counts.lines.max(1);
                below += part;
                let to = below * HEIGHT / counts.lines.max(1);
                let (x, y) = (number * width, HEIGHT.saturating_sub(to));
                let (w, h) = (width.saturating_sub(1).clamp(1, 60), to - from);
                put!(
                    page,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{colour}\"/>"
                );
            }
            put!(page, "</g>");
        }
        put!(page, "</svg>");
    }

    fn times(&self, page: &mut String) {
        put!(page, "<h2>Time per step</h2>");
        let height = 22 * self.steps.len() as u64;
        put!(page, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
        let millis = |time: &std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(0);
        let most = self.steps.iter().map(|(_, time)| millis(time)).max();
        let most = most.unwrap_or(0).max(1);
        for (number, (name, time)) in (0u64..).zip(&self.steps) {
            let (y, w) = (number * 22, (millis(time) * 500 / most).max(1));
            put!(
                page,
                "<text x=\"0\" y=\"{}\">{}</text><rect x=\"260\" y=\"{}\" width=\"{w}\" height=\"16\" fill=\"#283593\"/><text x=\"{}\" y=\"{}\">{:.2} s</text>",
                y + 15,
                escape(name),
                y + 3,
                w + 266,
                y + 15,
                time.as_secs_f64()
            );
        }
        put!(page, "</svg>");
    }
}

fn table<'a>(page: &mut String, rows: impl Iterator<Item = (&'a str, &'a serde_json::Value)>) {
    put!(page, "<table>");
    for (name, value) in rows.filter(|(_, value)| !value.is_null()) {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let name = escape(&name.replace('_', " "));
        put!(page, "<tr><td>{name}</td><td>{}</td></tr>", escape(&value));
    }
    put!(page, "</table>");
}

/// Columns whose height is the logarithm of their count, so that single users stay visible.
fn histogram(page: &mut String, title: &str, unit: &str, classes: &[(u64, u64)]) {
    if classes.is_empty() {
        return;
    }
    put!(
        page,
        "<h2>{title}</h2><svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">",
        HEIGHT + 40
    );
    let width = WIDTH / classes.len() as u64;
    let digits = |count: u64| u64::from(count.max(1).ilog2()) + u64::from(count > 0);
    let most = classes.iter().map(|(_, count)| digits(*count)).max();
    let most = most.unwrap_or(1).max(1);
    for (number, (up_to, count)) in (0u64..).zip(classes) {
        let height = digits(*count) * (HEIGHT - 20) / most;
        let (x, y) = (number * width, HEIGHT - height);
        put!(
            page,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{height}\" fill=\"#00838f\"><title>up to {up_to} {unit}: {count}</title></rect>",
            width.saturating_sub(2).max(1)
        );
        if *count > 0 {
            put!(page, "<text x=\"{x}\" y=\"{}\">{count}</text>", y - 3);
        }
        put!(
            page,
            "<text x=\"{x}\" y=\"{}\">{}</text>",
            HEIGHT + 14,
            short(*up_to)
        );
    }
    put!(
        page,
        "<text x=\"0\" y=\"{}\">up to so many {unit}; heights are logarithmic</text></svg>",
        HEIGHT + 32
    );
}

/// A limit in few characters.
fn short(number: u64) -> String {
    match number {
        0..1024 => number.to_string(),
        1024..0x10_0000 => format!("{}K", (number + 1) >> 10),
        _ => format!("{}M", (number + 1) >> 20),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
