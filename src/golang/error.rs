use super::version::{NEWEST_MINOR, OLDEST_MINOR};
use crate::image::Vaddr;

/// Why an ELF image is not a Go executable that gocc understands.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// No trace of Go's compiler.
    #[error(
        "this is not a Go executable: it has no Go function table (pclntab) and no Go build info; \
         gocc patches programs built by the standard Go toolchain, go1.{OLDEST_MINOR} to go1.{NEWEST_MINOR}"
    )]
    NotGo,
    /// Compiled by a Go compiler with another runtime.
    #[error(
        "this was compiled by {compiler}, whose runtime gocc does not support: build it with the standard Go toolchain"
    )]
    OtherCompiler {
        /// `gccgo` or `TinyGo`.
        compiler: &'static str,
    },
    /// The executable unpacks itself at start.
    #[error("this executable is packed with {packer}: unpack it first (`upx -d FILE`)")]
    Packed {
        /// `UPX`.
        packer: &'static str,
    },
    /// Built for another system, although the ELF header does not say so.
    #[error("this was built for {found}; gocc supports linux/amd64 only")]
    OtherTarget {
        /// `GOOS` of the build info.
        found: String,
    },
    /// Built by a toolchain before register arguments and generics.
    #[error(
        "this was built by {found}; gocc supports go1.{OLDEST_MINOR} to go1.{NEWEST_MINOR}: build it with a newer Go"
    )]
    TooOld {
        /// The version, or what stands for it.
        found: String,
    },
    /// Built by a toolchain this gocc has no table for.
    #[error(
        "this was built by {found}; gocc knows go1.{OLDEST_MINOR} to go1.{NEWEST_MINOR} and reads newer versions only from \
         DWARF, which this executable lacks: build it without -ldflags=-w and do not strip it, or use a newer gocc"
    )]
    TooNew {
        /// The version, or what stands for it.
        found: String,
    },
    /// Neither build info nor runtime.buildVersion tells the version.
    #[error(
        "cannot find out which Go version built this: no build info, and runtime.buildVersion was not found; \
         gocc supports go1.{OLDEST_MINOR} to go1.{NEWEST_MINOR}"
    )]
    VersionNotFound,
    /// The version string is there, but it is not one of a Go release.
    #[error(
        "cannot tell the Go release from the version {found:?}; gocc supports go1.{OLDEST_MINOR} to go1.{NEWEST_MINOR}"
    )]
    VersionNotUnderstood {
        /// The whole string.
        found: String,
    },
    /// An experiment changes the runtime's structs, and there is no DWARF to read them from.
    #[error(
        "this was built with GOEXPERIMENT={experiment}, which changes the runtime's structs, and it has no DWARF to read them \
         from: build it without -ldflags=-w and do not strip it"
    )]
    UnknownExperiment {
        /// The experiment's name.
        experiment: String,
    },
    /// There is a function table but no module data that fits it.
    #[error(
        "the Go function table at {pclntab} has no runtime.firstmoduledata that fits it; the file is damaged or was altered"
    )]
    NoModuledata {
        /// Where the function table lies.
        pclntab: Vaddr,
    },
    /// The tables contradict each other.
    #[error("damaged Go executable: {what}; copy or build it again")]
    Inconsistent {
        /// The contradiction.
        what: String,
    },
}
