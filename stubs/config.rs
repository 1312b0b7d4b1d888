// What the patcher tells the shim about the executable: one definition for both. It lies in the
// writable segment `.gocc.data`; all addresses are link-time ones until `bias` is added.

/// Bytes of `Config::default_dir`, with its terminating zero.
pub const DIR_LEN: usize = 256;

/// `Config::labels_form`: g.labels points to a `map[string]string` (runtime/pprof/label.go, up to Go 1.23).
pub const LABELS_MAP: u32 = 1;
/// `Config::labels_form`: g.labels points to a slice of pairs of strings (Go 1.24 on).
pub const LABELS_LIST: u32 = 2;

/// Bytes of `Config::ring_path`, with its terminating zero.
pub const PATH_LEN: usize = 320;

/// A function and its frame.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct FrameOf {
    /// Link-time range of its code; empty when there is none.
    pub start: u64,
    /// See `start`.
    pub end: u64,
    /// Bytes from the stack pointer, where it calls, up to its return address.
    pub size: u64,
}

/// Facts about the executable and the options chosen when it was patched.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    not(gocc_shim),
    derive(
        zerocopy::FromBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout,
        zerocopy::IntoBytes
    )
)]
pub struct Config {
    /// Run-time address minus link-time address; computed by init.
    pub bias: u64,
    /// Link-time address of this struct.
    pub config: u64,
    /// Link-time address of the ring's front (`.gocc.ring`).
    pub front: u64,
    /// Link-time address of `relocation_count` link-time addresses of words to add `bias` to.
    pub relocations: u64,
    /// See `relocations`.
    pub relocation_count: u64,
    /// Link-time address of `runtime.firstmoduledata`.
    pub moduledata: u64,
    /// Link-time range of Go's text.
    pub text_start: u64,
    /// See `text_start`.
    pub text_end: u64,
    /// Link-time range of the injected code.
    pub injected_start: u64,
    /// See `injected_start`.
    pub injected_end: u64,
    /// Link-time ranges of code between map operations and the code that wants them: the runtime's map
    /// functions, and reflect's. Empty when there are none.
    pub between: [[u64; 2]; 2],
    /// What lies on a goroutine's stack between Go code that C has called and the Go code that has called C:
    /// `runtime.cgocallback`, `runtime.systemstack_switch` (in place of asmcgocall, runtime/asm_amd64.s) and
    /// `runtime.cgocall`. The chain of frame pointers leads to C's stack there.
    pub through_c: [FrameOf; 3],
    /// `GATE_*` without `GOCC=mode=...`.
    pub default_gate: u32,
    /// Bytes per lane without `GOCC=ring=...`; 0 for the built-in default.
    pub default_lane_size: u32,
    /// Exit code for findings without `GOCC=exitcode=...`.
    pub default_exit_code: u32,
    /// Sampling period in observe mode.
    pub sample_period: u32,
    /// Byte offsets in the runtime's structs.
    pub g_stack_lo: u32,
    /// See `g_stack_lo`.
    pub g_stack_hi: u32,
    /// See `g_stack_lo`.
    pub g_goid: u32,
    /// See `g_stack_lo`; 0 when there is none (Go before 1.21).
    pub g_parent_goid: u32,
    /// See `g_stack_lo`.
    pub g_gopc: u32,
    /// See `g_stack_lo`.
    pub g_startpc: u32,
    /// See `g_stack_lo`.
    pub g_m: u32,
    /// See `g_stack_lo`.
    pub m_curg: u32,
    /// See `g_stack_lo`.
    pub g_labels: u32,
    /// How the labels lie in memory: one of `LABELS_*`.
    pub labels_form: u32,
    /// hmap.hash0 or Map.seed.
    pub map_seed: u32,
    /// hmap.flags or Map.writing.
    pub map_writing: u32,
    /// The bits of it that say that a write is in progress.
    pub map_writing_mask: u32,
    /// Length of `build_id`.
    pub build_id_len: u32,
    /// Go's build ID.
    pub build_id: [u8; 128],
    /// SHA-256 of the executable before patching.
    pub input_sha256: [u8; 32],
    /// The ring's path, zero-terminated; filled in by init.
    pub ring_path: [u8; PATH_LEN],
    /// Directory for rings without `GOCC=dir=...`, zero-terminated.
    pub default_dir: [u8; DIR_LEN],
}
