//! What the screen of `gocc watch` looks like.

use crate::analyze::model::{Finding, Grade, Side};
use crate::analyze::{HotFunction, HotMap, OPERATIONS, Snapshot};
use crate::patch::Mode;
use crate::report::wording;
use crate::ring::Operation;
use crate::ring::layout::{Control, GATE_OBSERVE, GATE_TRACE};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

/// What an operation costs in excess, in nanoseconds: the middle of the differences that `scripts/bench 1.27` measured
/// (README, "What it costs"). On another machine it is another number of the same size.
const OBSERVE_NS: f64 = 4.0;
/// See [`OBSERVE_NS`].
const TRACE_NS: f64 = 13.0;
/// Width of the longest bar, in characters.
const BAR: usize = 16;

/// The screen.
pub struct View {
    program: String,
    pid: u32,
    running: bool,
    snapshot: Snapshot,
    /// What came while the view was paused is not shown.
    paused: bool,
    said: String,
}

impl View {
    pub fn new(program: &str, pid: u32, running: bool, snapshot: Snapshot) -> View {
        View {
            program: printable(program),
            pid,
            running,
            snapshot,
            paused: false,
            said: String::new(),
        }
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub fn update(&mut self, snapshot: Snapshot, running: bool) {
        self.running = running;
        if !self.paused {
            self.snapshot = snapshot;
        }
    }

    pub fn pause(&mut self) {
        self.paused = !self.paused;
    }

    /// What stays at the bottom until the next change.
    pub fn say(&mut self, text: String) {
        self.said = printable(&text);
    }

    pub fn set_control(&mut self, control: Control) {
        self.snapshot.control = control;
    }

    pub fn draw(&self, frame: &mut Frame<'_>) {
        let rows = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(8),
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ]);
        let [title, top, functions, maps, conflicts, keys] = rows.areas(frame.area());
        let [rates, ring] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(38)]).areas(top);
        frame.render_widget(self.title(), title);
        panel(frame, rates, "operations per second", self.rates());
        panel(frame, ring, "ring", self.ring());
        let lines = self.snapshot.functions.iter().map(function_line);
        panel(
            frame,
            functions,
            "busiest functions, operations per second",
            lines.collect(),
        );
        let lines = self.snapshot.maps.iter().map(map_line);
        panel(
            frame,
            maps,
            "busiest maps, operations and writes per second",
            lines.collect(),
        );
        panel(frame, conflicts, &self.conflicts_title(), self.conflicts());
        frame.render_widget(self.keys(), keys);
    }

    fn title(&self) -> Paragraph<'_> {
        let control = &self.snapshot.control;
        let mode = Mode::ALL
            .into_iter()
            .find(|mode| mode.gate() == control.gate);
        let mode = mode.map_or("unknown", Mode::name);
        let sample = match control.gate {
            GATE_OBSERVE => format!(", 1 in {} recorded", control.sample_period),
            _ => String::new(),
        };
        let state = match (self.running, self.paused) {
            (false, _) => "  ENDED",
            (true, true) => "  PAUSED",
            (true, false) => "",
        };
        let program = format!("{} (process {})", self.program, self.pid);
        let age = self.snapshot.age_ns / 1_000_000_000;
        let rest = format!("  mode {mode}{sample}  up {age} s{state}");
        Paragraph::new(Line::from(vec![
            Span::styled(program, Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(rest),
        ]))
    }

    fn rates(&self) -> Vec<Line<'static>> {
        if self.snapshot.control.gate > GATE_TRACE {
            return vec![Line::from("this mode records conflicts, no operations")];
        }
        let per_second = self.snapshot.per_second;
        let most = per_second.iter().copied().fold(1.0, f64::max);
        let rows = OPERATIONS.iter().zip(per_second);
        rows.map(|(operation, rate)| {
            let length = (rate / most * BAR as f64).round() as usize;
            let bar = "█".repeat(length.min(BAR));
            let color = if operation.writes() {
                Color::Yellow
            } else {
                Color::Cyan
            };
            Line::from(vec![
                Span::raw(format!(
                    "{:<8}{:>14} ",
                    operation.name(),
                    thousands(rate as u64)
                )),
                Span::styled(bar, color),
            ])
        })
        .collect()
    }

    /// Counts as the report has them.
    fn ring(&self) -> Vec<Line<'static>> {
        let Snapshot { lost, control, .. } = &self.snapshot;
        let dropped = lost.dropped_no_lane + lost.dropped_no_p + lost.conflicts_dropped;
        let damaged = lost.conflicts_torn + lost.damaged_lanes + lost.damaged_records;
        let held = 100.0 * self.snapshot.held_ns as f64 / self.snapshot.age_ns.max(1) as f64;
        [
            ("recorded", thousands(self.snapshot.recorded)),
            ("overwritten", thousands(lost.overwritten)),
            ("dropped, damaged", format!("{dropped}, {damaged}")),
            ("unread by this view", thousands(self.snapshot.missed)),
            ("overhead, about", self.overhead()),
            ("holds", format!("{} ({held:.1}% of time)", control.holds)),
        ]
        .into_iter()
        .map(|(name, value)| Line::from(format!("{name:<20}{value:>16}")))
        .collect()
    }

    /// The share of one CPU that the hooks take.
    fn overhead(&self) -> String {
        let cost = match self.snapshot.control.gate {
            0 => 0.0,
            GATE_OBSERVE => OBSERVE_NS,
            GATE_TRACE => TRACE_NS,
            _ => return "unknown".to_owned(),
        };
        let operations: f64 = self.snapshot.per_second.iter().sum();
        format!("{:.2}% of a CPU", operations * cost / 1e9 * 100.0)
    }

    fn conflicts_title(&self) -> String {
        let findings = &self.snapshot.findings;
        let times: u64 = findings.iter().map(|finding| finding.count).sum();
        format!("conflicts: {} findings, seen {times} times", findings.len())
    }

    fn conflicts(&self) -> Vec<Line<'static>> {
        if self.snapshot.findings.is_empty() {
            return vec![Line::from("none so far")];
        }
        self.snapshot.findings.iter().map(finding_line).collect()
    }

    fn keys(&self) -> Paragraph<'_> {
        if self.said.is_empty() {
            return Paragraph::new(
                "mode: 0 off o observe t trace h hunt g guard b block  sampling: + -  space q",
            );
        }
        Paragraph::new(self.said.as_str()).style(Color::Red)
    }
}

