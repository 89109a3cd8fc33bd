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
