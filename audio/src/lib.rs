//! Decoding, resampling and Whisper log-mel features
