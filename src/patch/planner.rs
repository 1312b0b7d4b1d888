//! From a recognised Go executable to a [`PatchPlan`]: the order of the work is that of [`plan`].

use crate::golang::{Func, GoBinary};
use crate::image::Vaddr;
use crate::patch::addresses::Addresses;
use crate::patch::asm::Assembled;
use crate::patch::decode::{DecodeError, Entry, Exit, Function, JUMP_SIZE};
use crate::patch::elf_out::HeaderError;
use crate::patch::hooks::Emitter;
use crate::patch::injected_code::{INT3, InjectedCode};
use crate::patch::moduledata::{ModuleData, Tables};
use crate::patch::options::Mode;
use crate::patch::plan::{
    Edit, NewSegment, NewSymbol, Outcome, PatchPlan, Provenance, SiteOutcome,
};
use crate::patch::shim::{Shim, ShimError};
use crate::patch::shim_config::{self, Config};
use crate::patch::space;
use crate::probe::{self, ProbeKind, Site};
use crate::ring::Operation;
use crate::ring::layout::{FRONT_SIZE, PRIVATE_OFFSET, Private, RESERVED_SIZE};
use std::ops::Range;
use zerocopy::IntoBytes;

const PAGE: u64 = 4096;
/// ELF program header flags.
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
/// Sampling period in observe mode without `GOCC=sample=...`.
const DEFAULT_SAMPLE_PERIOD: u32 = 1024;
/// Exit code for findings without `GOCC=exitcode=...`, as with GORACE.
const DEFAULT_EXIT_CODE: u32 = 66;

