//! Which Go release built this? Build info says so; where it was stripped, the runtime's own
//! version variable does.

use super::bytes::{find, varint};
use super::locate::words;
use super::moduledata::Moduledata;
use super::pclntab::Pclntab;
use super::{GoError, GoVersion};
use crate::image::{Image, Vaddr};

/// The oldest Go release gocc supports is go1.18.
pub const OLDEST_MINOR: u32 = 18;
/// The newest Go release in the layout table is go1.27.
pub const NEWEST_MINOR: u32 = 27;

/// Start of the build info (src/debug/buildinfo/buildinfo.go).
const BUILD_INFO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// Longest version string believed.
const MAX_VERSION: u64 = 256;

/// What the linker and `go build` say about the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BuildInfo {
    /// `go1.25.5`, with experiments.
    pub(super) version: String,
    /// The module information: lines of `key<TAB>value`.
    pub(super) modules: String,
}

impl BuildInfo {
    /// A build setting: `GOOS`, `-race`.
    pub(super) fn setting(&self, key: &str) -> Option<&str> {
        let settings = self
            .modules
            .lines()
            .filter_map(|line| line.strip_prefix("build\t"));
        settings
            .filter_map(|setting| setting.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }
}

/// The version in the build info.
pub(super) fn from_build_info(image: &Image) -> Option<String> {
    build_info(image).map(|info| info.version)
}

/// Reads the build info: in its section, else at the first sixteen-byte boundary of a segment's
/// data that starts with the magic.
pub(super) fn build_info(image: &Image) -> Option<BuildInfo> {
    let by_section = image
        .section(".go.buildinfo")
        .and_then(|section| parse_build_info(image, section.vaddr));
    by_section.or_else(|| {
        let writable = image.loads().iter().filter(|load| load.flags & 2 != 0);
        writable
            .filter_map(|load| find_build_info(image, load.vaddr))
            .find_map(|at| parse_build_info(image, at))
    })
}

fn find_build_info(image: &Image, from: Vaddr) -> Option<Vaddr> {
    let bytes = image.bytes_from(from)?;
    from.checked_add(find(bytes, BUILD_INFO_MAGIC)? as u64)
}

fn parse_build_info(image: &Image, at: Vaddr) -> Option<BuildInfo> {
    let bytes = image.bytes_from(at)?.strip_prefix(BUILD_INFO_MAGIC)?;
    let flags = *bytes.get(1)?;
    if flags & 2 == 0 {
        // Before Go 1.18: pointers to two Go strings.
        let version = go_string(image, image.pointer_at(at.checked_add(16)?)?)?;
        return Some(BuildInfo {
            version: version.to_owned(),
            modules: String::new(),
        });
    }
    let (version, rest) = inline_string(bytes.get(32 - BUILD_INFO_MAGIC.len()..)?)?;
    let modules = inline_string(rest).map_or(&[][..], |(modules, _)| modules);
    // A sixteen-byte sentinel encloses the module information.
    let modules = modules
        .get(16..modules.len().saturating_sub(16))
        .unwrap_or_default();
    let version = std::str::from_utf8(version).ok()?.to_owned();
    Some(BuildInfo {
        version,
        modules: String::from_utf8_lossy(modules).into_owned(),
    })
}

fn inline_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, skip) = varint(bytes)?;
    bytes.get(skip..)?.split_at_checked(length as usize)
}

/// The Go string whose header (pointer, length) lies at an address, if it is a short one.
fn go_string(image: &Image, at: Vaddr) -> Option<&str> {
    let length = image.u64_at(at.checked_add(8)?)?;
    let bytes = image.bytes_at(
        image.pointer_at(at)?,
        Some(length).filter(|&length| length <= MAX_VERSION)?,
    )?;
    std::str::from_utf8(bytes).ok()
}

