//! What a Go file says, in the form that the scanner works with: declarations, statements and
//! expressions, without what it does not need (comments, constants, tags).

use super::names::Name;
use serde::{Deserialize, Serialize};

/// A piece of a file, in bytes, and the line it begins in.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// The byte after its last one.
    pub end: u32,
    /// Its first line, from 1.
    pub line: u32,
}

/// A parsed file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct File {
    /// The name after `package`.
    pub package: Option<Name>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// Its types, those declared inside functions too.
    pub types: Vec<TypeDecl>,
    /// Its functions and methods.
    pub functions: Vec<Function>,
    /// Its package variables.
    pub globals: Vec<Global>,
    /// `//gocc:ignore` comments.
    pub ignores: Vec<Ignore>,
    /// Says in its first lines that a program wrote it.
    pub generated: bool,
    /// Lines.
    pub lines: u32,
    /// Places where the parser found no Go.
    pub errors: u32,
}

/// One import.
#[derive(Debug, Serialize, Deserialize)]
pub struct Import {
    /// The name given to it here.
    pub name: Option<Name>,
    /// What it imports.
    pub path: Name,
}

/// A comment that silences findings in its line, the next line, or the function that it precedes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ignore {
    /// Where it stands.
    pub line: u32,
    /// Why, as its author says.
    pub reason: String,
}

/// A type declaration.
#[derive(Debug, Serialize, Deserialize)]
pub struct TypeDecl {
    /// Its name.
    pub name: Name,
    /// Names of its type parameters.
    pub params: Vec<Name>,
    /// What it is.
    pub is: TypeExpr,
    /// `type A = B`.
    pub alias: bool,
    /// Declared inside a function.
    pub local: bool,
    /// Where.
    pub span: Span,
}

/// A package variable, or several from one call.
#[derive(Debug, Serialize, Deserialize)]
pub struct Global {
    /// Their names.
    pub names: Vec<Name>,
    /// Their declared type.
    pub ty: Option<TypeExpr>,
    /// Their initial values.
    pub values: Vec<Expr>,
    /// Where.
    pub span: Span,
}

/// A function or method.
#[derive(Debug, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: Name,
    /// Its receiver.
    pub receiver: Option<Param>,
    /// Names of its type parameters (a method's: those of the receiver's type, as named here).
    pub type_params: Vec<Name>,
    /// Parameters and results.
    pub signature: Signature,
    /// `None` for what is written in assembly.
    pub body: Option<Block>,
    /// Its name or its comment says that its callers take care: they hold a lock, or are alone.
    pub relies_on_callers: bool,
    /// Where.
    pub span: Span,
}

/// Statements in braces.
pub type Block = Vec<Stmt>;

/// Parameters and results of a function.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Signature {
    /// Parameters; unnamed ones have no name.
    pub params: Vec<Param>,
    /// Results.
    pub results: Vec<Param>,
    /// The last parameter takes any number of arguments.
    pub variadic: bool,
}

/// A parameter, result or field.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: Option<Name>,
    /// Its type.
    pub ty: TypeExpr,
}

/// A type as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum TypeExpr {
    /// `T`.
    Name(Name),
    /// `pkg.T`.
    Qualified(Name, Name),
    /// `T[A]`.
    Generic(Box<TypeExpr>, Vec<TypeExpr>),
    /// `*T`.
    Pointer(Box<TypeExpr>),
    /// `[]T`.
    Slice(Box<TypeExpr>),
    /// `[N]T`.
    Array(Box<TypeExpr>),
    /// `map[K]V`.
    Map(Box<TypeExpr>, Box<TypeExpr>),
    /// `chan T`.
    Chan(Box<TypeExpr>),
    /// `func(...)`.
    Func(Box<Signature>),
    /// `struct{...}`.
    Struct(Vec<FieldDecl>),
    /// `interface{...}`.
    Interface,
    /// Left out, inside a composite literal.
    Elided,
    /// Something else.
    Other,
}

/// A field of a struct.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FieldDecl {
    /// Its name; that of the type for an embedded one.
    pub name: Name,
    /// Its type.
    pub ty: TypeExpr,
    /// Embedded.
    pub embedded: bool,
}

/// An expression.
#[derive(Debug, Serialize, Deserialize)]
pub struct Expr {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: ExprKind,
}

