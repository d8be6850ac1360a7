//! The shipped SQL files are part of the program: a new or changed one means a new build.
fn main() {
    println!("cargo:rerun-if-changed=sql");
}
