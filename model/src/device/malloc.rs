//! The C library's memory allocator, set up for tensors.
#![expect(
    unsafe_code,
    reason = "mallopt has no safe interface; measured to save a quarter of a training step"
)]

/// Makes glibc keep freed tensor buffers for the next tensor and not return each to the kernel.
///
/// By default every buffer above 128 KiB to 32 MiB is mapped and unmapped, so each operation of a training step faults its
/// output in page by page. And two heaps serve all threads: with one for each, what a thread has freed is of no use to the
/// others, and a training step of two threads held twice as much. Call it first in `main`; it can be called again. Does
/// nothing on other systems.
pub fn tune_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;

        unsafe extern "C" {
            fn mallopt(param: c_int, value: c_int) -> c_int;
        }
        // malloc.h of glibc
        const M_TRIM_THRESHOLD: c_int = -1;
        const M_TOP_PAD: c_int = -2;
        const M_MMAP_THRESHOLD: c_int = -3;
        const M_ARENA_MAX: c_int = -8;
        let settings = [
            (M_MMAP_THRESHOLD, 1 << 30),
            (M_TRIM_THRESHOLD, c_int::MAX),
            (M_TOP_PAD, 64 << 20),
            (M_ARENA_MAX, 2),
        ];
        for (param, value) in settings {
            // SAFETY: the declaration is that of glibc's malloc.h; mallopt takes the allocator's own lock, reads only its
            // two integer arguments, and answers a value it does not accept by changing nothing.
            let _accepted = unsafe { mallopt(param, value) };
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn tuning_twice_leaves_a_working_allocator() {
        super::tune_allocator();
        super::tune_allocator();
        let buffers: Vec<Vec<u8>> = (1..50).map(|size| vec![size as u8; size << 16]).collect();
        assert!(
            buffers
                .iter()
                .enumerate()
                .all(|(index, buffer)| buffer.iter().all(|&b| usize::from(b) == index + 1))
        );
    }
}
