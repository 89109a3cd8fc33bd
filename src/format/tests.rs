//! Every line that PyTorch printed in the conformance programs of the group `printing`, complex numbers aside.

use super::*;
use serde_json::Value;
use std::f64::consts::E;

const GOLDEN: &str = include_str!("../../tests/data/printing.jsonl");
const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

enum Data {
    F(Vec<f64>),
    I(Vec<i64>),
    B(Vec<bool>),
}
use Data::*;

impl Data {
    fn values(&self) -> Values<'_> {
        match self {
            F(v) => Values::Float(v),
            I(v) => Values::Int(v),
            B(v) => Values::Bool(v),
        }
    }

    fn default_dtype(&self) -> DType {
        match self {
            F(_) => DType::F32,
            I(_) => DType::I64,
            B(_) => DType::Bool,
        }
    }

    /// The elements at the needed indices only.
    fn compact(&self, options: &PrintOptions, shape: &[usize]) -> Data {
        let at = picks(&options.needed_indices(shape), shape);
        match self {
            F(v) => F(at.iter().map(|&i| v[i]).collect()),
            I(v) => I(at.iter().map(|&i| v[i]).collect()),
            B(v) => B(at.iter().map(|&i| v[i]).collect()),
        }
    }
}

/// Prints from all elements and from the needed ones alone; both must agree.
fn print(options: &PrintOptions, data: &Data, shape: &[usize], dtype: DType, suffixes: &[String]) -> String {
    let full = options.tensor(data.values(), shape, dtype, None, suffixes);
    let compact = options.tensor(data.compact(options, shape).values(), shape, dtype, None, suffixes);
    assert_eq!(full, compact);
    full
}

fn f32s(v: &[f64]) -> Data {
    F(v.iter().map(|&x| x as f32 as f64).collect())
}

fn range(n: usize) -> Data {
    F((0..n).map(|i| i as f64).collect())
}

fn ints(n: i64) -> Data {
    I((0..n).collect())
}

