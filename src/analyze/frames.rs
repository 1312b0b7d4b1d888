//! Which frames of a stack belong to the user, and which to the machinery of Go's maps.

use super::model::StackFrame;

/// Packages that stand between the user's code and the map.
const MACHINERY: [&str; 3] = ["runtime", "internal/runtime/maps", "reflect"];

/// Functions of the runtime and of package `maps` that perform operations which are part of one
/// larger operation of the user's. Their own operations are no events of their own.
///
/// `maps.Clone` calls `maps.clone`, which is `runtime.maps_clone`; up to Go 1.24 it assigns to the new
/// map or iterates over the old one through the hooked functions
/// (runtime/map.go and map_swiss.go `mapclone2`; internal/runtime/maps/map.go `(*Map).Clone`).
const INTERNAL_CALLERS: [&str; 7] = [
    "maps.clone",
    "runtime.maps_clone",
    "runtime.mapclone",
    "runtime.mapclone2",
    "runtime.moveToBmap",
    "internal/runtime/maps.(*Map).Clone",
    "internal/runtime/maps.(*table).clone",
];

/// The package of a function: `net/http` for `net/http.(*conn).serve`.
pub fn package_of(function: &str) -> &str {
    // Type arguments and receivers may hold slashes and dots of their own.
    let plain = function.split(['[', '(']).next().unwrap_or(function);
    let after_slash = plain.rfind('/').map_or(0, |slash| slash + 1);
    match plain.get(after_slash..).and_then(|last| last.find('.')) {
        Some(dot) => plain.get(..after_slash + dot).unwrap_or(plain),
        None => plain,
    }
}

/// The function belongs to the runtime, its maps or reflection.
pub fn is_machinery(function: &str) -> bool {
    MACHINERY.contains(&package_of(function))
}

/// An operation called from this frame is part of a larger one.
pub fn is_internal_caller(function: &str) -> bool {
    INTERNAL_CALLERS.contains(&function)
}

/// The operation at the top of this stack is part of a `maps.Clone`.
pub fn is_clone(stack: &[StackFrame]) -> bool {
    let names = stack.iter().map(|frame| frame.function.as_str());
    let mut above_user = names.take_while(|name| is_machinery(name) || is_internal_caller(name));
    above_user.any(is_internal_caller)
}

/// Marks the frames that a person does not need to see: the machinery at the top, and the runtime's
/// own at the bottom (`runtime.main`, `runtime.goexit`). A stack that has nothing else is left as it
/// is.
pub fn fold(stack: &mut [StackFrame]) {
    let top = stack
        .iter()
        .take_while(|frame| is_machinery(&frame.function))
        .count();
    if top == stack.len() {
        return;
    }
    let bottom = stack
        .iter()
        .rev()
        .take_while(|frame| package_of(&frame.function) == "runtime")
        .count();
    let bottom_start = stack.len() - bottom;
    for (at, frame) in stack.iter_mut().enumerate() {
        frame.runtime = at < top || at >= bottom_start;
    }
}

/// The innermost frame that a person would call theirs.
pub fn innermost_user(stack: &[StackFrame]) -> Option<&StackFrame> {
    stack.iter().find(|frame| !frame.runtime).or(stack.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &[&str]) -> Vec<StackFrame> {
        let frame = |function: &&str| StackFrame {
            function: (*function).to_owned(),
            file: String::new(),
            line: 1,
            inlined: false,
            runtime: false,
        };
        functions.iter().map(frame).collect()
    }

    #[test]
    fn packages() {
        let cases = [
            ("main.main", "main"),
            ("main.(*Cache[...]).Put", "main"),
            ("net/http.(*conn).serve", "net/http"),
            (
                "internal/runtime/maps.(*Iter).Next",
                "internal/runtime/maps",
            ),
            ("maps.Clone[go.shape.map[string]example.org/a/b.T]", "maps"),
            ("example.org/a/v2.glob..func1", "example.org/a/v2"),
            ("gopkg.in/yaml%2ev2.Marshal", "gopkg.in/yaml%2ev2"),
            ("_cgoexp_1234", "_cgoexp_1234"),
            ("", ""),
        ];
        for (function, package) in cases {
            assert_eq!(package_of(function), package, "{function}");
        }
    }

    #[test]
    fn folds_top_and_bottom_only() {
        let mut stack = stack(&[
            "internal/runtime/maps.fatal",
            "reflect.Value.SetMapIndex",
            "main.put",
            "runtime.gopanic",
            "main.run",
            "runtime.main",
            "runtime.goexit",
        ]);
        fold(&mut stack);
        let hidden: Vec<bool> = stack.iter().map(|frame| frame.runtime).collect();
        assert_eq!(hidden, [true, true, false, false, false, true, true]);
        assert_eq!(
            innermost_user(&stack).map(|frame| frame.function.as_str()),
            Some("main.put")
        );
    }

    #[test]
    fn a_stack_of_the_runtime_alone_is_shown() {
        let mut stack = stack(&["runtime.parsegodebug", "runtime.schedinit"]);
        fold(&mut stack);
        assert!(stack.iter().all(|frame| !frame.runtime));
        assert_eq!(
            innermost_user(&stack).map(|frame| frame.function.as_str()),
            Some("runtime.parsegodebug")
        );
    }
}