/// The kinds of expressions.
#[derive(Debug, Serialize, Deserialize)]
pub enum ExprKind {
    /// An identifier.
    Name(Name),
    /// An integer.
    Int(Option<u64>),
    /// A string.
    Str(Name),
    /// `true` or `false`.
    Bool(bool),
    /// Another constant.
    Literal,
    /// `nil`.
    Nil,
    /// `x.f`.
    Selector(Box<Expr>, Name),
    /// `x[i]`; also an instantiation.
    Index(Box<Expr>, Box<Expr>),
    /// `x[i:j]`.
    Slice(Box<Expr>),
    /// `f(...)`.
    Call(Box<Call>),
    /// `x.(T)`.
    Assert(Box<Expr>, Box<TypeExpr>),
    /// `T(x)` where T is no plain name.
    Convert(Box<TypeExpr>, Box<Expr>),
    /// `T{...}`.
    Composite(Box<TypeExpr>, Vec<Element>),
    /// `func(...) {...}`.
    Func(Box<FuncLit>),
    /// `&x`.
    Address(Box<Expr>),
    /// `*x`.
    Deref(Box<Expr>),
    /// `<-x`.
    Receive(Box<Expr>),
    /// `!x`.
    Not(Box<Expr>),
    /// Another operator, as it is written.
    Operator(Name, Vec<Expr>),
    /// A type where an expression can stand.
    Type(Box<TypeExpr>),
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// What is called.
    pub function: Expr,
    /// With what.
    pub args: Vec<Expr>,
    /// `f(x...)`.
    pub spread: bool,
}

/// An element of a composite literal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Element {
    /// Before the colon.
    pub key: Option<Expr>,
    /// After it.
    pub value: Expr,
}

/// A function literal.
#[derive(Debug, Serialize, Deserialize)]
pub struct FuncLit {
    /// Its parameters and results.
    pub signature: Signature,
    /// What it does.
    pub body: Block,
    /// Names that occur in it.
    pub mentions: Vec<Name>,
    /// Variables and fields that it stores to.
    pub assigns: Vec<Name>,
    /// What its name adds to that of the function around it: `.func1.2`.
    pub suffix: Name,
    /// Where.
    pub span: Span,
}

/// A statement.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stmt {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: StmtKind,
}

/// The kinds of statements.
#[derive(Debug, Serialize, Deserialize)]
pub enum StmtKind {
    /// An expression.
    Expr(Expr),
    /// `c <- x`.
    Send(Expr, Expr),
    /// `x++`, `x += y`.
    Update(Expr, Option<Expr>),
    /// `a, b = c, d`.
    Assign(Vec<Expr>, Vec<Expr>),
    /// `a, b := c, d`.
    Define(Vec<Expr>, Vec<Expr>),
    /// `var a, b T = c, d`.
    Var(Global),
    /// A type declaration: its number in [`File::types`].
    Type(u32),
    /// `return`.
    Return(Vec<Expr>),
    /// `go f()`.
    Go(Expr),
    /// `defer f()`.
    Defer(Expr),
    /// `if`.
    If(Box<If>),
    /// `for` without range.
    For(Box<For>),
    /// `for range`.
    Range(Box<Range>),
    /// `switch`, with or without types.
    Switch(Box<Switch>),
    /// `select`.
    Select(Vec<SelectCase>),
    /// A block.
    Block(Block),
    /// `break`.
    Break,
    /// `continue` or `goto`.
    Jump,
    /// Nothing that matters here.
    Empty,
}

/// An if statement.
#[derive(Debug, Serialize, Deserialize)]
pub struct If {
    /// Before the semicolon.
    pub init: Option<Stmt>,
    /// The condition.
    pub condition: Expr,
    /// When it holds.
    pub then: Block,
    /// When not: a block or another if.
    pub otherwise: Option<Stmt>,
}

/// A for statement.
#[derive(Debug, Serialize, Deserialize)]
pub struct For {
    /// Before.
    pub init: Option<Stmt>,
    /// While; `None` is forever.
    pub condition: Option<Expr>,
    /// After each round.
    pub post: Option<Stmt>,
    /// The body.
    pub body: Block,
    /// It starts goroutines or communicates: two rounds are looked at.
    pub starts: bool,
    /// Variables and fields that a round stores to.
    pub assigns: Vec<Name>,
}

/// A for-range statement.
#[derive(Debug, Serialize, Deserialize)]
pub struct Range {
    /// Key and value.
    pub left: Vec<Expr>,
    /// They are new variables.
    pub define: bool,
    /// What is ranged over.
    pub over: Expr,
    /// The body.
    pub body: Block,
    /// It starts goroutines or communicates: two rounds are looked at.
    pub starts: bool,
    /// Variables and fields that a round stores to.
    pub assigns: Vec<Name>,
}

/// A switch.
#[derive(Debug, Serialize, Deserialize)]
pub struct Switch {
    /// Before the semicolon.
    pub init: Option<Stmt>,
    /// What is switched on.
    pub value: Option<Expr>,
    /// `switch x := y.(type)`.
    pub alias: Option<Name>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// A case of a switch.
#[derive(Debug, Serialize, Deserialize)]
pub struct Case {
    /// Its values.
    pub values: Vec<Expr>,
    /// Its types.
    pub types: Vec<TypeExpr>,
    /// `default`.
    pub default: bool,
    /// What it does.
    pub body: Block,
}

/// A case of a select.
#[derive(Debug, Serialize, Deserialize)]
pub struct SelectCase {
    /// What it waits for; `None` is the default.
    pub communication: Option<Stmt>,
    /// What it does.
    pub body: Block,
}