/// What a label's expression holds: elements, shape, dtype, and what autograd adds.
fn case(label: &str) -> Option<(Data, Vec<usize>, DType, Vec<String>)> {
    use DType::*;
    let mut suffixes: Vec<String> = Vec::new();
    let mut own = None;
    let mut autograd = |data, shape: &[usize], suffix: &str| {
        suffixes.push(suffix.to_string());
        (data, shape.to_vec())
    };
    let expression = label.strip_prefix("torch.").unwrap_or(label);
    let dtypes = [U8, I8, I16, I32, I64, F16, BF16, F64, Bool];
    let mut bare = expression.to_string();
    for d in dtypes {
        let named = format!(", dtype=torch.{}", d.name());
        if bare.contains(&named) && bare.ends_with(')') && !bare.contains("requires_grad") {
            bare = bare.replace(&named, "");
            own = Some(d);
        }
    }
    let v1 = |data: Data| {
        let n = data.values().len();
        (data, vec![n])
    };
    let (data, shape) = match &bare[..] {
        "tensor([1, 2, 3])" => v1(I(vec![1, 2, 3])),
        "tensor([1, -20, 300])" => v1(I(vec![1, -20, 300])),
        "tensor(5)" => (I(vec![5]), vec![]),
        "tensor(7)" => (I(vec![7]), vec![]),
        "tensor([[1, 2], [30, -4]])" => (I(vec![1, 2, 30, -4]), vec![2, 2]),
        "arange(12).reshape(2, 2, 3)" => (ints(12), vec![2, 2, 3]),
        "arange(8).reshape(1, 2, 2, 2)" => (ints(8), vec![1, 2, 2, 2]),
        "tensor([1, 2])" if own == Some(F64) => v1(F(vec![1., 2.])),
        "tensor([1, 2])" => v1(I(vec![1, 2])),
        "tensor([[1], [255]])" => (I(vec![1, 255]), vec![2, 1]),
        "tensor([1, -2])" => v1(I(vec![1, -2])),
        "tensor([True, False])" => v1(B(vec![true, false])),
        "tensor(True)" => (B(vec![true]), vec![]),
        "tensor([[True, False], [False, False]])" => (B(vec![true, false, false, false]), vec![2, 2]),
        "tensor([10**15, -1])" => v1(I(vec![1_000_000_000_000_000, -1])),
        "arange(30)" => v1(ints(30)),
        "tensor([1e-5, 1.0])" => v1(f32s(&[1e-5, 1.])),
        "tensor([1e10, 1.0])" => v1(f32s(&[1e10, 1.])),
        "tensor([1e-10])" => v1(f32s(&[1e-10])),
        "tensor([1.5, 1501.5])" => v1(f32s(&[1.5, 1501.5])),
        "tensor([1.5, 1499.5])" => v1(f32s(&[1.5, 1499.5])),
        "tensor([1e8, 1.0])" => v1(f32s(&[1e8, 1.])),
        "tensor([123456789.0])" => v1(f32s(&[123456789.])),
        "tensor([1e5, 0.5])" => v1(f32s(&[1e5, 0.5])),
        "tensor([0.0, 1e-5])" => v1(f32s(&[0., 1e-5])),
        "tensor(1e-7)" => (f32s(&[1e-7]), vec![]),
        "tensor([1e38, -1e-38])" => v1(f32s(&[1e38, -1e-38])),
        "tensor([12345.678, 0.1])" => v1(f32s(&[12345.678, 0.1])),
        "tensor([1e7, 2e7])" => v1(f32s(&[1e7, 2e7])),
        "tensor(1e20)" => (f32s(&[1e20]), vec![]),
        "tensor([0.0001, 0.0002])" => v1(f32s(&[0.0001, 0.0002])),
        "tensor([0.00009, 0.0002])" => v1(f32s(&[0.00009, 0.0002])),
        "tensor([1e-4, 0.11])" => v1(f32s(&[1e-4, 0.11])),
        "tensor([nan, 1.0])" => v1(f32s(&[NAN, 1.])),
        "tensor([inf, -inf, nan])" => v1(f32s(&[INF, -INF, NAN])),
        "tensor([inf, 1.5])" => v1(f32s(&[INF, 1.5])),
        "tensor(nan)" => (f32s(&[NAN]), vec![]),
        "tensor([nan, 1e10, 0.5])" => v1(f32s(&[NAN, 1e10, 0.5])),
        "tensor([[inf, 2.0], [3.0, -inf]])" => (f32s(&[INF, 2., 3., -INF]), vec![2, 2]),
        "tensor([])" if own == Some(I64) => v1(I(vec![])),
        "tensor([])" => v1(F(vec![])),
        "zeros(0, 3)" => (F(vec![]), vec![0, 3]),
        "zeros(2, 0)" => (F(vec![]), vec![2, 0]),
        "zeros(2, 0, 3)" => (B(vec![]), vec![2, 0, 3]),
        "zeros(7, 0, 200)" => (F(vec![]), vec![7, 0, 200]),
        "zeros(1, 1, 1)" => (F(vec![0.]), vec![1, 1, 1]),
        "tensor([1.0, 0.1])" if own == Some(F64) => v1(F(vec![1., 0.1])),
        "tensor([1.0, 0.1])" if own == Some(F16) => v1(F(vec![1., half::f16::from_f64(0.1).to_f64()])),
        "tensor([1.0, 0.1])" => v1(F(vec![1., half::bf16::from_f64(0.1).to_f64()])),
        "tensor(0.1)" => (F(vec![0.1]), vec![]),
        "tensor([65504.0])" => v1(F(vec![65504.])),
        "zeros(2, 2)" => (F(vec![0.; 4]), vec![2, 2]),
        "tensor([1e-9])" => v1(F(vec![1e-9])),
        "tensor(2.5)" => (F(vec![2.5]), vec![]),
        "arange(1001)" => v1(ints(1001)),
        "arange(1001.)" => v1(range(1001)),
        "zeros(40, 40)" => (F(vec![0.; 1600]), vec![40, 40]),
        "arange(2000.).reshape(2, 1000)" => (range(2000), vec![2, 1000]),
        "arange(1200).reshape(10, 12, 10)" => (ints(1200), vec![10, 12, 10]),
        "zeros(1001, 1)" => (F(vec![0.; 1001]), vec![1001, 1]),
        "arange(25.)" => v1(range(25)),
        "arange(40) * 1000" => v1(I((0..40).map(|i| i * 1000).collect())),
        "zeros(1001)" => v1(B(vec![false; 1001])),
        "linspace(-1, 1, 1002)" => v1(F((0..1002).map(|i| -1. + i as f64 * (2. / 1001.)).collect())),
        "arange(1000)[:60]" => v1(ints(60)),
        "zeros(2, 50)" => (F(vec![0.; 100]), vec![2, 50]),
        "ones(2, requires_grad=True)" => autograd(F(vec![1.; 2]), &[2], "requires_grad=True"),
        "ones(2, requires_grad=True) * 2" => autograd(F(vec![2.; 2]), &[2], "grad_fn=<MulBackward0>"),
        "tensor(1., requires_grad=True).exp()" => autograd(f32s(&[E]), &[], "grad_fn=<ExpBackward0>"),
        "ones(2, dtype=torch.float64, requires_grad=True)" => {
            own = Some(F64);
            autograd(F(vec![1.; 2]), &[2], "requires_grad=True")
        }
        "ones(2, dtype=torch.float64, requires_grad=True).sum()" => {
            own = Some(F64);
            autograd(F(vec![2.]), &[], "grad_fn=<SumBackward0>")
        }
        "nn.Parameter(torch.ones(2))" => autograd(F(vec![1.; 2]), &[2], "requires_grad=True"),
        "nn.Parameter(torch.ones(2), requires_grad=False)" => (F(vec![1.; 2]), vec![2]),
        "(torch.ones(2, requires_grad=True) * 2).detach()" => (F(vec![2.; 2]), vec![2]),
        "ones(2, 2, requires_grad=True)[0]" => autograd(F(vec![1.; 2]), &[2], "grad_fn=<SelectBackward0>"),
        "ones(2, 2, requires_grad=True).t() @ torch.ones(2)" => autograd(F(vec![2.; 2]), &[2], "grad_fn=<MvBackward0>"),
        "ones(0, requires_grad=True)" => autograd(F(vec![]), &[0], "requires_grad=True"),
        "ones(0, requires_grad=True) + 1" => autograd(F(vec![]), &[0], "grad_fn=<AddBackward0>"),
        "ones(30, requires_grad=True) + 0.123" => autograd(F(vec![1.123; 30]), &[30], "grad_fn=<AddBackward0>"),
        "ones(2, requires_grad=True).to(torch.float16)" => {
            own = Some(F16);
            autograd(F(vec![1.; 2]), &[2], "grad_fn=<ToCopyBackward0>")
        }
        l if l.starts_with("F.cross_entropy(") => autograd(f32s(&[2f64.ln()]), &[], "grad_fn=<NllLossBackward0>"),
        l if l.ends_with(".relu_()") => autograd(F(vec![1.]), &[1], "grad_fn=<ReluBackward0>"),
        _ => return None,
    };
    let dtype = own.unwrap_or(data.default_dtype());
    Some((data, shape, dtype, suffixes))
}

