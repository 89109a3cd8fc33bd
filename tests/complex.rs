//! Complex tensors: dtypes, printing, views of parts, autograd's conventions and errors, on the CPU and on a GPU.

mod common;

use common::devices;
use wgtorch::prelude::*;
use wgtorch::{Checked, Operand, Result, complex, polar, pow, where_cond};

fn c(re: f64, im: f64) -> Complex<f64> {
    Complex::new(re, im)
}

fn values(t: &Tensor) -> Vec<Complex<f64>> {
    t.to_vec().unwrap()
}

fn close(t: &Tensor, want: &[Complex<f64>]) {
    let got = values(t);
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).norm() <= 2e-6 * w.norm().max(1.0), "{got:?}, not {want:?}");
    }
}

#[test]
fn dtypes_meet_as_in_pytorch() {
    assert_eq!([C64.size(), C128.size()], [8, 16]);
    assert_eq!([C64.to_string(), C128.to_string()], ["torch.complex64", "torch.complex128"]);
    let table = [
        (F32, C64, C64),
        (F64, C64, C128),
        (F16, C64, C64),
        (BF16, C128, C128),
        (I64, C64, C64),
        (Bool, C128, C128),
        (C64, C128, C128),
    ];
    for (a, b, want) in table {
        assert_eq!((a.promote(b), b.promote(a)), (want, want), "{a} and {b}");
        assert_eq!((ones([2], a) + ones([2], b)).dtype(), want, "{a} and {b}");
    }
    // numbers and 0-dim tensors promote by category, and a float keeps its precision
    let i = c(0.0, 1.0);
    for (d, want) in [(Bool, C64), (U8, C64), (I64, C64), (F16, C64), (F32, C64), (F64, C128), (C64, C64), (C128, C128)]
    {
        assert_eq!((ones([2], d) * i).dtype(), want, "{d} * 1j");
    }
    assert_eq!((ones([2], C64) * 2.5).dtype(), C64);
    assert_eq!((ones([2], F32) + ones([0; 0], C128)).dtype(), C64);
    assert_eq!((ones([2], F64) + ones([0; 0], C64)).dtype(), C128);
    assert_eq!((ones([2], C64) + ones([0; 0], C128)).dtype(), C64);
    assert_eq!(tensor!([i, c(1.0, 0.0)]).dtype(), C64);
    let x = ones([2], C64);
    assert_eq!([x.abs().dtype(), x.angle().dtype(), x.isnan().dtype()], [F32, F32, Bool]);
    assert_eq!(x.eq(1).dtype(), Bool);
    assert!(x.is_complex() && !x.is_floating_point() && !x.is_conj());
}

#[test]
fn casts_take_the_real_part() {
    for device in devices() {
        let z = tensor!([c(1.7, 2.0), c(-1.7, 0.0), c(0.0, 3.0)], device);
        assert_eq!(z.to(F32).to_vec::<f32>().unwrap(), [1.7, -1.7, 0.0]);
        assert_eq!(z.to(I64).to_vec::<i64>().unwrap(), [1, -1, 0]);
        assert_eq!(z.to(Bool).to_vec::<bool>().unwrap(), [true, true, true]);
        assert_eq!(values(&z.to(C128))[1].im, 0.0);
        for d in [Bool, U8, I8, I16, I32, I64, U32, F16, BF16, F32, F64] {
            close(&ones([3], (d, device)).to(C64), &[c(1.0, 0.0); 3]);
            assert_eq!(ones([3], (C128, device)).to(d).to_vec::<f64>().unwrap(), [1.0; 3]);
        }
        let part = tensor!([c(1.0, 2.0), c(3.0, 4.0)], device).slice(0, None, None, 2);
        close(&part.to(C128), &[c(1.0, 2.0)]);
    }
    let z = tensor!(c(1.5, -2.0));
    assert_eq!(z.item::<Complex<f32>>().unwrap(), Complex::new(1.5, -2.0));
    assert_eq!(z.item_scalar().unwrap().to_string(), "(1.5-2j)");
    assert_eq!(Tensor::from_vec(vec![Complex::new(1f32, 2.0)], [1], ()).unwrap().dtype(), C64);
}

