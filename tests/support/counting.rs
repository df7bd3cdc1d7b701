//! An allocator that counts what one thread allocates: exactly, and nothing of the others.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Counts allocations and reallocations of the threads that ask for it.
pub(crate) struct Counting;

/// What the thread has asked for and not given back.
fn keep(bytes: isize) {
    let _ = LIVE.try_with(|it| it.set(it.get() + bytes));
}

fn count(bytes: usize) {
    // A thread that ends has no counters any more, and is not counted.
    if COUNTS.try_with(Cell::get) == Ok(true) {
        ALLOCATIONS.with(|it| it.set(it.get() + 1));
        BYTES.with(|it| it.set(it.get() + bytes as u64));
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing, for the counters are
// constant-initialised and need no drop.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        keep(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        keep(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        keep(size as isize - layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        keep(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Allocations, and bytes asked for, of this thread while `work` runs.
#[allow(dead_code, reason = "not each test that counts asks for it")]
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (T, u64, u64) {
    let before = (ALLOCATIONS.get(), BYTES.get());
    COUNTS.set(true);
    let value = work();
    COUNTS.set(false);
    (value, ALLOCATIONS.get() - before.0, BYTES.get() - before.1)
}

/// Bytes by which what this thread holds has grown while `work` ran.
#[allow(dead_code, reason = "not each test that counts asks for it")]
pub(crate) fn live<T>(work: impl FnOnce() -> T) -> (T, isize) {
    let before = LIVE.get();
    let value = work();
    (value, LIVE.get() - before)
}