fn programs() -> impl Iterator<Item = (String, Vec<(String, Value)>)> {
    GOLDEN.lines().map(|line| {
        let program: Value = serde_json::from_str(line).unwrap();
        let entries = program["expected"].as_array().unwrap().iter();
        let entries = entries.map(|e| (e["label"].as_str().unwrap().to_string(), e["value"].clone())).collect();
        (program["id"].as_str().unwrap().to_string(), entries)
    })
}

#[test]
fn every_expression_prints_as_in_pytorch() {
    let (mut checked, mut complex) = (0, Vec::new());
    for (id, entries) in programs().filter(|(id, _)| id != "print-options") {
        for (label, expected) in entries {
            let expected = expected.as_str().unwrap();
            // nn.Parameter's first line is the module system's to print.
            let expected = expected.strip_prefix("Parameter containing:\n").unwrap_or(expected);
            match case(&label) {
                Some((data, shape, dtype, suffixes)) => {
                    let got = print(&PrintOptions::DEFAULT, &data, &shape, dtype, &suffixes);
                    assert_eq!(got, expected, "{id}: {label}");
                    checked += 1;
                }
                None => complex.push(label),
            }
        }
    }
    assert!(complex.iter().all(|l| l.contains("1j") || l.contains("2j")), "no case for {complex:?}");
    assert!(checked > 70 && complex.len() == 4, "{checked} checked, {complex:?} left out");
}

