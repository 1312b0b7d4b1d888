//! The code of an output while it is put together.

use crate::image::Vaddr;
use crate::patch::asm::Assembled;
use crate::patch::moduledata::InjectedFunction;
use crate::patch::shim::Shim;

/// Fills what is not to be executed.
pub(super) const INT3: u8 = 0xcc;

/// The text segment under construction: the shim first, then what is emitted, function by function.
pub(super) struct InjectedCode {
    pub(super) start: Vaddr,
    pub(super) bytes: Vec<u8>,
    pub(super) functions: Vec<InjectedFunction>,
}

impl InjectedCode {
    pub(super) fn new(start: Vaddr, shim: &Shim) -> InjectedCode {
        let functions = shim.functions.iter().map(|function| InjectedFunction {
            name: format!(
                "gocc.{}",
                function
                    .name
                    .strip_prefix("gocc_")
                    .unwrap_or(&format!("shim_{}", function.name))
            ),
            start: Vaddr(start.0 + u64::from(function.start)),
            size: u64::from(function.size),
            sp_deltas: function.sp_deltas.clone(),
        });
        InjectedCode {
            start,
            bytes: shim.image.clone(),
            functions: functions.collect(),
        }
    }

    /// Adds a function at the next aligned place; where it starts.
    pub(super) fn add(
        &mut self,
        name: &str,
        emit: impl FnOnce(Vaddr) -> Result<Assembled, iced_x86::IcedError>,
    ) -> Result<Vaddr, iced_x86::IcedError> {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(64), INT3);
        let start = self.end();
        let assembled = emit(start)?;
        self.functions.push(InjectedFunction {
            name: name.to_owned(),
            start,
            size: assembled.bytes.len() as u64,
            sp_deltas: assembled.sp_deltas,
        });
        self.bytes.extend(assembled.bytes);
        Ok(start)
    }

    pub(super) fn end(&self) -> Vaddr {
        Vaddr(self.start.0 + self.bytes.len() as u64)
    }
}
