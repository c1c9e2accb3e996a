//! The whole model: audio encoder, projector, language model, tokenizer and settings.

mod adapters;
mod init;
pub(crate) mod save;

use std::path::Path;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use idk_audio::LogMel;

use crate::arch::audio::FeatureExtractor;
use crate::arch::config::LalmConfig;
use crate::arch::names::EMBEDDING;
use crate::device::check;
use crate::device::parallel::map_in_order;
use crate::device::run_settings::{RunSettings, is_gpu};
use crate::error::ModelError;
use crate::nn::batch::TokenBatch;
use crate::nn::decoder::Decoder;
use crate::nn::encoder::AudioEncoder;
use crate::nn::linear::ForwardContext;
use crate::nn::projector::Projector;
use crate::nn::source::{TensorSource, Values};
use crate::nn::tensor_mut::TensorMut;
use crate::text::generation::GenerationDefaults;
use crate::text::tokenizer::LalmTokenizer;
use crate::weights::{Quantisation, Weights};

/// A large audio language model.
///
/// The tensors are plain (outside autodiff) after loading; a trainer makes the ones it trains autodiff leaves through
/// [`Lalm::for_each_tensor`].
#[derive(Clone, Debug)]
pub struct Lalm {
    /// Sizes and special ids.
    pub config: LalmConfig,
    /// Spectrogram to audio features.
    pub encoder: AudioEncoder,
    /// Audio features to the language model's width.
    pub projector: Projector,
    /// The language model.
    pub decoder: Decoder,
    /// Text to ids and back.
    pub tokenizer: LalmTokenizer,
    /// Samples to spectrogram.
    pub mel: FeatureExtractor,
    /// How the model's authors sample from it.
    pub generation: GenerationDefaults,
    /// Where the tensors are.
    pub device: Device,
}

impl Lalm {
    /// Loads a Hugging Face folder of any known family: `config.json`, the tokenizer files, `preprocessor_config.json` (or
    /// `processor_config.json`), and safetensors weights in one file or in shards, in any naming of the family.
    /// All weights are widened to float32.
    ///
    /// # Errors
    /// As [`Lalm::load_with`].
    pub fn load(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::load_with(dir, device, RunSettings::PLAIN)
    }

    /// [`Lalm::load`] with the weights in another type, and to be run as `settings` say. Tensors go to the device one by
    /// one: in addition to the model the host holds the largest of them.
    ///
    /// # Errors
    /// Any missing, unused, misshaped or non-finite tensor and any unsupported setting is an error that names it;
    /// [`ModelError::DeviceCheck`] if a GPU does not compute in the type of the weights.
    pub fn load_with(dir: &Path, device: &Device, settings: RunSettings) -> Result<Self, ModelError> {
        let config = LalmConfig::from_dir(dir)?;
        let tokenizer = LalmTokenizer::from_dir(dir, &config)?;
        let mel = FeatureExtractor::from_dir(dir, config.audio.rule)?;
        let generation = GenerationDefaults::from_dir(dir, &tokenizer)?;
        let mut weights = Weights::open_dir(dir, Some(&config.architecture.names))?;
        // The embedding's stored type stands for the model's.
        let half = weights.is_half(EMBEDDING) && device.supports_dtype(DType::BF16);
        let bf16 = settings.bf16(is_gpu(device), half);
        weights.check(&config.specs())?;
        check::check(device, if bf16 { DType::BF16 } else { DType::F32 })?;
        let quantisation = settings.dtype.quantisation();
        let mut lalm =
            Self::assemble(config, tokenizer, mel, generation, device, quantisation, &mut |spec| {
                let (name, shape) = (&spec.name, &spec.shape);
                // What is quantised is so from the stored numbers.
                if bf16 && spec.quantised(quantisation).is_none() {
                    Ok(TensorData::new(weights.take_bf16(name, shape)?, shape.clone()))
                } else {
                    Ok(TensorData::new(weights.take(name, shape)?, shape.clone()))
                }
            })?;
        weights.finish()?;
        lalm.set_run(settings);
        Ok(lalm)
    }

    /// Runs the model with other settings from now on; the type of its weights stays.
    pub fn set_run(&mut self, settings: RunSettings) {
        let pad_to = settings.pad_to(is_gpu(&self.device));
        self.decoder.pad_to = pad_to;
        self.decoder.gradient_checkpointing = settings.gradient_checkpointing;
        self.encoder.pad_to = pad_to;
    }

