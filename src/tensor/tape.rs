//! The tape: nodes of the backward graph, what they saved, and the thread's grad mode. The engine is in `autograd`.

use super::{Elementwise, Op, Tensor};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::num::complex;
use crate::scalar::Scalar;
use crate::shape::{Dims, Shape};
use crate::stream::OnComplex;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static GRAD_ENABLED: Cell<bool> = const { Cell::new(true) };
    /// Graph parts waiting to be dropped by the outermost drop, so that deep graphs need no deep stack.
    static DROPPING: RefCell<Option<Vec<Remains>>> = const { RefCell::new(None) };
}

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// True where ops of this thread record their gradient (`torch.is_grad_enabled`).
pub fn grad_enabled() -> bool {
    GRAD_ENABLED.get()
}

/// Switches recording for this thread and gives back the former setting.
pub fn set_grad_enabled(on: bool) -> bool {
    GRAD_ENABLED.replace(on)
}

/// The next node's place in the order of recording.
pub fn next_sequence() -> u64 {
    SEQUENCE.fetch_add(1, Ordering::Relaxed)
}

/// Gradients of an op's inputs, in their order; None where none flows.
pub type Grads = SmallVec<[Option<Tensor>; 3]>;

/// A function that may replace a gradient on its way.
pub type Hook = (u64, Arc<dyn Fn(&Tensor) -> Option<Tensor> + Send + Sync>);

/// `[Some(g)]`: the gradient of an op with one input.
pub fn one_grad(g: Tensor) -> Grads {
    std::iter::once(Some(g)).collect()
}

/// No gradient for any of `n` inputs.
pub fn no_grads(n: usize) -> Grads {
    std::iter::repeat_n(None, n).collect()
}

/// One output of a node's forward op: gradients that come in are brought to this form.
#[derive(Clone, Debug)]
pub struct OutMeta {
    /// Sizes.
    pub shape: Dims,
    /// Element type.
    pub dtype: DType,
    /// Where it lives.
    pub device: Device,
}

impl OutMeta {
    /// Of a tensor.
    pub fn of(t: &Tensor) -> OutMeta {
        t.with_body(|b| OutMeta { shape: Dims::from_slice(&b.layout.shape), dtype: b.dtype, device: b.storage.device })
    }
}

/// Where a node's gradient for one input goes: another node's output.
#[derive(Clone)]
pub struct Edge {
    /// The node.
    pub node: Arc<Node>,
    /// Which of its forward op's outputs.
    pub index: u32,
}

/// A tensor kept for the backward pass, with its version then.
#[derive(Clone)]
pub struct Saved {
    tensor: Tensor,
    version: u64,
}

impl Saved {
    /// Keeps an input.
    pub fn input(t: &Tensor) -> Saved {
        Saved { tensor: t.clone(), version: t.version() }
    }

    /// Keeps an output: without its history, which would be a circle.
    pub fn output(t: &Tensor) -> Saved {
        Saved { tensor: super::alias(t), version: t.version() }
    }

    fn check(&self, node: &Node, output_nr: u32) -> Result<()> {
        let now = self.tensor.version();
        ensure!(
            now == self.version,
            Runtime,
            "one of the variables needed for gradient computation has been modified by an inplace operation: [torch.{}Tensor {:?}], which is output {output_nr} of {}, is at version {now}; expected version {} instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, with torch.autograd.set_detect_anomaly(True).",
            self.tensor.dtype().scalar_name(),
            &self.tensor.shape()[..],
            node.name(),
            self.version
        );
        Ok(())
    }
}

/// What a node kept.
#[derive(Default)]
pub struct SavedSet {
    /// Inputs, by position.
    pub inputs: SmallVec<[Option<Saved>; 3]>,
    /// Outputs, by position.
    pub outputs: SmallVec<[Option<Saved>; 1]>,
    /// True once a backward pass has let go of them.
    pub released: bool,
}

