//! BPF objects that are there to be compared with, compiled when they are needed.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use ebph::EntryHook;
use libbpf_cargo::SkeletonBuilder;
use libbpf_rs::{Link, Object, ObjectBuilder};
use tempfile::TempDir;

use crate::Failure;

/// Where the compiled objects are while the benchmark runs.
pub struct Objects(TempDir);

/// Programs that run until this is dropped.
pub struct Attached {
    _links: Vec<Link>,
    _object: Object,
}

impl Objects {
    pub fn compile() -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut include = OsString::from("-I");
        include.push(root.join("include"));
        for name in ["floor", "thesis"] {
            SkeletonBuilder::new()
                .source(root.join(format!("benches/overhead/{name}.bpf.c")))
                .obj(dir.path().join(name))
                .clang_args([OsString::from("-mcpu=v3"), include.clone()])
                .build()
                .map_err(|error| format!("{name}.bpf.c: {error:?}"))?;
        }
        Ok(Self(dir))
    }

    /// The empty program of the kind that `hook` names.
    pub fn floor(&self, hook: EntryHook) -> Result<Attached, Failure> {
        self.one(match hook {
            EntryHook::Tracepoint => "floor_tracepoint",
            _ => "floor_tp_btf",
        })
    }

    /// The program that counts each thread's calls in task storage, and does nothing else.
    pub fn counter(&self) -> Result<Attached, Failure> {
        self.one("counter_tp_btf")
    }

    fn one(&self, name: &str) -> Result<Attached, Failure> {
        let mut open = ObjectBuilder::default().open_file(self.0.path().join("floor"))?;
        for mut program in open.progs_mut() {
            let load = program.name() == OsStr::new(name);
            program.set_autoload(load);
        }
        attach(open.load()?, |program| program == OsStr::new(name))
    }

    /// The thesis's design, for the threads of a process and those that descend from it.
    pub fn thesis(&self, root: u32) -> Result<Attached, Failure> {
        let mut open = ObjectBuilder::default().open_file(self.0.path().join("thesis"))?;
        let mut constants = open
            .maps_mut()
            .find(|map| map.name().to_string_lossy().ends_with(".rodata"))
            .ok_or("no constants")?;
        let data = constants.initial_value_mut().ok_or("no constants")?;
        data.get_mut(..4)
            .ok_or("no constants")?
            .copy_from_slice(&root.to_ne_bytes());
        attach(open.load()?, |_| true)
    }
}

fn attach(object: Object, wanted: impl Fn(&OsStr) -> bool) -> Result<Attached, Failure> {
    let links = object
        .progs_mut()
        .filter(|program| wanted(program.name()))
        .map(|program| program.attach())
        .collect::<Result<Vec<_>, _>>()?;
    if links.is_empty() {
        return Err("no program".into());
    }
    Ok(Attached {
        _links: links,
        _object: object,
    })
}
