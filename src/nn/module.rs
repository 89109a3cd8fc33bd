//! What every module can do, built on one walk over its fields.

use super::hooks::{self, Hook, HookHandle, Hooks, PreHook};
use super::state::{self, IncompatibleKeys, StateDict};
use crate::error::{Result, ensure};
use crate::ops::{Padding, Pair, To};
use crate::tensor::{Tensor, swap_data, unwrap};
use crate::{DType, no_grad};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

/// Receives what a module holds, in the order of its fields.
pub trait Visitor {
    /// A trained tensor.
    fn parameter(&mut self, name: &str, parameter: &Tensor);
    /// A tensor that is not trained, and saved only if it is persistent.
    fn buffer(&mut self, name: &str, buffer: &Tensor, persistent: bool);
    /// A module inside; the visitor decides whether to go on into it.
    fn module(&mut self, name: &str, module: &dyn Module);
    /// The module's own switch between training and evaluation.
    fn training(&mut self, training: &Training) {
        let _ = training;
    }
    /// The module's own hooks.
    fn hooks(&mut self, hooks: &Hooks) {
        let _ = hooks;
    }
}

/// Types that a module's field can have: parameters (a [`Tensor`]), buffers, every [`Module`](trait@Module), `Vec`, arrays,
/// `Option`, `Box`, maps and tuples of those, and plain data, which shows nothing.
pub trait Field {
    /// Shows the visitor what the field holds.
    fn visit(&self, name: &str, visitor: &mut dyn Visitor);
}

/// A layer, a container or a whole net (`torch.nn.Module`): usually derived. Everything beside `name` and `fields` follows.
///
/// Parameters are shared handles: `to` and `load_state_dict` change what lies under them, so an optimizer made before goes
/// on with the same ones.
pub trait Module {
    /// The type's name, `Net`.
    fn name(&self) -> &str;

    /// Shows the visitor every field.
    fn fields(&self, visitor: &mut dyn Visitor);

    /// What goes between the brackets when it prints.
    fn extra_repr(&self) -> String {
        String::new()
    }

