//! Names of the source, each kept once: a [`Name`] is a number, compared and copied as one.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, OnceLock, PoisonError, RwLock};

/// An identifier, an import path or a literal's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(u32);

/// The numbers of all names. Names live as long as the process: a scan ends with it.
static NUMBERS: LazyLock<RwLock<Map<&'static str, u32>>> = LazyLock::new(RwLock::default);

/// Their texts, where they are read without a lock: each shelf has room for twice as many as the one before.
static SHELVES: [OnceLock<Box<[OnceLock<&'static str>]>>; SHELF_COUNT] =
    [const { OnceLock::new() }; SHELF_COUNT];

/// As many as hold all numbers but the last few.
const SHELF_COUNT: usize = (u32::BITS - FIRST_SHELF_BITS) as usize;
/// Room in the first shelf, as a power of two.
const FIRST_SHELF_BITS: u32 = 10;

/// A hash map for keys that nobody chooses to make them collide.
pub type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// A set of such keys.
pub type Set<K> = HashSet<K, foldhash::fast::FixedState>;

/// The shelf that a name's text is on, its place there, and how many have room there.
fn place_of(number: u32) -> (usize, usize, usize) {
    let position = u64::from(number) + (1 << FIRST_SHELF_BITS);
    let bits = position.ilog2();
    let room = 1usize << bits;
    let shelf = (bits - FIRST_SHELF_BITS) as usize;
    // A position has its highest bit in `room`, so the rest is below it.
    let at = usize::try_from(position).unwrap_or(usize::MAX) - room;
    (shelf, at, room)
}

fn shelve(number: u32, text: &'static str) {
    let (shelf, at, room) = place_of(number);
    let Some(shelf) = SHELVES.get(shelf) else {
        return;
    };
    let shelf = shelf.get_or_init(|| (0..room).map(|_| OnceLock::new()).collect());
    if let Some(place) = shelf.get(at) {
        place.get_or_init(|| text);
    }
}

impl Name {
    /// The name with this text.
    pub fn new(text: &str) -> Name {
        let known = NUMBERS.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = known.get(text) {
            return Name(number);
        }
        drop(known);
        let mut numbers = NUMBERS.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = numbers.get(text) {
            return Name(number);
        }
        // 4 G different names do not fit a source tree that fits the memory.
        let number = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        shelve(number, text);
        numbers.insert(text, number);
        Name(number)
    }

    /// Its text.
    pub fn text(self) -> &'static str {
        let (shelf, at, _) = place_of(self.0);
        let shelf = SHELVES.get(shelf).and_then(OnceLock::get);
        let text = shelf.and_then(|shelf| shelf.get(at)?.get());
        text.copied().unwrap_or("")
    }

    /// Its number: the same as long as the process lives.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Visible outside its package.
    pub fn is_exported(self) -> bool {
        self.text().chars().next().is_some_and(char::is_uppercase)
    }

    /// The blank identifier.
    pub fn is_blank(self) -> bool {
        self.text() == "_"
    }
}

/// In the order of their texts: numbers are given as files are parsed, in an order that differs from run to run.
impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text().cmp(other.text())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.text() == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.text() == *other
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

/// The names of what is written or read by this thread, by the numbers that stand for them there.
#[derive(Default)]
struct Dictionary {
    numbers: HashMap<Name, u32>,
    names: Vec<Name>,
}

thread_local! {
    static DICTIONARY: RefCell<Dictionary> = RefCell::default();
}

/// Writes something with names in it; they are listed beside it.
pub fn written<T>(write: impl FnOnce() -> T) -> (Vec<Name>, T) {
    DICTIONARY.with_borrow_mut(|dictionary| *dictionary = Dictionary::default());
    let result = write();
    let names = DICTIONARY.with_borrow_mut(|dictionary| std::mem::take(&mut dictionary.names));
    (names, result)
}

/// Reads something that was [`written`] with these names.
pub fn with_names<T>(names: Vec<Name>, read: impl FnOnce() -> T) -> T {
    DICTIONARY.with_borrow_mut(|dictionary| dictionary.names = names);
    let result = read();
    DICTIONARY.with_borrow_mut(|dictionary| *dictionary = Dictionary::default());
    result
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let number = DICTIONARY.with_borrow_mut(|dictionary| {
            let Dictionary { numbers, names } = dictionary;
            *numbers.entry(*self).or_insert_with(|| {
                names.push(*self);
                // As many names as fit the table of all of them.
                u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
            })
        });
        number.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Name, D::Error> {
        let number = u32::deserialize(from)?;
        let name =
            DICTIONARY.with_borrow(|dictionary| dictionary.names.get(number as usize).copied());
        name.ok_or_else(|| D::Error::custom("a name is missing"))
    }
}
