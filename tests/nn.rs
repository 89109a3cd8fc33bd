//! Modules, functional forms and optimizers, against PyTorch's texts and numbers (`conformance/programs.jsonl` names them).

mod common;

use common::devices;
use wgtorch::nn::{Hooks, StateDict, Training};
use wgtorch::optim::{AdamOptions, SGDOptions};
use wgtorch::prelude::*;

#[derive(Module)]
struct Net {
    conv1: Conv2d,
    drop: Dropout,
    layers: Vec<Linear>,
    #[module(buffer)]
    mean: Tensor,
    scale: Tensor,
    steps: usize,
}

fn net() -> Net {
    Net {
        conv1: Conv2d::options(1, 6, (5, 3)).padding((2, 1)).bias(false).build(),
        drop: Dropout::new(0.25),
        layers: vec![Linear::new(4, 4), Linear::new(4, 4), Linear::options(4, 2).bias(false).build()],
        mean: zeros([3], ()),
        scale: nn::parameter(ones([1], ())),
        steps: 3,
    }
}

fn names(m: &impl Module) -> Vec<String> {
    m.named_parameters().into_iter().map(|(n, _)| n).collect()
}

fn panic_text(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let e = std::panic::catch_unwind(f).expect_err("it should panic");
    e.downcast_ref::<String>().cloned().or_else(|| e.downcast_ref::<&str>().map(|s| s.to_string())).unwrap()
}

fn assert_close(t: &Tensor, want: &[f64]) {
    let got = t.to_vec::<f64>().unwrap();
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= 1e-5 + 1e-4 * w.abs(), "{got:?} for {want:?}");
    }
}

#[test]
fn modules_print_as_pytorch_prints_them() {
    let text = "Net(
  (conv1): Conv2d(1, 6, kernel_size=(5, 3), stride=(1, 1), padding=(2, 1), bias=False)
  (drop): Dropout(p=0.25, inplace=False)
  (layers): ModuleList(
    (0-1): 2 x Linear(in_features=4, out_features=4, bias=True)
    (2): Linear(in_features=4, out_features=2, bias=False)
  )
)";
    assert_eq!(net().to_string(), text);
    let seq = sequential![
        Conv2d::options(4, 8, 3).stride(2).dilation(2).groups(4).build(),
        ReLU::new(),
        MaxPool2d::new(2),
        AvgPool2d::new((2, 1)),
        Flatten::new(),
        Identity::new()
    ];
    let text = "Sequential(
  (0): Conv2d(4, 8, kernel_size=(3, 3), stride=(2, 2), dilation=(2, 2), groups=4)
  (1): ReLU()
  (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
  (3): AvgPool2d(kernel_size=(2, 1), stride=(2, 1), padding=0)
  (4): Flatten(start_dim=1, end_dim=-1)
  (5): Identity()
)";
    assert_eq!(seq.to_string(), text);
    assert_eq!(Sequential::new().to_string(), "Sequential()");
    assert_eq!(CrossEntropyLoss::new().to_string(), "CrossEntropyLoss()");
    assert_eq!(nn::parameter(ones([2], ())).to_string(), "Parameter containing:\ntensor([1., 1.], requires_grad=True)");
}

