//! Question records, prompts, answer matching, refusals and metrics
