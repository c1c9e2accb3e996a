//! What is shown of results: tables, plots, `report.html`, one flat table for spreadsheets.

pub(crate) mod abstention_table;
mod details;
mod export;
pub(crate) mod grid_table;
pub(crate) mod html;
pub(crate) mod measure_table;
pub(crate) mod plot;
pub(crate) mod plot_files;
mod rate_table;
pub(crate) mod run_files;
pub(crate) mod table;
pub(crate) mod text_table;
pub(crate) mod yardstick_table;
