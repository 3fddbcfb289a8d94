//! The changes of a request, staged beside what was there before, until the whole request is accepted or discarded.

use std::collections::HashMap;
use std::hash::Hash;

/// A map with two layers: what has been accepted, and above it what the request under way has changed.
#[derive(Debug)]
pub struct Staged<K, V> {
    accepted: HashMap<K, V>,
    /// None for what was removed.
    changed: HashMap<K, Option<V>>,
}

impl<K: Clone + Eq + Hash, V> Staged<K, V> {
    pub fn get(&self, key: &K) -> Option<&V> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.accepted.get(key),
        }
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V>
    where
        V: Clone,
    {
        if !self.changed.contains_key(key) {
            let copy = self.accepted.get(key)?.clone();
            self.changed.insert(key.clone(), Some(copy));
        }
        self.changed.get_mut(key)?.as_mut()
    }

    /// Whether nothing was ever put in.
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.changed.is_empty()
    }

    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub fn insert(&mut self, key: K, value: V) {
        self.changed.insert(key, Some(value));
    }

    pub fn remove(&mut self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        let removed = self.get(key).cloned()?;
        self.changed.insert(key.clone(), None);
        Some(removed)
    }

    /// Accepts the request's changes.
    pub fn accept(&mut self) {
        for (key, changed) in self.changed.drain() {
            match changed {
                Some(value) => self.accepted.insert(key, value),
                None => self.accepted.remove(&key),
            };
        }
    }

    /// Discards the request's changes.
    pub fn discard(&mut self) {
        self.changed.clear();
    }
}

/// The values before the first request, which are accepted.
impl<K: Eq + Hash, V> FromIterator<(K, V)> for Staged<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(accepted: I) -> Self {
        Self { accepted: accepted.into_iter().collect(), changed: HashMap::new() }
    }
}

impl<K, V> Default for Staged<K, V> {
    fn default() -> Self {
        Self { accepted: HashMap::new(), changed: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u32),
        Add(u8, u32),
        Remove(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = 0..6u8;
        let step = prop_oneof![
            (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
            (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Add(key, value)),
            key.prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..8)
    }

    proptest! {
        /// After each request the map equals a copy that the same steps were tried on.
        #[test]
        fn what_is_discarded_never_was_and_what_is_accepted_is_there(
            requests in prop::collection::vec((steps(), any::<bool>()), 0..12)
        ) {
            let mut model = HashMap::from([(1, 10), (2, 20)]);
            let mut staged: Staged<u8, u32> = model.clone().into_iter().collect();
            for (steps, is_accepted) in requests {
                let mut copy = model.clone();
                for step in steps {
                    match step {
                        Step::Insert(key, value) => {
                            copy.insert(key, value);
                            staged.insert(key, value);
                        }
                        Step::Add(key, value) => {
                            let (one, other) = (copy.get_mut(&key), staged.get_mut(&key));
                            prop_assert_eq!(&one, &other);
                            one.into_iter().chain(other).for_each(|known| *known = known.wrapping_add(value));
                        }
                        Step::Remove(key) => prop_assert_eq!(copy.remove(&key), staged.remove(&key)),
                    }
                }
                if is_accepted {
                    staged.accept();
                    model = copy;
                } else {
                    staged.discard();
                }
                for key in 0..6 {
                    prop_assert_eq!(model.get(&key), staged.get(&key));
                    prop_assert_eq!(model.contains_key(&key), staged.contains(&key));
                }
            }
        }
    }
}
