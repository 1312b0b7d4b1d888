//! A profile laid over the findings: do hot stacks run through the conflicting places?

use super::frames;
use super::model::{Analysis, Heat, ProfileSummary, Side};
use crate::profile::{Call, Overlay};

/// Says of every side how much of the profile runs through its place.
pub fn lay_over(analysis: &mut Analysis, overlay: Overlay, file: &str) {
    let findings = analysis.findings.iter_mut().chain(&mut analysis.suspects);
    for side in findings.flat_map(|finding| &mut finding.sides) {
        side.heat = heat(side, &overlay);
    }
    analysis.profile = Some(ProfileSummary {
        file: file.to_owned(),
        kind: overlay.kind.clone(),
        unit: overlay.unit.clone(),
        total: overlay.total,
    });
    analysis.overlay = overlay;
}

fn heat(side: &Side, overlay: &Overlay) -> Option<Heat> {
    let frame = frames::innermost_user(&side.stack)?;
    let in_function = |call: &Call| *call.function == *frame.function;
    Some(Heat {
        function: overlay.share(in_function),
        line: overlay.share(|call| in_function(call) && call.line == i64::from(frame.line)),
    })
}
