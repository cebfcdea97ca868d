//! Many small cases in one test, a few at a time; every failure is told, not only the first.

use std::sync::Mutex;

/// Cases that run at the same time: they mostly wait for processes.
const WORKERS: usize = 4;

/// Runs `check` on each item and panics with all complaints, in the order of the items.
pub fn each<T: Sync>(items: &[T], check: impl Fn(&T) -> Result<(), String> + Sync) {
    let next = Mutex::new(0..items.len());
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let Some(index) = next.lock().expect("no worker panics here").next() else {
                        return;
                    };
                    if let Err(complaint) = check(&items[index]) {
                        complaints.lock().expect("no worker panics here").push((index, complaint));
                    }
                }
            });
        }
    });
    let mut complaints = complaints.into_inner().expect("no worker panics here");
    complaints.sort();
    let count = complaints.len();
    let text: Vec<String> = complaints.into_iter().map(|(_, text)| text).collect();
    assert!(count == 0, "{count} of {} cases failed:\n{}", items.len(), text.join("\n"));
}
