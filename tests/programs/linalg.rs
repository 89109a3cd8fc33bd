//! Group `linalg`: shapes and errors of products.

use crate::harness::Got;
use crate::programs;
use wgtorch::AddmmOptions;
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
}
