//! Field offsets of the runtime's structs, from DWARF. Only the units of package runtime are read:
//! Go's linker puts all type descriptions there.

use super::debug_info::{DebugSection, Unit};
use super::layouts::ModuleOffsets;
use super::{Layout, MapImpl};
use crate::image::Image;
use gimli::{Abbreviations, DebugAbbrev, DebugInfo, EndianSlice, LittleEndian};
use std::collections::HashMap;

type Reader<'d> = EndianSlice<'d, LittleEndian>;

/// The structs to read.
const STRUCTS: [&str; 9] = [
    "runtime.stack",
    "runtime.g",
    "runtime.m",
    "runtime.p",
    "runtime.moduledata",
    "runtime.hmap",
    "runtime.hiter",
    "internal/runtime/maps.Map",
    "internal/runtime/maps.Iter",
];
/// The units that may describe them.
const UNITS: [&[u8]; 2] = [b"runtime", b"internal/runtime/maps"];

/// Most of `.debug_abbrev` that is read. Go's own part is a few kilobytes.
const MAX_ABBREV: u64 = 8 << 20;
/// Longest table of abbreviations of one unit.
const MAX_TABLE: usize = 16 << 10;
/// How often a table is parsed: Go's units share one, C's have one each.
const MAX_TABLES: usize = 10_000;

/// Offsets of fields by struct.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(HashMap<&'static str, HashMap<String, u32>>);

impl Fields {
    /// Reads the executable's DWARF; `None` when it has none that describes a Go runtime, or it is
    /// damaged.
    pub(super) fn read(image: &Image) -> Option<Fields> {
        let abbrev = DebugSection::open(image, "abbrev")?.read(MAX_ABBREV).ok()?;
        let mut section = DebugSection::open(image, "info")?;
        let mut reader = UnitReader {
            abbrev: &abbrev,
            cached: None,
            parsed: 0,
        };
        let mut fields = Fields::default();
        while let Some(mut unit) = section.next_unit().ok()? {
            // A unit that cannot be read is none of Go's own.
            if reader.is_wanted(&unit).unwrap_or(false) {
                section.complete(&mut unit).ok()?;
                reader.read(unit.bytes(), &mut fields).ok()?;
            } else {
                section.skip(unit).ok()?;
            }
            if fields.is_complete() {
                break;
            }
        }
        (!fields.0.is_empty()).then_some(fields)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn is_complete(&self) -> bool {
        let common = STRUCTS[..5].iter().all(|name| self.has(name));
        let maps = STRUCTS[5..7].iter().all(|name| self.has(name))
            || STRUCTS[7..].iter().all(|name| self.has(name));
        common && maps
    }

    fn offset(&self, structure: &str, field: &str) -> Option<u32> {
        self.0.get(structure)?.get(field).copied()
    }

    /// The layout of hooks' structs; `None` when a struct or a field is not described.
    pub(super) fn layout(&self, map: MapImpl) -> Option<Layout> {
        let at = |structure, field| self.offset(structure, field);
        let stack = at("runtime.g", "stack")?;
        let (map_struct, writing, writing_mask, seed, iter_struct, iter_map, iter_type) = match map
        {
            MapImpl::Hmap => (
                "runtime.hmap",
                "flags",
                4,
                "hash0",
                "runtime.hiter",
                "h",
                "t",
            ),
            MapImpl::Swiss => (
                "internal/runtime/maps.Map",
                "writing",
                0xff,
                "seed",
                "internal/runtime/maps.Iter",
                "m",
                "typ",
            ),
        };
        Some(Layout {
            g_stack_lo: stack.checked_add(at("runtime.stack", "lo")?)?,
            g_stack_hi: stack.checked_add(at("runtime.stack", "hi")?)?,
            g_stackguard0: at("runtime.g", "stackguard0")?,
            g_m: at("runtime.g", "m")?,
            g_goid: at("runtime.g", "goid")?,
            g_parent_goid: at("runtime.g", "parentGoid"),
            g_gopc: at("runtime.g", "gopc")?,
            g_startpc: at("runtime.g", "startpc")?,
            g_labels: at("runtime.g", "labels")?,
            m_curg: at("runtime.m", "curg")?,
            m_p: at("runtime.m", "p")?,
            m_procid: at("runtime.m", "procid")?,
            p_id: at("runtime.p", "id")?,
            p_ticks: at("runtime.p", "schedtick")?,
            moduledata_bad: at("runtime.moduledata", "bad")?,
            moduledata_next: at("runtime.moduledata", "next")?,
            map_writing: at(map_struct, writing)?,
            map_writing_mask: writing_mask,
            map_seed: at(map_struct, seed)?,
            iter_map: at(iter_struct, iter_map)?,
            iter_type: at(iter_struct, iter_type)?,
        })
    }

    /// Offsets in the module data; `None` when it is not described.
    pub(super) fn module(&self) -> Option<ModuleOffsets> {
        let at = |field| self.offset("runtime.moduledata", field);
        Some(ModuleOffsets {
            types: at("types")?,
            etypes: at("etypes")?,
            gofunc: at("gofunc")?,
        })
    }
}

struct UnitReader<'d> {
    abbrev: &'d [u8],
    /// Go's units share one table of abbreviations; those of C code do not.
    cached: Option<(usize, Abbreviations)>,
    /// Tables parsed so far.
    parsed: usize,
}

