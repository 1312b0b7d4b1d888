//! Imports that a patch needs.

use super::edit::Edit;
use super::source::{GoFile, named};
use tree_sitter::Node;

/// The name of an imported package in a file, which is imported when it is not yet.
pub fn import(edits: &mut Vec<Edit>, number: usize, file: &GoFile, path: &str) -> String {
    if let Some(name) = file.import_name(path) {
        return name;
    }
    let declarations: Vec<Node<'_>> = named(file.root())
        .into_iter()
        .filter(|node| matches!(node.kind(), "package_clause" | "import_declaration"))
        .collect();
    let list = declarations
        .iter()
        .filter_map(|node| {
            named(*node)
                .into_iter()
                .find(|n| n.kind() == "import_spec_list")
        })
        .find_map(|list| named(list).first().copied());
    let edit = match (list, declarations.last()) {
        (Some(first), _) => Edit::before(number, file, first, &format!("\"{path}\"")),
        (None, Some(last)) => Edit::after(number, file, *last, &format!("\nimport \"{path}\"")),
        (None, None) => return path.to_owned(),
    };
    if !edits.contains(&edit) {
        edits.push(edit);
    }
    path.to_owned()
}