#[test]
fn small_modules_print_as_pytorch_prints_them() {
    // the texts are PyTorch's own
    let rows: [(&dyn std::fmt::Display, &str); 42] = [
        (&nn::ELU::new(), "ELU(alpha=1.0)"),
        (&nn::ELU::inplace(0.5), "ELU(alpha=0.5, inplace=True)"),
        (&nn::CELU::new(), "CELU(alpha=1.0)"),
        (&nn::CELU::inplace(2.0), "CELU(alpha=2.0, inplace=True)"),
        (&nn::SELU::new(), "SELU()"),
        (&nn::SELU::inplace(), "SELU(inplace=True)"),
        (&nn::LeakyReLU::new(), "LeakyReLU(negative_slope=0.01)"),
        (&nn::LeakyReLU::inplace(1e-5), "LeakyReLU(negative_slope=1e-05, inplace=True)"),
        (&nn::Softplus::new(), "Softplus(beta=1.0, threshold=20.0)"),
        (&nn::Hardtanh::new(), "Hardtanh(min_val=-1.0, max_val=1.0)"),
        (&nn::Hardtanh::inplace((-2.0, 2.0)), "Hardtanh(min_val=-2.0, max_val=2.0, inplace=True)"),
        (&nn::ReLU::inplace(), "ReLU(inplace=True)"),
        (&nn::ReLU6::new(), "ReLU6()"),
        (&nn::ReLU6::inplace(), "ReLU6(inplace=True)"),
        (&nn::SiLU::inplace(), "SiLU(inplace=True)"),
        (&nn::Mish::inplace(), "Mish(inplace=True)"),
        (&nn::Hardswish::inplace(), "Hardswish()"),
        (&nn::Hardsigmoid::inplace(), "Hardsigmoid()"),
        (&nn::Threshold::new(0.1, 20), "Threshold(threshold=0.1, value=20)"),
        (&nn::Threshold::inplace(0.1, 20.0), "Threshold(threshold=0.1, value=20.0, inplace=True)"),
        (&nn::PReLU::default(), "PReLU(num_parameters=1)"),
        (&nn::PReLU::new(3), "PReLU(num_parameters=3)"),
        (&nn::Softmax::new(1), "Softmax(dim=1)"),
        (&nn::LogSoftmax::new(-1), "LogSoftmax(dim=-1)"),
        (&nn::Softmin::new(0), "Softmin(dim=0)"),
        (&nn::Softmax2d::new(), "Softmax2d()"),
        (&nn::GELU::new(), "GELU(approximate='none')"),
        (&nn::GELU::with(wgtorch::Approximate::Tanh), "GELU(approximate='tanh')"),
        (&nn::GLU::new(-1), "GLU(dim=-1)"),
        (&nn::Hardshrink::new(), "Hardshrink(0.5)"),
        (&nn::Softshrink::with(1.0), "Softshrink(1.0)"),
        (&nn::Softsign::new(), "Softsign()"),
        (&nn::Tanhshrink::new(), "Tanhshrink()"),
        (&nn::LogSigmoid::new(), "LogSigmoid()"),
        (&nn::Tanh::new(), "Tanh()"),
        (&nn::Sigmoid::new(), "Sigmoid()"),
        (&nn::Unflatten::new(1, [2, 5]), "Unflatten(dim=1, unflattened_size=(2, 5))"),
        (&nn::AdaptiveAvgPool2d::new(5), "AdaptiveAvgPool2d(output_size=5)"),
        (&nn::AdaptiveAvgPool2d::new((5, 7)), "AdaptiveAvgPool2d(output_size=(5, 7))"),
        (&nn::AdaptiveMaxPool2d::new((None, Some(7))), "AdaptiveMaxPool2d(output_size=(None, 7))"),
        (&Dropout::new(1.0), "Dropout(p=1.0, inplace=False)"),
        (
            &Conv2d::options(4, 5, 3).padding("same").build(),
            "Conv2d(4, 5, kernel_size=(3, 3), stride=(1, 1), padding=same)",
        ),
    ];
    for (module, text) in rows {
        assert_eq!(module.to_string(), text);
    }
}