impl SavedSet {
    fn is_empty(&self) -> bool {
        self.inputs.iter().all(Option::is_none) && self.outputs.iter().all(Option::is_none)
    }
}

/// A backward function that is not an op's own: custom functions, rebased views.
pub trait Backward: Send + Sync {
    /// The node's name.
    fn name(&self) -> String;
    /// Gradients of the inputs from those of the outputs.
    fn backward(&self, cx: &Ctx) -> Result<Grads>;
    /// Lets go of what it kept; true if it kept anything.
    fn release(&self) -> bool {
        false
    }
}

/// What a node runs.
pub enum Func {
    /// A row of the elementwise table, with its scalar operands.
    Elementwise(&'static Elementwise, SmallVec<[Option<Scalar>; 3]>),
    /// An op object.
    Op(Arc<dyn Op>),
    /// A view: the op, and the layout of its input.
    View(Arc<dyn super::ViewOp>),
    /// Anything else.
    Other(Box<dyn Backward>),
    /// A leaf: the gradient is added to the tensor's.
    Accumulate(Tensor),
}

/// A node of the backward graph (PyTorch's `torch.autograd.graph.Node`).
pub struct Node {
    /// Its place in the order of recording.
    pub sequence: u64,
    func: Func,
    edges: SmallVec<[Option<Edge>; 2]>,
    metas: SmallVec<[OutMeta; 1]>,
    saved: Mutex<SavedSet>,
    /// Hooks of the tensors it computed, with the output they are for.
    hooks: Mutex<Vec<(u32, Hook)>>,
}

struct Remains {
    _func: Func,
    _edges: SmallVec<[Option<Edge>; 2]>,
    _saved: SavedSet,
}

impl Drop for Node {
    fn drop(&mut self) {
        let remains = Remains {
            _func: std::mem::replace(&mut self.func, Func::Elementwise(&super::elementwise::NOTHING, SmallVec::new())),
            _edges: std::mem::take(&mut self.edges),
            _saved: std::mem::take(self.saved.get_mut()),
        };
        // a thread that is ending drops the plain way
        let queued = DROPPING.try_with(|cell| {
            let mut queue = cell.borrow_mut();
            match queue.as_mut() {
                Some(q) => {
                    q.push(remains);
                    false
                }
                None => {
                    *queue = Some(vec![remains]);
                    true
                }
            }
        });
        if queued.is_ok_and(|outermost| outermost) {
            loop {
                let next = DROPPING.with(|cell| cell.borrow_mut().as_mut().and_then(Vec::pop));
                match next {
                    Some(r) => drop(r),
                    None => break,
                }
            }
            DROPPING.with(|cell| *cell.borrow_mut() = None);
        }
    }
}

impl Node {
    /// A node with its outgoing edges, the forms of its forward outputs, and what it keeps.
    pub fn new(
        func: Func,
        edges: SmallVec<[Option<Edge>; 2]>,
        metas: SmallVec<[OutMeta; 1]>,
        saved: SavedSet,
    ) -> Arc<Node> {
        Arc::new(Node {
            sequence: next_sequence(),
            func,
            edges,
            metas,
            saved: Mutex::new(saved),
            hooks: Mutex::default(),
        })
    }

    /// The node that adds to a leaf's gradient; it runs before all others that are ready.
    pub fn accumulate(leaf: Tensor) -> Arc<Node> {
        let metas = std::iter::once(OutMeta::of(&leaf)).collect();
        Arc::new(Node {
            sequence: u64::MAX,
            func: Func::Accumulate(leaf),
            edges: SmallVec::new(),
            metas,
            saved: Mutex::default(),
            hooks: Mutex::default(),
        })
    }

    /// The hooks on one of its forward outputs, in the order in which they were added.
    pub fn hooks(&self, output: u32) -> Vec<Hook> {
        let hooks = self.hooks.lock();
        hooks.iter().filter(|(o, _)| *o == output).map(|(_, h)| h.clone()).collect()
    }

