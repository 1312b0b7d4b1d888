//! Suppressions: findings that a project allows, for a reason and for a time.

use super::pattern::Pattern;
use super::subject::{Subject, SubjectSide};
use jiff::civil::Date;

/// Allows the findings that match everything it names. What it says about an operation must be true of one and
/// the same side.
#[derive(Clone, Debug)]
pub struct Suppression {
    /// The function that performs the operation.
    pub function: Option<Pattern>,
    /// A function that performs the operation or from which it was reached.
    pub caller: Option<Pattern>,
    /// The source file of the operation.
    pub file: Option<Pattern>,
    /// With `file`, the line (`place = "cache.go:41"` sets both).
    pub line: Option<u32>,
    /// The map's Go type.
    pub map: Option<Pattern>,
    /// Why it is allowed.
    pub reason: String,
    /// The last day on which it is.
    pub expires: Option<Date>,
    /// Its line in `gocc.toml`.
    pub at: u32,
}

impl Suppression {
    /// It is about this finding.
    pub fn matches(&self, subject: &Subject) -> bool {
        let map = self.map.as_ref().is_none_or(|map| {
            let known = subject.map_type.as_deref();
            known.is_some_and(|known| map.matches(known))
        });
        let is_of_a_side = self.function.is_some() || self.caller.is_some() || self.file.is_some();
        map && (!is_of_a_side || subject.sides.iter().any(|side| self.matches_side(side)))
    }

    fn matches_side(&self, side: &SubjectSide) -> bool {
        let function = self.function.as_ref();
        let caller = self.caller.as_ref();
        let file = self.file.as_ref();
        let mut reached_through = side.callers.iter().chain([&side.function]);
        function.is_none_or(|pattern| pattern.matches(&side.function))
            && caller.is_none_or(|pattern| reached_through.any(|name| pattern.matches(name)))
            && file.is_none_or(|pattern| pattern.matches_path(&side.file))
            && self.line.is_none_or(|line| line == side.line)
    }

    /// Its time is over on this day.
    pub fn is_expired(&self, today: Date) -> bool {
        self.expires.is_some_and(|last| last < today)
    }

    /// What it matches, in words: `function main.(*Cache).*, map map[string]int`.
    pub fn what(&self) -> String {
        let place = self.file.as_ref().map(|file| match self.line {
            Some(line) => format!("place {file}:{line}"),
            None => format!("file {file}"),
        });
        let named = |name: &str, pattern: &Option<Pattern>| {
            pattern.as_ref().map(|pattern| format!("{name} {pattern}"))
        };
        let parts = [
            named("function", &self.function),
            named("caller", &self.caller),
            place,
            named("map", &self.map),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        let put = SubjectSide {
            operation: "assign".into(),
            function: "main.(*Cache).Put".into(),
            file: "/app/db/cache.go".into(),
            line: 41,
            callers: vec!["main.fill".into(), "main.TestFill".into()],
        };
        let get = SubjectSide {
            operation: "read".into(),
            function: "main.(*Cache).Get".into(),
            file: "/app/db/read.go".into(),
            line: 7,
            callers: vec![],
        };
        Subject {
            sides: vec![put, get],
            map_type: Some("map[string]*main.Session".into()),
        }
    }

    fn none() -> Suppression {
        Suppression {
            function: None,
            caller: None,
            file: None,
            line: None,
            map: None,
            reason: "tested".into(),
            expires: None,
            at: 1,
        }
    }

    fn named(text: &str) -> Option<Pattern> {
        Some(Pattern::new(text))
    }

    #[test]
    fn everything_named_must_match_on_one_side() {
        let matches = |suppression: Suppression| suppression.matches(&subject());
        let function = |name: &str| Suppression {
            function: named(name),
            ..none()
        };
        assert!(matches(function("main.(*Cache).Put")));
        assert!(matches(function("main.(*Cache).Get")));
        assert!(!matches(function("main.fill")));
        assert!(matches(Suppression {
            caller: named("main.Test*"),
            ..none()
        }));
        assert!(matches(Suppression {
            caller: named("main.(*Cache).Get"),
            ..none()
        }));
        assert!(matches(Suppression {
            file: named("cache.go"),
            line: Some(41),
            ..none()
        }));
        assert!(!matches(Suppression {
            file: named("cache.go"),
            line: Some(7),
            ..none()
        }));
        let mixed = Suppression {
            file: named("read.go"),
            ..function("*.Put")
        };
        assert!(!matches(mixed));
        assert!(matches(Suppression {
            map: named("map[string]*Session"),
            ..none()
        }));
        let other_map = Suppression {
            map: named("map[int]int"),
            ..function("*.Put")
        };
        assert!(!matches(other_map));
    }

    #[test]
    fn the_last_day_still_counts() {
        let day = |day| jiff::civil::date(2026, 11, day);
        let until = Suppression {
            expires: Some(day(23)),
            ..none()
        };
        assert!(!until.is_expired(day(22)) && !until.is_expired(day(23)));
        assert!(until.is_expired(day(24)));
        assert!(!none().is_expired(day(24)));
    }
}
