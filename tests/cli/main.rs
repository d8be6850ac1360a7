//! What a user sees on the command line, through the real program: good ways, every kind of bad input, exit codes.

mod broken_files;
mod config;
mod csv;
mod data;
mod dialects;
mod functions;
mod interrupt;
mod labels;
mod measures;
mod model;
mod notes;
mod output;
mod pages;
mod periods;
mod privacy;
mod program;
mod reports;
mod shell;
mod sql;
mod views;
mod ways;
mod words;
