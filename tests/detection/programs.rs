//! The programs under watch.

pub mod corpus;
mod find;
mod gawk;
mod nginx;
mod postgres;
mod python;
mod redis;
mod sed;
mod sqlite;
mod tar;
mod vim;

use crate::program::Program;

/// All of them, those that take longest first.
pub const ALL: &[&Program] = &[
    &postgres::POSTGRES,
    &nginx::NGINX,
    &redis::REDIS,
    &python::PYTHON,
    &vim::VIM,
    &tar::TAR,
    &find::FIND,
    &gawk::GAWK,
    &sed::SED,
    &sqlite::SQLITE,
];
