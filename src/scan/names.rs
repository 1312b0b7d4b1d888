//! Names of the source, each kept once: a [`Name`] is a number, compared and copied as one.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

/// An identifier, an import path or a literal's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(u32);

/// The numbers of all names. Names live as long as the process: a scan ends with it.
static NUMBERS: LazyLock<RwLock<HashMap<&'static str, u32, foldhash::fast::RandomState>>> =
    LazyLock::new(RwLock::default);

/// Their texts, by number, which are read without a lock.
static TEXTS: boxcar::Vec<&'static str> = boxcar::Vec::new();

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
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        // 4 G different names do not fit a source tree that fits the memory.
        let number = u32::try_from(TEXTS.push(text)).unwrap_or(u32::MAX);
        numbers.insert(text, number);
        Name(number)
    }

    /// Its text.
    pub fn text(self) -> &'static str {
        TEXTS.get(self.0 as usize).copied().unwrap_or("")
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
