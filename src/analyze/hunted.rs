//! What mode hunt has already tried: at which places it held operations, and how that went.

use super::executable::Hunted;
use super::frames;
use super::model::Side;
use crate::ring::{Ring, layout::Place};
use std::collections::HashMap;

/// A place that is certain to be held, in `Place::chance`.
const CERTAIN: f64 = 1024.0;

/// What is known about the places of one ring's program.
pub struct HuntedPlaces<'a> {
    /// By the low half of the return address: from the ring itself.
    own: HashMap<u32, f64>,
    /// From earlier runs.
    earlier: &'a [Hunted],
}

impl HuntedPlaces<'_> {
    /// What a ring and earlier runs say.
    pub fn of<'a>(ring: &Ring, earlier: &'a [Hunted]) -> HuntedPlaces<'a> {
        // A ring whose places cannot be read is told of elsewhere.
        let places = ring.suspects().unwrap_or_default();
        let tried = places.iter().filter(|place| place.holds > 0);
        HuntedPlaces {
            own: tried.map(|place| (place.pc, chance(place))).collect(),
            earlier,
        }
    }

    /// From 0 to 1: how little hunting has disproved of this place. 1 where nothing was held, or somebody
    /// was caught.
    pub fn untried(&self, pc: Option<u32>, side: &Side) -> f64 {
        let own = pc.and_then(|pc| self.own.get(&pc)).copied();
        let frame = frames::innermost_user(&side.stack);
        let earlier = frame.and_then(|frame| {
            let is_it = |place: &&Hunted| {
                (place.line, place.function.as_str()) == (frame.line, frame.function.as_str())
                    && place.file == frame.file
            };
            self.earlier.iter().find(is_it).map(|place| place.chance)
        });
        own.unwrap_or(1.0)
            .min(earlier.unwrap_or(1.0))
            .clamp(0.0, 1.0)
    }
}

/// Each fruitless hold lowers a place's chance.
fn chance(place: &Place) -> f64 {
    if place.catches > 0 {
        1.0
    } else {
        f64::from(place.chance) / CERTAIN
    }
}
