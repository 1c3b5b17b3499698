//! Rows that are sorted and filtered, of which one is selected by what it is, not by where it
//! stands: so the selection stays on it while rows come, go and change places.

use std::cmp::Ordering;

/// One column of a kind of rows.
pub struct Column<R> {
    pub title: &'static str,
    /// How many terminal columns it takes.
    pub width: u16,
    pub kind: Kind,
    /// What is shown; may be anything, it is made printable by who draws it.
    pub text: fn(&R) -> String,
    pub compare: fn(&R, &R) -> Ordering,
}

/// What a column is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Words,
    /// On the right, and the largest first.
    Number,
    /// A path, which is cut at its front, and takes the width that the other columns leave.
    Growing,
}

/// What can stand in a [`Table`].
pub trait Row: Sized + 'static {
    /// What tells it from all other rows, also later.
    type Id: Clone + Ord;

    const COLUMNS: &'static [Column<Self>];

    fn id(&self) -> Self::Id;
}

/// Rows, and how they are looked at.
pub struct Table<R: Row> {
    rows: Vec<R>,
    /// Whether there ever were rows, or the word that there are none.
    known: bool,
    /// Those that pass the filter, by their place in `rows`, in the order they are shown.
    order: Vec<usize>,
    sort: usize,
    reverse: bool,
    filter: String,
    /// `None` is the first row, whichever that is.
    selected: Option<R::Id>,
    /// Where the selected row stands in `order`.
    position: usize,
    /// The first row that is on the screen, and how many there were room for.
    first: usize,
    page: usize,
}

/// How far to move the selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Rows(isize),
    Pages(isize),
    Start,
    End,
}

impl<R: Row> Table<R> {
    /// Makes an empty one, sorted by one column.
    pub fn sorted_by(sort: usize) -> Self {
        Self {
            rows: Vec::new(),
            known: false,
            order: Vec::new(),
            sort,
            reverse: R::COLUMNS[sort].kind == Kind::Number,
            filter: String::new(),
            selected: None,
            position: 0,
            first: 0,
            page: 1,
        }
    }

    /// Takes new rows for the old ones.
    pub fn set(&mut self, rows: Vec<R>) {
        self.rows = rows;
        self.known = true;
        self.arrange();
    }

    pub fn is_known(&self) -> bool {
        self.known
    }

    pub fn rows(&self) -> &[R] {
        &self.rows
    }

    /// How many rows pass the filter.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The column that it is sorted by, and whether in falling order.
    pub fn sorting(&self) -> (usize, bool) {
        (self.sort, self.reverse)
    }

    /// Sorts by the next column, or by the one before.
    pub fn sort_beside(&mut self, by: isize) {
        let columns = R::COLUMNS.len().cast_signed();
        self.sort = (self.sort.cast_signed() + by)
            .rem_euclid(columns)
            .cast_unsigned();
        self.reverse = R::COLUMNS[self.sort].kind == Kind::Number;
        self.arrange();
    }

