//! Many small strings in few allocations.

/// Where a string lies in an arena. The default is the empty string's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u64);

/// The empty string's place: there are never so many chunks.
const NOWHERE: u64 = u64::MAX;

impl Default for Place {
    fn default() -> Self {
        Self(NOWHERE)
    }
}

/// Strings one after the other, each behind its length.
///
/// They lie in chunks, so that growing moves nothing and wastes little. A length is written in digits of
/// six bits, least significant first, each in one ASCII character with 64 added when more follow: chunks
/// stay valid UTF-8 and a short string costs one byte of overhead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena {
    chunks: Vec<String>,
    used: usize,
    freed: usize,
}

impl Arena {
    const SMALLEST_CHUNK: usize = 256;
    const LARGEST_CHUNK: usize = 1 << 20;

    pub(crate) fn push(&mut self, text: &str) -> Place {
        if text.is_empty() {
            return Place::default();
        }
        let needed = text.len() + length_digits(text.len());
        let full = self.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < needed);
        if full {
            let usual = (self.used / 8).clamp(Self::SMALLEST_CHUNK, Self::LARGEST_CHUNK);
            self.chunks.push(String::with_capacity(usual.max(needed)));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        // A chunk grows past its usual size only for a string that starts it.
        let place = Place((number as u64) << 32 | chunk.len() as u64);
        let mut rest = text.len();
        while rest >= 64 {
            chunk.push(char::from((rest % 64) as u8 + 64));
            rest /= 64;
        }
        chunk.push(char::from(rest as u8));
        chunk.push_str(text);
        self.used += needed;
        place
    }

    pub(crate) fn get(&self, place: Place) -> &str {
        if place == Place::default() {
            return "";
        }
        let chunk = &self.chunks[(place.0 >> 32) as usize];
        let start = (place.0 & u64::from(u32::MAX)) as usize;
        let mut length = 0;
        for (position, digit) in chunk.as_bytes()[start..].iter().enumerate() {
            length |= usize::from(digit % 64) << (6 * position);
            if *digit < 64 {
                let text = start + position + 1;
                return &chunk[text..text + length];
            }
        }
        unreachable!("a length ends with a digit below 64")
    }

    /// Gives a string's room up; the place must not be used again.
    pub(crate) fn free(&mut self, place: Place) {
        let length = self.get(place).len();
        if length > 0 {
            self.freed += length + length_digits(length);
        }
    }

    /// Whether copying what is left pays.
    pub(crate) fn is_mostly_free(&self) -> bool {
        self.freed > Self::LARGEST_CHUNK / 16 && self.freed > self.used / 2
    }

    pub(crate) fn memory(&self) -> usize {
        let texts: usize = self.chunks.iter().map(String::capacity).sum();
        texts + self.chunks.capacity() * size_of::<String>()
    }
}

fn length_digits(length: usize) -> usize {
    (length.max(1).ilog2() / 6 + 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_any_length_come_back() {
        let mut arena = Arena::default();
        let lengths = [0, 1, 63, 64, 65, 4095, 4096, 4097, 300_000, 3_000_000, 5, 0];
        let texts: Vec<_> =
            lengths.iter().map(|length| "é/x".chars().cycle().take(*length).collect::<String>()).collect();
        let places: Vec<_> = texts.iter().map(|text| arena.push(text)).collect();
        for (text, place) in texts.iter().zip(places) {
            assert!(arena.get(place) == text, "{}", text.len());
        }
        assert!(arena.memory() >= texts.iter().map(String::len).sum());
    }

    #[test]
    fn little_room_is_wasted() {
        let mut arena = Arena::default();
        for number in 0..100_000 {
            arena.push(&format!("file_{number:08}.json"));
        }
        let characters = 100_000 * 18;
        assert!(arena.memory() < characters * 5 / 4, "{}", arena.memory());
    }

    #[test]
    fn freeing_is_noticed() {
        let mut arena = Arena::default();
        let places: Vec<_> = (0..1000).map(|_| arena.push(&"x".repeat(1000))).collect();
        assert!(!arena.is_mostly_free());
        places.into_iter().take(600).for_each(|place| arena.free(place));
        assert!(arena.is_mostly_free());
    }
}
