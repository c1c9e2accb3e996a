//! Answers a test set with every method, scores and compares them