    /// All parameters with their dotted names, each once (`named_parameters()`).
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        let mut all = Collect::of(self).parameters;
        dedup(&mut all);
        all
    }

    /// All parameters, each once (`parameters()`).
    fn parameters(&self) -> Vec<Tensor> {
        self.named_parameters().into_iter().map(|(_, p)| p).collect()
    }

    /// All buffers with their dotted names, each once (`named_buffers()`).
    fn named_buffers(&self) -> Vec<(String, Tensor)> {
        let mut all: Vec<_> = Collect::of(self).buffers.into_iter().map(|(n, b, _)| (n, b)).collect();
        dedup(&mut all);
        all
    }

    /// All buffers, each once (`buffers()`).
    fn buffers(&self) -> Vec<Tensor> {
        self.named_buffers().into_iter().map(|(_, b)| b).collect()
    }

    /// Calls `f` with the name of every direct child and the child (`named_children()`).
    fn for_each_child(&self, f: &mut dyn FnMut(&str, &dyn Module)) {
        struct Children<'a>(&'a mut dyn FnMut(&str, &dyn Module));
        impl Visitor for Children<'_> {
            fn parameter(&mut self, _: &str, _: &Tensor) {}
            fn buffer(&mut self, _: &str, _: &Tensor, _: bool) {}
            fn module(&mut self, name: &str, module: &dyn Module) {
                (self.0)(name, module);
            }
        }
        self.fields(&mut Children(f));
    }

    /// Calls `f` with the dotted name of every module inside, outermost first (`named_modules()` without the module itself).
    fn for_each_module(&self, f: &mut dyn FnMut(&str, &dyn Module)) {
        fn walk(prefix: &str, m: &dyn Module, f: &mut dyn FnMut(&str, &dyn Module)) {
            m.for_each_child(&mut |name, child| {
                let path = join(prefix, name);
                f(&path, child);
                walk(&path, child, f);
            });
        }
        self.for_each_child(&mut |name, child| {
            f(name, child);
            walk(name, child, f);
        });
    }

    /// Puts it and all modules inside into training mode (`train()`).
    fn train(&self) {
        self.set_training(true);
    }

    /// Puts it and all modules inside into evaluation mode (`eval()`).
    fn eval(&self) {
        self.set_training(false);
    }

    /// Training mode on or off, for it and all modules inside (`train(mode)`).
    fn set_training(&self, on: bool) {
        struct Set(bool);
        impl Visitor for Set {
            fn parameter(&mut self, _: &str, _: &Tensor) {}
            fn buffer(&mut self, _: &str, _: &Tensor, _: bool) {}
            fn module(&mut self, _: &str, module: &dyn Module) {
                module.fields(self);
            }
            fn training(&mut self, training: &Training) {
                training.set(self.0);
            }
        }
        self.fields(&mut Set(on));
    }

    /// The module with its float parameters and buffers in another dtype, and all on another device (`to()`). Storage changes
    /// under the same handles, gradients too.
    ///
    /// # Panics
    /// If the dtype is no float, or the device cannot be opened.
    #[track_caller]
    fn to(self, target: impl Into<To>) -> Self
    where
        Self: Sized,
    {
        unwrap(move_all(&self, target.into()));
        self
    }

    /// Every parameter and persistent buffer under its dotted name, sharing memory with the module (`state_dict()`).
    fn state_dict(&self) -> StateDict {
        let all = Collect::of(self);
        let mut entries: Vec<(usize, String, Tensor)> = Vec::new();
        for ((name, p), at) in all.parameters.iter().zip(&all.parameter_order) {
            entries.push((*at, name.clone(), p.detach()));
        }
        for ((name, b, persistent), at) in all.buffers.iter().zip(&all.buffer_order) {
            if *persistent {
                entries.push((*at, name.clone(), b.detach()));
            }
        }
        entries.sort_by_key(|e| e.0);
        entries.into_iter().map(|(_, n, t)| (n, t)).collect()
    }

    /// Copies a saved state into parameters and buffers (`load_state_dict()`). Nothing is copied unless all can be.
    ///
    /// # Errors
    /// If a shape differs, or, where `strict`, names are missing or unknown.
    fn load_state_dict(&self, state: &StateDict, strict: bool) -> Result<IncompatibleKeys> {
        state::load(self.name(), &self.state_dict(), state, strict)
    }

    /// Takes the gradients of all parameters away (`zero_grad()`).
    fn zero_grad(&self) {
        self.parameters().iter().for_each(|p| p.set_grad(None));
    }

    /// [`Module::zero_grad`] that may set them to zero in place (`zero_grad(set_to_none=False)`).
    fn zero_grad_with(&self, set_to_none: bool) {
        if set_to_none {
            return self.zero_grad();
        }
        for g in self.parameters().iter().filter_map(|p| p.grad()) {
            if g.requires_grad() {
                g.detach_();
            }
            g.zero_();
        }
    }

    /// Makes all parameters collect gradients, or stop doing so (`requires_grad_()`).
    fn requires_grad_(&self, on: bool) {
        for p in self.parameters() {
            p.requires_grad_(on);
        }
    }
}

/// What you write is `forward`; what you call is `call`, which runs the hooks.
pub trait Forward: Module {
    /// The module's function.
    fn forward(&self, input: &Tensor) -> Tensor;

    /// `forward` between the module's hooks (Python's `module(input)`).
    #[track_caller]
    fn call(&self, input: &Tensor) -> Tensor {
        if !hooks::any() {
            return self.forward(input);
        }
        let own = self.own_hooks();
        let input = own.before(input);
        let output = self.forward(&input);
        own.after(&input, output)
    }

    /// The module's own hooks; those of a module without a [`Hooks`] field are always none.
    fn own_hooks(&self) -> Hooks {
        struct Find(Option<Hooks>);
        impl Visitor for Find {
            fn parameter(&mut self, _: &str, _: &Tensor) {}
            fn buffer(&mut self, _: &str, _: &Tensor, _: bool) {}
            fn module(&mut self, _: &str, _: &dyn Module) {}
            fn hooks(&mut self, hooks: &Hooks) {
                self.0 = Some(hooks.clone());
            }
        }
        let mut find = Find(None);
        self.fields(&mut find);
        find.0.unwrap_or_default()
    }

