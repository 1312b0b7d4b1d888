use super::layout::{self, Control, Header};
use super::{Lane, RingError};
use crate::image::Vaddr;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zerocopy::IntoBytes;

/// Largest lane that is accepted, in bytes: bounds the work that a hostile header can ask for.
const MAX_LANE_SIZE: u32 = 1 << 30;
/// Smallest lane, in bytes.
const MIN_LANE_SIZE: u32 = 4096;
/// Go's text is smaller than this, in bytes, or 32 bits of an address would not be enough.
const MAX_TEXT_SIZE: u64 = 1 << 32;

/// An address as the process saw it: link-time address plus load bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuntimeAddr(pub u64);

/// An open ring whose header has been checked.
pub struct Ring {
    file: File,
    path: PathBuf,
    header: Header,
    /// Bytes of the file when it was opened: less than the header says when it was cut off.
    size: u64,
}

impl Ring {
    /// Opens the ring of a running, ended or killed process.
    ///
    /// # Errors
    /// When the file cannot be read, is no ring, is a ring of another format, was not completed, is cut off before
    /// the lanes, or has a header that no process writes.
    pub fn open(path: &Path) -> Result<Ring, RingError> {
        let file = open_regular(path)?;
        let size = file
            .metadata()
            .map_err(|source| unreadable(path, source))?
            .len();
        check_start(path, &file, size)?;
        // `ready` is stored last: what is read after it was seen set is complete.
        let seen: Header = read_struct(path, &file, 0)?;
        if seen.ready != 1 {
            return Err(RingError::NotReady {
                path: path.to_owned(),
            });
        }
        let header: Header = read_struct(path, &file, 0)?;
        check_sizes(path, &header)?;
        check_fields(path, &header)?;
        Ok(Ring {
            file,
            path: path.to_owned(),
            header,
            size,
        })
    }

    /// The file has all bytes up to this one.
    pub(super) fn has(&self, end: u64) -> bool {
        end <= self.size
    }

    /// Where it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process' identity, as checked by [`Ring::open`].
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The gates and counters as they are now.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn control(&self) -> Result<Control, RingError> {
        self.read(layout::CONTROL_OFFSET as u64)
    }

    /// The executable, as the process itself saw its path.
    pub fn exe_path(&self) -> PathBuf {
        // The length was checked by `check_fields`; `get` keeps that independent of it.
        let bytes = self
            .header
            .exe_path
            .get(..self.header.exe_path_len as usize)
            .unwrap_or_default();
        let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
        PathBuf::from(OsStr::from_bytes(bytes))
    }

    /// Go's build ID of the executable, empty when it has none. Cut at 128 bytes.
    pub fn build_id(&self) -> String {
        let bytes = self
            .header
            .build_id
            .get(..self.header.build_id_len as usize)
            .unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The lanes, in the order of their Ps. A damaged one is an error in its place.
    pub fn lanes(&self) -> impl Iterator<Item = Result<Lane<'_>, RingError>> {
        (0..self.header.lane_count).map(|index| Lane::open(self, index))
    }

    /// The address of which a record kept the low 32 bits: in Go's text, or in the injected code.
    pub fn read_full_pc(&self, low: u32) -> Option<RuntimeAddr> {
        let bias = self.header.load_bias;
        let injected = self.header.injected_start.wrapping_add(bias)
            ..=self.header.injected_end.wrapping_add(bias);
        // A call in the last instruction of a function returns to the end of the range.
        let text = self.header.text_start..=self.header.text_end;
        extend_low(low, &text)
            .or_else(|| extend_low(low, &injected))
            .map(RuntimeAddr)
    }

    /// Where the linker put what the process saw at an address; `None` below the load bias.
    pub fn link_time(&self, at: RuntimeAddr) -> Option<Vaddr> {
        at.0.checked_sub(self.header.load_bias).map(Vaddr)
    }

    /// The link-time address of which a record kept the low 32 bits.
    pub fn link_time_pc(&self, low: u32) -> Option<Vaddr> {
        self.read_full_pc(low).and_then(|pc| self.link_time(pc))
    }

    /// Copies one struct out of the file.
    pub(super) fn read<T: zerocopy::FromBytes + IntoBytes>(
        &self,
        offset: u64,
    ) -> Result<T, RingError> {
        read_struct(&self.path, &self.file, offset)
    }

    /// Copies as many structs as `into` has room for out of the file.
    pub(super) fn read_into<T>(&self, offset: u64, into: &mut [T]) -> Result<(), RingError>
    where
        T: zerocopy::FromBytes + IntoBytes,
    {
        self.file
            .read_exact_at(into.as_mut_bytes(), offset)
            .map_err(|source| unreadable(&self.path, source))
    }
}