#[test]
fn class_weights_are_a_buffer() {
    let loss = CrossEntropyLoss::with(wgtorch::CrossEntropyOptions::new().weight(&tensor!([1., 2., 1.])));
    assert!(loss.parameters().is_empty());
    assert_eq!(loss.state_dict().keys().collect::<Vec<_>>(), ["weight"]);
    assert!(CrossEntropyLoss::new().state_dict().is_empty());
    // two classes of equal chance: 3 log 2 over 3
    let (x, target) = (tensor!([[0., 0., -1e9], [0., 0., -1e9]]), tensor!([0i64, 1]));
    assert_close(&loss.call(&x, &target), &[2f64.ln()]);
    // what is loaded and moved is what counts
    let state = StateDict::from_iter([("weight".to_string(), tensor!([0., 4., 0.]))]);
    loss.load_state_dict(&state, true).unwrap();
    let x = tensor!([[0., 0., -1e9], [0., 1., -1e9]]);
    assert_close(&loss.call(&x, &target), &[(1.0 + (-1f64).exp()).ln()]);
    let loss = loss.to(F64);
    assert_close(&loss.call(&x.to(F64), &target), &[(1.0 + (-1f64).exp()).ln()]);
}

#[test]
fn names_come_in_pytorchs_order_and_shared_parameters_once() {
    let n = net();
    assert_eq!(n.steps, 3);
    let want = [
        "scale",
        "conv1.weight",
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.weight",
        "layers.1.bias",
        "layers.2.weight",
    ];
    assert_eq!(names(&n), want);
    let keys: Vec<String> = n.state_dict().keys().map(str::to_string).collect();
    assert_eq!(keys, ["mean", "scale"].iter().chain(&want[1..]).map(|s| s.to_string()).collect::<Vec<_>>());
    // weight-sharing
    #[derive(Module)]
    struct Two {
        a: Linear,
        b: Linear,
    }
    let mut two = Two { a: Linear::new(2, 2), b: Linear::new(2, 2) };
    two.b.weight = two.a.weight.clone();
    assert_eq!(names(&two), ["a.weight", "a.bias", "b.bias"]);
    assert_eq!(two.state_dict().keys().collect::<Vec<_>>(), ["a.weight", "a.bias", "b.weight", "b.bias"]);
    assert_eq!(two.parameters().len(), 3);
}

#[test]
fn train_and_eval_reach_every_module() {
    #[derive(Module)]
    struct Custom {
        inner: Sequential,
        training: Training,
    }
    let m = Custom { inner: sequential![Dropout::new(0.5)], training: Training::default() };
    let x = ones([1000], ());
    assert!(m.training.is_on());
    let y = m.inner.call(&x).to_vec::<f32>().unwrap();
    assert!(y.iter().all(|&v| v == 0.0 || v == 2.0) && y.contains(&0.0) && y.contains(&2.0));
    m.eval();
    assert!(!m.training.is_on());
    assert_eq!(m.inner.call(&x).to_vec::<f32>().unwrap(), vec![1.0; 1000]);
    m.train();
    assert!(m.training.is_on());
    assert_eq!(F::dropout(&x, 1.0, true).to_vec::<f32>().unwrap(), vec![0.0; 1000]);
}

#[test]
fn hooks_run_around_forward_until_they_are_removed() {
    let m = Linear::new(2, 2);
    no_grad(|| {
        m.weight.copy_(&tensor!([[1., 2.], [3., 4.]]));
        m.bias.as_ref().unwrap().copy_(&tensor!([0.5, -0.5]));
    });
    let x = tensor!([[1., 1.]]);
    let before = m.register_forward_pre_hook(Box::new(|x| Some(x * 2.0)));
    let after = m.register_forward_hook(Box::new(|_, y| Some(y + 1.0)));
    assert_close(&m.call(&x), &[7.5, 14.5]);
    assert_close(&m.forward(&x), &[3.5, 6.5]);
    before.remove();
    after.remove();
    assert_close(&m.call(&x), &[3.5, 6.5]);
    // a module of one's own has hooks where it has a field for them
    #[derive(Module)]
    struct Own {
        hooks: Hooks,
    }
    impl Forward for Own {
        fn forward(&self, x: &Tensor) -> Tensor {
            x.clone()
        }
    }
    let own = Own { hooks: Hooks::default() };
    own.register_forward_hook(Box::new(|_, y| Some(y * 3.0)));
    assert_close(&own.call(&x), &[3., 3.]);
}

