//! What names a dataset.

use std::fmt;

use crate::uuid_text;

/// A dataset's id: a UUID, or the integer that older repositories used.
///
/// The two kinds never compare equal, whatever their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatasetId {
    /// A UUID, as the number that its 16 bytes spell.
    Uuid(u128),
    /// An integer.
    Int(i128),
}

impl DatasetId {
    /// The UUID, if it is one.
    pub fn as_uuid(self) -> Option<u128> {
        match self {
            Self::Uuid(uuid) => Some(uuid),
            Self::Int(_) => None,
        }
    }
}

impl fmt::Display for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => {
                let text = uuid_text::hyphenated(*uuid);
                f.write_str(std::str::from_utf8(&text).expect("hexadecimal digits and hyphens are ASCII"))
            }
            Self::Int(int) => int.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_uuid_is_lower_case_with_hyphens() {
        let id = DatasetId::Uuid(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(id.to_string(), "01234567-89ab-cdef-fedc-ba9876543210");
        assert_eq!(DatasetId::Int(-5).to_string(), "-5");
    }

    #[test]
    fn kinds_never_compare_equal() {
        assert_ne!(DatasetId::Uuid(5), DatasetId::Int(5));
    }
}
