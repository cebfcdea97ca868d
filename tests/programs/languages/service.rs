//! As service.c: a file that is forgotten, and one that is dropped.
use std::fs::File;

fn read_config() -> File {
    File::open("/etc/hostname").expect("a host has a name")
}

#[inline(never)]
fn leaky(is_clean: bool) {
    let file = read_config(); // leaks here
    if !is_clean {
        std::mem::forget(file);
    }
}

#[inline(never)]
fn healthy() {
    drop(read_config());
}

fn main() {
    let is_clean = std::env::args().nth(1).as_deref() == Some("clean");
    for _ in 0..40 {
        leaky(is_clean);
        healthy();
    }
}