#[test]
fn options_change_what_they_change_in_pytorch() {
    let (_, entries) = programs().find(|(id, _)| id == "print-options").unwrap();
    let expected = |label: &str, i: Option<usize>| {
        let v = &entries.iter().find(|(l, _)| l == label).unwrap().1;
        i.map_or(v, |i| &v[i]).as_str().unwrap().to_string()
    };
    let d = PrintOptions::DEFAULT;
    let x = || (f32s(&[1.23456, 123.456, 0.001234]), vec![3usize]);
    let check = |options: PrintOptions, (data, shape): (Data, Vec<usize>), label: &str, i: Option<usize>| {
        let got = print(&options, &data, &shape, data.default_dtype(), &[]);
        assert_eq!(got, expected(label, i), "{label}");
    };
    check(PrintOptions { precision: 2, ..d }, x(), "precision", None);
    check(PrintOptions { sci_mode: Some(true), ..d }, x(), "sci", None);
    check(PrintOptions { sci_mode: Some(false), ..d }, (f32s(&[1e-7, 1e7]), vec![2]), "no sci", None);
    check(PrintOptions { linewidth: 40, ..d }, (range(20), vec![20]), "linewidth", None);
    let edges = PrintOptions { threshold: 5, edgeitems: 1, ..d };
    check(edges, (range(20), vec![20]), "threshold", Some(0));
    check(edges, (range(20), vec![4, 5]), "threshold", Some(1));
    check(PrintOptions::SHORT, x(), "short", Some(0));
    check(PrintOptions::SHORT, (ints(2000), vec![2000]), "short", Some(1));
    let full = print(&PrintOptions::FULL, &ints(1001), &[1001], DType::I64, &[]);
    assert!(full.ends_with(&expected("full", None)));
}

#[test]
fn devices_come_before_sizes_and_dtypes() {
    let suffixes = ["requires_grad=True".to_string()];
    let got = PrintOptions::DEFAULT.tensor(Values::Float(&[0.5]), &[1], DType::F64, Some("gpu:0"), &suffixes);
    assert_eq!(got, "tensor([0.5000], device='gpu:0', dtype=torch.float64, requires_grad=True)");
    let got = PrintOptions::DEFAULT.tensor(Values::Int(&[]), &[0, 3], DType::I64, Some("gpu:0"), &[]);
    assert_eq!(got, "tensor([], device='gpu:0', size=(0, 3), dtype=torch.int64)");
}

#[test]
fn ties_round_to_even_as_pythons_do() {
    // Exact binary ties: Python's format(0.03125, '.4f') is 0.0312, format(0.09375, '.4f') is 0.0938.
    let got = PrintOptions::DEFAULT.tensor(Values::Float(&[0.03125, 0.09375]), &[2], DType::F32, None, &[]);
    assert_eq!(got, "tensor([0.0312, 0.0938])");
}

#[test]
fn options_decide_which_elements_are_asked_for() {
    let options = PrintOptions { linewidth: 80, ..PrintOptions::SHORT };
    assert_eq!(options.needed_indices(&[1, 2000]), vec![vec![0], vec![0, 1, 1998, 1999]]);
    assert_eq!(options.tensor(Values::Float(&[0.125]), &[], DType::F32, None, &[]), "tensor(0.12)");
}
