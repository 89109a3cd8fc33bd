//! The blitz's LeNet, for the tests that train it.

use wgtorch::prelude::*;

#[derive(Module)]
pub struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl LeNet {
    pub fn new() -> LeNet {
        LeNet {
            conv1: Conv2d::new(1, 6, 3),
            conv2: Conv2d::new(6, 16, 3),
            fc1: Linear::new(576, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, 10),
        }
    }
}

impl Forward for LeNet {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = F::max_pool2d(&self.conv1.call(x).relu(), 2);
        let x = F::max_pool2d(&self.conv2.call(&x).relu(), 2).flatten(1);
        self.fc3.call(&self.fc2.call(&self.fc1.call(&x).relu()).relu())
    }
}
