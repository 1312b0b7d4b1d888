//! Hash maps of what the scanner itself numbers: nobody chooses such keys to make them collide, and a map made in the
//! same way is walked in the same order each time.

use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet};

/// A hash map.
pub type Map<K, V> = HashMap<K, V, FixedState>;

/// A set.
pub type Set<K> = HashSet<K, FixedState>;
