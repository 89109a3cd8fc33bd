//! NOTE [Made again]: a value that one kernel stores for one later kernel of the same flush, and that the later one makes as cheaply from
//! what the first one read, is not stored: the first kernel leaves what little it takes instead. Log-probabilities are such a value where
//! the loss is recorded and differentiated before anything is read: exactly the same numbers come of the logits and of two numbers a
//! row. Where the logits are written meanwhile, the value is stored as ever.

use super::command::{Arg, Cmd, KernelCmd};
use super::fuse::{absorb, uses};
use super::storage::Storage;
use crate::dtype::DType;
use crate::layout::Layout;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Commands in the place of others, by position.
pub(super) type Instead = Vec<(usize, Cmd)>;

/// Finds such values in a flush's commands. A reader's second command, which it takes in, counts as dead from then on.
pub(super) fn find(cmds: &[Cmd], dead: &mut [bool]) -> Instead {
    let mut found = Vec::new();
    for i in 0..cmds.len() {
        let Cmd::Kernel(writer) = &cmds[i] else { continue };
        if dead[i] {
            continue;
        }
        let Some((kernel, shape)) = writer.kernel.lean(&writer.ins) else { continue };
        let Some((value, others)) = writer.outs.split_last() else { continue };
        let source = &writer.ins[0];
        if value.storage.visible() || value.storage.uses.load(Ordering::Relaxed) != 2 {
            continue;
        }
        let Some((at, then, reader)) = reader(cmds, dead, i, value) else { continue };
        let Some(over_source) = reader.kernel.over_source() else { continue };
        let written = |c: &Cmd| c.uses().any(|(s, write)| write && std::ptr::eq(s, &*source.storage));
        if (i + 1..then).any(|k| !dead[k] && written(&cmds[k])) {
            continue;
        }
        let layout = Layout::contiguous(shape);
        let storage = Storage::new(source.storage.device, DType::F32, layout.numel());
        let left = Arg { storage: storage.shared().clone(), dtype: DType::F32, layout };
        let lean = KernelCmd {
            kernel,
            ins: writer.ins.clone(),
            outs: others.iter().chain([&left]).cloned().collect(),
            location: writer.location,
        };
        let operands = reader.ins.len() - 1;
        let again = KernelCmd {
            kernel: over_source,
            ins: reader.ins[..operands].iter().chain([source, &left]).cloned().collect(),
            ..reader
        };
        for (place, new) in [(i, lean), (at, again)] {
            let new = Cmd::Kernel(new);
            uses(&cmds[place], -1);
            uses(&new, 1);
            found.push((place, new));
        }
        uses(&cmds[then], -1);
        dead[then] = true;
    }
    found
}

/// The two commands that are one kernel with `value` as its last input, and that kernel.
fn reader(cmds: &[Cmd], dead: &[bool], after: usize, value: &Arg) -> Option<(usize, usize, KernelCmd)> {
    let alive = |k: &usize| !dead[*k];
    let reads = |k: &usize| matches!(&cmds[*k], Cmd::Kernel(c) if c.ins.iter().any(|a| a.same(value)));
    let then = (after + 1..cmds.len()).filter(alive).find(reads)?;
    let at = (after + 1..then).rev().find(alive)?;
    let Cmd::Kernel(first) = &cmds[at] else { return None };
    let merged = absorb(first, &cmds[then])?;
    merged.ins.last().is_some_and(|a| Arc::ptr_eq(&a.storage, &value.storage)).then_some((at, then, merged))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::error::Result;
    use crate::gpu::GpuView;
    use crate::shape::Dims;
    use crate::stream::{CpuView, Epilogue, Kernel, Launch};

    /// Kernels that only have names: what they are to each other is all that is asked.
    #[derive(Debug)]
    struct Named(&'static str);

    impl Kernel for Named {
        fn name(&self) -> &'static str {
            self.0
        }
        fn cpu(&self, _: &[CpuView], _: &[CpuView]) -> Result<()> {
            unreachable!("never run")
        }
        fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
            unreachable!("never run")
        }
        fn checks_data(&self) -> bool {
            false
        }
        fn updates(&self) -> bool {
            self.0 == "update"
        }
        fn absorb(&self, _: &Epilogue) -> Option<Arc<dyn Kernel>> {
            (self.0 == "first").then(|| Arc::new(Named("merged")) as _)
        }
        fn epilogue(&self) -> Option<Epilogue> {
            (self.0 == "second").then_some(Epilogue::LogSoftmaxGrad { dim: 1 })
        }
        fn lean(&self, _: &[Arg]) -> Option<(Arc<dyn Kernel>, Dims)> {
            (self.0 == "writer").then(|| (Arc::new(Named("lean")) as _, Dims::from_slice(&[2, 4])))
        }
        fn over_source(&self) -> Option<Arc<dyn Kernel>> {
            (self.0 == "merged").then(|| Arc::new(Named("again")) as _)
        }
    }

    /// A writer of log-probabilities, what `between` makes of its operand, and the two halves of their reader.
    fn found(between: impl FnOnce(&Arg) -> Vec<Cmd>, seen: bool) -> (Vec<String>, Vec<bool>) {
        let mut handles = Vec::new();
        let mut new = || {
            let storage = Storage::new(Device::Cpu, DType::F32, 6);
            let arg =
                Arg { storage: storage.shared().clone(), dtype: DType::F32, layout: Layout::contiguous(&[2, 3][..]) };
            handles.push(storage);
            arg
        };
        let [logits, value, grad, middle, out] = [(); 5].map(|()| new());
        let kernel = |name, ins: &[&Arg], outs: &[&Arg]| {
            Cmd::Kernel(KernelCmd {
                kernel: Arc::new(Named(name)),
                ins: ins.iter().map(|&a| a.clone()).collect(),
                outs: outs.iter().map(|&a| a.clone()).collect(),
                location: std::panic::Location::caller(),
            })
        };
        let mut cmds = vec![kernel("writer", &[&logits], &[&value])];
        cmds.extend(between(&logits));
        cmds.push(kernel("first", &[&grad], &[&middle]));
        cmds.push(kernel("second", &[&middle, &value], &[&out]));
        cmds.iter().for_each(|c| uses(c, 1));
        if !seen {
            handles.clear();
        }
        let mut dead = vec![false; cmds.len()];
        let instead = find(&cmds, &mut dead);
        let name = |(i, cmd): &(usize, Cmd)| match cmd {
            Cmd::Kernel(k) => format!("{i} {}, {} in, {} out", k.kernel.name(), k.ins.len(), k.outs.len()),
            Cmd::Point(_) => unreachable!("kernels only"),
        };
        (instead.iter().map(name).collect(), dead)
    }

    #[test]
    fn a_value_is_made_again_where_nobody_sees_it_and_its_source_stays() {
        let (instead, dead) = found(|_| Vec::new(), false);
        assert_eq!(instead, ["0 lean, 1 in, 1 out", "1 again, 3 in, 1 out"]);
        assert_eq!(dead, [false, false, true]);
        // somebody may look at the value
        assert!(found(|_| Vec::new(), true).0.is_empty());
        // the source is written in between
        let write = |source: &Arg| {
            vec![Cmd::Kernel(KernelCmd {
                kernel: Arc::new(Named("update")),
                ins: std::iter::empty().collect(),
                outs: std::iter::once(source.clone()).collect(),
                location: std::panic::Location::caller(),
            })]
        };
        assert!(found(write, false).0.is_empty());
    }
}