#[test]
fn they_print_as_in_pytorch() {
    let text = |t: &Tensor| t.to_string();
    assert_eq!(text(&tensor!([c(1.0, 2.0), c(-3.5, -0.25)])), "tensor([ 1.0000+2.0000j, -3.5000-0.2500j])");
    assert_eq!(text(&tensor!([c(1.0, 2.0), c(3.0, -4.0)])), "tensor([1.+2.j, 3.-4.j])");
    assert_eq!(text(&tensor!([c(0.0, 1.0)], C128)), "tensor([0.+1.j], dtype=torch.complex128)");
    assert_eq!(text(&tensor!(c(1.5, 0.0))), "tensor(1.5000+0.j)");
    assert_eq!(text(&tensor!([c(f64::NAN, f64::INFINITY)])), "tensor([nan+infj])");
    assert_eq!(text(&zeros([0], C64)), "tensor([], dtype=torch.complex64)");
    let z = tensor!([[c(1.0, 2.0)], [c(10.0, -20.0)]]);
    z.requires_grad_(true);
    assert_eq!(text(&z), "tensor([[ 1.+2.j],\n        [10.-20.j]], requires_grad=True)");
    assert_eq!(text(&(z * 2)), "tensor([[ 2.+4.j],\n        [20.-40.j]], grad_fn=<MulBackward0>)");
}

#[test]
fn creation() {
    for device in devices() {
        for d in [C64, C128] {
            close(&zeros([2], (d, device)), &[c(0.0, 0.0); 2]);
            close(&ones([2], (d, device)), &[c(1.0, 0.0); 2]);
            close(&full([2], c(1.0, 2.0), (d, device)), &[c(1.0, 2.0); 2]);
            close(&arange(3, (d, device)), &[c(0.0, 0.0), c(1.0, 0.0), c(2.0, 0.0)]);
            close(&wgtorch::eye(2, None, (d, device)), &[c(1.0, 0.0), c(0.0, 0.0), c(0.0, 0.0), c(1.0, 0.0)]);
            manual_seed(1);
            let r = randn([4000], (d, device));
            let (var, power) = (r.var().item::<f64>().unwrap(), r.abs().square().mean().item::<f64>().unwrap());
            assert!((var - 1.0).abs() < 0.1 && (power - 1.0).abs() < 0.1, "{var} {power}");
            assert!(rand([100], (d, device)).imag().max().item::<f64>().unwrap() > 0.5);
        }
        assert_eq!(full([1], c(1.0, 2.0), device).dtype(), C64);
        let (re, im) = (tensor!([[1.0], [2.0]], device), tensor!([3.0, 4.0], device));
        close(&complex(&re, &im), &[c(1.0, 3.0), c(1.0, 4.0), c(2.0, 3.0), c(2.0, 4.0)]);
        close(&polar(&tensor!([2.0], device), &tensor!([std::f64::consts::FRAC_PI_2], device)), &[c(0.0, 2.0)]);
    }
}

#[test]
fn parts_are_views() {
    for device in devices() {
        let z = tensor!([[c(1.0, 2.0), c(3.0, 4.0)], [c(5.0, 6.0), c(7.0, 8.0)]], device);
        let column = z.select(1, 1);
        assert_eq!(column.real().to_vec::<f64>().unwrap(), [3.0, 7.0]);
        assert_eq!(column.view_as_real().stride(), [4, 1]);
        column.imag().mul_(10);
        close(&z, &[c(1.0, 2.0), c(3.0, 40.0), c(5.0, 6.0), c(7.0, 80.0)]);
        assert_eq!(z.version(), 1);
        z.view_as_real().fill_(1);
        close(&z, &[c(1.0, 1.0); 4]);
        let pairs = arange(8, (F32, device)).view([2, 2, 2]);
        let w = pairs.view_as_complex();
        w.mul_(c(0.0, 1.0));
        assert_eq!(pairs.to_vec::<f64>().unwrap(), [-1.0, 0.0, -3.0, 2.0, -5.0, 4.0, -7.0, 6.0]);
        z.fill_(c(1.0, -1.0));
        z.t().select(0, 0).zero_();
        close(&z, &[c(0.0, 0.0), c(1.0, -1.0), c(0.0, 0.0), c(1.0, -1.0)]);
        z.copy_(&tensor!([3.0, 4.0], device));
        close(&z, &[c(3.0, 0.0), c(4.0, 0.0), c(3.0, 0.0), c(4.0, 0.0)]);
    }
}

