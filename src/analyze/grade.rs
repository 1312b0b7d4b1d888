//! How sure a conflict is. The one rule: "confirmed" is never a false alarm.

use super::model::{Evidence, EvidenceKind, Grade};
use crate::ring::Operation;
use crate::ring::layout::{self, Conflict, Side};

/// Grades a conflict record by what was proven when it was written.
pub fn grade(conflict: &Conflict) -> (Grade, Evidence) {
    match conflict.evidence {
        layout::EVIDENCE_RUNTIME_FATAL => (Grade::Confirmed, runtime_fatal(conflict)),
        layout::EVIDENCE_FLAG_AT_ENTRY if both_inside(conflict) => {
            (Grade::Confirmed, caught_in_the_act())
        }
        layout::EVIDENCE_FLAG_AT_ENTRY if proves_a_writer(conflict) => {
            (Grade::Confirmed, writing_flag(conflict))
        }
        layout::EVIDENCE_OVERLAP if met_each_other(conflict, layout::SIDE_INSIDE) => {
            (Grade::Confirmed, caught_in_the_act())
        }
        layout::EVIDENCE_TRAP if met_each_other(conflict, layout::SIDE_HELD) => {
            (Grade::Confirmed, held_at_the_door())
        }
        _ => (Grade::Suspect, unknown()),
    }
}

/// Two different goroutines, at least one of them writing, the second one known to have been there.
fn met_each_other(conflict: &Conflict, certainty: u8) -> bool {
    let [noticed, found] = &conflict.sides;
    let operations = [operation(noticed), operation(found)];
    found.certainty == certainty
        && noticed.goid != 0
        && found.goid != 0
        && noticed.goid != found.goid
        && operations.iter().all(Option::is_some)
        && operations
            .iter()
            .flatten()
            .any(|operation| operation.writes())
}

/// Two different goroutines, both inside, at least one of them writing.
fn both_inside(conflict: &Conflict) -> bool {
    let [noticed, found] = &conflict.sides;
    let inside = found.certainty == layout::SIDE_INSIDE;
    let different = noticed.goid != 0 && found.goid != 0 && noticed.goid != found.goid;
    // The flag was set by the other side, so that one must be a writer.
    inside
        && different
        && operation(noticed).is_some()
        && operation(found).is_some_and(Operation::writes)
}

/// A goroutine about to use the map saw it marked as being written, and only writers mark it.
fn proves_a_writer(conflict: &Conflict) -> bool {
    let [noticed, found] = &conflict.sides;
    let by_itself = found.goid == noticed.goid;
    noticed.goid != 0 && !by_itself && operation(noticed).is_some() && conflict.map != 0
}

/// The second side is another goroutine than the first, and its operation writes.
fn found_a_writer(conflict: &Conflict) -> bool {
    let [noticed, found] = &conflict.sides;
    let is_known = found.goid != 0 && found.goid != noticed.goid;
    is_known && operation(found).is_some_and(Operation::writes)
}

/// The operation of a side, if it has one.
pub fn operation(side: &Side) -> Option<Operation> {
    Operation::from_code(side.op)
}

fn caught_in_the_act() -> Evidence {
    Evidence {
        kind: EvidenceKind::CaughtInTheAct,
        summary: "caught in the act".into(),
        statement: "one goroutine came to the map while the other was inside its operation".into(),
    }
}

fn held_at_the_door() -> Evidence {
    Evidence {
        kind: EvidenceKind::CaughtInTheAct,
        summary: "caught in the act".into(),
        statement:
            "one goroutine was held at the door of its operation when the other came to the map; \
                    nothing orders the two"
                .into(),
    }
}

/// The runtime's check looks at the flag that writers set. So it proves that there was a writer, and
/// only a goroutine that was writing can have been it.
fn runtime_fatal(conflict: &Conflict) -> Evidence {
    let [noticed, found] = &conflict.sides;
    let is_known = found.goid != 0 && found.goid != noticed.goid;
    let writes = found_a_writer(conflict);
    let statement = match found.certainty {
        layout::SIDE_INSIDE if writes => {
            "the runtime's own check failed while the other goroutine was inside its operation"
        }
        layout::SIDE_JUST_LEFT if writes => {
            "the runtime proved the conflict; the other goroutine had just left an operation that wrote to the map"
        }
        layout::SIDE_LATEST if writes => {
            "the runtime proved the conflict; the other goroutine was the last one known to have written to the map"
        }
        layout::SIDE_INSIDE | layout::SIDE_JUST_LEFT | layout::SIDE_LATEST if is_known => {
            "the runtime proved that somebody was writing to the map; the other goroutine is known to have used it, \
             the writer is not known"
        }
        _ => "the runtime proved the conflict; nothing was recorded about the other goroutine",
    };
    Evidence {
        kind: EvidenceKind::RuntimeFatal,
        summary: "the Go runtime stopped the program".into(),
        statement: statement.into(),
    }
}

/// As with the runtime's check: the flag proves a writer; which one, the second side's certainty says.
fn writing_flag(conflict: &Conflict) -> Evidence {
    let statement = match conflict.sides[1].certainty {
        layout::SIDE_JUST_LEFT if found_a_writer(conflict) => {
            "a goroutine came to the map while it was being written; the other goroutine had just left an \
             operation that wrote to it"
        }
        layout::SIDE_LATEST if found_a_writer(conflict) => {
            "a goroutine came to the map while it was being written; the other goroutine was the last one \
             known to have written to it"
        }
        _ => {
            "a goroutine came to the map while it was being written; nothing was recorded about the writer"
        }
    };
    Evidence {
        kind: EvidenceKind::WritingFlag,
        summary: "the map was being written".into(),
        statement: statement.into(),
    }
}

fn unknown() -> Evidence {
    Evidence {
        kind: EvidenceKind::Unknown,
        summary: "evidence of an unknown kind".into(),
        statement: "recorded with evidence that this gocc does not know".into(),
    }
}
