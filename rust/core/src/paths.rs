//! Which paths mean the same to files, to URIs and to upstream.

/// Whether a path is relative, goes nowhere but down, and has nothing that a URI would expand, decode or divide at.
pub fn is_plain(path: &str) -> bool {
    // '$' and '~' are expanded, '%' decoded, and the rest divides a URI.
    let special = |c: char| matches!(c, '#' | '?' | '%' | ':' | '$' | '\\') || c.is_control();
    let segment_is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
    !path.starts_with('~') && !path.contains(special) && path.split('/').all(segment_is_plain)
}

/// Whether a path is plain, and a URI would quote no character of it.
pub fn is_unquoted(path: &str) -> bool {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/');
    path.bytes().all(stays) && is_plain(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_one_below_the_other_are_plain() {
        for path in ["a", "a/b.json", ".a/..b/c...", "a b/ü'c@d=e,f+g;h.json", "a/~b"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "/", "/a", "a/", "a//b", ".", "a/./b", "a/../b", "~/a", "a#b", "a?b", "a%20b", "a:b"]
        {
            assert!(!is_plain(path), "{path}");
        }
        for path in ["a$b", "a\\b", "a\nb", "a\u{7f}", "a\u{85}"] {
            assert!(!is_plain(path), "{path:?}");
        }
    }

    #[test]
    fn unquoted_paths_are_plain_ascii() {
        for path in ["a", "u/some-one/run_1/kind.part/a_7-8.v1.fits.gz", ".a"] {
            assert!(is_unquoted(path), "{path}");
        }
        for path in ["", "a b", "ü", "a+b", "a/../b", "/a", "a/"] {
            assert!(!is_unquoted(path), "{path}");
        }
    }
}
