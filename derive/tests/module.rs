//! What the derive generates, compiled against the traits it names and run.

extern crate self as wgtorch;

use std::marker::PhantomData;
use wgtorch::nn::{Field, Module, Tensor, Visitor};
use wgtorch_derive::Module;

pub mod nn {
    //! The traits as the derive's documentation gives them.
    pub struct Tensor;

    pub trait Visitor {
        fn parameter(&mut self, name: &str, parameter: &Tensor);
        fn buffer(&mut self, name: &str, buffer: &Tensor, persistent: bool);
        fn module(&mut self, name: &str, module: &dyn Module);
    }

    pub trait Module {
        fn name(&self) -> &str;
        fn fields(&self, visitor: &mut dyn Visitor);
        fn extra_repr(&self) -> String {
            String::new()
        }
    }

    pub trait Field {
        fn visit(&self, name: &str, visitor: &mut dyn Visitor);
    }

    pub fn repr(module: &dyn Module) -> String {
        format!("{}({})", module.name(), module.extra_repr())
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
    impl Field for usize {
        fn visit(&self, _: &str, _: &mut dyn Visitor) {}
    }
    impl<T> Field for std::marker::PhantomData<T> {
        fn visit(&self, _: &str, _: &mut dyn Visitor) {}
    }
}

#[derive(Module)]
#[module(extra_repr = "sizes")]
struct Linear {
    weight: Tensor,
    #[module(name = "b")]
    bias: Tensor,
    inputs: usize,
}

impl Linear {
    fn new(inputs: usize) -> Linear {
        Linear { weight: Tensor, bias: Tensor, inputs }
    }
    fn sizes(&self) -> String {
        format!("in_features={}", self.inputs)
    }
}

#[derive(Module)]
struct Net<'a, M: Clone, const N: usize>
where
    M: 'a,
{
    r#type: Linear,
    inner: Pair<M>,
    #[module(buffer)]
    mean: Tensor,
    #[module(buffer, persistent = false)]
    mask: Tensor,
    #[module(buffer)]
    count: Option<Tensor>,
    #[module(buffer)]
    missing: Option<Tensor>,
    #[module(skip)]
    activation: &'a dyn Fn(f32) -> f32,
}

#[derive(Module)]
#[module(name = "Couple")]
struct Pair<M>(Linear, PhantomData<M>);

#[derive(Module)]
struct Empty;

#[derive(Default)]
struct Names {
    path: Vec<String>,
    seen: Vec<String>,
}

impl Names {
    fn add(&mut self, kind: &str, name: &str) {
        let path: String = self.path.iter().map(|p| format!("{p}.")).collect();
        self.seen.push(format!("{kind} {path}{name}"));
    }
}

impl Visitor for Names {
    fn parameter(&mut self, name: &str, _: &Tensor) {
        self.add("parameter", name);
    }
    fn buffer(&mut self, name: &str, _: &Tensor, persistent: bool) {
        self.add(if persistent { "buffer" } else { "passing buffer" }, name);
    }
    fn module(&mut self, name: &str, module: &dyn Module) {
        self.add(module.name(), name);
        self.path.push(name.to_string());
        module.fields(self);
        self.path.pop();
    }
}

#[test]
fn a_nested_module_is_walked_in_order() {
    let net = Net::<u8, 3> {
        r#type: Linear::new(4),
        inner: Pair(Linear::new(2), PhantomData),
        mean: Tensor,
        mask: Tensor,
        count: Some(Tensor),
        missing: None,
        activation: &|x| x,
    };
    assert_eq!((net.activation)(1.0), 1.0);
    let mut names = Names::default();
    net.visit("net", &mut names);
    Empty.visit("empty", &mut names);
    assert_eq!(
        names.seen,
        [
            "Net net",
            "Linear net.type",
            "parameter net.type.weight",
            "parameter net.type.b",
            "Couple net.inner",
            "Linear net.inner.0",
            "parameter net.inner.0.weight",
            "parameter net.inner.0.b",
            "buffer net.mean",
            "passing buffer net.mask",
            "buffer net.count",
            "Empty empty",
        ]
    );
    assert_eq!(net.r#type.extra_repr(), "in_features=4");
    assert_eq!(net.extra_repr(), "");
    assert_eq!(net.r#type.to_string(), "Linear(in_features=4)");
}
