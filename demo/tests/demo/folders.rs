//! The folder that the sample data is written to, and failures.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use cxql_demo::{DemoError, Options};
use tempfile::TempDir;

use super::data::relative_bytes;

#[test]
fn a_folder_with_other_files_is_kept_and_filled() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("README.md"), "mine").unwrap();
    cxql_demo::write(folder.path(), &Options { contacts: 50, seed: 1 }, &mut |_| {}).unwrap();
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "README.md",
            "agent_states.parquet",
            "agents.parquet",
            "customers.parquet",
            "events.parquet",
            "interactions",
            "orders.parquet",
            "surveys.parquet"
        ]
    );
    assert_eq!(fs::read_to_string(folder.path().join("README.md")).unwrap(), "mine");
}

#[test]
fn a_table_in_the_way_is_named_and_nothing_is_written() {
    for name in ["orders.parquet", "interactions.parquet", "surveys"] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name), "mine").unwrap();
        let error = cxql_demo::write(folder.path(), &Options::default(), &mut |_| {}).unwrap_err();
        assert!(matches!(&error, DemoError::Exists { path } if path.ends_with(name)), "{error}");
        assert!(error.to_string().contains("remove it, or choose another folder"), "{error}");
        assert_eq!(relative_bytes(folder.path()), BTreeMap::from([(PathBuf::from(name), b"mine".to_vec())]));
    }
}

#[test]
fn a_table_that_appears_meanwhile_is_not_overwritten() {
    let options = Options { contacts: 50, seed: 1 };
    // In an existing folder.
    let folder = TempDir::new().unwrap();
    let late = folder.path().join("surveys.parquet");
    let error = cxql_demo::write(folder.path(), &options, &mut |_| fs::write(&late, "mine").unwrap()).unwrap_err();
    assert!(matches!(error, DemoError::Exists { .. }), "{error}");
    assert_eq!(relative_bytes(folder.path()), BTreeMap::from([(PathBuf::from("surveys.parquet"), b"mine".to_vec())]));
    // In a new folder.
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("new");
    let late = target.join("surveys.parquet");
    let error = cxql_demo::write(&target, &options, &mut |_| {
        fs::create_dir_all(&target).unwrap();
        fs::write(&late, "mine").unwrap();
    })
    .unwrap_err();
    assert!(matches!(error, DemoError::Io { .. }), "{error}");
    assert_eq!(
        relative_bytes(folder.path()),
        BTreeMap::from([(PathBuf::from("new/surveys.parquet"), b"mine".to_vec())])
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn nothing_is_left_when_the_caller_panics_in_the_middle() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("new");
    let mut days = 0;
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cxql_demo::write(&target, &Options { contacts: 5000, seed: 1 }, &mut |_| {
            days += 1;
            assert!(days < 200, "stopped on purpose");
        })
    }));
    assert!(stopped.is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_process_left_goes_and_what_a_living_one_writes_stays() {
    let folder = TempDir::new().unwrap();
    for name in ["killed", "living", "unknown"] {
        fs::create_dir_all(folder.path().join(format!(".cxql-demo-{name}/data"))).unwrap();
    }
    fs::write(folder.path().join(".cxql-demo-killed/lock"), "").unwrap();
    let lock = fs::File::create(folder.path().join(".cxql-demo-living/lock")).unwrap();
    lock.lock().unwrap();
    let options = Options { contacts: 5, seed: 1 };
    cxql_demo::write(&folder.path().join("new"), &options, &mut |_| {}).unwrap();
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [".cxql-demo-living", ".cxql-demo-unknown", "new"]);
}

#[test]
fn missing_parents_are_created() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("a/b/c");
    cxql_demo::write(&target, &Options { contacts: 5, seed: 1 }, &mut |_| {}).unwrap();
    assert_eq!(relative_bytes(&target).len(), 7);
    assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
}

#[test]
fn a_file_as_target_or_parent_and_a_wrong_number_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let options = Options { contacts: 5, seed: 1 };
    let error = cxql_demo::write(&file, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, DemoError::NotAFolder { .. }), "{error}");
    let error = cxql_demo::write(&file.join("below"), &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, DemoError::Io { .. }), "{error}");
    for contacts in [0, u64::MAX] {
        let error =
            cxql_demo::write(&folder.path().join("new"), &Options { contacts, seed: 1 }, &mut |_| {}).unwrap_err();
        assert!(matches!(error, DemoError::Contacts { .. }), "{error}");
        assert!(error.to_string().contains("ask for 1 to"), "{error}");
    }
    assert_eq!(relative_bytes(folder.path()), BTreeMap::from([(PathBuf::from("file"), b"mine".to_vec())]));
}
