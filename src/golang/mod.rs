//! What Go executable is this? Version, function table, module data, struct layouts; and the
//! translation from program counters to functions, files and lines.

use crate::image::{Image, Vaddr};

mod bytes;
mod debug_info;
mod dwarf;
mod error;
mod frames;
pub mod layouts;
mod locate;
mod moduledata;
mod pclntab;
mod refuse;
mod types;
mod version;

pub use error::GoError;
use frames::{FuncIds, Symbolizer};
use layouts::ModuleOffsets;
use moduledata::Moduledata;
use pclntab::{Pclntab, Table};
use version::BuildInfo;
pub use version::{NEWEST_MINOR, OLDEST_MINOR};

/// `go1.MINOR`, with what else the version string says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GoVersion {
    /// 23 for go1.23.4.
    pub minor: u32,
    /// The whole string, as in runtime.buildVersion.
    pub text: String,
}

/// Which map implementation the runtime has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// p.schedtick, which counts the scheduler's turns; p.syscalltick, which counts system calls, lies behind it
    /// (both uint32)
    pub p_ticks: u32,
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
    /// What the executable's DWARF says, if it describes all the structs.
    pub dwarf_layout: Option<Layout>,
    /// What the version table says, if it knows the version.
    pub table_layout: Option<Layout>,
    /// Offsets inside runtime.moduledata, from the same source as `layout`.
    pub module_offsets: ModuleOffsets,
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
    functions: Pclntab<'a>,
    gofunc: Vaddr,
    types: Vaddr,
    etypes: Vaddr,
}

impl<'a> GoBinary<'a> {
    /// Recognises the executable, or says why it is not one that gocc understands.
    ///
    /// # Errors
    /// When it is not, or contradicts itself.
    pub fn parse(image: &'a Image) -> Result<GoBinary<'a>, GoError> {
        GoBinary::with_layouts(image, Layouts::find)
    }

    /// As [`GoBinary::parse`], for who wants names and lines only: where the version table knows the
    /// executable's version, its DWARF is not read, which would take most of the time.
    ///
    /// # Errors
    /// As [`GoBinary::parse`].
    pub fn parse_for_symbols(image: &'a Image) -> Result<GoBinary<'a>, GoError> {
        GoBinary::with_layouts(image, |image, version, map| {
            match Layouts::choose(None, version, map) {
                Ok(known) => Ok(known),
                Err(_) => Layouts::find(image, version, map),
            }
        })
    }

    fn with_layouts(
        image: &'a Image,
        layouts: impl FnOnce(&Image, &GoVersion, MapImpl) -> Result<Layouts, GoError>,
    ) -> Result<GoBinary<'a>, GoError> {
        let module = locate::moduledata(image)?;
        let functions = Pclntab::new(image, &module)?;
        let (version, build_info) = version::find_version(image, &module, &functions)?;
        check_target(build_info.as_ref())?;
        check_version(&version, &module)?;
        let map_impl = map_impl(&version);
        let layouts = layouts(image, &version, map_impl)?;
        let pointer = |offset: u32| {
            let found = module
                .at
                .checked_add(u64::from(offset))
                .and_then(|at| image.pointer_at(at));
            found.ok_or_else(|| GoError::Inconsistent {
                what: format!("moduledata at {} is cut off", module.at),
            })
        };
        Ok(GoBinary {
            image,
            map_impl,
            layout: layouts.layout,
            layout_source: layouts.source,
            dwarf_layout: layouts.dwarf,
            table_layout: layouts.table,
            build_id: build_id(image),
            race: !functions.find(&["runtime.racecall"]).is_empty(),
            first_moduledata: module.at,
            pclntab: module.pclntab,
            pclntab_magic: module.generation.magic(),
            pclntab_text_start: module.header_text_start,
            text_start: module.text,
            text_end: module.etext,
            gofunc: pointer(layouts.module.gofunc)?,
            types: pointer(layouts.module.types)?,
            etypes: pointer(layouts.module.etypes)?,
            module_offsets: layouts.module,
            version,
            functions,
        })
    }

    /// All functions with this name, in address order (a wrapper may share the name).
    pub fn functions_named(&self, name: &str) -> Vec<Func<'a>> {
        self.functions.find(&[name])
    }

    /// All functions with one of these names, in address order: one pass over the table.
    pub fn find_functions(&self, names: &[&str]) -> Vec<Func<'a>> {
        self.functions.find(names)
    }

    /// Every function, in address order.
    pub fn functions(&self) -> Box<dyn Iterator<Item = Func<'a>> + '_> {
        Box::new(self.functions.functions())
    }

    /// The compiler made it, to pass arguments on (`go f(x)`, method values).
    pub fn is_wrapper(&self, function: &Func<'_>) -> bool {
        FuncIds::of(self.version.minor).is_wrapper(function.func_id)
    }

    /// The path of the module that `main` belongs to, when the build info names it.
    pub fn main_module(&self) -> Option<String> {
        let info = version::build_info(self.image)?;
        let mut lines = info.modules.lines();
        let path = lines.find_map(|line| line.strip_prefix("mod\t"))?;
        Some(path.split('\t').next().unwrap_or(path).to_owned())
    }

    /// The function that contains an address.
    pub fn function_at(&self, pc: Vaddr) -> Option<Func<'a>> {
        self.functions.func(self.functions.record_at(pc)?)
    }

    /// The frames at an instruction, innermost (inlined) first; empty outside Go's text and in
    /// compiler-made wrappers, which the runtime's stacks leave out as well.
    pub fn frames_at(&self, pc: Vaddr) -> Vec<Frame> {
        let ids = FuncIds::of(self.version.minor);
        let symbolizer = Symbolizer {
            image: self.image,
            functions: &self.functions,
            text: self.text_start,
            gofunc: self.gofunc,
            ids,
        };
        symbolizer.frames_at(pc).unwrap_or_default()
    }

    /// The frames of a return address: those of the call before it.
    pub fn frames_of_return(&self, return_address: Vaddr) -> Vec<Frame> {
        return_address
            .0
            .checked_sub(1)
            .map_or_else(Vec::new, |call| self.frames_at(Vaddr(call)))
    }

    /// The name of the type whose descriptor is at an address, as Go source writes it
    /// (`map[string]*main.Session`).
    pub fn type_name(&self, descriptor: Vaddr) -> Option<String> {
        types::name(self.image, descriptor, self.types, self.etypes)
    }

    /// The stack pointer's distance from its value at the function's entry, at an instruction
    /// (`_func.pcsp`), in bytes.
    pub fn sp_delta_at(&self, pc: Vaddr) -> Option<i32> {
        let record = self.functions.record_at(pc)?;
        let offset = u32::try_from(pc.0.checked_sub(self.text_start.0)?).ok()?;
        self.functions.value_at(record, Table::StackDepth, offset)
    }
}

