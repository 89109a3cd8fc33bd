//! The bridge to `ndarray`: shared memory both ways, guards, and what is refused while one is held.

#![cfg(feature = "ndarray")]

mod common;

use ndarray::{Array, Array1, Array2, ArrayD, arr1, arr2};
use wgtorch::prelude::*;

fn fails<T>(r: Result<T, Error>) -> String {
    match r {
        Ok(_) => panic!("no error came"),
        Err(e) => e.to_string(),
    }
}

const HELD: &str = "a view of this tensor's memory (numpy()) is held";

#[test]
fn from_ndarray_takes_the_memory() -> Result<(), Error> {
    let a = arr2(&[[1f64, 2., 3.], [4., 5., 6.]]);
    let at = a.as_ptr();
    let t = Tensor::from_ndarray(a)?;
    assert_eq!((t.dtype(), &t.shape()[..], &t.stride()[..]), (F64, &[2, 3][..], &[3, 1][..]));
    let array = t.numpy::<f64>()?;
    assert_eq!(array.view()?.as_ptr(), at, "the memory is the array's own");
    // column-major arrays keep their strides, and one with an offset its start
    let t = Tensor::from_ndarray(arr2(&[[1f32, 2., 3.], [4., 5., 6.]]).reversed_axes())?;
    assert_eq!((&t.shape()[..], &t.stride()[..]), (&[3, 2][..], &[1, 3][..]));
    assert_eq!(t.to_vec::<f32>()?, [1., 4., 2., 5., 3., 6.]);
    let mut a = arr1(&[0i64, 1, 2, 3, 4, 5]);
    a.slice_collapse(ndarray::s![1..;2]);
    let t = Tensor::from_ndarray(a)?;
    assert_eq!((t.storage_offset(), &t.stride()[..]), (1, &[2][..]));
    assert_eq!(t.to_vec::<i64>()?, [1, 3, 5]);
    let mut a = arr1(&[1., 2.]);
    a.invert_axis(ndarray::Axis(0));
    assert!(fails(Tensor::from_ndarray(a)).starts_with("At least one stride in the given numpy array is negative"));
    let empty = Tensor::from_ndarray(Array2::<f32>::zeros((0, 3)))?;
    assert_eq!(empty.shape(), [0, 3]);
    assert_eq!(empty.numpy::<f32>()?.view()?.shape(), [0, 3]);
    let zero_dim = Tensor::from_ndarray(Array::from_elem((), true))?;
    assert!(zero_dim.item::<bool>()?);
    Ok(())
}

#[test]
fn a_change_on_either_side_is_seen_on_the_other() -> Result<(), Error> {
    // small steps run at once, large ones are recorded: both have to have happened when a view is taken
    for n in [5, 5000] {
        let a = ones([n], ());
        let b = a.numpy::<f32>()?;
        a.add_(1);
        assert!(b.view()?.iter().all(|x| *x == 2.));
        *b.view_mut()? *= 4.;
        assert_eq!(a.sum().item::<f32>()?, 8. * n as f32);
        let view = a.i(1..3);
        view.numpy::<f32>()?.view_mut()?[[0]] = -1.;
        assert_eq!(b.view()?[[1]], -1.);
        assert_eq!(a.i(1).item::<f32>()?, -1.);
    }
    let t = arange(12, ()).view([3, 4]).t();
    let array = t.numpy::<i64>()?;
    assert_eq!(array.view()?.strides(), [1, 4], "a transpose keeps its strides");
    assert_eq!(array.view()?[[3, 2]], 11);
    // in place through ndarray's own functions
    let data = Array1::<f64>::ones(5);
    let b = Tensor::from_ndarray(data)?;
    b.numpy::<f64>()?.view_mut()?.mapv_inplace(|x| x + 1.);
    assert_eq!(b.to_string(), "tensor([2., 2., 2., 2., 2.], dtype=torch.float64)");
    // expanded: to look at, not to write
    let wide = tensor!([1., 2.]).unsqueeze(1).expand([2, 3]).numpy::<f32>()?;
    assert_eq!(wide.view()?.to_owned(), arr2(&[[1., 1., 1.], [2., 2., 2.]]).into_dyn());
    assert!(fails(wide.view_mut()).contains("refers to a single memory location"));
    // another dtype's memory
    let bytes = tensor!([0, 1, 2, 3], U8);
    assert_eq!(bytes.numpy::<u8>()?.view()?.to_owned(), ArrayD::from_shape_vec(vec![4], vec![0u8, 1, 2, 3]).unwrap());
    Ok(())
}

