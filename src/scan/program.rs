//! A module's declarations, resolved across its files: packages, types with their fields and methods,
//! functions, package variables.

mod resolve;

use super::files::Module;
use super::hash::Map;
use super::names::Name;
use super::syntax::{File, Function, Global, Signature, TypeDecl, TypeExpr};
use super::types::{Field, FuncType, Ty, Type, TypeId};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};

/// Embedding and aliases deeper than this are not followed.
const DEEPEST: u32 = 8;

/// A function or method of the module, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FuncId(pub u32);

/// A package variable, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GlobalId(pub u32);

/// A file, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A package, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(pub u32);

/// What a name means at the top of a package.
#[derive(Clone, Copy, Debug)]
pub enum Decl {
    /// A type.
    Type(TypeId),
    /// A function.
    Func(FuncId),
    /// A variable.
    Global(GlobalId),
}

/// What an import name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Imported {
    /// A package of the module.
    Package(PackageId),
    /// Another one: its import path.
    External(Name),
}

struct Package {
    /// Its import path; `main` for a program, as Go's tracebacks say.
    path: String,
    name: Name,
    scope: Map<Name, Decl>,
}

struct TypeInfo {
    file: FileId,
    index: u32,
    /// The type itself, without type arguments.
    named: Ty,
    /// What it is behind its names, once somebody has asked.
    underlying: OnceLock<Ty>,
    /// What was found of its fields and methods, if it has no type arguments.
    fields: Remembered<Ty>,
    methods: Remembered<FuncId>,
    /// Methods of types from outside the module that it embeds.
    external: Remembered<Ty>,
}

/// The embedded fields on the way to a member, and the member; `None` where there is none.
type Member<T> = Option<(Vec<Name>, T)>;

/// Members of a type, as far as somebody has asked.
type Remembered<T> = RwLock<Map<Name, Member<T>>>;

struct FuncInfo {
    file: FileId,
    index: u32,
    receiver: Option<TypeId>,
}

struct GlobalInfo {
    file: FileId,
    index: u32,
    position: usize,
}

/// A module and what its names mean.
pub struct Program {
    module: Module,
    packages: Vec<Package>,
    package_of_file: Vec<PackageId>,
    imports: Vec<Map<Name, Imported>>,
    types: Vec<TypeInfo>,
    first_type: Vec<u32>,
    functions: Vec<FuncInfo>,
    globals: Vec<GlobalInfo>,
    methods: Map<(TypeId, Name), FuncId>,
    methods_of: Map<TypeId, Vec<FuncId>>,
    implementers: Map<Name, Vec<FuncId>>,
}

/// Where names are looked up: a file, and what type parameters stand for.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The file.
    pub file: FileId,
    /// Type parameters and types declared in the function.
    pub local: &'a [(Name, Ty)],
}

/// The type of which nothing is known.
pub fn unknown() -> Ty {
    static UNKNOWN: LazyLock<Ty> = LazyLock::new(|| Arc::new(Type::Unknown));
    Arc::clone(&UNKNOWN)
}

/// An interface, whatever it has.
pub fn interface() -> Ty {
    static INTERFACE: LazyLock<Ty> = LazyLock::new(|| Arc::new(Type::Interface));
    Arc::clone(&INTERFACE)
}

/// `string`.
pub fn string() -> Ty {
    static STRING: LazyLock<Ty> = LazyLock::new(|| Arc::new(Type::Basic(Name::new("string"))));
    Arc::clone(&STRING)
}

