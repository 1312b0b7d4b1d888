//! The *shim* is the compiled part of the injected code (`stubs/shim.rs`). The build links it into an
//! ELF file; here it is taken apart: its bytes, its functions, and how far each instruction's stack
//! pointer is from the function's entry.

use gimli::{BaseAddresses, CfaRule, EhFrame, LittleEndian, UnwindContext, UnwindSection};
use object::{Object, ObjectSection, ObjectSymbol};

static BLOB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim.elf"));

/// The build produced a shim that breaks its rules: a defect of gocc, not of the input.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// The linked shim is not readable.
    #[error("the shim's ELF file: {0}")]
    Elf(#[from] object::Error),
    /// Its unwind information is not readable.
    #[error("the shim's unwind information: {0}")]
    Unwind(#[from] gimli::Error),
    /// A rule of `stubs/shim.rs` is broken.
    #[error("the shim {0}")]
    Rule(String),
}

/// A change of the stack pointer's distance from its value at a function's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpDelta {
    /// Bytes from the function's start; the value holds up to the next entry.
    pub at: u32,
    /// Entry stack pointer minus stack pointer, in bytes.
    pub bytes: u32,
}

/// One function of the shim.
#[derive(Clone, Debug)]
pub struct ShimFunction {
    /// `gocc_conflict`, or for internal ones their Rust path's last part.
    pub name: String,
    /// Offset in the image.
    pub start: u32,
    /// Size in bytes, up to the next function.
    pub size: u32,
    /// Ascending by offset, the first at 0.
    pub sp_deltas: Vec<SpDelta>,
}

/// The shim, ready to be placed at any 16-byte aligned address.
#[derive(Clone, Debug)]
pub struct Shim {
    /// Code, then constants.
    pub image: Vec<u8>,
    /// Bytes of code at the image's start.
    #[cfg_attr(not(test), expect(dead_code))]
    pub code_size: u32,
    /// Ascending, covering the code without gaps.
    pub functions: Vec<ShimFunction>,
}

impl Shim {
    /// Takes the embedded shim apart.
    pub fn load() -> Result<Shim, ShimError> {
        let file = object::File::parse(BLOB)?;
        let (image, code_size) = flatten(&file)?;
        let functions = functions(&file, code_size)?;
        Ok(Shim {
            image,
            code_size,
            functions,
        })
    }

    /// The offset of an entry point.
    pub fn entry(&self, name: &str) -> Result<u32, ShimError> {
        let found = self.functions.iter().find(|function| function.name == name);
        found
            .map(|function| function.start)
            .ok_or_else(|| ShimError::Rule(format!("has no function {name}")))
    }
}

/// `.text` and `.rodata` at their linked distances, and the size of `.text`.
fn flatten(file: &object::File<'_>) -> Result<(Vec<u8>, u32), ShimError> {
    let mut image = Vec::new();
    let mut code_size = 0;
    for section in file.sections() {
        let name = section.name()?;
        match name {
            ".text" => code_size = section.size() as u32,
            ".rodata" => {}
            ".data" | ".bss" | ".got" | ".rela.dyn" | ".init_array" if section.size() != 0 => {
                return Err(ShimError::Rule(format!("has a section {name}")));
            }
            _ => continue,
        }
        let start = section.address() as usize;
        let data = section.data()?;
        let end = start.saturating_add(data.len());
        if end > BLOB.len() {
            return Err(ShimError::Rule(format!(
                "has {name} at {start:#x}, outside its own size"
            )));
        }
        image.resize(image.len().max(end), 0xcc);
        if let Some(place) = image.get_mut(start..end) {
            place.copy_from_slice(data);
        }
    }
    Ok((image, code_size))
}

fn functions(file: &object::File<'_>, code_size: u32) -> Result<Vec<ShimFunction>, ShimError> {
    let mut starts: Vec<(u32, String)> = file
        .symbols()
        .filter(|symbol| {
            symbol.kind() == object::SymbolKind::Text && symbol.address() < u64::from(code_size)
        })
        .map(|symbol| Ok((symbol.address() as u32, short_name(symbol.name()?))))
        .collect::<Result<_, object::Error>>()?;
    starts.sort();
    starts.dedup_by_key(|(start, _)| *start);
    if starts.first().is_none_or(|(start, _)| *start != 0) {
        return Err(ShimError::Rule("does not start with a function".into()));
    }
    let ends = starts
        .iter()
        .skip(1)
        .map(|(start, _)| *start)
        .chain([code_size]);
    let rows = sp_rows(file)?;
    starts
        .iter()
        .zip(ends)
        .map(|((start, name), end)| describe(name, *start, end, &rows))
        .collect()
}

fn describe(
    name: &str,
    start: u32,
    end: u32,
    rows: &[(u32, u32)],
) -> Result<ShimFunction, ShimError> {
    let mut sp_deltas: Vec<SpDelta> = rows
        .iter()
        .filter(|(at, _)| (start..end).contains(at))
        .map(|(at, bytes)| SpDelta {
            at: at - start,
            bytes: *bytes,
        })
        .collect();
    sp_deltas.dedup_by_key(|delta| delta.bytes);
    if sp_deltas
        .first()
        .is_none_or(|delta| delta.at != 0 || delta.bytes != 0)
    {
        return Err(ShimError::Rule(format!(
            "has no unwind information for {name}"
        )));
    }
    Ok(ShimFunction {
        name: name.to_owned(),
        start,
        size: end - start,
        sp_deltas,
    })
}

