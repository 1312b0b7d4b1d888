use super::layout;

/// What a goroutine did with a map.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// `m[k]` as a value.
    Read,
    /// `m[k] = v`.
    Assign,
    /// `delete(m, k)`.
    Delete,
    /// `clear(m)`.
    Clear,
    /// One step of `for range m`.
    Iterate,
    /// `maps.Clone(m)`.
    Clone,
}

impl Operation {
    /// The operation that `OP_*` code stands for.
    pub fn from_code(code: u8) -> Option<Operation> {
        Some(match code {
            layout::OP_READ => Operation::Read,
            layout::OP_ASSIGN => Operation::Assign,
            layout::OP_DELETE => Operation::Delete,
            layout::OP_CLEAR => Operation::Clear,
            layout::OP_ITERATE => Operation::Iterate,
            layout::OP_CLONE => Operation::Clone,
            _ => return None,
        })
    }

    /// As it is stored in records: the inverse of [`Operation::from_code`].
    pub fn code(self) -> u8 {
        match self {
            Operation::Read => layout::OP_READ,
            Operation::Assign => layout::OP_ASSIGN,
            Operation::Delete => layout::OP_DELETE,
            Operation::Clear => layout::OP_CLEAR,
            Operation::Iterate => layout::OP_ITERATE,
            Operation::Clone => layout::OP_CLONE,
        }
    }

    /// Its name in JSON: `read`, `assign`, `delete`, `clear`, `iterate`, `clone`.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Assign => "assign",
            Operation::Delete => "delete",
            Operation::Clear => "clear",
            Operation::Iterate => "iterate",
            Operation::Clone => "clone",
        }
    }

    /// Its name in a sentence: "write by goroutine 7".
    pub fn noun(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Assign => "write",
            Operation::Delete => "delete",
            Operation::Clear => "clear",
            Operation::Iterate => "iteration",
            Operation::Clone => "clone",
        }
    }

    /// It changes the map, so that it conflicts with every other operation.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Operation::Assign | Operation::Delete | Operation::Clear
        )
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The goroutine id in [`layout::Record::who`].
pub fn goid_of(record: &layout::Record) -> u64 {
    record.who & 0xffff_ffff_ffff
}

/// The operation in [`layout::Record::who`]; `None` when the record is damaged.
pub fn operation_of(record: &layout::Record) -> Option<Operation> {
    let [.., code, _flags] = record.who.to_le_bytes();
    Operation::from_code(code)
}
