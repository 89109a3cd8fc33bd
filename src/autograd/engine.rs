//! The engine: walks the graph from its roots in reverse order of recording and brings every gradient to its tensor's form.

use crate::error::{Result, bail, ensure};
use crate::shape::expandable;
use crate::tensor::{Edge, Grads, Node, OutMeta, Tensor, methods, set_grad_enabled, to_dtype};
use crate::trace::{self, Kind, Work};
use smallvec::SmallVec;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// What `backward` and `grad` default.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct GradOptions {
    /// Keep what nodes saved, so that the graph can be run again; `create_graph` if None.
    pub retain_graph: Option<bool>,
    /// Record the backward pass itself, for higher derivatives.
    pub create_graph: bool,
    /// `grad`: an input that the outputs do not depend on gives None instead of an error.
    pub allow_unused: bool,
    /// `grad`: zeros for an input that the outputs do not depend on.
    pub materialize_grads: bool,
    /// `backward`: the tensors whose `grad` accumulates; all leaves if there are none.
    pub inputs: Vec<Tensor>,
}

impl GradOptions {
    /// All defaults.
    pub fn new() -> GradOptions {
        GradOptions::default()
    }
    /// Keep what nodes saved.
    pub fn retain_graph(mut self, on: bool) -> GradOptions {
        self.retain_graph = Some(on);
        self
    }
    /// Record the backward pass.
    pub fn create_graph(mut self, on: bool) -> GradOptions {
        self.create_graph = on;
        self
    }
    /// None instead of an error for an unused input.
    pub fn allow_unused(mut self, on: bool) -> GradOptions {
        self.allow_unused = on;
        self
    }
    /// Zeros for an unused input.
    pub fn materialize_grads(mut self, on: bool) -> GradOptions {
        self.materialize_grads = on;
        self
    }
    /// Only these tensors' gradients accumulate.
    pub fn inputs(mut self, inputs: &[&Tensor]) -> GradOptions {
        self.inputs = inputs.iter().map(|&t| t.clone()).collect();
        self
    }
}

impl From<()> for GradOptions {
    fn from(_: ()) -> GradOptions {
        GradOptions::default()
    }
}

/// A node by its address, ordered by the time of recording.
#[derive(Clone)]
struct Ready(Arc<Node>);

impl PartialEq for Ready {
    fn eq(&self, other: &Ready) -> bool {
        self.0.sequence == other.0.sequence
    }
}
impl Eq for Ready {}
impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Ready) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ready {
    fn cmp(&self, other: &Ready) -> std::cmp::Ordering {
        self.0.sequence.cmp(&other.0.sequence)
    }
}

type Key = *const Node;

/// Hashes a node's address: a multiplication is enough, and a pass hashes several times an op.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.write_u64(u64::from(*b));
        }
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

type ByNode<V> = HashMap<Key, V, BuildHasherDefault<AddressHasher>>;

fn key(n: &Arc<Node>) -> Key {
    Arc::as_ptr(n)
}

#[derive(Default)]
struct State {
    /// Edges that still have to deliver.
    waiting: u32,
    grads: SmallVec<[Option<Tensor>; 1]>,
    /// Met by the count of edges.
    seen: bool,
    /// Lies on a path to a wanted input (all do where none are named).
    wanted: bool,
}

struct Run {
    states: ByNode<State>,
    ready: BinaryHeap<Ready>,
    /// Inputs of `grad`, by node and output.
    captures: HashMap<(Key, u32), Option<Tensor>>,
    create_graph: bool,
    keep: bool,
}

/// Brings a gradient to the shape, dtype and device that a tensor's gradient has to have.
fn conform(g: Tensor, meta: &OutMeta, name: &dyn Fn() -> String) -> Result<Tensor> {
    let mut g = g;
    if g.shape()[..] != meta.shape[..] {
        ensure!(
            expandable(&meta.shape, &g.shape()),
            Runtime,
            "Function {} returned an invalid gradient at index 0 - got {:?} but expected shape compatible with {:?}",
            name(),
            &g.shape()[..],
            &meta.shape[..]
        );
        g = g.checked().sum_to_size(&meta.shape[..])?;
    }
    if g.dtype() != meta.dtype {
        g = to_dtype(&g, meta.dtype);
    }
    if g.device() != meta.device {
        g = g.checked().to(meta.device)?;
    }
    Ok(g)
}

/// The sum of two gradients. Without a graph to record, a sum that nobody else holds is added to in place.
fn accumulate(a: Tensor, b: Tensor) -> Result<Tensor> {
    a.checked().add(&b)
}

/// Nodes reachable from the roots, each with the number of edges into it.
fn count_edges(roots: &[Arc<Node>], states: &mut ByNode<State>) -> Vec<Arc<Node>> {
    let mut order = Vec::new();
    let mut stack: Vec<Arc<Node>> = roots.to_vec();
    while let Some(n) = stack.pop() {
        let state = states.entry(key(&n)).or_default();
        if std::mem::replace(&mut state.seen, true) {
            continue;
        }
        for e in n.edges().iter().flatten() {
            let next = states.entry(key(&e.node)).or_default();
            next.waiting += 1;
            if !next.seen {
                stack.push(e.node.clone());
            }
        }
        order.push(n);
    }
    order
}

