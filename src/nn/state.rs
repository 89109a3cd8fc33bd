//! Named tensors of a module: what is saved, and how it comes back.

use crate::error::{Result, bail, ensure};
use crate::no_grad;
use crate::tensor::Tensor;

/// Tensors by name, in order (`module.state_dict()`).
#[derive(Clone, Debug, Default)]
pub struct StateDict {
    entries: Vec<(String, Tensor)>,
}

/// What did not match in a load that was not strict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncompatibleKeys {
    /// Names that the module has and the state has not.
    pub missing_keys: Vec<String>,
    /// Names that the state has and the module has not.
    pub unexpected_keys: Vec<String>,
}

impl StateDict {
    /// Empty.
    pub fn new() -> StateDict {
        StateDict::default()
    }
    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }
    /// Adds a tensor, or puts it in the place of the one of that name, which it gives back.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Option<Tensor> {
        let name = name.into();
        match self.entries.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => Some(std::mem::replace(old, tensor)),
            None => {
                self.entries.push((name, tensor));
                None
            }
        }
    }
    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        let at = self.entries.iter().position(|(n, _)| n == name)?;
        Some(self.entries.remove(at).1)
    }
    /// Names and tensors in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(n, t)| (&n[..], t))
    }
    /// The names in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|(n, _)| &n[..])
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromIterator<(String, Tensor)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(entries: I) -> StateDict {
        StateDict { entries: entries.into_iter().collect() }
    }
}

impl IntoIterator for StateDict {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<(String, Tensor)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl std::ops::Index<&str> for StateDict {
    type Output = Tensor;
    /// # Panics
    /// If there is no tensor of that name.
    fn index(&self, name: &str) -> &Tensor {
        match self.get(name) {
            Some(t) => t,
            None => panic!("no tensor named {name:?} in the state_dict"),
        }
    }
}

fn quoted(keys: &[String]) -> String {
    keys.iter().map(|k| format!("\"{k}\"")).collect::<Vec<_>>().join(", ")
}

/// Copies `state` over `own`, which shares memory with the module; all errors come before the first copy.
pub(super) fn load(module: &str, own: &StateDict, state: &StateDict, strict: bool) -> Result<IncompatibleKeys> {
    let missing = |a: &StateDict, b: &StateDict| -> Vec<String> {
        a.keys().filter(|k| b.get(k).is_none()).map(str::to_string).collect()
    };
    let keys = IncompatibleKeys { missing_keys: missing(own, state), unexpected_keys: missing(state, own) };
    let mut errors = Vec::new();
    if strict && !keys.missing_keys.is_empty() {
        errors.push(format!("Missing key(s) in state_dict: {}. ", quoted(&keys.missing_keys)));
    }
    if strict && !keys.unexpected_keys.is_empty() {
        errors.push(format!("Unexpected key(s) in state_dict: {}. ", quoted(&keys.unexpected_keys)));
    }
    let pairs: Vec<(&str, &Tensor, &Tensor)> = own.iter().filter_map(|(k, t)| Some((k, t, state.get(k)?))).collect();
    for (name, t, from) in &pairs {
        if t.shape() != from.shape() {
            errors.push(format!(
                "size mismatch for {name}: copying a param with shape {} from checkpoint, the shape in current model is {}.",
                from.shape(),
                t.shape()
            ));
        }
    }
    if !errors.is_empty() {
        bail!(Runtime, "Error(s) in loading state_dict for {module}:\n\t{}", errors.join("\n\t"));
    }
    no_grad(|| -> Result<()> {
        for (name, t, from) in pairs {
            ensure!(
                !t.layout().overlaps_itself(),
                Runtime,
                "While copying the parameter named \"{name}\": it overlaps itself"
            );
            t.checked().copy_(from)?;
        }
        Ok(())
    })?;
    Ok(keys)
}
