//! Patterns for names.

/// A text in which `*` stands for any number of any characters. Nothing else is special: Go's names are full of
/// brackets, parentheses and dots, and of stars of their own, which a star matches as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Pattern {
        Pattern(text.into())
    }

    /// The whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        // A split has at least one part.
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// A path matches, or its end does from the start of one of its parts: `cache.go` and `db/cache.go` match
    /// `/app/db/cache.go`.
    pub fn matches_path(&self, path: &str) -> bool {
        let ends = path
            .match_indices('/')
            .filter_map(|(at, _)| path.get(at + 1..));
        self.matches(path) || ends.into_iter().any(|end| self.matches(end))
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        let cases = [
            ("main.put", "main.put", true),
            ("main.put", "main.put2", false),
            ("main.(*Cache).Put", "main.(*Cache).Put", true),
            ("main.(*Cache).*", "main.(*Cache).Put.func1", true),
            ("*.Put", "main.(*Cache).Put", true),
            ("*", "", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("map[string]*Session", "map[string]*main.Session", true),
            ("main.Cache[...].Put", "main.CacheX.Put", false),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, text, expected) in cases {
            let is = Pattern::new(pattern).matches(text);
            assert_eq!(is, expected, "{pattern} and {text}");
        }
    }

    #[test]
    fn a_path_is_known_by_its_end() {
        let cases = [
            ("cache.go", "/app/db/cache.go", true),
            ("db/cache.go", "/app/db/cache.go", true),
            ("/app/db/cache.go", "/app/db/cache.go", true),
            ("ache.go", "/app/db/cache.go", false),
            ("db/*", "/app/db/cache.go", true),
            ("*_test.go", "/app/db/cache_test.go", true),
            ("app", "/app/db/cache.go", false),
        ];
        for (pattern, path, expected) in cases {
            let is = Pattern::new(pattern).matches_path(path);
            assert_eq!(is, expected, "{pattern} and {path}");
        }
    }
}