    /// Whether the weights, those that are quantised aside, are bfloat16 and not float32.
    pub fn is_bf16(&self) -> bool {
        self.decoder.dtype() == DType::BF16
    }

    /// How the weights of the language model's layers are held, if in fewer bits than they are computed in.
    pub fn quantisation(&self) -> Option<Quantisation> {
        self.decoder.quantisation()
    }

    /// Whether decoder layers are run again in the backward pass, which only whole sequences can be.
    pub fn recomputes(&self) -> bool {
        self.decoder.gradient_checkpointing
    }

    /// Builds the model from named values.
    pub(crate) fn assemble(
        config: LalmConfig,
        tokenizer: LalmTokenizer,
        mel: FeatureExtractor,
        generation: GenerationDefaults,
        device: &Device,
        quantisation: Option<Quantisation>,
        values: &mut Values<'_>,
    ) -> Result<Self, ModelError> {
        if mel.config().feature_size != config.audio.num_mel_bins {
            let (expected, found) = (config.audio.num_mel_bins, mel.config().feature_size);
            return Err(ModelError::MelBands { expected, found });
        }
        let mut source = TensorSource::new(device, config.specs(), quantisation, values);
        let encoder = AudioEncoder::build(&config.audio, mel.config(), &mut source)?;
        let projector = Projector::build(&config.projector, &mut source)?;
        let decoder = Decoder::build(&config.text, &mut source)?;
        Ok(Self { config, encoder, projector, decoder, tokenizer, mel, generation, device: device.clone() })
    }