#[test]
fn state_loads_whole_or_not_at_all() {
    let (a, b) = (Linear::new(3, 2), Linear::new(3, 2));
    let done = b.load_state_dict(&a.state_dict(), true).unwrap();
    assert!(done.missing_keys.is_empty() && done.unexpected_keys.is_empty());
    assert_eq!(b.weight.to_vec::<f32>().unwrap(), a.weight.to_vec::<f32>().unwrap());
    // aliases: a write to the module is seen in its state
    let state = a.state_dict();
    no_grad(|| a.weight.fill_(7.0));
    assert_eq!(state["weight"].to_vec::<f32>().unwrap(), vec![7.0; 6]);
    let mut other = StateDict::new();
    other.insert("weight", ones([4, 3], ()));
    other.insert("extra", ones([1], ()));
    let old = b.weight.to_vec::<f32>().unwrap();
    let message = "Error(s) in loading state_dict for Linear:\n\tMissing key(s) in state_dict: \"bias\". \n\tUnexpected key(s) in state_dict: \"extra\". \n\tsize mismatch for weight: copying a param with shape torch.Size([4, 3]) from checkpoint, the shape in current model is torch.Size([2, 3]).";
    assert_eq!(b.load_state_dict(&other, true).unwrap_err().to_string(), message);
    other.insert("weight", ones([2, 3], ()));
    assert!(b.load_state_dict(&other, true).is_err());
    assert_eq!(b.weight.to_vec::<f32>().unwrap(), old);
    let keys = b.load_state_dict(&other, false).unwrap();
    assert_eq!((keys.missing_keys, keys.unexpected_keys), (vec!["bias".to_string()], vec!["extra".to_string()]));
    assert_eq!(b.weight.to_vec::<f32>().unwrap(), vec![1.0; 6]);
}

#[test]
fn to_swaps_storage_under_the_same_parameters() {
    for device in devices() {
        let m = Linear::new(3, 2);
        let handles = m.parameters();
        let mut optimizer = SGD::new(handles.clone(), 0.5);
        m.call(&ones([1, 3], ())).sum().backward();
        let m = m.to(device);
        assert!(m.parameters().iter().zip(&handles).all(|(a, b)| a.is_same(b) && a.is_leaf() && a.device() == device));
        assert_eq!(handles[0].grad().unwrap().device(), device);
        let before = m.bias.as_ref().unwrap().to_vec::<f32>().unwrap();
        optimizer.step();
        assert_close(m.bias.as_ref().unwrap(), &before.iter().map(|&b| f64::from(b) - 0.5).collect::<Vec<_>>());
        let m = m.to(F64);
        optimizer.zero_grad();
        m.call(&ones([1, 3], (F64, device))).sum().backward();
        assert_eq!((handles[0].dtype(), handles[0].grad().unwrap().dtype()), (F64, F64));
        assert_close(&handles[0].grad().unwrap(), &[1.0; 6]);
    }
    let text = panic_text(|| drop(Linear::new(1, 1).to(I64)));
    assert_eq!(text, "nn.Module.to only accepts floating point dtypes, but got desired dtype=torch.int64");
}

