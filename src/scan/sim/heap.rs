//! Objects, variables, and what they hold.

use super::state::Dependency;
use super::*;
use crate::scan::program::unknown;
use crate::scan::types::Type;
use std::sync::Arc;

/// Variables declared longer ago than this many others are not looked through for old values.
const RECENT_CELLS: usize = 300;

impl Value {
    pub(super) fn unknown() -> Value {
        Value::of(unknown())
    }

    pub(super) fn of(ty: Ty) -> Value {
        Value {
            ty,
            objs: Vec::new(),
            scalar: None,
        }
    }

    pub(super) fn object(ty: Ty, object: ObjId) -> Value {
        Value {
            ty,
            objs: vec![object],
            scalar: None,
        }
    }

    pub(super) fn scalar(scalar: Option<Scalar>) -> Value {
        Value {
            ty: unknown(),
            objs: Vec::new(),
            scalar,
        }
    }

    pub(super) fn with_type(mut self, ty: Ty) -> Value {
        self.ty = ty;
        self
    }

    /// The same, if it was true or false, of which that is not known.
    pub(super) fn without_truth(mut self) -> Value {
        self.scalar = self
            .scalar
            .filter(|scalar| !matches!(scalar, Scalar::Bool(_)));
        self
    }

    /// Also what the other one can be.
    pub(super) fn join(&mut self, other: &Value) {
        for object in &other.objs {
            if !self.objs.contains(object) && self.objs.len() < 8 {
                self.objs.push(*object);
            }
        }
        if matches!(*self.ty, Type::Unknown)
            || matches!(*self.ty, Type::Interface) && !matches!(*other.ty, Type::Unknown)
        {
            self.ty = Arc::clone(&other.ty);
        }
        if self.scalar != other.scalar {
            self.scalar = None;
        }
    }
}

impl<'p> Sim<'p> {
    pub(super) fn alloc(&mut self, ty: Ty, origin: Origin) -> ObjId {
        if self.objects.len() >= MOST_OBJECTS {
            self.steps = self.most_steps;
        }
        let object = Object {
            ty,
            origin,
            owner: self.thread,
            depth: self.branches,
            escaped: false,
            escaped_at: 0,
            fields: Map::default(),
            elements: Vec::new(),
            queue: VecDeque::new(),
            room: None,
            copy_of: None,
            is_receiver_copy: false,
            code: None,
            called: false,
        };
        self.objects.push(object);
        ObjId(u32::try_from(self.objects.len() - 1).unwrap_or(u32::MAX))
    }

