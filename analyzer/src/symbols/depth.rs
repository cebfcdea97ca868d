//! Whether somebody else's debug information is nested too deeply to be handed to the symbolizer.
//!
//! blazesym reads inlined calls recursively: 340 KB of debug information that nests 20 000 of them
//! end the report with a stack overflow, which nothing can catch. Looked at for files that belong to
//! neither root nor the reader only: the others already run with these rights, and the look costs
//! a pass over all of it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use gimli::{DebugAbbrev, DebugInfo, LittleEndian};

use super::elf::Range;

/// Nesting that no compiler's output comes near.
const MAX_DEPTH: isize = 1000;
/// Most debug information of others that is looked at.
const MAX_BYTES: u64 = 128 << 20;

/// Whether both sections may be handed on.
pub fn is_shallow(file: &File, info: Range, abbreviations: Range) -> bool {
    let read = |range: Range| {
        let mut bytes = vec![0; usize::try_from(range.bytes).ok()?];
        file.read_exact_at(&mut bytes, range.offset).ok()?;
        Some(bytes)
    };
    if info.bytes.saturating_add(abbreviations.bytes) > MAX_BYTES {
        return false;
    }
    let (Some(info), Some(abbreviations)) = (read(info), read(abbreviations)) else {
        return false;
    };
    depth_is_bounded(&info, &abbreviations).unwrap_or(false)
}

/// An error is what another reader may see otherwise: nothing is known then.
fn depth_is_bounded(info: &[u8], abbreviations: &[u8]) -> gimli::Result<bool> {
    let abbreviations = DebugAbbrev::new(abbreviations, LittleEndian);
    let mut units = DebugInfo::new(info, LittleEndian).units();
    while let Some(unit) = units.next()? {
        let abbreviations = unit.abbreviations(&abbreviations)?;
        let mut entries = unit.entries_raw(&abbreviations, None)?;
        while !entries.is_empty() {
            if entries.next_depth() > MAX_DEPTH {
                return Ok(false);
            }
            if let Some(abbreviation) = entries.read_abbreviation()? {
                entries.skip_attributes(abbreviation.attributes())?;
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One unit whose entries, of a tag without attributes, nest this deep.
    fn nested(depth: usize) -> Vec<u8> {
        let mut unit = vec![4, 0, 0, 0, 0, 0, 8];
        unit.extend(std::iter::repeat_n(1, depth));
        unit.extend(std::iter::repeat_n(0, depth));
        let mut info = (unit.len() as u32).to_le_bytes().to_vec();
        info.extend(unit);
        info
    }

    #[test]
    fn only_deep_nesting_is_refused() {
        // Code 1: inlined subroutine, has children, no attributes.
        let abbreviations = [1, 0x1d, 1, 0, 0, 0];
        let bounded = |depth| depth_is_bounded(&nested(depth), &abbreviations);
        assert_eq!(bounded(1), Ok(true));
        assert_eq!(bounded(900), Ok(true));
        assert_eq!(bounded(20_000), Ok(false));
        assert!(depth_is_bounded(&nested(3), &[2, 0x1d, 1, 0, 0, 0]).is_err());
    }
}