impl Run {
    fn new(roots: &[(Edge, Tensor)], inputs: Option<&[Edge]>, options: &GradOptions) -> Result<Run> {
        let mut run = Run {
            states: ByNode::default(),
            ready: BinaryHeap::new(),
            captures: HashMap::new(),
            create_graph: options.create_graph,
            keep: options.retain_graph.unwrap_or(options.create_graph),
        };
        let nodes: Vec<Arc<Node>> = roots.iter().map(|(e, _)| e.node.clone()).collect();
        let mut order = count_edges(&nodes, &mut run.states);
        match inputs {
            None => run.states.values_mut().for_each(|s| s.wanted = true),
            Some(inputs) => {
                for e in inputs {
                    run.captures.insert((key(&e.node), e.index), None);
                    if let Some(s) = run.states.get_mut(&key(&e.node)) {
                        s.wanted = true;
                    }
                }
                // a node is wanted if one that it delivers to is; those are older, leaves (the highest number) oldest of all
                order.sort_by_key(|n| if n.variable().is_some() { 0 } else { n.sequence + 1 });
                for n in &order {
                    let reaches = n.edges().iter().flatten().any(|e| run.states[&key(&e.node)].wanted);
                    if reaches && let Some(s) = run.states.get_mut(&key(n)) {
                        s.wanted = true;
                    }
                }
            }
        }
        for (edge, g) in roots {
            run.deliver(edge, g.clone())?;
        }
        let mut queued = HashSet::new();
        for n in nodes {
            if run.states[&key(&n)].waiting == 0 && queued.insert(key(&n)) {
                run.ready.push(Ready(n));
            }
        }
        Ok(run)
    }

