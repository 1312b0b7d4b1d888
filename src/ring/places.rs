use super::layout::{self, PAIR_COUNT, PLACE_COUNT, Pair, Place, TRAFFIC_COUNT, Traffic};
use super::{Ring, RingError};
use zerocopy::FromZeros;

impl Ring {
    /// Copies the places under suspicion: those that took part in near misses.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn suspects(&self) -> Result<Vec<Place>, RingError> {
        let mut places = self.places()?;
        places.retain(|place| place.near_misses != 0);
        Ok(places)
    }

    /// Copies all places that hunt has seen an operation at.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn places(&self) -> Result<Vec<Place>, RingError> {
        let mut places = vec![Place::new_zeroed(); PLACE_COUNT];
        self.read_into(layout::PLACES_OFFSET as u64, &mut places)?;
        places.retain(|place| place.pc != 0);
        Ok(places)
    }

    /// Copies the pairs of places that were seen in order: that something orders them was seen `ordered` times.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn ordered_pairs(&self) -> Result<Vec<Pair>, RingError> {
        let mut pairs = vec![Pair::new_zeroed(); PAIR_COUNT];
        self.read_into(layout::PAIRS_OFFSET as u64, &mut pairs)?;
        pairs.retain(|pair| pair.key != 0 && pair.ordered != 0);
        Ok(pairs)
    }

    /// Operations at busy places that hunt did not look at, to keep its budget.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn left_out(&self) -> Result<u64, RingError> {
        let mut traffic = vec![Traffic::new_zeroed(); TRAFFIC_COUNT];
        self.read_into(layout::TRAFFIC_OFFSET as u64, &mut traffic)?;
        let left_out = traffic.iter().map(|entry| entry.left_out);
        Ok(left_out.fold(0, u64::saturating_add))
    }
}
