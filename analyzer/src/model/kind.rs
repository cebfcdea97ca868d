//! Kinds of resources as small numbers: those of the contract, and names that programs brought.
//!
//! The number of an annotated kind is a row of its own region's table: the same word has another
//! number in another region, so words are interned here.

use resshim_format::op::{FIRST_ANNOTATED_KIND, Kind};
use std::collections::HashMap;

/// A kind, across all regions of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KindId(pub u16);

impl From<Kind> for KindId {
    fn from(kind: Kind) -> KindId {
        KindId(kind as u16)
    }
}

/// What people call so many resources of a kind: `file`, `tcp sockets`.
pub fn noun(kind: &str, number: u64) -> &str {
    let (one, many) = match kind {
        "file" => ("file", "files"),
        "dir" => ("directory", "directories"),
        "pipe" => ("pipe end", "pipe ends"),
        "fifo" => ("fifo", "fifos"),
        "tcp" => ("tcp socket", "tcp sockets"),
        "udp" => ("udp socket", "udp sockets"),
        "unix" => ("unix socket", "unix sockets"),
        "netlink" => ("netlink socket", "netlink sockets"),
        "socket" => ("socket", "sockets"),
        "epoll" => ("epoll set", "epoll sets"),
        "thread" => ("thread", "threads"),
        "process" => ("child process", "child processes"),
        "heap" => ("heap block", "heap blocks"),
        "mapping" => ("mapping", "mappings"),
        "lock" => ("lock", "locks"),
        other => return other,
    };
    if number == 1 { one } else { many }
}

/// Names of the kinds beyond the contract's that are kept; more become `other`.
const LIMIT: usize = 4096;

/// The names.
#[derive(Clone, Debug, Default)]
pub struct KindNames {
    named: Vec<String>,
    ids: HashMap<String, KindId>,
}

impl KindNames {
    /// The kind of this word.
    pub fn intern(&mut self, name: &str) -> KindId {
        if let Some(kind) = Kind::from_name(name) {
            return kind.into();
        }
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let name = if self.named.len() < LIMIT { name } else { "other" };
        let id = KindId(FIRST_ANNOTATED_KIND as u16 + self.named.len().min(LIMIT) as u16);
        if self.named.len() <= LIMIT {
            self.named.push(name.to_owned());
            self.ids.insert(name.to_owned(), id);
        }
        id
    }

    /// The kind of a number in a region whose own names are `names`, by kind number.
    pub fn of_number(&mut self, number: u32, names: &HashMap<u32, String>) -> KindId {
        if let Some(kind) = Kind::from_number(number) {
            return kind.into();
        }
        match names.get(&number) {
            Some(name) => self.intern(name),
            None => self.intern("other"),
        }
    }

    /// The word of a kind.
    pub fn name(&self, id: KindId) -> &str {
        if let Some(kind) = Kind::from_number(id.0 as u32) {
            return kind.name();
        }
        let row = (id.0 as usize).checked_sub(FIRST_ANNOTATED_KIND as usize);
        row.and_then(|row| self.named.get(row)).map_or("other", String::as_str)
    }

    /// Every kind there is, those of the contract first.
    pub fn all(&self) -> impl Iterator<Item = KindId> + '_ {
        let first = FIRST_ANNOTATED_KIND as u16;
        let named = (0..self.named.len()).map(move |row| KindId(first + row as u16));
        Kind::ALL.iter().map(|kind| KindId::from(*kind)).chain(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_one_kind_whatever_its_number_in_a_region() {
        let mut kinds = KindNames::default();
        let one = HashMap::from([(64, "job".to_owned()), (65, "tcp".to_owned())]);
        let two = HashMap::from([(67, "job".to_owned())]);
        let job = kinds.of_number(64, &one);
        assert_eq!(job, kinds.of_number(67, &two));
        assert_eq!(kinds.of_number(65, &one), KindId::from(Kind::Tcp));
        assert_eq!(kinds.name(job), "job");
        let other = kinds.of_number(9999, &one);
        assert_eq!(kinds.name(other), "other");
    }
}