fn panel(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'static>>) {
    let block = Block::bordered().title(format!(" {title} "));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn function_line(hot: &HotFunction) -> Line<'static> {
    let rate = thousands(hot.per_second as u64);
    let name = hot.operation.name();
    Line::from(format!("{rate:>12}  {name:<8}{}", printable(&hot.function)))
}

fn map_line(hot: &HotMap) -> Line<'static> {
    let rate = thousands(hot.per_second as u64);
    let writes = thousands(hot.writes_per_second as u64);
    let name = printable(hot.type_name.as_deref().unwrap_or("map of unknown type"));
    Line::from(format!(
        "{rate:>12} {writes:>12}  {:<14} {name}",
        hot.address.to_string()
    ))
}

fn finding_line(finding: &Finding) -> Line<'static> {
    let style = match finding.grade {
        Grade::Confirmed => Style::new().fg(Color::Red),
        Grade::Suspect => Style::new().fg(Color::Yellow),
    };
    let [noticed, found] = &finding.sides;
    let place = |side: &Side| match wording::place(side) {
        Some(frame) => format!("{}:{}", wording::file_name(&frame.file), frame.line),
        None => "?".to_owned(),
    };
    let deed = |side: &Side| side.operation.map_or("?", Operation::name);
    let function = |side: &Side| match wording::place(side) {
        Some(frame) => frame.function.clone(),
        None => "?".to_owned(),
    };
    let seconds = finding.last.since_start_ns as f64 / 1e9;
    // Where it is first, since a narrow terminal cuts the rest.
    let text = format!(
        "{:>6}x {seconds:>9.3} s  {} {} | {} {}  {} | {}",
        finding.count,
        deed(noticed),
        place(noticed),
        deed(found),
        place(found),
        function(noticed),
        function(found)
    );
    Line::styled(printable(&text), style)
}

/// `1,204,511`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Names come from a file that is not trusted: nothing in them may steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::model::{Hex, Losses};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use zerocopy::FromZeros;

    fn snapshot(gate: u32) -> Snapshot {
        let mut control = Control::new_zeroed();
        control.gate = gate;
        control.sample_period = 1024;
        Snapshot {
            control,
            per_second: [1_204_511.0, 204_511.0, 0.0, 0.0, 12.0, 0.0],
            functions: vec![HotFunction {
                function: "main.(*Cache).Put\u{1b}[2J".into(),
                operation: Operation::Assign,
                per_second: 204_511.0,
            }],
            maps: vec![HotMap {
                address: Hex(0xc000_1230),
                type_name: Some("map[string]int".into()),
                per_second: 1_409_022.0,
                writes_per_second: 204_511.0,
            }],
            findings: Vec::new(),
            recorded: 123_456,
            missed: 0,
            lost: Losses::default(),
            held_ns: 0,
            age_ns: 12_000_000_000,
        }
    }

    fn screen(view: &View) -> anyhow::Result<String> {
        let mut terminal = Terminal::new(TestBackend::new(80, 24))?;
        terminal.draw(|frame| view.draw(frame))?;
        Ok(terminal.backend().to_string())
    }

    #[test]
    fn everything_has_its_place_on_80_by_24() -> anyhow::Result<()> {
        let mut view = View::new("server", 7, true, snapshot(GATE_OBSERVE));
        let shown = screen(&view)?;
        for part in [
            "server (process 7)  mode observe, 1 in 1024 recorded  up 12 s",
            "read         1,204,511 ████████████████",
            "recorded                     123,456",
            "overhead, about       0.56% of a CPU",
            "204,511  assign  main.(*Cache).Put\u{fffd}[2J",
            "1,409,022      204,511  0xc0001230     map[string]int",
            "conflicts: 0 findings, seen 0 times",
            "none so far",
            "mode: 0 off o observe",
        ] {
            assert!(shown.contains(part), "{part} is in\n{shown}");
        }
        view.say("cannot go back".into());
        view.pause();
        view.update(snapshot(GATE_TRACE), true);
        let shown = screen(&view)?;
        assert!(
            shown.contains("PAUSED") && shown.contains("cannot go back"),
            "{shown}"
        );
        assert!(shown.contains("mode observe"), "{shown}");
        Ok(())
    }

    #[test]
    fn large_numbers_can_be_read() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
