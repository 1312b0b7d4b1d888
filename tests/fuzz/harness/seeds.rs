//! Seeds: the real files that cases damage.

use gocc::golang::GoBinary;
use gocc::image::Image;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A real executable, and where in its file each part lies that gocc reads.
pub struct Program {
    pub bytes: Vec<u8>,
    pub headers: Vec<Range<usize>>,
    pub functions: Vec<Range<usize>>,
    pub moduledata: Vec<Range<usize>>,
    pub build_info: Vec<Range<usize>>,
    pub dwarf: Vec<Range<usize>>,
    pub code: Vec<Range<usize>>,
}

/// Everything that can be damaged.
pub struct Seeds {
    pub programs: Vec<Program>,
    pub patched: Vec<Vec<u8>>,
    /// Where they are.
    pub patched_files: Vec<PathBuf>,
    pub rings: Vec<Vec<u8>>,
    pub reports: Vec<Vec<u8>>,
    pub profiles: Vec<Vec<u8>>,
    pub settings: Vec<Vec<u8>>,
    pub baselines: Vec<Vec<u8>>,
    pub suspects: Vec<Vec<u8>>,
    pub sources: Vec<Vec<u8>>,
}

impl Seeds {
    /// Those of the directory in `GOCC_FUZZ_SEEDS`, read once.
    ///
    /// # Panics
    /// As [`Seeds::load`].
    pub fn shared() -> &'static Seeds {
        static SEEDS: OnceLock<Seeds> = OnceLock::new();
        SEEDS.get_or_init(|| {
            let directory = std::env::var_os("GOCC_FUZZ_SEEDS").expect("GOCC_FUZZ_SEEDS");
            Seeds::load(Path::new(&directory))
        })
    }

    /// Reads a directory: `*.elf` are executables, `*.patched` patched ones, `*.ring` rings, `*.json`
    /// reports, `*.pb` profiles, `*.toml` settings, `*.baseline` baselines, `*.suspects` files of suspects, `*.go` Go
    /// sources.
    ///
    /// # Panics
    /// When the directory cannot be read, or has not all of them: then there is nothing to fuzz.
    pub fn load(directory: &Path) -> Seeds {
        let mut seeds = Seeds {
            programs: Vec::new(),
            patched: Vec::new(),
            patched_files: Vec::new(),
            rings: Vec::new(),
            reports: Vec::new(),
            profiles: Vec::new(),
            settings: Vec::new(),
            baselines: Vec::new(),
            suspects: Vec::new(),
            sources: Vec::new(),
        };
        let entries = std::fs::read_dir(directory).expect("the directory of the seeds");
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let bytes = std::fs::read(&path).expect("a seed");
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("elf") => seeds.programs.push(Program::new(bytes)),
                Some("patched") => {
                    seeds.patched.push(bytes);
                    seeds.patched_files.push(path);
                }
                Some("ring") => seeds.rings.push(bytes),
                Some("json") => seeds.reports.push(bytes),
                Some("pb") => seeds.profiles.push(bytes),
                Some("toml") => seeds.settings.push(bytes),
                Some("baseline") => seeds.baselines.push(bytes),
                Some("suspects") => seeds.suspects.push(bytes),
                Some("go") => seeds.sources.push(bytes),
                _ => {}
            }
        }
        assert!(!seeds.programs.is_empty() && !seeds.patched.is_empty());
        assert!(!seeds.rings.is_empty() && !seeds.reports.is_empty());
        assert!(!seeds.profiles.is_empty() && !seeds.settings.is_empty());
        assert!(!seeds.baselines.is_empty() && !seeds.suspects.is_empty());
        assert!(!seeds.sources.is_empty());
        seeds
    }
}

impl Program {
    fn new(bytes: Vec<u8>) -> Program {
        let image = Image::from_bytes(bytes.clone()).expect("a seed is an executable");
        let go = GoBinary::parse(&image).expect("a seed is a Go program");
        let at = |vaddr| image.offset_of(vaddr).expect("in the file").0 as usize;
        let named = |names: &[&str]| -> Vec<Range<usize>> {
            let sections = image.sections().iter();
            sections
                .filter(|section| names.iter().any(|name| section.name.starts_with(name)))
                .map(|section| {
                    section.offset.0 as usize..(section.offset.0 + section.size) as usize
                })
                .filter(|range| !range.is_empty() && range.end <= bytes.len())
                .collect()
        };
        let (module, table) = (at(go.first_moduledata), at(go.pclntab));
        let mut headers = named(&[".dynamic", ".rela", ".shstrtab", ".note"]);
        let end = bytes.len();
        headers.extend([0..0x400, 0..0x1000, end.saturating_sub(0x1000)..end, 0..end]);
        let mut functions = vec![table..table + 72, table..table + 0x4_0000, table..end];
        functions.extend(named(&[".rodata"]));
        let mut build_info = named(&[".go.buildinfo", ".note.go"]);
        let version = go.version.text.as_bytes();
        build_info.extend(
            memchr::memmem::find_iter(&bytes, version).map(|found| found..found + version.len()),
        );
        let hooked = [
            "runtime.mapassign",
            "runtime.mapassign_faststr",
            "runtime.mapaccess2",
            "runtime.mapaccess2_faststr",
            "runtime.fatal",
            "runtime.gopanic",
            "runtime.main",
        ];
        let code = go.find_functions(&hooked);
        let code = code
            .iter()
            .map(|function| at(function.entry)..at(function.end));
        let mut code: Vec<_> = code.collect();
        let prologues: Vec<_> = code
            .iter()
            .map(|code| code.start..code.start + 32)
            .collect();
        code.extend(prologues);
        Program {
            headers,
            functions,
            moduledata: vec![module..module + 0x240, module..module + 0x40],
            build_info,
            dwarf: named(&[".debug_", ".zdebug_"]),
            code,
            bytes,
        }
    }
}
