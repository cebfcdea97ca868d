//! What is known of the use of live descriptors: evidence for findings about them.
//!
//! It says nothing where uses are not stamped, or where some of the descriptors are used in ways that are not
//! seen: absence is no evidence then.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::seconds;
use crate::model::resource::Live;

/// Adds what is known of these to the evidence.
///
/// `last_used_s`: when the last of them was used, at the latest; `never_used`: how many were not used since they
/// were acquired; `ended_by_peer`: of how many the other end is gone; `in_epoll_set`: how many are waited for.
pub fn tell(live: &[&Live], evidence: &mut BTreeMap<String, Value>) {
    let count = |is: fn(&Live) -> bool| live.iter().filter(|live| is(live)).count();
    if !live.is_empty() && live.iter().all(|live| live.use_is_known) {
        if let Some(last) = live.iter().filter_map(|live| live.last_use_ns).max() {
            evidence.insert("last_used_s".to_owned(), json!(seconds(last)));
        }
        evidence.insert("never_used".to_owned(), json!(count(|live| live.last_use_ns.is_none())));
    }
    for (name, number) in [
        ("ended_by_peer", count(|live| live.has_ended)),
        ("in_epoll_set", count(|live| live.is_watched)),
    ] {
        if number > 0 {
            evidence.insert(name.to_owned(), json!(number));
        }
    }
}