#[test]
fn graphs_carry_pytorchs_names() {
    let (m, c) = (Linear::new(4, 2), Conv2d::new(1, 2, 3));
    let y = m.call(&ones([3, 4], ()));
    let node = y.grad_fn().unwrap();
    assert_eq!(node.name(), "AddmmBackward0");
    let next: Vec<Option<String>> = node.next_functions().iter().map(|n| n.as_ref().map(|n| n.0.name())).collect();
    assert_eq!(next, [Some("AccumulateGrad".into()), None, Some("TBackward0".into())]);
    let name = |t: &Tensor| t.grad_fn().unwrap().name();
    assert_eq!(name(&m.call(&ones([2, 3, 4], ()))), "ViewBackward0");
    let image = c.call(&ones([1, 1, 6, 6], ()));
    assert_eq!(name(&image), "ConvolutionBackward0");
    assert_eq!(name(&F::max_pool2d(&image, 2)), "MaxPool2DWithIndicesBackward0");
    assert_eq!(name(&F::avg_pool2d(&image, 2)), "AvgPool2DBackward0");
    assert_eq!(name(&F::cross_entropy(&y, &tensor!([0, 1, 1]))), "NllLossBackward0");
    // one kernel, and still two nodes; input of three dims goes through a view
    let below = |t: &Tensor, deep: usize| {
        let mut node = t.grad_fn().unwrap();
        for _ in 0..deep {
            node = node.next_functions()[0].clone().unwrap().0;
        }
        node.name()
    };
    let loss = F::cross_entropy(&y, &tensor!([0, 1, 1]));
    assert_eq!([below(&loss, 1), below(&loss, 2)], ["LogSoftmaxBackward0", "AddmmBackward0"]);
    let loss = F::cross_entropy(&image, &zeros([1, 4, 4], I64));
    let names: Vec<String> = (0..3).map(|k| below(&loss, k)).collect();
    assert_eq!(names, ["NllLoss2DBackward0", "LogSoftmaxBackward0", "ConvolutionBackward0"]);
    let loss = F::cross_entropy(&image.view([1, 2, 16]), &zeros([1, 16], I64));
    let names: Vec<String> = (0..4).map(|k| below(&loss, k)).collect();
    assert_eq!(names, ["NllLoss2DBackward0", "ViewBackward0", "LogSoftmaxBackward0", "ViewBackward0"]);
    assert_eq!(name(&F::mse_loss(&y, &zeros([3, 2], ()))), "MseLossBackward0");
    let w = ones([2, 2], TensorOptions::new().requires_grad(true));
    let shown = |t: Tensor| t.to_string();
    assert_eq!(shown(w.t().matmul(&ones([2], ()))), "tensor([2., 2.], grad_fn=<MvBackward0>)");
    assert_eq!(name(&w.mm(&w)), "MmBackward0");
    assert_eq!(name(&ones([3, 2, 2], ()).matmul(&w)), "UnsafeViewBackward0");
}

#[test]
fn matmul_bias_and_relu_are_one_kernel() {
    if std::env::var("WGTORCH_EAGER").is_ok_and(|v| v == "1") {
        return;
    }
    for device in devices() {
        let (x, m, c) = (rand([64, 64], device), Linear::new(64, 64).to(device), Conv2d::new(1, 4, 3).to(device));
        let image = rand([2, 1, 32, 32], device);
        device.synchronize().unwrap();
        for f in [&|| m.call(&x).relu() as Tensor, &|| c.call(&image).relu()] as [&dyn Fn() -> Tensor; 2] {
            wgtorch::stream::flush();
            let before = wgtorch::stream::counters();
            let y = f();
            wgtorch::stream::flush();
            let after = wgtorch::stream::counters();
            assert_eq!((after.kernels - before.kernels, after.fused - before.fused), (1, 0), "{device}");
            assert!(y.to_vec::<f32>().unwrap().iter().all(|&v| v >= 0.0));
        }
    }
}

