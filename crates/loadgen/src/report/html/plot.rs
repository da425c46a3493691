//! A line plot as SVG.

use std::fmt::Write as _;

use super::escape;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 40.0;
/// Told apart by people who do not tell red from green.
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

/// What the horizontal axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Seconds after the start.
    Seconds,
    /// Percentiles by their number of nines; times are on a logarithmic axis.
    Nines,
}

/// A line and its name.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Debug)]
pub(super) struct Plot {
    title: &'static str,
    scale: Scale,
    unit: &'static str,
    pub(super) lines: Vec<Line>,
}

impl Plot {
    pub(super) const fn new(title: &'static str, scale: Scale, unit: &'static str) -> Self {
        Self {
            title,
            scale,
            unit,
            lines: Vec::new(),
        }
    }

    /// Appends the figure; nothing if there is nothing to draw.
    pub(super) fn write(&self, out: &mut String) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let most = |place: fn(&(f64, f64)) -> f64| points().map(place).fold(0.0, f64::max);
        if points().count() == 0 {
            return;
        }
        let x_end = most(|point| point.0).max(1.0);
        let y = Axis::new(
            self.scale == Scale::Nines,
            points()
                .map(|point| point.1)
                .filter(|y| *y > 0.0)
                .fold(f64::INFINITY, f64::min),
            most(|point| point.1),
        );
        let across = |x: f64| LEFT + x / x_end * (WIDTH - LEFT - RIGHT);
        let down = |value: f64| HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM);
        let _ = write!(
            out,
            "<figure><figcaption>{0}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\" aria-label=\"{0}\" xmlns=\"http://www.w3.org/2000/svg\">\n",
            escape(self.title)
        );
        for tick in y.ticks() {
            let at = down(tick);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#8895a5\" \
                 stroke-opacity=\"0.25\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{} {}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                short(tick),
                self.unit
            );
        }
        for (tick, name) in self.x_ticks(x_end) {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
                across(tick),
                HEIGHT - BOTTOM + 18.0
            );
        }
        for (number, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let mut drawn = String::new();
            for (x, y) in &line.points {
                let _ = write!(drawn, "{:.1},{:.1} ", across(*x), down(*y));
            }
            let place = LEFT + 130.0 * super::super::count(number as u64);
            let _ = writeln!(
                out,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" \
                 points=\"{}\"/>\n<rect x=\"{place}\" y=\"8\" width=\"10\" height=\"10\" \
                 fill=\"{colour}\"/><text x=\"{}\" y=\"17\">{}</text>",
                drawn.trim_end(),
                place + 14.0,
                escape(&line.name)
            );
        }
        out.push_str("</svg></figure>\n");
    }

    fn x_ticks(&self, end: f64) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Nines => ["0%", "90%", "99%", "99.9%", "99.99%", "99.999%"]
                .iter()
                .enumerate()
                .map(|(nines, name)| (super::super::count(nines as u64), (*name).to_owned()))
                .filter(|(nines, _)| *nines <= end)
                .collect(),
            Scale::Seconds => steps(end, 10.0)
                .map(|tick| (tick, format!("{} s", short(tick))))
                .collect(),
        }
    }
}

/// The vertical axis.
struct Axis {
    is_logarithmic: bool,
    low: f64,
    high: f64,
}

impl Axis {
    /// From the smallest value above 0 and the largest.
    fn new(is_logarithmic: bool, least: f64, most: f64) -> Self {
        if is_logarithmic && least.is_finite() {
            let low = 10_f64.powf(least.log10().floor());
            let high = 10_f64.powf(most.log10().ceil());
            return Self {
                is_logarithmic,
                low,
                high: if high > low { high } else { low * 10.0 },
            };
        }
        Self {
            is_logarithmic: false,
            low: 0.0,
            high: if most > 0.0 { most * 1.05 } else { 1.0 },
        }
    }

    /// From 0 at the bottom to 1 at the top.
    fn place(&self, value: f64) -> f64 {
        let place = if self.is_logarithmic {
            let value = value.max(self.low);
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            value / self.high
        };
        place.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.is_logarithmic {
            return steps(self.high, 5.0).collect();
        }
        let decades = (self.high / self.low).log10().round();
        let mut ticks = vec![self.low];
        while super::super::count(ticks.len() as u64) <= decades {
            ticks.push(self.low * 10_f64.powf(super::super::count(ticks.len() as u64)));
        }
        ticks
    }
}

/// Round numbers from 0 to `end`, about so many.
fn steps(end: f64, number: f64) -> impl Iterator<Item = f64> {
    let rough = end / number;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * decade);
    let step = step.into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(decade * 10.0);
    (0..=50_u32)
        .map(move |number| f64::from(number) * step)
        .take_while(move |tick| *tick <= end)
}

/// A number without needless digits.
fn short(number: f64) -> String {
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}
