//! Everything that reads or writes files and folders.

pub mod faults;
pub mod fs;
pub mod hash;
pub mod json;
pub mod lfs;
pub mod lines;
pub mod lock;
pub mod manifest;
pub mod owned;
pub mod paths;
pub mod rows;
mod type_words;

pub use type_words::plain_types;
