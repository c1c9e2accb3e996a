#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! A [`Lalm`] is loaded from a Hugging Face folder and holds plain (frozen) tensors. Its parts are plain structs: what
//! trains is decided by whoever makes tensors autodiff leaves, either the base's own ([`Lalm::for_each_tensor`]) or
//! those of [`Adapters`] handed over in a [`ForwardContext`].
mod answer;
mod arch;
mod device;
mod error;
mod features;
pub mod fused;
mod generate;
mod lalm;
mod lora;
mod nn;
mod outline;
mod text;
mod weights;

pub use idk_common::chat::{Message, Part, audio_count};

pub use answer::{Answerer, Chat, batches_by_length};
pub use arch::audio::{AudioRule, FeatureExtractor, Pooling, Windows};
pub use arch::config::{AudioConfig, LalmConfig, ProjectorConfig, RotaryTime, TextConfig};
pub use arch::names::{ENCODER_POSITIONS, Names, Role, adapt_audio};
pub use arch::specs::{Linears, TensorKind, TensorSpec};
pub use arch::{ARCHITECTURES, Architecture};
pub use device::kernel_cache::{KernelCache, default_kernel_cache_dir, open_kernel_cache};
pub use device::malloc::tune_allocator;
pub use device::parallel::{each_in_order, map_in_order, workers};
pub use device::run_settings::{RunSettings, WeightDtype, is_gpu};
pub use device::{Device, DeviceInfo, device, devices};
pub use error::ModelError;
pub use features::{Clip, EncoderState, FeatureCounts, FeatureLimits, FeatureStore, LoadedClip};
pub use generate::guide::{Guide, GuideText};
pub use generate::prefill::{Prompt, select_rows};
pub use generate::sampling::{
    SamplingConfig, argmax, log_softmax, log_sum_exp, next_token, penalized, probs,
};
pub use generate::score::answer_log_probs;
pub use generate::states::{StatePosition, prompt_states};
pub use generate::{Generated, MoreAnswers, generate, generate_in_rounds};
pub use lalm::Lalm;
pub use lalm::save::SaveDtype;
pub use lora::merge::{Merge, Merged, StoredDtype};
pub use lora::peft::{EncoderNames, check_adapter_files};
pub use lora::{AdaptedModules, Adapters, LoraConfig, LoraInit, LoraPair, TargetModules};
pub use nn::batch::TokenBatch;
pub use nn::cache::KvCache;
pub use nn::decoder::{Decoder, DecoderLayer};
pub use nn::encoder::{AudioEncoder, EncoderStages};
pub use nn::linear::{ForwardContext, Linear, LinearWeight};
pub use nn::norm::{LayerNorm, RmsNorm};
pub use nn::projector::Projector;
pub use nn::rope::{Angles, Rope};
pub use nn::tensor_mut::TensorMut;
pub use outline::ModelInfo;
pub use text::generation::GenerationDefaults;
pub use text::tokenizer::LalmTokenizer;
pub use weights::{Quantisation, QuantisedWeight, Weights, dequantised_bytes};