#[test]
fn moving_ops() {
    for device in devices() {
        for d in [C64, C128] {
            let z = complex(&arange(6, (F64, device)), &(arange(6, (F64, device)) * 10)).to(d).view([2, 3]);
            let at = |v: &[usize]| v.iter().map(|&i| c(i as f64, 10.0 * i as f64)).collect::<Vec<_>>();
            let index = |v: &[i64]| Tensor::from_vec(v.to_vec(), [v.len()], device).unwrap();
            close(&z.t().contiguous(), &at(&[0, 3, 1, 4, 2, 5]));
            close(&z.index_select(1, &index(&[2, 0])), &at(&[2, 0, 5, 3]));
            close(&z.gather(1, &index(&[2, 0]).view([2, 1])), &at(&[2, 3]));
            close(&z.take(&index(&[4, 1])), &at(&[4, 1]));
            close(&z.flip([1]), &at(&[2, 1, 0, 5, 4, 3]));
            close(&z.roll(1, 1), &at(&[2, 0, 1, 5, 3, 4]));
            close(&z.i((.., index(&[1, 1]))), &at(&[1, 1, 4, 4]));
            close(&wgtorch::cat(&[&z, &z.slice(0, Some(1), None, 1)], 0), &at(&[0, 1, 2, 3, 4, 5, 3, 4, 5]));
            let mixed = wgtorch::cat(&[&z.select(0, 0), &tensor!([7.0], device)], 0);
            assert_eq!(mixed.dtype(), d);
            assert_eq!(values(&mixed)[3], c(7.0, 0.0));
            let mask = z.real().gt(2);
            close(&z.masked_select(&mask), &at(&[3, 4, 5]));
            close(&where_cond(&mask, &z, 0), &[at(&[0, 0, 0]), at(&[3, 4, 5])].concat());
            close(&where_cond(&mask, &z, z.flip([0])), &at(&[3, 4, 5, 3, 4, 5]));
            close(&z.masked_fill(&mask, c(0.0, 1.0)), &[at(&[0, 1, 2]), vec![c(0.0, 1.0); 3]].concat());
            let sum = z.index_add(1, &index(&[0, 0]), &z.slice(1, Some(1), None, 1), 1);
            close(&sum, &[at(&[3])[0], at(&[1])[0], at(&[2])[0], at(&[12])[0], at(&[4])[0], at(&[5])[0]]);
            let scattered = zeros([2, 3], (d, device)).scatter_add(1, &index(&[2, 2]).view([2, 1]), &z);
            close(&scattered, &[at(&[0, 0, 0]), at(&[0, 0, 3])].concat());
            close(&z.index_fill(1, &index(&[0, 0]), c(1.0, 1.0)).select(1, 0), &[c(1.0, 1.0); 2]);
            close(&z.scatter(1, &index(&[0, 1]).view([2, 1]), c(1.0, 1.0)).diagonal(0, 0, 1), &[c(1.0, 1.0); 2]);
            close(&z.nonzero().to(d).select(0, 0), &[c(0.0, 0.0), c(1.0, 0.0)]);
            let zero = z.i((0, 1));
            assert_eq!(zero.dim(), 0);
            close(&zero.gather(0, &index(&[0])), &at(&[1]));
            close(&(zero.sum() + zero.cumsum(0, ())), &at(&[2]));
        }
    }
}

