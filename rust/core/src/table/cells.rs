//! Vectors that grow in small steps, of values and of bits.

/// Lengthens a vector, by an eighth when it is full: twice would waste too much in a large table.
pub(crate) fn resize<T: Clone>(cells: &mut Vec<T>, rows: usize, empty: T) {
    const SMALL: usize = 1024;
    if rows > cells.capacity() {
        let more = (cells.len() / 8).max(cells.len().min(SMALL)).max(8);
        cells.reserve_exact(more.max(rows - cells.len()));
    }
    cells.resize(rows, empty);
}

/// One bit for each row; rows beyond the end are unset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn get(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    pub(crate) fn set(&mut self, row: usize, bit: bool) {
        if row / 64 >= self.0.len() {
            if !bit {
                return;
            }
            resize(&mut self.0, row / 64 + 1, 0);
        }
        let word = &mut self.0[row / 64];
        *word = *word & !(1 << (row % 64)) | u64::from(bit) << (row % 64);
    }

    /// The rows whose bit is set.
    pub(crate) fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.0).flat_map(|(position, word)| {
            let set = move |bit: &u32| word >> bit & 1 == 1;
            (0..64).filter(set).map(move |bit| position * 64 + bit)
        })
    }

    pub(crate) fn memory(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}
