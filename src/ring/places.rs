use super::layout::{self, PLACE_COUNT, Place};
use super::{Ring, RingError};
use zerocopy::FromZeros;

impl Ring {
    /// Copies the places under suspicion: those that took part in near misses.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn suspects(&self) -> Result<Vec<Place>, RingError> {
        let mut places = vec![Place::new_zeroed(); PLACE_COUNT];
        self.read_into(layout::PLACES_OFFSET as u64, &mut places)?;
        places.retain(|place| place.pc != 0 && place.near_misses != 0);
        Ok(places)
    }
}
