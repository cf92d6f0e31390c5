//! What Linux has for that: no new privileges, Landlock, seccomp and resource limits.
//!
//! Owns the list of system calls that fail. It is a list of what is forbidden, not of what is allowed, because what a
//! program needs depends on the C library it was built with; Landlock bounds the rest.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::bound;
use crate::limits::Limits;
use crate::protocol::{Granted, Landlock};

/// The newest Landlock whose rights are asked for; older kernels give what they have.
const NEWEST: ABI = ABI::V6;
/// Where programs and what they load are.
const PROGRAMS: &[&str] =
    &["/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/etc/ld.so.cache", "/nix/store"];

/// System calls that fail with `EPERM`: no connection, no link or device, no other process, no other root, no key, and no
/// way around this list.
const FORBIDDEN: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_mknodat,
    libc::SYS_open_by_handle_at,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_fsopen,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_memfd_create,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
];

#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[libc::SYS_symlink, libc::SYS_link, libc::SYS_mknod];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

/// Running another program.
const RUNNING: &[i64] = &[libc::SYS_execve, libc::SYS_execveat];

pub(super) fn restrict(writes_to: Option<&Path>, runs_programs: bool, limits: &Limits) -> io::Result<Granted> {
    let no_new_privileges = rustix::thread::set_no_new_privs(true).is_ok();
    let landlock = confine(writes_to, runs_programs).map_err(io::Error::other)?;
    let resource_limits = bound(limits);
    // Last, since it forbids what the others need.
    let seccomp = no_new_privileges && filter(runs_programs);
    Ok(Granted { no_new_privileges, landlock, seccomp, resource_limits })
}

fn confine(writes_to: Option<&Path>, runs_programs: bool) -> Result<Landlock, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let staging: BitFlags<AccessFs> = AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::WriteFile
        | AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::Truncate;
    // What cannot be opened stays forbidden.
    if let Some(folder) = writes_to.and_then(|path| PathFd::new(path).ok()) {
        rules = rules.add_rule(PathBeneath::new(folder, staging))?;
    }
    if runs_programs {
        for path in PROGRAMS {
            let Ok(found) = PathFd::new(path) else { continue };
            let is_file = Path::new(path).is_file();
            let access = if is_file { AccessFs::ReadFile.into() } else { AccessFs::from_read(NEWEST) };
            rules = rules.add_rule(PathBeneath::new(found, access))?;
        }
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    })
}

/// Whether the filter is in force.
pub(super) fn filter(runs_programs: bool) -> bool {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return false };
    let running: &[i64] = if runs_programs { &[] } else { RUNNING };
    let calls = [FORBIDDEN, FORBIDDEN_HERE, running].concat();
    let rules: BTreeMap<i64, Vec<_>> = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)
        .and_then(BpfProgram::try_from)
        .is_ok_and(|program| seccompiler::apply_filter(&program).is_ok())
}
