//! Group `linalg`: shapes and errors of products.

use crate::harness::Got;
use crate::programs;
use wgtorch::AddmmOptions;
use wgtorch::einsum;
use wgtorch::prelude::*;

programs! {
    matmul_shapes "matmul-shapes" |p, d| {
        let shapes: [&[usize]; 12] = [
            &[], &[3], &[4], &[3, 4], &[4, 3], &[2, 3, 4], &[2, 4, 3], &[1, 4, 3], &[5, 1, 3, 4], &[5, 2, 4, 3], &[0, 3], &[3, 0],
        ];
        let product = |a: &[usize], b: &[usize]| -> Got {
            ones(a, d).checked().matmul(&ones(b, d)).map_or("error".into(), |t| t.shape().into())
        };
        let table: Vec<Vec<Got>> = shapes.iter().map(|a| shapes.iter().map(|b| product(a, b)).collect()).collect();
        p.emit("shapes", table);
        p.emit("int", arange(6, d).reshape([2, 3]).matmul(&arange(6, d).reshape([3, 2])));
        let m = |dtype: DType| ones([2, 2], (dtype, d));
        p.raises("bool", || m(Bool).matmul(&m(Bool)));
        p.raises("mixed", || m(F32).matmul(&m(F64)));
        p.raises("mm 3d", || ones([1, 2, 2], d).mm(&m(F32)));
        p.raises("bmm broadcast", || ones([1, 2, 2], d).bmm(&ones([2, 2, 2], d)));
        p.raises("dot dtype", || ones(2, d).dot(&ones(2, (F64, d))));
        let nan = full([2, 2], f64::NAN, d);
        p.emit("addmm beta 0", nan.addmm(&m(F32), &m(F32), AddmmOptions::new().beta(0)));
        p.emit("addmm", tensor!([1., 2.], d).addmm(&m(F32), &m(F32), AddmmOptions::new().beta(2).alpha(3)));
        let b = ones([2, 2, 2], d);
        p.emit("baddbmm", tensor!(1., d).baddbmm(&b, &b, AddmmOptions::new().alpha(0.5)));
    }
    einsum_forms "einsum-forms" |p, d| {
        let (a, b) = (&arange(6., d).reshape([2, 3]), &arange(12., d).reshape([3, 4]));
        let (v, t) = (&tensor!([1., 2., 3.], d), &arange(24., d).reshape([2, 3, 4]));
        let (nine, column) = (&arange(9., d).reshape([3, 3]), &v.unsqueeze(1));
        let forms: Vec<(&str, Vec<&Tensor>)> = vec![
            ("ij,jk", vec![a, b]), ("ij->", vec![a]), ("ij->j", vec![a]), ("ba", vec![a]), ("i,j", vec![v, v]),
            ("i,i", vec![v, v]), ("ij,j->i", vec![a, v]), ("ijk,jl->ilk", vec![t, column]), ("...j,j->...", vec![a, v]),
            ("i...->...", vec![t]), ("...ij,...kj->...ik", vec![t, t]),
        ];
        for (equation, operands) in forms {
            p.try_emit(equation, || einsum(equation, &operands[..]));
        }
        p.try_emit("ij,jk,kl->il", || einsum("ij,jk,kl->il", &[a, b, &ones([4, 2], d)]));
        p.try_emit("aB,Bc", || einsum("aB,Bc", &[a, b]));
        p.try_emit("ii->i", || einsum("ii->i", &[nine]));
        p.try_emit("ii", || einsum("ii", &[nine]));
        p.try_emit(" i j -> j i ", || einsum(" i j -> j i ", &[a]));
        p.try_emit("ij,ij->ij", || einsum("ij,ij->ij", &[a, a]));
        p.try_emit("ij,ik->ijk", || einsum("ij,ik->ijk", &[a, a]));
        p.try_emit("ijk->kji", || einsum("ijk->kji", &[t]));
        p.try_emit("i,->i", || einsum("i,->i", &[v, &tensor!(2., d)]));
        p.try_emit("ij,jk->ik", || einsum("ij,jk->ik", &[&a.i((.., ..1)), b]));
        let wrong: Vec<(&str, Vec<&Tensor>)> = vec![
            ("ij,jk->iz", vec![a, b]), ("ij", vec![v]), ("ij,kl->ij", vec![a]), ("i1", vec![a]), ("i->ii", vec![v]),
            ("ij,jk", vec![a, a]), ("ii", vec![a]), ("...", vec![a, b]), ("i..j", vec![a]),
        ];
        for (equation, operands) in wrong {
            p.raises(&format!("error {equation}"), || einsum(equation, &operands[..]));
        }
    }
}