    fn deliver(&mut self, edge: &Edge, g: Tensor) -> Result<()> {
        let meta = &edge.node.metas()[edge.index as usize];
        let g = conform(g, meta, &|| edge.node.name())?;
        let Some(state) = self.states.get_mut(&key(&edge.node)) else { return Ok(()) };
        let slots = edge.node.metas().len();
        state.grads.resize(slots, None);
        let slot = &mut state.grads[edge.index as usize];
        *slot = Some(match slot.take() {
            None => g,
            Some(old) => accumulate(old, g)?,
        });
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        while let Some(Ready(node)) = self.ready.pop() {
            let state = self.states.get_mut(&key(&node)).map(std::mem::take).unwrap_or_default();
            let grads = apply_hooks(&node, state.grads)?;
            for (i, g) in grads.iter().enumerate() {
                if let Some(slot) = self.captures.get_mut(&(key(&node), i as u32)) {
                    *slot = g.clone();
                }
            }
            let results = if !state.wanted || grads.iter().all(Option::is_none) {
                Grads::new()
            } else if let Some(leaf) = node.variable() {
                if self.captures.is_empty()
                    && let Some(Some(g)) = grads.into_iter().next()
                {
                    accumulate_into(&leaf, g, self.create_graph)?;
                }
                Grads::new()
            } else {
                let span = trace::span_with(Kind::Function, || (node.name().into(), Work::default()));
                let results = node.run(&grads)?;
                drop(span);
                super::anomaly::check(&node, &results)?;
                if !self.keep {
                    node.release();
                }
                results
            };
            let mut results = results.into_iter();
            for edge in node.edges() {
                let result = results.next().flatten();
                let Some(edge) = edge else { continue };
                if let Some(g) = result
                    && self.states.get(&key(&edge.node)).is_some_and(|s| s.wanted)
                {
                    self.deliver(edge, g)?;
                }
                if let Some(s) = self.states.get_mut(&key(&edge.node)) {
                    s.waiting -= 1;
                    if s.waiting == 0 {
                        self.ready.push(Ready(edge.node.clone()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Runs the hooks of the tensors that a node computed, and leaves the gradient where a tensor retains it.
fn apply_hooks(node: &Arc<Node>, grads: SmallVec<[Option<Tensor>; 1]>) -> Result<SmallVec<[Option<Tensor>; 1]>> {
    let mut grads = grads;
    for (i, slot) in grads.iter_mut().enumerate() {
        let Some(g) = slot else { continue };
        let of_leaf = node.variable().and_then(|leaf| leaf.peek_meta(|m| m.hooks.clone())).unwrap_or_default();
        for (_, hook) in node.hooks(i as u32).into_iter().chain(of_leaf) {
            if let Some(new) = hook(g) {
                ensure!(new.shape() == g.shape(), Runtime, "hook '{}' has changed the size of value", node.name());
                *g = new;
            }
        }
    }
    Ok(grads)
}

/// Adds to a leaf's gradient: in place, unless the sum is to be differentiated again.
fn accumulate_into(leaf: &Tensor, g: Tensor, create_graph: bool) -> Result<()> {
    match leaf.grad() {
        None => {
            // nobody else may see a later accumulation, so a gradient that is used elsewhere is copied
            let own = if create_graph {
                g
            } else {
                let shared = !g.is_contiguous() || g.holds_constant() || !g.owns_storage();
                if shared { to_dtype(&g.detach(), g.dtype()) } else { g.detach() }
            };
            leaf.set_grad(Some(own));
        }
        Some(old) if create_graph => leaf.set_grad(Some(old.checked().add(&g)?)),
        Some(old) => {
            old.checked().add_(&g)?;
        }
    }
    Ok(())
}

/// The gradient that the pass starts with at one output.
fn seed(output: &Tensor, given: Option<&Tensor>, position: usize) -> Result<Tensor> {
    match given {
        Some(g) => {
            ensure!(
                g.shape() == output.shape(),
                Runtime,
                "Mismatch in shape: grad_output[{position}] has a shape of {} and output[{position}] has a shape of {}.",
                g.shape(),
                output.shape()
            );
            Ok(g.clone())
        }
        None => {
            ensure!(output.numel() == 1, Runtime, "grad can be implicitly created only for scalar outputs");
            ensure!(
                !output.is_complex(),
                Runtime,
                "grad can be implicitly created only for real scalar outputs but got {}",
                output.dtype()
            );
            Ok(Tensor::constant(crate::Scalar::Int(1), &output.shape(), output.dtype(), output.device()))
        }
    }
}

fn run(
    outputs: &[&Tensor],
    gradients: &[Option<&Tensor>],
    inputs: Option<&[Edge]>,
    options: &GradOptions,
) -> Result<Run> {
    let mut roots = Vec::with_capacity(outputs.len());
    for (i, t) in outputs.iter().enumerate() {
        let Some(edge) = t.gradient_edge() else {
            bail!(Runtime, "element {i} of tensors does not require grad and does not have a grad_fn")
        };
        roots.push((edge, seed(t, gradients.get(i).copied().flatten(), i)?));
    }
    let was = set_grad_enabled(options.create_graph);
    let result = Run::new(&roots, inputs, options).and_then(|mut r| {
        r.run()?;
        Ok(r)
    });
    set_grad_enabled(was);
    result
}

/// Gradients of outputs, accumulated in the leaves (`torch.autograd.backward`). `gradients` are those of the outputs; None
/// (or a list that is too short) stands for 1 at an output with one element.
///
/// # Errors
/// PyTorch's: an output without history, a missing or misshaped gradient, a graph that was freed, a saved tensor that was
/// written to.
#[track_caller]
pub fn backward(outputs: &[&Tensor], gradients: &[Option<&Tensor>], options: impl Into<GradOptions>) -> Result<()> {
    let options = options.into();
    if options.inputs.is_empty() {
        return run(outputs, gradients, None, &options).map(|_| ());
    }
    let inputs: Vec<&Tensor> = options.inputs.iter().collect();
    let edges = edges_of(&inputs)?;
    let done = run(outputs, gradients, Some(&edges), &options)?;
    for (t, e) in inputs.into_iter().zip(&edges) {
        if let Some(Some(g)) = done.captures.get(&(key(&e.node), e.index)) {
            accumulate_into(t, g.clone(), options.create_graph)?;
        }
    }
    Ok(())
}

/// Where the gradients of inputs arrive.
fn edges_of(inputs: &[&Tensor]) -> Result<Vec<Edge>> {
    let edge = |t: &&Tensor| match t.gradient_edge() {
        Some(e) => Ok(e),
        None => bail!(Runtime, "One of the differentiated Tensors does not require grad"),
    };
    inputs.iter().map(edge).collect()
}

/// Gradients of outputs with respect to inputs, given back and not accumulated (`torch.autograd.grad`).
///
/// # Errors
/// As [`backward`], and where an input is not used and `allow_unused` is off.
#[track_caller]
pub fn grad(
    outputs: &[&Tensor],
    inputs: &[&Tensor],
    gradients: &[Option<&Tensor>],
    options: impl Into<GradOptions>,
) -> Result<Vec<Option<Tensor>>> {
    let options = options.into();
    let edges = edges_of(inputs)?;
    let mut done = run(outputs, gradients, Some(&edges), &options)?;
    edges
        .iter()
        .enumerate()
        .map(|(i, e)| {
            let g = done.captures.get_mut(&(key(&e.node), e.index)).and_then(|g| g.clone());
            if g.is_none() && options.materialize_grads {
                return Ok(Some(crate::ops::zeros_like(inputs[i], ())));
            }
            ensure!(
                g.is_some() || options.allow_unused,
                Runtime,
                "The differentiated Tensor at index {i} appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior."
            );
            Ok(g)
        })
        .collect()
}

methods! {
    /// Gradients of this one-element tensor, accumulated in the leaves it came from (`tensor.backward()`).
    ///
    /// # Panics
    /// If it has more elements or no history, or the graph was freed by an earlier pass.
    fn backward(&self) -> () {
        backward(&[self.0], &[], ())
    }

    /// [`Tensor::backward`] with the gradient of this tensor and options (`tensor.backward(gradient, retain_graph=…)`).
    fn backward_with(&self, gradient: Option<&Tensor>, options: impl Into<GradOptions>) -> () {
        backward(&[self.0], &[gradient], options)
    }
}