    /// Adds a hook on a forward output.
    pub fn add_hook(&self, output: u32, hook: Hook) {
        self.hooks.lock().push((output, hook));
    }

    /// Takes a hook away again.
    pub fn remove_hook(&self, id: u64) {
        self.hooks.lock().retain(|(_, h)| h.0 != id);
    }

    /// PyTorch's name: `MulBackward0`, `AccumulateGrad` … (`grad_fn.name()`).
    pub fn name(&self) -> String {
        match &self.func {
            Func::Elementwise(op, _) => op.node.into(),
            Func::Op(op) => op.node_name().into(),
            Func::View(op) => op.node_name().into(),
            Func::Other(b) => b.name(),
            Func::Accumulate(_) => "AccumulateGrad".into(),
        }
    }

    /// The nodes that its inputs came from, with the number of their output (`grad_fn.next_functions`); None where an input
    /// needs no gradient.
    pub fn next_functions(&self) -> Vec<Option<(Arc<Node>, u32)>> {
        let shown = self.edges.iter().enumerate().filter(|(i, _)| match &self.func {
            Func::Elementwise(op, scalars) => op.shows_input(*i, scalars.get(*i).is_some_and(Option::is_some)),
            _ => true,
        });
        shown.map(|(_, e)| e.as_ref().map(|e| (e.node.clone(), e.index))).collect()
    }

    /// The leaf of an `AccumulateGrad` node (`grad_fn.variable`).
    pub fn variable(&self) -> Option<Tensor> {
        match &self.func {
            Func::Accumulate(t) => Some(t.clone()),
            _ => None,
        }
    }

    /// Outgoing edges, one an input.
    pub fn edges(&self) -> &[Option<Edge>] {
        &self.edges
    }

    /// Forms of the forward outputs.
    pub fn metas(&self) -> &[OutMeta] {
        &self.metas
    }

    /// Runs the backward function.
    pub fn run(self: &Arc<Node>, grads: &[Option<Tensor>]) -> Result<Grads> {
        if self.saved.lock().released {
            bail!(
                Runtime,
                "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors after calling backward."
            );
        }
        let cx = Ctx { node: self, grads };
        match &self.func {
            // a comparison in place is a step function: its gradient is zero
            Func::Elementwise(op, _) if op.row.bool_out => {
                Ok((0..self.edges.len()).map(|i| cx.needs(i).then(|| Tensor::zeros_of(&cx.input_meta(i)))).collect())
            }
            Func::Elementwise(op, _) if self.is_complex() && complex::is_analytic(op.row.name) => {
                self.conjugated(grads, op.vjp)
            }
            Func::Elementwise(op, _) => (op.vjp)(&cx),
            Func::Op(op) if self.is_complex() && matches!(op.on_complex(1), OnComplex::Native) => {
                self.conjugated(grads, |cx| op.vjp(cx))
            }
            Func::Op(op) => op.vjp(&cx),
            Func::View(op) => match &grads[0] {
                Some(g) => Ok(one_grad(op.vjp(g, &cx)?)),
                None => Ok(no_grads(1)),
            },
            Func::Other(b) => b.backward(&cx),
            Func::Accumulate(_) => Ok(Grads::new()),
        }
    }

    fn is_complex(&self) -> bool {
        self.metas.iter().any(|m| m.dtype.is_complex())
    }

    /// `NOTE [Conjugate]`: with PyTorch's convention the gradient of an analytic function is what comes in times the conjugate of
    /// the derivative. Ops write derivatives as for real numbers; here the conjugates go around them.
    fn conjugated(
        self: &Arc<Node>,
        grads: &[Option<Tensor>],
        vjp: impl FnOnce(&Ctx) -> Result<Grads>,
    ) -> Result<Grads> {
        let flip = |g: &Option<Tensor>| g.as_ref().map(super::elementwise::conj).transpose();
        let grads = grads.iter().map(flip).collect::<Result<SmallVec<[_; 2]>>>()?;
        vjp(&Ctx { node: self, grads: &grads })?.iter().map(flip).collect()
    }