/// `runtime.buildVersion`, found through the code that reads it: runtime.schedinit compares its
/// length with zero (src/runtime/proc.go), `cmp qword ptr [rip + disp32], 0`.
fn build_version_variable<'a>(image: &'a Image, functions: &Pclntab<'a>) -> Option<&'a str> {
    const COMPARE: [u8; 3] = [0x48, 0x83, 0x3d];
    let schedinit = functions.find(&["runtime.schedinit"]).into_iter().next()?;
    let code = image.bytes_at(
        schedinit.entry,
        schedinit.end.0.checked_sub(schedinit.entry.0)?,
    )?;
    let compares = code
        .windows(8)
        .enumerate()
        .filter(|(_, bytes)| bytes.starts_with(&COMPARE) && bytes[7] == 0);
    let lengths = compares.filter_map(|(at, bytes)| {
        let displacement = i32::from_le_bytes(bytes[3..7].try_into().ok()?);
        schedinit
            .entry
            .checked_add(at as u64 + 8)?
            .0
            .checked_add_signed(i64::from(displacement))
    });
    lengths
        .filter_map(|length| go_string(image, Vaddr(length.checked_sub(8)?)))
        .find(|text| looks_like_version(text))
}

/// A Go string among the initialised variables that looks like a version, if there is only one
/// such text.
fn only_version_string<'a>(image: &'a Image, module: &Moduledata) -> Option<&'a str> {
    let (start, end) = module.data_range(image)?;
    let headers = words(image, start)
        .take_while(|(at, _)| *at < end)
        .filter(|&(_, length)| (5..=MAX_VERSION).contains(&length));
    let strings = headers.filter_map(|(at, _)| go_string(image, Vaddr(at.0.checked_sub(8)?)));
    let mut versions = strings.filter(|text| looks_like_version(text));
    let first = versions.next()?;
    versions.all(|other| other == first).then_some(first)
}

fn looks_like_version(text: &str) -> bool {
    (text.starts_with("go1.") || text.starts_with("devel ")) && minor_of(text).is_some()
}

/// The `N` of `go1.N` in a version string: of a release, a candidate, or a development version
/// such as `devel go1.22-1234567 Mon ...`.
pub(super) fn minor_of(text: &str) -> Option<u32> {
    let text = text.strip_prefix("devel ").unwrap_or(text);
    let rest = text.strip_prefix("go1.")?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// The experiments a version string lists: `go1.24.3 X:noswissmap,other`.
pub(super) fn experiments(text: &str) -> impl Iterator<Item = &str> {
    let list = text.split_once("X:").map_or("", |(_, list)| list);
    let list = list
        .split(|c: char| c.is_whitespace() || c == '-')
        .next()
        .unwrap_or_default();
    list.split(',').filter(|name| !name.is_empty())
}

/// The version of a Go executable and, when there is one, its build info.
pub(super) fn find_version(
    image: &Image,
    module: &Moduledata,
    functions: &Pclntab<'_>,
) -> Result<(GoVersion, Option<BuildInfo>), GoError> {
    let info = build_info(image);
    let text = match &info {
        Some(info) => info.version.clone(),
        None => build_version_variable(image, functions)
            .or_else(|| only_version_string(image, module))
            .ok_or(GoError::VersionNotFound)?
            .to_owned(),
    };
    let minor = minor_of(&text).ok_or_else(|| GoError::VersionNotUnderstood {
        found: text.clone(),
    })?;
    Ok((GoVersion { minor, text }, info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minors_of_all_kinds_of_versions() {
        assert_eq!(minor_of("go1.18"), Some(18));
        assert_eq!(minor_of("go1.24.11 X:noswissmap"), Some(24));
        assert_eq!(minor_of("go1.21rc2"), Some(21));
        assert_eq!(minor_of("devel go1.28-abcdef Mon Jan 1"), Some(28));
        assert_eq!(minor_of("devel +abcdef Mon"), None);
        assert_eq!(minor_of("go2.1"), None);
        assert_eq!(minor_of("go1."), None);
    }

    #[test]
    fn experiments_are_listed() {
        assert_eq!(
            experiments("go1.24.11 X:noswissmap,foo").collect::<Vec<_>>(),
            ["noswissmap", "foo"]
        );
        // With a hyphen in front since 1.26 or so.
        assert_eq!(
            experiments("go1.27.3-X:staticlockranking").collect::<Vec<_>>(),
            ["staticlockranking"]
        );
        assert_eq!(experiments("go1.24.11").count(), 0);
    }
}
