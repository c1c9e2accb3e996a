//! Sizes above which input is rejected, each with the attack that it stops.
//!
//! They are generous: real files stay far below them. A limit is checked before the memory is taken.

/// Largest text file that is read whole (recipes, configurations, tokenizers, question sets). Stops a file, or a link
/// to an endless one, from filling the memory.
pub const MAX_TEXT_BYTES: u64 = 256 << 20;

/// Largest file of any kind that is read whole (samples of a large build). Same attack, for JSON Lines.
pub const MAX_FILE_BYTES: u64 = 4 << 30;

/// Longest line of a JSON Lines file that is read row by row. Stops a file without line ends from filling the memory.
pub const MAX_LINE_BYTES: u64 = 64 << 20;

/// Largest recipe. Stops a parser with worse than linear time from being fed megabytes.
pub const MAX_RECIPE_BYTES: u64 = 1 << 20;

/// Most files in a folder that is hashed or listed. Stops a run on `/`.
pub const MAX_DIR_FILES: usize = 1_000_000;

/// Deepest folder that is hashed or listed. Stops a nest of folders from exhausting the stack.
pub const MAX_DIR_DEPTH: usize = 32;

/// Longest relative path in a data file, in bytes. Stops names that no file system can hold.
pub const MAX_PATH_BYTES: usize = 4096;

/// Largest audio file, in bytes (an hour of 96 kHz 32-bit stereo is 2.8 GB). Stops a file from filling the memory
/// before its header is even read.
pub const MAX_AUDIO_BYTES: u64 = 3 << 30;

/// Longest decoded audio, in seconds. Stops a small compressed file that unpacks to days of silence.
pub const MAX_AUDIO_DURATION_S: f64 = 3600.0;

/// Highest sample rate, in hertz. Stops a header whose rate makes the resampler allocate gigabytes.
pub const MAX_SAMPLE_RATE_HZ: u32 = 768_000;

/// Lowest sample rate, in hertz. Stops a header of 1 Hz, which would make the resampled audio thousands of times longer.
pub const MIN_SAMPLE_RATE_HZ: u32 = 1_000;

/// Most channels. Stops a header that claims 65535 of them.
pub const MAX_CHANNELS: u16 = 64;

/// Most questions in a set. Stops an array of millions of empty objects.
pub const MAX_QUESTIONS: usize = 1_000_000;

/// Largest row of a question set, in bytes. Stops one row of a million numbers, which take 32 bytes each once read.
pub const MAX_ROW_BYTES: usize = 4 << 20;

/// Most options of a question: they are lettered A to Z.
pub const MAX_CHOICES: usize = 26;

/// Most audio clips of a question. Stops a prompt that is nothing but audio tokens.
pub const MAX_CLIPS: usize = 16;

/// Longest question, option or id, in characters. Stops a prompt that no context window holds.
pub const MAX_FIELD_CHARS: usize = 65_536;

/// Largest header of a safetensors file (the reference implementation's own limit). Stops a header length of 2^63.
pub const MAX_SAFETENSORS_HEADER_BYTES: u64 = 100_000_000;

/// Most tensors in a checkpoint. Stops a header of millions of empty tensors.
pub const MAX_TENSORS: usize = 100_000;

/// Most shards of a checkpoint. Stops an index file that opens thousands of files.
pub const MAX_SHARDS: usize = 1_000;

/// Largest width, vocabulary or position count in a model configuration. Stops an allocation of `hidden_size` 10^18.
pub const MAX_MODEL_DIM: usize = 1 << 24;

/// Most positions of a language model. Its rotary tables have a row for each: stops a table of 10^9 rows.
pub const MAX_POSITIONS: usize = 1 << 20;

/// Most layers in a model configuration. Same attack.
pub const MAX_LAYERS: usize = 1_024;

/// Largest LoRA rank. Stops an adapter configuration that asks for more than the base model weighs.
pub const MAX_LORA_RANK: usize = 4_096;

/// Largest chat template, in bytes. Stops a text that takes minutes to compile.
pub const MAX_TEMPLATE_BYTES: usize = 1 << 20;

/// Longest target-module pattern, in bytes. Stops a regular expression that compiles to gigabytes.
pub const MAX_PATTERN_BYTES: usize = 4_096;

/// Most turns of all counted repeats of a regular expression together. Stops `((?=.*)){4294967295}`, which no limit on
/// backtracking ends.
pub const MAX_PATTERN_REPEATS: u64 = 1_000;

/// Largest `tokenizer.json`, in bytes; the largest that is published has 33 MB. Its parser takes many times as much.
pub const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// Most parts of a tokenizer's normalizer, of its pre-tokenizer and of its decoder. Stops lists of millions of numbers.
pub const MAX_TOKENIZER_PARTS: usize = 10_000;

/// How many times longer a tokenizer's normalizer may make a text. Stops nine nested replacements by ten letters.
pub const MAX_TEXT_GROWTH: usize = 64;

/// Longest word for which a similar one is looked up, in characters. Edit distance is quadratic.
pub const MAX_SUGGESTION_CHARS: usize = 64;
