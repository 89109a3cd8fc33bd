//! The tape and the engine, in PyTorch's names and words, on the CPU and on a GPU adapter.

mod common;

use common::devices;
use wgtorch::autograd::{self, GradOptions};
use wgtorch::prelude::*;

fn leaf(v: &[f32], device: Device) -> Tensor {
    tensor!(v, TensorOptions::new().device(device).requires_grad(true))
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_vec::<f32>().unwrap()
}

fn grad_of(t: &Tensor) -> Vec<f32> {
    values(&t.grad().unwrap())
}

fn message<T>(r: Result<T, Error>) -> String {
    match r {
        Ok(_) => panic!("no error"),
        Err(e) => e.to_string(),
    }
}

fn back(t: &Tensor) -> Result<(), Error> {
    let seed = ones_like(t, ());
    t.checked().backward_with(Some(&seed), ())
}

#[test]
fn gradients_accumulate_in_the_same_tensor() {
    for device in devices() {
        let x = leaf(&[1., 2.], device);
        back(&(&x * &x)).unwrap();
        let grad = x.grad().unwrap();
        back(&(&x * 3.0)).unwrap();
        assert_eq!(values(&grad), [5., 7.]);
        assert!(grad.is_same(&x.grad().unwrap()));
    }
}

#[test]
fn nodes_have_pytorchs_names_and_edges() {
    let x = leaf(&[1., 2.], Device::Cpu);
    let y = &x * 2.0 + &x;
    let node = y.grad_fn().unwrap();
    assert_eq!(node.name(), "AddBackward0");
    let next = node.next_functions();
    let names: Vec<_> = next.iter().map(|n| n.as_ref().map(|(n, i)| (n.name(), *i))).collect();
    assert_eq!(names, [Some(("MulBackward0".into(), 0)), Some(("AccumulateGrad".into(), 0))]);
    let mul = next[0].as_ref().unwrap().0.next_functions();
    assert_eq!(mul.len(), 2);
    assert!(mul[1].is_none());
    assert!(mul[0].as_ref().unwrap().0.variable().unwrap().is_same(&x));
    assert!(x.is_leaf() && !y.is_leaf() && x.grad_fn().is_none());
}

#[test]
fn a_second_pass_needs_what_was_saved() {
    for device in devices() {
        let x = leaf(&[1., 2.], device);
        let plain = &x + &x;
        back(&plain).unwrap();
        back(&plain).unwrap();
        assert_eq!(grad_of(&x), [4., 4.]);
        let saving = &x * &x;
        back(&saving).unwrap();
        assert!(message(back(&saving)).starts_with("Trying to backward through the graph a second time"));
        let kept = &x * &x;
        let seed = ones_like(&kept, ());
        kept.backward_with(Some(&seed), GradOptions::new().retain_graph(true));
        back(&kept).unwrap();
    }
}

#[test]
fn a_write_to_what_was_saved_is_found() {
    for device in devices() {
        let x = leaf(&[1., 2.], device);
        let y = &x * 1.0;
        let z = &y * &y;
        y.add_(1.0);
        let text = message(back(&z));
        assert!(text.contains("has been modified by an inplace operation"), "{text}");
        assert!(text.contains("is at version 1; expected version 0 instead"), "{text}");
        // a sum saves nothing
        let y = &x * 1.0;
        let z = &y + &y;
        y.add_(1.0);
        back(&z).unwrap();
        // `data()` has a version of its own: the write goes unnoticed, as in PyTorch
        let y = &x * 1.0;
        let z = &y * &y;
        y.data().add_(1.0);
        back(&z).unwrap();
    }
}

#[test]
fn versions_are_shared_by_views_and_detach_but_not_by_data() {
    let x = zeros([3], ());
    x.select(0, 0).fill_(1.0);
    x.add_(1.0);
    x.detach().add_(1.0);
    x.data().add_(1.0);
    assert_eq!(x.version(), 3);
    assert_eq!(values(&x), [4., 3., 3.]);
}

#[test]
fn leaves_may_not_be_written_to_unless_gradients_are_off() {
    for device in devices() {
        let x = leaf(&[1., 2.], device);
        let text = message(x.checked().add_(1.0));
        assert_eq!(text, "a leaf Variable that requires grad is being used in an in-place operation.");
        let text = message(x.select(0, 0).checked().mul_(2.0));
        assert_eq!(text, "a view of a leaf Variable that requires grad is being used in an in-place operation.");
        assert_eq!(values(&x), [1., 2.]);
        no_grad(|| x.add_(1.0));
        assert_eq!(values(&x), [2., 3.]);
    }
}

#[test]
fn a_write_through_a_view_rebases_its_base() {
    for device in devices() {
        let x = leaf(&[1., 2.], device);
        let y = &x * 1.0;
        let view = y.select(0, 0);
        view.mul_(3.0);
        assert_eq!(y.grad_fn().unwrap().name(), "CopySlices");
        assert_eq!(view.grad_fn().unwrap().name(), "AsStridedBackward0");
        back(&y).unwrap();
        assert_eq!(grad_of(&x), [3., 1.]);
    }
}

#[test]
fn a_view_made_before_a_write_to_its_base_sees_it() {
    for device in devices() {
        let x = leaf(&[1., 2.], device);
        let y = &x * 1.0;
        let view = y.select(0, 1);
        y.mul_(2.0);
        assert_eq!(view.grad_fn().unwrap().name(), "AsStridedBackward0");
        view.backward();
        assert_eq!(grad_of(&x), [0., 2.]);
    }
}

