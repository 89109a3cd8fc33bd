//! Group `tutorial`: the classifier of the blitz on fixed data.

use crate::programs;
use wgtorch::prelude::*;

#[derive(Module)]
struct Net {
    conv1: Conv2d,
    pool: MaxPool2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Forward for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.pool.call(&self.conv1.call(x).relu());
        let x = self.pool.call(&self.conv2.call(&x).relu()).flatten(1);
        self.fc3.call(&self.fc2.call(&self.fc1.call(&x).relu()).relu())
    }
}

programs! {
    blitz_classifier_step "blitz-classifier-step" |p, d| {
        let net = Net {
            conv1: Conv2d::new(3, 6, 5),
            pool: MaxPool2d::new(2),
            conv2: Conv2d::new(6, 16, 5),
            fc1: Linear::new(400, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, 10),
        }
        .to(d);
        no_grad(|| {
            for (k, w) in net.parameters().iter().enumerate() {
                let fan = if w.dim() > 1 { w.i(0).numel() } else { 10 };
                let v = (arange(w.numel(), d) * 0.61 + k as f64).sin() / (fan as f64).sqrt();
                w.copy_(&v.reshape(w.shape()));
            }
        });
        let x = (arange(4 * 3 * 1024, d) * 0.013).cos().reshape([4, 3, 32, 32]);
        let y = tensor!([3, 1, 8, 5], d);
        let mut optimizer = SGD::new(net.parameters(), 0.001).momentum(0.9);
        let mut losses = Vec::new();
        for _ in 0..5 {
            optimizer.zero_grad();
            let loss = CrossEntropyLoss::new().call(&net.call(&x), &y);
            loss.backward();
            optimizer.step();
            losses.push(loss.item::<f64>()?);
        }
        p.emit("losses", tensor!(losses, F32));
        let (_, predicted) = net.call(&x).max_dim(1, false);
        p.emit("predicted", &predicted);
        p.emit("correct", predicted.eq(&y).sum().item::<i64>()?);
        p.emit("logits", net.call(&x));
    }
}