    /// Lets go of what it kept (the end of a backward pass without `retain_graph`).
    pub fn release(&self) {
        let mut saved = self.saved.lock();
        let mut released = !saved.is_empty();
        let old = std::mem::take(&mut *saved);
        if let Func::Other(b) = &self.func {
            released |= b.release();
        }
        saved.released = released || old.released;
        drop(saved);
        drop(old);
    }
}

impl std::fmt::Display for Node {
    /// As Python prints the object: `<AddBackward0 object at 0x7f87a9134eb0>`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} object at {:p}>", self.name(), self)
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}>", self.name())
    }
}

/// What a backward function gets: the gradients of its outputs, and what the node kept.
pub struct Ctx<'a> {
    node: &'a Arc<Node>,
    /// Gradients of the forward outputs; None is zero.
    pub grads: &'a [Option<Tensor>],
}

impl Ctx<'_> {
    /// The gradient of the first output.
    ///
    /// # Panics
    /// If there is none, which the engine rules out for ops with one output.
    pub fn g(&self) -> &Tensor {
        match &self.grads[0] {
            Some(g) => g,
            None => panic!("{}: no gradient of output 0", self.node.name()),
        }
    }

    /// True where an input's gradient is wanted.
    pub fn needs(&self, input: usize) -> bool {
        self.node.edges.get(input).is_some_and(Option::is_some)
    }

    /// Number of inputs.
    pub fn count(&self) -> usize {
        self.node.edges.len()
    }

    /// The form of an input whose gradient is wanted.
    pub fn input_meta(&self, input: usize) -> OutMeta {
        match self.node.edges.get(input) {
            Some(Some(e)) => e.node.metas[e.index as usize].clone(),
            _ => panic!("{}: input {input} needs no gradient", self.node.name()),
        }
    }

    /// The sizes of an input whose gradient is wanted.
    pub fn input_shape(&self, input: usize) -> Shape {
        Shape(self.input_meta(input).shape)
    }

    /// The form of a forward output.
    pub fn output_meta(&self, output: usize) -> &OutMeta {
        &self.node.metas[output]
    }

    /// A saved input, checked for writes since.
    pub fn input(&self, input: usize) -> Result<Tensor> {
        let saved = self.node.saved.lock();
        match saved.inputs.get(input) {
            Some(Some(s)) => {
                let (node, nr) = match s.tensor.gradient_edge() {
                    Some(e) => (e.node, e.index),
                    None => (self.node.clone(), 0),
                };
                s.check(&node, nr)?;
                Ok(s.tensor.clone())
            }
            _ => panic!("{} did not save input {input}", self.node.name()),
        }
    }

    /// True where the node kept that input: an optional one may not have been given.
    pub fn has_saved(&self, input: usize) -> bool {
        matches!(self.node.saved.lock().inputs.get(input), Some(Some(_)))
    }

    /// A saved output with its history, checked for writes since.
    pub fn output(&self, output: usize) -> Result<Tensor> {
        let saved = self.node.saved.lock();
        match saved.outputs.get(output) {
            Some(Some(s)) => {
                s.check(self.node, output as u32)?;
                let t = super::alias(&s.tensor);
                t.set_history(self.node.clone(), output as u32);
                Ok(t)
            }
            _ => panic!("{} did not save output {output}", self.node.name()),
        }
    }

    /// A scalar operand of an elementwise op.
    pub fn scalar(&self, position: usize) -> Option<Scalar> {
        match &self.node.func {
            Func::Elementwise(_, scalars) => scalars.get(position).copied().flatten(),
            _ => None,
        }
    }
}
