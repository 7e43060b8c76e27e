//! Two runs side by side: what is called the same in both, and which inputs their quanta do not share.
//!
//! - `names`: names as numbers of 128 bits, which differ where the names do.
//! - `partners`: rows of two sides with the same name.
//! - `inputs`: inputs that quanta of both sides have on one of them only.

mod inputs;
mod names;
mod partners;

pub use inputs::{Lists, LoneInput, QuantumPair, lone_inputs};
pub use names::Names;
pub use partners::{NO_PARTNER, partners};
