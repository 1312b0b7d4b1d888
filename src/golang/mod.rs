//! What Go executable is this? Version, function table, module data, struct layouts; and the
//! translation from program counters to functions, files and lines.

use crate::image::{Image, Vaddr};

/// Why an ELF image is not a Go executable that gocc understands.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// Placeholder of the first commit.
    #[error("not implemented")]
    NotImplemented,
}

/// `go1.MINOR`, with what else the version string says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GoVersion {
    /// 23 for go1.23.4.
    pub minor: u32,
    /// The whole string, as in runtime.buildVersion.
    pub text: String,
}

/// Which map implementation the runtime has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum MapImpl {
    /// `runtime.hmap`: up to 1.23, and noswissmap builds of 1.24 and 1.25.
    Hmap,
    /// `internal/runtime/maps.Map`: from 1.24 on.
    Swiss,
}

/// Where the layout's offsets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum LayoutSource {
    /// The executable's own DWARF.
    Dwarf,
    /// The checked-in table for its Go version.
    VersionTable,
}

/// Byte offsets inside the runtime's structs that hooks, shim and the injected moduledata need.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layout {
    /// g.stack.lo
    pub g_stack_lo: u32,
    /// g.stack.hi
    pub g_stack_hi: u32,
    /// g.stackguard0
    pub g_stackguard0: u32,
    /// g.m
    pub g_m: u32,
    /// g.goid
    pub g_goid: u32,
    /// g.parentGoid; None before Go 1.21
    pub g_parent_goid: Option<u32>,
    /// g.gopc
    pub g_gopc: u32,
    /// g.startpc
    pub g_startpc: u32,
    /// g.labels
    pub g_labels: u32,
    /// m.curg
    pub m_curg: u32,
    /// m.p
    pub m_p: u32,
    /// m.procid
    pub m_procid: u32,
    /// p.id (int32)
    pub p_id: u32,
    /// moduledata.bad
    pub moduledata_bad: u32,
    /// moduledata.next
    pub moduledata_next: u32,
    /// hmap.flags, or Map.writing
    pub map_writing: u32,
    /// The bits of that byte that mean a write is in progress: 4 (hashWriting) for hmap, 0xff for Swiss
    pub map_writing_mask: u8,
    /// hmap.hash0 or Map.seed (its low 32 bits are used)
    pub map_seed: u32,
    /// hiter.h or Iter.m
    pub iter_map: u32,
    /// hiter.t or Iter.typ
    pub iter_type: u32,
}

/// A function of the executable's function table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Func<'a> {
    /// Its name as in pclntab: `runtime.mapassign_fast64`.
    pub name: &'a str,
    /// First byte.
    pub entry: Vaddr,
    /// First byte of the next function (padding included).
    pub end: Vaddr,
    /// `funcID` of internal/abi; FuncIDWrapper for wrappers.
    pub func_id: u8,
    /// `flag` of `_func`.
    pub flag: u8,
}

/// One frame of a Go call stack, inlined calls expanded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Frame {
    /// Function name as the runtime prints it, `main.(*Cache[...]).Put`.
    pub function: String,
    /// Source file, as recorded by the compiler.
    pub file: String,
    /// Line; 0 when unknown.
    pub line: u32,
    /// The call was inlined into the next frame's function.
    pub inlined: bool,
    /// Link-time address of the instruction (the call itself, not the return address).
    pub pc: Vaddr,
    /// Entry of the outermost (physical) function that contains it.
    pub entry: Vaddr,
}

/// A recognised Go executable.
pub struct GoBinary<'a> {
    /// The image it was read from.
    pub image: &'a Image,
    /// Its Go version.
    pub version: GoVersion,
    /// Which maps it has.
    pub map_impl: MapImpl,
    /// Struct offsets.
    pub layout: Layout,
    /// Where they come from.
    pub layout_source: LayoutSource,
    /// Go's build ID, from .note.go.buildid, if there is one.
    pub build_id: Option<String>,
    /// Built for the race detector.
    pub race: bool,
    /// runtime.firstmoduledata.
    pub first_moduledata: Vaddr,
    /// moduledata.pcHeader.
    pub pclntab: Vaddr,
    /// The pclntab's magic number.
    pub pclntab_magic: u32,
    /// pcHeader.textStart as stored (0 from Go 1.26 on).
    pub pclntab_text_start: u64,
    /// moduledata.text.
    pub text_start: Vaddr,
    /// moduledata.etext.
    pub text_end: Vaddr,
}

impl<'a> GoBinary<'a> {
    /// Recognises the executable, or says why it is not one that gocc understands.
    pub fn parse(_image: &'a Image) -> Result<GoBinary<'a>, GoError> {
        Err(GoError::NotImplemented)
    }
    /// All functions with this name, in address order (a wrapper may share the name).
    pub fn functions_named(&self, _name: &str) -> Vec<Func<'a>> {
        unimplemented!()
    }
    /// Every function, in address order.
    pub fn functions(&self) -> Box<dyn Iterator<Item = Func<'a>> + '_> {
        unimplemented!()
    }
    /// The function that contains an address.
    pub fn function_at(&self, _pc: Vaddr) -> Option<Func<'a>> {
        unimplemented!()
    }
    /// The frames at an instruction, innermost (inlined) first; empty outside Go's text.
    pub fn frames_at(&self, _pc: Vaddr) -> Vec<Frame> {
        unimplemented!()
    }
    /// The frames of a return address: those of the call before it.
    pub fn frames_of_return(&self, _return_address: Vaddr) -> Vec<Frame> {
        unimplemented!()
    }
    /// The name of the type whose descriptor is at an address, as Go source writes it
    /// (`map[string]*main.Session`).
    pub fn type_name(&self, _descriptor: Vaddr) -> Option<String> {
        unimplemented!()
    }
    /// The stack pointer's distance from its value at the function's entry, at an instruction
    /// (`_func.pcsp`), in bytes.
    pub fn sp_delta_at(&self, _pc: Vaddr) -> Option<i32> {
        unimplemented!()
    }
}
