//! Ops that GPUs do themselves in every dtype: the CPU's results, and no transfer. A test of its own process, since transfers are
//! counted for all threads.

mod common;

use common::devices;
use wgtorch::prelude::*;
use wgtorch::{SortOptions, cat, stream};

const DTYPES: [DType; 10] = [Bool, U8, I8, I16, I32, I64, U32, F16, BF16, F32];

type Case = (&'static str, fn(&Tensor, &Tensor, &Tensor) -> Tensor);

/// `x` is [7, 33], `rows` a list of 7 indices below 7, `each` [7, 33] indices below 7.
const CASES: [Case; 19] = [
    ("sort", |x, _, _| x.sort(()).0),
    ("sort descending along 0", |x, _, _| x.sort(SortOptions::new().dim(0).descending(true)).0),
    ("argsort", |x, _, _| x.reshape(-1).argsort(())),
    ("topk", |x, _, _| x.topk(5, ()).0),
    ("cumsum", |x, _, _| x.cumsum(0, ())),
    ("cumprod", |x, _, _| x.cumprod(1, ())),
    ("gather", |x, _, each| x.gather(0, each)),
    ("gather of a transpose", |x, _, each| x.t().gather(1, &each.t())),
    ("index_select", |x, rows, _| x.index_select(0, rows)),
    ("index", |x, rows, _| x.i((rows, rows))),
    ("take", |x, _, each| x.take(each)),
    ("embedding", |x, rows, _| rows.embedding(x, ())),
    ("scatter", |x, _, each| x.scatter(0, each, x)),
    ("scatter_add", |x, _, each| x.scatter_add(0, each, x)),
    ("index_copy", |x, rows, _| x.index_copy(0, rows, &x.flip(0))),
    ("index_add", |x, rows, _| x.index_add(0, rows, x, 1)),
    ("index_fill", |x, rows, _| x.index_fill(1, rows, 1)),
    ("index_put", |x, rows, _| x.index_put((rows, rows), &x.select(1, 3), false)),
    ("cat", |x, _, _| cat(&[x, x], 1)),
];

#[test]
fn moving_sorting_and_summing_by_index_stay_on_the_gpu() {
    for d in devices().into_iter().filter(|d| *d != Device::Cpu) {
        // few values, so that there are ties, and sums that every dtype holds
        let data: Vec<i64> = (0..231).map(|i| (i * 7919 + i * i) % 11).collect();
        let rows = tensor!([3, 0, 6, 3, 1, 5, 3]);
        let each: Vec<i64> = (0..231).map(|i| (i * 31 + i * i * 7) % 7).collect();
        let each = Tensor::from_vec(each, [7, 33], ()).unwrap();
        for dtype in DTYPES {
            let x = Tensor::from_vec(data.clone(), [7, 33], ()).unwrap().to(dtype);
            let (xd, rows_d, each_d) = (x.to(d), rows.to(d), each.to(d));
            stream::synchronize(d).unwrap();
            for (name, op) in CASES {
                let before = stream::transfers();
                let want = op(&x, &rows, &each);
                let got = op(&xd, &rows_d, &each_d).to(Device::Cpu);
                assert_eq!(stream::transfers(), before, "{name} of {dtype} went by transfer");
                assert_eq!(got.dtype(), want.dtype(), "{name} of {dtype}");
                let (got, want) = (got.to(F64).to_vec::<f64>().unwrap(), want.to(F64).to_vec::<f64>().unwrap());
                // float16 products pass what it holds on either device
                let same = got.iter().zip(&want).all(|(g, w)| g == w || g.is_nan() && w.is_nan());
                assert!(same, "{name} of {dtype}: {got:?}, not {want:?}");
            }
        }
    }
}
