//! Plots as SVG, small enough to read in a diff.

use std::fmt::Write as _;

use serde_json::Value;

/// One file.
pub(super) struct Plot {
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) svg: String,
}

const WIDTH: f64 = 760.0;
const BAR_HEIGHT: f64 = 20.0;
const LABEL_WIDTH: f64 = 250.0;
/// Readable on white and on dark pages alike.
const INK: &str = "#666";
const COLOURS: [&str; 3] = ["#2f7ebc", "#c8641e", "#3d9a50"];

/// All plots that these results have data for.
pub(super) fn all(results: &Value) -> Vec<Plot> {
    let mut plots = Vec::new();
    let bars = bars(results);
    if !bars.is_empty() {
        plots.push(Plot {
            file: "cpu.svg",
            title: "Processor time for a request, in microseconds",
            svg: bar_chart(&bars),
        });
    }
    let curves = &results["rows"]["growth"]["curves"];
    let chain = [
        curve("parse to pack", &curves["blockchain"], "bytes", "micros"),
        curve(
            "unpacking too",
            &curves["blockchain"],
            "bytes",
            "micros_packed",
        ),
    ];
    let rows = [curve(
        "rank and render",
        &curves["twitter"],
        "rows",
        "micros",
    )];
    for (file, title, unit, lines) in [
        (
            "growth-blockchain.svg",
            "/blockchain: time against the size of the request's JSON",
            "bytes",
            chain.as_slice(),
        ),
        (
            "growth-twitter.svg",
            "/twitter: time against the user's rows",
            "rows",
            rows.as_slice(),
        ),
    ] {
        if lines.iter().any(|line| line.points.len() > 1) {
            let svg = line_chart(lines, unit);
            plots.push(Plot { file, title, svg });
        }
    }
    plots
}

struct Bar {
    label: String,
    micros: f64,
    is_yardstick: bool,
}

fn bars(results: &Value) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (row, measured) in results["rows"].as_object().into_iter().flatten() {
        if row == "connections" {
            continue;
        }
        for series in measured["series"].as_array().into_iter().flatten() {
            let name = series["name"].as_str().unwrap_or_default();
            let yardsticks = ["raw", "hello", "nginx", "fasthttp", "sqlx"];
            bars.push(Bar {
                label: format!("{row}: {name}"),
                micros: series["cpu_us"].as_f64().unwrap_or(0.0),
                is_yardstick: yardsticks.iter().any(|known| name.starts_with(known)),
            });
        }
    }
    bars
}

fn bar_chart(bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.micros).fold(1.0, f64::max);
    let mut y = 10.0;
    let mut body = String::new();
    for bar in bars {
        let width = bar.micros / most * (WIDTH - LABEL_WIDTH - 70.0);
        let colour = if bar.is_yardstick { INK } else { COLOURS[0] };
        let middle = y + BAR_HEIGHT * 0.7;
        let _ = writeln!(
            body,
            r#"<text x="{:.0}" y="{middle:.0}" text-anchor="end">{}</text><rect x="{LABEL_WIDTH}" y="{y:.0}" width="{width:.1}" height="{:.0}" fill="{colour}"/><text x="{:.0}" y="{middle:.0}">{:.2}</text>"#,
            LABEL_WIDTH - 6.0,
            escaped(&bar.label),
            BAR_HEIGHT - 5.0,
            LABEL_WIDTH + width + 5.0,
            bar.micros,
        );
        y += BAR_HEIGHT;
    }
    svg(y + 10.0, &body)
}

struct Line {
    label: &'static str,
    points: Vec<(f64, f64)>,
}

fn curve(label: &'static str, points: &Value, x: &str, y: &str) -> Line {
    let points = points.as_array().into_iter().flatten();
    Line {
        label,
        points: points
            .filter_map(|point| Some((point[x].as_f64()?, point[y].as_f64()?)))
            .collect(),
    }
}

/// Both axes logarithmic: a straight line at 45 degrees is linear growth.
fn line_chart(lines: &[Line], unit: &str) -> String {
    const HEIGHT: f64 = 420.0;
    const MARGIN: f64 = 60.0;
    let all = || lines.iter().flat_map(|line| line.points.iter());
    let range = |value: fn(&(f64, f64)) -> f64| {
        let logs = || all().map(|point| value(point).max(1e-3).log10());
        let least = logs().fold(f64::MAX, f64::min).floor();
        (
            least,
            logs().fold(f64::MIN, f64::max).ceil().max(least + 1.0),
        )
    };
    let (left, right) = range(|point| point.0);
    let (bottom, top) = range(|point| point.1);
    let place_x = |log: f64| MARGIN + (log - left) / (right - left) * (WIDTH - 2.0 * MARGIN);
    let place_y =
        |log: f64| HEIGHT - MARGIN - (log - bottom) / (top - bottom) * (HEIGHT - 2.0 * MARGIN);
    let mut body = String::new();
    let mut decade = left;
    while decade <= right {
        let x = place_x(decade);
        let _ = writeln!(
            body,
            r#"<path d="M{x:.1} {:.1}V{:.1}" stroke="{INK}" stroke-opacity=".3"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            place_y(bottom),
            place_y(top),
            HEIGHT - MARGIN + 18.0,
            power(decade),
        );
        decade += 1.0;
    }
    let mut decade = bottom;
    while decade <= top {
        let y = place_y(decade);
        let _ = writeln!(
            body,
            r#"<path d="M{:.1} {y:.1}H{:.1}" stroke="{INK}" stroke-opacity=".3"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            place_x(left),
            place_x(right),
            MARGIN - 6.0,
            y + 4.0,
            power(decade),
        );
        decade += 1.0;
    }
    for (line, colour) in lines.iter().zip(COLOURS) {
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(x, y)| {
                format!(
                    "{:.1},{:.1}",
                    place_x(x.log10()),
                    place_y(y.max(1e-3).log10())
                )
            })
            .collect();
        let _ = writeln!(
            body,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            points.join(" "),
        );
    }
    for (number, (line, colour)) in (0_u8..).zip(lines.iter().zip(COLOURS)) {
        let y = MARGIN - 30.0 + f64::from(number) * 16.0;
        let _ = writeln!(
            body,
            r#"<text x="{:.0}" y="{y:.0}" style="fill:{colour}">{}</text>"#,
            MARGIN + 10.0,
            line.label,
        );
    }
    let _ = writeln!(
        body,
        r#"<text x="{:.0}" y="{:.0}" text-anchor="middle">{unit}</text><text x="14" y="{:.0}">us</text>"#,
        WIDTH / 2.0,
        HEIGHT - 12.0,
        MARGIN - 20.0,
    );
    svg(HEIGHT, &body)
}

fn power(decade: f64) -> String {
    format!("{}", 10.0_f64.powf(decade))
}

fn svg(height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<style>text{{fill:{INK}}}</style>\n{body}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn draws_what_there_is() {
        assert!(all(&Value::Null).is_empty());
        let results = json!({ "rows": {
            "kit": { "series": [{ "name": "raw <1>", "cpu_us": 6.0 }] },
            "growth": { "curves": { "twitter": [
                { "rows": 10, "micros": 1.0 }, { "rows": 1000, "micros": 100.0 },
            ] } },
        } });
        let plots = all(&results);
        let files: Vec<&str> = plots.iter().map(|plot| plot.file).collect();
        assert_eq!(files, ["cpu.svg", "growth-twitter.svg"]);
        assert!(plots[0].svg.contains("raw &lt;1&gt;"));
        // Two decades to the right, two up.
        assert!(plots[1].svg.contains("points=\"60.0,360.0 700.0,60.0\""));
    }
}