    /// Numbers are only made by [`Sim::alloc`], so that they are always known.
    pub(super) fn obj(&mut self, id: ObjId) -> Option<&mut Object<'p>> {
        self.objects.get_mut(id.0 as usize)
    }

    /// Where an object comes from.
    pub fn origin(&self, id: ObjId) -> Option<Origin> {
        self.objects.get(id.0 as usize).map(|object| object.origin)
    }

    /// An object's type.
    pub fn ty(&self, id: ObjId) -> Ty {
        self.objects
            .get(id.0 as usize)
            .map_or_else(unknown, |object| Arc::clone(&object.ty))
    }

    /// A fresh value of a type, with an object where the type can hold one.
    pub(super) fn fresh(&mut self, ty: &Ty, name: Name) -> Value {
        self.fresh_from(ty, Origin::Made(name))
    }

    pub(super) fn fresh_from(&mut self, ty: &Ty, origin: Origin) -> Value {
        if !self.holds_objects(ty) {
            return Value::of(Arc::clone(ty));
        }
        let object = self.alloc(ty.pointee(), origin);
        Value::object(Arc::clone(ty), object)
    }

    fn holds_objects(&self, ty: &Ty) -> bool {
        match &**ty {
            Type::Basic(_) | Type::Tuple(_) | Type::Func(_) => false,
            Type::Named(..) => !matches!(
                &*self.program.underlying(ty),
                Type::Basic(_) | Type::Func(_)
            ),
            _ => true,
        }
    }

    /// A value from outside: anybody may reach it.
    pub(super) fn symbol(&mut self, ty: &Ty, origin: Origin) -> Value {
        let value = self.fresh_from(ty, origin);
        for object in &value.objs {
            if let Some(object) = self.obj(*object) {
                object.escaped = true;
                object.owner = ThreadId(0);
            }
        }
        value
    }

    pub(super) fn new_cell(&mut self, value: Value) -> CellId {
        self.cells.push(Cell {
            value,
            depth: self.branches,
            owner: self.thread,
            is_shared: false,
            is_rewritten: false,
        });
        CellId(u32::try_from(self.cells.len() - 1).unwrap_or(u32::MAX))
    }

    pub(super) fn bind(&mut self, frame: &mut Frame<'p>, name: Name, value: Value) {
        if name.is_blank() {
            return;
        }
        let constant = value
            .scalar
            .filter(|scalar| matches!(scalar, Scalar::Bool(_)));
        let known = constant.map(|_| value.clone());
        let cell = self.new_cell(value);
        if let Some(value) = known {
            self.learn_value(cell, &value);
        }
        frame.env = Some(Rc::new(Binding {
            name,
            cell,
            outer: frame.env.take(),
        }));
    }

    pub(super) fn find(&self, env: &Env, name: Name) -> Option<CellId> {
        let mut at = env.as_ref();
        while let Some(binding) = at {
            if binding.name == name {
                return Some(binding.cell);
            }
            at = binding.outer.as_ref();
        }
        None
    }

    pub(super) fn read_cell(&self, id: CellId) -> Value {
        self.cells
            .get(id.0 as usize)
            .map_or_else(Value::unknown, |cell| cell.value.clone())
    }

    pub(super) fn write_cell(&mut self, id: CellId, value: Value) {
        let (branches, thread) = (self.branches, self.thread);
        let Some(cell) = self.cells.get_mut(id.0 as usize) else {
            return;
        };
        let ty = Arc::clone(&cell.value.ty);
        // In a branch that gave the old object to somebody else, the variable has a new one; in the others
        // nobody else got it.
        let given_away = |id: &ObjId| {
            self.objects
                .get(id.0 as usize)
                .is_some_and(|object| object.escaped && object.escaped_at > self.branch_begin)
        };
        let (is_shared, scalar) = (cell.is_shared, value.scalar);
        let is_moved = !cell.value.objs.is_empty() && cell.value.objs.iter().all(given_away);
        let keep = cell.owner != thread || cell.depth < branches && !is_moved;
        if keep {
            cell.value.join(&value);
        } else {
            cell.value = value;
        }
        cell.is_rewritten = true;
        // A declared type says more than what is stored, unless it is an interface.
        if !matches!(*ty, Type::Unknown | Type::Interface) {
            cell.value.ty = ty;
        }
        let now = Value {
            objs: cell.value.objs.clone(),
            ..Value::scalar(scalar)
        };
        self.forget(Dependency::Cell(id));
        if !is_shared {
            self.learn_value(id, &now);
        }
    }

    /// A package variable's cell; its initial value is looked at when it is first met.
    pub(super) fn global_cell(&mut self, id: GlobalId) -> CellId {
        if let Some(&cell) = self.globals.get(&id) {
            return cell;
        }
        let cell = self.new_cell(Value::unknown());
        if let Some(cell) = self.cells.get_mut(cell.0 as usize) {
            // Anybody may store there.
            cell.owner = ThreadId(u32::MAX);
        }
        self.globals.insert(id, cell);
        let value = self.initial_value(id);
        if let Some(cell) = self.cells.get_mut(cell.0 as usize) {
            cell.value = value;
        }
        cell
    }

    fn initial_value(&mut self, id: GlobalId) -> Value {
        let program = self.program;
        let Some((global, position, file)) = program.global(id) else {
            return Value::unknown();
        };
        let declared = global.ty.as_ref().map(|ty| self.resolve_in(file, &[], ty));
        let mut value = Value::unknown();
        if let Some(initial) = global.values.get(position).or(global.values.first()) {
            let saved = (
                self.thread,
                std::mem::replace(&mut self.states, vec![State::default()]),
                self.branches,
                self.path.take(),
            );
            self.thread = ThreadId(0);
            let mut frame = Frame::new(file, None, None, Rc::default());
            let values = self.eval_all(&mut frame, initial);
            let index = if global.values.len() > 1 { 0 } else { position };
            value = values.into_iter().nth(index).unwrap_or_else(Value::unknown);
            (self.thread, self.states, self.branches, self.path) = saved;
        }
        if let Some(ty) = declared {
            value.ty = if matches!(*ty, Type::Interface) {
                value.ty
            } else {
                ty
            };
        }
        if value.objs.is_empty() {
            return self.symbol(&value.ty.clone(), Origin::Global(id));
        }
        self.escape(&value);
        for object in value.objs.clone() {
            if let Some(object) = self.obj(object)
                && matches!(object.origin, Origin::Made(_))
            {
                object.origin = Origin::Global(id);
            }
        }
        value
    }

    /// What a field holds.
    pub(super) fn field(&mut self, base: &Value, name: Name, ty: &Ty) -> Value {
        let mut found = Value::of(Arc::clone(ty));
        for &object in &base.objs {
            let value = self.field_of(object, name, ty, 0);
            found.join(&value);
        }
        found.ty = if matches!(**ty, Type::Interface) {
            found.ty
        } else {
            Arc::clone(ty)
        };
        found
    }

    fn field_of(&mut self, id: ObjId, name: Name, ty: &Ty, depth: u32) -> Value {
        let Some(object) = self.obj(id) else {
            return Value::of(Arc::clone(ty));
        };
        if let Some(value) = object.fields.get(&name) {
            return value.clone();
        }
        let (copy_of, escaped, owner) = (object.copy_of, object.escaped, object.owner);
        let value = match copy_of {
            Some(original) if depth < 8 && (!ty.is_lock() || matches!(**ty, Type::Pointer(_))) => {
                self.field_of(original, name, ty, depth + 1)
            }
            _ => {
                let value = self.fresh_from(ty, Origin::Field(id, name));
                self.inherit(&value, escaped, owner);
                value
            }
        };
        if let Some(object) = self.obj(id) {
            object.fields.insert(name, value.clone());
        }
        value
    }

    fn inherit(&mut self, value: &Value, escaped: bool, owner: ThreadId) {
        for object in &value.objs {
            if let Some(object) = self.obj(*object) {
                object.escaped |= escaped;
                object.owner = owner;
            }
        }
    }

    /// Stores into a field. What locals still hold of its old value is theirs alone from now on:
    /// `old := s.m; s.m = make(...)` takes the map away from everybody else.
    pub(super) fn set_field(&mut self, base: &Value, name: Name, value: &Value) {
        let single = base.objs.len() == 1;
        for &id in &base.objs {
            let (branches, thread) = (self.branches, self.thread);
            let Some(object) = self.obj(id) else { continue };
            let escaped = object.escaped;
            let is_own = object.owner == thread && !escaped;
            // The branch in which it was made is still open: what is stored there is stored in any case.
            let replace = single && !escaped && branches == 0
                || single && is_own && object.depth >= branches
                || is_own && !object.fields.contains_key(&name);
            let old = object.fields.get(&name).cloned();
            match object.fields.get_mut(&name) {
                Some(known) if !replace => known.join(value),
                _ => {
                    object.fields.insert(name, value.clone());
                }
            }
            if escaped {
                self.escape(value);
            }
            if let Some(old) = old {
                self.take_away(&old, value);
            }
        }
    }

    pub(super) fn take_away(&mut self, old: &Value, new: &Value) {
        for &object in &old.objs {
            if new.objs.contains(&object)
                || !matches!(
                    *self.ty(object),
                    Type::Map(..) | Type::Slice(..) | Type::Named(..)
                )
            {
                continue;
            }
            let thread = self.thread;
            let first = self.cells.len().saturating_sub(RECENT_CELLS);
            let holds = |(index, cell): (usize, &Cell)| {
                (cell.owner == thread && cell.value.objs.contains(&object)).then_some(index)
            };
            let recent = self.cells.iter().enumerate().skip(first);
            let holders: Vec<usize> = recent.filter_map(holds).collect();
            if holders.is_empty() {
                continue;
            }
            let own = self.alloc(self.ty(object), Origin::Made(Name::new("taken")));
            for index in holders {
                let Some(cell) = self.cells.get_mut(index) else {
                    continue;
                };
                cell.value
                    .objs
                    .iter_mut()
                    .filter(|held| **held == object)
                    .for_each(|held| *held = own);
            }
        }
    }

    /// What an element holds.
    pub(super) fn element(&mut self, base: &Value, key: Option<Scalar>, ty: &Ty) -> Value {
        let mut found = Value::of(Arc::clone(ty));
        for &id in &base.objs {
            let Some(object) = self.obj(id) else { continue };
            let values = known_elements(&object.elements, key, ty);
            let (escaped, owner) = (object.escaped, object.owner);
            if values
                .iter()
                .any(|value| !value.objs.is_empty() || value.scalar.is_some())
            {
                values.iter().for_each(|value| found.join(value));
                continue;
            }
            let value = self.fresh_from(ty, Origin::Element(id));
            self.inherit(&value, escaped, owner);
            if let Some(object) = self.obj(id) {
                object.elements.push((key, value.clone()));
            }
            found.join(&value);
        }
        if !matches!(**ty, Type::Interface | Type::Unknown) {
            found.ty = Arc::clone(ty);
        }
        found
    }

    /// Stores into an element.
    pub(super) fn set_element(&mut self, base: &Value, key: Option<Scalar>, value: &Value) {
        if value.objs.is_empty() {
            return;
        }
        for &id in &base.objs {
            let Some(object) = self.obj(id) else { continue };
            let count = object.elements.len();
            match object.elements.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => known.join(value),
                None if count < 16 => object.elements.push((key, value.clone())),
                None => {}
            }
            if object.escaped {
                self.escape(value);
            }
        }
    }

    /// From now on others may reach it, and all that hangs on it.
    pub(super) fn escape(&mut self, value: &Value) {
        let mut todo = value.objs.clone();
        while let Some(id) = todo.pop() {
            let Some(object) = self.objects.get_mut(id.0 as usize) else {
                continue;
            };
            // Where it escaped on another way only, it does so now.
            let elsewhere = |steps: &std::ops::Range<u32>| steps.contains(&object.escaped_at);
            if object.escaped && !self.not_taken.iter().any(elsewhere) {
                continue;
            }
            object.escaped = true;
            object.escaped_at = self.steps;
            todo.extend(
                object
                    .fields
                    .values()
                    .flat_map(|value| value.objs.iter().copied()),
            );
            todo.extend(
                object
                    .elements
                    .iter()
                    .flat_map(|(_, value)| value.objs.iter().copied()),
            );
            todo.extend(
                object
                    .queue
                    .iter()
                    .flat_map(|value| value.objs.iter().copied()),
            );
            todo.extend(object.copy_of);
            match object.code.clone() {
                Some(Code::Literal(literal, closure)) => {
                    todo.extend(self.captured(literal, &closure))
                }
                Some(Code::Declared(_, Some(receiver))) => {
                    todo.extend(receiver.objs.iter().copied())
                }
                _ => {}
            }
        }
    }

    /// The objects that a literal reaches through variables around it.
    pub(super) fn captured(&self, literal: &FuncLit, closure: &Closure) -> Vec<ObjId> {
        let mut found = Vec::new();
        for &name in &literal.mentions {
            if let Some(cell) = self.find(&closure.scope, name) {
                found.extend(self.read_cell(cell).objs);
            }
        }
        found
    }

    /// A copy of a struct: the same maps, its own locks.
    pub(super) fn copied(&mut self, value: Value) -> Value {
        let is_struct = matches!(&*self.program.underlying(&value.ty), Type::Struct(_));
        if !is_struct || value.objs.is_empty() {
            return value;
        }
        let Some(&original) = value.objs.first() else {
            return value;
        };
        let object = self.alloc(Arc::clone(&value.ty), Origin::Made(Name::new("copy")));
        if let Some(copy) = self.obj(object) {
            copy.copy_of = Some(original);
        }
        Value::object(value.ty, object)
    }
}

