//! Group `scalars`: tensors as numbers of the host.

use crate::harness::Got;
use crate::{list, programs};
use wgtorch::prelude::*;

const PYTHON: &str = "a conversion that Python's protocols make";

programs! {
    python_conversions "python-conversions" |p, d| {
        let truth = |t: &Tensor| t.item::<bool>();
        p.emit("ok", list![
            truth(&tensor!([[0.]], d))?,
            truth(&tensor!(f64::NAN, d))?,
            tensor!(2.9, d).item::<i64>()?,
            tensor!([-2.9], d).item::<i64>()?,
            tensor!(3, d).item::<f64>()?,
            tensor!(0.1, d).item::<f64>()?,
            tensor!(0.1, (F64, d)).item::<f64>()?,
            tensor!(0.1, (F16, d)).item::<f64>()?,
            tensor!(0.1, (BF16, d)).item::<f64>()?,
            tensor!(true, d).item::<bool>()?,
            tensor!(7, (U8, d)).item::<i64>()?,
            list![tensor!([[1, 2], [3, 4]], d).i(0).to_vec::<i64>()?, tensor!([[1, 2], [3, 4]], d).i(1).to_vec::<i64>()?],
            tensor!([true, false], d).to_vec::<bool>()?,
            tensor!([1., 2.5], d).to_vec::<f64>()?,
            zeros([4, 2], d).size_of(0),
            tensor!([1, 2, 3], d).eq(3).any().item::<bool>()?,
            tensor!([1, 2, 3], d).eq(5).any().item::<bool>()?,
            [1i64, 2, 3][tensor!(1, d).item::<i64>()? as usize],
            (0..5i64).collect::<Vec<_>>()[tensor!(1, d).item::<i64>()? as usize..tensor!(3, d).item::<i64>()? as usize].to_vec(),
        ]);
        let value = |r: Result<(), Error>| r.unwrap_or_else(|e| panic!("{e}"));
        p.raises_saying("bool of two", "a Tensor with 2 elements cannot be converted to Scalar",
            || value(truth(&tensor!([1, 2], d)).map(|_| ())));
        p.raises_saying("bool of empty", "a Tensor with 0 elements cannot be converted to Scalar",
            || value(truth(&zeros(0, d)).map(|_| ())));
        p.later("int of inf", "item::<i64> of what no integer can hold is documented as i64::MIN");
        p.later("index of float", PYTHON);
        p.raises("item of two", || value(tensor!([1, 2], d).item::<i64>().map(|_| ())));
        let x = tensor!(1.23456, d).item::<f32>()?;
        p.emit("format", list![
            format!("{x:.3}"), format!("{x:.2}"), Got::Later("Display prints a tensor in full"), p.text(&tensor!([1, 2], d)),
        ]);
        p.emit("iterate", tensor!([[1, 2], [3, 4]], d).unbind(0));
    }
}