/// What the user chose, as far as it shapes the output.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// What the hooks do from the start on.
    pub mode: Mode,
    /// Where rings go.
    pub dir: Option<String>,
    /// Bytes per lane.
    pub ring_size: Option<u32>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A function that must be hooked looks like none that gocc knows.
    #[error(
        "{function} at {at}: {source}; this Go version may be newer than gocc, or the binary was changed by another tool"
    )]
    Site {
        /// The Go function.
        function: String,
        /// Where it is.
        at: Vaddr,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The executable lacks functions that every Go program has.
    #[error(
        "the runtime's map functions or runtime.main were not found in its function table; is it complete?"
    )]
    NothingToHook,
    /// The new segments find no place.
    #[error("no room for the injected segments: {0}")]
    Space(#[from] HeaderError),
    /// A jump does not reach.
    #[error("the code at {0} is more than 2 GiB away from where injected code could lie")]
    TooFar(Vaddr),
    /// The injected code could not be encoded.
    #[error("cannot encode the injected code: {0}")]
    Encode(#[from] iced_x86::IcedError),
    /// The shim is broken.
    #[error(transparent)]
    Shim(#[from] ShimError),
    /// The directory's name is too long.
    #[error("the ring directory's name is longer than {} bytes", shim_config::DIR_LEN - 1)]
    DirTooLong,
}

/// Makes the plan.
pub fn plan(go: &GoBinary<'_>, options: &PlanOptions) -> Result<PatchPlan, PlanError> {
    let shim = Shim::load()?;
    let base = space::first_free_vaddr(go.image)?;
    // The ring's front comes first and the code after it: the front's size is known, the code's is not.
    let next = go.first_moduledata.0 + u64::from(go.layout.moduledata_next);
    let addresses = addresses(base, &shim, Vaddr(next))?;
    // One pass over the function table: large programs have hundreds of thousands.
    let names = [&probe::names(go)[..], &FATAL, &[CGO], &shim_config::names()].concat();
    let functions = go.find_functions(&names);
    let emitter = Emitter {
        layout: &go.layout,
        addresses: &addresses,
        has_thread_words: !uses_cgo(go, &functions),
    };
    let mut code = InjectedCode::new(code_start(base), &shim);
    let entry = code.add("gocc.entry", |at| {
        emitter.process_entry(at, go.image.entry())
    })?;
    let sites = probe::resolve_among(go, &functions);
    let has = |wanted: fn(ProbeKind) -> bool| {
        let mut found = sites.iter().filter(|site| site.function.is_some());
        found.any(|site| wanted(site.probe.kind))
    };
    let has_operation = has(|kind| matches!(kind, ProbeKind::Operation { .. }));
    if !has_operation || !has(|kind| kind == ProbeKind::Start) {
        return Err(PlanError::NothingToHook);
    }
    let mut planner = SitePlanner {
        go,
        emitter,
        code,
        edits: Vec::new(),
        fatals: entries_of(&functions, &FATAL),
    };
    let outcomes = sites
        .iter()
        .map(|site| planner.site(site))
        .collect::<Result<Vec<_>, _>>()?;
    // From here on the code is complete and its end final.
    let SitePlanner {
        code, mut edits, ..
    } = planner;
    edits.sort_by_key(|edit| edit.at);
    let data = InjectedData::build(go, &functions, &code, &addresses, options)?;
    Ok(PatchPlan {
        edits,
        symbols: symbols(&code, &addresses, &data),
        entry,
        provenance: provenance(options),
        sites: outcomes,
        input_sha256_at: vec![digest_at(&addresses)],
        segments: segments(base, code, data),
    })
}

/// The functions that map code calls when its check failed.
const FATAL: [&str; 3] = [
    "runtime.fatal",
    "runtime.throw",
    "internal/runtime/maps.fatal",
];

/// C code's way back into Go: every version's runtime/cgo has it (runtime/cgo/asm_amd64.s).
const CGO: &str = "crosscall2";

/// C code is linked in.
fn uses_cgo(go: &GoBinary<'_>, functions: &[Func<'_>]) -> bool {
    go.image.needs_libraries() || functions.iter().any(|function| function.name == CGO)
}

fn entries_of(functions: &[Func<'_>], names: &[&str]) -> Vec<Vaddr> {
    functions
        .iter()
        .filter(|function| names.contains(&function.name))
        .map(|function| function.entry)
        .collect()
}

/// Segment order: `.gocc.ring`, `.gocc.data`, `.gocc.text`, `.gocc.pclntab`. The first two have sizes
/// that do not depend on the code.
const DATA_SIZE: u64 = PAGE;
/// The injected moduledata lies behind the config.
const MODULEDATA_OFFSET: u64 = size_of::<Config>().next_multiple_of(16) as u64;

fn data_start(base: Vaddr) -> Vaddr {
    Vaddr(base.0 + (RESERVED_SIZE as u64).next_multiple_of(PAGE))
}

/// Bytes before the first function that no function table covers: runtime/pprof's own tests take the first
/// byte of an executable mapping for an address without a function.
const PADDING: u64 = 64;

fn text_start(base: Vaddr) -> Vaddr {
    Vaddr(data_start(base).0 + DATA_SIZE)
}

/// The first function; all code addresses are relative to it.
fn code_start(base: Vaddr) -> Vaddr {
    Vaddr(text_start(base).0 + PADDING)
}

fn addresses(base: Vaddr, shim: &Shim, next_moduledata: Vaddr) -> Result<Addresses, ShimError> {
    let in_shim = |name: &str| {
        shim.entry(name)
            .map(|offset| Vaddr(code_start(base).0 + u64::from(offset)))
    };
    Ok(Addresses {
        front: base,
        config: data_start(base),
        init: in_shim("gocc_init")?,
        conflict: in_shim("gocc_conflict")?,
        death: in_shim("gocc_death")?,
        overlap: in_shim("gocc_overlap")?,
        sampled: in_shim("gocc_sampled")?,
        enter: in_shim("gocc_enter")?,
        leave: in_shim("gocc_leave")?,
        lost: in_shim("gocc_lost")?,
        moduledata: Vaddr(data_start(base).0 + MODULEDATA_OFFSET),
        next_moduledata,
    })
}

fn provenance(options: &PlanOptions) -> Provenance {
    let mut chosen = vec![format!("mode={}", options.mode)];
    chosen.extend(options.dir.iter().map(|dir| format!("dir={dir}")));
    chosen.extend(options.ring_size.iter().map(|size| format!("ring={size}")));
    Provenance {
        gocc_version: env!("CARGO_PKG_VERSION").to_owned(),
        options: chosen,
    }
}

struct SitePlanner<'a> {
    go: &'a GoBinary<'a>,
    emitter: Emitter<'a>,
    code: InjectedCode,
    edits: Vec<Edit>,
    fatals: Vec<Vaddr>,
}

impl SitePlanner<'_> {
    fn site(&mut self, site: &Site<'_>) -> Result<SiteOutcome, PlanError> {
        let mut outcome = SiteOutcome {
            function: site.probe.function.to_owned(),
            vaddr: site.function.as_ref().map(|function| function.entry),
            operation: describe(site.probe.kind),
            entry: Outcome::Skipped("not in this executable".to_owned()),
            exits: 0,
        };
        let Some(function) = &site.function else {
            return Ok(outcome);
        };
        let decoded =
            Function::decode(self.go, function).map_err(|source| bad_site(function, source))?;
        if site.probe.kind == ProbeKind::Signal
            && let Err(why) = decoded.entry_or_moved(self.emitter.layout)
        {
            // What it is for happens to hardly any program: no reason to refuse one.
            outcome.entry = Outcome::Skipped(why.to_string());
            return Ok(outcome);
        }
        if let ProbeKind::Check { operation } = site.probe.kind {
            outcome.entry = match self.failed_checks(function, &decoded, operation)? {
                0 => Outcome::Skipped("makes no check that is recognised".to_owned()),
                _ => Outcome::Patched("jump where its check failed".to_owned()),
            };
            return Ok(outcome);
        }
        if site.probe.kind == ProbeKind::Constructor {
            (outcome.entry, outcome.exits) = self.constructor(function, &decoded)?;
            return Ok(outcome);
        }
        outcome.entry = Outcome::Patched(self.entry(site, function, &decoded)?.to_owned());
        if let ProbeKind::Operation { operation, .. } = site.probe.kind {
            outcome.exits = self.exits(function, &decoded, operation)?;
            self.failed_checks(function, &decoded, operation)?;
        }
        Ok(outcome)
    }

    /// Hooks the entry; the tactic's name.
    fn entry(
        &mut self,
        site: &Site<'_>,
        function: &Func<'_>,
        decoded: &Function,
    ) -> Result<&'static str, PlanError> {
        let entry = match site.probe.kind {
            ProbeKind::Operation { .. } => decoded.entry(self.emitter.layout),
            _ => decoded.entry_or_moved(self.emitter.layout),
        };
        let entry = entry.map_err(|source| bad_site(function, source))?;
        let name = format!("gocc.hook_{}", short_name(function.name));
        let emitter = &self.emitter;
        let start = self.code.add(&name, |at| match site.probe.kind {
            ProbeKind::Operation {
                operation,
                map,
                map_type,
            } => emitter.operation_entry(
                at,
                &entry,
                operation,
                map,
                map_type,
                site.probe.mark_frames(),
            ),
            ProbeKind::Death => emitter.death_entry(at, &entry),
            ProbeKind::Start => emitter.start_entry(at, &entry),
            ProbeKind::Signal => emitter.signal_entry(at, &entry),
            ProbeKind::Panic | ProbeKind::Check { .. } | ProbeKind::Constructor => {
                emitter.panic_entry(at, &entry)
            }
        })?;
        let (range, tactic) = match &entry {
            Entry::StackCheck { range, .. } => (range.clone(), "jump in place of the stack check"),
            Entry::Moved { range, .. } => {
                (range.clone(), "jump in place of the first instructions")
            }
        };
        self.jump(range, start, format!("entry of {}", function.name))?;
        Ok(tactic)
    }

    /// Hooks every return; how many. One without a hook would leave its goroutine inside for ever.
    fn exits(
        &mut self,
        function: &Func<'_>,
        decoded: &Function,
        operation: Operation,
    ) -> Result<usize, PlanError> {
        let exits: Result<Vec<_>, _> = decoded.exits().into_iter().collect();
        let exits = exits.map_err(|source| bad_site(function, source))?;
        self.hook_exits(function, &exits, |emitter, at, exit, frame| {
            emitter.operation_exit(at, exit, frame, operation)
        })
    }

    /// Hooks the returns of a map's constructor. Where a map was made is not worth refusing a program for.
    fn constructor(
        &mut self,
        function: &Func<'_>,
        decoded: &Function,
    ) -> Result<(Outcome, usize), PlanError> {
        let exits: Result<Vec<_>, _> = decoded.exits().into_iter().collect();
        match exits {
            Ok(exits) => {
                let count = self.hook_exits(function, &exits, |emitter, at, exit, frame| {
                    emitter.made_exit(at, exit, frame)
                })?;
                Ok((Outcome::Patched("jumps at its returns".to_owned()), count))
            }
            Err(why) => Ok((Outcome::Skipped(why.to_string()), 0)),
        }
    }

    fn hook_exits(
        &mut self,
        function: &Func<'_>,
        exits: &[Exit],
        emit: impl Fn(&Emitter<'_>, Vaddr, &Exit, u32) -> Result<Assembled, iced_x86::IcedError>,
    ) -> Result<usize, PlanError> {
        for (index, exit) in exits.iter().enumerate() {
            let name = format!("gocc.exit{index}_{}", short_name(function.name));
            let frame = self.frame_size(exit.range.start);
            let emitter = &self.emitter;
            let start = self.code.add(&name, |at| emit(emitter, at, exit, frame))?;
            self.jump(
                exit.range.clone(),
                start,
                format!("exit {index} of {}", function.name),
            )?;
        }
        Ok(exits.len())
    }

    /// Hooks the places where the runtime's own check failed; how many.
    fn failed_checks(
        &mut self,
        function: &Func<'_>,
        decoded: &Function,
        operation: Operation,
    ) -> Result<usize, PlanError> {
        let checks = decoded.failed_checks(&self.fatals, self.emitter.layout);
        for (index, check) in checks.iter().enumerate() {
            let name = format!("gocc.check{index}_{}", short_name(function.name));
            let frame = self.frame_size(check.range.start);
            let emitter = &self.emitter;
            let start = self.code.add(&name, |at| {
                emitter.failed_check(at, check, frame, operation)
            })?;
            self.jump(
                check.range.clone(),
                start,
                format!("failed check {index} of {}", function.name),
            )?;
        }
        Ok(checks.len())
    }

    fn frame_size(&self, at: Vaddr) -> u32 {
        self.go
            .sp_delta_at(at)
            .and_then(|bytes| u32::try_from(bytes).ok())
            .unwrap_or(0)
    }

    /// `jmp target`, then `int3` to the end of the range.
    fn jump(
        &mut self,
        range: Range<Vaddr>,
        target: Vaddr,
        purpose: String,
    ) -> Result<(), PlanError> {
        const JMP_REL32: u8 = 0xe9;
        let size = range.end.0 - range.start.0;
        let distance = (target.0 as i64).wrapping_sub((range.start.0 + JUMP_SIZE) as i64);
        let distance = i32::try_from(distance).map_err(|_| PlanError::TooFar(range.start))?;
        let old = self
            .go
            .image
            .bytes_at(range.start, size)
            .unwrap_or_default()
            .to_vec();
        let mut new = vec![JMP_REL32];
        new.extend(distance.to_le_bytes());
        new.resize(size as usize, INT3);
        self.edits.push(Edit {
            at: range.start,
            old,
            new,
            purpose,
        });
        Ok(())
    }
}