#[test]
fn arithmetic() {
    for device in devices() {
        let (a, b) = (c(1.5, -2.0), c(-0.5, 0.75));
        for d in [C64, C128] {
            let t = |z: Complex<f64>| full([3], z, (d, device)).copy() + zeros([3], (d, device));
            let (x, y) = (t(a), t(b));
            close(&(&x + &y), &[a + b; 3]);
            close(&(&x - &y), &[a - b; 3]);
            close(&(&x * &y), &[a * b; 3]);
            close(&(&x / &y), &[a / b; 3]);
            close(&(1 / &x), &[1.0 / a; 3]);
            close(&(2.5 - &x), &[2.5 - a; 3]);
            close(&(&x + a), &[a + a; 3]);
            close(&(a * &x), &[a * a; 3]);
            close(&x.add_with(&y, a), &[a + a * b; 3]);
            close(&x.pow(&y), &[a.powc(b); 3]);
            close(&x.pow(2), &[a * a; 3]);
            close(&x.pow(0.5), &[a.sqrt(); 3]);
            close(&pow(2, &x), &[c(2.0, 0.0).powc(a); 3]);
            close(&full([3], 2.0, device).pow(a), &[c(2.0, 0.0).powc(a); 3]);
            close(&x.conj(), &[a.conj(); 3]);
            close(&x.abs().to(d), &[c(a.norm(), 0.0); 3]);
            close(&x.angle().to(d), &[c(a.arg(), 0.0); 3]);
            close(&x.sgn(), &[a / a.norm(); 3]);
            close(&x.sum(), &[3.0 * a]);
            close(&x.mean(), &[a]);
            close(&x.prod(), &[a * a * a]);
            close(&x.cumsum(0, ()), &[a, 2.0 * a, 3.0 * a]);
            close(&x.cumprod(0, ()), &[a, a * a, a * a * a]);
            close(&x.norm(2).to(d), &[c(3f64.sqrt() * a.norm(), 0.0)]);
            close(&x.addcmul(&x, &y), &[a + a * b; 3]);
            let m = wgtorch::stack(&[&x, &y], 0);
            close(&m.matmul(&m.t()), &[3.0 * a * a, 3.0 * a * b, 3.0 * a * b, 3.0 * b * b]);
            close(&m.mv(&x), &[3.0 * a * a, 3.0 * a * b]);
            close(&x.vdot(&y), &[3.0 * a.conj() * b]);
            close(&m.adjoint().matmul(&m).select(0, 0), &[c(a.norm_sqr() + b.norm_sqr(), 0.0); 3]);
            assert!(x.equal(&x).unwrap() && !x.equal(&y).unwrap() && x.allclose(&(&x + 1e-9)).unwrap());
            assert_eq!([x.any(), x.all()].map(|t| t.item::<bool>().unwrap()), [true, true]);
            assert_eq!(x.isreal().to_vec::<bool>().unwrap(), [false; 3]);
            x.mul_(&y).add_(1);
            close(&x, &[a * b + 1.0; 3]);
        }
    }
}

/// More elements than steps that run at once have.
#[test]
fn many_elements() {
    for device in devices() {
        for d in [C64, C128] {
            let n = 5000;
            let k = arange(n, (F64, device));
            let z = polar(&(&k / n), &(&k * 0.01)).to(d);
            let w = (&z * &z).exp() + z.conj().sqrt() / (&z + 2);
            let part = w.slice(0, Some(7), None, 1000);
            let want: Vec<_> = (0..5)
                .map(|i| {
                    let k = 7.0 + 1000.0 * i as f64;
                    let z = Complex::from_polar(k / n as f64, k * 0.01);
                    (z * z).exp() + z.conj().sqrt() / (z + 2.0)
                })
                .collect();
            close(&part, &want);
            let square = z.slice(0, None, Some(4900), 1).view([70, 70]);
            close(
                &(square.t() * &square).sum().view(1),
                &[(square.t().contiguous() * &square).view(-1).sum()].map(|t| values(&t)[0]),
            );
        }
    }
}