/// Every row of the unwind table: address, and bytes between the stack pointer and its value at the
/// function's entry. The canonical frame address is 8 above the latter (System V ABI, AMD64, 3.7).
fn sp_rows(file: &object::File<'_>) -> Result<Vec<(u32, u32)>, ShimError> {
    let section = file
        .section_by_name(".eh_frame")
        .ok_or_else(|| ShimError::Rule("has no .eh_frame".into()))?;
    let data = section.data()?;
    let frame = EhFrame::new(data, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(section.address());
    let mut context = UnwindContext::new();
    let mut entries = frame.entries(&bases);
    let mut rows = Vec::new();
    while let Some(entry) = entries.next()? {
        let gimli::CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial.parse(EhFrame::cie_from_offset)?;
        let mut table = fde.rows(&frame, &bases, &mut context)?;
        while let Some(row) = table.next_row()? {
            let CfaRule::RegisterAndOffset {
                register: gimli::X86_64::RSP,
                offset: offset @ 8..,
            } = *row.cfa()
            else {
                return Err(ShimError::Rule(format!(
                    "has a frame not relative to RSP at {:#x}",
                    row.start_address()
                )));
            };
            rows.push((row.start_address() as u32, (offset - 8) as u32));
        }
    }
    rows.sort_unstable();
    Ok(rows)
}

/// `_ZN9gocc_shim8conflict6record17h9cca574139378cd6E` to `conflict_record`; others unchanged.
fn short_name(symbol: &str) -> String {
    let Some(mut rest) = symbol.strip_prefix("_ZN") else {
        return symbol.to_owned();
    };
    let mut parts = Vec::new();
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(len) = rest[..digits].parse::<usize>() else {
            break;
        };
        let Some(part) = rest.get(digits..digits + len) else {
            break;
        };
        parts.push(part);
        rest = &rest[digits + len..];
    }
    parts.pop();
    parts.iter().skip(1).copied().collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, FlowControl};

    #[test]
    fn has_its_entry_points_and_unwind_information_everywhere() {
        let shim = Shim::load().unwrap_or_else(|error| panic!("{error}"));
        for name in [
            "gocc_init",
            "gocc_conflict",
            "gocc_death",
            "gocc_enter",
            "gocc_leave",
            "gocc_lost",
            "gocc_overlap",
            "gocc_sampled",
        ] {
            assert!(shim.entry(name).is_ok(), "{name}");
        }
        let covered: u32 = shim.functions.iter().map(|function| function.size).sum();
        assert_eq!(covered, shim.code_size);
    }

    /// Deepest stack of a function in bytes, its callees' and their return addresses included; from
    /// the code itself. Recursion and indirect calls have no bound and fail.
    fn deepest_stack(shim: &Shim, function: &ShimFunction, callers: &mut Vec<u32>) -> u32 {
        assert!(
            !callers.contains(&function.start),
            "{} is recursive",
            function.name
        );
        callers.push(function.start);
        let code = &shim.image[function.start as usize..(function.start + function.size) as usize];
        let mut decoder = Decoder::with_ip(64, code, function.start.into(), DecoderOptions::NONE);
        let mut deepest = function
            .sp_deltas
            .iter()
            .map(|delta| delta.bytes)
            .max()
            .unwrap_or(0);
        for instruction in decoder.iter() {
            let flow = instruction.flow_control();
            assert_ne!(
                flow,
                FlowControl::IndirectCall,
                "in {}: {instruction}",
                function.name
            );
            let leaves = matches!(
                flow,
                FlowControl::Call
                    | FlowControl::UnconditionalBranch
                    | FlowControl::ConditionalBranch
            );
            let target = instruction.near_branch_target() as u32;
            let inside = (function.start..function.start + function.size).contains(&target);
            if !leaves || inside || target >= shim.code_size {
                continue;
            }
            let callee = shim.functions.iter().find(|callee| callee.start == target);
            let callee = callee
                .unwrap_or_else(|| panic!("{} calls into the middle of something", function.name));
            let at = instruction.ip() as u32 - function.start;
            let here = function
                .sp_deltas
                .iter()
                .rev()
                .find(|delta| delta.at <= at)
                .map_or(0, |delta| delta.bytes);
            deepest = deepest.max(here + 8 + deepest_stack(shim, callee, callers));
        }
        callers.pop();
        deepest
    }

    /// Below a passed stack check at least 800 bytes of a goroutine's stack are free (StackSmall lets a frame
    /// reach 128 below the guard, which is 928 above the stack's end; internal/abi/stack.go, runtime/stack.go).
    /// A failed check calls from inside a frame, where no more than that is free; the bound leaves 200.
    #[test]
    fn slow_paths_need_less_stack_than_a_passed_check_leaves() {
        /// Return address, and what a hook saves around its call.
        const HOOK: u32 = 8 + 4 * 8;
        /// Registers that survive `gocc_sampled` besides.
        const ALSO: u32 = 2 * 8;
        let shim = Shim::load().unwrap_or_else(|error| panic!("{error}"));
        for name in [
            "gocc_conflict",
            "gocc_death",
            "gocc_enter",
            "gocc_leave",
            "gocc_lost",
            "gocc_overlap",
            "gocc_sampled",
        ] {
            let function = shim.functions.iter().find(|function| function.name == name);
            let function = function.unwrap_or_else(|| panic!("no {name}"));
            let also = if name == "gocc_sampled" { ALSO } else { 0 };
            let needed = HOOK + also + deepest_stack(&shim, function, &mut Vec::new());
            println!("{name} needs {needed} bytes of stack");
            assert!(needed <= 600, "{name} needs {needed} bytes");
        }
    }

    #[test]
    fn names_are_readable() {
        assert_eq!(
            short_name("_ZN9gocc_shim8conflict6record17h9cca574139378cd6E"),
            "conflict_record"
        );
        assert_eq!(short_name("gocc_init"), "gocc_init");
    }
}