impl UnitReader<'_> {
    /// Does the unit's root name one of the packages?
    fn is_wanted(&mut self, unit: &Unit) -> gimli::Result<bool> {
        let info = DebugInfo::new(unit.bytes(), LittleEndian);
        let Some(header) = info.units().next()? else {
            return Ok(false);
        };
        let mut entries = header.entries_raw(self.abbreviations(&header)?, None)?;
        let Some(root) = entries.read_abbreviation()? else {
            return Ok(false);
        };
        for spec in root.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            if attribute.name() == gimli::DW_AT_name {
                let gimli::AttributeValue::String(name) = attribute.value() else {
                    return Ok(false);
                };
                return Ok(UNITS.contains(&name.slice()));
            }
        }
        Ok(false)
    }

    fn abbreviations(
        &mut self,
        header: &gimli::UnitHeader<Reader<'_>>,
    ) -> gimli::Result<&Abbreviations> {
        let offset = header.debug_abbrev_offset().0;
        let cached = match self.cached.take().filter(|(known, _)| *known == offset) {
            Some(cached) => cached,
            None => (offset, self.parse_abbreviations(offset)?),
        };
        Ok(&self.cached.insert(cached).1)
    }

    fn parse_abbreviations(&mut self, offset: usize) -> gimli::Result<Abbreviations> {
        self.parsed += 1;
        let table = self
            .abbrev
            .get(offset..)
            .filter(|_| self.parsed <= MAX_TABLES);
        let table = table.ok_or(gimli::Error::UnexpectedEof(gimli::ReaderOffsetId(
            offset as u64,
        )))?;
        let table = &table[..table.len().min(MAX_TABLE)];
        DebugAbbrev::new(table, LittleEndian).abbreviations(gimli::DebugAbbrevOffset(0))
    }

    /// Adds the wanted structs of a whole unit.
    fn read(&mut self, unit: &[u8], fields: &mut Fields) -> gimli::Result<()> {
        let info = DebugInfo::new(unit, LittleEndian);
        let Some(header) = info.units().next()? else {
            return Ok(());
        };
        let mut entries = header.entries_raw(self.abbreviations(&header)?, None)?;
        // The struct whose members are being read, and their depth in the tree.
        let mut current: Option<(&'static str, isize)> = None;
        while !entries.is_empty() {
            let depth = entries.next_depth();
            current = current.filter(|(_, members)| depth >= *members);
            let Some(abbrev) = entries.read_abbreviation()? else {
                continue;
            };
            let is_struct = abbrev.tag() == gimli::DW_TAG_structure_type;
            let is_member = abbrev.tag() == gimli::DW_TAG_member
                && current.is_some_and(|(_, members)| members == depth);
            if !is_struct && !is_member {
                entries.skip_attributes(abbrev.attributes())?;
                continue;
            }
            let (name, offset) = name_and_offset(&mut entries, abbrev.attributes())?;
            if is_struct {
                current = STRUCTS
                    .into_iter()
                    .find(|wanted| wanted.as_bytes() == name)
                    .map(|found| (found, depth + 1));
            } else if let (Some((structure, _)), Some(offset)) = (current, offset) {
                let name = String::from_utf8_lossy(name).into_owned();
                fields.0.entry(structure).or_default().insert(name, offset);
            }
        }
        Ok(())
    }
}

/// DW_AT_name where it is stored in place, as Go does, and DW_AT_data_member_location.
fn name_and_offset<'d>(
    entries: &mut gimli::EntriesRaw<'_, Reader<'d>>,
    attributes: &[gimli::AttributeSpecification],
) -> gimli::Result<(&'d [u8], Option<u32>)> {
    let (mut name, mut offset) = (&[][..], None);
    for spec in attributes {
        let attribute = entries.read_attribute(*spec)?;
        match (attribute.name(), attribute.value()) {
            (gimli::DW_AT_name, gimli::AttributeValue::String(text)) => name = text.slice(),
            (gimli::DW_AT_data_member_location, _) => {
                offset = attribute
                    .udata_value()
                    .and_then(|value| u32::try_from(value).ok());
            }
            _ => {}
        }
    }
    Ok((name, offset))
}