impl Object<'_> {
    /// Its fields in an order that is the same each time.
    pub(super) fn fields_by_name(&self) -> Vec<(Name, &Value)> {
        let mut fields: Vec<_> = self
            .fields
            .iter()
            .map(|(name, value)| (*name, value))
            .collect();
        fields.sort_unstable_by_key(|(name, _)| *name);
        fields
    }
}

impl<'p> Frame<'p> {
    pub(super) fn new(
        file: FileId,
        function: Option<FuncId>,
        env: Env,
        types: Rc<Vec<(Name, Ty)>>,
    ) -> Frame<'p> {
        Frame {
            file,
            function,
            env,
            types,
            results: Vec::new(),
            named_results: Vec::new(),
            result_objects: Vec::new(),
            defers: Vec::new(),
            returns: Vec::new(),
        }
    }

    pub(super) fn place(&self, span: Span) -> Place {
        Place {
            file: self.file,
            span,
        }
    }
}

impl<'p> Sim<'p> {
    /// The module that is followed.
    pub fn program_ref(&self) -> &'p Program {
        self.program
    }

    /// The object that holds this one in a field or an element; known once everything was followed.
    pub fn holder(&self, id: ObjId) -> Option<(ObjId, Option<Name>)> {
        self.holders.get(&id).copied()
    }

    /// Fields come before elements, and what was made first before the rest.
    pub(super) fn note_holders(&mut self) {
        for (number, object) in (0u32..).map(ObjId).zip(&self.objects) {
            for (name, value) in object.fields_by_name() {
                for &held in &value.objs {
                    self.holders.entry(held).or_insert((number, Some(name)));
                }
            }
        }
        for (number, object) in (0u32..).map(ObjId).zip(&self.objects) {
            for &held in object.elements.iter().flat_map(|(_, value)| &value.objs) {
                self.holders.entry(held).or_insert((number, None));
            }
        }
    }

    /// The object that holds this one as an element.
    pub fn container(&self, id: ObjId) -> Option<ObjId> {
        self.holder(id)
            .and_then(|(holder, field)| field.is_none().then_some(holder))
    }
}

