//! Pointers that the kernel keeps for a process: data of epoll sets, values of timers.

/// All words that the kernel would hand back.
pub fn words(pid: u32) -> Vec<u64> {
    let mut all = Vec::new();
    let entries = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    for entry in entries {
        // Of those that are no epoll set the first lines say so; their files are short.
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        all.extend(text.lines().filter_map(epoll_data));
    }
    let timers = std::fs::read_to_string(format!("/proc/{pid}/timers")).unwrap_or_default();
    all.extend(timers.lines().filter_map(timer_value));
    all
}

/// `tfd:        5 events:       19 data:     55d0c0ffee00  pos:0 ino:… sdev:…`
fn epoll_data(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("tfd:")?;
    let (_, rest) = rest.split_once("data:")?;
    u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
}

/// `signal: 60/00007fff86fb0100`
fn timer_value(line: &str) -> Option<u64> {
    let (_, value) = line.strip_prefix("signal:")?.split_once('/')?;
    u64::from_str_radix(value.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_an_epoll_set_and_of_a_timer_are_words() {
        let line = "tfd:        5 events:       19 data:     55d0c0ffee00  pos:0 ino:61 sdev:6";
        assert_eq!(epoll_data(line), Some(0x55d0_c0ff_ee00));
        assert_eq!(epoll_data("pos:\t0"), None);
        assert_eq!(timer_value("signal: 60/00007fff86fb0100"), Some(0x7fff_86fb_0100));
        assert_eq!(timer_value("notify: signal/pid.1"), None);
    }
}