    /// Runs `f` with the input before `forward`; what it returns takes the input's place (`register_forward_pre_hook`).
    /// A module of your own needs a field of type [`Hooks`] for it.
    fn register_forward_pre_hook(&self, f: PreHook) -> HookHandle {
        self.own_hooks().add_before(f)
    }

    /// Runs `f` with input and output after `forward`; what it returns takes the output's place (`register_forward_hook`).
    fn register_forward_hook(&self, f: Hook) -> HookHandle {
        self.own_hooks().add_after(f)
    }
}

/// A leaf that optimizers change (`nn.Parameter(data)`): shares memory with `data`, requires a gradient, prints as a parameter.
///
/// # Panics
/// If it is no float tensor.
#[track_caller]
pub fn parameter(data: Tensor) -> Tensor {
    let p = data.detach();
    p.requires_grad_(true);
    p.mark_parameter();
    p
}

/// A module's switch between training and evaluation: a field of modules that behave differently in each.
#[derive(Debug)]
pub struct Training(AtomicBool);

impl Training {
    /// True in training mode.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    /// Switches it.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }
}

impl Default for Training {
    /// Modules start in training mode.
    fn default() -> Training {
        Training(AtomicBool::new(true))
    }
}

impl Field for Training {
    fn visit(&self, _: &str, visitor: &mut dyn Visitor) {
        visitor.training(self);
    }
}
impl Field for Hooks {
    fn visit(&self, _: &str, visitor: &mut dyn Visitor) {
        visitor.hooks(self);
    }
}
impl Field for Tensor {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        visitor.parameter(name, self);
    }
}
impl<M: Module> Field for M {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        visitor.module(name, self);
    }
}
impl<T: Field> Field for Option<T> {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        if let Some(x) = self {
            x.visit(name, visitor);
        }
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn fields(&self, visitor: &mut dyn Visitor) {
        (**self).fields(visitor);
    }
    fn extra_repr(&self) -> String {
        (**self).extra_repr()
    }
}
impl<M: Forward + ?Sized> Forward for Box<M> {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        (**self).forward(input)
    }
}
impl<M: Module + ?Sized> Module for std::sync::Arc<M> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn fields(&self, visitor: &mut dyn Visitor) {
        (**self).fields(visitor);
    }
    fn extra_repr(&self) -> String {
        (**self).extra_repr()
    }
}
impl<M: Forward + ?Sized> Forward for std::sync::Arc<M> {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        (**self).forward(input)
    }
}

/// Several fields under one name, as PyTorch's `ModuleList` and `ModuleDict` show them.
struct Group<'a> {
    name: &'static str,
    each: &'a dyn Fn(&mut dyn Visitor),
}

impl Module for Group<'_> {
    fn name(&self) -> &str {
        self.name
    }
    fn fields(&self, visitor: &mut dyn Visitor) {
        (self.each)(visitor);
    }
}

/// Shows a group, unless it holds plain data only.
fn visit_group(type_name: &'static str, name: &str, visitor: &mut dyn Visitor, each: &dyn Fn(&mut dyn Visitor)) {
    struct Probe(bool);
    impl Visitor for Probe {
        fn parameter(&mut self, _: &str, _: &Tensor) {
            self.0 = true;
        }
        fn buffer(&mut self, _: &str, _: &Tensor, _: bool) {
            self.0 = true;
        }
        fn module(&mut self, _: &str, _: &dyn Module) {
            self.0 = true;
        }
    }
    let mut probe = Probe(false);
    each(&mut probe);
    if probe.0 {
        visitor.module(name, &Group { name: type_name, each });
    }
}

fn visit_list<T: Field>(list: &[T], name: &str, visitor: &mut dyn Visitor) {
    visit_group("ModuleList", name, visitor, &|v| {
        for (i, x) in list.iter().enumerate() {
            x.visit(&i.to_string(), v);
        }
    });
}

impl<T: Field> Field for Vec<T> {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        visit_list(self, name, visitor);
    }
}
impl<T: Field, const N: usize> Field for [T; N] {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        visit_list(self, name, visitor);
    }
}
impl<T: Field> Field for BTreeMap<String, T> {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        visit_group("ModuleDict", name, visitor, &|v| self.iter().for_each(|(k, x)| x.visit(k, v)));
    }
}

