//! The shipped reports, run by the program: over the sample data, and over real exports by way of two small projects. What
//! the docs show and list is checked here too.

mod docs;
mod ends;
mod gallery;
mod golden;
mod operators;
mod program;
mod real_data;
mod story;
