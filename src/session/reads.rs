//! [`Reads`]: the views and reports that statements read, also by way of others.
//!
//! A plan does not say it: views are planned once per session and are inlined, and an alias looks like a view of that
//! name. So each name is recorded when it is resolved, with the view or report whose SQL named it.

use std::collections::{BTreeSet, HashMap};

/// The most names that are kept for one reader: a server's statements name calls with ever other arguments, and nobody
/// takes their names there.
const MAX_NAMES: usize = 10_000;

/// The names that SQL resolved.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// The names that a view or report reads itself. Filled when it is planned, which happens once per session.
    by_reader: HashMap<String, BTreeSet<String>>,
    /// The names that statements read since [`Reads::take`].
    by_statements: BTreeSet<String>,
}

impl Reads {
    /// Records that `reader`, or a statement outside of views and reports, reads `name`.
    pub(super) fn add(&mut self, reader: Option<&str>, name: &str) {
        let names = match reader {
            Some(reader) => self.by_reader.entry(reader.to_string()).or_default(),
            None => &mut self.by_statements,
        };
        if !names.contains(name) && names.len() < MAX_NAMES {
            names.insert(name.to_string());
        }
    }

    /// All names that statements read since the last call, also by way of views and reports.
    pub(super) fn take(&mut self) -> BTreeSet<String> {
        let read = std::mem::take(&mut self.by_statements);
        self.below(read.into_iter().collect())
    }

    /// These names, and all that they read.
    pub(super) fn below(&self, mut open: Vec<String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        while let Some(name) = open.pop() {
            if all.insert(name.clone()) {
                // a report is planned under its name alone, with whatever arguments it is read
                open.extend(self.by_reader.get(super::base_name(&name)).into_iter().flatten().cloned());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_arguments_reads_what_the_report_reads() {
        let mut reads = Reads::default();
        reads.add(Some("reports.topics"), "clean");
        reads.add(None, "reports.topics(least => '2')");
        assert_eq!(reads.take().into_iter().collect::<Vec<_>>(), ["clean", "reports.topics(least => '2')"]);
    }

    #[test]
    fn names_are_found_by_way_of_views_and_once() {
        let mut reads = Reads::default();
        reads.add(Some("clean"), "unique");
        reads.add(Some("unique"), "raw");
        reads.add(Some("other"), "raw");
        reads.add(None, "clean");
        let taken: Vec<String> = reads.take().into_iter().collect();
        assert_eq!(taken, ["clean", "raw", "unique"]);
        assert!(reads.take().is_empty());
        // a planned view is not planned again, what it reads stays known
        reads.add(None, "unique");
        assert_eq!(reads.take().len(), 2);
    }

    #[test]
    fn views_that_read_each_other_end() {
        let mut reads = Reads::default();
        reads.add(Some("a"), "b");
        reads.add(Some("b"), "a");
        reads.add(None, "a");
        assert_eq!(reads.take().len(), 2);
    }
}