#[test]
fn second_derivatives_of_products_convolutions_and_pools() {
    // d/dx of |grad of f|^2 / 2 by finite differences in f64
    let w = (arange(18., F64) * 0.7).cos().view([2, 1, 3, 3]);
    let f = move |x: &Tensor| {
        let y = x.view([1, 1, 6, 6]).conv2d(&w, Conv2dOptions::new().padding(1));
        (F::max_pool2d(&y, 2).avg_pool2d(3) * &y.avg_pool2d(6)).sum() + (x.view([6, 6]).matmul(&x.view([6, 6]))).sum()
    };
    let x0 = (arange(36., F64) * 0.37).sin();
    let gradient = |x: &Tensor, create: bool| {
        let options = wgtorch::autograd::GradOptions::new().create_graph(create);
        wgtorch::autograd::grad(&[&f(x)], &[x], &[], options).unwrap()[0].clone().unwrap()
    };
    let leaf = |x: &Tensor| {
        let x = x.detach().copy();
        x.requires_grad_(true);
        x
    };
    let x = leaf(&x0);
    let g = gradient(&x, true);
    (&g * &g).sum().backward();
    let analytic = (x.grad().unwrap() * 0.5).to_vec::<f64>().unwrap();
    let energy = |x: &Tensor| {
        let g = gradient(&leaf(x), false);
        (&g * &g).sum().item::<f64>().unwrap() / 2.0
    };
    for i in [0, 7, 14, 21, 35] {
        let h = 1e-5;
        let shifted = |by: f64| {
            let x = x0.copy();
            x.i_put(i, by);
            energy(&x)
        };
        let numeric = (shifted(h) - shifted(-h)) / (2.0 * h);
        assert!((analytic[i] - numeric).abs() < 1e-5 * numeric.abs().max(1.0), "{i}: {} for {numeric}", analytic[i]);
    }
}

/// Adds to one element.
trait Put {
    fn i_put(&self, i: usize, by: f64);
}
impl Put for Tensor {
    fn i_put(&self, i: usize, by: f64) {
        self.select(0, i as isize).add_(by);
    }
}

use wgtorch::Conv2dOptions;
use wgtorch::TensorOptions;

/// Ten steps of the program `optim-sgd`, on `0.5 x A x - b x`.
fn quadratic(device: Device, make: impl FnOnce(Vec<Tensor>) -> SGD) -> (Vec<f64>, f64) {
    let a = tensor!([[3., 1., 0.], [1., 2., 0.5], [0., 0.5, 1.]], device);
    let b = tensor!([1., -2., 0.5], device);
    let x = tensor!([1., 1., -1.], device);
    x.requires_grad_(true);
    let mut optimizer = make(vec![x.clone()]);
    let mut last = 0.0;
    for _ in 0..10 {
        optimizer.zero_grad();
        let loss = (0.5 * &x).matmul(&a).matmul(&x) - b.matmul(&x);
        loss.backward();
        optimizer.step();
        last = loss.item::<f64>().unwrap();
    }
    (x.to_vec::<f64>().unwrap(), last)
}

#[test]
fn sgd_takes_pytorchs_steps() {
    for device in devices() {
        let close = |(x, _): (Vec<f64>, f64), want: [f64; 3]| {
            for (g, w) in x.iter().zip(want) {
                assert!((g - w).abs() < 1e-5 + 1e-4 * w.abs(), "{device}: {x:?} for {want:?}");
            }
        };
        close(quadratic(device, |p| SGD::new(p, 0.1)), [0.54887134, -0.93843645, 0.087035365]);
        close(quadratic(device, |p| SGD::new(p, 0.1).momentum(0.9)), [2.0586696, -2.381829, 2.888287]);
        close(quadratic(device, |p| SGD::new(p, 0.1).momentum(0.9).nesterov(true)), [1.2948307, -2.441566, 2.4709148]);
        close(quadratic(device, |p| SGD::new(p, 0.1).momentum(0.9).dampening(0.5)), [1.3997332, -2.2993069, 1.7409286]);
        close(quadratic(device, |p| SGD::new(p, 0.1).weight_decay(0.1)), [0.53154355, -0.9174689, 0.11137251]);
        close(
            quadratic(device, |p| SGD::new(p, 0.05).momentum(0.8).nesterov(true).weight_decay(0.05)),
            [0.8433212, -1.6394169, 0.9242275],
        );
        close(
            quadratic(device, |p| SGD::new(p, 0.01).momentum(0.5).maximize(true)),
            [1.7243838, 1.9639498, -1.1620148],
        );
    }
}