/// What is known to be in an element. Each round of a loop over known elements has its share of them:
/// no two rounds have the same one. Functions are shared by all.
fn known_elements(
    elements: &[(Option<Scalar>, Value)],
    key: Option<Scalar>,
    ty: &Ty,
) -> Vec<Value> {
    let exact = elements
        .iter()
        .find(|(known, _)| key.is_some() && *known == key);
    match (exact, key) {
        (Some((_, value)), _) => vec![value.clone()],
        (None, Some(Scalar::Round(_, round))) if !matches!(**ty, Type::Func(_)) => {
            let made = elements
                .iter()
                .filter(|(known, _)| !matches!(known, Some(Scalar::Round(..))));
            let share = |(index, _): &(usize, _)| index % 2 == round as usize % 2;
            made.enumerate()
                .filter(share)
                .map(|(_, (_, value))| value.clone())
                .collect()
        }
        _ => {
            let matches =
                |known: &Option<Scalar>| key.is_none() || known.is_none() || *known == key;
            elements
                .iter()
                .filter(|(known, _)| matches(known))
                .map(|(_, value)| value.clone())
                .collect()
        }
    }
}

impl Sim<'_> {
    /// The struct that this one, a method's value receiver, is a copy of.
    pub fn original(&self, id: ObjId) -> Option<ObjId> {
        let object = self.objects.get(id.0 as usize)?;
        object.copy_of.filter(|_| object.is_receiver_copy)
    }
}