/// A type from outside the module.
pub fn external(path: &str, name: &str) -> Ty {
    Arc::new(Type::External(Name::new(path), Name::new(name), Vec::new()))
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Program {
    /// Resolves a module.
    pub fn new(module: Module) -> Program {
        let mut program = Program {
            module,
            packages: Vec::new(),
            package_of_file: Vec::new(),
            imports: Vec::new(),
            types: Vec::new(),
            first_type: Vec::new(),
            functions: Vec::new(),
            globals: Vec::new(),
            methods: Map::default(),
            methods_of: Map::default(),
            implementers: Map::default(),
        };
        program.number_packages();
        program.declare();
        program.resolve_imports();
        program.find_methods();
        program
    }

    fn number_packages(&mut self) {
        let mut known: HashMap<(String, Name), PackageId> = HashMap::new();
        for source in &self.module.files {
            let name = source.file.package.unwrap_or_else(|| Name::new("main"));
            let path = self.module.import_path(&source.path);
            let id = *known.entry((path.clone(), name)).or_insert_with(|| {
                let path = if name == "main" {
                    "main".to_owned()
                } else {
                    path
                };
                self.packages.push(Package {
                    path,
                    name,
                    scope: Map::default(),
                });
                PackageId(number(self.packages.len() - 1))
            });
            self.package_of_file.push(id);
        }
    }

    fn declare(&mut self) {
        for (index, source) in self.module.files.iter().enumerate() {
            let file = FileId(number(index));
            let Some(package) = self
                .package_of_file
                .get(index)
                .and_then(|id| self.packages.get_mut(id.0 as usize))
            else {
                continue;
            };
            self.first_type.push(number(self.types.len()));
            for (index, declaration) in source.file.types.iter().enumerate() {
                if !declaration.local {
                    package.scope.insert(
                        declaration.name,
                        Decl::Type(TypeId(number(self.types.len()))),
                    );
                }
                let id = TypeId(number(self.types.len()));
                self.types.push(TypeInfo {
                    file,
                    index: number(index),
                    named: Arc::new(Type::Named(id, Vec::new())),
                    underlying: OnceLock::new(),
                    fields: Remembered::default(),
                    methods: Remembered::default(),
                    external: Remembered::default(),
                });
            }
            for (index, function) in source.file.functions.iter().enumerate() {
                let id = FuncId(number(self.functions.len()));
                if function.receiver.is_none() && function.name != "init" {
                    package.scope.insert(function.name, Decl::Func(id));
                }
                self.functions.push(FuncInfo {
                    file,
                    index: number(index),
                    receiver: None,
                });
            }
            for (index, global) in source.file.globals.iter().enumerate() {
                for (position, name) in global.names.iter().enumerate() {
                    package
                        .scope
                        .insert(*name, Decl::Global(GlobalId(number(self.globals.len()))));
                    self.globals.push(GlobalInfo {
                        file,
                        index: number(index),
                        position,
                    });
                }
            }
        }
    }

    fn resolve_imports(&mut self) {
        let by_path: HashMap<String, PackageId> = (0u32..)
            .zip(&self.packages)
            .filter(|(_, package)| !package.name.text().ends_with("_test"))
            .map(|(id, package)| (package.path.clone(), PackageId(id)))
            .collect();
        for source in &self.module.files {
            let mut imports = Map::default();
            for import in &source.file.imports {
                let target = by_path.get(import.path.text()).copied();
                let target = target.map_or(Imported::External(import.path), Imported::Package);
                let name = import.name.unwrap_or_else(|| match target {
                    Imported::Package(id) => self
                        .packages
                        .get(id.0 as usize)
                        .map_or(import.path, |package| package.name),
                    Imported::External(path) => Name::new(last_element(path.text())),
                });
                imports.insert(name, target);
            }
            self.imports.push(imports);
        }
    }

    fn find_methods(&mut self) {
        for index in 0..self.functions.len() {
            let id = FuncId(number(index));
            let function = self.function(id);
            let Some(name) = function
                .receiver
                .as_ref()
                .and_then(|receiver| base_name(&receiver.ty))
            else {
                continue;
            };
            let method = function.name;
            let Some(Decl::Type(ty)) = self.lookup(self.file_of(id), name) else {
                continue;
            };
            self.methods.insert((ty, method), id);
            self.methods_of.entry(ty).or_default().push(id);
            self.implementers.entry(method).or_default().push(id);
            if let Some(info) = self.functions.get_mut(index) {
                info.receiver = Some(ty);
            }
        }
    }

    /// Go's minor version of the module.
    pub fn go(&self) -> u32 {
        self.module.go
    }

    /// Its module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// All its functions.
    pub fn function_ids(&self) -> impl Iterator<Item = FuncId> + use<> {
        (0..number(self.functions.len())).map(FuncId)
    }

    /// All its declared types.
    pub fn type_ids(&self) -> impl Iterator<Item = TypeId> + use<> {
        (0..number(self.types.len())).map(TypeId)
    }

    /// All its package variables.
    pub fn global_ids(&self) -> impl Iterator<Item = GlobalId> + use<> {
        (0..number(self.globals.len())).map(GlobalId)
    }

    /// All files.
    pub fn file_ids(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..number(self.module.files.len())).map(FileId)
    }

    /// The import path of a file's package.
    pub fn import_path(&self, id: FileId) -> String {
        self.module.import_path(self.path(id))
    }

    /// A file's contents. Numbers are only made by [`Program::new`], so that they are always known;
    /// were one not, an empty file stands in.
    pub fn file(&self, id: FileId) -> &File {
        static NONE: LazyLock<File> = LazyLock::new(File::default);
        self.module
            .files
            .get(id.0 as usize)
            .map_or(&NONE, |source| &source.file)
    }

    /// Where a file lies.
    pub fn path(&self, id: FileId) -> &Path {
        self.module
            .files
            .get(id.0 as usize)
            .map_or(Path::new(""), |source| &source.path)
    }

    /// It is a `_test.go` file.
    pub fn is_test(&self, id: FileId) -> bool {
        self.module
            .files
            .get(id.0 as usize)
            .is_some_and(|source| source.test)
    }

    /// A function's declaration.
    pub fn function(&self, id: FuncId) -> &Function {
        static NONE: LazyLock<Function> = LazyLock::new(|| Function {
            name: Name::new("_"),
            receiver: None,
            type_params: Vec::new(),
            signature: Signature::default(),
            body: None,
            relies_on_callers: false,
            span: Default::default(),
        });
        let info = self.functions.get(id.0 as usize);
        info.and_then(|info| self.file(info.file).functions.get(info.index as usize))
            .unwrap_or(&NONE)
    }

    /// The file that a function stands in.
    pub fn file_of(&self, id: FuncId) -> FileId {
        self.functions
            .get(id.0 as usize)
            .map_or(FileId(u32::MAX), |info| info.file)
    }

    /// The type that a method belongs to.
    pub fn receiver(&self, id: FuncId) -> Option<TypeId> {
        self.functions.get(id.0 as usize)?.receiver
    }

    /// The methods of a type.
    pub fn methods_of(&self, id: TypeId) -> &[FuncId] {
        self.methods_of.get(&id).map_or(&[], Vec::as_slice)
    }

    /// All methods with a name.
    pub fn methods_named(&self, name: Name) -> &[FuncId] {
        self.implementers.get(&name).map_or(&[], Vec::as_slice)
    }

    /// A declared type without type arguments.
    pub fn named_type(&self, id: TypeId) -> Ty {
        self.types
            .get(id.0 as usize)
            .map_or_else(unknown, |info| Arc::clone(&info.named))
    }

    /// A type's declaration.
    pub fn type_decl(&self, id: TypeId) -> Option<&TypeDecl> {
        let info = self.types.get(id.0 as usize)?;
        self.file(info.file).types.get(info.index as usize)
    }

    /// The file that a type is declared in.
    pub fn file_of_type(&self, id: TypeId) -> FileId {
        self.types
            .get(id.0 as usize)
            .map_or(FileId(u32::MAX), |info| info.file)
    }

    /// The type that is declared inside a function.
    pub fn local_type(&self, file: FileId, index: u32) -> Option<TypeId> {
        self.first_type
            .get(file.0 as usize)
            .map(|first| TypeId(first + index))
    }

    /// A package variable: its declaration, its position there, its file.
    pub fn global(&self, id: GlobalId) -> Option<(&Global, usize, FileId)> {
        let info = self.globals.get(id.0 as usize)?;
        let global = self.file(info.file).globals.get(info.index as usize)?;
        Some((global, info.position, info.file))
    }

    /// The package that a file belongs to.
    pub fn package(&self, file: FileId) -> PackageId {
        self.package_of_file
            .get(file.0 as usize)
            .copied()
            .unwrap_or(PackageId(u32::MAX))
    }

    /// `main` or an import path.
    pub fn package_path(&self, file: FileId) -> &str {
        self.packages
            .get(self.package(file).0 as usize)
            .map_or("", |package| &package.path)
    }

    /// What a name means at the top of a file's package.
    pub fn lookup(&self, file: FileId, name: Name) -> Option<Decl> {
        self.packages
            .get(self.package(file).0 as usize)?
            .scope
            .get(&name)
            .copied()
    }

    /// What an import name stands for in a file.
    pub fn import(&self, file: FileId, name: Name) -> Option<Imported> {
        self.imports.get(file.0 as usize)?.get(&name).copied()
    }

    /// What a name means in another package.
    pub fn member(&self, package: PackageId, name: Name) -> Option<Decl> {
        self.packages
            .get(package.0 as usize)?
            .scope
            .get(&name)
            .copied()
    }

    /// Something outside the module may call it.
    pub fn is_visible(&self, id: FuncId) -> bool {
        let path = self.package_path(self.file_of(id));
        let receiver = self.receiver(id).and_then(|ty| self.type_decl(ty));
        let is_inside = path == "main" || path.split('/').any(|part| part == "internal");
        !is_inside
            && self.function(id).name.is_exported()
            && receiver.is_none_or(|ty| ty.name.is_exported())
    }

    /// The function's name as Go's tracebacks write it.
    pub fn function_name(&self, id: FuncId) -> String {
        let function = self.function(id);
        let package = self.package_path(self.file_of(id));
        match function
            .receiver
            .as_ref()
            .map(|receiver| (&receiver.ty, base_name(&receiver.ty)))
        {
            Some((TypeExpr::Pointer(_), Some(base))) => format!(
                "{package}.(*{base}{}).{}",
                generic_mark(function),
                function.name
            ),
            Some((_, Some(base))) => format!(
                "{package}.{base}{}.{}",
                generic_mark(function),
                function.name
            ),
            _ => format!("{package}.{}{}", function.name, generic_mark(function)),
        }
    }

    /// A type as people write it.
    pub fn type_name(&self, ty: &Ty) -> String {
        match &**ty {
            Type::Unknown => "?".to_owned(),
            Type::Basic(name) => name.text().to_owned(),
            Type::Named(id, _) => {
                let name = self
                    .type_decl(*id)
                    .map_or("?", |declaration| declaration.name.text());
                let package = self.package_path(self.file_of_type(*id));
                format!("{}.{name}", last_element(package))
            }
            Type::External(path, name, _) => format!("{}.{name}", last_element(path.text())),
            Type::Pointer(inner) => format!("*{}", self.type_name(inner)),
            Type::Slice(inner, _) => format!("[]{}", self.type_name(inner)),
            Type::Map(key, value) => {
                format!("map[{}]{}", self.type_name(key), self.type_name(value))
            }
            Type::Chan(inner) => format!("chan {}", self.type_name(inner)),
            Type::Func(_) => "func(...)".to_owned(),
            Type::Struct(_) => "struct{...}".to_owned(),
            Type::Interface => "any".to_owned(),
            Type::Tuple(all) => all
                .iter()
                .map(|ty| self.type_name(ty))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

fn generic_mark(function: &Function) -> &'static str {
    if function.type_params.is_empty() {
        ""
    } else {
        "[...]"
    }
}

/// The name of a receiver's type.
pub fn base_name(ty: &TypeExpr) -> Option<Name> {
    match ty {
        TypeExpr::Name(name) => Some(*name),
        TypeExpr::Pointer(inner) | TypeExpr::Generic(inner, _) => base_name(inner),
        _ => None,
    }
}

/// The last element of an import path, without a version: `gopkg.in/yaml.v3` is yaml.
pub fn last_element(path: &str) -> &str {
    let mut parts = path.rsplit('/');
    let last = parts.next().unwrap_or(path);
    let is_version = last
        .strip_prefix('v')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    let last = if is_version {
        parts.next().unwrap_or(last)
    } else {
        last
    };
    last.split_once(".v").map_or(last, |(before, _)| before)
}
