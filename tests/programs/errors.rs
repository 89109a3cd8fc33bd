//! Group `errors`: what common mistakes are told.

use crate::programs;
use wgtorch::prelude::*;
use wgtorch::{S, cat, stack};

programs! {
    out_and_errors_messages "out-and-errors-messages" |p, d| {
        let z = |shape: &[usize]| zeros(shape, d);
        p.raises("add", || z(&[2, 3]) + z(&[2, 4]));
        p.raises_saying("matmul", "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)", || z(&[2, 3]).matmul(&z(&[2, 3])));
        p.raises("view", || z(&[6]).view(4));
        p.raises("cat", || cat(&[z(&[2, 3]), z(&[2, 4])], 0));
        p.raises("index", || z(&[3]).i(3));
        p.raises("dim", || z(&[3]).sum_dim(1, ()));
        let leaf = ones(2, d).requires_grad_(true);
        p.raises("backward", || leaf.mul(2).backward());
        p.raises("leaf", || leaf.add_(1));
        p.raises("dtype", || z(&[2]).dot(&z(&[2]).to(I64)));
        p.raises("conv", || F::conv2d(&z(&[1, 2, 4, 4]), &z(&[1, 3, 3, 3]), ()));
        let linear = nn::Linear::new(3, 2).to(d);
        p.raises_saying("linear", "mat1 and mat2 shapes cannot be multiplied (2x2 and 3x2)", || linear.call(&z(&[2, 2])));
        p.raises("item", || z(&[2]).item::<f32>().unwrap_or_else(|e| panic!("{e}")));
        p.raises("zero", || tensor!([1], d).floor_divide(0));
        p.raises("squeeze", || z(&[2]).squeeze_dim(3));
        p.raises("expand", || z(&[2]).expand(3));
        p.raises("permute", || z(&[2, 3]).permute(0));
        p.raises("reshape", || z(&[5]).reshape([2, -1]));
        p.raises("no_grad_backward", || z(&[1]).backward());
        p.raises("embedding", || F::embedding(&tensor!([9], d), &z(&[3, 2]), ()));
        p.raises("cross", || F::cross_entropy(&z(&[2, 3]), &tensor!([0, 7], d)));
        p.raises("stack", || stack(&[z(&[2]), z(&[3])], 0));
        p.raises("gather", || z(&[2, 2]).gather(0, &tensor!([0], d)));
        p.later("negdim", "sizes of new tensors are unsigned");
        p.raises("requires", || z(&[2]).to(I64).requires_grad_(true));
        p.raises("chunk0", || z(&[2]).chunk(0, 0));
        p.raises("unsq", || z(&[2]).unsqueeze(3));
        p.raises("numpy_step", || z(&[4]).i(S(.., -1)));
        p.raises_saying("bool_many", "a Tensor with 2 elements cannot be converted to Scalar",
            || z(&[2]).item::<bool>().unwrap_or_else(|e| panic!("{e}")));
        p.later("inv", "linalg.inv is still to come");
        p.later("chol", "linalg.cholesky is still to come");
    }
}