#[test]
fn gradients_follow_pytorchs_convention() {
    for device in devices() {
        let z = tensor!([c(1.0, 2.0), c(-0.5, 0.25)], device);
        z.requires_grad_(true);
        // of a real loss: the direction of steepest ascent
        z.abs().square().sum().backward();
        close(&z.grad().unwrap(), &[c(2.0, 4.0), c(-1.0, 0.5)]);
        z.set_grad(None);
        (&z * &z).real().sum().backward();
        close(&z.grad().unwrap(), &[c(2.0, -4.0), c(-1.0, -0.5)]);
        // of a real input it is real
        let x = tensor!([3.0, 4.0], device);
        x.requires_grad_(true);
        (&x * c(1.0, 2.0)).imag().sum().backward();
        assert_eq!(x.grad().unwrap().dtype(), F32);
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [2.0, 2.0]);
        // a write through a view of the parts is part of the history
        let leaf = tensor!([c(1.0, 2.0), c(3.0, 4.0)], device);
        leaf.requires_grad_(true);
        let w = &leaf * 1;
        w.real().mul_(3);
        assert_eq!(w.grad_fn().unwrap().name(), "CopySlices");
        w.view_as_real().sum().backward();
        close(&leaf.grad().unwrap(), &[c(3.0, 1.0); 2]);
        // and a view made before the base was written to has the base's history
        let w = &leaf * 1;
        let im = w.imag();
        w.mul_(c(0.0, 2.0));
        leaf.set_grad(None);
        im.sum().backward();
        close(&leaf.grad().unwrap(), &[c(2.0, 0.0); 2]);
    }
    let z = tensor!([c(1.0, 2.0)]);
    z.requires_grad_(true);
    let e = z.sum().checked().backward().unwrap_err().to_string();
    assert_eq!(e, "grad can be implicitly created only for real scalar outputs but got torch.complex64");
    assert_eq!(z.real().grad_fn().unwrap().name(), "SelectBackward0");
}

#[test]
fn what_is_not_defined_says_so() {
    type Call = fn(Checked<'_>) -> Result<Tensor>;
    let calls: &[(Call, &str)] = &[
        (|x| x.lt(1), "\"lt_cpu\" not implemented for 'ComplexFloat'"),
        (|x| x.floor(), "floor is not supported for complex inputs"),
        (
            |x| x.sign(),
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.",
        ),
        (|x| x.clamp(0, 1), "clamp is not supported for complex types"),
        (|x| x.maximum(&x), "maximum not implemented for complex tensors."),
        (|x| x.relu(), "\"relu_cpu\" not implemented for 'ComplexFloat'"),
        (|x| x.abs_(), "In-place abs is not supported for complex tensors."),
        (|x| x.real()?.checked().imag(), "imag is not implemented for tensors with non-complex dtypes."),
        (
            |x| x.real()?.checked().fill_(Complex::new(0.0, 1.0)),
            "value cannot be converted to type float without overflow",
        ),
        (|x| x.real()?.checked().add_(&*x), "result type ComplexFloat can't be cast to the desired output type Float"),
        (
            |x| x.view_as_complex(),
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: ComplexFloat",
        ),
        (|x| x.sort(()).map(|t| t.0), "Sort does not support complex dtypes"),
        (|x| x.max(), "\"max_cpu\" not implemented for 'ComplexFloat'"),
        (|x| x.remainder(2), "\"remainder_cpu\" not implemented for 'ComplexFloat'"),
        (|x| x.bitwise_not(), "\"bitwise_not_cpu\" not implemented for 'ComplexFloat'"),
    ];
    for device in devices() {
        let z = tensor!([c(1.0, 2.0)], device);
        for (i, (call, message)) in calls.iter().enumerate() {
            match call(z.checked()) {
                Err(e) => assert_eq!(&e.to_string(), message, "call {i}"),
                Ok(t) => panic!("call {i}: {t} where there is to be {message}"),
            }
        }
    }
    let e = complex_error(&tensor!([1.0]), &tensor!([1.0], F64));
    assert_eq!(e, "Expected object of scalar type Float but got scalar type Double for second argument");
}

fn complex_error(re: &Tensor, im: &Tensor) -> String {
    wgtorch::try_complex(re, im).unwrap_err().to_string()
}

#[test]
fn numbers_are_operands() {
    let z: Operand = c(1.0, 2.0).into();
    assert!(matches!(z, Operand::Scalar(Scalar::Complex(_))));
    assert_eq!(Scalar::from(Complex::new(0f32, -1.0)).to_string(), "-1j");
    assert_eq!(Scalar::from(c(-0.0, 1.0)).to_string(), "(-0+1j)");
    assert!(Scalar::from(c(0.0, 1.0)).to_bool());
}