fn bad_site(function: &Func<'_>, source: DecodeError) -> PlanError {
    PlanError::Site {
        function: function.name.to_owned(),
        at: function.entry,
        source,
    }
}

fn describe(kind: ProbeKind) -> String {
    match kind {
        ProbeKind::Operation { operation, .. } => operation.to_string(),
        ProbeKind::Check { operation } => format!("check of {operation}"),
        ProbeKind::Death => "death of the program".to_owned(),
        ProbeKind::Start => "start of the program".to_owned(),
        ProbeKind::Panic => "panic".to_owned(),
        ProbeKind::Signal => "signal".to_owned(),
        ProbeKind::Constructor => "making of a map".to_owned(),
    }
}

/// `internal/runtime/maps.(*Iter).Next` to `maps_Iter_Next`, `runtime.mapassign` to `mapassign`: names
/// that read well in a traceback, where the runtime cuts at dots and slashes.
fn short_name(function: &str) -> String {
    let last = function.rsplit('/').next().unwrap_or(function);
    let name = last.strip_prefix("runtime.").unwrap_or(last);
    name.replace(['(', ')', '*'], "").replace('.', "_")
}

/// What the writable and the read-only data segments hold.
struct InjectedData {
    writable: Vec<u8>,
    tables: Vec<u8>,
}