/// The address in `range` whose low 32 bits are these. The range may cross a multiple of 4 GiB.
fn extend_low(low: u32, range: &std::ops::RangeInclusive<u64>) -> Option<u64> {
    let at = (range.start() & !0xffff_ffff) | u64::from(low);
    let at = if at < *range.start() {
        at.checked_add(1 << 32)?
    } else {
        at
    };
    range.contains(&at).then_some(at)
}

fn unreadable(path: &Path, source: std::io::Error) -> RingError {
    RingError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

/// Opens without blocking on a FIFO that somebody named like a ring.
fn open_regular(path: &Path) -> Result<File, RingError> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|source| unreadable(path, source))?;
    let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(RingError::NotAFile {
            path: path.to_owned(),
        })
    }
}

fn read_struct<T>(path: &Path, file: &File, offset: u64) -> Result<T, RingError>
where
    T: zerocopy::FromBytes + IntoBytes,
{
    let mut value = T::new_zeroed();
    file.read_exact_at(value.as_mut_bytes(), offset)
        .map_err(|source| unreadable(path, source))?;
    Ok(value)
}

/// Magic and version, before anything else in the file is believed.
fn check_start(path: &Path, file: &File, size: u64) -> Result<(), RingError> {
    let path_buf = || path.to_owned();
    let mut magic = [0; 8];
    if size >= 8 {
        file.read_exact_at(&mut magic, 0)
            .map_err(|source| unreadable(path, source))?;
        // All zero: the process has created the file and not yet written to it.
        if magic != layout::MAGIC && magic != [0; 8] {
            return Err(RingError::WrongMagic {
                path: path_buf(),
                found: magic,
            });
        }
    }
    // A ring gets its whole size at once; before that it is empty.
    if size == 0 {
        return Err(RingError::NotReady { path: path_buf() });
    }
    if size < layout::FRONT_SIZE as u64 {
        return Err(RingError::TooShort {
            path: path_buf(),
            size,
            needed: layout::FRONT_SIZE as u64,
        });
    }
    if magic != layout::MAGIC {
        return Err(RingError::NotReady { path: path_buf() });
    }
    let [version]: [u32; 1] = read_struct(path, file, 8)?;
    if version != layout::FORMAT_VERSION {
        let supported = layout::FORMAT_VERSION;
        return Err(RingError::WrongVersion {
            path: path_buf(),
            found: version,
            supported,
        });
    }
    Ok(())
}

/// From here on the lanes lie inside the file, except those that were cut off.
fn check_sizes(path: &Path, header: &Header) -> Result<(), RingError> {
    let bad = |field, value: u64, expected| {
        Err(RingError::BadField {
            path: path.to_owned(),
            field,
            value,
            expected,
        })
    };
    if header.lane_count == 0 || header.lane_count as usize > layout::MAX_LANES {
        return bad("lane_count", header.lane_count.into(), "1 to 256");
    }
    if !header.lane_size.is_power_of_two()
        || !(MIN_LANE_SIZE..=MAX_LANE_SIZE).contains(&header.lane_size)
    {
        return bad(
            "lane_size",
            header.lane_size.into(),
            "a power of two from 4 KiB to 1 GiB",
        );
    }
    // At most 256 lanes of 1 GiB: no overflow.
    let expected =
        layout::FRONT_SIZE as u64 + u64::from(header.lane_count) * u64::from(header.lane_size);
    if header.file_size != expected {
        return bad(
            "file_size",
            header.file_size,
            "the size of the front and all lanes",
        );
    }
    Ok(())
}

fn check_fields(path: &Path, header: &Header) -> Result<(), RingError> {
    let bad = |field, value: u64, expected| {
        Err(RingError::BadField {
            path: path.to_owned(),
            field,
            value,
            expected,
        })
    };
    match header.text_end.checked_sub(header.text_start) {
        Some(size) if size < MAX_TEXT_SIZE => {}
        _ => {
            return bad(
                "text_end",
                header.text_end,
                "an address less than 4 GiB after text_start",
            );
        }
    }
    match header.injected_end.checked_sub(header.injected_start) {
        Some(size) if size < MAX_TEXT_SIZE => {}
        _ => {
            return bad(
                "injected_end",
                header.injected_end,
                "an address less than 4 GiB after injected_start",
            );
        }
    }
    if header.exe_path_len as usize > header.exe_path.len() {
        return bad("exe_path_len", header.exe_path_len.into(), "at most 1024");
    }
    if header.build_id_len as usize > header.build_id.len() {
        return bad("build_id_len", header.build_id_len.into(), "at most 128");
    }
    Ok(())
}
