//! Compiles the shim (`stubs/shim.rs`) to a position-independent blob. Written with the emission.
fn main() {
    println!("cargo::rustc-check-cfg=cfg(gocc_shim)");
}