    /// Calls `f` with every tensor and its canonical (transformers 4, on-disk) name, in a fixed order.
    ///
    /// [`ENCODER_POSITIONS`](crate::ENCODER_POSITIONS) is among them; transformers keeps it frozen. Weights that are
    /// quantised are not: they cannot be trained.
    pub fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        self.encoder.for_each_tensor(f);
        self.projector.for_each_tensor(f);
        self.decoder.for_each_tensor(f);
    }

    /// Parameters of the model.
    pub fn num_params(&self) -> usize {
        self.config.num_parameters()
    }

    /// Encodes and projects audio clips, each to one row per audio token.
    ///
    /// # Shapes
    /// - each output: `[audio_tokens, hidden]`
    ///
    /// # Errors
    /// [`ModelError::MelBands`] or [`ModelError::Input`] for a spectrogram that does not fit the encoder.
    pub fn encode_audio(
        &self,
        mels: &[&LogMel],
        context: &ForwardContext,
    ) -> Result<Vec<Tensor<2>>, ModelError> {
        if mels.is_empty() {
            return Ok(Vec::new());
        }
        let encoded = self.encoder.encode(mels, context)?;
        let rows = self.projector.forward(encoded.rows, context);
        let window = |&(start, tokens): &(usize, usize)| rows.clone().narrow(0, start, tokens);
        let clip = |windows: &Vec<(usize, usize)>| match windows.as_slice() {
            [one] => window(one),
            many => Tensor::cat(many.iter().map(window).collect(), 0),
        };
        Ok(encoded.places.iter().map(clip).collect())
    }

    /// [`Lalm::encode_audio`] of each clip for itself: its features are the same to the last bit whichever clips it is
    /// encoded with. On the CPU several clips at once.
    ///
    /// # Shapes
    /// - each output: `[audio_tokens, hidden]`
    ///
    /// # Errors
    /// As [`Lalm::encode_audio`].
    pub fn encode_each(
        &self,
        mels: &[&LogMel],
        context: &ForwardContext<'_>,
    ) -> Result<Vec<Tensor<2>>, ModelError> {
        let encode = |mel: &&LogMel| self.encode_audio(&[mel], context);
        let encoded = map_in_order(mels, &self.device, encode);
        Ok(encoded.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Token embeddings with the audio placeholders replaced, in order, by each row's audio.
    ///
    /// # Shapes
    /// - `audio`: per batch row its clips, each `[audio_tokens, hidden]`
    /// - output: `[batch, seq, hidden]`
    ///
    /// # Errors
    /// [`ModelError::AudioTokenCount`] if a row has more or fewer placeholders than audio rows; [`ModelError::Input`]
    /// for an id beyond the vocabulary or a sequence beyond `max_position_embeddings`.
    pub fn embed(&self, batch: &TokenBatch, audio: &[Vec<Tensor<2>>]) -> Result<Tensor<3>, ModelError> {
        let mut places = Vec::with_capacity(batch.rows());
        let mut start = 0;
        for clips in audio {
            let tokens: usize = clips.iter().map(|clip| clip.dims()[0]).sum();
            places.push(vec![(start, tokens)]);
            start += tokens;
        }
        let clips: Vec<Tensor<2>> = audio.iter().flatten().cloned().collect();
        let rows = if clips.is_empty() { None } else { Some(Tensor::cat(clips, 0)) };
        self.merge(batch, rows, &places)
    }

    /// [`Lalm::encode_audio`] and [`Lalm::embed`] in one, without cutting the audio up in between: the way to embed a
    /// batch whose audio path is trained.
    ///
    /// # Shapes
    /// - `audio`: per batch row its clips
    /// - output: `[batch, seq, hidden]`
    ///
    /// # Errors
    /// As [`Lalm::encode_audio`] and [`Lalm::embed`].
    pub fn embed_mels(
        &self,
        batch: &TokenBatch,
        audio: &[Vec<&LogMel>],
        context: &ForwardContext,
    ) -> Result<Tensor<3>, ModelError> {
        let mels: Vec<&LogMel> = audio.iter().flatten().copied().collect();
        if mels.is_empty() {
            return self.merge(batch, None, &vec![Vec::new(); audio.len()]);
        }
        let encoded = self.encoder.encode(&mels, context)?;
        let rows = Some(self.projector.forward(encoded.rows, context));
        let mut places = encoded.places.into_iter();
        let places: Vec<Vec<(usize, usize)>> =
            audio.iter().map(|clips| places.by_ref().take(clips.len()).flatten().collect()).collect();
        self.merge(batch, rows, &places)
    }

    /// Gathers text embeddings and audio rows into sequences. `places` holds per batch row the first row and the number of
    /// rows of each piece of audio.
    fn merge(
        &self,
        batch: &TokenBatch,
        audio: Option<Tensor<2>>,
        places: &[Vec<(usize, usize)>],
    ) -> Result<Tensor<3>, ModelError> {
        self.check_batch(batch, places)?;
        let (rows, seq, hidden) = (batch.rows(), batch.seq(), self.config.text.hidden_size);
        let placeholder = |id: u32| id == self.config.audio_token_id;
        let text_ids: Vec<u32> = batch.ids.iter().flatten().copied().filter(|&id| !placeholder(id)).collect();
        let text = self.decoder.embed_ids(&text_ids); // [text tokens, hidden]
        let Some(audio) = audio else { return Ok(text.reshape([rows, seq, hidden])) };
        let mut next_text = 0;
        let mut index = Vec::with_capacity(rows * seq);
        for (ids, clips) in batch.ids.iter().zip(places) {
            let mut audio_rows = clips.iter().flat_map(|&(start, tokens)| start..start + tokens);
            for &id in ids {
                let row =
                    if placeholder(id) { audio_rows.next().map(|row| text_ids.len() + row) } else { None };
                index.push(row.unwrap_or(next_text) as i32);
                next_text += usize::from(row.is_none());
            }
        }
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [rows * seq]), &self.device);
        Ok(Tensor::cat(vec![text, audio], 0).select(0, index).reshape([rows, seq, hidden]))
    }

    fn check_batch(&self, batch: &TokenBatch, places: &[Vec<(usize, usize)>]) -> Result<(), ModelError> {
        if places.len() != batch.rows() {
            let what = format!("{} rows of tokens but {} rows of audio", batch.rows(), places.len());
            return Err(ModelError::Input { what });
        }
        let (seq, most) = (batch.seq(), self.config.text.max_position_embeddings);
        if seq > most {
            return Err(ModelError::Input {
                what: format!("a sequence of {seq} tokens, the model has {most} positions"),
            });
        }
        let vocab = self.config.text.vocab_size;
        if let Some(id) = batch.ids.iter().flatten().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::Input {
                what: format!("token {id} is beyond the vocabulary of {vocab}"),
            });
        }
        for (row, (ids, clips)) in batch.ids.iter().zip(places).enumerate() {
            let placeholders = ids.iter().filter(|&&id| id == self.config.audio_token_id).count();
            let rows = clips.iter().map(|(_, tokens)| tokens).sum();
            if placeholders != rows {
                return Err(ModelError::AudioTokenCount { row, placeholders, rows });
            }
        }
        Ok(())
    }
}
