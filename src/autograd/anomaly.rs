//! Finding the op whose gradient is the first NaN.

use crate::error::{Result, ensure};
use crate::tensor::{Node, Tensor};
use std::cell::Cell;

thread_local! {
    static DETECT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with anomaly detection: a backward pass of this thread fails at the first node that gives a NaN, and names it
/// (`with torch.autograd.detect_anomaly():`). Each node is waited for, which is slow.
///
/// ```
/// # use wgtorch::{autograd::detect_anomaly, prelude::*};
/// let x = tensor!([-1.]).requires_grad_(true);
/// let e = detect_anomaly(|| x.sqrt().sum().checked().backward()).unwrap_err();
/// assert_eq!(e.to_string(), "Function 'SqrtBackward0' returned nan values in its 0th output.");
/// ```
pub fn detect_anomaly<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            DETECT.set(self.0);
        }
    }
    let _restore = Restore(DETECT.replace(true));
    f()
}

/// An error if anomalies are looked for and a node gave one.
pub(super) fn check(node: &Node, results: &[Option<Tensor>]) -> Result<()> {
    if !DETECT.get() {
        return Ok(());
    }
    for (i, g) in results.iter().enumerate() {
        let Some(g) = g else { continue };
        ensure!(
            !g.detach().checked().isnan()?.checked().any()?.item::<bool>()?,
            Runtime,
            "Function '{}' returned nan values in its {i}th output.",
            node.name()
        );
    }
    Ok(())
}
