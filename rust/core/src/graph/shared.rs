//! What many files have in common, kept once.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::pipeline::Pipeline;

/// Pipelines by their text. Thousands of small graphs are of the same one.
#[derive(Debug, Default)]
pub(super) struct Pipelines(Mutex<HashMap<u128, Arc<Pipeline>>>);

impl Pipelines {
    /// The pipeline of a text, or what is wrong with that.
    pub(super) fn get(&self, text: Vec<u8>) -> Result<Arc<Pipeline>, String> {
        let key = xxh3_128(&text);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = known.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(Pipeline::read(text)?);
        known.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}
