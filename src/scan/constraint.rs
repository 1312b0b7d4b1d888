//! Build constraints: `//go:build` lines and file names (go/build/constraint, go/build/syslist.go),
//! for linux on amd64 as everywhere in gocc.

const SYSTEMS: [&str; 19] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
    "unix",
];
const MACHINES: [&str; 16] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "sparc64", "wasm", "riscv",
];
/// The newest Go release whose tag holds.
const NEWEST: u32 = 27;

fn tag_holds(tag: &str, tags: &[String]) -> bool {
    matches!(tag, "linux" | "amd64" | "unix" | "gc" | "cgo")
        || tags.iter().any(|chosen| chosen == tag)
        || tag
            .strip_prefix("go1.")
            .and_then(|minor| minor.parse().ok())
            .is_some_and(|minor: u32| minor <= NEWEST)
}

/// A file name without `.go`: `poll_linux_amd64_test`.
pub fn name_matches(stem: &str, tags: &[String]) -> bool {
    let stem = stem.strip_suffix("_test").unwrap_or(stem);
    let mut parts: Vec<&str> = stem.split('_').skip(1).collect();
    let last = parts.pop().unwrap_or("");
    let before = parts.pop().unwrap_or("");
    if MACHINES.contains(&last) {
        return tag_holds(last, tags) && (!SYSTEMS.contains(&before) || tag_holds(before, tags));
    }
    last == "unix" || !SYSTEMS.contains(&last) || tag_holds(last, tags)
}

/// The file's `//go:build` line, if it has one before its package clause.
pub fn text_matches(text: &str, tags: &[String]) -> bool {
    let head = text
        .lines()
        .take_while(|line| !line.starts_with("package "));
    let line = head
        .filter_map(|line| line.strip_prefix("//go:build "))
        .next();
    line.is_none_or(|line| {
        let mut expression = Expression {
            rest: line.trim(),
            tags,
            depth: 0,
        };
        expression.either()
    })
}

/// A recursive descent over `a && (b || !c)`.
struct Expression<'t> {
    rest: &'t str,
    tags: &'t [String],
    depth: u32,
}

impl Expression<'_> {
    fn accept(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn either(&mut self) -> bool {
        let mut holds = self.both();
        while self.accept("||") {
            holds |= self.both();
        }
        holds
    }

    fn both(&mut self) -> bool {
        let mut holds = self.factor();
        while self.accept("&&") {
            holds &= self.factor();
        }
        holds
    }

    fn factor(&mut self) -> bool {
        self.depth += 1;
        let holds = if self.depth > 100 {
            false
        } else if self.accept("!") {
            !self.factor()
        } else if self.accept("(") {
            let holds = self.either();
            self.accept(")");
            holds
        } else {
            self.tag()
        };
        self.depth -= 1;
        holds
    }

    fn tag(&mut self) -> bool {
        let rest = self.rest.trim_start();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(rest.len());
        let (tag, rest) = rest.split_at(end);
        self.rest = rest;
        !tag.is_empty() && tag_holds(tag, self.tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_hold_as_in_go() {
        let holds = |line: &str| {
            text_matches(
                &format!("// x\n//go:build {line}\n\npackage p\n"),
                &["mine".to_owned()],
            )
        };
        for yes in [
            "linux",
            "!windows && (amd64 || arm64)",
            "go1.18",
            "mine",
            "!race",
            "!go1.99",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "windows",
            "ignore",
            "linux && !amd64",
            "!(linux || darwin)",
            "race",
            "go1.99",
        ] {
            assert!(!holds(no), "{no}");
        }
        assert!(text_matches("package p\n//go:build windows\n", &[]));
    }

    #[test]
    fn file_names_say_systems_and_machines() {
        for (stem, matches) in [
            ("a", true),
            ("linux", true),
            ("windows", true),
            ("a_windows", false),
            ("a_linux_test", true),
            ("a_linux_arm64", false),
            ("a_amd64", true),
            ("a_darwin_amd64", false),
            ("a_unix", true),
            ("a_b", true),
        ] {
            assert_eq!(name_matches(stem, &[]), matches, "{stem}");
        }
    }
}
