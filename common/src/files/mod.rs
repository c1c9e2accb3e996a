//! Everything that reads or writes files and folders.

pub mod fs;
pub mod hash;
pub mod json;
pub mod lock;
pub mod manifest;
pub mod paths;