macro_rules! tuple_fields {
    ($($($t:ident $i:tt),+;)*) => {$(
        impl<$($t: Field),+> Field for ($($t,)+) {
            fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
                visit_group("ModuleList", name, visitor, &|v| { $(self.$i.visit(stringify!($i), v);)+ });
            }
        }
    )*};
}
tuple_fields! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}

macro_rules! plain_fields {
    ($($t:ty),*) => {$(
        impl Field for $t {
            fn visit(&self, _: &str, _: &mut dyn Visitor) {}
        }
    )*};
}
plain_fields!((), bool, char, String, &'static str, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64);
plain_fields!(DType, crate::Device, crate::Scalar, crate::Shape, Pair, Padding, crate::ops::Reduction);
impl<T: ?Sized> Field for PhantomData<T> {
    fn visit(&self, _: &str, _: &mut dyn Visitor) {}
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}

/// Everything inside a module under dotted names; PyTorch lists a module's own parameters and buffers before its children's.
#[derive(Default)]
struct Collect {
    prefix: String,
    parameters: Vec<(String, Tensor)>,
    buffers: Vec<(String, Tensor, bool)>,
    /// The place of each in the joint order.
    parameter_order: Vec<usize>,
    buffer_order: Vec<usize>,
    children: bool,
}

impl Collect {
    fn of<M: Module + ?Sized>(m: &M) -> Collect {
        let mut c = Collect::default();
        c.walk(&|v| m.fields(v));
        c
    }

    fn walk(&mut self, fields: &dyn Fn(&mut dyn Visitor)) {
        for children in [false, true] {
            self.children = children;
            fields(self);
        }
    }

    fn count(&self) -> usize {
        self.parameters.len() + self.buffers.len()
    }
}

impl Visitor for Collect {
    fn parameter(&mut self, name: &str, parameter: &Tensor) {
        if !self.children {
            self.parameter_order.push(self.count());
            self.parameters.push((join(&self.prefix, name), parameter.clone()));
        }
    }
    fn buffer(&mut self, name: &str, buffer: &Tensor, persistent: bool) {
        if !self.children {
            self.buffer_order.push(self.count());
            self.buffers.push((join(&self.prefix, name), buffer.clone(), persistent));
        }
    }
    fn module(&mut self, name: &str, module: &dyn Module) {
        if self.children {
            let inner = join(&self.prefix, name);
            let outer = std::mem::replace(&mut self.prefix, inner);
            self.walk(&|v| module.fields(v));
            (self.prefix, self.children) = (outer, true);
        }
    }
}

fn dedup(all: &mut Vec<(String, Tensor)>) {
    let mut seen: Vec<Tensor> = Vec::new();
    all.retain(|(_, t)| {
        let new = !seen.iter().any(|s| s.is_same(t));
        if new {
            seen.push(t.clone());
        }
        new
    });
}

/// New storage under the handles of all parameters and buffers; all are made before any is changed.
fn move_all(m: &dyn Module, to: To) -> Result<()> {
    if let Some(d) = to.dtype {
        ensure!(
            d.is_float(),
            Type,
            "nn.Module.to only accepts floating point dtypes, but got desired dtype=torch.{}",
            d.name()
        );
    }
    let moved = |t: &Tensor| -> Result<Tensor> {
        let dtype = to.dtype.filter(|_| t.dtype().is_float()).unwrap_or(t.dtype());
        let device = to.device.unwrap_or(t.device());
        t.detach().checked().to((device, dtype))
    };
    no_grad(|| {
        let mut swaps = Vec::new();
        for t in m.parameters().into_iter().chain(m.buffers()) {
            let grad = t.grad().map(|g| moved(&g)).transpose()?;
            swaps.push((moved(&t)?, grad, t));
        }
        for (new, grad, t) in swaps {
            if new.dtype() != t.dtype() || new.device() != t.device() {
                swap_data(&t, &new);
                t.set_grad(grad);
            }
        }
        Ok(())
    })
}
