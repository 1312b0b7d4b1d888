//! The scanner's rules, as data: `gocc scan --rules` and the SARIF report are made from this table.

use crate::analyze::model::{Confidence, Severity};

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its identifier, which reports, suppressions and `gocc.toml` use.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Why it matters.
    pub rationale: &'static str,
    /// What is wrong.
    pub bad: &'static str,
    /// The same, right.
    pub good: &'static str,
    /// How bad it is when it is true.
    pub severity: Severity,
    /// How sure it can be at most.
    pub confidence: Confidence,
}

macro_rules! rules {
    ($($name:ident: $id:literal, $severity:ident, $confidence:ident, $title:literal, $rationale:literal, $bad:literal, $good:literal;)*) => {
        $(
            #[doc = $title]
            pub static $name: Rule = Rule {
                id: $id,
                title: $title,
                rationale: $rationale,
                bad: $bad,
                good: $good,
                severity: Severity::$severity,
                confidence: Confidence::$confidence,
            };
        )*
        /// All rules.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    CAPTURED: "map-captured", Error, High,
        "A map captured by a closure is used by several goroutines without a lock",
        "A goroutine sees the variables around it, not copies: the map that it writes is the one that others use.",
        "seen := map[string]bool{}\nfor _, u := range urls {\n\tgo func() { seen[u] = true }()\n}",
        "seen := map[string]bool{}\nfor _, u := range urls {\n\tgo func() { mu.Lock(); seen[u] = true; mu.Unlock() }()\n}";
    GLOBAL: "map-global", Error, High,
        "A map in a package variable is used by several goroutines without a lock",
        "Every goroutine of the program reaches a package variable.",
        "var cache = map[string]int{}\nfunc handle(w http.ResponseWriter, r *http.Request) { cache[r.URL.Path]++ }",
        "func handle(w http.ResponseWriter, r *http.Request) {\n\tcacheMu.Lock()\n\tcache[r.URL.Path]++\n\tcacheMu.Unlock()\n}";
    FIELD: "map-field", Error, High,
        "A map in a struct's field is used by several goroutines without a lock",
        "Goroutines that share a pointer to a struct share the maps in it.",
        "go s.refresh() // writes s.m\nreturn s.m[key]",
        "s.mu.RLock()\ndefer s.mu.RUnlock()\nreturn s.m[key]";
    PARAMETER: "map-parameter", Error, High,
        "A map that was passed to a function or method is used there by several goroutines without a lock",
        "Passing a map copies a pointer, not the map.",
        "func fill(m map[int]int) {\n\tgo func() { m[1] = 1 }()\n\tm[2] = 2\n}",
        "func fill(m map[int]int) {\n\tm[1] = 1\n\tm[2] = 2\n}";
    NESTED: "map-nested", Error, High,
        "A map inside another map or slice is used by several goroutines without a lock",
        "A lock that is held while the inner map is fetched protects the outer one only.",
        "mu.RLock()\ninner := outer[user]\nmu.RUnlock()\ninner[key] = value",
        "mu.Lock()\nouter[user][key] = value\nmu.Unlock()";
    READER: "map-reader", Error, High,
        "A function that looks at everything in a value reads a map that another goroutine writes",
        "json.Marshal, fmt.Print, templates and others iterate over the maps that they are given.",
        "go update(s.stats)\nreturn json.Marshal(s.stats)",
        "s.mu.RLock()\nsnapshot := maps.Clone(s.stats)\ns.mu.RUnlock()\nreturn json.Marshal(snapshot)";
    REFLECT: "map-reflect", Error, High,
        "A shared map is used by reflection without a lock",
        "SetMapIndex and MapRange are map operations like any other.",
        "go func() { reflect.ValueOf(m).SetMapIndex(k, v) }()\n_ = m[\"x\"]",
        "mu.Lock()\nreflect.ValueOf(m).SetMapIndex(k, v)\nmu.Unlock()";
    CLONE: "map-clone", Error, High,
        "maps.Clone or maps.Copy of a map that another goroutine writes",
        "Cloning iterates over the map: the clone is private, making it is not.",
        "go write(m)\nc := maps.Clone(m)",
        "mu.RLock()\nc := maps.Clone(m)\nmu.RUnlock()";
    RANGE: "map-range", Error, High,
        "A map is written while another goroutine ranges over it",
        "An iteration reads the map until it ends; `concurrent map iteration and map write` ends the program.",
        "go func() { for k := range m { use(k) } }()\nm[key] = value",
        "mu.RLock()\nkeys := slices.Collect(maps.Keys(m))\nmu.RUnlock()";
    UNLOCKED_READ: "map-read-unlocked", Error, High,
        "A map is read under no lock while writes are under one",
        "A lock protects only those who take it. Reads and writes of a map at the same time end the program.",
        "func (c *C) Get(k string) int { return c.m[k] }\nfunc (c *C) Set(k string, v int) { c.mu.Lock(); c.m[k] = v; c.mu.Unlock() }",
        "func (c *C) Get(k string) int { c.mu.RLock(); defer c.mu.RUnlock(); return c.m[k] }";
    UNLOCKED_WRITE: "map-write-unlocked", Error, High,
        "A map is written under no lock while other uses are under one",
        "A lock protects only those who take it.",
        "func (c *C) Drop(k string) { delete(c.m, k) }\nfunc (c *C) Get(k string) int { c.mu.Lock(); defer c.mu.Unlock(); return c.m[k] }",
        "func (c *C) Drop(k string) { c.mu.Lock(); delete(c.m, k); c.mu.Unlock() }";
    WRITE_RLOCK: "map-write-rlock", Error, High,
        "A map is written under a read lock",
        "Any number of goroutines hold a read lock at the same time.",
        "c.mu.RLock()\nc.m[k] = v\nc.mu.RUnlock()",
        "c.mu.Lock()\nc.m[k] = v\nc.mu.Unlock()";
    DIFFERENT_LOCKS: "map-different-locks", Error, High,
        "Two uses of a map are under different locks",
        "Two locks do not exclude each other.",
        "a.Lock(); m[1] = 1; a.Unlock() // here\nb.Lock(); m[2] = 2; b.Unlock() // there",
        "a.Lock(); m[1] = 1; a.Unlock()\na.Lock(); m[2] = 2; a.Unlock()";
    HANDLER: "map-handler", Error, High,
        "http handlers use a map without a lock",
        "The server runs each request in a goroutine of its own.",
        "func (s *Server) visit(w http.ResponseWriter, r *http.Request) { s.hits[r.URL.Path]++ }",
        "s.mu.Lock()\ns.hits[r.URL.Path]++\ns.mu.Unlock()";
    STARTED: "map-background", Error, Medium,
        "A goroutine that a type starts uses a map of it that its methods use too",
        "The methods run in their callers' goroutines, at the same time as the one that was started.",
        "func New() *T { t := &T{m: map[string]int{}}; go t.loop(); return t } // loop writes t.m\nfunc (t *T) Get(k string) int { return t.m[k] }",
        "func (t *T) Get(k string) int { t.mu.Lock(); defer t.mu.Unlock(); return t.m[k] }";
    PARALLEL_TEST: "map-parallel-test", Error, High,
        "Parallel subtests use one map without a lock",
        "Subtests that call t.Parallel run at the same time, after the test around them has returned.",
        "t.Run(name, func(t *testing.T) { t.Parallel(); got[name] = f(name) })",
        "t.Run(name, func(t *testing.T) { t.Parallel(); mu.Lock(); got[name] = f(name); mu.Unlock() })";
    SYNC_MAP_VALUE: "sync-map-value", Error, High,
        "A map that lies in a sync.Map is used by several goroutines without a lock",
        "sync.Map protects itself, not what its values point to.",
        "v, _ := sm.Load(k)\nv.(map[string]int)[x]++",
        "sm.Store(k, merged(v, x)) // a new map each time, or a lock beside it";
    LOAD_STORE: "sync-map-load-store", Warning, Low,
        "Load, then Store of the same key: between them another goroutine may store",
        "Each call is atomic, the two together are not: one of two values is lost.",
        "if _, ok := sm.Load(k); !ok {\n\tsm.Store(k, newValue())\n}",
        "v, loaded := sm.LoadOrStore(k, newValue())";
    SYNC_MAP_LOCKED: "sync-map-locked", Note, Low,
        "A sync.Map that is only used under a lock",
        "With a lock anyway, a plain map is faster and has types.",
        "mu.Lock(); sm.Store(k, v); mu.Unlock()",
        "mu.Lock(); m[k] = v; mu.Unlock()";
    LOCK_COPIED: "lock-copied", Error, High,
        "A lock is copied by value together with the map that it protects",
        "The copy has a lock of its own and the same map: the two do not exclude each other.",
        "func (c Cache) Set(k string, v int) { c.mu.Lock(); c.m[k] = v; c.mu.Unlock() }",
        "func (c *Cache) Set(k string, v int) { c.mu.Lock(); c.m[k] = v; c.mu.Unlock() }";
    NOT_UNLOCKED: "lock-left-locked", Warning, High,
        "A lock is released on one way out of a function and not on another",
        "Everybody who needs the lock afterwards waits for ever.",
        "mu.Lock()\nif v, ok := m[k]; ok {\n\treturn v\n}\nmu.Unlock()",
        "mu.Lock()\ndefer mu.Unlock()";
}

/// The rule with an identifier.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_unique_and_every_rule_has_examples() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(
                RULES
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.id != rule.id),
                "{}",
                rule.id
            );
            assert!(
                !rule.bad.is_empty() && !rule.good.is_empty() && rule.bad != rule.good,
                "{}",
                rule.id
            );
        }
    }
}
