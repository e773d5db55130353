//! All that was recorded in one cell.

use super::journal::Journal;
use super::meta::JournalKind;

/// All journals of a cell.
#[derive(Debug, Default)]
pub struct History {
    journals: Vec<Journal>,
}

impl History {
    /// A history of these journals, brought into the order of kind, number, incarnation.
    pub fn new(mut journals: Vec<Journal>) -> Self {
        journals.sort_by(|a, b| {
            let key =
                |journal: &Journal| (journal.meta().kind, journal.meta().number, journal.meta().incarnation);
            key(a).cmp(&key(b)).then_with(|| a.meta().role.cmp(&b.meta().role))
        });
        Self { journals }
    }

    /// All journals.
    pub fn journals(&self) -> &[Journal] {
        &self.journals
    }

    /// Those of one kind.
    pub fn of_kind(&self, kind: JournalKind) -> impl Iterator<Item = &Journal> + Clone {
        self.journals.iter().filter(move |journal| journal.meta().kind == kind)
    }

    /// The conductor's, if there is one.
    pub fn conductor(&self) -> Option<&Journal> {
        self.of_kind(JournalKind::Conductor).next()
    }

    /// The first journal on which no negative conclusion may rest, if any.
    pub fn first_incomplete(&self) -> Option<&Journal> {
        self.journals.iter().find(|journal| !journal.completeness().is_complete())
    }
}
