//! Qwen2-Audio in burn: configuration, weights, encoder, projector, decoder, LoRA, KV cache, generation, tokenizer.
//!
//! A [`Lalm`] is loaded from a Hugging Face folder and holds plain (frozen) tensors. Its parts are plain structs: what
//! trains is decided by whoever makes tensors autodiff leaves, either the base's own ([`Lalm::for_each_tensor`]) or
//! those of [`Adapters`] handed over in a [`ForwardContext`].
mod batch;
mod bpe;
mod cache;
mod chat;
mod config;
mod convolution;
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
mod cuda;
mod decoder;
mod device;
mod device_check;
mod encoder;
mod error;
pub mod fused;
mod generate;
mod generation_config;
mod init;
mod kernel_cache;
mod lalm;
mod linear;
mod linear_shapes;
mod lora;
mod malloc;
mod merge;
mod next_token;
mod norm;
mod number;
mod outline;
mod parallel;
mod peft;
mod prefill;
mod recompute;
mod rope;
mod run_settings;
mod sampling;
mod save;
mod score;
mod section;
mod shapes;
mod slot;
mod source;
mod tokenizer;
mod weights;

pub use batch::TokenBatch;
pub use bpe::{WordBpe, train_word_bpe};
pub use cache::KvCache;
pub use chat::{Message, Part, audio_count, render};
pub use config::{AudioConfig, LalmConfig, TextConfig};
pub use decoder::{Decoder, DecoderLayer};
pub use device::{Device, DeviceInfo, device, devices};
pub use encoder::{AudioEncoder, EncoderStages};
pub use error::ModelError;
pub use generate::{Generated, MoreAnswers, generate, generate_in_rounds};
pub use generation_config::GenerationDefaults;
pub use kernel_cache::{KernelCache, default_kernel_cache_dir, open_kernel_cache};
pub use lalm::Lalm;
pub use linear::{ForwardContext, Linear};
pub use lora::{
    AdaptedModules, Adapters, DEFAULT_TARGET_MODULES, LoraConfig, LoraInit, LoraPair, TargetModules,
};
pub use malloc::tune_allocator;
pub use merge::{Merge, Merged, StoredDtype};
pub use norm::{LayerNorm, RmsNorm};
pub use outline::Outline;
pub use parallel::workers;
pub use peft::EncoderNames;
pub use prefill::{Prompt, select_rows};
pub use rope::{Angles, Rope};
pub use run_settings::{RunSettings, WeightDtype};
pub use sampling::{SamplingConfig, argmax, log_softmax, log_sum_exp, next_token, penalized, probs};
pub use save::SaveDtype;
pub use score::answer_log_probs;
pub use shapes::{num_parameters, tensor_shapes};
pub use slot::Slot;
pub use tokenizer::LalmTokenizer;
pub use weights::{Weights, canonical_name};
