//! Which profile files there are, by the program they are of.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::place::{Name, same_content};
use crate::key::Key;
use crate::profile::Identity;

/// Profile files, by name; of each name the one saved last is the last.
#[derive(Debug, Default)]
pub(super) struct Files(HashMap<Name, Vec<Filed>>);

#[derive(Debug)]
struct Filed {
    path: PathBuf,
    key: Key,
    /// What it was learnt from; a file need not say.
    identity: Option<Identity>,
}

impl Filed {
    fn is_of(&self, identity: &Identity) -> bool {
        let same = |own: &Identity| same_content(own, identity);
        self.identity.as_ref().is_some_and(same)
    }
}

impl Files {
    /// Notes that a file was written, or found.
    pub(super) fn add(
        &mut self,
        name: Name,
        key: Key,
        path: PathBuf,
        identity: impl Into<Option<Identity>>,
    ) {
        let list = self.0.entry(name).or_default();
        list.retain(|filed| filed.path != path);
        list.push(Filed {
            path,
            key,
            identity: identity.into(),
        });
    }

    /// The file of a program whose content is known to be this one's: the one saved last under its
    /// name; else under another name of the very same file, since who executes a program first may
    /// do so by a link or a mount of his own.
    pub(super) fn of_content(&self, name: &Name, identity: &Identity) -> Option<PathBuf> {
        let own = self.0.get(name).into_iter().flatten();
        if let Some(filed) = own.rev().find(|filed| filed.is_of(identity)) {
            return Some(filed.path.clone());
        }
        let same_inode = |filed: &&Filed| {
            let inode = |identity: &Identity| identity.exe.inode;
            filed.identity.as_ref().map(inode) == Some(inode(identity)) && filed.is_of(identity)
        };
        self.0
            .iter()
            .filter(|(other, _)| other.whom == name.whom && other.script == name.script)
            .flat_map(|(_, list)| list)
            .find(same_inode)
            .map(|filed| filed.path.clone())
    }

    /// The names under which a profile of this key was saved.
    pub(super) fn names_of(&self, key: Key) -> impl Iterator<Item = &Name> {
        let is_of = move |list: &Vec<Filed>| list.iter().any(|filed| filed.key == key);
        self.0
            .iter()
            .filter(move |(_, list)| is_of(list))
            .map(|(name, _)| name)
    }

    /// The file of a program that was saved last.
    pub(super) fn newest(&self, name: &Name) -> Option<PathBuf> {
        Some(self.0.get(name)?.last()?.path.clone())
    }

    /// Notes that a file is gone.
    pub(super) fn remove(&mut self, path: &Path) {
        self.take(|_, filed| filed.path == path);
    }

    /// Takes out the files of a program with this content.
    pub(super) fn take_content(&mut self, name: &Name, identity: &Identity) -> Vec<PathBuf> {
        self.take(|other, filed| other == name && filed.is_of(identity))
    }

    /// Takes out the files of the program that a profile of this key was of, as it was last.
    pub(super) fn take_key(&mut self, key: Key) -> Vec<PathBuf> {
        let of_key = |(name, list): (&Name, &Vec<Filed>)| {
            let filed = list.iter().rev().find(|filed| filed.key == key)?;
            Some((name.clone(), filed.identity.clone()?))
        };
        match self.0.iter().find_map(of_key) {
            Some((name, identity)) => self.take_content(&name, &identity),
            None => self.take(|_, filed| filed.key == key),
        }
    }

    fn take(&mut self, wanted: impl Fn(&Name, &Filed) -> bool) -> Vec<PathBuf> {
        let mut taken = Vec::new();
        for (name, list) in &mut self.0 {
            let gone = list.extract_if(.., |filed| wanted(name, filed));
            taken.extend(gone.map(|filed| filed.path));
        }
        self.0.retain(|_, list| !list.is_empty());
        taken
    }
}
