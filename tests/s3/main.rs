//! The program over S3 and http, as a user meets it: real servers on free ports, faults on the way, the binary itself.

mod faults;
mod jobs;
mod nth;
mod program;
mod read;
mod refused;
mod server;
mod session;
mod write;

use std::fs;
use std::path::Path;

use self::program::root;
use self::server::Server;

/// Copies a folder with all that is in it.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// A server whose bucket `desk` holds the sample data below `sample`.
fn server_with_sample() -> Server {
    let server = Server::s3();
    copy_folder(&root().join("data"), &server.bucket("desk").join("sample"));
    server
}

/// The folder of the sample data, as text for an argument.
fn sample() -> String {
    root().join("data").to_str().expect("the path is UTF-8").to_owned()
}