#[test]
fn what_has_no_array() -> Result<(), Error> {
    let w = ones([2], TensorOptions::new().requires_grad(true));
    assert_eq!(
        fails(w.numpy::<f32>()),
        "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
    );
    assert_eq!(w.detach().numpy::<f32>()?.view()?[[1]], 1.);
    assert_eq!(fails(w.detach().numpy::<f64>()), "numpy(): the elements are torch.float32, not torch.float64");
    for d in common::devices().into_iter().filter(|d| d.is_gpu()) {
        let error = fails(ones([2], d).numpy::<f32>());
        assert!(error.starts_with(&format!("can't convert {d} device type tensor to numpy.")), "{error}");
    }
    Ok(())
}

#[test]
fn view_mut_counts_a_version() -> Result<(), Error> {
    let x = tensor!([1., 2.]);
    let w = tensor!([3., 4.]).requires_grad_(true);
    let y = (&x * &w).sum();
    let array = x.numpy::<f32>()?;
    drop(array.view()?);
    assert_eq!(x.version(), 0);
    drop(array.view_mut()?);
    assert_eq!(x.version(), 1);
    assert!(fails(y.checked().backward()).contains("is at version 1; expected version 0 instead"));
    Ok(())
}

#[test]
fn a_held_view_refuses_what_conflicts() -> Result<(), Error> {
    for n in [4, 4000] {
        let t = zeros([n], ());
        let other = t.detach();
        let array = t.numpy::<f32>()?;
        {
            let look = array.view()?;
            let again = array.view()?;
            assert_eq!(look[[0]], again[[1]]);
            // readers go on, writers are told
            assert_eq!((&t + 1).sum().item::<f32>()?, n as f32);
            assert!(fails(array.view_mut().map(drop)).contains(HELD));
            assert!(fails(other.checked().add_(1)).contains(HELD));
            assert!(fails(t.i(..2).checked().copy_(&ones([2], ()))).contains(HELD));
            assert!(fails(t.checked().i_put_(0, 5)).contains(HELD));
            assert!(fails(t.checked().fill_(1)).contains(HELD));
            assert_eq!(t.version(), 0, "what is refused is no write");
        }
        other.add_(1);
        {
            let mut write = array.view_mut()?;
            write[[0]] = 7.;
            assert!(fails(array.view().map(drop)).contains(HELD));
            assert!(fails(t.to_vec::<f32>()).contains(HELD));
            assert!(fails(t.to_vec::<f64>()).contains(HELD));
            assert!(fails(t.i(wgtorch::S(.., 2)).to_vec::<f32>()).contains(HELD));
            assert!(fails(t.checked().add(1)).contains(HELD));
            assert!(fails(t.checked().sum()).contains(HELD));
            assert!(fails(t.checked().to(F64)).contains(HELD));
            assert!(fails(t.checked().copy()).contains(HELD));
            assert!(fails(t.checked().argmax()).contains(HELD));
            assert!(t.to_string().contains(HELD));
            write[[1]] = 8.;
        }
        assert_eq!(t.i(..3).to_vec::<f32>()?, [7., 8., 1.]);
    }
    Ok(())
}

