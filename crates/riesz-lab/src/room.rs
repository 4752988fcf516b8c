//! Room in memory: what a thing takes at least, held against what the machine has, before anything is allocated.
//!
//! A recipe, or a file's metadata, can ask for more than any machine has; an allocation that cannot be had ends the
//! program without a sentence.

use std::path::{Path, PathBuf};

use sysinfo::System;

use crate::{Error, Result};

/// Where the machine does not tell how much memory it has, nothing larger than this is tried: 1 TiB.
const UNKNOWN: u128 = 1 << 40;

/// Product of sizes times `bytes` a number; as large as can be said if it is larger still.
pub fn bytes(bytes: u128, sizes: &[usize]) -> u128 {
    sizes.iter().fold(bytes, |product, &size| product.saturating_mul(size as u128))
}

/// Checks that `bytes` fit into memory. `what` is the sentence's beginning: what takes them, by the names of its keys.
///
/// # Errors
/// If they do not; the sentence tells both numbers.
pub fn check(what: impl FnOnce() -> String, bytes: u128) -> Result<()> {
    check_or(what, bytes, |_| None)
}

/// The same; `advice` is the sentence's end, on what would fit into so many bytes, where there is such a thing.
///
/// # Errors
/// As [`check`].
pub fn check_or(
    what: impl FnOnce() -> String,
    bytes: u128,
    advice: impl FnOnce(u128) -> Option<String>,
) -> Result<()> {
    let (most, of_whom) = there();
    if bytes <= most {
        return Ok(());
    }
    let advice = advice(most).map_or_else(String::new, |advice| format!("; {advice}"));
    let (bytes, most) = (gigabytes(bytes), gigabytes(most));
    Err(Error::input(format!("{} needs at least {bytes}, and {of_whom} {most}{advice}", what())))
}

/// What may be kept to save work: a quarter of the memory that is free now, or of the least limit to it; `most` at most.
pub fn to_keep(most: usize) -> usize {
    let free = told(System::available_memory).into_iter().chain(limit().map(|(bytes, _)| bytes)).min();
    free.map_or(most, |free| usize::try_from(free / 4).map_or(most, |quarter| quarter.min(most)))
}

/// Bytes of memory and swap space, and in words whose they are: the machine's, or a limit's if that is less, where they tell.
fn there() -> (u128, &'static str) {
    let machine = told(System::total_memory).map(|has| has + told(System::total_swap).unwrap_or(0));
    match (machine, limit()) {
        (Some(has), Some((limit, whose))) if limit < has => (limit, whose),
        (Some(has), _) => (has, "this machine has"),
        (None, _) => (UNKNOWN, "what is tried is at most"),
    }
}

/// Bytes as the system tells them of the machine; 0 where it does not.
fn told(bytes: fn(&System) -> u64) -> Option<u128> {
    let mut system = System::new();
    system.refresh_memory();
    Some(u128::from(bytes(&system))).filter(|&bytes| bytes > 0)
}

/// The least limit, and in words whose it is: of the control groups that this process is in, of either version of Linux's (a
/// container's, a scheduler's), which without one say "max", or more than any machine has; or of the process itself.
fn limit() -> Option<(u128, &'static str)> {
    let read = |place: &Path| std::fs::read_to_string(place).ok();
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let of_groups = limits(&own).into_iter().filter_map(|place| read(&place)?.trim().parse().ok());
    let of_itself = read(Path::new("/proc/self/limits")).and_then(|limits| address_space(&limits));
    of_groups
        .map(|bytes| (bytes, "the control group of this process may have"))
        .chain(of_itself.map(|bytes| (bytes, "this process may have (ulimit -v)")))
        .min_by_key(|&(bytes, _)| bytes)
}

/// The limit to a process's memory in the lines of `/proc/self/limits`, if there is one.
fn address_space(limits: &str) -> Option<u128> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Where the limits of memory are told, of each group in `own` (the lines of `/proc/self/cgroup`) and all that it is in.
fn limits(own: &str) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for line in own.lines().chain(["0::/", "0:memory:/"]) {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            of if of.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let groups = Path::new(group.trim_start_matches('/')).ancestors();
        places.extend(groups.map(|group| Path::new(root).join(group).join(file)));
    }
    places
}

/// In words.
pub fn gigabytes(bytes: u128) -> String {
    let gigabytes = bytes as f64 / 1e9;
    if gigabytes < 1e6 { format!("{gigabytes:.1} GB") } else { format!("{gigabytes:.0e} GB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_own_group_and_all_above_it() {
        let told = |own: &str| -> Vec<String> {
            limits(own).iter().map(|place| place.display().to_string()).collect()
        };
        let second = "/sys/fs/cgroup";
        let first = "/sys/fs/cgroup/memory";
        let roots = [format!("{second}/memory.max"), format!("{first}/memory.limit_in_bytes")];
        assert_eq!(told(""), roots);
        assert_eq!(told("not a line\n1:cpu,cpuacct:/x"), roots);
        assert_eq!(
            told("0::/system.slice/slurmd/job 7\n")[..3],
            ["system.slice/slurmd/job 7", "system.slice/slurmd", "system.slice"]
                .map(|group| format!("{second}/{group}/memory.max"))
        );
        assert_eq!(
            told("9:name=systemd:/a\n4:hugetlb,memory:/slurm/uid_1:2\n")[0],
            format!("{first}/slurm/uid_1:2/memory.limit_in_bytes")
        );
    }

    #[test]
    fn a_limit_of_the_process_is_that_of_its_address_space() {
        let lines = |limit: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max resident set          1                    1                    bytes     \n\
                 Max address space         {limit:<20} unlimited            bytes     \n"
            )
        };
        assert_eq!(address_space(&lines("512000000")), Some(512_000_000));
        assert_eq!(address_space(&lines("unlimited")), None);
        assert_eq!(address_space(""), None);
    }

    #[test]
    fn what_no_machine_has_is_refused_and_what_every_machine_has_is_not() {
        check(|| "a page".to_owned(), bytes(4, &[1024])).unwrap();
        for sizes in [&[1 << 60][..], &[usize::MAX, usize::MAX, usize::MAX, 7]] {
            let refused = check(|| "x = 1".to_owned(), bytes(4, sizes)).unwrap_err();
            assert_eq!(refused.exit_code(), 2);
            assert!(refused.to_string().starts_with("x = 1 needs at least "), "{refused}");
        }
        assert_eq!(bytes(4, &[usize::MAX; 3]), u128::MAX);
        assert_eq!(to_keep(1000), 1000);
        assert!(to_keep(usize::MAX) as u128 <= there().0 / 4 || there().0 == UNKNOWN);
        assert_eq!(
            (gigabytes(2_500_000_000), gigabytes(4 << 70)),
            ("2.5 GB".to_owned(), "5e12 GB".to_owned())
        );
    }
}
