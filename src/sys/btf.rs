//! What the kernel says of its own functions and tracepoints.

use std::collections::BTreeMap;
use std::path::Path;

use libbpf_rs::btf::{Btf, TypeId, types};

/// The file in which it says so.
pub(crate) const PATH: &str = "/sys/kernel/btf/vmlinux";

/// The numbers, among the kernel's types, of those of `wanted` that it has; `None` if it does not
/// describe its types, or they cannot be read. A tracepoint `x` is `btf_trace_x` there.
///
/// A look-up by name alone would not do: some names are those of a structure as well. And each would go through
/// all types, of which there are a hundred thousand and more.
pub(crate) fn numbers(
    wanted: impl IntoIterator<Item = &'static str>,
) -> Option<BTreeMap<&'static str, u32>> {
    // Not asked for what is not there: libbpf would complain on standard error.
    if !Path::new(PATH).exists() {
        return None;
    }
    let all = Btf::from_vmlinux().ok()?;
    let wanted: Vec<&'static str> = wanted.into_iter().collect();
    let mut found = BTreeMap::new();
    for number in 1..all.len() as u32 {
        let id = TypeId::from(number);
        let function = all.type_by_id::<types::Func<'_>>(id);
        let name = match &function {
            Some(function) => function.name(),
            None => match all.type_by_id::<types::Typedef<'_>>(id) {
                Some(typedef) => typedef.name(),
                None => continue,
            },
        };
        let name = name.and_then(|name| name.to_str());
        if let Some(name) = wanted.iter().find(|wanted| name == Some(**wanted)) {
            found.insert(*name, number);
        }
    }
    Some(found)
}
