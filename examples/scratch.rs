use std::time::Instant;
use wgtorch::prelude::*;
fn main() -> Result<(), Error> {
    let x = tensor!([[1., 2.], [3., 4.]]);
    x.requires_grad_(true);
    let y = &x * &x + 2.0 * &x;
    println!("{y}");
    y.backward_with(Some(&ones([2, 2], ())), ());
    println!("{}", x.grad().unwrap());
    // in-place through a view
    let b = &x * 1.0;
    let v = b.select(0, 0);
    v.mul_(3.0);
    println!("{b}\n{v}");
    b.backward_with(Some(&ones([2, 2], ())), ());
    println!("{}", x.grad().unwrap());
    // lazy
    let a = rand([2000], ());
    let c = &a * 2.0 + 1.0;
    let d = &c - &a;
    a.add_(1.0);
    let e = &d + &a;
    let av = a.to_vec::<f32>()?;
    let ev = e.to_vec::<f32>()?;
    for (p, q) in av.iter().zip(&ev) {
        assert!(((p - 1.0) + 1.0 + p - q).abs() < 1e-5, "{p} {q}");
    }
    println!("{:?}", wgtorch::stream::counters());
    // tiny
    let t0 = zeros([16], ()).copy();
    let t1 = full([16], 1e-3, ()).copy().add(0.0);
    let t0 = t0.add(0.0);
    for tape in [false, true] {
        let t1 = t1.detach().copy();
        if tape {
            t1.requires_grad_(true);
        }
        for _ in 0..5 {
            let s = Instant::now();
            let mut z = t0.clone();
            for _ in 0..10_000 {
                z = &z + &t1;
            }
            println!("tape {tape}: {:.3} us/add {}", s.elapsed().as_secs_f64() * 1e6 / 1e4, z.to_vec::<f32>()?[0]);
        }
    }
    let s = Instant::now();
    let w = ones([4], TensorOptions::new().requires_grad(true));
    let mut z = &w * 1.0;
    for _ in 0..1_000_000 {
        z = &z * &w;
    }
    println!("fwd {:?}", s.elapsed());
    z.backward_with(Some(&ones([4], ())), ());
    println!("bwd {:?} {}", s.elapsed(), w.grad().unwrap());
    drop(z);
    println!("drop {:?}", s.elapsed());
    let a = randn([1 << 22], ());
    let b = randn([1 << 22], ());
    for _ in 0..6 {
        let s = Instant::now();
        let c = &a + &b;
        wgtorch::stream::flush();
        println!("add {:?}", s.elapsed());
        drop(c);
    }
    if std::env::args().nth(1).as_deref() == Some("gpu") {
        let dev = Device::Gpu(0);
        println!("{}", dev.description());
        let x = tensor!([[1., 2.], [3., 4.]], dev);
        x.requires_grad_(true);
        let y = &x * &x + 2.0 * &x;
        println!("{y}");
        y.backward_with(Some(&ones([2, 2], dev)), ());
        println!("{}", x.grad().unwrap());
        let b = &x * 1.0;
        let v = b.select(0, 0);
        v.mul_(3.0);
        println!("{b}\n{v}");
        let i = tensor!([1i64, -5, 1 << 40], dev);
        println!("{}", &i + 3);
        println!("{}", tensor!([true, false, true], dev).to(F32) + 1);
        let t0 = zeros([16], ()).copy().add(0.0).to(dev);
        let t1 = full([16], 1e-3, ()).copy().add(0.0).to(dev);
        for _ in 0..5 {
            let c0 = wgtorch::stream::counters();
            let s = Instant::now();
            let mut z = t0.clone();
            for _ in 0..10_000 {
                z = &z + &t1;
            }
            println!("gpu: {:.3} us/add {}", s.elapsed().as_secs_f64() * 1e6 / 1e4, z.to_vec::<f32>()?[0]);
            println!("{}", wgtorch::stream::counters().fused - c0.fused);
        }
        let a = a.to(dev);
        let b = randn([1 << 22], ()).to(dev);
        for _ in 0..4 {
            let s = Instant::now();
            let c = &a + &b;
            dev.synchronize()?;
            println!("add {:?}", s.elapsed());
            drop(c);
        }
    }
    let st = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", st.lines().find(|l| l.starts_with("VmHWM")).unwrap());
    Ok(())
}
