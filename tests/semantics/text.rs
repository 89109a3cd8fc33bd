//! Items 63, 65 and 66: printing, random numbers, accumulation. What `manual_seed` and `set_printoptions` do to the whole
//! process is in `tests/process_state.rs`.

use crate::{is, near, says};
use wgtorch::prelude::*;

#[test]
fn item_63_printing() {
    let prints = |t: Tensor, text: &str| assert_eq!(t.to_string(), text);
    prints(tensor!([1., 2.]), "tensor([1., 2.])");
    prints(tensor!([1000.5, 0.5]), "tensor([1.0005e+03, 5.0000e-01])");
    prints(tensor!([1.5, 1000.]), "tensor([   1.5000, 1000.0000])");
    prints(tensor!([1e5, 2e5]), "tensor([100000., 200000.])");
    prints(tensor!([1., f64::NAN, f64::INFINITY]), "tensor([1., nan, inf])");
    prints(tensor!([1.5, f64::NAN]), "tensor([1.5000,    nan])");
    prints(zeros([0, 3], ()), "tensor([], size=(0, 3))");
    prints(zeros([0], I64), "tensor([], dtype=torch.int64)");
    prints(arange(1001, ()), "tensor([   0,    1,    2,  ...,  998,  999, 1000])");
    prints(tensor!([1, 2], I32), "tensor([1, 2], dtype=torch.int32)");
    prints(tensor!([1., 2.], F64).requires_grad_(true), "tensor([1., 2.], dtype=torch.float64, requires_grad=True)");
    prints(ones(1, ()).requires_grad_(true) * 2., "tensor([2.], grad_fn=<MulBackward0>)");
    prints(arange(4, ()).view([2, 1, 2]), "tensor([[[0, 1]],\n\n        [[2, 3]]])");
    prints(tensor!(5), "tensor(5)");
    let linear = Linear::new(2, 1);
    assert!(linear.weight.to_string().starts_with("Parameter containing:\ntensor([["));
    for d in crate::common::devices().into_iter().filter(|d| d.is_gpu()) {
        prints(tensor!([1., 2.], d), &format!("tensor([1., 2.], device='{d}')"));
    }
}

#[test]
fn item_65_multinomial() -> Result<(), Error> {
    for d in crate::common::devices() {
        let p = tensor!([[0., 1., 3., 0.], [5., 0., 5., 0.]], d);
        let draws = p.multinomial(4000, true);
        assert_eq!((draws.shape().to_vec(), draws.dtype()), (vec![2, 4000], I64));
        let count = |row: usize, k: i64| draws.i(row as isize).eq(k).sum().item::<i64>();
        assert_eq!((count(0, 0)?, count(0, 3)?, count(1, 1)?, count(1, 3)?), (0, 0, 0, 0));
        // four standard deviations
        assert!((count(0, 2)? - 3000).abs() < 110 && (count(1, 0)? - 2000).abs() < 127);
        // without replacement none comes twice, and weights decide what comes first
        let firsts = p.i(0).expand([4000, 4]).multinomial(2, false);
        let (a, b) = (firsts.i((.., 0)), firsts.i((.., 1)));
        assert_eq!((&a + &b).eq(3).sum().item::<i64>()?, 4000);
        assert!((a.eq(2).sum().item::<i64>()? - 3000).abs() < 110);
        says(
            d,
            p.checked().multinomial(5, false),
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement",
        );
        says(d, (-&p).checked().multinomial(1, true), "probability tensor contains either `inf`, `nan` or element < 0");
        says(
            d,
            zeros(3, d).checked().multinomial(1, true),
            "invalid multinomial distribution (sum of probabilities <= 0)",
        );
        says(d, zeros(3, d).checked().bernoulli_(1.5), "bernoulli_ expects p to be in [0, 1], but got p=1.5");
    }
    Ok(())
}

#[test]
fn item_66_accumulation() -> Result<(), Error> {
    for d in crate::common::devices() {
        is(ones(100_000, (F16, d)).copy().sum(), F16, &[f64::INFINITY]);
        near(ones(100_000, (F16, d)).copy().mean(), &[1.]);
        near(tensor!([1e8 - 8., 1e8, 1e8 + 8.], d).var(), &[64.]);
        near(full(100_000, 0.1, d).copy().cumsum(0, ()).i(-1) / 1e4, &[1.]);
    }
    // PyTorch's pairwise sum gives 1999998.875; a naive loop would be far off
    let sum = full(20_000_000, 0.1, ()).copy().sum().item::<f64>()?;
    assert!((sum - 2e6).abs() < 5., "{sum}");
    Ok(())
}
