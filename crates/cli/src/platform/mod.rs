//! What differs between systems: the private data folder, the control channel, stop signals and those of a game, the host's name, sharing
//! a port. Everything else in this crate is the same everywhere.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{
    ClientStream, GameSignals, HAS_PREFIXES, HOLDER_NOTE, Listener, StopSignals, add_raw, connect, ended_with,
    host_name, local_data_dir, make_folder_command, make_private_folder, native_places, own_program, share_port,
};
#[cfg(windows)]
pub(crate) use windows::{
    ClientStream, GameSignals, HAS_PREFIXES, HOLDER_NOTE, Listener, StopSignals, add_raw, connect, ended_with,
    host_name, local_data_dir, make_folder_command, make_private_folder, native_places, own_program, share_port,
};