#[test]
fn parameter_groups_and_their_errors() {
    let param = |k: f64| nn::parameter(full([2], k, ()));
    let (p, q, r) = (param(1.), param(2.), param(3.));
    let mut o = SGD::new(vec![p.clone()], 0.1).momentum(0.9);
    o.add_param_group(vec![q.clone()], SGDOptions::new(0.5).momentum(0.9).weight_decay(0.1)).unwrap();
    let give = |t: &Tensor| t.set_grad(Some(ones([2], ())));
    give(&p);
    give(&q);
    o.step();
    assert_close(&p, &[0.9, 0.9]);
    assert_close(&q, &[1.4, 1.4]);
    assert_eq!((o.lr(0), o.lr(1), o.num_groups()), (0.1, 0.5, 2));
    o.add_param_group(vec![r.clone()], SGDOptions::new(1.0).momentum(0.9)).unwrap();
    o.step();
    assert_close(&r, &[3., 3.]);
    assert!(!o.state_dict().keys().any(|k| k.starts_with("state.2")));
    give(&r);
    q.set_grad(None);
    o.step();
    assert_close(&p, &[0.439, 0.439]);
    assert_close(&q, &[0.29, 0.29]);
    assert_close(&r, &[2., 2.]);
    o.set_lr(0, 0.0);
    o.step();
    assert_close(&p, &[0.439, 0.439]);
    assert_close(&r, &[0.1, 0.1]);
    let message = |r: Result<(), Error>| r.unwrap_err().to_string();
    assert_eq!(
        message(o.add_param_group(vec![p.clone()], SGDOptions::new(0.1))),
        "some parameters appear in more than one parameter group"
    );
    assert_eq!(message(SGD::try_new(vec![], SGDOptions::new(0.1)).map(drop)), "optimizer got an empty parameter list");
    assert_eq!(message(Adam::try_new(vec![param(1.)], AdamOptions::new(-1.)).map(drop)), "Invalid learning rate: -1.0");
    assert_eq!(
        message(SGD::try_new(vec![param(1.)], SGDOptions::new(0.1).nesterov(true)).map(drop)),
        "Nesterov momentum requires a momentum and zero dampening"
    );
    assert_eq!(
        message(SGD::try_new(vec![&p * 2.0], SGDOptions::new(0.1)).map(drop)),
        "can't optimize a non-leaf Tensor"
    );
    assert_eq!(
        message(Adam::try_new(vec![param(1.)], AdamOptions::new(0.1).betas((1.0, 0.9))).map(drop)),
        "Invalid beta parameter at index 0: 1.0"
    );
    let z = nn::parameter(zeros([1], ()));
    let s = SGD::new(vec![z.clone()], 0.1).weight_decay(0.1);
    z.set_grad(Some(zeros([1], ())));
    s.zero_grad();
    assert!(z.grad().is_none());
}

#[test]
fn adam_goes_on_from_its_state() {
    for device in devices() {
        let w = nn::parameter(tensor!([1., -1.], device));
        let mut a = Adam::new(vec![w.clone()], 0.1);
        for g in [[1., 2.], [0.5, -1.]] {
            w.set_grad(Some(tensor!(g, device)));
            a.step();
        }
        let w2 = nn::parameter(w.detach().copy());
        let mut a2 = Adam::new(vec![w2.clone()], 0.5);
        a2.load_state_dict(&a.state_dict()).unwrap();
        for (x, o) in [(&w, &mut a), (&w2, &mut a2)] {
            x.set_grad(Some(tensor!([3., 4.], device)));
            o.step();
        }
        assert_eq!(a2.lr(0), 0.1);
        // semantics.md, item 58: p0 = 1, lr 0.1, gradients 1, 2, 3
        let run = |options: AdamOptions| {
            let p = nn::parameter(tensor!([1.], (F64, device)));
            let mut o = Adam::try_new(vec![p.clone()], options).unwrap();
            [1., 2., 3.].map(|g| {
                p.set_grad(Some(tensor!([g], (F64, device))));
                o.step();
                p.item::<f64>().unwrap()
            })
        };
        let close = |got: [f64; 3], want: [f64; 3]| {
            assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-7), "{device}: {got:?} for {want:?}");
        };
        close(run(AdamOptions::new(0.1)), [0.9, 0.8034818, 0.70768168]);
        close(run(AdamOptions::new(0.1).eps(1.0)), [0.95, 0.89087201, 0.82538009]);
        close(run(AdamOptions::new(0.1).weight_decay(0.1)), [0.9, 0.80294733, 0.70660999]);
    }
}

