//! A private directory of one test: working directory of the program, or where the shim writes.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that nobody else uses (0700). It is removed when dropped, but stays when the test
/// fails, for whoever looks into it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A directory for files of programs, below the build directory.
    pub fn new(name: &str) -> Scratch {
        Scratch::under(&super::artifacts::profile_dir().join("resshim-tests"), name)
    }

    /// A directory for regions: on `/dev/shm`, where they live in production, if there is one.
    pub fn for_regions(name: &str) -> Scratch {
        let shm = Path::new("/dev/shm");
        if !shm.is_dir() {
            return Scratch::new(name);
        }
        Scratch::under(shm, &format!("resshim-tests-{name}"))
    }

    /// A directory that other users may enter (0755), for servers whose workers are other users.
    pub fn shared(name: &str) -> Scratch {
        let scratch = Scratch::under(&std::env::temp_dir(), &format!("resshim-tests-{name}"));
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&scratch.path, everybody).expect("permissions");
        scratch
    }

    /// Gives the directory to a user.
    pub fn give_to(&self, user: u32, group: u32) {
        std::os::unix::fs::chown(&self.path, Some(user), Some(group)).expect("only as root");
    }

    fn under(base: &Path, name: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        std::fs::create_dir_all(base).expect("base of the scratch directories");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{name}.{}.{number}", std::process::id()));
        // A directory of an earlier process of this number.
        let _ = std::fs::remove_dir_all(&path);
        DirBuilder::new().mode(0o700).create(&path).expect("scratch directory");
        Scratch { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
