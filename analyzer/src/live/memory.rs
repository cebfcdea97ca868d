//! The memory of a process: `/proc/PID/{status,maps}`; never `smaps`, which walks page tables under a lock
//! of the process that is looked at.

use std::collections::BTreeMap;

use serde::Serialize;

/// Its memory, bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident.
    pub resident: u64,
    /// Of that: anonymous (heap, stacks).
    pub anonymous: u64,
    /// Swapped out.
    pub swap: u64,
    /// Address space.
    pub space: u64,
    /// Mappings.
    pub mappings: u64,
    /// Bytes of address space by what is mapped: `heap`, `stacks`, `anonymous`, `files`, `shared`, `deleted files`.
    pub by_use: BTreeMap<String, u64>,
}

/// Memory of a process; zeros where it cannot be read.
pub fn of(pid: u32) -> Memory {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    parse(&status, &String::from_utf8_lossy(&maps))
}

fn parse(status: &str, maps: &str) -> Memory {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.unwrap_or(0).saturating_mul(1024)
    };
    let mut memory = Memory {
        resident: field("VmRSS:"),
        anonymous: field("RssAnon:"),
        swap: field("VmSwap:"),
        space: field("VmSize:"),
        ..Memory::default()
    };
    for line in maps.lines() {
        memory.mappings += 1;
        let Some((bytes, what)) = mapping(line) else { continue };
        let sum = memory.by_use.entry(what.to_owned()).or_default();
        *sum = sum.saturating_add(bytes);
    }
    memory
}

/// `start-end perms offset dev inode path`: bytes and use.
fn mapping(line: &str) -> Option<(u64, &'static str)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let bytes = hex(end)?.checked_sub(hex(start)?)?;
    let rights = fields.next()?;
    let path = fields.nth(3).unwrap_or("");
    let what = match path {
        "[heap]" => "heap",
        path if path.starts_with("[stack") => "stacks",
        "" => "anonymous",
        path if path.starts_with('[') => "the kernel's",
        _ if line.ends_with(" (deleted)") && rights.ends_with('p') => "deleted files",
        _ if rights.ends_with('s') => "shared",
        _ => "files",
    };
    Some((bytes, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_summed_by_use() {
        let maps = "1000-3000 rw-p 00000000 00:00 0 \n\
            3000-4000 r--p 00000000 08:01 5 /lib/x.so\n\
            4000-5000 rw-p 00000000 00:00 0 [heap]\n\
            5000-6000 r--p 00000000 08:01 6 /lib/y (deleted)\nnonsense\n";
        let memory = parse("VmRSS:\t 12 kB\nVmSize: 99 kB\n", maps);
        assert_eq!((memory.resident, memory.space, memory.mappings), (12 << 10, 99 << 10, 5));
        assert_eq!(memory.by_use["anonymous"], 0x2000);
        assert_eq!((memory.by_use["heap"], memory.by_use["deleted files"]), (0x1000, 0x1000));
    }
}