/// The build info may name another system than the ELF header suggests.
fn check_target(info: Option<&BuildInfo>) -> Result<(), GoError> {
    match info.and_then(|info| info.setting("GOOS")) {
        Some(os) if os != "linux" => Err(GoError::OtherTarget {
            found: os.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Is the version supported, and does the function table's shape fit it?
fn check_version(version: &GoVersion, module: &Moduledata) -> Result<(), GoError> {
    if version.minor < OLDEST_MINOR {
        return Err(GoError::TooOld {
            found: version.text.clone(),
        });
    }
    let generation = if version.minor < 20 {
        moduledata::Generation::V118
    } else {
        moduledata::Generation::V120
    };
    if module.generation != generation {
        let what = format!(
            "{} does not use function tables with magic {:#x}",
            version.text,
            module.generation.magic()
        );
        return Err(GoError::Inconsistent { what });
    }
    Ok(())
}

/// The layouts of one executable, by source, and the one that counts.
struct Layouts {
    layout: Layout,
    module: ModuleOffsets,
    source: LayoutSource,
    dwarf: Option<Layout>,
    table: Option<Layout>,
}

impl Layouts {
    /// DWARF wins; the table serves where there is none.
    fn find(image: &Image, version: &GoVersion, map: MapImpl) -> Result<Layouts, GoError> {
        let fields = dwarf::Fields::read(image);
        let dwarf = fields
            .as_ref()
            .and_then(|fields| Some((fields.layout(map)?, fields.module()?)));
        Layouts::choose(dwarf, version, map)
    }

    fn choose(
        dwarf: Option<(Layout, ModuleOffsets)>,
        version: &GoVersion,
        map: MapImpl,
    ) -> Result<Layouts, GoError> {
        let table = layouts::lookup(version.minor, map).map(|entry| (entry.layout, entry.module));
        let (chosen, source) = match (&dwarf, &table) {
            (Some(found), _) => (found.clone(), LayoutSource::Dwarf),
            (None, Some(_)) if layouts::unknown_experiment(&version.text).is_some() => {
                let experiment = layouts::unknown_experiment(&version.text)
                    .unwrap_or_default()
                    .to_owned();
                return Err(GoError::UnknownExperiment { experiment });
            }
            (None, Some(found)) => (found.clone(), LayoutSource::VersionTable),
            (None, None) => {
                return Err(GoError::TooNew {
                    found: version.text.clone(),
                });
            }
        };
        let (layout, module) = chosen;
        Ok(Layouts {
            layout,
            module,
            source,
            dwarf: dwarf.map(|(layout, _)| layout),
            table: table.map(|(layout, _)| layout),
        })
    }
}

/// Swiss maps are the default from 1.24 on; from 1.26 on there is no choice.
fn map_impl(version: &GoVersion) -> MapImpl {
    match version.minor {
        ..=23 => MapImpl::Hmap,
        24 | 25 if version::experiments(&version.text).any(|name| name == "noswissmap") => {
            MapImpl::Hmap
        }
        _ => MapImpl::Swiss,
    }
}

/// The text of Go's build ID note, found through PT_NOTE (note name `Go`, type 4;
/// src/cmd/internal/buildid/note.go).
fn build_id(image: &Image) -> Option<String> {
    const PT_NOTE: u32 = 4;
    let segments = image
        .segments()
        .iter()
        .filter(|segment| segment.kind == PT_NOTE);
    let by_segment =
        segments.filter_map(|segment| image.bytes_at(segment.vaddr, segment.file_size));
    let section = image
        .section(".note.go.buildid")
        .and_then(|section| image.section_bytes(section));
    by_segment.chain(section).find_map(go_note)
}

fn go_note(mut notes: &[u8]) -> Option<String> {
    while let (Some(name_size), Some(text_size), Some(kind)) = (
        bytes::u32_at(notes, 0),
        bytes::u32_at(notes, 4),
        bytes::u32_at(notes, 8),
    ) {
        let name_end = 12usize.checked_add(name_size as usize)?;
        let text_start = name_end.checked_next_multiple_of(4)?;
        let text_end = text_start.checked_add(text_size as usize)?;
        if kind == 4 && notes.get(12..name_end) == Some(b"Go\0\0") {
            return String::from_utf8(notes.get(text_start..text_end)?.to_vec()).ok();
        }
        notes = notes.get(text_end.checked_next_multiple_of(4)?..)?;
    }
    None
}