#[test]
fn the_loader_visits_every_sample_and_ends_early_when_left() {
    let data = || TensorDataset::new(arange(20., ()).view([10, 2]), arange(10, ()));
    let all = |l: &DataLoader<TensorDataset>| -> Vec<i64> {
        l.iter().flat_map(|(_, y)| y.to_vec::<i64>().unwrap()).collect()
    };
    for prefetch in [false, true] {
        let loader = DataLoader::new(data(), 4).prefetch(prefetch);
        assert_eq!((loader.len(), all(&loader)), (3, (0..10).collect()));
        let dropped = DataLoader::new(data(), 4).drop_last(true).prefetch(prefetch);
        assert_eq!((dropped.len(), all(&dropped)), (2, (0..8).collect()));
        let shuffled = DataLoader::new(data(), 3).shuffle(true).prefetch(prefetch);
        let mut seen = all(&shuffled);
        seen.sort();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        // an epoch that is left early
        let (x, y) = shuffled.iter().next().unwrap();
        assert_eq!(x.select(1, 0).to_vec::<i64>().unwrap()[0], 2 * y.to_vec::<i64>().unwrap()[0]);
    }
}

/// Convolutions that read something else than zeros beyond the edges, as PyTorch's give them.
#[test]
fn padding_modes() {
    for d in common::devices() {
        for (mode, want) in [
            (nn::PaddingMode::Reflect, [5., 6., 9., 10.]),
            (nn::PaddingMode::Replicate, [4., 6., 9., 11.]),
            (nn::PaddingMode::Circular, [7., 6., 9., 8.]),
        ] {
            let conv = Conv2d::options(1, 1, (1, 3)).padding((0, 1)).padding_mode(mode).bias(false).build().to(d);
            no_grad(|| conv.weight.fill_(1.));
            let y = conv.call(&tensor!([[[1., 2., 3., 4.]]], d));
            assert_eq!(y.to_vec::<f32>().unwrap(), want, "{mode:?} on {d}");
        }
        // an odd number goes to the end
        let conv =
            Conv2d::options(1, 1, (1, 2)).padding(wgtorch::Padding::Same).padding_mode(nn::PaddingMode::Circular);
        let conv = conv.bias(false).build().to(d);
        no_grad(|| conv.weight.fill_(1.));
        assert_eq!(conv.call(&tensor!([[[1., 2., 3.]]], d)).to_vec::<f32>().unwrap(), [3., 5., 4.]);
        assert_eq!(
            conv.to_string(),
            "Conv2d(1, 1, kernel_size=(1, 2), stride=(1, 1), padding=same, bias=False, padding_mode=circular)"
        );
        let pad = nn::ConstantPad2d::new([1, 0, 0, 2], 3.5);
        assert_eq!(pad.to_string(), "ConstantPad2d(padding=(1, 0, 0, 2), value=3.5)");
        assert_eq!(pad.call(&ones([1, 1, 1], d)).to_vec::<f32>().unwrap(), [3.5, 1., 3.5, 3.5, 3.5, 3.5]);
        assert_eq!(nn::ReflectionPad1d::new(2).to_string(), "ReflectionPad1d((2, 2))");
    }
}
