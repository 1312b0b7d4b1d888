//! The units of `.debug_info`, one after another, decompressed as they come, so that neither the
//! memory needed nor a hostile file depends on the whole section's size.

use super::bytes::{u32_at, u64_at};
use crate::image::{Image, Section};
use std::io::{self, Cursor, Read};

/// `SHF_COMPRESSED` and `ELFCOMPRESS_ZLIB` (gABI, chapter 4).
const SHF_COMPRESSED: u64 = 0x800;
const ELFCOMPRESS_ZLIB: u32 = 1;
/// Size of an `Elf64_Chdr`.
const CHDR_SIZE: usize = 24;
/// Most bytes of decompressed DWARF that gocc reads. The largest Go programs have about 200 MB.
const MAX_SECTION: u64 = 1 << 30;
/// Longest unit read as a whole: that of all types of a Go program, some ten megabytes at most.
const MAX_UNIT: u64 = 128 << 20;
/// Enough of a unit to read its header and its first entry.
const HEAD: usize = 1024;

/// A unit of `.debug_info`: its bytes, with the length field.
pub(super) struct Unit {
    bytes: Vec<u8>,
    /// Bytes of the unit not in `bytes`.
    unread: u64,
}

impl Unit {
    /// The bytes read so far, as a complete unit: with a length field that says so.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A section's contents, decompressed while they are read.
pub(super) struct DebugSection<'a> {
    reader: io::Take<Box<dyn Read + 'a>>,
}

impl<'a> DebugSection<'a> {
    /// Opens `.debug_NAME` or its older compressed form `.zdebug_NAME`; `None` when there is none
    /// or it is compressed in another way than with zlib.
    pub(super) fn open(image: &'a Image, name: &str) -> Option<DebugSection<'a>> {
        let plain = image.section(&format!(".debug_{name}"));
        let reader = match plain {
            Some(section) => open_plain(image, section)?,
            None => open_zdebug(image.section_bytes(image.section(&format!(".zdebug_{name}"))?)?)?,
        };
        Some(DebugSection {
            reader: reader.take(MAX_SECTION),
        })
    }

    /// Its first `limit` bytes.
    pub(super) fn read(self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The head of the next unit; `None` at the end.
    pub(super) fn next_unit(&mut self) -> io::Result<Option<Unit>> {
        let mut length = [0; 4];
        if self.read_available(&mut length)? < length.len() {
            return Ok(None);
        }
        let length = u32::from_le_bytes(length);
        if length >= 0xffff_fff0 {
            // 64-bit DWARF: no Go toolchain writes it.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut bytes = length.min(HEAD as u32).to_le_bytes().to_vec();
        let head = u64::from(length).min(HEAD as u64);
        if self.reader.by_ref().take(head).read_to_end(&mut bytes)? as u64 != head {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Unit {
            bytes,
            unread: u64::from(length) - head,
        }))
    }

    /// Reads the rest of a unit.
    pub(super) fn complete(&mut self, unit: &mut Unit) -> io::Result<()> {
        let unread = std::mem::take(&mut unit.unread);
        if unread > MAX_UNIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self
            .reader
            .by_ref()
            .take(unread)
            .read_to_end(&mut unit.bytes)? as u64
            != unread
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // `length` was a u32, so the unit's size is one as well.
        let length = (unit.bytes.len() - 4) as u32;
        unit.bytes[..4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// Leaves the rest of a unit out.
    pub(super) fn skip(&mut self, unit: Unit) -> io::Result<()> {
        io::copy(&mut self.reader.by_ref().take(unit.unread), &mut io::sink()).map(|_| ())
    }

    fn read_available(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }
}

fn open_plain<'a>(image: &'a Image, section: &Section) -> Option<Box<dyn Read + 'a>> {
    let bytes = image.section_bytes(section)?;
    if section.flags & SHF_COMPRESSED == 0 {
        return Some(Box::new(Cursor::new(bytes)));
    }
    if u32_at(bytes, 0)? != ELFCOMPRESS_ZLIB {
        return None;
    }
    Some(inflate(bytes.get(CHDR_SIZE..)?, u64_at(bytes, 8)?))
}

/// `ZLIB`, the size as a big-endian u64, a zlib stream: as Go wrote it up to 1.18.
fn open_zdebug(bytes: &[u8]) -> Option<Box<dyn Read + '_>> {
    if !bytes.starts_with(b"ZLIB") {
        return None;
    }
    let size = u64::from_be_bytes(bytes.get(4..12)?.try_into().ok()?);
    Some(inflate(bytes.get(12..)?, size))
}

fn inflate(bytes: &[u8], size: u64) -> Box<dyn Read + '_> {
    Box::new(flate2::bufread::ZlibDecoder::new(bytes).take(size))
}
