//! The live screen: what a run does, second by second, drawn from snapshots.

use std::io;

use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Gauge, Row, Sparkline, Table};

use crate::live::Live;

/// The terminal while a run goes on; dropped, it is as it was.
#[derive(Debug)]
pub struct Screen {
    terminal: ratatui::Terminal<CrosstermBackend<io::Stderr>>,
    has_colours: bool,
}

impl Screen {
    /// Takes the terminal of standard error. Keys are left to the terminal, so that Ctrl-C ends a
    /// run as ever.
    ///
    /// # Errors
    ///
    /// When it is not a terminal that can do this.
    pub fn new(has_colours: bool) -> io::Result<Self> {
        let mut terminal = ratatui::Terminal::new(CrosstermBackend::new(io::stderr()))?;
        execute!(io::stderr(), EnterAlternateScreen)?;
        // From here on dropping it gives the terminal back.
        let screen = Self {
            terminal: {
                terminal.hide_cursor()?;
                terminal
            },
            has_colours,
        };
        Ok(screen)
    }

    /// Draws what is known.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn draw(&mut self, live: &Live) -> io::Result<()> {
        let has_colours = self.has_colours;
        self.terminal
            .draw(|frame| draw(frame, live, has_colours))
            .map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to tell when the terminal is gone.
        let _ = self.terminal.show_cursor();
        let _ = execute!(io::stderr(), LeaveAlternateScreen);
    }
}

/// One picture.
pub fn draw(frame: &mut Frame<'_>, live: &Live, has_colours: bool) {
    let colour = |colour: Color| {
        if has_colours {
            Style::default().fg(colour)
        } else {
            Style::default()
        }
    };
    let rows = u16::try_from(live.scenarios().len()).unwrap_or(u16::MAX);
    let [head, gauge, table, rate, slow, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Length(rows.saturating_add(3)),
        Constraint::Min(3),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let lines = vec![
        Line::styled(
            live.title().to_owned(),
            Style::default().add_modifier(Modifier::BOLD),
        ),
        Line::raw(live.line()),
    ];
    frame.render_widget(ratatui::widgets::Paragraph::new(lines), head);
    let share = live.share_done();
    let bar = Gauge::default()
        .gauge_style(colour(Color::Cyan))
        .ratio(share)
        .label(format!("{:.0} %", share * 100.0));
    frame.render_widget(bar, gauge);
    frame.render_widget(scenarios(live, colour(Color::Red)), table);
    let spark = |title: &'static str, data: &[u64], style: Style, area, frame: &mut Frame<'_>| {
        let width = usize::from(u16::saturating_sub(frame.area().width, 2));
        let shown = data.len().saturating_sub(width);
        let spark = Sparkline::default()
            .block(Block::default().borders(Borders::ALL).title(title))
            .style(style)
            .data(data[shown..].iter().copied());
        frame.render_widget(spark, area);
    };
    let (rates, slowest) = live.history();
    spark(
        "Requests, each second",
        &rates,
        colour(Color::Green),
        rate,
        frame,
    );
    spark(
        "99th percentile, each second",
        &slowest,
        colour(Color::Yellow),
        slow,
        frame,
    );
    frame.render_widget(
        Line::raw("Ctrl-C ends the run with the report so far"),
        foot,
    );
}

fn scenarios(live: &Live, bad: Style) -> Table<'static> {
    let head = Row::new([
        "Last second",
        "Requests/s",
        "Median ms",
        "90% ms",
        "99% ms",
        "Max ms",
        "Errors/s",
    ]);
    let rows: Vec<Row<'static>> = live
        .scenarios()
        .iter()
        .map(|label| {
            let Some(second) = live.last(label) else {
                return Row::new(vec![label.clone()]);
            };
            let times = second.times.unpack().unwrap_or_default();
            let mut cells = vec![label.clone(), second.tally.done.to_string()];
            for percentile in [50.0, 90.0, 99.0, 100.0] {
                cells.push(format!("{:.3}", times.percentile_ms(percentile)));
            }
            cells.push(second.tally.errors.to_string());
            let row = Row::new(cells);
            if second.tally.errors > 0 {
                row.style(bad)
            } else {
                row
            }
        })
        .collect();
    let widths = [
        Constraint::Min(12),
        Constraint::Length(11),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(9),
    ];
    let block = Block::default().borders(Borders::ALL);
    Table::new(rows, widths).header(head).block(block)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::style::Color;

    use super::draw;
    use crate::live::Live;
    use crate::plan::Settings;
    use crate::record::{Second, Tally, Times};
    use crate::run::{Fresh, Snapshot};

    fn live() -> Live {
        let settings = Settings {
            target: Some("http://127.0.0.1:1".parse().unwrap()),
            scenarios: vec!["qrcode,size=1".parse().unwrap()],
            ..Settings::default()
        };
        let mut live = Live::new(&settings.plan().unwrap(), "qrcode".to_owned());
        let mut times = Times::default();
        for micros in 1..=100 {
            times.add(Duration::from_micros(micros * 10));
        }
        let second = Second {
            tally: Tally {
                done: 100,
                errors: 3,
                bytes_in: 5,
            },
            times: times.pack(),
        };
        let fresh = (0..4).map(|number| Fresh {
            scenario: 0,
            number,
            second: second.clone(),
        });
        live.add(&Snapshot {
            elapsed: Duration::from_secs(5),
            done: 450,
            errors: 12,
            fresh: fresh.collect(),
        });
        live
    }

    #[test]
    fn the_screen_shows_the_last_second_and_what_was_before() {
        for has_colours in [true, false] {
            let mut screen = Terminal::new(TestBackend::new(90, 20)).unwrap();
            let shown = live();
            screen
                .draw(|frame| draw(frame, &shown, has_colours))
                .unwrap();
            let buffer = screen.backend().buffer();
            let text: String = buffer
                .content()
                .iter()
                .map(ratatui::buffer::Cell::symbol)
                .collect();
            for part in [
                "450 requests, 12 errors",
                "50 %",
                "qrcode",
                "0.500",
                "0.990",
                "Requests/s",
                "Ctrl-C",
            ] {
                assert!(text.contains(part), "{part} in {text}");
            }
            let is_plain = |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset;
            assert_eq!(buffer.content().iter().all(is_plain), !has_colours);
        }
    }

    #[test]
    fn a_screen_too_small_for_all_is_still_drawn() {
        for (width, height) in [(1, 1), (20, 3), (200, 60)] {
            let mut screen = Terminal::new(TestBackend::new(width, height)).unwrap();
            let shown = live();
            screen.draw(|frame| draw(frame, &shown, true)).unwrap();
        }
    }

    #[test]
    fn plain_lines_come_once_a_second() {
        let mut shown = live();
        let line = shown.next_line().unwrap();
        assert!(
            line.contains("last second 100/s, median 0.500 ms"),
            "{line}"
        );
        assert_eq!(shown.next_line(), None);
    }
}
