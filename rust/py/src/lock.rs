//! Rust state that several Python objects and threads share.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use pyo3::prelude::*;

/// Work on so many items takes well under a millisecond.
const BRIEF: usize = 256;

/// Runs work on Rust data, detached from the interpreter if there are many items to work on.
pub(crate) fn run<R: Send>(py: Python<'_>, items: usize, work: impl Send + FnOnce() -> R) -> R {
    if items <= BRIEF { work() } else { py.detach(work) }
}

/// A value behind a lock.
///
/// Arguments are converted before a lock is taken and results after it is released, and a thread that is
/// attached to the interpreter never waits for a lock: neither can then wait for the other in a circle.
///
/// A panic in the middle of a change is a bug of ours and reaches Python as an exception. The lock is taken
/// all the same afterwards: refusing every later call would hide the first error behind many others.
pub(crate) struct Shared<T>(Arc<RwLock<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + Sync> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }

    /// Reads the value, detached from the interpreter if there are many items to work on.
    pub(crate) fn read<R>(&self, py: Python<'_>, items: usize, work: impl Send + FnOnce(&T) -> R) -> R
    where
        R: Send,
    {
        if items <= BRIEF { work(&self.try_read(py)) } else { py.detach(|| work(&self.wait_read())) }
    }

    /// Changes the value, detached from the interpreter if there are many items to work on.
    pub(crate) fn write<R>(&self, py: Python<'_>, items: usize, work: impl Send + FnOnce(&mut T) -> R) -> R
    where
        R: Send,
    {
        if items <= BRIEF {
            work(&mut self.try_write(py))
        } else {
            py.detach(|| work(&mut self.wait_write()))
        }
    }

    fn try_read(&self, py: Python<'_>) -> RwLockReadGuard<'_, T> {
        loop {
            match self.0.try_read() {
                Ok(value) => return value,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.wait_read())),
            }
        }
    }

    fn try_write(&self, py: Python<'_>) -> RwLockWriteGuard<'_, T> {
        loop {
            match self.0.try_write() {
                Ok(value) => return value,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.wait_write())),
            }
        }
    }

    fn wait_read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two values that change together. Their locks are always taken in this order.
pub(crate) struct Pair<T, U>(pub(crate) Shared<T>, pub(crate) Shared<U>);

impl<T, U> Clone for Pair<T, U> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone())
    }
}

impl<T: Send + Sync, U: Send + Sync> Pair<T, U> {
    /// Reads both, as `Shared::read` does one.
    pub(crate) fn read<R>(&self, py: Python<'_>, items: usize, work: impl Send + FnOnce(&T, &U) -> R) -> R
    where
        R: Send,
    {
        if items <= BRIEF {
            work(&self.0.try_read(py), &self.1.try_read(py))
        } else {
            py.detach(|| work(&self.0.wait_read(), &self.1.wait_read()))
        }
    }

    /// Changes both, as `Shared::write` does one.
    pub(crate) fn write<R>(
        &self,
        py: Python<'_>,
        items: usize,
        work: impl Send + FnOnce(&mut T, &mut U) -> R,
    ) -> R
    where
        R: Send,
    {
        if items <= BRIEF {
            work(&mut self.0.try_write(py), &mut self.1.try_write(py))
        } else {
            py.detach(|| work(&mut self.0.wait_write(), &mut self.1.wait_write()))
        }
    }
}
