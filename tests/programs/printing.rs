//! Group `printing`: what `print(tensor)` shows, character by character.

use crate::harness::Program;
use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{PrintOptions, linspace};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;
const EMPTY: [f64; 0] = [];

fn leaf(n: usize, d: Device) -> Tensor {
    ones(n, d).requires_grad_(true)
}

fn show(p: &mut Program, label: &str, t: Tensor) {
    let text = p.text(&t);
    p.emit(label, text);
}

programs! {
    print_ints "print-ints" |p, d| {
        show(p, "torch.tensor([1, 2, 3])", tensor!([1, 2, 3], d));
        show(p, "torch.tensor([1, -20, 300])", tensor!([1, -20, 300], d));
        show(p, "torch.tensor(5)", tensor!(5, d));
        show(p, "torch.tensor([[1, 2], [30, -4]])", tensor!([[1, 2], [30, -4]], d));
        show(p, "torch.arange(12).reshape(2, 2, 3)", arange(12, d).reshape([2, 2, 3]));
        show(p, "torch.arange(8).reshape(1, 2, 2, 2)", arange(8, d).reshape([1, 2, 2, 2]));
        show(p, "torch.tensor([1, 2], dtype=torch.int32)", tensor!([1, 2], (I32, d)));
        show(p, "torch.tensor([[1], [255]], dtype=torch.uint8)", tensor!([[1], [255]], (U8, d)));
        show(p, "torch.tensor([1, -2], dtype=torch.int8)", tensor!([1, -2], (I8, d)));
        show(p, "torch.tensor(7, dtype=torch.int16)", tensor!(7, (I16, d)));
        show(p, "torch.tensor([True, False])", tensor!([true, false], d));
        show(p, "torch.tensor(True)", tensor!(true, d));
        show(p, "torch.tensor([[True, False], [False, False]])", tensor!([[true, false], [false, false]], d));
        show(p, "torch.tensor([10**15, -1])", tensor!([1_000_000_000_000_000i64, -1], d));
        show(p, "torch.arange(30)", arange(30, d));
    }
    print_scientific "print-scientific" |p, d| {
        show(p, "torch.tensor([1e-5, 1.0])", tensor!([1e-5, 1.0], d));
        show(p, "torch.tensor([1e10, 1.0])", tensor!([1e10, 1.0], d));
        show(p, "torch.tensor([1e-10])", tensor!([1e-10], d));
        show(p, "torch.tensor([1.5, 1501.5])", tensor!([1.5, 1501.5], d));
        show(p, "torch.tensor([1.5, 1499.5])", tensor!([1.5, 1499.5], d));
        show(p, "torch.tensor([1e8, 1.0])", tensor!([1e8, 1.0], d));
        show(p, "torch.tensor([123456789.0])", tensor!([123456789.0], d));
        show(p, "torch.tensor([1e5, 0.5])", tensor!([1e5, 0.5], d));
        show(p, "torch.tensor([0.0, 1e-5])", tensor!([0.0, 1e-5], d));
        show(p, "torch.tensor(1e-7)", tensor!(1e-7, d));
        show(p, "torch.tensor([1e38, -1e-38])", tensor!([1e38, -1e-38], d));
        show(p, "torch.tensor([12345.678, 0.1])", tensor!([12345.678, 0.1], d));
        show(p, "torch.tensor([1e7, 2e7])", tensor!([1e7, 2e7], d));
        show(p, "torch.tensor(1e20)", tensor!(1e20, d));
        show(p, "torch.tensor([0.0001, 0.0002])", tensor!([0.0001, 0.0002], d));
        show(p, "torch.tensor([0.00009, 0.0002])", tensor!([0.00009, 0.0002], d));
        show(p, "torch.tensor([1e-4, 0.11])", tensor!([1e-4, 0.11], d));
    }
    print_special "print-special" |p, d| {
        show(p, "torch.tensor([nan, 1.0])", tensor!([NAN, 1.0], d));
        show(p, "torch.tensor([inf, -inf, nan])", tensor!([INF, -INF, NAN], d));
        show(p, "torch.tensor([inf, 1.5])", tensor!([INF, 1.5], d));
        show(p, "torch.tensor(nan)", tensor!(NAN, d));
        show(p, "torch.tensor([nan, 1e10, 0.5])", tensor!([NAN, 1e10, 0.5], d));
        show(p, "torch.tensor([[inf, 2.0], [3.0, -inf]])", tensor!([[INF, 2.0], [3.0, -INF]], d));
        show(p, "torch.tensor([])", tensor!(EMPTY, d));
        show(p, "torch.zeros(0, 3)", zeros([0, 3], d));
        show(p, "torch.zeros(2, 0)", zeros([2, 0], d));
        show(p, "torch.tensor([], dtype=torch.int64)", tensor!(EMPTY, (I64, d)));
        show(p, "torch.zeros(2, 0, 3, dtype=torch.bool)", zeros([2, 0, 3], (Bool, d)));
        show(p, "torch.zeros(1, 1, 1)", zeros([1, 1, 1], d));
        show(p, "torch.tensor([1+2j, -0.5j])", tensor!([Complex::new(1., 2.), Complex::new(-0., -0.5)], d));
        show(p, "torch.tensor(1j)", tensor!(Complex::new(0., 1.), d));
        show(p, "torch.tensor([1e10+1j, 0.1+0j])", tensor!([Complex::new(1e10, 1.), Complex::new(0.1, 0.)], d));
    }
    print_dtypes "print-dtypes" |p, d| {
        show(p, "torch.tensor([1.0, 0.1], dtype=torch.float64)", tensor!([1.0, 0.1], (F64, d)));
        show(p, "torch.tensor([1.0, 0.1], dtype=torch.float16)", tensor!([1.0, 0.1], (F16, d)));
        show(p, "torch.tensor([1.0, 0.1], dtype=torch.bfloat16)", tensor!([1.0, 0.1], (BF16, d)));
        show(p, "torch.tensor(0.1, dtype=torch.float64)", tensor!(0.1, (F64, d)));
        show(p, "torch.tensor([65504.0], dtype=torch.float16)", tensor!([65504.0], (F16, d)));
        show(p, "torch.tensor([1+1j], dtype=torch.complex128)", tensor!([Complex::new(1., 1.)], (C128, d)));
        show(p, "torch.zeros(2, 2, dtype=torch.float64)", zeros([2, 2], (F64, d)));
        show(p, "torch.tensor([1, 2], dtype=torch.float64)", tensor!([1, 2], (F64, d)));
        show(p, "torch.tensor([1e-9], dtype=torch.float64)", tensor!([1e-9], (F64, d)));
        show(p, "torch.tensor(2.5, dtype=torch.float16)", tensor!(2.5, (F16, d)));
    }
    print_large "print-large" |p, d| {
        show(p, "torch.arange(1001)", arange(1001, d));
        show(p, "torch.arange(1001.)", arange(1001., d));
        show(p, "torch.zeros(40, 40)", zeros([40, 40], d));
        show(p, "torch.arange(2000.).reshape(2, 1000)", arange(2000., d).reshape([2, 1000]));
        show(p, "torch.arange(1200).reshape(10, 12, 10)", arange(1200, d).reshape([10, 12, 10]));
        show(p, "torch.zeros(1001, 1)", zeros([1001, 1], d));
        show(p, "torch.arange(25.)", arange(25., d));
        show(p, "torch.arange(40) * 1000", arange(40, d) * 1000);
        show(p, "torch.zeros(1001, dtype=torch.bool)", zeros([1001], (Bool, d)));
        show(p, "torch.linspace(-1, 1, 1002)", linspace(-1, 1, 1002, d));
        show(p, "torch.arange(1000)[:60]", arange(1000, d).i(..60));
        show(p, "torch.zeros(2, 50)", zeros([2, 50], d));
        show(p, "torch.zeros(7, 0, 200)", zeros([7, 0, 200], d));
    }
    print_autograd "print-autograd" |p, d| {
        show(p, "torch.ones(2, requires_grad=True)", leaf(2, d));
        show(p, "torch.ones(2, requires_grad=True) * 2", leaf(2, d) * 2);
        show(p, "torch.tensor(1., requires_grad=True).exp()", tensor!(1., d).requires_grad_(true).exp());
        show(p, "torch.ones(2, dtype=torch.float64, requires_grad=True)", ones(2, (F64, d)).requires_grad_(true));
        show(p, "torch.ones(2, dtype=torch.float64, requires_grad=True).sum()", ones(2, (F64, d)).requires_grad_(true).sum());
        show(p, "nn.Parameter(torch.ones(2))", nn::parameter(ones(2, d)));
        show(p, "(torch.ones(2, requires_grad=True) * 2).detach()", (leaf(2, d) * 2).detach());
        show(p, "torch.ones(2, 2, requires_grad=True)[0]", ones([2, 2], d).requires_grad_(true).i(0));
        show(p, "torch.ones(2, 2, requires_grad=True).t() @ torch.ones(2)", ones([2, 2], d).requires_grad_(true).t().matmul(&ones(2, d)));
        show(p, "torch.ones(0, requires_grad=True)", leaf(0, d));
        show(p, "torch.ones(0, requires_grad=True) + 1", leaf(0, d) + 1);
        show(p, "torch.ones(30, requires_grad=True) + 0.123", leaf(30, d) + 0.123);
        show(p, "nn.Parameter(torch.ones(2), requires_grad=False)", nn::parameter(ones(2, d)).requires_grad_(false));
        show(p, "torch.ones(2, requires_grad=True).to(torch.float16)", leaf(2, d).to(F16));
        show(p, "F.cross_entropy(torch.zeros(1, 2, requires_grad=True), torch.tensor([1]))", F::cross_entropy(&zeros([1, 2], d).requires_grad_(true), &tensor!([1], d)));
        show(p, "torch.ones(1, requires_grad=True).view(1, 1).relu_() if False else (torch.ones(1, requires_grad=True) * 1).relu_()", (leaf(1, d) * 1).relu_());
    }
    print_options "print-options" |p, d| {
        let x = tensor!([1.23456, 123.456, 0.001234], d);
        let a = arange(20., d);
        let default = PrintOptions::DEFAULT;
        let text = p.text_with(PrintOptions { precision: 2, ..default }, &x);
        p.emit("precision", text);
        let text = p.text_with(PrintOptions { sci_mode: Some(true), ..default }, &x);
        p.emit("sci", text);
        let text = p.text_with(PrintOptions { sci_mode: Some(false), ..default }, &tensor!([1e-7, 1e7], d));
        p.emit("no sci", text);
        let text = p.text_with(PrintOptions { linewidth: 40, ..default }, &a);
        p.emit("linewidth", text);
        let few = PrintOptions { threshold: 5, edgeitems: 1, ..default };
        let texts = list![p.text_with(few, &a), p.text_with(few, &a.reshape([4, 5]))];
        p.emit("threshold", texts);
        let text = p.text_with(PrintOptions::FULL, &arange(1001, d));
        p.emit("full", &text[text.len() - 60..]);
        let texts = list![p.text_with(PrintOptions::SHORT, &x), p.text_with(PrintOptions::SHORT, &arange(2000, d))];
        p.emit("short", texts);
    }
}