impl InjectedData {
    fn build(
        go: &GoBinary<'_>,
        functions: &[Func<'_>],
        code: &InjectedCode,
        addresses: &Addresses,
        options: &PlanOptions,
    ) -> Result<InjectedData, PlanError> {
        let tables = Tables::build(go, &code.functions, code.end());
        let moduledata_at = addresses.moduledata;
        let module = ModuleData::build(
            go,
            &tables,
            tables_start(code),
            moduledata_at,
            code.start,
            code.end(),
        );
        let relocations_at = moduledata_at.0 + (module.bytes.len() as u64).next_multiple_of(16);
        let relocations: Vec<u64> = module
            .pointers
            .iter()
            .map(|offset| moduledata_at.0 + offset)
            .collect();
        let mut config = shim_config::for_executable(go, functions, options)?;
        config.config = addresses.config.0;
        config.front = addresses.front.0;
        config.relocations = relocations_at;
        config.relocation_count = relocations.len() as u64;
        config.injected_start = code.start.0;
        config.injected_end = code.end().0;
        config.default_exit_code = DEFAULT_EXIT_CODE;
        config.sample_period = DEFAULT_SAMPLE_PERIOD;
        let mut writable = config.as_bytes().to_vec();
        for part in [module.bytes.as_slice(), relocations.as_bytes()] {
            writable.resize(writable.len().next_multiple_of(16), 0);
            writable.extend(part);
        }
        Ok(InjectedData {
            writable,
            tables: tables.bytes,
        })
    }
}

fn digest_at(addresses: &Addresses) -> Vaddr {
    Vaddr(addresses.config.0 + std::mem::offset_of!(Config, input_sha256) as u64)
}

fn tables_start(code: &InjectedCode) -> Vaddr {
    Vaddr(code.end().0.next_multiple_of(PAGE))
}

fn segments(base: Vaddr, code: InjectedCode, data: InjectedData) -> Vec<NewSegment> {
    let tables_at = tables_start(&code);
    let segment = |name: &str, vaddr: Vaddr, bytes: Vec<u8>, flags: u32| NewSegment {
        name: name.to_owned(),
        vaddr,
        mem_size: bytes.len() as u64,
        bytes,
        flags,
    };
    let mut text = vec![INT3; PADDING as usize];
    text.extend(code.bytes);
    vec![
        NewSegment {
            name: ".gocc.ring".to_owned(),
            vaddr: base,
            bytes: Vec::new(),
            mem_size: RESERVED_SIZE as u64,
            flags: PF_R | PF_W,
        },
        segment(".gocc.data", data_start(base), data.writable, PF_R | PF_W),
        segment(".gocc.text", text_start(base), text, PF_R | PF_X),
        segment(".gocc.pclntab", tables_at, data.tables, PF_R),
    ]
}

fn symbols(code: &InjectedCode, addresses: &Addresses, data: &InjectedData) -> Vec<NewSymbol> {
    let functions = code.functions.iter().map(|function| NewSymbol {
        name: function.name.clone(),
        vaddr: function.start,
        size: function.size,
        is_function: true,
    });
    let object = |name: &str, vaddr: Vaddr, size: usize| NewSymbol {
        name: name.to_owned(),
        vaddr,
        size: size as u64,
        is_function: false,
    };
    let objects = [
        object("gocc.ring", addresses.front, FRONT_SIZE),
        object(
            "gocc.private",
            Vaddr(addresses.front.0 + PRIVATE_OFFSET as u64),
            size_of::<Private>(),
        ),
        object("gocc.config", addresses.config, data.writable.len()),
    ];
    functions.chain(objects).collect()
}
