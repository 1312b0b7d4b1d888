//! What a project makes of findings.

use super::baseline::Baseline;
use super::run::Setting;
use super::subject::Subject;
use super::suppress::Suppression;
use crate::analyze::model::{Allowance, AllowedBy, Analysis, Confidence, Finding, Grade};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// What becomes of a finding that nothing allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It is reported.
    Log,
    /// It is reported, and the exit code is 66.
    Fail,
    /// It also ends the program that runs.
    Stop,
}

impl Decision {
    /// Its name in `gocc.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Decision::Log => "log",
            Decision::Fail => "fail",
            Decision::Stop => "stop",
        }
    }
}

/// The decision table, `[decide]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Mistakes that the source shows.
    pub source: Setting<Decision>,
    /// What was proven while a program ran.
    pub confirmed: Setting<Decision>,
    /// What nothing proves.
    pub suspect: Setting<Decision>,
}

impl Default for Decisions {
    fn default() -> Decisions {
        let default = |value| Setting { value, line: None };
        Decisions {
            source: default(Decision::Fail),
            confirmed: default(Decision::Fail),
            suspect: default(Decision::Log),
        }
    }
}

impl Decisions {
    /// What becomes of a finding. One that the source shows as well is subject to both; what the source gives
    /// only as a hint, or what ran often without a collision until no more is left, is a suspect.
    pub fn of(&self, finding: &Finding) -> Decision {
        let of_grade = match finding.grade {
            Grade::Confirmed => self.confirmed.value,
            Grade::Suspect => self.suspect.value,
        };
        match &finding.scan {
            Some(scan) if scan.confidence > Confidence::Low => {
                let of_source = self.source.value;
                if finding.is_of_source() {
                    of_source
                } else {
                    of_source.max(of_grade)
                }
            }
            _ => of_grade,
        }
    }
}

/// Everything that bears on a verdict.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What fails.
    pub decisions: Decisions,
    /// What is allowed.
    pub suppressions: Vec<Suppression>,
    /// What was known, and the name of its file.
    pub baseline: Option<(String, Baseline)>,
    /// What the configuration file is called in messages.
    pub file: String,
    /// The day of the verdict.
    pub today: Date,
}

/// What becomes of an analysis.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Findings that fail, confirmed ones and suspects.
    pub failing: usize,
    /// Findings that something allows.
    pub allowed: usize,
    /// Suppressions whose time is over.
    pub expired: Vec<Expired>,
}

/// A suppression whose time is over.
#[derive(Clone, Debug)]
pub struct Expired {
    /// `gocc.toml:12`.
    pub at: String,
    /// What it matches.
    pub what: String,
    /// The last day on which it was in force.
    pub since: Date,
    /// Why it was there.
    pub reason: String,
}

impl Verdict {
    /// Suspects fail as well, whatever the configuration says of them, unless something allows them.
    pub fn fail_on_suspects(&mut self, analysis: &Analysis) {
        let all = analysis.findings.iter().chain(&analysis.suspects);
        let more =
            all.filter(|finding| finding.grade == Grade::Suspect && finding.allowed.is_none());
        self.failing += more.count();
    }

    /// The exit code is that of findings.
    pub fn fails(&self) -> bool {
        self.failing > 0 || !self.expired.is_empty()
    }
}

impl std::fmt::Display for Expired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Expired {
            at,
            what,
            since,
            reason,
        } = self;
        write!(
            f,
            "{at}: the suppression of {what} expired on {since} (its reason was: {reason}); mend the code, give it another day, or remove it"
        )
    }
}

impl Policy {
    /// Notes with each finding what allows it, and says what becomes of them all.
    pub fn judge(&self, analysis: &mut Analysis) -> Verdict {
        let mut verdict = Verdict {
            expired: self.expired(),
            ..Verdict::default()
        };
        for finding in analysis.findings.iter_mut().chain(&mut analysis.suspects) {
            self.judge_one(finding, &mut verdict);
        }
        verdict
    }

    fn judge_one(&self, finding: &mut Finding, verdict: &mut Verdict) {
        finding.allowed = self.allows(&Subject::from(&*finding));
        if finding.allowed.is_some() {
            verdict.allowed += 1;
        } else if self.decisions.of(finding) != Decision::Log {
            verdict.failing += 1;
        }
    }

    /// What allows a finding.
    pub fn allows(&self, subject: &Subject) -> Option<Allowance> {
        let mut in_force = self
            .suppressions
            .iter()
            .filter(|suppression| !suppression.is_expired(self.today));
        if let Some(suppression) = in_force.find(|suppression| suppression.matches(subject)) {
            return Some(Allowance {
                by: AllowedBy::Suppression,
                at: format!("{}:{}", self.file, suppression.at),
                reason: suppression.reason.clone(),
                until: suppression.expires.map(|day| day.to_string()),
            });
        }
        let (file, baseline) = self.baseline.as_ref()?;
        baseline.has(subject).then(|| Allowance {
            by: AllowedBy::Baseline,
            at: file.clone(),
            reason: "known when the baseline was written".to_owned(),
            until: None,
        })
    }

    /// The suppressions whose time is over.
    pub fn expired(&self) -> Vec<Expired> {
        let is_over = |suppression: &&Suppression| suppression.is_expired(self.today);
        let over = self.suppressions.iter().filter(is_over);
        over.filter_map(|suppression| {
            Some(Expired {
                at: format!("{}:{}", self.file, suppression.at),
                what: suppression.what(),
                since: suppression.expires?,
                reason: suppression.reason.clone(),
            })
        })
        .collect()
    }
}