#[test]
fn a_plain_tensor_gets_a_history_by_a_write() {
    for device in devices() {
        let w = leaf(&[5., 6.], device);
        let buffer = zeros([2, 2], device);
        buffer.select(0, 1).copy_(&(&w * 2.0));
        assert!(buffer.requires_grad());
        back(&buffer).unwrap();
        assert_eq!(grad_of(&w), [2., 2.]);
    }
}

#[test]
fn outputs_of_multi_view_ops_and_of_no_grad_views_are_refused() {
    let x = leaf(&[1., 2., 3., 4.], Device::Cpu);
    let y = &x * 1.0;
    assert!(message(y.chunk(2, 0)[0].checked().add_(1.0)).contains("returns multiple views"));
    let view = no_grad(|| y.select(0, 0));
    assert!(message(view.checked().add_(1.0)).contains("no_grad"));
}

#[test]
fn expanded_memory_is_not_written_to() {
    for device in devices() {
        let x = zeros([1, 2], device).expand([3, 2]);
        assert!(message(x.checked().add_(1.0)).contains("refers to a single memory location"));
    }
}

#[test]
fn higher_derivatives() {
    for device in devices() {
        let x = leaf(&[3.], device);
        let y = &x * &x * &x;
        let seed = ones([1], device);
        let create = || GradOptions::new().create_graph(true);
        let first = autograd::grad(&[&y], &[&x], &[Some(&seed)], create()).unwrap()[0].clone().unwrap();
        assert_eq!(values(&first), [27.]);
        let second = autograd::grad(&[&first], &[&x], &[Some(&seed)], create()).unwrap()[0].clone().unwrap();
        assert_eq!(values(&second), [18.]);
        let third = autograd::grad(&[&second], &[&x], &[Some(&seed)], ()).unwrap()[0].clone().unwrap();
        assert_eq!(values(&third), [6.]);
        assert!(x.grad().is_none());
    }
}

#[test]
fn errors_of_backward_are_pytorchs() {
    let x = leaf(&[1., 2.], Device::Cpu);
    assert_eq!(message((&x * 2.0).checked().backward()), "grad can be implicitly created only for scalar outputs");
    let plain = ones([1], ());
    assert_eq!(
        message(plain.checked().backward()),
        "element 0 of tensors does not require grad and does not have a grad_fn"
    );
    let wrong = ones([3], ());
    assert!(
        message((&x * 2.0).checked().backward_with(Some(&wrong), ())).starts_with("Mismatch in shape: grad_output[0]")
    );
    let unused = leaf(&[1.], Device::Cpu);
    let y = x.select(0, 0) * 2.0;
    assert!(message(autograd::grad(&[&y], &[&unused], &[], ())).contains("appears to not have been used in the graph"));
    let y = x.select(0, 0) * 2.0;
    let none = autograd::grad(&[&y], &[&unused], &[], GradOptions::new().allow_unused(true)).unwrap();
    assert!(none[0].is_none());
}

#[test]
fn grad_modes() {
    let x = leaf(&[1.], Device::Cpu);
    assert!(!no_grad(|| &x * 2.0).requires_grad());
    let guarded = {
        let _guard = wgtorch::no_grad_guard();
        enable_grad(|| &x * 2.0)
    };
    assert!(guarded.requires_grad());
    assert!(wgtorch::is_grad_enabled());
    let other = x.clone();
    let there = no_grad(|| std::thread::spawn(move || (&other * 2.0).requires_grad()).join().unwrap());
    assert!(there, "another thread has its own mode");
}

#[test]
fn retain_grad_keeps_an_inner_gradient() {
    let x = leaf(&[1., 2.], Device::Cpu);
    let y = &x * 2.0;
    y.retain_grad();
    back(&(&y * 3.0)).unwrap();
    assert_eq!(grad_of(&y), [3., 3.]);
    let y = &x * 2.0;
    back(&(&y * 3.0)).unwrap();
    assert!(y.grad().is_none());
}

#[test]
fn broadcast_gradients_come_back_in_the_operands_shape() {
    for device in devices() {
        let a = leaf(&[1., 2., 3.], device);
        let b = full([2, 1], 2.0, TensorOptions::new().device(device).requires_grad(true));
        back(&(&a * &b)).unwrap();
        assert_eq!(grad_of(&a), [4., 4., 4.]);
        assert_eq!(b.grad().unwrap().shape(), [2, 1]);
        assert_eq!(grad_of(&b), [6., 6.]);
        let s = full((), 2.0, TensorOptions::new().device(device).requires_grad(true));
        back(&(&a * &s)).unwrap();
        assert_eq!(s.grad().unwrap().shape().len(), 0);
        assert_eq!(grad_of(&s), [6.]);
    }
}

#[test]
fn mixed_dtypes_give_each_its_gradient() {
    let a = leaf(&[1., 2.], Device::Cpu);
    let b = tensor!([3., 4.], TensorOptions::new().dtype(F64).requires_grad(true));
    back(&(&a * &b)).unwrap();
    assert_eq!(a.grad().unwrap().dtype(), F32);
    assert_eq!(b.grad().unwrap().dtype(), F64);
    assert_eq!(grad_of(&a), [3., 4.]);
}
