//! One file of a model or adapter folder replaced by any bytes: an error, or what can be used; never a panic, a hang or
//! more memory than the file has reason for.

#![no_main]

mod folder;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use idk_model::ModelInfo;
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 8] = [
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "generation_config.json",
    "lora_adapter/adapter_config.json",
    "lora_adapter/adapter_model.safetensors",
];

static FIXTURE: LazyLock<PathBuf> =
    LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny"));

/// A copy of the smallest model with an adapter.
static MODEL: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = folder::folder();
    std::fs::create_dir_all(dir.join("lora_adapter")).expect("the folder can be made");
    FILES.iter().for_each(|name| restore(&dir, name));
    dir
});

fn restore(dir: &Path, name: &str) {
    std::fs::copy(FIXTURE.join(name), dir.join(name)).expect("the file can be copied");
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let name = FILES[usize::from(first) % FILES.len()];
    std::fs::write(MODEL.join(name), bytes).expect("the file can be written");
    if let Ok(outline) = ModelInfo::read(&MODEL) {
        let _ = outline.adapters(&MODEL.join("lora_adapter"));
        let _ = outline.tokenizer.encode("What is that? 1,000 dogs!");
    }
    restore(&MODEL, name);
});
