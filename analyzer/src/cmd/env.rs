//! `resshim env`: the line for a shell or a unit file.

use super::{library, output};

/// Prints `LD_PRELOAD=/absolute/path/libresshim.so`.
///
/// # Errors
/// Where the shim is not found.
pub fn run() -> anyhow::Result<u8> {
    let library = library::find()?;
    output::write(&format!("LD_PRELOAD={}\n", library.display()), None)?;
    Ok(0)
}