    pub fn reverse(&mut self) {
        self.reverse = !self.reverse;
        self.arrange();
    }

    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Shows only rows that have this text in one of their columns, in upper or lower case.
    pub fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.arrange();
    }

    pub fn selected(&self) -> Option<&R> {
        self.order.get(self.position).map(|row| &self.rows[*row])
    }

    pub fn go(&mut self, by: Move) {
        let Some(last) = self.order.len().checked_sub(1) else {
            return;
        };
        let page = self.page.saturating_sub(1).max(1).cast_signed();
        let step = |by: isize| self.position.saturating_add_signed(by).min(last);
        self.position = match by {
            Move::Rows(rows) => step(rows),
            Move::Pages(pages) => step(pages.saturating_mul(page)),
            Move::Start => 0,
            Move::End => last,
        };
        self.selected = match by {
            Move::Start => None,
            _ => self.selected().map(R::id),
        };
    }

    /// Returns the rows that are on a screen with room for so many, and which of them is selected.
    pub fn visible(&mut self, page: usize) -> (impl Iterator<Item = &R>, usize) {
        self.page = page;
        self.first = self.first.min(self.order.len().saturating_sub(page));
        self.first = self.first.min(self.position);
        if self.position >= self.first + page {
            self.first = (self.position + 1).saturating_sub(page);
        }
        let shown = self.order.iter().skip(self.first).take(page);
        (
            shown.map(|row| &self.rows[*row]),
            self.position.saturating_sub(self.first),
        )
    }

    fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let passes = |row: &R| {
            wanted.is_empty()
                || R::COLUMNS
                    .iter()
                    .any(|column| (column.text)(row).to_lowercase().contains(&wanted))
        };
        self.order.clear();
        self.order
            .extend((0..self.rows.len()).filter(|row| passes(&self.rows[*row])));
        let (rows, compare) = (&self.rows, R::COLUMNS[self.sort].compare);
        self.order.sort_by(|a, b| {
            let (a, b) = (&rows[*a], &rows[*b]);
            let order = compare(a, b);
            let order = if self.reverse { order.reverse() } else { order };
            // Rows that are alike would otherwise change places as they are listed.
            order.then_with(|| a.id().cmp(&b.id()))
        });
        self.find_selected();
    }

    /// A selected row that is gone leaves the selection where it stood.
    fn find_selected(&mut self) {
        let last = self.order.len().saturating_sub(1);
        let Some(id) = &self.selected else {
            self.position = 0;
            return;
        };
        let found = self
            .order
            .iter()
            .position(|row| self.rows[*row].id() == *id);
        self.position = found.unwrap_or(self.position).min(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Item(u32, &'static str, u64);

    impl Row for Item {
        type Id = u32;

        const COLUMNS: &'static [Column<Self>] = &[
            Column {
                title: "NAME",
                width: 8,
                kind: Kind::Growing,
                text: |item| item.1.to_owned(),
                compare: |a, b| a.1.cmp(b.1),
            },
            Column {
                title: "COUNT",
                width: 5,
                kind: Kind::Number,
                text: |item| item.2.to_string(),
                compare: |a, b| a.2.cmp(&b.2),
            },
        ];

        fn id(&self) -> u32 {
            self.0
        }
    }

    fn items() -> Vec<Item> {
        vec![
            Item(1, "sshd", 5),
            Item(2, "Bash", 20),
            Item(3, "nginx", 20),
            Item(4, "cron", 1),
        ]
    }

    fn table() -> Table<Item> {
        let mut table = Table::sorted_by(1);
        table.set(items());
        table
    }

    fn shown(table: &mut Table<Item>, page: usize) -> Vec<u32> {
        table.visible(page).0.map(Row::id).collect()
    }

    /// Check that any column can be sorted by, both ways, and that equal rows keep their order.
    #[test]
    fn sorting() {
        let mut table = table();
        assert_eq!(shown(&mut table, 9), [2, 3, 1, 4]);
        table.reverse();
        assert_eq!(shown(&mut table, 9), [4, 1, 2, 3]);
        table.sort_beside(1);
        assert_eq!(
            (table.sorting(), shown(&mut table, 9)),
            ((0, false), vec![2, 4, 3, 1])
        );
        table.sort_beside(-1);
        assert_eq!(table.sorting(), (1, true));
    }

    /// Check that a filter looks at every column and not at case.
    #[test]
    fn filtering() {
        let mut table = table();
        table.set_filter("bAs".to_owned());
        assert_eq!(shown(&mut table, 9), [2]);
        table.set_filter("20".to_owned());
        assert_eq!(shown(&mut table, 9), [2, 3]);
        table.set_filter("nothing".to_owned());
        assert!(table.selected().is_none() && table.len() == 0);
        table.go(Move::End);
        table.set_filter(String::new());
        assert_eq!(table.len(), 4);
    }

    /// Check that the selection stays on its row while others come, go and overtake it, and stays
    /// in its place when the row is gone.
    #[test]
    fn selection() {
        let mut table = table();
        table.go(Move::Rows(2));
        assert_eq!(table.selected().map(Row::id), Some(1));
        let mut rows = items();
        rows[0].2 = 99;
        rows.push(Item(5, "new", 50));
        table.set(rows.clone());
        assert_eq!(table.selected().map(Row::id), Some(1));
        table.reverse();
        assert_eq!(table.selected().map(Row::id), Some(1));
        rows.remove(0);
        table.set(rows);
        assert_eq!(table.selected().map(Row::id), Some(5), "now the last");
        table.set(Vec::new());
        assert!(table.selected().is_none());
        table.go(Move::Rows(1));
        table.set(items());
        assert!(table.selected().is_some());
    }

    /// Check that without a choice the first row is the selected one, whichever that is.
    #[test]
    fn no_choice() {
        let mut table = table();
        assert_eq!(table.selected().map(Row::id), Some(2));
        table.reverse();
        assert_eq!(table.selected().map(Row::id), Some(4));
        table.go(Move::End);
        table.go(Move::Start);
        table.reverse();
        assert_eq!(table.selected().map(Row::id), Some(2));
    }

    /// Check that what is on the screen always has the selected row in it, and no gap at the end.
    #[test]
    fn scrolling() {
        let mut table = Table::sorted_by(1);
        table.set((0..100).map(|n| Item(n, "x", u64::from(n))).collect());
        assert_eq!(shown(&mut table, 3), [99, 98, 97]);
        table.go(Move::Pages(1));
        assert_eq!(
            shown(&mut table, 3),
            [99, 98, 97],
            "a line of the page before stays"
        );
        table.go(Move::Rows(1));
        assert_eq!(shown(&mut table, 3), [98, 97, 96]);
        table.go(Move::End);
        assert_eq!(shown(&mut table, 3), [2, 1, 0]);
        assert_eq!(shown(&mut table, 5), [4, 3, 2, 1, 0]);
        table.go(Move::Start);
        table.go(Move::Rows(49));
        let (rows, at) = table.visible(3);
        let rows: Vec<_> = rows.map(Row::id).collect();
        assert_eq!(rows[at], 50);
        assert_eq!(shown(&mut table, 0).len(), 0);
        table.set_filter("none".to_owned());
        assert_eq!(shown(&mut table, 3).len(), 0);
    }
}