#[test]
fn other_threads_are_refused_or_come_before() -> Result<(), Error> {
    // writers on other threads add ones; each either happened whole or was refused, and no view sees half of one
    let t = zeros([3000], I64);
    let array = t.numpy::<i64>()?;
    let done = std::thread::scope(|s| {
        let writers: Vec<_> = (0..3)
            .map(|k| {
                let t = &t;
                s.spawn(move || {
                    let mut done = 0;
                    for _ in 0..400 {
                        let step = if k == 0 { t.i(..7).checked().add_(1) } else { t.checked().add_(1) };
                        done += step.is_ok() as i64 * (k > 0) as i64;
                        if k == 2 {
                            wgtorch::stream::flush();
                        }
                    }
                    wgtorch::stream::flush();
                    done
                })
            })
            .collect();
        let mut seen = 0;
        for i in 0..400 {
            if i % 2 == 0 {
                if let Ok(view) = array.view() {
                    let last = view[[2999]];
                    assert!(view.iter().skip(7).all(|x| *x == last), "a step was seen half done");
                    assert!(last >= seen);
                    seen = last;
                }
            } else if let Ok(mut view) = array.view_mut() {
                let now = view[[2999]];
                view[[2999]] = -1;
                std::thread::yield_now();
                assert_eq!(view[[2999]], -1, "somebody wrote beside the guard");
                view[[2999]] = now;
            }
        }
        writers.into_iter().map(|w| w.join().unwrap()).sum::<i64>()
    });
    assert_eq!(t.i(2999).item::<i64>()?, done);
    Ok(())
}

#[test]
fn prints_as_numpy() -> Result<(), Error> {
    let text = |t: Tensor| match t.dtype() {
        F64 => t.numpy::<f64>().map(|a| a.to_string()),
        F32 => t.numpy::<f32>().map(|a| a.to_string()),
        Bool => t.numpy::<bool>().map(|a| a.to_string()),
        _ => t.numpy::<i64>().map(|a| a.to_string()),
    };
    // what NumPy 2.4 prints
    assert_eq!(text(ones([5], ()))?, "[1. 1. 1. 1. 1.]");
    assert_eq!(text(tensor!([1.5, 2.25, -3.], F64))?, "[ 1.5   2.25 -3.  ]");
    assert_eq!(text(tensor!([[1, -20], [300, 4]]))?, "[[  1 -20]\n [300   4]]");
    assert_eq!(text(tensor!([true, false]))?, "[ True False]");
    assert_eq!(text(tensor!([1e10, 1.5, f64::NAN, f64::NEG_INFINITY], F64))?, "[1.0e+10 1.5e+00     nan    -inf]");
    assert_eq!(text(tensor!([0.1, 1. / 3.], F64))?, "[0.1        0.33333333]");
    assert_eq!(text(tensor!([0.1, 1. / 3.]))?, "[0.1        0.33333334]");
    assert_eq!(text(tensor!([f64::NAN, 1., f64::INFINITY]))?, "[nan  1. inf]");
    assert_eq!(text(tensor!([1e-5, 1.], F64))?, "[1.e-05 1.e+00]");
    assert_eq!(text(tensor!(2.5))?, "2.5");
    assert_eq!(text(zeros([0, 3], ()))?, "[]");
    assert_eq!(text(arange(2000, ()))?, "[   0    1    2 ... 1997 1998 1999]");
    assert_eq!(
        text(arange(40., ()))?,
        "[ 0.  1.  2.  3.  4.  5.  6.  7.  8.  9. 10. 11. 12. 13. 14. 15. 16. 17.\n 18. 19. 20. 21. 22. 23. 24. 25. 26. \
         27. 28. 29. 30. 31. 32. 33. 34. 35.\n 36. 37. 38. 39.]"
    );
    assert_eq!(
        text(arange(24., ()).view([2, 3, 4]))?,
        "[[[ 0.  1.  2.  3.]\n  [ 4.  5.  6.  7.]\n  [ 8.  9. 10. 11.]]\n\n [[12. 13. 14. 15.]\n  [16. 17. 18. 19.]\n  \
         [20. 21. 22. 23.]]]"
    );
    assert_eq!(
        text(arange(1200., F64).view([30, 40]) / 7)?.lines().take(2).collect::<Vec<_>>(),
        ["[[0.00000000e+00 1.42857143e-01 2.85714286e-01 ... 5.28571429e+00", "  5.42857143e+00 5.57142857e+00]"]
    );
    Ok(())
}
