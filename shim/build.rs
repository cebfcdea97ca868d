//! Link options of the shared object.
fn main() {
    // The constructor runs before those of all other libraries.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,initfirst");
    // Every symbol is there when the object is loaded: no lazy binding inside hooks.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,now");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Segments begin at pages: those that every process writes to are as few as can be.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,separate-loadable-segments");
    println!("cargo::rerun-if-changed=build.rs");
}
